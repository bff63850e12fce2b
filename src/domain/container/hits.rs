//! What follows when a container ran into its limits: facts about what was not told yet, and who ended its init.

use serde::{Deserialize, Serialize};

use super::{Container, Work};
use crate::domain::Given;
use crate::events::{ContainerEvent, Exit, ProcessIdentity};
use crate::types::{DiskFaults, Hits, MemoryBound, Size, Span, Timestamp};

/// How long after it told that processes were killed the end of a command counts as one of those kills.
const JUST_NOW: Span = Span::from_secs(10);

/// Is what the log has told of a container's run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    kills: u64,
    killed_at: Option<Timestamp>,
    refused: u64,
    filled: u64,
    is_full: bool,
    faults: DiskFaults,
}

impl Told {
    pub(super) fn evolve(&mut self, event: &ContainerEvent, given: Given) {
        match event {
            ContainerEvent::ContainerStarted { .. } => *self = Self::default(),
            ContainerEvent::ProcessesKilled { total, .. } => {
                (self.kills, self.killed_at) = (*total, Some(given.at));
            }
            ContainerEvent::ProcessesRefused { total, .. } => self.refused = *total,
            ContainerEvent::DiskFilled { times, .. } => (self.filled, self.is_full) = (*times, true),
            ContainerEvent::DiskCleared => self.is_full = false,
            ContainerEvent::DiskFaulted { faults } => self.faults = *faults,
            _ => {}
        }
    }
}

/// Says what a look at the counters adds to what was told. Counters of another run say nothing.
pub(super) fn report(state: &Container, init: &ProcessIdentity, hits: &Hits) -> Vec<ContainerEvent> {
    if state.init() == Some(init) && state.ended.is_none() { news(state, hits) } else { vec![] }
}

/// Says how a container ended, and first what its counters add.
pub(super) fn end(state: &Container, exit: Exit, hits: &Hits, given: Given) -> Vec<ContainerEvent> {
    let mut facts = news(state, hits);
    facts.push(ContainerEvent::InitExited { exit: judge(state, exit, hits, given) });
    facts
}

fn news(state: &Container, hits: &Hits) -> Vec<ContainerEvent> {
    let Some(record) = &state.record else { return vec![] };
    let (limits, told) = (record.configuration.limits, &state.told);
    let mut facts = Vec::new();
    if hits.kills > told.kills {
        let count = hits.kills - told.kills;
        let newest = hits.victims.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        facts.push(ContainerEvent::ProcessesKilled {
            count,
            total: hits.kills,
            victims: hits.victims[newest..].to_vec(),
            limit: own_limit(hits.bound, limits.memory),
            bound: hits.bound,
        });
    }
    if hits.refused > told.refused {
        let count = hits.refused - told.refused;
        facts.push(ContainerEvent::ProcessesRefused { count, total: hits.refused, limit: limits.pids });
    }
    match hits.is_full {
        Some(true) if !told.is_full => {
            facts.push(ContainerEvent::DiskFilled { size: limits.disk, times: told.filled + 1 });
        }
        Some(false) if told.is_full => facts.push(ContainerEvent::DiskCleared),
        _ => {}
    }
    let faults = hits.faults.filter(|faults| faults.exceed(told.faults));
    facts.extend(faults.map(|faults| ContainerEvent::DiskFaulted { faults }));
    facts
}

/// Returns the limit if it was what counted; where nobody says it was, it is what is most likely.
fn own_limit(bound: Option<MemoryBound>, limit: Option<Size>) -> Option<Size> {
    limit.filter(|_| matches!(bound, None | Some(MemoryBound::Own)))
}

