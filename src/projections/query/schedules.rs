//! Schedules: lists and single ones, with the names of their stores.

use super::{Moment, Query, QueryError, present};
use crate::events::ScheduledAction;
use crate::projections::rows::{BatchRow, RunByHand, ScheduleRow, counted};
use crate::projections::schedules::Schedules;
use crate::projections::stores::Stores;
use crate::types::ScheduleId;

impl Query {
    /// Lists schedules by name.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn schedules(&self, all: bool, moment: Moment) -> Result<Vec<ScheduleRow>, QueryError> {
        let mut rows = present(self.all::<Schedules>(moment)?, all);
        self.join_schedules(&mut rows, moment)?;
        Ok(rows)
    }

    /// Finds one schedule.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn schedule(&self, reference: &str, moment: Moment) -> Result<ScheduleRow, QueryError> {
        let mut rows = vec![self.find::<Schedules>(reference, moment)?];
        self.join_schedules(&mut rows, moment)?;
        let mut row = rows.remove(0);
        self.join_note(&mut row.change)?;
        Ok(row)
    }

    /// Finds a schedule that can be used: what is gone is not found.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn usable_schedule(&self, reference: &str) -> Result<ScheduleRow, QueryError> {
        self.find_usable::<Schedules>(reference)
    }

    /// Returns one schedule by its id.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn schedule_by_id(&self, id: ScheduleId) -> Result<Option<ScheduleRow>, QueryError> {
        self.one::<Schedules>(&id.to_string(), Moment::Now)
    }

    fn join_schedules(&self, rows: &mut [ScheduleRow], moment: Moment) -> Result<(), QueryError> {
        let stores = self.names::<Stores>(moment)?;
        let by_hand = self.batches_by_hand(moment)?;
        for row in rows {
            let of_it = |batch: &&BatchRow| {
                batch.schedule.as_ref() == Some(&row.name) && batch.requested_at >= row.created_at // another had its name
            };
            row.by_hand = by_hand.iter().filter(of_it).max_by_key(|batch| batch.requested_at).map(run_by_hand);
            if let ScheduledAction::Backup { store, .. } = &row.definition.action {
                row.store_name = stores.of(store);
            }
        }
        Ok(())
    }
}

fn run_by_hand(batch: &BatchRow) -> RunByHand {
    RunByHand {
        requested_at: batch.requested_at,
        by: batch.by.clone(),
        operation: batch.operation,
        state: batch.state,
        reason: batch.reason.clone(),
        told: counted(batch.action.deed(), batch.members.iter().map(|member| member.state)),
        ended_at: batch.ended_at,
    }
}
