//! Watches the networks: what somebody else removes of them is told, and so made again; what somebody else puts in their
//! way is told, and told when it is gone.
//!
//! The kernel tells when a link goes, when a rule, an address or a route comes or goes, and when forwarding is switched; what
//! it does not tell, such as a bridge that was taken down or a rule of the old iptables, is found by a look every minute.
//! Only transitions are told, and what is told of again and again is told ever more seldom: each thing for itself, since a
//! container can take away its own port as often as it likes, and the filters are not to wait for that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth::actors::Registry;
use berth::domain::{Failure, network};
use berth::effects::linux::LinuxHost;
use berth::projections::query::{Moment, Query};
use berth::projections::rows::{NetworkRow, ThingState};
use berth::sys::netlink::{Changes, News};
use berth::types::{Category, NetworkId, StreamName};
use tokio::sync::{mpsc, watch};

use super::start::tell;

/// How long the kernel's silence is believed.
const SILENCE: Duration = Duration::from_mins(1);
/// How long news are gathered before anybody looks: one flush is many messages, and our own changes come in pairs.
const GATHERING: Duration = Duration::from_millis(200);
/// The least time between two looks: a firewall that is loaded rule by rule, or another runtime that makes its own, is news
/// without end.
const REST: Duration = Duration::from_secs(1);
/// The part of the time that looks may take: where there are many networks or rules, each takes long.
const SHARE: u32 = 10;
/// The first and the longest pause before the same thing is told of again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// Is when a thing was told of last, and how long there is nothing more to be told of it.
struct Told {
    at: Instant,
    pause: Duration,
}

impl Told {
    /// Tells whether there was quiet for long enough to begin anew.
    fn is_past(&self, now: Instant) -> bool {
        now >= self.again() + self.pause * 2 + SILENCE
    }

    /// Says when more may be told.
    fn again(&self) -> Instant {
        self.at + self.pause
    }

    /// Tells now: the pause doubles, unless there was quiet for long enough.
    fn once_more(last: Option<&Self>, now: Instant) -> Self {
        let pause = match last {
            Some(last) if !last.is_past(now) => (last.pause * 2).min(PAUSES.1),
            _ => PAUSES.0,
        };
        Self { at: now, pause }
    }
}

/// Watches until the daemon ends.
pub(crate) async fn follow(
    registry: Arc<Registry>,
    query: Query,
    host: Arc<LinuxHost>,
    mut ending: watch::Receiver<bool>,
) {
    let (sender, mut news) = mpsc::channel(1);
    std::thread::spawn(move || listen(&sender));
    let mut watcher = Watcher { registry, query, host, told: Memory::default() };
    loop {
        let put_off = watcher.told.put_off;
        let changes = tokio::select! {
            changes = news.recv() => match changes {
                Some(changes) => changes,
                None => return,
            },
            () = until(put_off) => Changes::ALL,
            _ = ending.wait_for(|ending| *ending) => return,
        };
        let begun = Instant::now();
        watcher.look(changes).await;
        tokio::select! {
            () = tokio::time::sleep((begun.elapsed() * (SHARE - 1)).min(SILENCE)) => {}
            _ = ending.wait_for(|ending| *ending) => return,
        }
    }
}

/// Waits for a moment; without one, for ever.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for news at most so long, or, where the kernel tells none, just as long.
fn hear(news: Option<&News>, limit: Duration) -> Changes {
    let Some(news) = news else {
        std::thread::sleep(limit);
        return Changes::default();
    };
    news.wait(limit.max(GATHERING)).unwrap_or_else(|error| {
        tracing::warn!(%error, "what happens to networks was not heard");
        std::thread::sleep(GATHERING);
        Changes::default()
    })
}

