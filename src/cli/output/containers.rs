//! How containers look.

use super::look::{nothing_of, used_of, why};
use super::{Cell, Column, Look, Tabular, Tone, tones};
use crate::projections::rows::{ContainerRow, CoverageRow, LimitHits};
use crate::types::{DiskFaults, Managed, RunId, Size, Timestamp};

/// The most containers that the line below a list names.
const NAMED_MAX: usize = 5;

impl Tabular for ContainerRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("STATE"),
        Column::left("ADDRESS").whole().spare(1),
        Column::right("MEMORY").spare(2),
        Column::right("DISK").spare(3),
        Column::left("BACKED UP").spare(4),
        Column::right("UP").spare(5),
        Column::left("TEMPLATE").wide(),
        Column::left("NETWORK").wide(),
        Column::right("CACHE").wide(),
        Column::right("CPUS").wide(),
        Column::right("PIDS").wide(),
        Column::left("LABELS").wide(),
        Column::left("ID").wide(),
        Column::left("BY").wide(),
        Column::left("NOTE").wide(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        let limits = &self.configuration.limits;
        let labels = self.configuration.labels.iter().map(|(key, value)| format!("{key}={value}"));
        vec![
            Cell::from(self.name.to_string()),
            tones::container(self.state),
            Cell::maybe(self.lease.as_ref().map(|lease| lease.address)),
            used_of(self.usage.and_then(|usage| usage.memory), limits.memory),
            used_of(self.usage.and_then(|usage| usage.disk), Some(limits.disk)),
            tones::ago_or_never(look, self.last_backup.as_ref().map(|backup| backup.taken_at)),
            Cell::maybe(self.started_at.map(|moment| look.lasted(moment))),
            Cell::maybe(self.template_name.as_ref()),
            Cell::maybe(self.network_name.as_ref()),
            Cell::maybe(self.usage.and_then(|usage| usage.memory_cache).map(Size::from_bytes)),
            Cell::maybe(limits.cpus),
            Cell::maybe(limits.pids),
            Cell::maybe(Some(labels.collect::<Vec<_>>().join(",")).filter(|text| !text.is_empty())),
            Cell::from(self.id.short()),
            Cell::from(&self.change.by),
            Cell::maybe(self.change.note.as_ref()),
        ]
    }
}

/// Returns the heading and the details of a container.
pub fn describe(row: &ContainerRow, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let heading = format!("{}  {} since {}  id {}", row.name, row.state, look.time(row.change.since), row.id);
    let mut pairs = vec![("why", Cell::from(why(&row.change))), ("template", Cell::maybe(row.template_name.as_ref()))];
    pairs.extend(row.reason.as_ref().map(|reason| ("reason", Cell::toned(reason, Tone::Bad))));
    pairs.extend(row.operation.as_ref().map(|open| {
        let phase = open.phase.as_deref().unwrap_or("begun");
        ("under way", Cell::toned(format!("{} ({phase}), operation {}", open.verb, open.operation), Tone::Warn))
    }));
    pairs.extend(row.unconfirmed.iter().flat_map(unconfirmed));
    pairs.extend(limits(row));
    pairs.extend(place(row));
    pairs.extend(life(row, look));
    (heading, pairs)
}

