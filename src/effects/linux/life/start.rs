//! The steps of a start, and their undo.
//!
//! A start runs no other program than the supervisor itself, and what its steps leave each other is in memory: a daemon
//! that dies takes its connection to the supervisor along, and the supervisor undoes what it began.

use std::path::Path;

use super::observe::{STARTED_FILE, Started, identity, started};
use super::supervisor::{Supervisor, reap, shim_failure, with_words};
use crate::domain::effect::{Facts, Failure, RunSpecification};
use crate::effects::EffectContext;
use crate::effects::linux::failure::cannot;
use crate::effects::linux::host::{LinuxHost, lock};
use crate::effects::steps::StepName;
use crate::shim::client::{Client, prepare_runtime_directory};
use crate::shim::{protocol, record};
use crate::types::{ContainerId, ManagedFile, Timestamp};

/// Is a start under way: what its steps leave each other.
pub(in crate::effects::linux) struct Starting {
    /// When it began, for the record of how long it took.
    at: Timestamp,
    supervisor: Option<Supervisor>,
    /// The first process, held back.
    init: Option<protocol::ProcessIdentity>,
    /// What is not as it should be, though it starts.
    warnings: Vec<String>,
    /// Which files of its `/etc` were left as it has them.
    kept: Vec<ManagedFile>,
}

impl Starting {
    fn client(&self) -> Result<&Client, Failure> {
        let client = self.supervisor.as_ref().map(|supervisor| &supervisor.client);
        client.ok_or_else(|| Failure::transient("the supervisor is not connected"))
    }

    pub(in crate::effects::linux) fn init(&self) -> Result<protocol::ProcessIdentity, Failure> {
        self.init.clone().ok_or_else(|| Failure::transient("the container's namespaces are gone again"))
    }
}

impl LinuxHost {
    pub(in crate::effects::linux) fn start_step(
        &self,
        run: &RunSpecification,
        step: StepName,
        context: &EffectContext,
    ) -> Result<Facts, Failure> {
        let container = run.container;
        let directory = self.runtime_of(container);
        if step == "runtime-folder" {
            self.abandon(container);
        }
        // What this very start has made by now need not be looked at before each of its steps.
        let under_way = lock(&self.starting).contains_key(&container);
        if !under_way && let Some(facts) = started(&directory)? {
            return Ok(facts);
        }
        match step {
            "runtime-folder" => self.begin_runtime(run, &directory)?,
            "supervisor" => self.ensure_supervisor(container, &directory)?,
            "namespaces" => self.ensure_created(container, context)?,
            "link" => self.ensure_link(run, &directory)?,
            "init" => return self.release_init(container, &directory),
            _ => {}
        }
        Ok(Facts::None)
    }

    /// Clears what an earlier try left and writes the order for the supervisor.
    fn begin_runtime(&self, run: &RunSpecification, directory: &Path) -> Result<(), Failure> {
        let at = self.options.clock.now();
        if directory.exists() {
            self.ensure_stopped(run.container)?;
        }
        let (spec, warnings) = self.specification(run)?;
        prepare_runtime_directory(directory, &spec).map_err(cannot("prepare", directory.display()))?;
        lock(&self.starting)
            .insert(run.container, Starting { at, supervisor: None, init: None, warnings, kept: vec![] });
        Ok(())
    }

    fn ensure_supervisor(&self, container: ContainerId, directory: &Path) -> Result<(), Failure> {
        let supervisor = self.supervisor(directory)?;
        self.starting(container, |starting| {
            starting.supervisor = Some(supervisor);
            Ok(())
        })
    }

    fn ensure_created(&self, container: ContainerId, context: &EffectContext) -> Result<(), Failure> {
        self.starting(container, |starting| {
            let created = starting.client()?.create().map_err(shim_failure)?;
            starting.init = Some(created.init);
            let missing = self.finish_renewal(container, starting.client()?, &created.prepared, context)?;
            starting.kept = created.prepared.kept;
            if starting.kept.contains(&ManagedFile::Resolv) {
                starting.warnings.clear(); // they are of a resolver that it has not got
            }
            starting.warnings.extend([created.prepared.warnings, missing].concat());
            Ok(())
        })
    }

    fn release_init(&self, container: ContainerId, directory: &Path) -> Result<Facts, Failure> {
        let (init, at, warnings, kept) = self.starting(container, |starting| {
            starting.client()?.start().map_err(|error| with_words(shim_failure(error), directory))?;
            Ok((identity(&starting.init()?), starting.at, starting.warnings.clone(), starting.kept.clone()))
        })?;
        let took = self.options.clock.now().since(at);
        let started = Started { init: init.clone(), took, warnings: warnings.clone(), kept: kept.clone() };
        record::write(directory, STARTED_FILE, &started).map_err(cannot("write", directory.display()))?;
        let done = lock(&self.starting).remove(&container).and_then(|starting| starting.supervisor);
        self.watch(container, done.map(|supervisor| supervisor.child));
        self.ready.refill();
        Ok(Facts::Started { init, took, warnings, kept })
    }

    pub(in crate::effects::linux) fn undo_start(&self, container: ContainerId, step: StepName) -> Result<(), Failure> {
        self.abandon(container);
        match step {
            "link" => self.remove_link(container),
            "runtime-folder" => self.ensure_stopped(container),
            _ => Ok(()),
        }
    }

    /// Works on the start under way; other starts go on meanwhile.
    pub(in crate::effects::linux) fn starting<T>(
        &self,
        container: ContainerId,
        work: impl FnOnce(&mut Starting) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let taken = lock(&self.starting).remove(&container);
        let mut starting = taken.ok_or_else(|| Failure::transient("the supervisor is not connected"))?;
        let result = work(&mut starting);
        lock(&self.starting).insert(container, starting);
        result
    }

    /// Lets go of a start that is not gone on with: its supervisor undoes it.
    fn abandon(&self, container: ContainerId) {
        let left = lock(&self.starting).remove(&container);
        if let Some(Supervisor { client, child }) = left.and_then(|starting| starting.supervisor) {
            drop(client);
            reap(child);
            self.ready.refill();
        }
    }
}
