//! Backup stores: lists and single ones, with what lies in them.

use std::collections::HashMap;

use super::{BackupFilter, Moment, Query, QueryError, present};
use crate::projections::rows::StoreRow;
use crate::projections::stores::Stores;
use crate::types::{Size, StoreId};

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
        Ok(rows.remove(0))
    }

    fn join_stores(&self, rows: &mut [StoreRow], moment: Moment) -> Result<(), QueryError> {
        let mut sums: HashMap<StoreId, (u64, u64)> = HashMap::new();
        for backup in self.backups(&BackupFilter::default(), moment)? {
            let sum = sums.entry(backup.store).or_default();
            *sum = (sum.0 + 1, sum.1 + backup.stored.as_bytes());
        }
        for row in rows {
            let (count, bytes) = sums.get(&row.id).copied().unwrap_or_default();
            (row.backups, row.stored) = (count, Size::from_bytes(bytes));
        }
        Ok(())
    }
}
