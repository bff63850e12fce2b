//! The streams that others have claims on.

use super::{Moment, Query, QueryError};
use crate::projections::claims::Claims;
use crate::types::{Category, NodeId, StreamName};

/// The kinds of things with names.
const NAMED: [Category; 5] =
    [Category::Container, Category::Template, Category::Network, Category::Store, Category::Schedule];

impl Query {
    /// Lists the streams that may have claims of others, for the sweep at a start. There are few of all but containers and
    /// groups of backups: of these, those that are claimed.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn owners(&self, node: NodeId) -> Result<Vec<StreamName>, QueryError> {
        let mut owners: Vec<StreamName> = NAMED.map(|kind| StreamName::new(Category::Directory, kind)).into();
        owners.push(StreamName::new(Category::Node, node));
        let templates = self.templates(false, Moment::Now)?;
        owners.extend(templates.iter().map(|row| StreamName::new(Category::Template, row.id)));
        owners.extend(self.networks(false, Moment::Now)?.iter().map(|row| StreamName::new(Category::Network, row.id)));
        owners.extend(self.stores(false, Moment::Now)?.iter().map(|row| StreamName::new(Category::Store, row.id)));
        owners.extend(self.all::<Claims>(Moment::Now)?.into_iter().map(|row| row.stream));
        Ok(owners)
    }
}
