//! Templates: lists and single ones.

use std::collections::BTreeSet;

use super::{Moment, Named as _, Query, QueryError, present};
use crate::projections::backups::Backups;
use crate::projections::containers::Containers;
use crate::projections::rows::{TemplateRow, ThingState};
use crate::projections::templates::Templates;
use crate::types::{ContainerId, TemplateId};

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
        if matches!(moment, Moment::Now) {
            row.needed_by = self.needed_by(&row)?;
        }
        Ok(row)
    }

    /// Finds a template that can be used: what is gone is not found.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn usable_template(&self, reference: &str) -> Result<TemplateRow, QueryError> {
        self.find_usable::<Templates>(reference)
    }

    /// Returns the template that a container of the same files can be made of today: this one, or else one of the same digest.
    /// If there is none, this one comes back as what it was.
    ///
    /// # Errors
    /// It was never there, or the log cannot be read.
    pub fn template_of_backup(&self, id: TemplateId) -> Result<Result<TemplateRow, TemplateRow>, QueryError> {
        let row = self.find::<Templates>(&id.to_string(), Moment::Now)?;
        if !row.is_gone() {
            return Ok(Ok(row));
        }
        let like = self.same_files(&row)?.into_iter().find(|other| other.state == ThingState::Ready);
        Ok(like.ok_or(row))
    }

    /// Returns the other templates, also those that are gone, of the same digest.
    fn same_files(&self, row: &TemplateRow) -> Result<Vec<TemplateRow>, QueryError> {
        let digest = |row: &TemplateRow| row.summary.as_ref().map(|summary| summary.digest.clone());
        let Some(own) = digest(row) else { return Ok(vec![]) };
        let all = self.all::<Templates>(Moment::Now)?.into_iter();
        Ok(all.filter(|other| other.id != row.id && digest(other).as_ref() == Some(&own)).collect())
    }

    /// Counts the backups of which no container could be made any more without this template.
    fn needed_by(&self, row: &TemplateRow) -> Result<u64, QueryError> {
        let like = self.same_files(row)?;
        if row.is_gone() || like.iter().any(|other| other.state == ThingState::Ready) {
            return Ok(0);
        }
        let templates: BTreeSet<TemplateId> = like.iter().map(|other| other.id).chain([row.id]).collect();
        let containers = self.all::<Containers>(Moment::Now)?.into_iter();
        let made: BTreeSet<ContainerId> =
            containers.filter(|made| templates.contains(&made.configuration.template)).map(|made| made.id).collect();
        let backups = self.all::<Backups>(Moment::Now)?;
        Ok(backups.iter().filter(|backup| backup.damage.is_none() && made.contains(&backup.container)).count() as u64)
    }
}
