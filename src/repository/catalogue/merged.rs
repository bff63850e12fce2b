//! What the container sees: its template's files, with its own over them, as overlayfs would show them.
//!
//! Both catalogues are gone through once, side by side. A whiteout hides a name, an opaque directory what is in it, and a
//! directory with a redirect continues another directory of the template (kernel Documentation/filesystems/overlayfs.rst).
//! Whiteouts and overlayfs's own attributes do not come out.

use std::collections::HashMap;
use std::iter::Peekable;

use crate::repository::catalogue::{Catalogue, Entries, Entry, Node, is_beneath, order};
use crate::repository::error::{Error, Result};

/// Where overlayfs keeps attributes of its own.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Goes through the merged view of a tree and the template below it.
pub struct Merged {
    upper: Peekable<Entries>,
    template: Option<Catalogue>,
    lowers: Vec<Lower>,
    upper_links: HashMap<Vec<u8>, Vec<u8>>,
}

/// Is a part of the template that shows at some place of the merged view.
struct Lower {
    entries: Option<Peekable<Entries>>,
    from: Vec<u8>,
    to: Vec<u8>,
    hidden: Option<Vec<u8>>,
    links: HashMap<Vec<u8>, Vec<u8>>,
}

impl Lower {
    fn new(template: Option<&Catalogue>, from: Vec<u8>, to: Vec<u8>) -> Self {
        let entries = template.map(|catalogue| catalogue.entries_from(&from).peekable());
        Self { entries, from, to, hidden: None, links: HashMap::new() }
    }

    fn rename(&self, path: &[u8]) -> Vec<u8> {
        move_path(path, &self.from, &self.to)
    }

    /// Returns the next path, as it shows in the merged view.
    fn peek(&mut self) -> Option<std::result::Result<Vec<u8>, ()>> {
        loop {
            let path = match self.entries.as_mut()?.peek() {
                Some(Ok(entry)) if is_beneath(&entry.path, &self.from) => entry.path.clone(),
                Some(Err(_)) => return Some(Err(())),
                _ => return None,
            };
            let shown = self.rename(&path);
            // The top of a redirected part is the upper directory itself.
            let top = self.from != self.to && path == self.from;
            if !top && !self.hidden.as_ref().is_some_and(|hidden| is_beneath(&shown, hidden)) {
                return Some(Ok(shown));
            }
            self.next();
        }
    }

    fn next(&mut self) -> Option<Result<Entry>> {
        self.entries.as_mut()?.next()
    }

    fn take(&mut self) -> Option<Result<Entry>> {
        let mut entry = match self.next()? {
            Ok(entry) => entry,
            error => return Some(error),
        };
        if entry.is_whiteout() {
            return None;
        }
        let original = std::mem::take(&mut entry.path);
        entry.path = self.rename(&original);
        relink(&mut entry, original, &mut self.links);
        show_attributes(&mut entry);
        Some(Ok(entry))
    }
}

/// Lets hard links lead to names that come out: the first name that shows takes the place of one that is hidden.
fn relink(entry: &mut Entry, original: Vec<u8>, links: &mut HashMap<Vec<u8>, Vec<u8>>) {
    let first = entry.hard_link.take().unwrap_or(original);
    match links.get(&first) {
        Some(shown) => entry.hard_link = Some(shown.clone()),
        None if entry.links > 1 && entry.node != Node::Directory => {
            links.insert(first, entry.path.clone());
        }
        None => {}
    }
}

fn move_path(path: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let rest = path.get(from.len()..).unwrap_or_default();
    let rest = if from.is_empty() || to.is_empty() { rest.strip_prefix(b"/").unwrap_or(rest) } else { rest };
    if to.is_empty() || rest.is_empty() || rest.first() == Some(&b'/') {
        return [to, rest].concat();
    }
    [to, b"/", rest].concat()
}

impl Merged {
    /// Begins with the catalogue of the container's own files and that of its template, if it has one.
    pub fn new(upper: &Catalogue, template: Option<Catalogue>) -> Self {
        let lowers = vec![Lower::new(template.as_ref(), Vec::new(), Vec::new())];
        Self { upper: upper.entries().peekable(), template, lowers, upper_links: HashMap::new() }
    }

    fn leave_done(&mut self, path: Option<&[u8]>) {
        while self.lowers.len() > 1 {
            let done = self
                .lowers
                .last_mut()
                .is_none_or(|lower| lower.peek().is_none() && !path.is_some_and(|path| is_beneath(path, &lower.to)));
            if !done {
                return;
            }
            self.lowers.pop();
        }
    }

    fn take_upper(&mut self) -> Option<Result<Entry>> {
        let mut entry = match self.upper.next()? {
            Ok(entry) => entry,
            error => return Some(error),
        };
        self.cover(&entry);
        if entry.is_whiteout() {
            return None;
        }
        let original = entry.path.clone();
        relink(&mut entry, original, &mut self.upper_links);
        show_attributes(&mut entry);
        Some(Ok(entry))
    }