/// Passes on what changed, and at first and after a minute of silence everything.
fn listen(sender: &mpsc::Sender<Changes>) {
    let news = match News::open() {
        Ok(news) => Some(news),
        Err(error) => {
            tracing::warn!(%error, "the kernel does not tell what happens to networks; they are looked at every minute");
            None
        }
    };
    // What happened while no daemon ran nobody told.
    if sender.blocking_send(Changes::ALL).is_err() {
        return;
    }
    let mut looked = Instant::now();
    loop {
        let heard = hear(news.as_ref(), SILENCE.saturating_sub(looked.elapsed()));
        let changes = if looked.elapsed() >= SILENCE { Changes::ALL } else { heard };
        if changes == Changes::default() {
            if sender.is_closed() {
                return;
            }
            continue;
        }
        std::thread::sleep(GATHERING);
        let more = news.as_ref().and_then(|news| news.wait(Duration::ZERO).ok()).unwrap_or_default();
        let changes = changes.and(more);
        if changes == Changes::ALL {
            looked = Instant::now();
        }
        if sender.blocking_send(changes).is_err() {
            return;
        }
        std::thread::sleep(REST);
    }
}

/// Is what a look found.
struct Seen {
    missing: Vec<String>,
    /// What stands in the network's way, if that was looked for.
    shortcomings: Option<Vec<String>>,
}

/// Is what was told of the networks, thing by thing.
#[derive(Default)]
struct Memory {
    told: HashMap<(NetworkId, String), Told>,
    /// When something is to be told that was found too early.
    put_off: Option<Instant>,
}

impl Memory {
    /// Forgets what has been quiet for so long that the next pause is the first again.
    fn forget(&mut self, now: Instant) {
        self.told.retain(|_, told| !told.is_past(now));
    }

    /// Tells whether a thing may be told of now, and remembers it as told; what may not be is put off.
    fn admit(&mut self, network: NetworkId, thing: &str, now: Instant) -> bool {
        let key = (network, thing.to_owned());
        let last = self.told.get(&key);
        if let Some(again) = last.map(Told::again).filter(|again| now < *again) {
            self.put_off = Some(self.put_off.map_or(again, |other| other.min(again)));
            return false;
        }
        let told = Told::once_more(last, now);
        self.told.insert(key, told);
        true
    }

    /// Decides what is told of a network: what is missing, since making it again also looks for shortcomings; else these.
    fn command(&mut self, id: NetworkId, known: &[String], seen: Seen, now: Instant) -> Option<network::Command> {
        let missing: Vec<String> = seen.missing.into_iter().filter(|thing| self.admit(id, thing, now)).collect();
        if !missing.is_empty() {
            return Some(network::Command::ReportMissing { missing });
        }
        let shortcomings = seen.shortcomings.filter(|found| *found != known)?;
        self.admit(id, SHORTCOMINGS, now).then_some(network::Command::ReportShortcomings { shortcomings })
    }
}

/// Stands for all shortcomings of a network together, which no missing thing is called.
const SHORTCOMINGS: &str = "";

struct Watcher {
    registry: Arc<Registry>,
    query: Query,
    host: Arc<LinuxHost>,
    told: Memory,
}

impl Watcher {
    async fn look(&mut self, changes: Changes) {
        if changes == Changes::ALL {
            self.told.put_off = None; // a lesser look may pass over what was put off
        }
        let query = self.query.clone();
        let rows = tokio::task::spawn_blocking(move || query.networks(false, Moment::Now)).await;
        let rows = rows.ok().and_then(Result::ok).unwrap_or_default();
        self.told.forget(Instant::now());
        for row in rows.into_iter().filter(|row| row.state == ThingState::Ready && row.operation.is_none()) {
            let (host, seen) = (Arc::clone(&self.host), row.clone());
            match tokio::task::spawn_blocking(move || see(&host, &seen, changes)).await {
                Ok(Ok(seen)) => self.report(&row, seen).await,
                Ok(Err(failure)) => tracing::warn!(network = %row.name, %failure, "cannot look at the network"),
                Err(_) => return, // the runtime ends
            }
        }
    }

