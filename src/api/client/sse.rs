//! Server-sent events (WHATWG HTML, section 9.2.6), read piece by piece.

use std::collections::VecDeque;

/// The longest event taken, in bytes; a longer one is cut off and dropped.
const EVENT_MAX: usize = 4 << 20;

/// Is one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// What it is: `phase`, `progress`, `outcome`; `message` where nothing is said.
    pub kind: String,
    /// Where to go on from after a break.
    pub id: Option<String>,
    /// Its text; lines are joined by a line feed.
    pub data: String,
}

/// Puts pieces of a stream together to events.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_return: bool,
    kind: String,
    id: Option<String>,
    data: String,
    ready: VecDeque<ServerEvent>,
}

impl SseParser {
    /// Takes the next piece, which may end anywhere.
    pub fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            let second_half = self.after_return && *byte == b'\n';
            self.after_return = *byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => self.end_line(),
                _ if self.line.len() < EVENT_MAX => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// Takes the next whole event.
    pub fn next_event(&mut self) -> Option<ServerEvent> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" if self.data.len() + value.len() < EVENT_MAX => self.data.extend([value, "\n"]),
            _ => {} // Comments (keep-alive), retry, and what a newer server may say.
        }
    }

    /// The id stays for the events after it, as the specification has it.
    fn end_event(&mut self) {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_none() {
            return;
        }
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        self.ready.push_back(ServerEvent { kind, id: self.id.clone(), data });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<ServerEvent> {
        let mut parser = SseParser::default();
        for piece in pieces {
            parser.push(piece);
        }
        std::iter::from_fn(|| parser.next_event()).collect()
    }

    #[test]
    fn it_reads_kinds_ids_and_lines() {
        let events = read(&[b": hello\n\nevent: phase\nid: 7\ndata: a\ndata:b\n\ndata: c\r\n\r\n", b"data: lost"]);
        let first = ServerEvent { kind: "phase".into(), id: Some("7".into()), data: "a\nb".into() };
        let second = ServerEvent { kind: "message".into(), id: Some("7".into()), data: "c".into() };
        assert_eq!(events, [first, second]);
    }

    proptest! {
        #[test]
        fn where_the_pieces_end_does_not_matter(bytes in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..200), cut in 0_usize..200) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(read(&[&bytes]), read(&[&bytes[..cut], &bytes[cut..]]));
        }

        #[test]
        fn data_survives(text in "[^\r\n]{0,40}") {
            let events = read(&[format!("data: {text}\n\n").as_bytes()]);
            prop_assert_eq!(&events[0].data, &text);
        }
    }
}
