//! What the kernel says in its own log (`/dev/kmsg`, in the kernel's Documentation/ABI/testing/dev-kmsg).

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

/// The longest record that the kernel hands out.
const RECORD_MAX: usize = 8192;

/// Is one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, since the machine came up.
    pub at: Duration,
    /// Its first line.
    pub text: String,
}

/// Reads the records that the kernel still has, the oldest first. What programs wrote there is left out.
///
/// # Errors
/// It cannot be opened (`CAP_SYSLOG` is needed where `dmesg_restrict` is set) or read.
pub fn read() -> io::Result<Vec<Record>> {
    let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    let mut records = Vec::new();
    let mut buffer = vec![0; RECORD_MAX];
    loop {
        match log.read(&mut buffer) {
            Ok(0) => return Ok(records),
            Ok(length) => records.extend(record(&String::from_utf8_lossy(&buffer[..length]))),
            // Overwritten while it was read: the next read goes on with the oldest that is left.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(records),
            Err(error) => return Err(error),
        }
    }
}

/// Reads `priority,number,microseconds,flags;text`. The priority holds the facility, which is 0 for the kernel alone.
fn record(raw: &str) -> Option<Record> {
    let (head, text) = raw.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let micros: u64 = fields.nth(1)?.parse().ok()?;
    let line = text.lines().next().unwrap_or_default();
    (priority < 8).then(|| Record { at: Duration::from_micros(micros), text: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_kernel_is_read_and_one_of_a_program_is_not() {
        let own = record("6,339,5140900,-;NET: Registered protocol\n SUBSYSTEM=x\n").unwrap();
        assert_eq!(own, Record { at: Duration::from_micros(5_140_900), text: "NET: Registered protocol".to_owned() });
        for foreign in
            ["12,340,5690716,-;Memory cgroup out of memory: Killed process 1 (x)", "", ";", "6,1;x", "a,b,c,d;e"]
        {
            assert_eq!(record(foreign), None, "{foreign}");
        }
    }
}
