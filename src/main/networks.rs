//! Watches the networks: what somebody else removes of them is told, and so made again.
//!
//! The kernel tells when a link or a rule goes; what it does not tell, such as a bridge that was taken down, is found by a
//! look every minute. Only transitions are told: what could not be made again is tried again after a while that doubles.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth::actors::Registry;
use berth::domain::network;
use berth::effects::linux::LinuxHost;
use berth::projections::query::{Moment, Query};
use berth::projections::rows::{NetworkRow, ThingState};
use berth::sys::netlink::{Loss, News};
use berth::types::{Category, NetworkId, StreamName};
use tokio::sync::{mpsc, watch};

use super::start::tell;

/// How long the kernel's silence is believed.
const SILENCE: Duration = Duration::from_mins(1);
/// How long news are gathered before anybody looks: one flush is many messages, and our own changes come in pairs.
const GATHERING: Duration = Duration::from_millis(200);
/// The longest pause before what could not be made again is tried again.
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// Is what was told last of a network, and when it may be told again.
struct Told {
    missing: Vec<String>,
    again: Instant,
    pause: Duration,
}

/// Watches until the daemon ends.
pub(crate) async fn follow(
    registry: Arc<Registry>,
    query: Query,
    host: Arc<LinuxHost>,
    mut ending: watch::Receiver<bool>,
) {
    let (sender, mut losses) = mpsc::channel(1);
    std::thread::spawn(move || listen(&sender));
    let mut told = HashMap::new();
    loop {
        tokio::select! {
            loss = losses.recv() => match loss {
                Some(loss) => look(&registry, &query, &host, loss, &mut told).await,
                None => return,
            },
            _ = ending.wait_for(|ending| *ending) => return,
        }
    }
}

/// Waits for news at most so long, or, where the kernel tells none, just as long.
fn hear(news: Option<&News>, limit: Duration) -> Loss {
    let Some(news) = news else {
        std::thread::sleep(limit);
        return Loss::default();
    };
    news.wait(limit.max(GATHERING)).unwrap_or_else(|error| {
        tracing::warn!(%error, "what happens to networks was not heard");
        std::thread::sleep(GATHERING);
        Loss::default()
    })
}

/// Passes on what is lost, and a minute of silence as a loss of everything.
fn listen(sender: &mpsc::Sender<Loss>) {
    let news = match News::open() {
        Ok(news) => Some(news),
        Err(error) => {
            tracing::warn!(%error, "the kernel does not tell what happens to networks; they are looked at every minute");
            None
        }
    };
    let all = Loss { links: true, rules: true };
    let mut looked = Instant::now();
    loop {
        let left = SILENCE.saturating_sub(looked.elapsed());
        let heard = hear(news.as_ref(), left);
        let loss = if looked.elapsed() >= SILENCE { all } else { heard };
        if loss == Loss::default() {
            if sender.is_closed() {
                return;
            }
            continue;
        }
        std::thread::sleep(GATHERING);
        let more = news.as_ref().and_then(|news| news.wait(Duration::ZERO).ok()).unwrap_or_default();
        let loss = Loss { links: loss.links || more.links, rules: loss.rules || more.rules };
        if loss == all {
            looked = Instant::now();
        }
        if sender.blocking_send(loss).is_err() {
            return;
        }
    }
}

async fn look(
    registry: &Arc<Registry>,
    query: &Query,
    host: &Arc<LinuxHost>,
    loss: Loss,
    told: &mut HashMap<NetworkId, Told>,
) {
    let rows = query.networks(false, Moment::Now).unwrap_or_default();
    told.retain(|id, _| rows.iter().any(|row| row.id == *id));
    for row in rows.into_iter().filter(|row| row.state == ThingState::Ready && row.operation.is_none()) {
        let (seeing, seen) = (Arc::clone(host), row.clone());
        let look = move || seeing.missing_of_network(&seen.bridge, seen.subnet, loss.rules);
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(missing)) => report(registry, &row, missing, told).await,
            Ok(Err(failure)) => tracing::warn!(network = %row.name, %failure, "cannot look at the network"),
            Err(_) => return, // the runtime ends
        }
    }
}

async fn report(registry: &Arc<Registry>, row: &NetworkRow, missing: Vec<String>, told: &mut HashMap<NetworkId, Told>) {
    if missing.is_empty() {
        told.remove(&row.id);
        return;
    }
    let now = Instant::now();
    let pause = match told.get(&row.id) {
        Some(last) if last.missing == missing && now < last.again => return,
        Some(last) if last.missing == missing => (last.pause * 2).min(PAUSE_MAX),
        _ => SILENCE,
    };
    tracing::warn!(network = %row.name, missing = missing.join(", "), "somebody removed parts of the network");
    let stream = StreamName::new(Category::Network, row.id);
    let command = network::Command::ReportMissing { missing: missing.clone() };
    tell::<network::Network>(registry, &stream, command).await;
    told.insert(row.id, Told { missing, again: now + pause, pause });
}
