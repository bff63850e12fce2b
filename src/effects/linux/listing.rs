//! What lies in a directory, as far as it can be read: half a list would pass for a whole one.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

/// Lists a directory; one that is not there has nothing.
///
/// # Errors
/// It cannot be read to its end.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        entries => entries?.collect(),
    }
}

/// Lists a directory for whoever does what can be done; that it cannot be read is told.
pub(super) fn known_entries(folder: &Path) -> Vec<DirEntry> {
    entries(folder).unwrap_or_else(|error| {
        tracing::warn!(folder = %folder.display(), %error, "what lies there is not known");
        vec![]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_empty_and_what_cannot_be_read_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        assert!(entries(&place.path().join("missing")).unwrap().is_empty());
        fs::write(place.path().join("file"), "").unwrap();
        assert_eq!(entries(place.path()).unwrap().len(), 1);
        assert!(entries(&place.path().join("file")).is_err());
        assert!(known_entries(&place.path().join("file")).is_empty());
    }
}
