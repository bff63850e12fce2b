//! Watches the networks: what somebody else removes of them is told, and so made again; what somebody else puts in their
//! way is told, and told when it is gone.
//!
//! The kernel tells when a link goes, when a rule, an address or a route comes or goes, and when forwarding is switched; what
//! it does not tell, such as a bridge that was taken down or a rule of the old iptables, is found by a look every minute.
//! Only transitions are told, and a network of which there is news again and again is told of ever more seldom.

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
/// The first and the longest pause before the same network is told of again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// Is when a network was told of last, and how long there is nothing more to be told of it.
struct Told {
    at: Instant,
    pause: Duration,
}

impl Told {
    /// Says when more may be told.
    fn again(&self) -> Instant {
        self.at + self.pause
    }

    /// Tells now: the pause doubles, unless there was quiet for long enough.
    fn once_more(last: Option<&Self>, now: Instant) -> Self {
        let pause = match last {
            Some(last) if now < last.again() + last.pause * 2 + SILENCE => (last.pause * 2).min(PAUSES.1),
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
    let mut watcher = Watcher { registry, query, host, told: HashMap::new(), put_off: None };
    loop {
        let put_off = watcher.put_off;
        tokio::select! {
            changes = news.recv() => match changes {
                Some(changes) => watcher.look(changes).await,
                None => return,
            },
            () = until(put_off) => watcher.look(Changes::ALL).await,
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
enum Seen {
    Missing(Vec<String>),
    /// All is there; what stands in its way, if that was looked for.
    Whole(Option<Vec<String>>),
}

struct Watcher {
    registry: Arc<Registry>,
    query: Query,
    host: Arc<LinuxHost>,
    told: HashMap<NetworkId, Told>,
    /// When something is to be told that was found too early.
    put_off: Option<Instant>,
}

impl Watcher {
    async fn look(&mut self, changes: Changes) {
        self.put_off = None;
        let rows = self.query.networks(false, Moment::Now).unwrap_or_default();
        self.told.retain(|id, _| rows.iter().any(|row| row.id == *id));
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
        let command = match seen {
            Seen::Missing(missing) => network::Command::ReportMissing { missing },
            Seen::Whole(Some(shortcomings)) if shortcomings != row.shortcomings => {
                network::Command::ReportShortcomings { shortcomings }
            }
            Seen::Whole(_) => return,
        };
        let now = Instant::now();
        let last = self.told.get(&row.id);
        if let Some(again) = last.map(Told::again).filter(|again| now < *again) {
            self.put_off = Some(self.put_off.map_or(again, |other| other.min(again)));
            return;
        }
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
        let told = Told::once_more(last, now);
        tell::<network::Network>(&self.registry, &StreamName::new(Category::Network, row.id), command).await;
        self.told.insert(row.id, told);
    }
}

/// Filters are looked at only when they, or the ways that packets take, may have changed: it takes a program.
fn see(host: &LinuxHost, row: &NetworkRow, changes: Changes) -> Result<Seen, Failure> {
    let missing = host.missing_of_network(row.id, &row.bridge, row.subnet, changes.rules)?;
    if !missing.is_empty() {
        return Ok(Seen::Missing(missing));
    }
    let asked = changes.rules || changes.ways;
    let shortcomings = asked.then(|| host.shortcomings_of_network(&row.bridge, row.subnet)).transpose()?;
    Ok(Seen::Whole(shortcomings))
}

#[cfg(test)]
mod tests {
    use super::*;

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
