//! Comma-separated values (RFC 4180) of rows: the fields of the JSON document, raw bytes and RFC 3339 times included.
//!
//! A nested value is a JSON text in its cell. `name` and `id` come first, the rest by the alphabet.

use std::collections::BTreeSet;

use serde_json::Value;

/// Returns the header and a line for each row.
pub fn table(rows: &[Value]) -> String {
    let columns = columns(rows);
    let mut text = record(columns.iter().cloned());
    for row in rows {
        text.push_str(&record(columns.iter().map(|column| cell(row.get(column)))));
    }
    text
}

fn columns(rows: &[Value]) -> Vec<String> {
    let all: BTreeSet<&String> = rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).collect();
    let first = ["position", "name", "id"].into_iter().map(str::to_owned).filter(|name| all.contains(name));
    let mut columns: Vec<String> = first.collect();
    let rest: Vec<String> = all.into_iter().filter(|name| !columns.contains(name)).cloned().collect();
    columns.extend(rest);
    columns
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => super::json::line(other).trim_end().to_owned(),
    }
}

fn record(cells: impl Iterator<Item = String>) -> String {
    let mut text = cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(",");
    text.push('\n');
    text
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_has_a_header_and_quotes_what_needs_it() {
        let rows = [json!({"name": "a,b", "memory": 5, "labels": {"k": "v"}}), json!({"name": "c\"d", "id": "x"})];
        assert_eq!(table(&rows), "name,id,labels,memory\n\"a,b\",,\"{\"\"k\"\":\"\"v\"\"}\",5\n\"c\"\"d\",x,,\n");
    }
}
