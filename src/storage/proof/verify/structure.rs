//! What SQLite itself finds wrong with the file.

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use crate::storage::report::Finding;

/// How many lines of what is wrong with the file are asked for.
const FLAWS_TOLD: usize = 1_000;

/// Has SQLite compare every page and every index with what it stands for; what it tells is sorted by what mends it.
pub(super) fn structure(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    match told_by(connection, &format!("integrity_check({FLAWS_TOLD})")) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => table_by_table(connection),
        told => sorted(connection, &told?),
    }
}

/// Finds out which table or index keeps SQLite from comparing at all.
fn table_by_table(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rootpage")?;
    let tables = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut findings = Vec::new();
    for table in tables {
        let quoted = table.replace('"', "\"\"");
        let Err(error) = told_by(connection, &format!("integrity_check(\"{quoted}\")")) else { continue };
        findings.push(match read_past_indexes(connection, &quoted) {
            Ok(()) => Finding::Index { index: format!("of the table {table}"), reason: error.to_string() },
            Err(error) => Finding::Structure { reason: format!("{table}: {error}") },
        });
    }
    Ok(findings)
}

/// Reads every value of a table, without its indexes.
fn read_past_indexes(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\" NOT INDEXED"))?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        (0..columns).try_for_each(|column| row.get_ref(column).map(drop))?;
    }
    Ok(())
}

fn told_by(connection: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(&format!("PRAGMA {pragma}"))?.query_map([], |row| row.get(0))?.collect()
}

fn sorted(connection: &Connection, told: &[String]) -> rusqlite::Result<Vec<Finding>> {
    let lines = told.iter().flat_map(|told| told.lines()).filter(|line| *line != "ok" && !line.starts_with("***"));
    let mut findings: Vec<Finding> = Vec::new();
    for line in lines {
        let finding = flaw(line, index_of(connection, line)?);
        if !findings.iter().any(|found| found.is_of_the_index_of(&finding)) {
            findings.push(finding); // a damaged page makes a line for each of its rows: the first says enough
        }
    }
    Ok(findings)
}

fn flaw(line: &str, index: Option<String>) -> Finding {
    let reason = line.to_owned();
    match index {
        Some(index) => Finding::Index { index, reason },
        None => Finding::Structure { reason },
    }
}

/// Returns the index that a line of `PRAGMA integrity_check` is about; nothing if it is about something else.
fn index_of(connection: &Connection, line: &str) -> rusqlite::Result<Option<String>> {
    const NAMED: [&str; 5] = [
        " missing from index ",
        " values differ from index ",
        " of index ",
        "wrong # of entries in index ",
        "non-unique entry in index ",
    ];
    if let Some((_, index)) = NAMED.iter().find_map(|words| line.split_once(words)) {
        return Ok(Some(index.to_owned()));
    }
    let root = line.strip_prefix("Tree ").and_then(|rest| rest.split(' ').next()?.parse::<i64>().ok());
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' AND rootpage = ?1";
    connection.query_row(sql, [root], |row| row.get(0)).optional()
}
