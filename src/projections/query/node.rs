//! This machine.

use super::{Moment, Query, QueryError};
use crate::projections::node::Node;
use crate::projections::rows::NodeRow;

impl Query {
    /// Returns this machine.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn node(&self, moment: Moment) -> Result<Option<NodeRow>, QueryError> {
        Ok(self.all::<Node>(moment)?.pop())
    }
}
