//! Text of strangers, made safe to print on a terminal.
//!
//! Control characters can rewrite the screen, bidirectional ones can show a text in another order than it has
//! (CVE-2021-42574, "Trojan Source"), and some characters cannot be seen at all. All are shown as escapes.
//! This is about eyes and terminals, not about shells or HTML: it quotes for neither.

use std::borrow::Cow;

/// Returns whether a character may not reach a terminal as it is.
///
/// These are the control characters (Unicode category Cc), the bidirectional controls of UAX #9, the line and
/// paragraph separators, invisible spaces and fillers, and the tag characters. The zero-width joiners stay, because
/// several scripts need them.
pub fn is_unsafe_for_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{2028}' | '\u{2029}'
            | '\u{00ad}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the text with every character that may not reach a terminal shown as an escape: `\n`, `\u{1b}`, `\u{202e}`.
///
/// A backslash stays as it is: the result is for eyes and cannot always be turned back.
pub fn terminal_safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe_for_terminal) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        push_safe(&mut safe, character);
    }
    Cow::Owned(safe)
}

/// Appends the character, as an escape where it may not reach a terminal.
pub(super) fn push_safe(text: &mut String, character: char) {
    match character {
        '\n' | '\t' | '\r' => text.extend(character.escape_default()),
        other if is_unsafe_for_terminal(other) => text.extend(other.escape_unicode()),
        other => text.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_should_show_what_could_lie() {
        for (text, shown) in [
            ("plain äöü 日本", "plain äöü 日本"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("line\nline\t", "line\\nline\\t"),
            ("exe\u{202e}gpj", "exe\\u{202e}gpj"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("a\u{200b}b", "a\\u{200b}b"),
        ] {
            assert_eq!(terminal_safe(text), shown);
        }
    }

    proptest! {
        #[test]
        fn nothing_unsafe_comes_through(text in any::<String>()) {
            prop_assert!(!terminal_safe(&text).chars().any(is_unsafe_for_terminal));
        }

        #[test]
        fn it_changes_nothing_twice(text in any::<String>()) {
            let once = terminal_safe(&text).into_owned();
            prop_assert_eq!(terminal_safe(&once), once.as_str());
        }
    }
}
