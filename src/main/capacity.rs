//! What the machine has: asked at each question, since memory and processors can be plugged in.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

use berth::api::Capacity;
use berth::sys;
use berth::types::Size;

/// Tells what there is; `disks` is the directory in which disks lie.
pub fn of(disks: &Path) -> Capacity {
    let memory = fs::read_to_string("/proc/meminfo").ok();
    let processors = fs::read_to_string("/sys/devices/system/cpu/online").ok();
    let free = File::open(disks).and_then(|directory| sys::fs::free_bytes(directory.as_fd()));
    Capacity {
        memory: memory.and_then(|text| memory_in(&text)),
        processors: processors.and_then(|text| count_in(&text)),
        disk_free: free.ok().map(Size::from_bytes),
    }
}

/// Reads `MemTotal:  24656260 kB`.
fn memory_in(text: &str) -> Option<Size> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Size::from_bytes(kibibytes.checked_mul(1024)?))
}

/// Counts what a list such as `0-3,8` names.
fn count_in(list: &str) -> Option<u32> {
    list.trim().split(',').try_fold(0_u32, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let text = "MemTotal:       24656260 kB\nMemFree:  1 kB\n";
        assert_eq!(memory_in(text), Some(Size::from_bytes(24_656_260 * 1024)));
        assert_eq!(memory_in("MemFree: 1 kB\n"), None);
        assert_eq!((count_in("0-3,8\n"), count_in("0"), count_in("")), (Some(5), Some(1), None));
    }
}
