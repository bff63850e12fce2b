//! What the log and the world tell, in a form that two runs can be compared by.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use berth::domain::backup_group::BackupGroup;
use berth::domain::backup_job::BackupJob;
use berth::domain::batch::Batch;
use berth::domain::clock::Clock;
use berth::domain::container::Container;
use berth::domain::directory::Directory;
use berth::domain::maintenance::Maintenance;
use berth::domain::network::Network;
use berth::domain::node::Node;
use berth::domain::restore_job::RestoreJob;
use berth::domain::schedule::Schedule;
use berth::domain::session::Session;
use berth::domain::store::Store;
use berth::domain::template::Template;
use berth::domain::{Action, Aggregate, Effect, Given};
use berth::effects::sim::World;
use berth::events::{self, Closing, DomainEvent, Envelope, Mark};
use berth::storage::EventLog;
use berth::types::{Category, ContainerId, OperationId, Position, StreamName};

/// Is the state of one stream, whatever its aggregate.
trait State {
    fn fold(&mut self, envelope: &Envelope) -> Option<Mark>;
    fn owes(&self) -> Option<Effect>;
    fn text(&self) -> String;
    fn any(&self) -> &dyn Any;
}

impl<A: Aggregate + Debug> State for A {
    fn fold(&mut self, envelope: &Envelope) -> Option<Mark> {
        let event = events::decode::<A::Event>(&envelope.kind, envelope.schema, &envelope.body).ok()?;
        self.evolve(&event, Given { operation: envelope.context.operation, at: envelope.recorded_at });
        Some(event.mark())
    }

    fn owes(&self) -> Option<Effect> {
        self.next_effect()
    }

