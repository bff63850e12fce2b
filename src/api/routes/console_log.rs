//! What a container's console printed, as plain text, followed if wanted.
//!
//! A log is two files, of which the newer becomes the older when it is full: both are read. Following looks at them four
//! times a second at most; where the console printed more in between than they hold, a line says that something is lost.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use crate::api::edge::Edge;
use crate::api::look::{Look, block};
use crate::api::pieces::{self, END, Piece};
use crate::api::problem::{ApiError, ApiResult};
use crate::api::reading;
use crate::domain::{Refusal, RefusalClass};
use crate::events::Reading as What;

const PIECE: usize = 64 << 10;
const PIECES_HELD: usize = 4;
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
pub(in crate::api) struct Wanted {
    #[serde(default)]
    follow: bool,
    tail: Option<usize>,
    /// As journalctl(1) counts: 0 is the run under way or else the last, -1 the one before, 1 the oldest that is kept.
    #[serde(default)]
    boot: i64,
}

/// Streams the console log of a container.
pub(in crate::api) async fn stream(
    look: Look,
    edge: Edge,
    request: HttpRequest,
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
    let reading = reading.map_err(|error| unreadable(&error))?;
    let (sender, receiver) = mpsc::channel(PIECES_HELD);
    actix_web::rt::spawn(feed(reading, sender, follow, look.ports.shutdown.clone()));
    Ok(pieces::answer(&request, "text/plain; charset=utf-8", receiver))
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
    Refusal::new(RefusalClass::NotFound, "log.not-kept", message).hinted(format!("berth container history {name}"))
}

async fn feed(mut reading: Reading, sender: mpsc::Sender<Piece>, follow: bool, mut shutdown: watch::Receiver<bool>) {
    loop {
        let read = block(move || {
            let piece = reading.next_piece();
            (reading, piece)
        });
        let Ok((back, piece)) = read.await else { return };
        reading = back;
        match piece {
            Ok(piece) if !piece.is_empty() => {
                if sender.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
            Ok(_) if follow => tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = sender.closed() => return,
                _ = shutdown.wait_for(|ending| *ending) => return drop(sender.send(Err(ending())).await),
            },
            Ok(_) => return drop(sender.send(Ok(END)).await),
            Err(error) => return drop(sender.send(Err(unreadable(&error))).await),
        }
    }
}

fn ending() -> ApiError {
    let message = "the daemon ends; what is printed from now on comes when it is back";
    Refusal::new(RefusalClass::Unsupported, "daemon.ending", message).into()
}

fn unreadable(error: &io::Error) -> ApiError {
    ApiError::Internal(format!("the console log cannot be read: {error}"))
}

/// Stands where something was printed that nobody can read any more.
const LOST: &[u8] = b"\r\n[berth: some output is lost here; it came faster than it was read]\r\n";

/// Is a place in a log that may be rotated.
struct Reading {
    path: PathBuf,
    /// What is to be read, in this order; the last one is read again when more was printed.
    files: VecDeque<File>,
}

impl Reading {
    /// Opens the log at its beginning, or where its last `tail` lines begin. One that is not there yet is empty.
    fn begin(path: PathBuf, tail: Option<usize>) -> io::Result<Self> {
        let (mut older, mut newer) = halves(&path)?;
        if let Some(lines) = tail {
            let left = newer.as_mut().map_or(Ok(lines), |file| go_to_last(file, lines, false))?;
            let has_more = newer.as_mut().map_or(Ok(false), |file| Ok::<_, io::Error>(file.metadata()?.len() > 0))?;
            match &mut older {
                Some(file) if left > 0 => drop(go_to_last(file, left, has_more)?),
                _ => older = None,
            }
        }
        Ok(Self { path, files: older.into_iter().chain(newer).collect() })
    }

    /// Reads what is there; nothing at the end.
    fn next_piece(&mut self) -> io::Result<Bytes> {
        loop {
            if self.files.is_empty() {
                self.files.extend(open(&self.path)?);
            }
            let is_last = self.files.len() == 1;
            let Some(file) = self.files.front_mut() else { return Ok(Bytes::new()) };
            let piece = read(file)?;
            if !piece.is_empty() {
                return Ok(piece);
            }
            if !is_last {
                self.files.pop_front();
                continue;
            }
            if !is_replaced(file, &self.path)? {
                return Ok(piece);
            }
            // What was printed between the last look and the change.
            let rest = read(file)?;
            if !rest.is_empty() {
                return Ok(rest);
            }
            if !self.go_on()? {
                return Ok(Bytes::from_static(LOST));
            }
        }
    }

