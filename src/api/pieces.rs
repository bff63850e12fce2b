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

/// Is what a piece comes as: an error ends the answer.
pub type Piece = Result<Bytes, ApiError>;

/// Answers with what comes out of a channel, in the form that is asked for.
pub fn answer(request: &HttpRequest, content_type: &str, pieces: mpsc::Receiver<Piece>) -> HttpResponse {
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains(FRAMED)) {
        return HttpResponse::Ok().content_type(FRAMED).streaming(framed(pieces));
    }
    HttpResponse::Ok().content_type(content_type).streaming(plain(pieces))
}

fn plain(pieces: mpsc::Receiver<Piece>) -> impl Stream<Item = Piece> {
    stream::unfold(pieces, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) })
}

fn framed(pieces: mpsc::Receiver<Piece>) -> impl Stream<Item = Result<Bytes, ApiError>> {
    stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        let (bytes, rest) = match pieces.recv().await {
            Some(Ok(piece)) => (frame(&piece), Some(pieces)),
            Some(Err(error)) => (failure(&error), None),
            None => (WHOLE.to_be_bytes().to_vec(), None),
        };
        Some((Ok(Bytes::from(bytes)), rest))
    })
}

/// A piece without bytes is none: its frame would say that all has come.
fn frame(piece: &[u8]) -> Vec<u8> {
    let length = piece.len() as u32;
    if length == WHOLE { Vec::new() } else { [&length.to_be_bytes(), piece].concat() }
}

fn failure(error: &ApiError) -> Vec<u8> {
    let problem = serde_json::to_vec(&error.problem()).unwrap_or_default();
    [&FAILED.to_be_bytes()[..], &problem].concat()
}