    fn text(&self) -> String {
        timeless(&format!("{self:#?}"))
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

fn state_of(category: Category) -> Box<dyn State> {
    match category {
        Category::Node => Box::new(Node::default()),
        Category::Clock => Box::new(Clock::default()),
        Category::Directory => Box::new(Directory::default()),
        Category::Container => Box::new(Container::default()),
        Category::Session => Box::new(Session::default()),
        Category::Template => Box::new(Template::default()),
        Category::Network => Box::new(Network::default()),
        Category::Store => Box::new(Store::default()),
        Category::BackupGroup => Box::new(BackupGroup::default()),
        Category::BackupJob => Box::new(BackupJob::default()),
        Category::RestoreJob => Box::new(RestoreJob::default()),
        Category::Maintenance => Box::new(Maintenance::default()),
        Category::Batch => Box::new(Batch::default()),
        Category::Schedule => Box::new(Schedule::default()),
    }
}

/// Is every stream of a log, folded.
#[derive(Default)]
pub struct Picture {
    streams: BTreeMap<StreamName, Box<dyn State>>,
    open: BTreeMap<StreamName, OperationId>,
    stuck: BTreeSet<StreamName>,
    closed: BTreeMap<OperationId, Closing>,
    first: BTreeMap<OperationId, StreamName>,
    seen: Position,
}

impl Picture {
    /// Folds what came since.
    pub fn catch_up(&mut self, store: &dyn EventLog) {
        loop {
            let page = store.read_all(self.seen, 1_000).unwrap();
            let Some(last) = page.last() else { return };
            self.seen = last.position;
            page.iter().for_each(|envelope| self.fold(envelope));
        }
    }

    fn fold(&mut self, envelope: &Envelope) {
        let stream = &envelope.stream;
        let state = self.streams.entry(stream.clone()).or_insert_with(|| state_of(stream.category()));
        match state.fold(envelope) {
            Some(Mark::Opened { .. }) => {
                self.open.insert(stream.clone(), envelope.context.operation);
                self.first.entry(envelope.context.operation).or_insert_with(|| stream.clone());
            }
            Some(Mark::Closed { outcome }) => {
                self.open.remove(stream);
                match outcome {
                    Closing::Stuck { .. } => self.stuck.insert(stream.clone()),
                    _ => self.stuck.remove(stream),
                };
                // An operation may open on several streams; how it ended is said by the one that it began with.
                if self.first.get(&envelope.context.operation) == Some(stream) {
                    self.closed.insert(envelope.context.operation, outcome);
                }
            }
            _ => {}
        }
    }

    pub fn get<A: Aggregate + Debug>(&self, stream: &StreamName) -> Option<&A> {
        self.streams.get(stream)?.any().downcast_ref()
    }

    /// Returns every ask that was owed at any time, with who owed it.
    pub fn asks(store: &dyn EventLog) -> Vec<(StreamName, Effect)> {
        let (mut picture, mut asks) = (Self::default(), vec![]);
        for envelope in store.read_all(Position::default(), 100_000).unwrap() {
            picture.fold(&envelope);
            let owed = picture.streams.get(&envelope.stream).and_then(|state| state.owes());
            if let Some(effect @ Effect { action: Action::Ask(..), .. }) = owed {
                asks.push((envelope.stream, effect));
            }
        }
        asks
    }

    /// Returns what is owed by whom.
    pub fn owed(&self) -> Vec<(StreamName, Effect)> {
        self.streams.iter().filter_map(|(stream, state)| Some((stream.clone(), state.owes()?))).collect()
    }

    pub fn owing(&self) -> Vec<StreamName> {
        self.owed().into_iter().map(|(stream, _)| stream).collect()
    }

    /// Returns the operations that are under way.
    pub fn open(&self) -> BTreeSet<OperationId> {
        self.open.values().copied().collect()
    }

    /// Says whether the last operation of a container ended neither done nor undone.
    pub fn is_stuck(&self, container: ContainerId) -> bool {
        self.stuck.contains(&StreamName::new(Category::Container, container))
    }

    pub fn is_anybody_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    pub fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.streams.keys()
    }

    pub fn closed(&self, operation: &str) -> Option<&Closing> {
        self.closed.get(&OperationId::derived(operation))
    }

    /// Returns the containers that the log says are running or paused.
    pub fn running(&self) -> Vec<ContainerId> {
        let runs = |stream: &StreamName| self.get::<Container>(stream)?.init().and(stream.key().parse().ok());
        self.streams.keys().filter_map(runs).collect()
    }

    /// Returns the states of the streams that fit, without times and process numbers.
    pub fn texts(&self, fits: impl Fn(&StreamName) -> bool) -> BTreeMap<StreamName, String> {
        let fitting = self.streams.iter().filter(|(stream, _)| fits(stream));
        fitting.map(|(stream, state)| (stream.clone(), state.text())).collect()
    }

    /// Demands that log and world agree on what runs and what stands still.
    #[track_caller]
    pub fn agrees_with(&self, world: &World) {
        let containers = self.streams.keys().filter(|stream| stream.category() == Category::Container);
        for stream in containers {
            let id: ContainerId = stream.key().parse().unwrap();
            let init = self.get::<Container>(stream).and_then(Container::init);
            assert_eq!(init, world.inits.get(&id), "{stream}: log and world disagree on its init");
            let marks = world.marks.contains_key(&format!("running/{id}"));
            assert_eq!(init.is_some(), marks, "{stream}: something is left in the kernel, or missing");
            let limits = world.limits.contains_key(&id);
            assert_eq!(init.is_some(), limits, "{stream}: its control group is left, or has no limits");
        }
        assert!(world.frozen.is_empty(), "frozen: {:?}", world.frozen);
        assert!(world.exits.is_empty(), "nobody took note of {:?}", world.exits);
    }
}

/// Tells the world without process numbers and counters.
pub fn world_text(world: &World) -> String {
    let World { marks, inits, frozen, paused, exits, limits, disks, backups, files, .. } = world;
    let inits: Vec<_> = inits.keys().collect();
    let exits: Vec<_> = exits.keys().collect();
    format!(
        "marks {marks:#?}\ninits {inits:?}\nfrozen {frozen:?}\npaused {paused:?}\nexits {exits:?}\nlimits {limits:#?}\n\
         disks {disks:?}\nbackups {backups:?}\nfiles {files:#?}"
    )
}

/// Leaves out what differs between two runs of the same: moments, process numbers, operations.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let word = line.trim_start();
        let moment = word.as_bytes().iter().take(4).all(u8::is_ascii_digit) && word.contains('T') && word.contains('Z');
        let number = ["pid: ", "started: ", "since: ", "until: ", "deadline: ", "ready: ", "requested_at: "]
            .iter()
            .any(|field| word.starts_with(field));
        if moment || number { "…" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns what a stream of that kind tells before its first event.
pub fn empty_text(category: Category) -> String {
    state_of(category).text()
}
