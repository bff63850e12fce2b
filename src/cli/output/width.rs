//! How many columns a text takes on a terminal.
//!
//! A short form of Unicode's East Asian Width (UAX #11) and of the characters that take no place: enough to align
//! tables of names, sentences and paths. A terminal that draws otherwise shows a ragged column, nothing worse.

/// Wide and full-width blocks, first and last.
const WIDE: [(u32, u32); 12] = [
    (0x1100, 0x115f),
    (0x2e80, 0x303e),
    (0x3041, 0x33ff),
    (0x3400, 0x4dbf),
    (0x4e00, 0x9fff),
    (0xa000, 0xa4cf),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0x1f300, 0x1faff),
    (0x20000, 0x3fffd),
];
/// Combining marks, joiners and variation selectors.
const ZERO: [(u32, u32); 8] = [
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x0610, 0x061a),
    (0x064b, 0x065f),
    (0x200c, 0x200d),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
];

/// Returns the columns a text takes.
pub fn display_width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Breaks a text between its words into lines of at most so many columns. A word that is wider stands alone.
pub fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if display_width(line) + 1 + display_width(word) <= room => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn columns(character: char) -> usize {
    let code = u32::from(character);
    let is_in = |blocks: &[(u32, u32)]| blocks.iter().any(|(first, last)| (*first..=*last).contains(&code));
    if code < 0x300 {
        1
    } else if is_in(&ZERO) {
        0
    } else {
        1 + usize::from(is_in(&WIDE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible 日本 日本", 9), ["incomprehensible", "日本 日本"]);
        assert_eq!(wrapped("", 9), [""]);
    }

    #[test]
    fn wide_and_combining_characters_are_counted_as_they_are_drawn() {
        for (text, width) in [("web1", 4), ("日本", 4), ("e\u{301}", 1), ("ä–…", 3), ("한", 2)] {
            assert_eq!(display_width(text), width, "{text}");
        }
    }
}