    /// Goes on with what came after the file that was read to its end; false if something between is lost.
    fn go_on(&mut self) -> io::Result<bool> {
        // Open until it is compared: the number of a file that is closed can be another one's at once.
        let done = self.files.pop_front();
        let (older, newer) = halves(&self.path)?;
        let of = |file: &Option<File>| file.as_ref().map(identity).transpose();
        let was = of(&done)?;
        let follows = older.is_none() || of(&older)? == was || of(&newer)? == was;
        drop(done);
        let skipped = if follows { None } else { older };
        self.files.extend(skipped.into_iter().chain(newer));
        Ok(follows)
    }
}

fn read(file: &mut File) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE];
    let length = file.read(&mut piece)?;
    piece.truncate(length);
    Ok(Bytes::from(piece))
}

/// Opens both files of a log, the older first; neither is the other, whenever it is rotated.
fn halves(path: &Path) -> io::Result<(Option<File>, Option<File>)> {
    let before = path.with_extension("log.1");
    loop {
        let (older, newer) = (open(&before)?, open(path)?);
        let is_still = match (&older, std::fs::metadata(&before)) {
            (Some(file), Ok(there)) => identity(file)? == (there.dev(), there.ino()),
            (None, Err(_)) => true,
            _ => false,
        };
        if is_still {
            return Ok((older, newer));
        }
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
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
    Ok(identity(file)? != (there.dev(), there.ino()) || there.len() < file.stream_position()?)
}

/// Goes to where the last lines begin, reading from the end; returns how many lines begin before this file. With `has_more`
/// the text goes on in another file, so that a line can begin at the very end of this one.
fn go_to_last(file: &mut File, lines: usize, has_more: bool) -> io::Result<usize> {
    let length = file.metadata()?.len();
    let (mut end, mut left) = (length, lines);
    let mut block = vec![0; PIECE];
    while end > 0 && left > 0 {
        let start = end.saturating_sub(PIECE as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        for (index, byte) in part.iter().enumerate().rev() {
            let at = start + index as u64 + 1;
            if *byte == b'\n' && (has_more || at < length) {
                left -= 1;
            }
            if left == 0 {
                file.seek(SeekFrom::Start(at))?;
                return Ok(0);
            }
        }
        end = start;
    }
    file.seek(SeekFrom::Start(if lines == 0 { length } else { 0 }))?;
    Ok(left)
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
    fn both_files_of_a_log_are_read_and_the_last_lines_are_found_in_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        std::fs::write(folder.path().join("console.log.1"), "one\ntwo\nthr").unwrap();
        std::fs::write(&path, "ee\nfour\n").unwrap();
        let read = |tail| rest(&mut Reading::begin(path.clone(), tail).unwrap());
        assert_eq!(read(None), "one\ntwo\nthree\nfour\n");
        for (tail, wanted) in
            [(0, ""), (1, "four\n"), (2, "three\nfour\n"), (3, "two\nthree\nfour\n"), (9, "one\ntwo\nthree\nfour\n")]
        {
            assert_eq!(read(Some(tail)), wanted, "{tail}");
        }
        std::fs::write(folder.path().join("console.log.1"), "one\ntwo\n").unwrap();
        std::fs::write(&path, "three\n").unwrap();
        assert_eq!((read(Some(1)), read(Some(2))), ("three\n".to_owned(), "two\nthree\n".to_owned()));
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(Some(1)), "two\n");
    }

    #[test]
    fn what_is_lost_while_it_is_followed_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let rotate = |text: &str| {
            std::fs::rename(&path, folder.path().join("console.log.1")).unwrap();
            std::fs::write(&path, text).unwrap();
        };
        std::fs::write(&path, "1\n").unwrap();
        let mut reading = Reading::begin(path.clone(), None).unwrap();
        assert_eq!(rest(&mut reading), "1\n");
        rotate("2\n");
        assert_eq!(rest(&mut reading), "2\n", "nothing is lost");
        rotate("3\n");
        rotate("4\n");
        rotate("5\n");
        assert_eq!(rest(&mut reading), format!("{}4\n5\n", String::from_utf8_lossy(LOST)));
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
