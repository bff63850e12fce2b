//! Backup stores: lists and single ones, with what lies in them.

use std::collections::HashMap;

use super::{Moment, Query, QueryError, present};
use crate::projections::backups::Backups;
use crate::projections::model::Model;
use crate::projections::rows::StoreRow;
use crate::projections::stores::Stores;
use crate::storage::table_of;
use crate::types::Size;

impl Query {
    /// Lists stores by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn stores(&self, all: bool, moment: Moment) -> Result<Vec<StoreRow>, QueryError> {
        let mut rows = present(self.all::<Stores>(moment)?, all);
        self.join_stores(&mut rows, moment)?;
        Ok(rows)
    }

    /// Finds one store.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn store(&self, reference: &str, moment: Moment) -> Result<StoreRow, QueryError> {
        let mut rows = vec![self.find::<Stores>(reference, moment)?];
        self.join_stores(&mut rows, moment)?;
        let mut row = rows.remove(0);
        self.join_note(&mut row.change)?;
        Ok(row)
    }

    /// Finds a store that can be used: what is gone is not found.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn usable_store(&self, reference: &str) -> Result<StoreRow, QueryError> {
        self.find_usable::<Stores>(reference)
    }

    fn join_stores(&self, rows: &mut [StoreRow], moment: Moment) -> Result<(), QueryError> {
        let sums = self.stored(moment)?;
        for row in rows {
            let (count, bytes) = sums.get(&row.id.to_string()).copied().unwrap_or_default();
            (row.backups, row.stored) = (count, Size::from_bytes(bytes));
        }
        Ok(())
    }

    /// Counts the backups in each store, and the bytes that it grew by for them. The present is read from the index alone.
    fn stored(&self, moment: Moment) -> Result<HashMap<String, (u64, u64)>, QueryError> {
        if let Moment::At(_) = moment {
            let mut sums: HashMap<String, (u64, u64)> = HashMap::new();
            for backup in self.all::<Backups>(moment)? {
                let (count, bytes) = sums.entry(backup.store.to_string()).or_default();
                *count += 1;
                *bytes += backup.stored.as_bytes();
            }
            return Ok(sums);
        }
        let sql = format!("SELECT store, count(*), sum(stored) FROM {} GROUP BY store", table_of(Backups::NAME));
        let found = self.reader.query(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], |row| {
                let (count, bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
                Ok((row.get(0)?, (count as u64, bytes as u64)))
            })?;
            rows.collect::<Result<_, _>>()
        })?;
        Ok(found)
    }
}
