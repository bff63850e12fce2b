//! One list in every form of output.

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::cli::screen::Buffer;
use crate::types::Timestamp;

#[derive(Deserialize)]
struct Pet {
    name: String,
    age: u8,
}

impl Tabular for Pet {
    const COLUMNS: &'static [Column] = &[Column::left("NAME"), Column::right("AGE")];

    fn cells(&self, _: Look) -> Vec<Cell> {
        vec![Cell::from(&self.name), Cell::from(self.age.to_string())]
    }
}

fn shown(format: Format, recorded: Option<Recorded>) -> String {
    let out = Buffer::default();
    let mut screen = Screen::of_buffers(out.clone(), Buffer::default());
    let document = json!({"schema": "berth.pet.list/v1", "items": [{"name": "rex\u{202e}", "age": 7, "new": true}]});
    let listing = Listing { document, recorded };
    let look = Look::at(Timestamp::from_micros(0));
    list::<Pet>(&mut screen, format, look, &listing, |rows| format!("{} pet", rows.len())).unwrap();
    out.text()
}

#[test]
fn a_table_ends_with_its_sum_and_with_what_it_is_when_the_daemon_is_down() {
    assert_eq!(shown(Format::Table, None), "NAME         AGE\nrex\\u{202e}    7\n1 pet\n");
    let text = shown(Format::Table, Some(Recorded::default()));
    assert!(text.ends_with("1 pet\nas recorded; daemon down\n"));
}

#[test]
fn json_keeps_every_field_and_says_that_the_daemon_is_down() {
    let text = shown(Format::Json, Some(Recorded { stopped_at: Some(Timestamp::from_micros(0)), last_event: None }));
    assert!(
        text.contains("\"new\": true") && text.contains("\"daemon\": \"down since 1970-01-01T00:00:00.000000Z\""),
        "{text}"
    );
    assert!(text.contains("rex\\u202e"), "{text}");
}

#[test]
fn the_other_forms_have_a_line_for_each_row() {
    assert_eq!(shown(Format::Jsonl, None), "{\"age\":7,\"name\":\"rex\\u202e\",\"new\":true}\n");
    assert_eq!(shown(Format::Csv, None), "name,age,new\nrex\u{202e},7,true\n");
    assert_eq!(shown(Format::Name, None), "rex\\u{202e}\n");
}

#[test]
fn a_path_is_named_as_it_is_shown_whatever_stands_beside_it() {
    let name = |path: Value| name_of(&json!({"path": path, "kind": "symlink", "target": "/x"}));
    assert_eq!(name(json!("/etc/caf\u{e9}")), "/etc/caf\u{e9}");
    assert_eq!(name(json!("/a\nb\\x2d")), "/a\\nb\\\\x2d");
    assert_eq!(name(json!({"text": "/caf\\xe9", "base64": "L2NhZuk="})), "/caf\\xe9");
    assert_eq!(name_of(&json!({"id": "o", "target": "container/x", "path": "/p"})), "o");
}

/// Renders a table of a kind of rows whose every value is as long as it gets.
fn rendered<T: Tabular>(room: usize) -> String {
    let number = |column: &Column| {
        if column.is_number() { "1023.9 / 1024.0 GiB" } else { "a rather long-winded value, in words" }
    };
    let row: Vec<Cell> = T::COLUMNS.iter().map(|column| Cell::from(number(column))).collect();
    table::render(T::COLUMNS, &[row], false, false, Some(room))
}

#[test]
fn no_list_is_wider_than_the_terminal() {
    use crate::api::resources::NextSlot;
    use crate::projections::rows;
    type Render = fn(usize) -> String;
    let lists: [(&str, Render); 13] = [
        ("containers", rendered::<rows::ContainerRow>),
        ("coverage", rendered::<rows::CoverageRow>),
        ("templates", rendered::<rows::TemplateRow>),
        ("networks", rendered::<rows::NetworkRow>),
        ("stores", rendered::<rows::StoreRow>),
        ("backups", rendered::<rows::BackupRow>),
        ("files", rendered::<crate::api::resources::BackupFile>),
        ("schedules", rendered::<rows::ScheduleRow>),
        ("slots", rendered::<NextSlot>),
        ("maintenance", rendered::<rows::MaintenanceRow>),
        ("operations", rendered::<rows::OperationRow>),
        ("events", rendered::<rows::EventRow>),
        ("pets", rendered::<Pet>),
    ];
    for (name, list) in lists {
        for room in [40, 80, 120] {
            let text = list(room);
            let widest = text.lines().map(display_width).max().unwrap_or(0);
            assert!(widest <= room, "{name} at {room}: {widest}\n{text}");
            assert!(room < 80 || text.lines().next().is_some_and(|titles| titles.contains("  ")), "{name}: {text}");
        }
    }
}
