//! The format marker of a state directory: a newer one is refused, never guessed at.
//!
//! The marker is written after everything else of a new state directory, so a directory with a marker and without a
//! log has lost its log, and no empty one is put in its place.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::error::OpenError;

/// Is the format that this Berth writes.
pub const FORMAT: u32 = 1;
/// Is the name of the marker file.
pub const FORMAT_FILE: &str = "format";

/// Reads the marker: nothing in a new state directory.
///
/// # Errors
///
/// A marker that cannot be read, names no number, or names a number above [`FORMAT`].
pub fn read(state: &Path) -> Result<Option<u32>, OpenError> {
    let path = state.join(FORMAT_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::File { path, source }),
    };
    let number = text.trim_end().strip_prefix("berth-state ").and_then(|number| number.parse().ok());
    match number {
        Some(found) if found > FORMAT => Err(OpenError::Newer { path: state.to_owned(), found, known: FORMAT }),
        Some(found) => Ok(Some(found)),
        None => Err(OpenError::Format { path, text: text.chars().take(40).collect() }),
    }
}

/// Writes the marker of this Berth.
pub fn write(state: &Path) -> Result<(), OpenError> {
    let path = state.join(FORMAT_FILE);
    super::file::replace(&path, format!("berth-state {FORMAT}\n").as_bytes()).map_err(OpenError::file(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_state_is_refused_with_both_numbers() {
        let state = tempfile::tempdir().unwrap();
        assert!(read(state.path()).unwrap().is_none());
        write(state.path()).unwrap();
        assert_eq!(read(state.path()).unwrap(), Some(FORMAT));
        fs::write(state.path().join(FORMAT_FILE), "berth-state 77\n").unwrap();
        let message = read(state.path()).unwrap_err().to_string();
        assert!(message.contains("format 77") && message.contains("up to 1"), "{message}");
        fs::write(state.path().join(FORMAT_FILE), "\u{0}garbage").unwrap();
        assert!(read(state.path()).unwrap_err().to_string().contains("does not name a format"));
    }
}