    /// Hides what lies below an entry of the upper tree, and opens what a redirect leads to.
    fn cover(&mut self, entry: &Entry) {
        let redirect = entry.overlay_attribute("redirect").filter(|_| entry.node == Node::Directory);
        let target = redirect.map(|value| self.redirected(&entry.path, value));
        let Some(lower) = self.lowers.last_mut() else { return };
        let same = matches!(lower.peek(), Some(Ok(path)) if path == entry.path);
        let merges =
            entry.node == Node::Directory && !entry.is_opaque() && target.is_none() && lower_is_directory(lower, same);
        if merges {
            if same {
                lower.next();
            }
        } else {
            lower.hidden = Some(entry.path.clone());
        }
        if let Some(target) = target {
            self.lowers.push(Lower::new(self.template.as_ref(), target, entry.path.clone()));
        }
    }

    /// Says which directory of the template a redirect means: from the root, or beside where this one would have been.
    fn redirected(&self, path: &[u8], value: &[u8]) -> Vec<u8> {
        if let Some(absolute) = value.strip_prefix(b"/") {
            return absolute.to_vec();
        }
        let parent = path.iter().rposition(|byte| *byte == b'/').map_or(b"".as_slice(), |at| &path[..at]);
        let parent = self.lowers.last().map_or_else(Vec::new, |lower| move_path(parent, &lower.to, &lower.from));
        if parent.is_empty() { value.to_vec() } else { [parent.as_slice(), b"/", value].concat() }
    }
}

fn lower_is_directory(lower: &mut Lower, same: bool) -> bool {
    !same || matches!(lower.entries.as_mut().and_then(Peekable::peek), Some(Ok(entry)) if entry.node == Node::Directory)
}

/// Leaves out what overlayfs wrote for itself, and gives those of an overlay inside the container their names back, which
/// it kept as `user.overlay.overlay.*` (overlayfs.rst, "Nesting overlayfs mounts").
fn show_attributes(entry: &mut Entry) {
    for own in OVERLAY {
        let escaped = [own, b"overlay."].concat();
        entry.attributes.retain_mut(|attribute| match attribute.name.strip_prefix(escaped.as_slice()) {
            Some(rest) => {
                attribute.name = [own, rest].concat();
                true
            }
            None => !attribute.name.starts_with(own),
        });
    }
    entry.attributes.sort_by(|left, right| left.name.cmp(&right.name));
}

impl Iterator for Merged {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let upper = match self.upper.peek() {
                Some(Ok(entry)) => Some(entry.path.clone()),
                Some(Err(_)) => return self.upper.next(),
                None => None,
            };
            self.leave_done(upper.as_deref());
            let lower = match self.lowers.last_mut()?.peek() {
                Some(Err(())) => return self.lowers.last_mut()?.next(),
                Some(Ok(path)) => Some(path),
                None => None,
            };
            let take_lower = match (&upper, &lower) {
                (None, None) => return None,
                (Some(upper), Some(lower)) => order(lower, upper).is_lt(),
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let taken = if take_lower { self.lowers.last_mut()?.take() } else { self.take_upper() };
            if taken.is_some() {
                return taken;
            }
        }
    }
}

/// Finds one path in the merged view.
///
/// # Errors
/// What the store says; `Missing` if the container would not see it.
pub fn find(upper: &Catalogue, template: Option<Catalogue>, path: &[u8]) -> Result<Entry> {
    let missing = || Error::Missing { what: crate::sys::fs::display_path(path) };
    if template.is_none() {
        return upper.get(path)?.filter(|entry| !entry.is_whiteout()).ok_or_else(missing);
    }
    // Most files asked for are the container's own; only others need the way through both trees.
    if let Some(own) = upper.get(path)?.filter(|entry| !entry.is_whiteout() && entry.node != Node::Directory) {
        return Ok(own);
    }
    for entry in Merged::new(upper, template) {
        let entry = entry?;
        if entry.path == path {
            return Ok(entry);
        }
        if order(&entry.path, path).is_gt() {
            break;
        }
    }
    Err(missing())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::catalogue::Attribute;
    use crate::repository::id_map::Id;
    use crate::sys::fs::Moment;

    #[test]
    fn attributes_of_an_overlay_inside_the_container_show_and_those_below_it_do_not() {
        let names: [&[u8]; 4] =
            [b"trusted.overlay.opaque", b"user.overlay.overlay.opaque", b"user.overlay.origin", b"user.x"];
        let attributes = names.map(|name| Attribute { name: name.to_vec(), ..Attribute::default() }).to_vec();
        let never = Moment { seconds: 0, nanos: 0 };
        let mut entry = Entry {
            path: b"d".to_vec(),
            node: Node::Directory,
            mode: 0o755,
            owner: Id::Inside(0),
            group: Id::Inside(0),
            modified: never,
            changed: never,
            inode: 1,
            links: 1,
            hard_link: None,
            attributes,
            flags: 0,
            project: 0,
            racy: false,
        };
        show_attributes(&mut entry);
        let shown: Vec<_> = entry.attributes.iter().map(|attribute| attribute.name.as_slice()).collect();
        assert_eq!(shown, [b"user.overlay.opaque".as_slice(), b"user.x"]);
    }
}