/// Nothing inside can kill an init: it was the kernel for want of memory, Berth, or somebody outside.
fn judge(state: &Container, exit: Exit, hits: &Hits, given: Given) -> Exit {
    if !exit.is_kill() {
        return exit;
    }
    let is_init = matches!(exit, Exit::Signal(_));
    let by_log = hits.init_killed.filter(|_| is_init);
    let by_berth = state.open.as_ref().is_some_and(|open| match &open.work {
        Work::Stop(stopping) => stopping.is_kill(),
        _ => false,
    });
    let just_now = state.told.killed_at.is_some_and(|at| given.at.since(at) < JUST_NOW);
    let by_count = !by_berth && (hits.kills > state.told.kills || (!is_init && just_now));
    if by_log.unwrap_or(by_count) {
        let limit = state.record.as_ref().and_then(|record| record.configuration.limits.memory);
        return Exit::OutOfMemory { limit: own_limit(hits.bound, limit), bound: hits.bound };
    }
    match state.short_of_space {
        _ if by_berth => Exit::Killed,
        true => Exit::WroteOn,
        false => exit,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;
    use crate::domain::testing::{configuration, given};
    use crate::events::{KillReason, Limits};
    use crate::types::ContainerId;

    const LIMIT: Option<Size> = Some(Size::from_mib(256));

    fn init() -> ProcessIdentity {
        ProcessIdentity { boot: "boot-1".to_owned(), pid: 42, started: 7 }
    }

    fn started() -> ContainerEvent {
        ContainerEvent::ContainerStarted { init: init(), took: Span::from_micros(3000), warnings: vec![], kept: vec![] }
    }

    fn running() -> Vec<ContainerEvent> {
        let mut configuration = configuration();
        configuration.limits = Limits { memory: LIMIT, pids: Some(40), ..configuration.limits };
        let (id, name) = (ContainerId::derived("web1"), "web1".parse().expect("the name is well formed"));
        let requested = ContainerEvent::CreateRequested { id, name, configuration, parent: None };
        vec![requested, ContainerEvent::ContainerCreated, ContainerEvent::StartRequested { parent: None }, started()]
    }

    fn with(events: impl IntoIterator<Item = ContainerEvent>) -> Vec<ContainerEvent> {
        running().into_iter().chain(events).collect()
    }

    fn seen(hits: Hits) -> Command {
        Command::ReportHits { init: init(), hits: Box::new(hits) }
    }

    fn ended(exit: Exit, hits: Hits) -> Command {
        Command::ReportExit { init: init(), exit, hits: Box::new(hits) }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn killed(count: u64, total: u64, victims: &[&str]) -> ContainerEvent {
        ContainerEvent::ProcessesKilled { count, total, victims: names(victims), limit: LIMIT, bound: None }
    }

    #[test]
    fn it_should_tell_what_was_counted_since_it_was_told_last() {
        let looked = |kills, refused| {
            let victims = names(&["php", "tail", "dd"]);
            seen(Hits { kills, refused, victims, init_killed: Some(false), ..Hits::default() })
        };
        let refused = |count, total| ContainerEvent::ProcessesRefused { count, total, limit: Some(40) };
        given::<Container>(running()).when(looked(2, 9)).then([killed(2, 2, &["tail", "dd"]), refused(9, 9)]);
        let told = with([killed(2, 2, &["tail", "dd"]), refused(9, 9)]);
        given::<Container>(told.clone()).when(looked(2, 9)).then_nothing();
        given::<Container>(told.clone()).when(looked(3, 9)).then([killed(1, 3, &["dd"])]);
        // Groups inside that are gone take their counts along.
        given::<Container>(told.clone()).when(looked(2, 4)).then_nothing();
        // A new run begins to count anew.
        let again: Vec<_> = told.into_iter().chain([started()]).collect();
        given::<Container>(again).when(looked(1, 0)).then([killed(1, 1, &["dd"])]);
    }

    #[test]
    fn it_should_tell_a_full_disk_once_until_it_has_room_again() {
        let look = |is_full| seen(Hits { is_full, ..Hits::default() });
        let filled = |times| ContainerEvent::DiskFilled { size: Size::from_mib(1024), times };
        given::<Container>(running()).when(look(Some(true))).then([filled(1)]);
        given::<Container>(running()).when(look(Some(false))).then_nothing();
        given::<Container>(with([filled(1)])).when(look(Some(true))).then_nothing();
        given::<Container>(with([filled(1)])).when(look(None)).then_nothing();
        given::<Container>(with([filled(1)])).when(look(Some(false))).then([ContainerEvent::DiskCleared]);
        let twice = with([filled(1), ContainerEvent::DiskCleared]);
        given::<Container>(twice).when(look(Some(true))).then([filled(2)]);
    }

    #[test]
    fn it_should_tell_that_writes_to_its_disk_failed_whenever_more_did() {
        let of = |errors, warnings| DiskFaults { errors, warnings };
        let look = |faults| seen(Hits { faults, ..Hits::default() });
        let faulted = |faults| ContainerEvent::DiskFaulted { faults };
        given::<Container>(running()).when(look(Some(of(0, 0)))).then_nothing();
        given::<Container>(running()).when(look(Some(of(0, 23)))).then([faulted(of(0, 23))]);
        let told = with([faulted(of(0, 23))]);
        given::<Container>(told.clone()).when(look(Some(of(0, 23)))).then_nothing();
        given::<Container>(told.clone()).when(look(None)).then_nothing();
        given::<Container>(told.clone()).when(look(Some(of(1, 23)))).then([faulted(of(1, 23))]);
        // It stands in the file system until that is checked: a new run says it again.
        let again: Vec<_> = told.into_iter().chain([started()]).collect();
        given::<Container>(again).when(look(Some(of(1, 0)))).then([faulted(of(1, 0))]);
        let ended = Hits { faults: Some(of(2, 0)), ..Hits::default() };
        assert!(end_of(running(), Exit::Code(0), ended).contains(&faulted(of(2, 0))), "seen at its end");
    }

    #[test]
    fn it_should_take_no_note_of_counters_of_another_run() {
        let other = ProcessIdentity { pid: 43, ..init() };
        let hits = Box::new(Hits { kills: 1, ..Hits::default() });
        given::<Container>(running()).when(Command::ReportHits { init: other, hits: hits.clone() }).then_nothing();
        let gone = with([ContainerEvent::InitExited { exit: Exit::Code(0) }]);
        given::<Container>(gone).when(Command::ReportHits { init: init(), hits }).then_nothing();
    }

    #[test]
    fn it_should_say_who_ended_its_init() {
        let hits = |kills, init_killed| Hits { kills, init_killed, ..Hits::default() };
        let out_of_memory = Exit::OutOfMemory { limit: LIMIT, bound: None };
        for (exit, hits, told) in [
            (Exit::Signal(9), hits(1, Some(true)), out_of_memory),
            (Exit::Signal(9), hits(1, None), out_of_memory),
            (Exit::Signal(9), hits(1, Some(false)), Exit::Signal(9)),
            (Exit::Signal(9), hits(0, None), Exit::Signal(9)),
            (Exit::CommandSignal(9), hits(1, Some(false)), out_of_memory),
            (Exit::Code(137), hits(1, Some(false)), out_of_memory),
            (Exit::Code(137), hits(0, None), Exit::Code(137)),
            (Exit::CommandSignal(15), hits(1, Some(false)), Exit::CommandSignal(15)),
            (Exit::Signal(11), hits(1, None), Exit::Signal(11)),
        ] {
            let facts = end_of(running(), exit, hits);
            assert_eq!(facts.last(), Some(&ContainerEvent::InitExited { exit: told }), "{exit:?}");
        }
        for (bound, limit) in [(MemoryBound::Own, LIMIT), (MemoryBound::Around, None), (MemoryBound::Machine, None)] {
            let bound = Some(bound);
            let hits = Hits { kills: 1, init_killed: Some(true), bound, ..Hits::default() };
            let facts = end_of(running(), Exit::Signal(9), hits);
            let exit = Exit::OutOfMemory { limit, bound };
            assert_eq!(facts.last(), Some(&ContainerEvent::InitExited { exit }));
        }
    }

    #[test]
    fn it_should_say_that_berth_killed_it_when_its_time_was_over() {
        let deadline = Timestamp::from_micros(31_000_000);
        let stopping = with([ContainerEvent::StopRequested { deadline, grace: Span::from_secs(30), parent: None }]);
        let killing =
            stopping.iter().cloned().chain([ContainerEvent::GraceExpired { why: KillReason::Asked }]).collect();
        let exit = |facts: Vec<ContainerEvent>| facts.last().cloned();
        let kill = Exit::Signal(9);
        let by = |exit| Some(ContainerEvent::InitExited { exit });
        assert_eq!(exit(end_of(killing, kill, Hits { kills: 3, ..Hits::default() })), by(Exit::Killed));
        assert_eq!(exit(end_of(stopping, kill, Hits::default())), by(kill));
    }

    #[test]
    fn it_should_say_that_berth_killed_what_wrote_on_without_room() {
        let short = with([ContainerEvent::SpacePauseRequested { left: Size::from_mib(1) }]);
        for kill in [Exit::Signal(9), Exit::CommandSignal(9)] {
            let facts = end_of(short.clone(), kill, Hits::default());
            assert_eq!(facts.last(), Some(&ContainerEvent::InitExited { exit: Exit::WroteOn }));
        }
    }

    #[test]
    fn it_should_count_a_kill_that_was_told_a_moment_before_its_command_ended() {
        let at = |seconds: i64| Given {
            operation: crate::domain::testing::operation(),
            at: Timestamp::from_micros(seconds * 1_000_000),
        };
        let mut state = Container::default();
        for event in with([killed(1, 1, &["job"])]) {
            crate::domain::Aggregate::evolve(&mut state, &event, at(100));
        }
        let hits = Hits { kills: 1, ..Hits::default() };
        let told = |second| end(&state, Exit::CommandSignal(9), &hits, at(second)).pop();
        assert_eq!(
            told(101),
            Some(ContainerEvent::InitExited { exit: Exit::OutOfMemory { limit: LIMIT, bound: None } })
        );
        assert_eq!(told(200), Some(ContainerEvent::InitExited { exit: Exit::CommandSignal(9) }));
    }

    fn end_of(history: Vec<ContainerEvent>, exit: Exit, hits: Hits) -> Vec<ContainerEvent> {
        let mut state = Container::default();
        let given = Given { operation: crate::domain::testing::operation(), at: Timestamp::from_micros(0) };
        for event in &history {
            crate::domain::Aggregate::evolve(&mut state, event, given);
        }
        crate::domain::Aggregate::decide(&state, &ended(exit, hits), given).expect("an exit is never refused")
    }
}
