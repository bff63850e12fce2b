//! The client of the API: HTTP/1.1 over the daemon's Unix socket.
//!
//! One connection per request: the socket is local, and a command asks once or twice. What the daemon says in error is
//! kept as it said it ([`Problem`]); whether nobody is there at all is told apart ([`ClientError::Down`]), because then
//! reads can go to the recorded state. It renders nothing and knows no verbs.

mod instance;
mod path;
mod pieces;
mod sse;
mod started;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use super::pieces::FRAMED;
use pieces::Pieces;

pub use crate::api::routes::node::node_status;
use crate::types::{OperationId, RefusalClass};
pub use instance::{INSTANCE_FILE, Instance, RUN_OF_ROOT, STATE_OF_ROOT, default_state, signpost, state_to_ask};
pub use path::{Target, percent_encode};
pub use sse::{ServerEvent, SseParser};
pub use started::Started;

/// The largest answer taken that is not a stream: 256 MiB, far above any list.
const ANSWER_MAX: usize = 256 << 20;

/// Is why a request got no answer, or not the one hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: no instance file, no socket, or a connection refused.
    #[error("no daemon is running for this state directory")]
    Down,
    /// The socket is there, but not for this user.
    #[error("{} may not be used by you", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The instance file says something that cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Instance {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The daemon went away in the middle.
    #[error("the connection to the daemon broke: {0}")]
    Broken(String),
    /// The daemon said something that is not in the contract.
    #[error("cannot understand the daemon's answer to {path}: {reason}")]
    Foreign {
        /// What was asked.
        path: String,
        /// Why.
        reason: String,
    },
    /// The daemon refused, with its reason.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
}

/// Is a refusal as the daemon words it (RFC 9457).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// A stable code such as `container.not-found`.
    #[serde(default)]
    pub code: String,
    /// What stands against it.
    #[serde(default)]
    pub detail: String,
    /// The next command to type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What kind of answer it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<RefusalClass>,
}

/// Says how a change is asked for.
#[derive(Debug, Clone, Default)]
pub struct ChangeHeaders {
    /// Why, for the record.
    pub reason: Option<String>,
    /// Whether only to say what would happen.
    pub dry_run: bool,
    /// Makes a repeated request the same request.
    pub idempotency_key: Option<String>,
}

