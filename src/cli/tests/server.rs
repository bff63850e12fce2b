//! A tiny HTTP server on a Unix socket: answers what a test tells it to, and keeps what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Is a request as it came.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Is an answer: status, kind of content, text. No length is told, the end of the connection is the end.
pub type Answer = (u16, &'static str, String);

/// Listens until it is dropped.
pub struct Server {
    pub state: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
    socket: PathBuf,
}

impl Server {
    pub fn new(answer: impl Fn(&Asked) -> Answer + Send + 'static) -> Self {
        let state = tempfile::tempdir().unwrap();
        let socket = state.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let text = serde_json::json!({
            "instance": "0a1b2c3d", "run_dir": state.path(), "socket": socket, "pid": 1, "started_at": "x",
        });
        std::fs::write(state.path().join("instance.json"), text.to_string()).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(request) = read(&stream) else { return };
                kept.lock().unwrap().push(request.clone());
                let (status, kind, text) = answer(&request);
                let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
                let _ = (&stream).write_all((head + &text).as_bytes());
            }
        });
        Self { state, asked, socket }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn path(&self) -> &Path {
        self.state.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A connection without a request is the order to end.
        let _ = UnixStream::connect(&self.socket);
    }
}

fn read(stream: &UnixStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut asked = Asked { line: line.trim_end().to_owned(), ..Asked::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        asked.headers.push((name.to_owned(), value.to_owned()));
    }
    let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Some(asked)
}
