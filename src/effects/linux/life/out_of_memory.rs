//! Whom the kernel ended for want of memory, as it says in its own log.
//!
//! Its counters tell how many; its log, which is short and may lose lines, tells who. A name is what the process called itself:
//! nothing but a word for people follows from it.

use std::time::Duration;

use crate::events::ProcessIdentity;
use crate::sys::clock;
use crate::sys::kernel_log::{self, Record};
use crate::types::MemoryBound;

/// The most names that are told.
const NAMES_MAX: usize = 5;
/// Clock ticks in a second, as proc_pid_stat(5) counts the start of a process (`USER_HZ`).
const TICKS: u64 = 100;
/// The kernel's log and the start of a process go by clocks that differ by little, which grows: nobody corrects the one of
/// the log.
const SLACK: Duration = Duration::from_secs(2);
/// One second in so many.
const DRIFT: u32 = 10_000;
/// How the line begins that says that a process was ended, without its number (`__oom_kill_process` in mm/oom_kill.c).
const ENDED: [&str; 3] = ["Memory cgroup out of memory", "Out of memory", "Out of memory (oom_kill_allocating_task)"];

/// What stands in front of a line's parts.
const TASK_GROUP: &str = ",task_memcg=";
const BOUND_GROUP: &str = ",oom_memcg=";
const WHOLE_MACHINE: &str = ",global_oom";

/// Is what the log says of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::effects::linux) struct Found {
    /// The names of who was ended, each once, the last one last.
    pub(in crate::effects::linux) victims: Vec<String>,
    /// What the last one fell to.
    pub(in crate::effects::linux) bound: Option<MemoryBound>,
    /// Whether init was one of them; nothing if the log does not tell.
    pub(in crate::effects::linux) init_killed: Option<bool>,
}

/// Reads the log for the container with this control group, as the hierarchy of memory names it, and this init.
pub(in crate::effects::linux) fn find(group: &str, init: &ProcessIdentity) -> Found {
    // The log's clock stands still while the machine sleeps. When it slept is not known: what is older than all of that is
    // of another run.
    let uncertain = SLACK + clock::since_boot() / DRIFT + clock::slept();
    kernel_log::read().map_or_else(|_| Found::default(), |records| found(&records, group, init, uncertain))
}

fn found(records: &[Record], group: &str, init: &ProcessIdentity, uncertain: Duration) -> Found {
    let begun = Duration::from_secs(init.started / TICKS).saturating_sub(uncertain);
    let records = || records.iter().filter(|record| record.at >= begun).map(|record| record.text.as_str());
    let ours: Vec<Victim<'_>> = records().filter_map(victim).filter(|victim| victim.is_in(group)).collect();
    let ended = ENDED.map(|message| format!("{message}: Killed process {} (", init.pid));
    let init_killed = ours.iter().any(|victim| victim.pid == init.pid)
        || records().any(|text| ended.iter().any(|words| text.starts_with(words)));
    let mut victims: Vec<String> = Vec::new();
    for victim in ours.iter().rev() {
        if victims.len() < NAMES_MAX && !victims.iter().any(|known| known == victim.name) {
            victims.insert(0, victim.name.to_owned());
        }
    }
    Found {
        victims,
        bound: ours.last().and_then(|victim| victim.bound(group)),
        init_killed: (init_killed || !ours.is_empty()).then_some(init_killed),
    }
}

struct Victim<'a> {
    group: &'a str,
    name: &'a str,
    pid: u32,
    /// The group whose bound it was, or nothing for the whole machine.
    bound: Option<&'a str>,
}

impl Victim<'_> {
    /// Names of groups below a container's are its own choice: only the beginning of a path says whose it is.
    fn is_in(&self, group: &str) -> bool {
        is_or_below(self.group, group)
    }

    fn bound(&self, group: &str) -> Option<MemoryBound> {
        match self.bound {
            None => Some(MemoryBound::Machine),
            Some(bound) if bound == group => Some(MemoryBound::Own),
            Some(bound) if is_or_below(bound, group) => Some(MemoryBound::Inside),
            Some(bound) if is_or_below(group, bound.trim_end_matches('/')) => Some(MemoryBound::Around),
            Some(_) => None,
        }
    }
}

