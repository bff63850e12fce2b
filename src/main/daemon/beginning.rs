//! What the daemon makes true before it changes anything, and what it watches from then on.

use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use berth::actors::{Registry, reconcile, recover};
use berth::effects::access::Access;
use berth::effects::linux::LinuxHost;
use berth::projections::query::Query;
use berth::storage::SqliteLog;
use tokio::sync::watch;

use super::super::{clock, neighbours, networks, space, start};
use super::{Refused, Setup};

/// How often it is looked whether a log that cannot be written can be.
const LOG_PAUSE: Duration = Duration::from_millis(500);

/// Is what has to be true before anything is changed, and what is watched from then on.
pub(super) struct Beginning {
    pub(super) setup: Arc<Setup>,
    pub(super) log: Arc<SqliteLog>,
    pub(super) registry: Arc<Registry>,
    pub(super) query: Query,
    pub(super) host: Arc<LinuxHost>,
    pub(super) can_start: bool,
    pub(super) ending: watch::Receiver<bool>,
    pub(super) round: space::Round,
    /// Says to whoever sweeps after the dead that this instance lives.
    pub(super) alive: Arc<OnceLock<fs::File>>,
}

impl Beginning {
    /// Makes what is shown true and goes on with what is open; says whether the node went down in between.
    pub(super) async fn all(&self) -> Result<bool, Refused> {
        let Self { setup, registry, query, host, can_start, ending, .. } = self;
        let rebooted = start::has_rebooted(query, setup);
        start::introduce(registry, setup).await;
        start::end_unknown(registry).await;
        self.hold_entry()?;
        clock::time_boot(registry).await;
        start::sweep(registry, query).await?;
        start::finish_redactions(&self.log, registry, ending.clone()).await;
        start::forget_commands(query, &**host);
        recover(registry, &query.owing_streams()?);
        let access: Arc<dyn Access> = Arc::<LinuxHost>::clone(host);
        start::settle(registry, query, &access).await?;
        start::default_network(registry, query, setup, *can_start).await;
        reconcile::follow(Arc::clone(registry));
        actix::spawn(networks::follow(Arc::clone(registry), query.clone(), Arc::clone(host), ending.clone()));
        actix::spawn(clock::follow(Arc::clone(registry), ending.clone()));
        let round = space::Round::clone(&self.round);
        actix::spawn(space::follow(Arc::clone(registry), query.clone(), access, round, ending.clone()));
        Ok(rebooted)
    }

    /// Goes without what has to be recorded first; what another daemon must know stands there from an earlier time, if at all.
    pub(super) fn put_off(&self) {
        if let Err(refused) = self.hold_entry() {
            tracing::warn!(reason = refused.reason, "others may take this daemon for dead");
        }
        let access: Arc<dyn Access> = Arc::<LinuxHost>::clone(&self.host);
        actix::spawn(space::let_go_of_held(self.query.clone(), access));
    }

    /// Says that this instance lives: without that its bridges and groups would pass for left ones; only root has any.
    fn hold_entry(&self) -> Result<(), Refused> {
        if berth::sys::process::effective_user() != 0 || self.alive.get().is_some() {
            return Ok(());
        }
        let held = neighbours::hold(&self.setup.identity.instance).map_err(|error| Refused {
            reason: format!("the register of daemons in /run/berth cannot be used: {error}"),
            hint: Some("make room in /run, or mount it writable, then start again".to_owned()),
            code: 1,
        })?;
        let _ = self.alive.set(held); // nobody else sets it
        Ok(())
    }

    pub(super) fn autostart(self, rebooted: bool) {
        if rebooted {
            actix::spawn(async move { start::autostart(&self.registry, &self.query).await });
        }
    }
}

/// Begins late, where the log could not be written when the daemon was started: until then it only answers questions.
pub(super) async fn begin_once_written(log: Arc<SqliteLog>, beginning: Beginning) {
    let mut ending = beginning.ending.clone();
    while log.read_only().is_some() {
        if tokio::time::timeout(LOG_PAUSE, ending.changed()).await.is_ok() {
            return;
        }
    }
    match beginning.all().await {
        Ok(rebooted) => {
            let _ = berth::sys::service::notify("STATUS=");
            beginning.autostart(rebooted);
        }
        Err(refused) => tracing::error!(reason = refused.reason, "the daemon cannot begin; start it anew"),
    }
}
