//! Takes the data of one file out of a store: onto a disk, or into an output.

use std::io;

use super::catalogue::FileContent;
use super::error::{Error, Result};
use super::reader::Reader;
use crate::sys::fs;

/// Says why an entry is not there: the entry's own trouble, or one that ends the restore.
pub(super) enum Trouble {
    /// It goes into the list of exceptions.
    Entry(String),
    /// Nothing more can be restored.
    Fatal(Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        if fs::is_full(&error) {
            Self::Fatal(Error::io("write", "the restored tree")(error))
        } else {
            Self::Entry(error.to_string())
        }
    }
}

/// Hands the data of a file to `write`, with the place where each piece belongs; returns how much it was.
pub(super) fn write_content(
    reader: &Reader,
    content: &FileContent,
    mut write: impl FnMut(&[u8], u64) -> std::result::Result<(), Trouble>,
) -> std::result::Result<u64, Trouble> {
    let mut extents = content.data_extents().into_iter();
    let mut present = extents.next();
    for chunk in &content.chunks {
        let bytes = reader.get(chunk).map_err(|error| match error {
            Error::Damaged { .. } | Error::Missing { .. } => Trouble::Entry(error.to_string()),
            other => Trouble::Fatal(other),
        })?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let Some(extent) = &mut present else {
                return Err(Trouble::Entry("it has more data than extents".to_owned()));
            };
            let count = rest.len().min(usize::try_from(extent.length).unwrap_or(usize::MAX));
            let (now, later) = rest.split_at(count);
            write(now, extent.offset)?;
            extent.offset += count as u64;
            extent.length -= count as u64;
            if extent.length == 0 {
                present = extents.next();
            }
            rest = later;
        }
    }
    Ok(content.data_length())
}

/// What a file whose content is damaged is called; who asked for it knows its name.
pub const FILE: &str = "the file";

/// Writes the whole content of a file to `out`, holes as the zeros they read as.
///
/// # Errors
/// `Damaged` or `Missing` if the store does not have it; what `out` says.
pub fn cat(reader: &Reader, content: &FileContent, out: &mut dyn io::Write) -> Result<()> {
    let mut at = 0;
    let written = write_content(reader, content, |bytes, offset| {
        write_zeros(out, offset - at)?;
        at = offset + bytes.len() as u64;
        Ok(out.write_all(bytes)?)
    });
    match written {
        Ok(_) => write_zeros(out, content.size - at).map_err(Error::io("write", "the output")),
        Err(Trouble::Fatal(error)) => Err(error),
        Err(Trouble::Entry(reason)) => Err(Error::damaged(FILE, reason)),
    }
}

fn write_zeros(out: &mut dyn io::Write, mut count: u64) -> io::Result<()> {
    const ZEROS: [u8; 16_384] = [0; 16_384];
    while count > 0 {
        let now = count.min(ZEROS.len() as u64);
        out.write_all(&ZEROS[..now as usize])?;
        count -= now;
    }
    Ok(())
}
