//! Sessions: lists, single ones, and those that nobody has closed.

use super::{Moment, Query, QueryError, Where};
use crate::projections::rows::SessionRow;
use crate::projections::sessions::Sessions;
use crate::types::ContainerId;

impl Query {
    /// Lists the sessions of a container, or all, newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn sessions(&self, container: Option<ContainerId>, moment: Moment) -> Result<Vec<SessionRow>, QueryError> {
        let mut rows = self.about::<Sessions>(container, moment, |row| row.container)?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.opened_at));
        Ok(rows)
    }

    /// Finds one session.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn session(&self, reference: &str, moment: Moment) -> Result<SessionRow, QueryError> {
        self.find_run::<Sessions>(reference, moment)
    }

    /// Returns the sessions that nobody has closed: after a boot, or when a supervisor is gone, they are over.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn open_sessions(&self) -> Result<Vec<SessionRow>, QueryError> {
        self.select::<Sessions>(&Where { sql: "closed_at IS NULL".to_owned(), values: vec![] })
    }
}
