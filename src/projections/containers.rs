//! Containers: what each is, since when, by whom and why, what it was given, who holds it, and what is under way.
//!
//! What it *is* (`rest`) and what is being *done* with it (`operation`) are folded apart; `state` is one word for both.

use crate::events::{ContainerEvent, DomainEvent, Envelope, Exit, Mark};
use crate::types::{Category, IdRange, Name, Size, Span, Timestamp};

use super::model::{self, Model, table};
use super::rows::{ContainerRow, ContainerState, HoldRow, LimitHits, OpenOperation};

/// Is the read model.
pub struct Containers;

impl Model for Containers {
    const NAME: &'static str = "containers";
    const VERSION: u32 = 8;
    const CATEGORY: Category = Category::Container;
    const TABLE: &'static str = table!("name TEXT" => "$.name", "state TEXT" => "$.state");
    const INDEXES: &'static str =
        "CREATE INDEX {table}_name ON {table} (name); CREATE INDEX {table}_state ON {table} (state)";
    type Row = ContainerRow;

    fn fold(_: &str, row: Option<ContainerRow>, event: &Envelope) -> Option<ContainerRow> {
        let Some(fact) = model::decoded::<ContainerEvent>(event) else { return row };
        let mut row = match row {
            Some(row) => row,
            None => begin(&fact, event)?,
        };
        let before = row.state;
        operation(&mut row, &fact, event);
        life(&mut row, &fact, event);
        hits(&mut row.hits, &fact, event);
        belongings(&mut row, &fact);
        holds(&mut row, &fact, event);
        row.state = row.operation.as_ref().and_then(|open| under_way(&open.verb)).unwrap_or(row.rest);
        if row.state != before || row.position == event.position {
            row.change = model::change(event, fact.sentence());
        }
        row.position = event.position;
        Some(row)
    }
}

fn begin(fact: &ContainerEvent, event: &Envelope) -> Option<ContainerRow> {
    let ContainerEvent::CreateRequested { id, name, configuration, .. } = fact else { return None };
    Some(ContainerRow {
        id: *id,
        name: name.clone(),
        former_names: vec![],
        state: ContainerState::Creating,
        rest: ContainerState::Creating,
        change: model::change(event, fact.sentence()),
        reason: None,
        configuration: configuration.clone(),
        template_digest: None,
        init_kind: None,
        ids: None,
        lease: None,
        init: None,
        started_at: None,
        hostname_now: None,
        ready: false,
        warnings: vec![],
        kept: vec![],
        restarts: 0,
        restarts_at: None,
        last_exit: None,
        hits: LimitHits::default(),
        holds: vec![],
        operation: None,
        deleted_until: None,
        deleted_at: None,
        deleted_position: None,
        restored_from: None,
        unconfirmed: vec![],
        created_at: event.recorded_at,
        created_by: event.context.principal.who.clone(),
        position: event.position,
        template_name: None,
        network_name: None,
        last_backup: None,
        usage: None,
    })
}

fn under_way(verb: &str) -> Option<ContainerState> {
    Some(match verb {
        "create" => ContainerState::Creating,
        "start" => ContainerState::Starting,
        "stop" => ContainerState::Stopping,
        "restart" => ContainerState::Restarting,
        "pause" => ContainerState::Pausing,
        "resume" => ContainerState::Resuming,
        "delete" => ContainerState::Deleting,
        "undelete" => ContainerState::Undeleting,
        "purge" => ContainerState::Purging,
        _ => return None,
    })
}

/// Opens, moves on and closes what is under way. An exit nobody asked for opens a stop by itself.
fn operation(row: &mut ContainerRow, fact: &ContainerEvent, event: &Envelope) {
    match (fact.mark(), fact) {
        (Mark::Opened { verb }, _) => row.operation = Some(opened(verb, event)),
        (Mark::Closed { .. }, _) if ends_beside(row, fact) => {}
        (Mark::Closed { .. }, _) => row.operation = None,
        (Mark::Phase { name }, _) => {
            if let Some(open) = &mut row.operation {
                open.phase = Some(name.to_owned());
            }
        }
        (Mark::Fact, ContainerEvent::InitExited { exit }) if row.operation.is_none() => {
            let again = row.configuration.restart.wants(*exit);
            row.operation = Some(opened(if again { "restart" } else { "stop" }, event));
        }
        (Mark::Done { .. } | Mark::Fact, _) => {}
    }
}

