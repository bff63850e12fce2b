//! Randomness from the kernel, drawn at the edge and nowhere else.

use std::io;

/// Draws sixteen bytes (getrandom(2)).
///
/// # Errors
/// The kernel has none to give.
pub fn bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
