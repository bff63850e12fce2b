//! Which operation may start while which runs on the same container: every pair is tried through `decide`, and the
//! table in `docs/operations.md` says what came of it.

use std::collections::BTreeMap;
use std::path::Path;

use berth::domain::container::{Command, Container};
use berth::domain::effect::{Action, Answer, Ask, Asked, Facts, Outcome, Report};
use berth::domain::{Aggregate, Given, Refusal};
use berth::events::{ContainerEvent, DomainEvent, Exit, HoldKind, InitKind, LimitChange, Mark, ProcessIdentity};
use berth::types::{Category, OperationId, Principal, RunId, Size, Span, StreamName, Timestamp};

use crate::plans::{GRAVE, configuration};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");

/// Is an operation on a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Create,
    Start,
    Stop,
    Restart,
    Pause,
    Resume,
    Set,
    Grow,
    Rename,
    Delete,
    Undelete,
    Purge,
    Backup,
    Restore,
    RollBack,
    Defragment,
    UpdateCheck,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Create,
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Pause,
        Self::Resume,
        Self::Set,
        Self::Grow,
        Self::Rename,
        Self::Delete,
        Self::Undelete,
        Self::Purge,
        Self::Backup,
        Self::Restore,
        Self::RollBack,
        Self::Defragment,
        Self::UpdateCheck,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Set => "set",
            Self::Grow => "grow",
            Self::Rename => "rename",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
            Self::Purge => "purge",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::RollBack => "roll-back",
            Self::Defragment => "defragment",
            Self::UpdateCheck => "update-check",
        }
    }

    /// Returns the command that begins it, or that its run asks first.
    fn command(self) -> Command {
        let patient = Span::from_secs(30);
        match self {
            Self::Create => crate::plans::create("web"),
            Self::Start => Command::Start { parent: None },
            Self::Stop => Command::Stop { grace: patient, parent: None },
            Self::Restart => Command::Restart { grace: patient },
            Self::Pause => Command::Pause,
            Self::Resume => Command::Resume,
            Self::Set => {
                let memory = Some(Some(Size::from_mib(64)));
                Command::ChangeLimits(LimitChange { memory, ..LimitChange::default() })
            }
            Self::Grow => {
                Command::ChangeLimits(LimitChange { disk: Some(Size::from_mib(8192)), ..LimitChange::default() })
            }
            Self::Rename => Command::Rename("shop".parse().unwrap()),
            Self::Delete => Command::Delete { grave: GRAVE },
            Self::Undelete => Command::Undelete { name: None, place: None },
            Self::Purge => Command::Purge,
            Self::Backup | Self::Defragment | Self::UpdateCheck => asked(Ask::Hold(HoldKind::Reading)),
            Self::Restore => asked(Ask::Hold(HoldKind::Writing)),
            Self::RollBack => asked(Ask::Hold(HoldKind::Exchanging)),
        }
    }

    /// Returns the states in which it can run.
    fn grounds(self) -> &'static [Ground] {
        use Ground::{Absent, Buried, Paused, Running, Stopped};
        match self {
            Self::Create => &[Absent],
            Self::Start | Self::Delete => &[Stopped],
            Self::Restart | Self::Stop => &[Running, Paused],
            Self::Pause => &[Running],
            Self::Resume => &[Paused],
            Self::Set => &[Running, Paused],
            Self::Grow
            | Self::Rename
            | Self::Backup
            | Self::Restore
            | Self::RollBack
            | Self::Defragment
            | Self::UpdateCheck => &[Stopped, Running, Paused],
            Self::Undelete | Self::Purge => &[Buried],
        }
    }
}

/// Is a state between operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    Absent,
    Stopped,
    Running,
    Paused,
    Buried,
}

fn given(operation: &str) -> Given {
    Given { operation: OperationId::derived(operation), at: Timestamp::from_micros(1_000_000) }
}

fn asked(ask: Ask) -> Command {
    let by = StreamName::new(Category::BackupJob, RunId::derived("run"));
    let (operation, at) = (OperationId::derived("run"), Timestamp::from_micros(1));
    Command::try_from(Asked { ask, by, operation, step: "test", at, principal: Principal::runtime() }).unwrap()
}

fn init() -> ProcessIdentity {
    ProcessIdentity { boot: "boot".to_owned(), pid: 7, started: 7 }
}

/// Is a container whose effects are answered as if all went well.
#[derive(Default, Clone)]
struct Walk {
    state: Container,
}

