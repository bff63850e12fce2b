//! Tables without borders: columns aligned by display width, two spaces between them.

use super::width::{display_width, wrapped};
use crate::types::terminal_safe;

/// What stands in a cell without a value.
pub const NOTHING: &str = "–";
/// What a column keeps when room is short: an id, the moment of a day, a word of state.
const CUT_MIN: usize = 12;
/// What a column of sentences keeps: less of them says nothing.
const PROSE_MIN: usize = 30;

/// Says how a cell is coloured; the word itself always says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// As the terminal has it.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Less important.
    Faint,
}

impl Tone {
    /// Returns the parameter of `SGR` (ECMA-48 section 8.3.117).
    const fn sgr(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("2"),
        }
    }

    /// Returns the text in this tone.
    pub fn paint(self, text: &str) -> String {
        match self.sgr() {
            Some(sgr) => format!("\x1b[{sgr}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// Is one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Makes a cell in a tone.
    pub fn toned(text: impl ToString, tone: Tone) -> Self {
        Self { text: terminal_safe(&text.to_string()).into_owned(), tone }
    }

    /// Makes a cell of several texts, each on a line of its own: where a line is cut, the others still begin.
    pub fn lines<'a>(texts: impl IntoIterator<Item = &'a str>, tone: Tone) -> Self {
        let lines: Vec<_> = texts.into_iter().map(terminal_safe).collect();
        Self { text: lines.join("\n"), tone }
    }

    /// Returns one of its lines; nothing stands below the last.
    fn line(&self, number: usize) -> &str {
        self.text.split('\n').nth(number).unwrap_or_default()
    }

    fn width(&self) -> usize {
        self.text.split('\n').map(display_width).max().unwrap_or(0)
    }

    /// Makes a cell of a value that may be missing.
    pub fn maybe(value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => Self::from(value.to_string()),
            None => Self::toned(NOTHING, Tone::Faint),
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text.as_ref(), Tone::Plain)
    }
}

/// Is one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    title: &'static str,
    right: bool,
    wide_only: bool,
    least: usize,
    spare: u8,
}

impl Column {
    /// Makes a column of words.
    pub const fn left(title: &'static str) -> Self {
        Self { title, right: false, wide_only: false, least: CUT_MIN, spare: 0 }
    }

    /// Makes a column of numbers. A number that is cut is another one.
    pub const fn right(title: &'static str) -> Self {
        Self { right: true, ..Self::left(title).whole() }
    }

    /// Never cuts it: an address or a moment that is cut is another one.
    pub const fn whole(self) -> Self {
        Self { least: usize::MAX, ..self }
    }

    /// Says that it has sentences.
    pub const fn prose(self) -> Self {
        Self { least: PROSE_MIN, ..self }
    }

    /// Leaves it out where room is short, before those of a lower rank. Without a rank, columns go last, from the right.
    pub const fn spare(self, rank: u8) -> Self {
        Self { spare: rank, ..self }
    }

    /// Says whether it has numbers.
    #[cfg(test)]
    pub const fn is_number(self) -> bool {
        self.right
    }

    /// Shows it with `-o wide` only.
    pub const fn wide(self) -> Self {
        Self { wide_only: true, ..self }
    }
}

