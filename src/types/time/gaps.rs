//! Slots of a schedule that wait while later ones are settled already.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Is a row of slots without a fate, between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The moment before the first of them.
    pub after: Timestamp,
    /// The last of them.
    pub until: Timestamp,
}

/// Is every such row of one schedule, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps(Vec<Gap>);

impl Gap {
    fn holds(&self, slot: Timestamp) -> bool {
        self.after < slot && slot <= self.until
    }
}

impl Gaps {
    /// Walks them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Gap> {
        self.0.iter()
    }

    /// Says whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether a slot waits in one.
    pub fn holds(&self, slot: Timestamp) -> bool {
        self.0.iter().any(|gap| gap.holds(slot))
    }

    /// Lets the slots between two moments wait, which are later than all that wait already.
    pub fn open(&mut self, after: Timestamp, until: Timestamp) {
        match self.0.last_mut() {
            Some(last) if last.until == after => last.until = until,
            _ => self.0.push(Gap { after, until }),
        }
    }

    /// Settles a slot and those before it in the same row; false if it waits in none.
    pub fn settle(&mut self, slot: Timestamp) -> bool {
        let Some(gap) = self.0.iter_mut().find(|gap| gap.holds(slot)) else { return false };
        gap.after = slot;
        self.0.retain(|gap| gap.after < gap.until);
        true
    }

    /// Forgets what is later than a moment.
    pub fn cut(&mut self, after: Timestamp) {
        for gap in &mut self.0 {
            gap.until = gap.until.min(after);
        }
        self.0.retain(|gap| gap.after < gap.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn gaps(rows: &[(i64, i64)]) -> Gaps {
        Gaps(rows.iter().map(|(after, until)| Gap { after: at(*after), until: at(*until) }).collect())
    }

    #[test]
    fn slots_wait_until_they_are_settled_or_are_of_a_time_to_come() {
        let mut found = Gaps::default();
        found.open(at(10), at(20));
        found.open(at(20), at(30));
        found.open(at(50), at(60));
        assert_eq!(found, gaps(&[(10, 30), (50, 60)]));
        assert_eq!([10, 11, 30, 31, 60].map(|slot| found.holds(at(slot))), [false, true, true, false, true]);
        assert!(found.settle(at(20)) && !found.settle(at(20)) && found.settle(at(60)));
        assert_eq!(found, gaps(&[(20, 30)]));
        found.cut(at(25));
        assert_eq!(found, gaps(&[(20, 25)]));
        found.cut(at(20));
        assert!(found.is_empty());
    }
}