impl Walk {
    fn on(ground: Ground) -> Self {
        let mut walk = Self::default();
        let path: &[Kind] = match ground {
            Ground::Absent => &[],
            Ground::Stopped => &[Kind::Create],
            Ground::Running => &[Kind::Create, Kind::Start],
            Ground::Paused => &[Kind::Create, Kind::Start, Kind::Pause],
            Ground::Buried => &[Kind::Create, Kind::Delete],
        };
        for kind in path {
            walk.give(*kind, "before").unwrap();
            while walk.step() {}
        }
        walk
    }

    fn give(&mut self, kind: Kind, operation: &str) -> Result<Vec<ContainerEvent>, Refusal> {
        let events = self.state.decide(&kind.command(), given(operation)).map_err(Refusal::from)?;
        self.fold(&events, given(operation));
        Ok(events)
    }

    fn fold(&mut self, events: &[ContainerEvent], given: Given) {
        events.iter().for_each(|event| self.state.evolve(event, given));
    }

    /// Lets one effect come true; says whether there was one.
    fn step(&mut self) -> bool {
        let Some(owed) = self.state.next_effect() else { return false };
        if owed.step == "grave" {
            return false;
        }
        let outcome = match &owed.action {
            Action::Wake(_) => Outcome::Woken,
            Action::Ask(_, ask) => Outcome::Answered(answer(ask)),
            Action::Host(work) if work.name() == "ensure running" => {
                Outcome::Done(Facts::Started { init: init(), took: Span::default(), warnings: vec![], kept: vec![] })
            }
            Action::Host(work) if work.name() == "signal init" => {
                // The init ends by itself; nobody waits for the grace.
                let given = Given { operation: owed.operation, at: Timestamp::from_micros(2) };
                let exit = Command::ReportExit { init: init(), exit: Exit::PowerOff, hits: Box::default() };
                let events = self.state.decide(&exit, given).unwrap();
                self.fold(&events, given);
                return true;
            }
            Action::Host(_) => Outcome::Done(Facts::None),
        };
        let report = Command::Report(Report { operation: owed.operation, step: owed.step, attempt: 1, outcome });
        let given = Given { operation: owed.operation, at: Timestamp::from_micros(2) };
        let events = self.state.decide(&report, given).unwrap();
        self.fold(&events, given);
        !events.is_empty()
    }
}

fn answer(ask: &Ask) -> Answer {
    match ask {
        Ask::ClaimIdRange => Answer::IdRange { base: 1, count: 1 },
        Ask::ClaimTemplate => Answer::Template { digest: "d".to_owned(), init: Some(InitKind::Busybox) },
        Ask::LeaseAddress(_) => Answer::Lease(Box::new(berth::events::Lease {
            network: configuration("web").network.unwrap(),
            bridge: "b".to_owned(),
            subnet: "10.0.0.0/24".parse().unwrap(),
            address: "10.0.0.2".parse().unwrap(),
            gateway: "10.0.0.1".parse().unwrap(),
            mac: "02:00:00:00:00:01".parse().unwrap(),
        })),
        _ => Answer::Accepted,
    }
}

