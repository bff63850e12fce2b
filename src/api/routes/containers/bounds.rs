//! Limits that lie beyond what the machine has: they are taken, since a machine may grow and promises may exceed what is
//! there, but nobody should believe in them.

use crate::api::ports::Capacity;
use crate::types::{Cpus, Size};

/// What was asked for in so many words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) memory: Option<Size>,
    pub(super) cpus: Option<Cpus>,
    /// How much the disk grows.
    pub(super) disk: Option<Size>,
}

/// Says of each limit that is no limit here, or cannot be filled.
pub(super) fn warnings(asked: Asked, host: Capacity) -> Vec<String> {
    let memory = beyond(asked.memory, host.memory)
        .map(|(asked, has)| format!("this machine has {has} of memory: a limit of {asked} limits nothing"));
    let millis =
        asked.cpus.filter(|cpus| host.processors.is_some_and(|has| cpus.as_millis() > has.saturating_mul(1000)));
    let cpus = millis.zip(host.processors).map(|(asked, has)| {
        let noun = if has == 1 { "processor" } else { "processors" };
        format!("this machine has {has} {noun}: a limit of {asked} limits nothing")
    });
    let disk = beyond(asked.disk, host.disk_free).map(|(asked, free)| {
        format!("the file system of the disks has {free} free, less than the {asked} that this disk may take")
    });
    [memory, cpus, disk].into_iter().flatten().collect()
}

fn beyond(asked: Option<Size>, has: Option<Size>) -> Option<(Size, Size)> {
    asked.zip(has).filter(|(asked, has)| asked > has)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Capacity = Capacity {
        memory: Some(Size::from_mib(2 << 10)),
        processors: Some(2),
        disk_free: Some(Size::from_mib(79 << 10)),
    };

    #[test]
    fn what_the_machine_has_not_is_warned_of_by_what_it_has() {
        let asked = Asked {
            memory: Some(Size::from_mib(4 << 10)),
            cpus: Cpus::from_millis(500_000),
            disk: Some(Size::from_mib(500 << 10)),
        };
        let told = warnings(asked, HOST);
        assert_eq!(
            told,
            [
                "this machine has 2 GiB of memory: a limit of 4 GiB limits nothing",
                "this machine has 2 processors: a limit of 500 limits nothing",
                "the file system of the disks has 79 GiB free, less than the 500 GiB that this disk may take",
            ]
        );
    }

    #[test]
    fn what_it_has_and_what_is_not_known_is_not_warned_of() {
        let asked = Asked { memory: HOST.memory, cpus: Cpus::from_millis(2000), disk: HOST.disk_free };
        assert!(warnings(asked, HOST).is_empty());
        let all = Asked { memory: Some(Size::from_mib(1 << 30)), cpus: Cpus::from_millis(9000), disk: HOST.disk_free };
        assert!(warnings(all, Capacity::default()).is_empty() && warnings(Asked::default(), HOST).is_empty());
    }
}
