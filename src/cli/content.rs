//! Bytes of a container's console or of a file, made fit for a terminal.
//!
//! Nothing in them may move the cursor, change the title or answer in the user's name, so control characters are shown
//! and not obeyed. Colours alone are left out without a word: they are harmless and frequent in the log of a boot.

use crate::types::terminal_safe;

/// What is longer than this is no sequence that is still being sent.
const HELD_BACK_MAX: usize = 64;

/// Makes pieces of a stream safe; what a piece ends in the middle of waits for the next.
#[derive(Debug, Default)]
pub struct Content {
    held_back: Vec<u8>,
}

impl Content {
    /// Takes a piece and returns what can be shown by now.
    pub fn push(&mut self, piece: &[u8]) -> String {
        self.held_back.extend_from_slice(piece);
        let whole = self.held_back.len() - unfinished(&self.held_back);
        let rest = self.held_back.split_off(whole);
        let ready = std::mem::replace(&mut self.held_back, rest);
        shown(&ready)
    }

    /// Returns what was still waited for.
    pub fn end(&mut self) -> String {
        shown(&std::mem::take(&mut self.held_back))
    }
}

/// Returns how many bytes at the end belong to something that goes on: a character, a sequence, a line end.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(HELD_BACK_MAX)..];
    if let Some(start) = tail.iter().rposition(|byte| *byte == 0x1b) {
        let sequence = &tail[start..];
        let is_open = sequence.len() == 1 || (sequence[1] == b'[' && sequence[2..].iter().copied().all(is_parameter));
        if is_open {
            return sequence.len();
        }
    }
    if tail.last() == Some(&b'\r') {
        return 1;
    }
    let start = tail.iter().rposition(|byte| *byte < 0x80 || *byte >= 0xc0).unwrap_or(0);
    let is_cut = std::str::from_utf8(&tail[start..]).is_err_and(|error| error.error_len().is_none());
    if is_cut { tail.len() - start } else { 0 }
}

/// Parameter bytes of a control sequence (ECMA-48 section 5.4).
fn is_parameter(byte: u8) -> bool {
    (0x30..=0x3f).contains(&byte)
}

/// Keeps line ends and tabs, leaves colours out, and shows every other control character.
fn shown(bytes: &[u8]) -> String {
    let text = without_colours(&String::from_utf8_lossy(bytes).replace("\r\n", "\n"));
    let mut safe = String::with_capacity(text.len());
    for piece in text.split_inclusive(['\n', '\t']) {
        let line = piece.strip_suffix(['\n', '\t']).unwrap_or(piece);
        safe.push_str(&terminal_safe(line));
        safe.push_str(&piece[line.len()..]);
    }
    safe
}

/// Leaves out `SGR`, the sequences that end in `m` (ECMA-48 section 8.3.117).
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut pieces = text.split("\x1b[");
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let end = piece.find(|character: char| !matches!(character, '0'..='9' | ';' | ':')).unwrap_or(piece.len());
        match piece[end..].strip_prefix('m') {
            Some(rest) => plain.push_str(rest),
            None => plain.extend(["\x1b[", piece]),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::is_unsafe_for_terminal;

    #[test]
    fn lines_stay_colours_go_and_powers_are_shown() {
        for (bytes, text) in [
            (&b"a\tb\r\n\x1b[2Jc\n"[..], "a\tb\n\\u{1b}[2Jc\n"),
            (b"[\x1b[0;32m  OK  \x1b[0m] Started\n", "[  OK  ] Started\n"),
            (b"\x1b]0;title\x07x\x1b[31", "\\u{1b}]0;title\\u{7}x\\u{1b}[31"),
            (b"\xff\n", "\u{fffd}\n"),
        ] {
            let mut content = Content::default();
            let told = content.push(bytes) + &content.end();
            assert_eq!(told, text);
        }
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_makes_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(0x1b), Just(b'['), Just(b'm'), Just(b'3'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..60),
            cut in 0_usize..60,
        ) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let (mut whole, mut parts) = (Content::default(), Content::default());
            let at_once = whole.push(&bytes) + &whole.end();
            let in_parts = parts.push(first) + &parts.push(second) + &parts.end();
            prop_assert_eq!(&at_once, &in_parts);
            prop_assert!(!at_once.chars().any(|c| is_unsafe_for_terminal(c) && !matches!(c, '\n' | '\t')));
        }
    }
}