/// Says whether this ends a rename that something else has overtaken.
fn ends_beside(row: &ContainerRow, fact: &ContainerEvent) -> bool {
    let rename = matches!(fact, ContainerEvent::ContainerRenamed { .. } | ContainerEvent::RenameFailed { .. });
    rename && row.operation.as_ref().is_some_and(|open| open.verb != "rename")
}

fn opened(verb: &str, event: &Envelope) -> OpenOperation {
    OpenOperation { operation: event.context.operation, verb: verb.to_owned(), phase: None, since: event.recorded_at }
}

fn life(row: &mut ContainerRow, fact: &ContainerEvent, event: &Envelope) {
    match fact {
        ContainerEvent::ContainerCreated
        | ContainerEvent::StartFailed { .. }
        | ContainerEvent::ContainerStopped { .. }
        | ContainerEvent::ContainerInterrupted { .. } => halted(row),
        ContainerEvent::ContainerHalted { restarts, delay, .. } => {
            halted(row);
            row.restarts = *restarts;
            row.restarts_at = (*delay > Span::default()).then(|| event.recorded_at.after(*delay));
        }
        ContainerEvent::RestartDue => row.restarts_at = None,
        ContainerEvent::ContainerUndeleted => {
            bury(row, event, None);
            halted(row);
        }
        ContainerEvent::ContainerStarted { init, warnings, kept, .. } => {
            row.warnings.clone_from(warnings);
            row.kept.clone_from(kept);
            row.rest = ContainerState::Running;
            row.init = Some(init.clone());
            row.started_at = Some(event.recorded_at);
            row.hostname_now = Some(row.configuration.hostname.clone());
            row.ready = false;
        }
        ContainerEvent::ContainerReady => row.ready = true,
        ContainerEvent::SpacePauseRequested { left } => row.reason = Some(paused_because(row, *left)),
        ContainerEvent::PauseFailed { .. } => row.reason = None,
        ContainerEvent::ContainerPaused => row.rest = ContainerState::Paused,
        ContainerEvent::ContainerResumed => {
            row.rest = ContainerState::Running;
            row.reason = None;
        }
        ContainerEvent::ContainerBuried { until } => {
            row.rest = ContainerState::Deleted;
            bury(row, event, Some(*until));
        }
        // It lies there as long as at first, as the container's own rule has it.
        ContainerEvent::UndeleteFailed { .. } => {
            if let (Some(until), Some(since)) = (row.deleted_until, row.deleted_at) {
                bury(row, event, Some(event.recorded_at.after(until.since(since))));
            }
        }
        ContainerEvent::CreateUndone { reason } => {
            row.rest = ContainerState::Failed;
            row.reason = Some(reason.clone());
        }
        ContainerEvent::ContainerPurged => {
            row.rest = ContainerState::Purged;
            bury(row, event, None);
        }
        ContainerEvent::UndoStuck { reason } | ContainerEvent::PurgeStuck { reason } => {
            row.rest = ContainerState::Stuck;
            row.reason = Some(reason.clone());
        }
        _ => {}
    }
    match fact {
        ContainerEvent::InitExited { exit } => row.last_exit = Some(*exit),
        // A start that was called off has no exit, and an init that was waited for has told its own.
        ContainerEvent::ContainerStopped { exit, .. } if *exit != Exit::Unknown => row.last_exit = Some(*exit),
        _ => {}
    }
}

fn paused_because(row: &ContainerRow, left: Size) -> String {
    format!(
        "it stands still because only {left} were left on the host's file system that its disk lies on; it goes on by \
         itself once there is room, or now: berth container resume {}",
        row.name
    )
}