/// Says that a restore in place keeps the files of before, and what ends that.
fn unconfirmed(run: &RunId) -> [(&'static str, Cell); 2] {
    let run = run.short();
    let ways = format!("berth backup confirm {run}, or: berth backup roll-back {run}");
    [
        ("not confirmed", Cell::toned("a restore in place; the files of before are kept", Tone::Warn)),
        ("to end that", Cell::from(ways)),
    ]
}

fn limits(row: &ContainerRow) -> Vec<(&'static str, Cell)> {
    let limits = &row.configuration.limits;
    let usage = row.usage.unwrap_or_default();
    let pids = match (usage.pids, limits.pids) {
        (Some(used), Some(most)) => Some(format!("{used} / {most}")),
        (Some(used), None) => Some(used.to_string()),
        (None, most) => most.map(nothing_of),
    };
    vec![
        ("memory", used_of(usage.memory, limits.memory)),
        ("page cache", Cell::maybe(usage.memory_cache.map(Size::from_bytes))),
        ("cpus", Cell::maybe(limits.cpus)),
        ("processes", Cell::maybe(pids)),
        ("disk", used_of(usage.disk, Some(limits.disk))),
    ]
}

fn place(row: &ContainerRow) -> Vec<(&'static str, Cell)> {
    let configuration = &row.configuration;
    let address = row.lease.as_ref().map(|lease| lease.address.to_string());
    let on = row.network_name.as_ref().map_or(String::new(), |network| format!(" on {network}"));
    let mut pairs = vec![
        ("host name", Cell::from(host_name(row))),
        ("address", Cell::maybe(address.map(|address| address + &on))),
        ("autostart", Cell::from(if configuration.autostart { "yes" } else { "no" })),
        ("restart", Cell::from(configuration.restart.word())),
    ];
    pairs.extend(files(row));
    if configuration.privileged {
        pairs.push(("privileged", Cell::toned("yes: root inside is root outside", Tone::Warn)));
    }
    if configuration.nesting {
        pairs.push(("nesting", Cell::from("yes: every user inside may make user namespaces")));
    }
    if !configuration.labels.is_empty() {
        let labels = configuration.labels.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.push(("labels", Cell::from(labels.collect::<Vec<_>>().join(" "))));
    }
    pairs
}

/// Says what its host name is, and what it will be.
fn host_name(row: &ContainerRow) -> String {
    let wanted = &row.configuration.hostname;
    match row.hostname_now.as_ref().filter(|now| *now != wanted) {
        Some(now) => format!("{now} ({wanted} from the next start)"),
        None => wanted.to_string(),
    }
}

/// Says which files of `/etc` are not written from outside, and why.
fn files(row: &ContainerRow) -> Option<(&'static str, Cell)> {
    let managed = &row.configuration.managed;
    let kept: Vec<String> = row.kept.iter().map(|file| format!("/etc/{}", file.file())).collect();
    match managed {
        Managed::Only(_) => Some(("written at start", Cell::from(managed.to_string()))),
        Managed::UntilChanged if kept.is_empty() => None,
        Managed::UntilChanged => {
            Some(("kept", Cell::from(format!("{}: changed inside (--manage has them written again)", kept.join(", ")))))
        }
    }
}

fn life(row: &ContainerRow, look: Look) -> Vec<(&'static str, Cell)> {
    let mut pairs = Vec::new();
    pairs.extend(row.started_at.map(|moment| ("up", Cell::from(look.lasted(moment)))));
    pairs.extend(row.warnings.iter().map(|words| ("warning", Cell::toned(words, Tone::Warn))));
    pairs.extend(hits(&row.hits, look).into_iter().map(|(name, words)| (name, Cell::toned(words, Tone::Warn))));
    if let Some(exit) = row.last_exit.filter(|_| row.init.is_none()) {
        pairs.push(("ended", Cell::from(exit.words())));
    }
    if row.restarts > 0 {
        let next = row.restarts_at.map(|moment| format!(", next {}", look.ahead(moment))).unwrap_or_default();
        pairs.push(("restarted", Cell::toned(format!("{} in a row{next}", times(row.restarts)), Tone::Warn)));
    }
    let backup = row.last_backup.as_ref();
    pairs.push(match backup {
        Some(backup) => {
            let checked = if backup.verified_at.is_some() { "verified" } else { "not verified" };
            ("last backup", Cell::from(format!("{}  {}  {checked}", look.time(backup.taken_at), backup.backup.short())))
        }
        None => ("last backup", Cell::toned("never", Tone::Warn)),
    });
    pairs.extend(row.deleted_until.map(|moment| ("purged", Cell::toned(look.ahead(moment), Tone::Warn))));
    pairs.push(("created", Cell::from(format!("{} by {}", look.time(row.created_at), row.created_by))));
    pairs
}

/// Returns what its limits did in this run, or in the last one.
fn hits(hits: &LimitHits, look: Look) -> Vec<(&'static str, String)> {
    let ago = |at: Option<Timestamp>| at.map(|at| format!(", last {}", look.ago(at))).unwrap_or_default();
    let mut lines = Vec::new();
    if hits.kills > 0 {
        let names = if hits.victims.is_empty() { String::new() } else { format!(" ({})", hits.victims.join(", ")) };
        let processes = if hits.kills == 1 { "process" } else { "processes" };
        lines.push(("out of memory", format!("{} {processes} killed{}{names}", hits.kills, ago(hits.killed_at))));
    }
    if hits.refused > 0 {
        lines.push(("process limit", format!("reached {}{}", times(hits.refused), ago(hits.refused_at))));
    }
    if hits.filled > 0 {
        let now = if hits.disk_full { "full now" } else { "not full now" };
        lines.push(("disk full", format!("{now}, found so {}{}", times(hits.filled), ago(hits.filled_at))));
    }
    if hits.disk_faults != DiskFaults::default() {
        let (counts, last) = (hits.disk_faults.words(), ago(hits.disk_faulted_at));
        let mend = if hits.disk_faults.errors > 0 { "; how to mend it: berth doctor" } else { "" };
        let words = format!("{counts}{last}: what was written may be lost{mend}");
        lines.push(("disk damaged", words));
    }
    lines
}

fn times(count: impl Into<u64>) -> String {
    match count.into() {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

/// Returns the line below a list of containers.
pub fn summary(rows: &[ContainerRow]) -> String {
    use crate::projections::rows::ContainerState;
    let running = rows.iter().filter(|row| row.state == ContainerState::Running).count();
    let never = rows.iter().filter(|row| row.last_backup.is_none()).count();
    let look = match never {
        0 => String::new(),
        _ if never == rows.len() => " None has a backup.".to_owned(),
        1 => " 1 has no backup.".to_owned(),
        _ => format!(" {never} have no backup."),
    };
    let look = format!("{look}{}", at_their_limits(rows));
    match rows.len() {
        0 => "No containers.".to_owned(),
        1 => format!("1 container, {running} running.{look}"),
        count => format!("{count} containers, {running} running.{look}"),
    }
}

/// Names those that ran into a limit in this run, and which.
fn at_their_limits(rows: &[ContainerRow]) -> String {
    let named = |words: &str, fits: fn(&LimitHits) -> bool| {
        let names: Vec<&str> = rows.iter().filter(|row| fits(&row.hits)).map(|row| row.name.as_str()).collect();
        match names.len() {
            0 => String::new(),
            count if count > NAMED_MAX => {
                format!(" {words}: {} and {} more.", names[..NAMED_MAX].join(", "), count - NAMED_MAX)
            }
            _ => format!(" {words}: {}.", names.join(", ")),
        }
    };
    [
        named("Out of memory", |hits| hits.kills > 0),
        named("Process limit reached", |hits| hits.refused > 0),
        named("Disk full", |hits| hits.disk_full),
        named("Disk damaged", |hits| hits.disk_faults != DiskFaults::default()),
    ]
    .concat()
}

impl Tabular for CoverageRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("STATE").wide(),
        Column::left("LAST BACKUP"),
        Column::right("BACKUPS").spare(3),
        Column::left("STORE").wide(),
        Column::left("SCHEDULES").spare(2),
        Column::left("NEXT").whole().spare(1),
        Column::left("WARNINGS").prose(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        let schedules: Vec<String> = self.schedules.iter().map(ToString::to_string).collect();
        vec![
            Cell::from(self.name.to_string()),
            tones::container(self.state),
            tones::ago_or_never(look, self.last_backup.as_ref().map(|backup| backup.taken_at)),
            Cell::from(self.backups.to_string()),
            Cell::maybe(self.store_name.as_ref()),
            Cell::maybe(Some(schedules.join(",")).filter(|text| !text.is_empty())),
            Cell::maybe(self.next_run.map(|moment| look.time(moment))),
            if self.warnings.is_empty() {
                Cell::toned("none", Tone::Good)
            } else {
                Cell::lines(self.warnings.iter().map(|warning| warning.text.as_str()), Tone::Warn)
            },
        ]
    }
}
