//! JSON that may be shown on a terminal: what could rewrite the screen or turn the text around is written as `\uXXXX`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::types::is_unsafe_for_terminal;

/// Returns a value as an indented document with a line end.
pub fn document(value: &impl Serialize) -> String {
    finish(serde_json::to_string_pretty(value))
}

/// Returns a value in one line with a line end.
pub fn line(value: &impl Serialize) -> String {
    finish(serde_json::to_string(value))
}

/// Returns a text without its quotes, anything else as it is, with a line end.
pub fn plain(value: &serde_json::Value) -> String {
    match value.as_str() {
        Some(text) => format!("{}\n", crate::types::terminal_safe(text)),
        None => line(value),
    }
}

fn finish(text: serde_json::Result<String>) -> String {
    // Only maps with keys that are no strings fail, and rows have none.
    let text = text.unwrap_or_else(|error| format!("{{\"error\": {:?}}}", error.to_string()));
    let mut safe = escape(&text);
    safe.push('\n');
    safe
}

/// Line ends outside of strings are the document's own; inside, serde_json has escaped them already.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_unsafe_for_terminal(character) {
            safe.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // A String takes whatever is written.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bidirectional_controls_and_tags_become_escapes() {
        assert_eq!(line(&"exe\u{202e}gpj\u{e0041}"), "\"exe\\u202egpj\\udb40\\udc41\"\n");
    }

    proptest! {
        #[test]
        fn the_value_is_the_same_and_the_text_is_safe(text in any::<String>()) {
            let shown = document(&[&text]);
            prop_assert_eq!(&serde_json::from_str::<Vec<String>>(&shown).unwrap()[0], &text);
            prop_assert!(!shown.chars().any(|c| c != '\n' && is_unsafe_for_terminal(c)));
        }
    }
}