/// Says what becomes of an operation that starts while another is under way.
fn verdicts(starting: Kind, during: Kind) -> Vec<String> {
    let mut found = vec![];
    for ground in during.grounds() {
        let mut walk = Walk::on(*ground);
        walk.give(during, "during").unwrap();
        // Holds have no phases here: the run behind them has. Everything else is tried at each of its phases.
        for _ in 0..40 {
            found.push(verdict(&walk, starting));
            let open = walk.state.next_effect().is_some_and(|owed| owed.operation == OperationId::derived("during"));
            if !open || !walk.step() {
                break;
            }
            let over = walk.state.next_effect().is_none_or(|owed| owed.step == "grave");
            if over {
                break;
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn verdict(walk: &Walk, starting: Kind) -> String {
    match walk.state.decide(&starting.command(), given("starting")).map_err(Refusal::from) {
        Ok(events) if events.is_empty() => "already so".to_owned(),
        Ok(_) => "yes".to_owned(),
        Err(refusal) => refusal.code.trim_start_matches("container.").to_owned(),
    }
}

/// Boils the verdicts of all phases and states down to one cell.
fn cell(starting: Kind, during: Kind) -> String {
    let found = verdicts(starting, during);
    let waits = |code: &str| matches!(code, "busy" | "held" | "not-made");
    let others: Vec<_> =
        found.iter().filter(|verdict| *verdict != "yes").map(|verdict| format!("`{verdict}`")).collect();
    match found.iter().any(|verdict| verdict == "yes") {
        true if others.is_empty() => "allowed".to_owned(),
        true => format!("allowed, or {}", others.join(", ")),
        false if found.iter().any(|verdict| waits(verdict)) => format!("later: {}", others.join(", ")),
        false if found == ["already so"] => "already so".to_owned(),
        false => format!("refused: {}", others.join(", ")),
    }
}

fn document() -> String {
    let mut text = include_str!("operations.head.md").to_owned();
    let cells: BTreeMap<(Kind, Kind), String> = Kind::ALL
        .into_iter()
        .flat_map(|starting| Kind::ALL.into_iter().map(move |during| ((starting, during), cell(starting, during))))
        .collect();
    for during in Kind::ALL {
        text.push_str(&format!("\n## While {} runs\n\n| starting | |\n|---|---|\n", during.word()));
        let mut by_cell: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for starting in Kind::ALL {
            by_cell.entry(&cells[&(starting, during)]).or_default().push(starting.word());
        }
        for (verdict, starting) in by_cell {
            text.push_str(&format!("| {} | {verdict} |\n", starting.join(", ")));
        }
    }
    text
}

#[test]
fn the_table_of_operations_says_what_the_rules_do() {
    let made = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOCUMENT, &made).unwrap();
    }
    let written = std::fs::read_to_string(Path::new(DOCUMENT)).unwrap_or_default();
    assert!(
        written == made,
        "docs/operations.md is not what the rules do; run UPDATE_DOCS=1 cargo test --test runtime"
    );
}

#[test]
fn at_most_one_operation_is_open_on_a_container() {
    for starting in Kind::ALL {
        for during in Kind::ALL {
            for ground in during.grounds() {
                let mut walk = Walk::on(*ground);
                walk.give(during, "during").unwrap();
                // A rename goes on beside what overtakes it: that is one ask.
                let overtakes = during == Kind::Rename && matches!(starting, Kind::Stop | Kind::Delete);
                let opened = |events: &[ContainerEvent]| {
                    let calls_off = matches!(events.first(), Some(ContainerEvent::OperationCalledOff { .. }));
                    !calls_off && !overtakes && events.iter().any(|event| matches!(event.mark(), Mark::Opened { .. }))
                };
                let events = walk.state.decide(&starting.command(), given("starting")).unwrap_or_default();
                let busy =
                    walk.state.next_effect().is_some_and(|owed| owed.operation == OperationId::derived("during"));
                assert!(!(busy && opened(&events)), "{} opened while {} ran", starting.word(), during.word());
            }
        }
    }
}

#[test]
fn what_is_read_is_not_deleted_restored_or_grown_but_may_stop_and_start() {
    for reading in [Kind::Backup, Kind::Defragment, Kind::UpdateCheck] {
        for kept_out in [Kind::Delete, Kind::Restore, Kind::RollBack, Kind::Grow] {
            let found = verdicts(kept_out, reading);
            assert!(!found.contains(&"yes".to_owned()), "{} while {}: {found:?}", kept_out.word(), reading.word());
        }
        for let_in in [Kind::Start, Kind::Stop, Kind::Pause, Kind::Rename, Kind::Set] {
            let found = verdicts(let_in, reading);
            assert!(found.contains(&"yes".to_owned()), "{} while {}: {found:?}", let_in.word(), reading.word());
        }
    }
    for kept_out in [Kind::Start, Kind::Restart] {
        let (beside, still) = (verdicts(kept_out, Kind::Restore), verdicts(kept_out, Kind::RollBack));
        assert!(beside.contains(&"yes".to_owned()), "{} while restore: {beside:?}", kept_out.word());
        assert!(!still.contains(&"yes".to_owned()), "{} while roll-back: {still:?}", kept_out.word());
    }
    for writing in [Kind::Restore, Kind::RollBack] {
        for kept_out in [Kind::Delete, Kind::Backup, Kind::Restore, Kind::RollBack, Kind::Grow, Kind::Purge] {
            let found = verdicts(kept_out, writing);
            assert!(!found.contains(&"yes".to_owned()), "{} while {}: {found:?}", kept_out.word(), writing.word());
        }
    }
}