fn is_or_below(path: &str, group: &str) -> bool {
    path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Reads the line that sums a choice up (`dump_oom_victim` in the kernel's mm/oom_kill.c). Groups and processes are called
/// what a container likes: a line whose parts could be told apart in two ways says nothing.
fn victim(text: &str) -> Option<Victim<'_>> {
    let text = text.strip_prefix("oom-kill:constraint=")?;
    let count = |part: &str| text.matches(part).count();
    if count(TASK_GROUP) != 1 || count(BOUND_GROUP) + count(WHOLE_MACHINE) != 1 {
        return None;
    }
    let (before, after) = text.split_once(TASK_GROUP)?;
    let bound = before.split_once(BOUND_GROUP).map(|(_, bound)| bound);
    let (group, task) = after.split_once(",task=")?;
    let (name, numbers) = task.rsplit_once(",pid=")?;
    Some(Victim { group, name, pid: numbers.split(',').next()?.parse().ok()?, bound })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/system.slice/berth.service/berth-1a2b3c4d/c1";

    fn init() -> ProcessIdentity {
        ProcessIdentity { boot: "b".to_owned(), pid: 4711, started: 10_000 }
    }

    fn choice(constraint: &str, group: &str, name: &str, pid: u32) -> String {
        format!("oom-kill:constraint={constraint},task_memcg={group},task={name},pid={pid},uid=1")
    }

    fn limit(group: &str, name: &str, pid: u32) -> String {
        limit_of(GROUP, group, name, pid)
    }

    fn limit_of(bound: &str, group: &str, name: &str, pid: u32) -> String {
        let constraint = format!("CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg={bound}");
        choice(&constraint, group, name, pid)
    }

    fn found_in(lines: &[String]) -> Found {
        let record = |text: &String| Record { at: Duration::from_secs(200), text: text.clone() };
        found(&lines.iter().map(record).collect::<Vec<_>>(), GROUP, &init(), SLACK)
    }

    #[test]
    fn the_victims_of_this_container_alone_are_named() {
        let lines = [
            limit(GROUP, "php-fpm", 10),
            limit(&format!("{GROUP}1"), "other", 11),
            limit(&format!("{GROUP}/system.slice"), "a,pid=3", 12),
            limit(GROUP, "php-fpm", 13),
            "Memory cgroup out of memory: Killed process 13 (php-fpm) total-vm:9kB".to_owned(),
        ];
        let names = vec!["a,pid=3".to_owned(), "php-fpm".to_owned()];
        assert_eq!(found_in(&lines), Found { victims: names, bound: Some(MemoryBound::Own), init_killed: Some(false) });
    }

    #[test]
    fn an_init_that_was_ended_and_a_machine_without_memory_are_told() {
        let of_limit = [limit(GROUP, "sh", 4711), "Memory cgroup out of memory: Killed process 4711 (sh) t".to_owned()];
        assert_eq!(found_in(&of_limit).init_killed, Some(true));
        let machine = choice("CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom", GROUP, "sh", 4711);
        let of_machine = [machine, "Out of memory: Killed process 4711 (sh) total-vm:1kB".to_owned()];
        let found = found_in(&of_machine);
        assert_eq!((found.bound, found.init_killed), (Some(MemoryBound::Machine), Some(true)));
        // Its choice is told a moment before its end.
        assert_eq!(found_in(&[limit(GROUP, "sh", 4711)]).init_killed, Some(true));
    }

    #[test]
    fn it_is_told_whose_bound_it_was() {
        let inside = format!("{GROUP}/system.slice/web.service");
        for (bound, told) in [
            (GROUP, MemoryBound::Own),
            (&inside, MemoryBound::Inside),
            ("/system.slice/berth.service/berth-1a2b3c4d", MemoryBound::Around),
            ("/system.slice", MemoryBound::Around),
        ] {
            assert_eq!(found_in(&[limit_of(bound, &inside, "php", 10)]).bound, Some(told), "{bound}");
        }
    }

    #[test]
    fn names_that_a_container_chooses_say_nothing_of_another() {
        let other = "/system.slice/berth.service/berth-1a2b3c4d/c2";
        let groups = format!("{other}/x,task_memcg={GROUP},task=sh,pid=4711,uid=0");
        let lines = [
            limit(&format!("{other}{GROUP}"), "sh", 10),
            limit_of(&groups, &groups, "sh", 10),
            limit(&format!("{other}/: Killed process 4711 (out of memory"), "sh", 10),
            "Memory cgroup out of memory: Killed process 10 (: Killed process 4711 () total-vm:9kB".to_owned(),
        ];
        assert_eq!(found_in(&lines), Found::default());
    }

    #[test]
    fn what_the_log_does_not_say_stays_open() {
        assert_eq!(found_in(&[]), Found::default());
        // An earlier process had the same number.
        let early =
            Record { at: Duration::from_secs(50), text: "Out of memory: Killed process 4711 (sh) x".to_owned() };
        assert_eq!(found(std::slice::from_ref(&early), GROUP, &init(), SLACK).init_killed, None);
        // But if the machine slept meanwhile, it may be this one.
        assert_eq!(found(&[early], GROUP, &init(), Duration::from_mins(1)).init_killed, Some(true));
        assert!(victim("oom-kill:constraint=CONSTRAINT_NONE").is_none());
    }
}
