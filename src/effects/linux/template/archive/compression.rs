//! Which program made the archive small, told by its first bytes and never by its name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// Opens the stream inside: plain, gzip (RFC 1952), xz, or zstd (RFC 8878).
///
/// # Errors
/// What reading says; other compressions are named and refused.
pub(super) fn open(file: File) -> io::Result<Box<dyn Read>> {
    let mut input = BufReader::with_capacity(256 << 10, file);
    let start = input.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        [b'B', b'Z', b'h', ..] => return Err(unsupported("bzip2")),
        [0x04, 0x22, 0x4d, 0x18, ..] => return Err(unsupported("lz4")),
        [b'P', b'K', 3, 4, ..] => return Err(unsupported("zip")),
        [] => return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty")),
        _ => Box::new(input),
    })
}

fn unsupported(kind: &str) -> io::Error {
    let message = format!("this is {kind}; pack it as a tar archive, plain or with gzip, xz or zstd");
    io::Error::new(io::ErrorKind::Unsupported, message)
}