/// Talks to one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Makes a client of the socket; nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Finds the daemon of a state directory.
    ///
    /// # Errors
    /// No daemon has written its instance file there, or it cannot be read.
    pub fn of_state(state: &Path) -> Result<Self, ClientError> {
        Ok(Self::new(Instance::load(state)?.socket))
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, target: &Target) -> Result<T, ClientError> {
        let response = self.send(Method::GET, target, &[], None).await?;
        decode(target, &collect(response).await?)
    }

    /// Asks for a change and returns the status with the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn change(
        &self,
        target: &Target,
        body: &(impl Serialize + Sync),
        headers: &ChangeHeaders,
    ) -> Result<serde_json::Value, ClientError> {
        let foreign = |reason: serde_json::Error| foreign(target, reason);
        let body = serde_json::to_vec(body).map_err(foreign)?;
        let response = self.send(Method::POST, target, &headers.pairs(), Some(body)).await?;
        let bytes = collect(response).await?;
        if bytes.is_empty() { Ok(serde_json::Value::Null) } else { decode(target, &bytes) }
    }

    /// Opens a stream of bytes: a log, the content of a file.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bytes(&self, target: &Target) -> Result<ByteStream, ClientError> {
        let accept = [("accept", format!("{FRAMED}, */*;q=0.1"))];
        let response = self.send(Method::GET, target, &accept, None).await?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let pieces = kind.is_some_and(|kind| kind.starts_with(FRAMED)).then(Pieces::default);
        Ok(ByteStream { body: response.into_body(), pieces })
    }

    /// Opens a stream of events; `last_id` is where an earlier one ended.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, target: &Target, last_id: Option<&str>) -> Result<EventStream, ClientError> {
        let mut headers = vec![("accept", "text/event-stream".to_owned())];
        headers.extend(last_id.map(|id| ("last-event-id", id.to_owned())));
        let body = self.send(Method::GET, target, &headers, None).await?.into_body();
        Ok(EventStream { bytes: ByteStream { body, pieces: None }, parser: SseParser::default() })
    }

    async fn send(
        &self,
        method: Method,
        target: &Target,
        headers: &[(&str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, ClientError> {
        if let Some(detail) = target.emptiness() {
            let (code, class) = ("usage.empty".to_owned(), Some(RefusalClass::Invalid));
            return Err(ClientError::Problem(Box::new(Problem { status: 400, code, detail, hint: None, class })));
        }
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unconnected(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(method).uri(target.to_string()).header("host", "berth");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let request = request.body(body).map_err(|error| foreign(target, error))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    fn unconnected(&self, error: &std::io::Error) -> ClientError {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => ClientError::Forbidden { path: self.socket.clone() },
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => ClientError::Down,
            _ => ClientError::Broken(error.to_string()),
        }
    }
}

impl ChangeHeaders {
    /// Draws a key, so that the same request can be sent again when the connection breaks in the middle.
    pub fn with_fresh_key(mut self) -> Self {
        let mut bytes = [0_u8; 16];
        if SystemRandom::new().fill(&mut bytes).is_ok() {
            self.idempotency_key = Some(OperationId::from_bytes(bytes).to_string());
        }
        self
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        pairs.extend(self.reason.as_ref().map(|reason| ("berth-reason", percent_encode(reason))));
        pairs.extend(self.dry_run.then(|| ("berth-dry-run", "true".to_owned())));
        pairs.extend(self.idempotency_key.as_ref().map(|key| ("idempotency-key", key.clone())));
        pairs
    }
}

/// Is an answer that comes piece by piece.
#[derive(Debug)]
pub struct ByteStream {
    body: Incoming,
    /// Where it comes in frames, of which the last says how it ended.
    pieces: Option<Pieces>,
}

impl ByteStream {
    /// Waits for the next piece; nothing at the end.
    ///
    /// # Errors
    /// The connection broke, or the daemon could not go on.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(piece) = self.pieces.as_mut().and_then(Pieces::next_piece) {
                return Ok(Some(Bytes::from(piece)));
            }
            match (self.received().await?, &mut self.pieces) {
                (Some(bytes), Some(pieces)) => pieces.push(&bytes),
                (None, Some(pieces)) => return pieces.end().map(|()| None),
                (received, None) => return Ok(received),
            }
        }
    }

    async fn received(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// Is a stream of server-sent events.
#[derive(Debug)]
pub struct EventStream {
    bytes: ByteStream,
    parser: SseParser,
}

impl EventStream {
    /// Waits for the next event; nothing at the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            if let Some(event) = self.parser.next_event() {
                return Ok(Some(event));
            }
            match self.bytes.next().await? {
                Some(piece) => self.parser.push(&piece),
                None => return Ok(None),
            }
        }
    }
}

async fn collect(response: Response<Incoming>) -> Result<Vec<u8>, ClientError> {
    let mut stream = ByteStream { body: response.into_body(), pieces: None };
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await? {
        if bytes.len() + piece.len() > ANSWER_MAX {
            return Err(ClientError::Broken(format!("the answer is longer than {ANSWER_MAX} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Takes the daemon's words, or at least the status where it said nothing readable.
async fn refused(response: Response<Incoming>) -> ClientError {
    let status = response.status();
    let body = collect(response).await.unwrap_or_default();
    let mut problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    problem.status = status.as_u16();
    if problem.detail.is_empty() {
        problem.detail = format!("the daemon answered {status}");
    }
    if problem.code.is_empty() {
        fallback_code(status).clone_into(&mut problem.code);
    }
    ClientError::Problem(Box::new(problem))
}

fn fallback_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "api.not-found",
        StatusCode::BAD_REQUEST => "api.bad-request",
        _ => "api.status",
    }
}

fn decode<T: DeserializeOwned>(target: &Target, bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| foreign(target, error))
}

fn foreign(target: &Target, reason: impl std::fmt::Display) -> ClientError {
    ClientError::Foreign { path: target.to_string(), reason: reason.to_string() }
}

fn broken(error: hyper::Error) -> ClientError {
    ClientError::Broken(error.to_string())
}
