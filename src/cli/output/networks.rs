//! How networks look.

use super::look::why;
use super::{Cell, Column, Look, Tabular, Tone, tones};
use crate::projections::rows::NetworkRow;

impl Tabular for NetworkRow {
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("STATE"),
        Column::left("SUBNET").whole(),
        Column::left("GATEWAY").whole().spare(1),
        Column::right("LEASES"),
        Column::left("BRIDGE").wide(),
        Column::left("ID").wide(),
    ];

    fn cells(&self, _: Look) -> Vec<Cell> {
        vec![
            Cell::from(self.name.to_string()),
            tones::thing(self.state),
            Cell::from(self.subnet.to_string()),
            Cell::from(self.gateway.to_string()),
            Cell::from(self.leases.len().to_string()),
            Cell::from(&self.bridge),
            Cell::from(self.id.short()),
        ]
    }
}

/// Returns the heading and the details of a network, a line for each lease.
pub fn describe(row: &NetworkRow, look: Look) -> (String, Vec<(&'static str, Cell)>) {
    let heading = format!("{}  {} since {}  id {}", row.name, row.state, look.time(row.change.since), row.id);
    let mut pairs = vec![
        ("subnet", Cell::from(row.subnet.to_string())),
        ("gateway", Cell::from(row.gateway.to_string())),
        ("bridge", Cell::from(&row.bridge)),
    ];
    pairs.extend(row.reason.as_ref().map(|reason| ("reason", Cell::toned(reason, Tone::Bad))));
    let warning = |words: &String| ("warning", Cell::toned(words, Tone::Warn));
    pairs.extend(row.shortcomings.iter().map(warning));
    pairs.extend(row.leases.iter().map(|lease| {
        let holder = lease.container_name.as_ref().map_or_else(|| lease.holder.clone(), ToString::to_string);
        let since = look.time(lease.since);
        ("lease", Cell::from(format!("{}  {}  {holder}  since {since}", lease.address, lease.mac)))
    }));
    pairs.push(("last change", Cell::from(why(&row.change))));
    (heading, pairs)
}
