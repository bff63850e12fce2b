//! The crash laws: whatever goes wrong at whatever point of a plan, the end is the undisturbed one or a clean slate.
//!
//! The points are not listed by hand: each plan is run once undisturbed, and what it appended and what the host did for
//! it are its points. Then everything goes wrong once at each: the daemon dies before and after; it fails for good; it
//! fails and then works; the log refuses it; the log denies it; it is done twice. What a failure leads to, an undo, is
//! taken through the same. And whatever a plan asked of others is asked again when all of it is over: nothing follows.

use std::collections::BTreeMap;

use berth::domain::container::{Command, Container};
use berth::effects::sim::Fault;
use berth::effects::steps::steps_of;
use berth::events::Closing;
use berth::storage::{EventLog as _, PAGE};
use berth::types::{Category, Position, StreamName};

use crate::daemon::{Daemon, End, Faults, LogFault, Scene, in_system};
use crate::picture::{Picture, empty_text, world_text};
use crate::plans::{Plan, container, id};

const SUBJECT: &str = "subject";

/// Is everything two runs are compared by.
#[derive(Debug, Clone, PartialEq)]
struct Shot {
    subject: String,
    others: BTreeMap<StreamName, String>,
    world: String,
}

impl Shot {
    fn take(plan: Plan, daemon: &Daemon) -> Self {
        let picture = daemon.picture();
        let subject = plan.subject();
        let others = picture.texts(|stream| *stream != subject);
        // A stream that came back to where every stream begins tells nothing.
        let others = others.into_iter().filter(|(stream, text)| *text != empty_text(stream.category())).collect();
        let subject = picture.texts(|stream| *stream == subject).into_values().next().unwrap_or_default();
        Self { subject, others, world: world_text(&daemon.world()) }
    }

    /// Says where two differ.
    fn differs_from(&self, other: &Self) -> String {
        let streams = self.others.keys().chain(other.others.keys());
        let differing: Vec<_> =
            streams.filter(|stream| self.others.get(*stream) != other.others.get(*stream)).collect();
        let differing: Vec<_> =
            differing.iter().map(|stream| (stream, self.others.get(*stream), other.others.get(*stream))).collect();
        let subject = if self.subject == other.subject { "same" } else { "differs" };
        let world =
            if self.world == other.world { "same".to_owned() } else { format!("{}\n{}", self.world, other.world) };
        format!("subject {subject}\nothers {differing:#?}\nworld {world}")
    }
}

/// Is a plan with what it is measured by.
struct Trial {
    plan: Plan,
    prepared: Scene,
    before: Shot,
    undisturbed: Shot,
    appends: u64,
    steps: Vec<(String, &'static str)>,
    tried: usize,
}

/// Is what a disturbed run did.
struct Run {
    appends: u64,
    steps: Vec<(String, &'static str)>,
}

fn steps_performed(daemon: &Daemon) -> Vec<(String, &'static str)> {
    let mut steps = vec![];
    for effect in daemon.performed() {
        for step in steps_of(&effect) {
            let named = (effect.name().to_owned(), *step);
            if !steps.contains(&named) {
                steps.push(named);
            }
        }
    }
    steps
}

/// Counts what is recorded, but for news of the host, which come when they come.
fn facts(daemon: &Daemon) -> usize {
    let events = daemon.store.read_all(Position::default(), PAGE).unwrap();
    events.iter().filter(|event| event.kind != "ContainerReady").count()
}

impl Trial {
    async fn of(plan: Plan) -> Self {
        let prepared = Scene::new();
        let daemon = Daemon::start(&prepared, Faults::default());
        daemon.found().await;
        plan.prepare(&daemon).await;
        daemon.crash();
        let daemon = Daemon::restart(&prepared, Faults::default()).await;
        let before = Shot::take(plan, &daemon);
        daemon.crash();
        let scene = prepared.copy();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        assert_eq!(daemon.appends(), 0, "{plan:?}: a daemon that owes nothing records nothing at its start");
        plan.order(&daemon, SUBJECT).await.unwrap();
        assert_eq!(daemon.quiet().await, End::Quiet);
        let closed = daemon.picture().closed(SUBJECT).cloned();
        assert_eq!(closed, Some(Closing::Done), "{plan:?}\n{}", daemon.history());
        daemon.picture().agrees_with(&daemon.world());
        let (appends, steps) = (daemon.appends(), steps_performed(&daemon));
        let recorded = facts(&daemon);
        assert!(daemon.ask_again().await > 0, "{plan:?}: not even what it stands on asked anything");
        assert_eq!(daemon.quiet().await, End::Quiet);
        assert_eq!(facts(&daemon), recorded, "{plan:?}: an ask had effect twice\n{}", daemon.history());
        daemon.crash();
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        let undisturbed = Shot::take(plan, &daemon);
        daemon.crash();
        Self { plan, prepared, before, undisturbed, appends, steps, tried: 0 }
    }

