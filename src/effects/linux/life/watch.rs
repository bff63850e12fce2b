//! Hears from supervisors when a container becomes ready or ends, or a session in it ends, and looks every few seconds whether it
//! ran into its limits: one thread each.

use std::path::Path;
use std::process::Child;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::hits::Watched;
use super::observe::{ended, identity, look_into, observation_of};
use super::supervisor::connect;
use crate::effects::linux::host::LinuxHost;
use crate::effects::{Change, Observation};
use crate::shim::client::Client;
use crate::shim::protocol::Event;
use crate::types::ContainerId;

/// How long one wait lasts at most; a supervisor that dies ends it at once.
const NEWS: Duration = Duration::from_hours(1);

/// How long a supervisor that does not answer is left alone.
const SILENCE: Duration = Duration::from_secs(5);

impl LinuxHost {
    /// Begins to listen to a supervisor, and reaps it if it is this daemon's child.
    pub(in crate::effects::linux) fn watch(&self, container: ContainerId, child: Option<Child>) {
        let changes = self.changes.clone();
        let directory = self.runtime_of(container);
        let spawned = std::thread::Builder::new().name("watch".to_owned()).stack_size(128 << 10).spawn(move || {
            listen(container, &directory, &changes);
            while directory.exists() {
                let observation = look_into(&directory);
                let goes_on = matches!(observation, Observation::Running { .. });
                if changes.send(Some(Change::Observed { container, observation })).is_err() || !goes_on {
                    break;
                }
                // Its supervisor was silent for long, and is heard again.
                std::thread::sleep(SILENCE);
                listen(container, &directory, &changes);
            }
            if let Some(mut child) = child {
                let _ = child.wait();
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%container, %error, "no thread to watch the supervisor");
        }
    }
}

fn listen(container: ContainerId, directory: &Path, changes: &Sender<Option<Change>>) {
    let Ok(events) = connect(directory).and_then(Client::subscribe) else { return };
    // What happened before: it may have become ready, or ended, by now. One that is silent is asked again in a while.
    let Ok(status) = connect(directory).and_then(|client| client.status()) else { return };
    let mut watched = status.init.as_ref().and_then(|init| Watched::find(container, directory, identity(init)));
    let observation = observation_of(directory, status);
    let is_news = matches!(observation, Observation::Running { ready: true, .. } | Observation::Exited { .. });
    if is_news && changes.send(Some(Change::Observed { container, observation })).is_err() {
        return;
    }
    loop {
        let change = watched.as_mut().and_then(|watched| watched.look(Instant::now()));
        if change.is_some_and(|change| changes.send(Some(change)).is_err()) {
            return;
        }
        let observation = match events.next(watched.as_ref().map_or(NEWS, Watched::pause)) {
            Ok(None) => continue,
            Ok(Some(Event::Ready)) => {
                let status = connect(directory).and_then(|client| client.status());
                let Ok(Some(init)) = status.map(|status| status.init) else { continue };
                Observation::Running { init: identity(&init), ready: true }
            }
            Ok(Some(Event::Exited(record))) => ended(directory, &record),
            Ok(Some(Event::LeaseExpired { .. })) => {
                tracing::warn!(%container, "a freeze ended by itself: its deadline passed, or who asked for it is gone");
                continue;
            }
            Ok(Some(Event::SessionEnded { name, code })) => {
                let Ok(session) = name.parse() else { continue };
                if changes.send(Some(Change::SessionEnded { session, code })).is_err() {
                    return;
                }
                continue;
            }
            Ok(Some(Event::CreationUndone)) => continue,
            Err(_) => return,
        };
        if changes.send(Some(Change::Observed { container, observation })).is_err() {
            return;
        }
    }
}
