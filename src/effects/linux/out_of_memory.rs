//! Whom the kernel ended for want of memory, as it says in its own log.
//!
//! Its counters tell how many; its log, which is short and may lose lines, tells who. A name is what the process called itself:
//! nothing but a word for people follows from it.

use std::time::Duration;

use crate::events::ProcessIdentity;
use crate::sys::kernel_log::{self, Record};

/// The most names that are told.
const NAMES_MAX: usize = 5;
/// Clock ticks in a second, as proc_pid_stat(5) counts the start of a process (`USER_HZ`).
const TICKS: u64 = 100;
/// The kernel's log and the start of a process go by clocks that differ by little.
const SLACK: Duration = Duration::from_secs(2);

/// Is what the log says of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The names of who was ended, each once, the last one last.
    pub(super) victims: Vec<String>,
    /// Whether the last one fell to the want of the whole machine.
    pub(super) whole_machine: bool,
    /// Whether init was one of them; nothing if the log does not tell.
    pub(super) init_killed: Option<bool>,
}

/// Reads the log for the container with this control group and this init.
pub(super) fn find(group: &str, init: &ProcessIdentity) -> Found {
    kernel_log::read().map_or_else(|_| Found::default(), |records| found(&records, group, init))
}

fn found(records: &[Record], group: &str, init: &ProcessIdentity) -> Found {
    let begun = Duration::from_secs(init.started / TICKS).saturating_sub(SLACK);
    let records = || records.iter().filter(|record| record.at >= begun).map(|record| record.text.as_str());
    let ours: Vec<Victim<'_>> = records().filter_map(victim).filter(|victim| victim.is_in(group)).collect();
    let killed = format!(": Killed process {} (", init.pid);
    let init_killed = records().any(|text| text.contains(&killed) && text.to_lowercase().contains("out of memory"));
    let mut victims: Vec<String> = Vec::new();
    for victim in ours.iter().rev() {
        if victims.len() < NAMES_MAX && !victims.iter().any(|known| known == victim.name) {
            victims.insert(0, victim.name.to_owned());
        }
    }
    Found {
        victims,
        whole_machine: ours.last().is_some_and(|victim| victim.whole_machine),
        init_killed: (init_killed || !ours.is_empty()).then_some(init_killed),
    }
}

struct Victim<'a> {
    group: &'a str,
    name: &'a str,
    whole_machine: bool,
}

impl Victim<'_> {
    fn is_in(&self, group: &str) -> bool {
        format!("{}/", self.group).contains(&format!("/{group}/"))
    }
}

/// Reads the line that sums a choice up (`dump_oom_victim` in the kernel's mm/oom_kill.c).
fn victim(text: &str) -> Option<Victim<'_>> {
    let text = text.strip_prefix("oom-kill:constraint=")?;
    let (before, after) = text.split_once(",task_memcg=")?;
    let (group, task) = after.split_once(",task=")?;
    let (name, _) = task.rsplit_once(",pid=")?;
    Some(Victim { group, name, whole_machine: before.ends_with(",global_oom") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "berth-1a2b3c4d/c1";

    fn init() -> ProcessIdentity {
        ProcessIdentity { boot: "b".to_owned(), pid: 4711, started: 10_000 }
    }

    fn choice(constraint: &str, group: &str, name: &str, pid: u32) -> String {
        format!(
            "oom-kill:constraint={constraint},task_memcg=/system.slice/berth.service/{group},task={name},pid={pid},uid=1"
        )
    }

    fn limit(group: &str, name: &str, pid: u32) -> String {
        choice("CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/a", group, name, pid)
    }

    fn found_in(lines: &[String]) -> Found {
        let record = |text: &String| Record { at: Duration::from_secs(200), text: text.clone() };
        found(&lines.iter().map(record).collect::<Vec<_>>(), GROUP, &init())
    }

    #[test]
    fn the_victims_of_this_container_alone_are_named() {
        let lines = [
            limit(GROUP, "php-fpm", 10),
            limit("berth-1a2b3c4d/c11", "other", 11),
            limit("berth-1a2b3c4d/c1/system.slice", "a,pid=3", 12),
            limit(GROUP, "php-fpm", 13),
            "Memory cgroup out of memory: Killed process 13 (php-fpm) total-vm:9kB".to_owned(),
        ];
        let names = vec!["a,pid=3".to_owned(), "php-fpm".to_owned()];
        assert_eq!(found_in(&lines), Found { victims: names, whole_machine: false, init_killed: Some(false) });
    }

    #[test]
    fn an_init_that_was_ended_and_a_machine_without_memory_are_told() {
        let of_limit = [limit(GROUP, "sh", 4711), "Memory cgroup out of memory: Killed process 4711 (sh) t".to_owned()];
        assert_eq!(found_in(&of_limit).init_killed, Some(true));
        let machine = choice("CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom", GROUP, "sh", 4711);
        let of_machine = [machine, "Out of memory: Killed process 4711 (sh) total-vm:1kB".to_owned()];
        assert!(found_in(&of_machine).whole_machine && found_in(&of_machine).init_killed == Some(true));
    }

    #[test]
    fn what_the_log_does_not_say_stays_open() {
        assert_eq!(found_in(&[]), Found::default());
        // An earlier process had the same number.
        let early =
            Record { at: Duration::from_secs(50), text: "Out of memory: Killed process 4711 (sh) x".to_owned() };
        assert_eq!(found(&[early], GROUP, &init()).init_killed, None);
        assert!(victim("oom-kill:constraint=CONSTRAINT_NONE").is_none());
    }
}