/// What was told of a run stays until the next one begins.
fn hits(hits: &mut LimitHits, fact: &ContainerEvent, event: &Envelope) {
    match fact {
        ContainerEvent::ContainerStarted { .. } => *hits = LimitHits::default(),
        ContainerEvent::ProcessesKilled { total, victims, .. } => {
            hits.kills = *total;
            hits.killed_at = Some(event.recorded_at);
            if !victims.is_empty() {
                hits.victims.clone_from(victims);
            }
        }
        ContainerEvent::ProcessesRefused { total, .. } => {
            (hits.refused, hits.refused_at) = (*total, Some(event.recorded_at));
        }
        ContainerEvent::DiskFilled { times, .. } => {
            (hits.filled, hits.filled_at, hits.disk_full) = (*times, Some(event.recorded_at), true);
        }
        ContainerEvent::DiskCleared => hits.disk_full = false,
        ContainerEvent::DiskFaulted { faults } => {
            (hits.disk_faults, hits.disk_faulted_at) = (*faults, Some(event.recorded_at));
        }
        _ => {}
    }
}

fn halted(row: &mut ContainerRow) {
    row.reason = None;
    row.rest = ContainerState::Stopped;
    row.init = None;
    (row.started_at, row.hostname_now) = (None, None);
    row.warnings.clear();
    row.kept.clear();
    row.ready = false;
    (row.restarts, row.restarts_at) = (0, None);
}

/// Says until when it lies in its grave from now on; nothing if it lies in none.
fn bury(row: &mut ContainerRow, event: &Envelope, until: Option<Timestamp>) {
    row.deleted_until = until;
    row.deleted_at = until.map(|_| event.recorded_at);
    row.deleted_position = until.map(|_| event.position);
}

fn belongings(row: &mut ContainerRow, fact: &ContainerEvent) {
    match fact {
        ContainerEvent::IdRangeClaimed { base, count } => row.ids = Some(IdRange { base: *base, count: *count }),
        ContainerEvent::IdRangeReleased => row.ids = None,
        ContainerEvent::TemplateClaimed { digest, init } => {
            row.template_digest = Some(digest.clone());
            row.init_kind = *init;
        }
        ContainerEvent::AddressClaimed(lease) => row.lease = Some(lease.clone()),
        ContainerEvent::AddressReleased => row.lease = None,
        ContainerEvent::DiskGrown { size } => row.configuration.limits.disk = *size,
        ContainerEvent::LimitsSet { limits } => row.configuration.limits = *limits,
        ContainerEvent::ContainerRenamed { name } | ContainerEvent::UndeleteRequested { name } => rename(row, name),
        ContainerEvent::UndeleteFailed { name, .. } if row.name != *name => {
            row.former_names.retain(|known| known != name); // it never bore the one that it was to have
            row.name = name.clone();
        }
        ContainerEvent::AutostartSet { autostart } => row.configuration.autostart = *autostart,
        ContainerEvent::RestartPolicySet { policy } => row.configuration.restart = *policy,
        ContainerEvent::HostNameSet { hostname } => row.configuration.hostname = hostname.clone(),
        ContainerEvent::NetworkSet { network, address } => {
            (row.configuration.network, row.configuration.address) = (*network, *address);
        }
        ContainerEvent::NestingSet { nesting } => row.configuration.nesting = *nesting,
        ContainerEvent::ManagedFilesSet { managed } => row.configuration.managed = managed.clone(),
        ContainerEvent::LabelSet { key, value } => {
            row.configuration.labels.insert(key.clone(), value.clone());
        }
        ContainerEvent::LabelRemoved { key } => {
            row.configuration.labels.remove(key);
        }
        _ => {}
    }
}

fn rename(row: &mut ContainerRow, name: &Name) {
    if row.name != *name {
        let former = std::mem::replace(&mut row.name, name.clone());
        row.former_names.retain(|known| *known != former && known != name);
        row.former_names.push(former);
    }
}

fn holds(row: &mut ContainerRow, fact: &ContainerEvent, event: &Envelope) {
    match fact {
        ContainerEvent::HoldPlaced { operation, kind } => {
            row.holds.retain(|hold| hold.operation != *operation);
            row.holds.push(HoldRow {
                operation: *operation,
                kind: *kind,
                since: event.recorded_at,
                by: event.context.principal.who.clone(),
            });
        }
        ContainerEvent::HoldReleased { operation } => row.holds.retain(|hold| hold.operation != *operation),
        _ => {}
    }
}
