//! Templates: lists and single ones.

use super::{Moment, Query, QueryError, present};
use crate::projections::rows::TemplateRow;
use crate::projections::templates::Templates;

impl Query {
    /// Lists templates by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn templates(&self, all: bool, moment: Moment) -> Result<Vec<TemplateRow>, QueryError> {
        Ok(present(self.all::<Templates>(moment)?, all))
    }

    /// Finds one template.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn template(&self, reference: &str, moment: Moment) -> Result<TemplateRow, QueryError> {
        let mut row = self.find::<Templates>(reference, moment)?;
        self.join_note(&mut row.change)?;
        Ok(row)
    }

    /// Finds a template that can be used: what is gone is not found.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn usable_template(&self, reference: &str) -> Result<TemplateRow, QueryError> {
        self.find_usable::<Templates>(reference)
    }
}
