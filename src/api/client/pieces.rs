//! Framed pieces, put together again; see [`crate::api::pieces`].

use super::{ClientError, Problem};
use crate::api::pieces::{FAILED, WHOLE};

/// Puts frames together that may be cut anywhere.
#[derive(Debug, Default)]
pub struct Pieces {
    held: Vec<u8>,
    is_over: bool,
}

const HEADER: usize = 4;

impl Pieces {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Takes the next whole piece; nothing if more has to come first, or all has come.
    pub fn next_piece(&mut self) -> Option<Vec<u8>> {
        let header = self.held.first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes(*header);
        self.is_over |= length == WHOLE;
        if [WHOLE, FAILED].contains(&length) {
            return None;
        }
        let end = HEADER + length as usize;
        let piece = self.held.get(HEADER..end)?.to_vec();
        self.held.drain(..end);
        Some(piece)
    }

    /// Says how it ended, when nothing more comes.
    ///
    /// # Errors
    /// What the daemon said, or that it said nothing.
    pub fn end(&self) -> Result<(), ClientError> {
        let (header, rest) = self.held.split_at(self.held.len().min(HEADER));
        if self.is_over {
            return Ok(());
        }
        let problem = (header == FAILED.to_be_bytes()).then(|| serde_json::from_slice::<Problem>(rest).ok()).flatten();
        Err(match problem {
            Some(problem) => ClientError::Problem(Box::new(problem)),
            None => ClientError::Broken("the answer is cut off".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(pieces: &[Vec<u8>]) -> Vec<u8> {
        pieces.iter().flat_map(|piece| [&(piece.len() as u32).to_be_bytes(), piece.as_slice()].concat()).collect()
    }

    fn read(wire: &[u8], step: usize) -> (Vec<u8>, Result<(), ClientError>) {
        let (mut pieces, mut read) = (Pieces::default(), Vec::new());
        for part in wire.chunks(step) {
            pieces.push(part);
            while let Some(piece) = pieces.next_piece() {
                read.extend(piece);
            }
        }
        (read, pieces.end())
    }

    proptest! {
        #[test]
        fn what_was_sent_comes_out_wherever_it_is_cut(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 0..6), step in 1_usize..40,
        ) {
            let body = frames(&sent);
            let (content, ended) = read(&[body.clone(), vec![0; 4]].concat(), step);
            prop_assert_eq!(&content, &sent.concat());
            prop_assert!(ended.is_ok());
            let (_, ended) = read(&body, step);
            prop_assert!(matches!(ended, Err(ClientError::Broken(_))), "no end is none: {:?}", ended);
            let problem = br#"{"status":500,"code":"backup.damaged","detail":"pack x is damaged"}"#;
            let (content, ended) = read(&[body, vec![0xff; 4], problem.to_vec()].concat(), step);
            prop_assert_eq!(content, sent.concat());
            let Err(ClientError::Problem(problem)) = ended else { panic!("{ended:?}") };
            prop_assert_eq!(problem.code, "backup.damaged");
        }

        #[test]
        fn no_bytes_make_it_panic(wire in prop::collection::vec(any::<u8>(), 0..60), step in 1_usize..9) {
            let _ = read(&wire, step);
        }
    }
}