    /// Runs the plan with these faults, kills what is left of the daemon, and judges what a healthy one makes of it.
    async fn check(&mut self, faults: Faults) -> Run {
        self.tried += 1;
        let scene = self.prepared.copy();
        let daemon = Daemon::start(&scene, faults.clone());
        let _ = self.plan.order(&daemon, SUBJECT).await;
        let end = daemon.quiet().await;
        let run = Run { appends: daemon.appends(), steps: steps_performed(&daemon) };
        let (faults_left, first) = (lasting(&faults), daemon.picture());
        daemon.crash();
        if end == End::Died && !faults_left.host.is_empty() {
            let daemon = Daemon::restart(&scene, faults_left).await;
            assert_eq!(daemon.quiet().await, End::Quiet);
            daemon.crash();
        }
        let daemon = Daemon::restart(&scene, Faults::default()).await;
        assert_eq!(daemon.quiet().await, End::Quiet);
        self.judge(&daemon, &faults, &first).await;
        daemon.crash();
        run
    }

    async fn judge(&self, daemon: &Daemon, faults: &Faults, first: &Picture) {
        let what = format!("{:?} under {faults:?}", self.plan);
        let picture = daemon.picture();
        let closing = picture.closed(SUBJECT).cloned();
        if let Some(Closing::Stuck { .. }) = closing {
            self.plan.unstick(daemon).await.unwrap_or_else(|error| panic!("{what}: {error}\n{}", daemon.history()));
            assert_eq!(daemon.quiet().await, End::Quiet);
        }
        if picture.is_anybody_stuck() {
            daemon.sweep().await;
        }
        if daemon.picture().is_stuck(id("copy")) {
            // What the restore had made could not be removed: whoever looks at it purges it.
            let purged = daemon.order::<Container>(&container("copy"), Command::Purge, "unstick").await;
            purged.unwrap_or_else(|error| panic!("{what}: {error}\n{}", daemon.history()));
            assert_eq!(daemon.quiet().await, End::Quiet);
        }
        let shot = Shot::take(self.plan, daemon);
        let story = || format!("{what}: {closing:?}\n{}", daemon.history());
        let as_asked = shot == self.undisturbed;
        let stuck = matches!(closing, Some(Closing::Stuck { .. }));
        let clean = self.is_clean(&shot);
        let gone = stuck && self.is_gone(&shot);
        // A restart or restore whose start fails, and whoever hangs on a stop that is stuck, leave the container stopped.
        let hung = matches!(&closing, Some(Closing::Failed { reason }) if reason.starts_with("stuck"));
        let partial = matches!(closing, Some(Closing::DoneWithExceptions { .. }));
        let half_way = self.plan == Plan::Restart || hung || (partial && self.plan.restores());
        let stopped = half_way && daemon.picture().running() == [id("bystander")];
        // A run that dies with its daemon is one failure among the runs of its batch.
        let batch = matches!(self.plan, Plan::RunBatch | Plan::FireSchedule);
        let gone = gone || stopped || (partial && batch);
        assert!(
            as_asked || clean || gone,
            "{}\nagainst undisturbed: {}\nagainst before: {}",
            story(),
            shot.differs_from(&self.undisturbed),
            shot.differs_from(&self.before)
        );
        assert!(daemon.picture().open().is_empty(), "{}", story());
        assert_eq!(daemon.dead_claims(), [], "{}", story());
        daemon.picture().agrees_with(&daemon.world());
        self.nobody_else_was_stopped(first, &daemon.picture(), &story());
        if faults.host.iter().all(|fault| !matches!(fault, Fault::Permanent { .. })) && first.closed(SUBJECT).is_some()
        {
            assert!(as_asked, "nothing failed for good, but: {}", story());
        }
    }

    /// Says whether all is as before, but for what tells of the attempt.
    fn is_clean(&self, shot: &Shot) -> bool {
        let others = |shot: &Shot| {
            let mut others = shot.others.clone();
            others.retain(|stream, _| !self.plan.has_child(stream));
            others
        };
        // What a failed creation left in the directory of a store stays.
        let world = shot.world == self.before.world || self.plan == Plan::CreateStore;
        world && others(shot) == others(&self.before)
    }

    /// Says whether nobody knows the subject any more.
    fn is_gone(&self, shot: &Shot) -> bool {
        let subject = self.plan.subject();
        !shot.world.contains(subject.key()) && shot.others.values().all(|text| !text.contains(subject.key()))
    }

    /// Compares inits by identity: a container that only lost its daemon runs on.
    fn nobody_else_was_stopped(&self, first: &Picture, last: &Picture, story: &str) {
        for running in first.running() {
            let ours = running == id("web");
            let stream = StreamName::new(Category::Container, running);
            let init = |picture: &Picture| picture.get::<Container>(&stream).and_then(|state| state.init().cloned());
            if !ours || !self.plan.ends_init() {
                assert_eq!(init(first), init(last), "a running container was stopped: {story}");
            }
        }
    }

