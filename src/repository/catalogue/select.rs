//! Picks what matches out of a catalogue, with the directories that lead to it.

use crate::repository::catalogue::{Entry, Node, is_beneath};
use crate::repository::error::Result;
use crate::repository::pattern::Pattern;

/// Goes through the entries that any of the patterns covers; without patterns, through all.
///
/// A directory that only leads to a match comes right before it, and not at all if nothing in it matches.
pub fn select<I>(entries: I, patterns: Vec<Pattern>) -> Selected<I>
where
    I: Iterator<Item = Result<Entry>>,
{
    Selected { entries, patterns, leading: Vec::new(), ready: Vec::new() }
}

/// Is what `select` goes through: each entry, and whether it matches itself.
pub struct Selected<I> {
    entries: I,
    patterns: Vec<Pattern>,
    leading: Vec<Entry>,
    ready: Vec<(Entry, bool)>,
}

impl<I: Iterator<Item = Result<Entry>>> Iterator for Selected<I> {
    type Item = Result<(Entry, bool)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop() {
                return Some(Ok(ready));
            }
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            self.leading.retain(|directory| is_beneath(&entry.path, &directory.path));
            if self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.covers(&entry.path)) {
                self.ready.push((entry, true));
                self.ready.extend(self.leading.drain(..).rev().map(|directory| (directory, false)));
            } else if entry.node == Node::Directory {
                self.leading.push(entry);
            }
        }
    }
}
