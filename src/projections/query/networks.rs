//! Networks: lists and single ones, with the names of those who have an address.

use super::{Moment, Query, QueryError, present};
use crate::projections::containers::Containers;
use crate::projections::networks::Networks;
use crate::projections::rows::NetworkRow;
use crate::types::NetworkId;

impl Query {
    /// Lists networks by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn networks(&self, all: bool, moment: Moment) -> Result<Vec<NetworkRow>, QueryError> {
        let mut rows = present(self.all::<Networks>(moment)?, all);
        self.join_networks(&mut rows, moment)?;
        Ok(rows)
    }

    /// Finds one network.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn network(&self, reference: &str, moment: Moment) -> Result<NetworkRow, QueryError> {
        let mut rows = vec![self.find::<Networks>(reference, moment)?];
        self.join_networks(&mut rows, moment)?;
        let mut row = rows.remove(0);
        self.join_note(&mut row.change)?;
        Ok(row)
    }

    /// Returns one network by its id, without what belongs to other things.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn network_by_id(&self, id: NetworkId) -> Result<Option<NetworkRow>, QueryError> {
        self.one::<Networks>(&id.to_string(), Moment::Now)
    }

    /// Finds a network that can be used: what is gone is not found.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn usable_network(&self, reference: &str) -> Result<NetworkRow, QueryError> {
        self.find_usable::<Networks>(reference)
    }

    fn join_networks(&self, rows: &mut [NetworkRow], moment: Moment) -> Result<(), QueryError> {
        if rows.iter().all(|row| row.leases.is_empty()) {
            return Ok(());
        }
        let names = self.names::<Containers>(moment)?;
        for lease in rows.iter_mut().flat_map(|row| &mut row.leases) {
            lease.container_name = lease.holder.strip_prefix("container/").and_then(|id| names.of(id));
        }
        Ok(())
    }
}