    async fn report(&mut self, row: &NetworkRow, seen: Seen) {
        let Some(command) = self.told.command(row.id, &row.shortcomings, seen, Instant::now()) else { return };
        match &command {
            network::Command::ReportMissing { missing } => {
                tracing::warn!(network = %row.name, missing = missing.join(", "), "somebody removed parts of the network");
            }
            network::Command::ReportShortcomings { shortcomings } if shortcomings.is_empty() => {
                tracing::info!(network = %row.name, "nothing stands in the way of the network any more");
            }
            network::Command::ReportShortcomings { shortcomings } => {
                tracing::warn!(network = %row.name, found = shortcomings.join("; "), "something stands in the way");
            }
            _ => {}
        }
        tell::<network::Network>(&self.registry, &StreamName::new(Category::Network, row.id), command).await;
    }
}

/// Filters are looked at only when they, or the ways that packets take, may have changed: it takes a program.
fn see(host: &LinuxHost, row: &NetworkRow, changes: Changes) -> Result<Seen, Failure> {
    let missing = host.missing_of_network(row.id, &row.bridge, row.subnet, changes.rules)?;
    let asked = changes.rules || changes.ways;
    let shortcomings = asked.then(|| host.shortcomings_of_network(&row.bridge, row.subnet)).transpose()?;
    Ok(Seen { missing, shortcomings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use network::Command::{ReportMissing, ReportShortcomings};

    const PORT: &str = "the port v1";
    const TABLE: &str = "the filter table";

    fn seen(missing: &[&str], shortcomings: Option<&[&str]>) -> Seen {
        let words = |them: &[&str]| them.iter().map(ToString::to_string).collect();
        Seen { missing: words(missing), shortcomings: shortcomings.map(words) }
    }

    #[test]
    fn a_port_that_goes_again_and_again_does_not_hold_up_what_else_is_missing_or_in_the_way() {
        let (mut memory, network, now) = (Memory::default(), NetworkId::from_bytes([1; 16]), Instant::now());
        let only = |thing: &str| Some(ReportMissing { missing: vec![thing.to_owned()] });
        assert_eq!(memory.command(network, &[], seen(&[PORT], None), now), only(PORT));
        assert_eq!(memory.command(network, &[], seen(&[PORT], None), now), None);
        assert_eq!(memory.put_off, Some(now + PAUSES.0));
        assert_eq!(memory.command(network, &[], seen(&[PORT, TABLE], None), now), only(TABLE));
        let found = memory.command(network, &[], seen(&[PORT], Some(&["a firewall drops"])), now);
        assert_eq!(found, Some(ReportShortcomings { shortcomings: vec!["a firewall drops".to_owned()] }));
        assert_eq!(memory.command(network, &[], seen(&[PORT], None), now + PAUSES.0), only(PORT));
    }

    #[test]
    fn what_has_been_quiet_for_long_is_forgotten() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert!(memory.admit(NetworkId::from_bytes([1; 16]), PORT, now));
        memory.forget(now + PAUSES.0);
        assert_eq!(memory.told.len(), 1);
        memory.forget(now + PAUSES.0 * 3 + SILENCE);
        assert!(memory.told.is_empty());
    }

    #[test]
    fn news_without_end_are_told_ever_more_seldom_until_there_is_quiet() {
        let mut now = Instant::now();
        let mut told = Told::once_more(None, now);
        let mut pauses = vec![told.pause.as_secs()];
        for _ in 0..14 {
            now = told.again();
            told = Told::once_more(Some(&told), now);
            pauses.push(told.pause.as_secs());
        }
        assert_eq!(pauses[..5], [1, 2, 4, 8, 16]);
        assert_eq!(pauses.last(), Some(&3600));
        let quiet = told.again() + told.pause * 2 + SILENCE;
        assert_eq!(Told::once_more(Some(&told), quiet).pause, PAUSES.0);
    }
}
