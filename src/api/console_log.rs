//! What a container's console printed, as plain text, followed if wanted.
//!
//! Following looks at the file four times a second at most; a log that was rotated is read to its end before the new
//! one is begun.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::edge::Edge;
use super::look::{Look, block};
use super::problem::{ApiError, ApiResult};
use super::{reading, sse};
use crate::domain::{Refusal, RefusalClass};
use crate::events::Reading as What;

const PIECE: usize = 64 << 10;
const PIECES_HELD: usize = 4;
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    follow: bool,
    tail: Option<usize>,
    /// As journalctl(1) counts: 0 is the run under way or else the last, -1 the one before, 1 the oldest that is kept.
    #[serde(default)]
    boot: i64,
}

/// Streams the console log of a container.
pub(super) async fn stream(
    look: Look,
    edge: Edge,
    reference: web::Path<String>,
    wanted: web::Query<Wanted>,
) -> ApiResult {
    let row = look.ask(move |query, moment| query.container(&reference, moment)).await?;
    let (access, id) = (look.ports.access.clone(), row.id);
    let (logs, live) = block(move || (access.console_logs(id), access.console_log(id))).await?;
    let path = match chosen(&logs, wanted.boot) {
        Some(log) => log.clone(),
        None if wanted.follow && wanted.boot == 0 => live.clone(), // what is printed next
        None => return Err(not_kept(row.name.as_str(), logs.len(), wanted.boot).into()),
    };
    reading::tell(edge, row.id, What::Console, None).await?;
    // A run that is over prints no more.
    let follow = wanted.follow && path == live;
    let tail = wanted.tail;
    let reading = block(move || Reading::begin(path, tail)).await?;
    let reading = reading.map_err(|error| ApiError::Internal(format!("the console log cannot be read: {error}")))?;
    let (sender, receiver) = mpsc::channel(PIECES_HELD);
    actix_web::rt::spawn(feed(reading, sender, follow, look.ports.shutdown.clone()));
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").streaming(sse::reading(receiver)))
}

fn chosen(logs: &[PathBuf], boot: i64) -> Option<&PathBuf> {
    let from_the_end = |back: i64| logs.len().checked_sub(1 + usize::try_from(back).ok()?);
    let index = if boot > 0 { usize::try_from(boot - 1).ok() } else { from_the_end(boot.checked_neg()?) };
    logs.get(index?)
}

fn not_kept(name: &str, kept: usize, boot: i64) -> Refusal {
    let message = match kept {
        0 => format!(
            "nothing of the console of {name} is kept: it never ran, or the machine went down with its only run"
        ),
        1 => format!("of the console of {name} one run is kept, the last; there is no run {boot}"),
        _ => format!("of the console of {name} {kept} runs are kept, 0 to -{}; there is no run {boot}", kept - 1),
    };
    Refusal::new(RefusalClass::NotFound, "log.not-kept", message).hinted("berth container history NAME")
}

async fn feed(mut reading: Reading, sender: mpsc::Sender<Bytes>, follow: bool, mut shutdown: watch::Receiver<bool>) {
    loop {
        let read = block(move || {
            let piece = reading.next_piece();
            (reading, piece)
        });
        let Ok((back, piece)) = read.await else { return };
        reading = back;
        match piece {
            Ok(piece) if !piece.is_empty() => {
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
            Ok(_) if follow => tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = sender.closed() => return,
                _ = shutdown.wait_for(|ending| *ending) => return,
            },
            Ok(_) | Err(_) => return,
        }
    }
}

/// Is a place in a log that may be rotated.
struct Reading {
    path: PathBuf,
    file: Option<File>,
}

impl Reading {
    /// Opens the log at its beginning, or where its last `tail` lines begin. One that is not there yet is empty.
    fn begin(path: PathBuf, tail: Option<usize>) -> io::Result<Self> {
        let mut file = open(&path)?;
        if let (Some(file), Some(lines)) = (&mut file, tail) {
            let start = tail_start(file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Self { path, file })
    }

    /// Reads what is there; nothing at the end.
    fn next_piece(&mut self) -> io::Result<Bytes> {
        let mut piece = vec![0; PIECE];
        if self.file.is_none() {
            self.file = open(&self.path)?;
        }
        let Some(file) = &mut self.file else { return Ok(Bytes::new()) };
        let mut length = file.read(&mut piece)?;
        if length == 0 && is_replaced(file, &self.path)? {
            self.file = open(&self.path)?;
            length = self.file.as_mut().map_or(Ok(0), |file| file.read(&mut piece))?;
        }
        piece.truncate(length);
        Ok(Bytes::from(piece))
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says whether the path means another file by now, or this one was emptied.
fn is_replaced(file: &mut File, path: &Path) -> io::Result<bool> {
    let Ok(there) = std::fs::metadata(path) else { return Ok(false) };
    let own = file.metadata()?;
    Ok((own.dev(), own.ino()) != (there.dev(), there.ino()) || there.len() < file.stream_position()?)
}

/// Finds where the last lines begin, reading from the end.
fn tail_start(file: &mut File, lines: usize) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let (mut end, mut found) = (length, 0);
    let mut block = vec![0; PIECE];
    while end > 0 {
        let start = end.saturating_sub(PIECE as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        for (index, byte) in part.iter().enumerate().rev() {
            let at = start + index as u64 + 1;
            if *byte == b'\n' && at < length {
                found += 1;
            }
            if found == lines || lines == 0 {
                return Ok(if lines == 0 { length } else { at });
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(reading: &mut Reading) -> String {
        let mut all = vec![];
        loop {
            let piece = reading.next_piece().unwrap();
            if piece.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            all.extend_from_slice(&piece);
        }
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        for (tail, wanted) in
            [(0, ""), (1, "three\n"), (2, "two\nthree\n"), (3, "one\ntwo\nthree\n"), (9, "one\ntwo\nthree\n")]
        {
            let mut reading = Reading::begin(path.clone(), Some(tail)).unwrap();
            assert_eq!(rest(&mut reading), wanted, "{tail}");
        }
        std::fs::write(&path, "x\n".repeat(200_000) + "no end").unwrap();
        assert_eq!(rest(&mut Reading::begin(path, Some(2)).unwrap()), "x\nno end");
    }

    #[test]
    fn runs_are_counted_as_journalctl_does() {
        let logs = ["oldest", "older", "last"].map(PathBuf::from);
        for (boot, name) in
            [(0, Some("last")), (-1, Some("older")), (-2, Some("oldest")), (-3, None), (1, Some("oldest"))]
        {
            assert_eq!(chosen(&logs, boot), name.map(PathBuf::from).as_ref(), "{boot}");
        }
        assert_eq!((chosen(&logs, 4), chosen(&[], 0), chosen(&logs, i64::MIN)), (None, None, None));
        assert!(not_kept("web1", 0, 0).message.contains("never ran"));
        assert!(not_kept("web1", 3, -3).message.contains("0 to -2"));
    }

    #[test]
    fn a_rotated_log_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut reading = Reading::begin(path.clone(), None).unwrap();
        assert_eq!(rest(&mut reading), "", "not there yet");
        std::fs::write(&path, "old\n").unwrap();
        assert_eq!(rest(&mut reading), "old\n");
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(rest(&mut reading), "new\n");
        std::fs::write(&path, "").unwrap();
        assert_eq!(rest(&mut reading), "");
        std::fs::write(&path, "x\n").unwrap();
        assert_eq!(rest(&mut reading), "x\n", "emptied and written again");
    }
}