    /// Takes the plan through everything.
    async fn everything(mut self) {
        for number in 1..=self.appends {
            let faults = [LogFault::DieBefore, LogFault::DieAfter, LogFault::Refuse, LogFault::Deny];
            let tried = if self.plan.is_made_of_others() { 2 } else { 4 };
            for fault in faults.into_iter().take(tried) {
                self.check(Faults { log: Some(fault(number)), ..Faults::default() }).await;
            }
        }
        self.check(Faults { twice: true, ..Faults::default() }).await;
        for (effect, step) in self.steps.clone() {
            for fault in passing(&effect, step) {
                self.check(Faults { host: vec![fault], ..Faults::default() }).await;
            }
            self.failing(permanent(&effect, step)).await;
        }
        println!("{:?}: {} appends, {} steps, {} points tried", self.plan, self.appends, self.steps.len(), self.tried);
    }

    /// Takes what a failure leads to through everything.
    async fn failing(&mut self, fault: Fault) {
        let run = self.check(Faults { host: vec![fault.clone()], ..Faults::default() }).await;
        self.check(Faults { host: vec![fault.clone()], twice: true, ..Faults::default() }).await;
        // Every step of an effect fails into the same way back: one of them is enough to die along it.
        let Fault::Permanent { effect, step } = &fault else { return };
        let last = self.steps.iter().rfind(|(name, _)| name == effect).is_none_or(|(_, name)| name == step);
        let deep = last && !self.plan.is_made_of_others();
        for number in (2..=run.appends).filter(|_| deep) {
            let log = Some(LogFault::DieAfter(number));
            self.check(Faults { host: vec![fault.clone()], log, ..Faults::default() }).await;
        }
        let undone = run.steps.into_iter().filter(|step| !self.steps.contains(step)).collect::<Vec<_>>();
        for (effect, step) in undone {
            for other in passing(&effect, step).into_iter().chain([permanent(&effect, step)]) {
                self.check(Faults { host: vec![fault.clone(), other], ..Faults::default() }).await;
            }
        }
    }
}

/// Returns the faults that a new daemon meets again.
fn lasting(faults: &Faults) -> Faults {
    let host = faults.host.iter().filter(|fault| matches!(fault, Fault::Permanent { .. })).cloned().collect();
    Faults { host, ..Faults::default() }
}

fn permanent(effect: &str, step: &'static str) -> Fault {
    Fault::Permanent { effect: effect.to_owned(), step }
}

fn passing(effect: &str, step: &'static str) -> Vec<Fault> {
    let effect = effect.to_owned();
    vec![
        Fault::Crash { effect: effect.clone(), step, after: false },
        Fault::Crash { effect: effect.clone(), step, after: true },
        Fault::Transient { effect, step, times: 2 },
    ]
}

macro_rules! laws {
    ($($name:ident: $($plan:ident),+;)+) => {$(
        #[test]
        fn $name() {
            $(in_system(async { Trial::of(Plan::$plan).await.everything().await });)+
        }
    )+};
}

laws! {
    a_create_ends_as_asked_or_leaves_nothing: Create;
    a_start_ends_as_asked_or_leaves_nothing_running: Start;
    a_stop_ends_as_asked: Stop, StopOfADeafInit, Kill;
    a_restart_ends_as_asked_or_stopped: Restart;
    a_pause_and_a_resume_end_as_asked_or_as_before: Pause, Resume;
    limits_end_as_asked_or_as_before: SetLimits, Grow;
    a_rename_ends_under_one_name: Rename;
    a_delete_an_undelete_and_a_purge_end_as_asked: Delete, Undelete, Purge;
    an_import_ends_sealed_or_leaves_nothing: ImportTemplate;
    a_verification_and_a_delete_of_a_template_end_as_asked: VerifyTemplate, DeleteTemplate;
    a_network_is_there_or_leaves_nothing: DefineNetwork, RestoreNetwork, DeleteNetwork;
    a_store_is_there_or_leaves_no_name: CreateStore;
    a_backup_is_whole_or_leaves_no_claim_and_nothing_frozen: BackupRunning, BackupPaused, BackupStopped;
    a_restore_puts_the_files_in_place_or_leaves_the_old: RestoreNew, RestoreInPlace, RestoreFiles;
    a_restore_is_confirmed_or_rolled_back_as_a_whole: ConfirmRestore, RollBack;
    maintenance_leaves_no_hold_and_no_pin: Defragment, UpdateCheck, Verify;
    a_batch_ends_when_its_last_run_has: RunBatch;
    a_schedule_fires_a_slot_once: CreateSchedule, FireSchedule, DeleteSchedule;
}
