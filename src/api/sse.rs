//! Server-sent events (WHATWG HTML, section 9.2): the frames, and a stream that a task fills.
//!
//! A task that waits for the log writes frames into a channel; the response reads them. When the client is gone the
//! channel is closed, and the task notices at its next frame or its next keep-alive.

use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use super::problem::{ApiError, ApiResult, no_position};

/// How often a comment shows that the line is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
const FRAMES_HELD: usize = 64;

/// Takes the frames of one response.
pub struct Frames(mpsc::Sender<Bytes>);

/// Is returned when nobody reads any more.
#[derive(Debug)]
pub struct Gone;

impl Frames {
    /// Sends an event; `id` is what a client shows to resume behind it.
    pub async fn send(&self, event: &str, id: Option<u64>, data: &impl Serialize) -> Result<(), Gone> {
        let json = serde_json::to_string(data).map_err(|_| Gone)?;
        let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
        self.raw(format!("event: {event}\n{id}data: {json}\n\n")).await
    }

    /// Sends a comment.
    pub async fn keep_alive(&self) -> Result<(), Gone> {
        self.raw(":\n\n".to_owned()).await
    }

    async fn raw(&self, frame: String) -> Result<(), Gone> {
        self.0.send(Bytes::from(frame)).await.map_err(|_| Gone)
    }
}

/// Answers with a stream of events and returns where they go.
pub fn open() -> (Frames, HttpResponse) {
    let (sender, receiver) = mpsc::channel(FRAMES_HELD);
    let response = HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-store"))
        .streaming(reading(receiver));
    (Frames(sender), response)
}

/// Returns what comes out of a channel as the body of a response.
pub fn reading(receiver: mpsc::Receiver<Bytes>) -> impl stream::Stream<Item = Result<Bytes, ApiError>> {
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|bytes| (Ok(bytes), receiver)) })
}

/// Returns the position behind which a client wants to resume, if it does.
pub fn last_event(request: &HttpRequest) -> ApiResult<Option<u64>> {
    let Some(wanted) = request.headers().get("last-event-id") else { return Ok(None) };
    let wanted = String::from_utf8_lossy(wanted.as_bytes());
    wanted.parse().map(Some).map_err(|_| no_position(&wanted))
}