/// Returns the table as text; a row has a cell for every column. Where there is only so much room, words are cut.
pub fn render(columns: &[Column], rows: &[Vec<Cell>], wide: bool, colour: bool, room: Option<usize>) -> String {
    let mut shown: Vec<usize> = (0..columns.len()).filter(|index| wide || !columns[*index].wide_only).collect();
    let widest = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(Cell::width);
        cells.max().unwrap_or(0).max(display_width(columns[index].title))
    };
    let mut widths: Vec<usize> = shown.iter().map(|index| widest(*index)).collect();
    if let Some(room) = room {
        fit(columns, &mut shown, &mut widths, room);
    }
    let header: Vec<Cell> = columns.iter().map(|column| Cell::toned(column.title, Tone::Faint)).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let height = row.iter().map(|cell| cell.text.split('\n').count()).max().unwrap_or(1);
        for number in 0..height {
            let cells = shown.iter().zip(&widths).filter_map(|(index, width)| {
                row.get(*index).map(|cell| padded(cell, number, *width, columns[*index].right, colour))
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
    }
    text
}

/// Cuts words, and then leaves columns out by their rank, until there is room for the rest. The first column stays, and is cut
/// only where it alone is too wide: it is what the next command takes.
fn fit(columns: &[Column], shown: &mut Vec<usize>, widths: &mut Vec<usize>, room: usize) {
    loop {
        let mut narrowed = widths.clone();
        narrow(&mut narrowed, room, |place| if place == 0 { usize::MAX } else { columns[shown[place]].least });
        let spare = (1..shown.len()).max_by_key(|place| (columns[shown[*place]].spare, *place));
        let Some(spare) = spare.filter(|_| needed(&narrowed) > room) else {
            *widths = narrowed.into_iter().map(|width| width.min(room)).collect();
            return;
        };
        shown.remove(spare);
        widths.remove(spare);
    }
}

fn needed(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
}

/// Takes from the widest of the columns that keep more than the least they need.
fn narrow(widths: &mut [usize], room: usize, least: impl Fn(usize) -> usize) {
    while needed(widths) > room {
        let places = (0..widths.len()).filter(|place| widths[*place] > least(*place));
        let Some(widest) = places.max_by_key(|place| widths[*place]) else { return };
        widths[widest] -= 1;
    }
}

/// Returns a text that takes no more than so many columns.
fn cut(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let mut shortened = String::new();
    for character in text.chars() {
        shortened.push(character);
        if display_width(&shortened) >= width {
            shortened.pop();
            break;
        }
    }
    shortened + "…"
}

fn padded(cell: &Cell, number: usize, width: usize, right: bool, colour: bool) -> String {
    let shown = cut(cell.line(number), width);
    let padding = " ".repeat(width.saturating_sub(display_width(&shown)));
    let text = if colour && !shown.is_empty() { cell.tone.paint(&shown) } else { shown };
    if right { padding + &text } else { text + &padding }
}

/// Returns labelled values, one a line, the values aligned. Where there is only so much room, they go on below.
pub fn details(pairs: &[(&str, Cell)], colour: bool, room: Option<usize>) -> String {
    let width = pairs.iter().map(|(label, _)| display_width(label)).max().unwrap_or(0);
    let mut text = String::new();
    for (label, cell) in pairs {
        let room = room.map_or(usize::MAX, |room| room.saturating_sub(width + 4));
        let lines = cell.text.split('\n').flat_map(|line| wrapped(line, room));
        for (label, line) in std::iter::once(*label).chain(std::iter::repeat("")).zip(lines) {
            let padding = " ".repeat(width - display_width(label));
            let value = if colour { cell.tone.paint(&line) } else { line };
            text.extend(["  ", label, padding.as_str(), "  ", value.as_str(), "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::left("NAME"), Column::right("SIZE"), Column::left("NOTE").wide()];

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["日本".into(), "5".into(), "a".into()],
            vec!["web1".into(), Cell::maybe(None::<u8>), Cell::toned("b\u{1b}[2J", Tone::Bad)],
        ]
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let expected = "NAME  SIZE\n日本     5\nweb1     –\n";
        assert_eq!(render(&COLUMNS, &rows(), false, false, None), expected);
    }

    #[test]
    fn words_are_cut_where_the_terminal_ends_and_then_columns_left_out_but_no_name_and_no_number_is_cut() {
        let rows = vec![vec!["a-name-of-its-own".into(), "1234567".into(), "why it is so, in many words".into()]];
        let expected = "NAME                  SIZE  NOTE\na-name-of-its-own  1234567  why it is s…\n";
        assert_eq!(render(&COLUMNS, &rows, true, false, Some(40)), expected);
        let less = "NAME                  SIZE\na-name-of-its-own  1234567\n";
        assert_eq!(render(&COLUMNS, &rows, true, false, Some(39)), less, "more cannot be cut");
        assert_eq!(render(&COLUMNS, &rows, true, false, Some(20)), "NAME\na-name-of-its-own\n");
        assert_eq!(
            render(&COLUMNS, &rows, true, false, Some(9)),
            "NAME\na-name-o…\n",
            "and nothing is wider than that"
        );
        assert_eq!(cut("日本日本", 5), "日本…");
    }

    #[test]
    fn what_is_least_needed_goes_first() {
        let columns =
            [Column::left("ID"), Column::left("BY").spare(1), Column::right("N").spare(2), Column::left("WHAT")];
        let rows = vec![vec!["abcd".into(), "somebody".into(), "123456".into(), "twelve chars".into()]];
        let titles = |room| render(&columns, &rows, false, false, Some(room)).lines().next().map(str::to_owned);
        let of = |text: &str| Some(text.to_owned());
        assert_eq!(titles(36), of("ID    BY             N  WHAT"));
        assert_eq!(titles(35), of("ID    BY        WHAT"));
        assert_eq!(titles(27), of("ID    WHAT"));
        assert_eq!(titles(17), of("ID"));
    }

    #[test]
    fn of_several_texts_in_a_cell_none_is_cut_off_altogether() {
        let several = Cell::lines(["the first of two, at length", "the second\n, as long as that"], Tone::Warn);
        let rows = vec![vec!["web1".into(), "5".into(), several], vec!["web2".into(), "6".into(), "none".into()]];
        let expected = "NAME  SIZE  NOTE\nweb1     5  the first of …\n            the second\\n,…\nweb2     6  none\n";
        assert_eq!(render(&COLUMNS, &rows, true, false, Some(26)), expected);
    }

    #[test]
    fn the_wide_form_has_more_and_nothing_dangerous() {
        let expected = "NAME  SIZE  NOTE\n日本     5  a\nweb1     –  b\\u{1b}[2J\n";
        assert_eq!(render(&COLUMNS, &rows(), true, false, None), expected);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let mut coloured = render(&COLUMNS, &rows(), true, true, None);
        for code in ["\x1b[2m", "\x1b[31m", "\x1b[0m"] {
            coloured = coloured.replace(code, "");
        }
        let trimmed = coloured.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n");
        assert_eq!(trimmed, render(&COLUMNS, &rows(), true, false, None));
    }

    #[test]
    fn details_stand_in_two_columns() {
        let pairs = [("name", Cell::from("web1")), ("template", Cell::from("debian"))];
        assert_eq!(details(&pairs, false, None), "  name      web1\n  template  debian\n");
        let pairs = [("why", Cell::from("it did not end in time"))];
        assert_eq!(details(&pairs, false, Some(20)), "  why  it did not\n       end in time\n");
    }
}
