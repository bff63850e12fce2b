//! The clock, and times in the log: which event was the last at a time that the clock may have shown more than once.

use super::{Moment, Query, QueryError};
use crate::projections::clock::Clock;
use crate::projections::rows::{ClockRow, StepRow};
use crate::types::{Position, Timestamp};

/// Says what stands still while the clock is doubted, and the way out.
const DOUBTED: &str = "nothing is deleted or caught up until: berth node confirm-clock";

/// Is a part of the log in which the clock went on steadily.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    first: Position,
    last: Position,
    began: Timestamp,
    ended: Timestamp,
}

impl Epoch {
    fn knows(&self, moment: Timestamp) -> bool {
        self.began <= moment && moment <= self.ended
    }
}

impl Query {
    /// Returns the clock.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn clock(&self, moment: Moment) -> Result<ClockRow, QueryError> {
        Ok(self.all::<Clock>(moment)?.pop().unwrap_or_default())
    }

    /// Returns the last event recorded at or before a time, in the newest epoch that knows the time; nothing for a time that
    /// no epoch has reached yet.
    pub(super) fn position_at(&self, at: Timestamp, now: Timestamp) -> Result<Option<Position>, QueryError> {
        let epochs = self.epochs(now)?;
        let knowing = epochs.iter().rev().find(|epoch| epoch.knows(at));
        // Between two epochs, or before the first, it is the last event that was there already.
        let Some(epoch) = knowing.or_else(|| epochs.iter().rev().find(|epoch| epoch.ended < at)) else {
            return Ok(Some(Position::default()));
        };
        let is_ahead = knowing.is_none() && at > now;
        Ok(if is_ahead { None } else { Some(self.reader.position_at(at, epoch.first, epoch.last)?) })
    }

    /// Returns the last event recorded at or before a time, if the clock never stepped: then times are in the order of the
    /// log, and no event need be looked at.
    pub(super) fn position_within(&self, at: Timestamp) -> Result<Option<Position>, QueryError> {
        if !self.clock(Moment::Now)?.steps.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.reader.position_at(at, Position::new(1), self.reader.position()?)?))
    }

    /// Lists the epochs of the log, oldest first; the last one goes on until now.
    fn epochs(&self, now: Timestamp) -> Result<Vec<Epoch>, QueryError> {
        let steps = self.clock(Moment::Now)?.steps;
        let head = self.reader.position()?;
        let mut epochs = Vec::with_capacity(steps.len() + 1);
        let (mut first, mut began) = (Position::new(1), None);
        for StepRow { position, step } in &steps {
            let last = Position::new(position.get().saturating_sub(1));
            epochs.extend(self.epoch(first, last, began)?);
            (first, began) = (*position, Some(step.to));
        }
        let present = self.epoch(first, head, began)?;
        epochs.extend(present.map(|epoch| Epoch { ended: epoch.ended.max(now), ..epoch }));
        Ok(epochs)
    }

    fn epoch(&self, first: Position, last: Position, began: Option<Timestamp>) -> Result<Option<Epoch>, QueryError> {
        let time = |position| Ok::<_, QueryError>(self.event_at(position)?.map(|event| event.recorded_at));
        if last < first {
            return Ok(None);
        }
        let (Some(start), Some(ended)) = (time(first)?, time(last)?) else { return Ok(None) };
        Ok(Some(Epoch { first, last, began: began.unwrap_or(start), ended }))
    }

    /// Says what is to be known of the clock: at present whether it is doubted, of the past whether it showed that time
    /// more than once.
    pub(super) fn clock_in_words(&self, moment: Moment, time: Option<Timestamp>) -> Result<Option<String>, QueryError> {
        let clock = self.clock(Moment::Now)?;
        match (moment, clock.steps.last(), time) {
            (Moment::Now, Some(step), _) if clock.doubted => Ok(Some(doubt(step))),
            (Moment::At(position), Some(_), Some(time)) => self.shown_again(position, time),
            _ => Ok(None),
        }
    }

    fn shown_again(&self, position: Position, time: Timestamp) -> Result<Option<String>, QueryError> {
        let epochs = self.epochs(Timestamp::from_micros(i64::MIN))?;
        let others = epochs.iter().filter(|epoch| epoch.knows(time) && !(epoch.first..=epoch.last).contains(&position));
        let mut places = Vec::new();
        for epoch in others {
            places.push(self.reader.position_at(time, epoch.first, epoch.last)?.to_string());
        }
        let told = |places: &str| {
            format!(
                "the clock showed this time more than once; this is as of event {position}, it may also be {places}"
            )
        };
        Ok(if places.is_empty() { None } else { Some(told(&format!("--as-of {}", places.join(", ")))) })
    }
}

/// Says that a step is not confirmed, and what to do.
pub fn doubt(StepRow { position, step }: &StepRow) -> String {
    format!("the clock stepped from {} to {} (event {position}) and is not confirmed: {DOUBTED}", step.from, step.to)
}
