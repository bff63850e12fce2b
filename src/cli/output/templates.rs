//! How templates look.

use serde_json::Value;

use super::look::why;
use super::{Cell, Column, Look, Tabular, Tone, tones};
use crate::api::resources::TemplateSource;
use crate::events::{TakenOut, TemplateSummary};
use crate::projections::rows::TemplateRow;
use crate::types::counted;

/// What a template means that no system can boot from.
const NO_INIT: &str =
    "It has no init (/sbin/init is missing): its containers run one command, which is given when they are created.";

impl Tabular for TemplateRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("STATE"),
        Column::left("SYSTEM"),
        Column::right("SIZE"),
        Column::right("ENTRIES").wide(),
        Column::right("USERS").spare(1),
        Column::left("VERIFIED").spare(2),
        Column::left("SOURCE").wide(),
        Column::left("DIGEST").wide(),
        Column::left("ID").wide(),
    ];

    fn cells(&self, look: Look) -> Vec<Cell> {
        let summary = self.summary.as_ref();
        let verified = match &self.drift {
            Some(drift) => Cell::toned(format!("{} differ", counted(drift.count, "path", "paths")), Tone::Bad),
            None => Cell::maybe(self.verified_at.map(|moment| look.ago(moment))),
        };
        vec![
            Cell::from(self.name.to_string()),
            tones::thing(self.state),
            Cell::maybe(summary.and_then(|summary| summary.system.as_ref())),
            Cell::maybe(summary.map(|summary| summary.size)),
            Cell::maybe(summary.map(|summary| summary.entries)),
            Cell::from(self.users.len().to_string()),
            verified,
            Cell::from(source(&self.source)),
            Cell::maybe(summary.map(|summary| summary.digest.chars().take(12).collect::<String>())),
            Cell::from(self.id.short()),
        ]
    }
}

fn source(source: &TemplateSource) -> String {
    match source {
        TemplateSource::Directory { path } | TemplateSource::Archive { path } => path.clone(),
        TemplateSource::Host => "this host".to_owned(),
    }
}

fn paths_of(kind: &str, taken: &TakenOut) -> String {
    let more = match taken.count.saturating_sub(taken.paths.len() as u64) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{kind}: {}{more}", taken.paths.join(", "))
}

/// Says of a template that was just made what is not in it.
pub fn missing(row: &Value) -> Option<String> {
    let summary = summary(row)?;
    let taken_out = summary
        .taken_out_words()
        .map(|words| format!("Taken out, since no two machines may share it: {words}. Each container gets its own."));
    let no_init = summary.init.is_none().then(|| NO_INIT.to_owned());
    let lines: Vec<String> = taken_out.into_iter().chain(no_init).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Says whether a template that was just made has nothing that could be a container's first process.
pub fn has_no_init(row: &Value) -> bool {
    summary(row).is_some_and(|summary| summary.init.is_none())
}

fn summary(row: &Value) -> Option<TemplateSummary> {
    serde_json::from_value::<TemplateRow>(row.clone()).ok()?.summary
}

/// Says which backups need it to be restored as a container.
fn needed_by(row: &TemplateRow) -> String {
    format!("{} to be restored as a container", counted(row.needed_by, "backup", "backups"))
}

/// Says what its removal takes from backups, if any needs it, and what is left to do with them.
pub fn needed(row: &TemplateRow) -> Option<String> {
    let verb = if row.needed_by == 1 { "needs" } else { "need" };
    let ways = "Without it they are restored with --into DIR, or as containers once a template of the same digest is made again";
    (row.needed_by > 0).then(|| {
        let (backups, digest) =
            (counted(row.needed_by, "backup", "backups"), row.summary.iter().map(|summary| &summary.digest));
        let digest: String = digest.flat_map(|digest| digest.chars().take(12)).collect();
        format!(
            "{backups} {verb} {} to be restored as a container. {ways} ({digest}, from {}).",
            row.name,
            source(&row.source)
        )
    })
}

/// Returns the heading and the details of a template.
pub fn describe(row: &TemplateRow, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let heading = format!("{}  {} since {}  id {}", row.name, row.state, look.time(row.change.since), row.id);
    let mut pairs = vec![("source", Cell::from(source(&row.source)))];
    if let Some(summary) = &row.summary {
        pairs.push(("system", Cell::maybe(summary.system.as_ref())));
        if summary.init.is_none() {
            pairs.push((
                "init",
                Cell::toned("none: its containers run the command that they are created with", Tone::Warn),
            ));
        }
        pairs.push((
            "size",
            Cell::from(format!("{} in {}", summary.size, counted(summary.entries, "entry", "entries"))),
        ));
        pairs.push(("digest", Cell::from(&summary.digest)));
    }
    let taken_out = row.summary.iter().flat_map(|summary| &summary.taken_out);
    pairs.extend(taken_out.map(|(kind, taken)| ("taken out", Cell::from(paths_of(kind, taken)))));
    pairs.extend(row.reason.as_ref().map(|reason| ("reason", Cell::toned(reason, Tone::Bad))));
    pairs.push(("users", Cell::from(row.users.len().to_string())));
    if row.needed_by > 0 {
        pairs.push(("needed by", Cell::from(needed_by(row))));
    }
    pairs.push(("verified", Cell::maybe(row.verified_at.map(|moment| look.time(moment)))));
    if let Some(drift) = &row.drift {
        let paths = drift.paths.join(", ");
        pairs.push((
            "drift",
            Cell::toned(format!("{} differ: {paths}", counted(drift.count, "path", "paths")), Tone::Bad),
        ));
    }
    pairs.push(("created", Cell::from(format!("{} by {}", look.time(row.created_at), row.created_by))));
    pairs.push(("last change", Cell::from(why(&row.change))));
    (heading, pairs)
}
