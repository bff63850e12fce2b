//! What was done to containers without a record: a file each, among what ends with the boot, which no full disk reaches.

use std::fs;
use std::io;
use std::path::Path;

use crate::domain::effect::Failure;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::listing::known_entries;
use crate::effects::linux::paths::ensure_directory;
use crate::sys::fs::durable;
use crate::types::ContainerId;

/// Keeps one, or forgets it.
pub(in crate::effects::linux) fn keep(
    folder: &Path,
    container: ContainerId,
    deed: Option<&[u8]>,
) -> Result<(), Failure> {
    let path = folder.join(container.to_string());
    let Some(deed) = deed else {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("remove", path.display())(error)),
            _ => Ok(()),
        };
    };
    ensure_directory(folder)?;
    durable::replace(&path, deed).map_err(cannot("write", path.display()))
}

/// Lists what is kept; what cannot be read is told.
pub(in crate::effects::linux) fn kept(folder: &Path) -> Vec<(ContainerId, Vec<u8>)> {
    known_entries(folder).into_iter().filter_map(|entry| read(&entry.path())).collect()
}

fn read(path: &Path) -> Option<(ContainerId, Vec<u8>)> {
    let container = path.file_name()?.to_str()?.parse().ok()?; // another name is a file that was not finished
    match fs::read(path) {
        Ok(deed) => Some((container, deed)),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "what was done without a record cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_until_it_is_forgotten() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("unrecorded");
        let (one, other) = (ContainerId::derived("one"), ContainerId::derived("other"));
        assert!(kept(&folder).is_empty());
        keep(&folder, one, None).unwrap();
        keep(&folder, one, Some(b"first")).unwrap();
        keep(&folder, one, Some(b"second")).unwrap();
        keep(&folder, other, Some(b"third")).unwrap();
        fs::write(folder.join("half.new"), "x").unwrap();
        let mut all = kept(&folder);
        all.sort();
        let mut expected = vec![(one, b"second".to_vec()), (other, b"third".to_vec())];
        expected.sort();
        assert_eq!(all, expected);
        keep(&folder, one, None).unwrap();
        assert_eq!(kept(&folder), [(other, b"third".to_vec())]);
    }
}
