//! Answers that come piece by piece and may fail in the middle.
//!
//! Whoever asks for plain bytes has the connection broken off then: what it got must not look whole. Whoever accepts
//! [`FRAMED`] gets frames instead, and the last one says how it ended:
//! ```text
//! frame = length (u32, big endian) · bytes
//! last  = 0, all has come; or 0xffffffff · a problem (JSON) to the end, it failed
//! ```

use actix_web::http::header::ACCEPT;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{self, Stream};
use tokio::sync::mpsc;

use super::problem::ApiError;

/// The kind of content of framed pieces.
pub const FRAMED: &str = "application/vnd.berth.pieces";
/// The length of the frame that says that all has come.
pub const WHOLE: u32 = 0;
/// The length of the frame that says that it failed.
pub const FAILED: u32 = u32::MAX;

/// Is what a piece comes as. An error ends the answer, and so does a piece without bytes, which says that all has come: who
/// sends and is gone without that has not sent all.
pub type Piece = Result<Bytes, ApiError>;
/// The last piece of all.
pub const END: Bytes = Bytes::new();

/// Answers with what comes out of a channel, in the form that is asked for.
pub fn answer(request: &HttpRequest, content_type: &str, pieces: mpsc::Receiver<Piece>) -> HttpResponse {
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains(FRAMED)) {
        return HttpResponse::Ok().content_type(FRAMED).streaming(framed(pieces));
    }
    HttpResponse::Ok().content_type(content_type).streaming(plain(pieces))
}

fn plain(pieces: mpsc::Receiver<Piece>) -> impl Stream<Item = Piece> {
    stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match next(&mut pieces).await {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => Some((Ok(piece), Some(pieces))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

fn framed(pieces: mpsc::Receiver<Piece>) -> impl Stream<Item = Result<Bytes, ApiError>> {
    stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        let (bytes, rest) = match next(&mut pieces).await {
            Ok(piece) if piece.is_empty() => (WHOLE.to_be_bytes().to_vec(), None),
            Ok(piece) => ([&(piece.len() as u32).to_be_bytes(), &piece[..]].concat(), Some(pieces)),
            Err(error) => (failure(&error), None),
        };
        Some((Ok(Bytes::from(bytes)), rest))
    })
}

async fn next(pieces: &mut mpsc::Receiver<Piece>) -> Piece {
    let cut_off =
        || ApiError::Internal("the daemon could not go on with this answer; its own log tells why".to_owned());
    pieces.recv().await.unwrap_or_else(|| Err(cut_off()))
}

fn failure(error: &ApiError) -> Vec<u8> {
    let problem = serde_json::to_vec(&error.problem()).unwrap_or_default();
    [&FAILED.to_be_bytes()[..], &problem].concat()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn sent(pieces: Vec<Piece>) -> mpsc::Receiver<Piece> {
        let (sender, receiver) = mpsc::channel(pieces.len() + 1);
        for piece in pieces {
            sender.try_send(piece).unwrap();
        }
        receiver
    }

    #[actix_web::test]
    async fn only_who_says_so_has_sent_all() {
        let half = || Ok(Bytes::from_static(b"half"));
        let frames = |pieces| async { framed(sent(pieces)).map(Result::unwrap).collect::<Vec<_>>().await };
        let whole = frames(vec![half(), Ok(END)]).await;
        assert_eq!(whole, [Bytes::from_static(b"\0\0\0\x04half"), Bytes::from_static(&[0; 4])]);
        let cut = frames(vec![half()]).await;
        assert!(cut.len() == 2 && cut[1].starts_with(&FAILED.to_be_bytes()), "{cut:?}");
        let bytes = |pieces| async { plain(sent(pieces)).map(|piece| piece.is_ok()).collect::<Vec<_>>().await };
        assert_eq!(bytes(vec![half(), Ok(END)]).await, [true]);
        assert_eq!(bytes(vec![half()]).await, [true, false]);
    }
}
