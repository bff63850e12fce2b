//! Patterns of paths, as users write them to leave something out or to pick something.
//!
//! `*` and `?` stay inside one name, `**` crosses names, `[a-z]` is a set (`[!…]` its opposite), `\` takes the next byte as
//! it is. A pattern that begins with `/` starts at the root; another matches from any directory on. What it matches counts
//! with everything beneath.

use std::fmt;

/// Is one pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    anchored: bool,
}

impl Pattern {
    /// Makes a pattern; every text is one.
    pub fn new(text: &[u8]) -> Self {
        let anchored = text.first() == Some(&b'/');
        let trimmed = text.strip_prefix(b"/").unwrap_or(text);
        Self { text: trimmed.strip_suffix(b"/").unwrap_or(trimmed).to_vec(), anchored }
    }

    /// Makes the pattern of exactly this path, whatever its name has in it, from the root on.
    pub fn literal(path: &[u8]) -> Self {
        let first = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
        let last = path.iter().rposition(|byte| *byte != b'/').map_or(first, |last| last + 1);
        let path = &path[first..last];
        let escaped = path.iter().flat_map(|byte| match byte {
            b'*' | b'?' | b'[' | b'\\' => vec![b'\\', *byte],
            other => vec![*other],
        });
        Self { text: escaped.collect(), anchored: true }
    }

    /// Tells whether the path, or a directory above it, matches.
    pub fn covers(&self, path: &[u8]) -> bool {
        if self.text.is_empty() {
            return self.anchored;
        }
        let ends = |at: &usize| *at == path.len() || path[*at] == b'/';
        let starts = |at: &usize| *at == 0 || (!self.anchored && path[*at - 1] == b'/');
        let whole = |start: usize| (start..=path.len()).filter(ends).any(|end| matches(&self.text, &path[start..end]));
        (0..path.len()).filter(starts).any(whole)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.anchored { "/" } else { "" }, String::from_utf8_lossy(&self.text))
    }
}

/// Matches with one point of return per kind of star, so that no pattern takes more than square time per star kind.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut done) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut stars: Option<(usize, usize)> = None;
    loop {
        if pattern[at..].starts_with(b"**") {
            at += 2 + usize::from(pattern[at..].starts_with(b"**/"));
            (stars, star) = (Some((at, done)), None);
            continue;
        }
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, done));
            continue;
        }
        if at == pattern.len() && done == text.len() {
            return true;
        }
        if let (Some(length), Some(byte)) = (one(&pattern[at..], text.get(done)), text.get(done)) {
            debug_assert!(*byte != 0 || length > 0);
            at += length;
            done += 1;
            continue;
        }
        let Some((next, from)) = retry(text, &mut star).or_else(|| retry_any(text, &mut stars)) else { return false };
        (at, done) = (next, from);
        if stars.is_some_and(|(start, _)| start == next) {
            star = None;
        }
    }
}

fn retry(text: &[u8], star: &mut Option<(usize, usize)>) -> Option<(usize, usize)> {
    let (next, from) = star.as_mut()?;
    match text.get(*from) {
        Some(byte) if *byte != b'/' => {
            *from += 1;
            Some((*next, *from))
        }
        _ => {
            *star = None;
            None
        }
    }
}

fn retry_any(text: &[u8], stars: &mut Option<(usize, usize)>) -> Option<(usize, usize)> {
    let (next, from) = stars.as_mut()?;
    *from += 1;
    (*from <= text.len()).then_some((*next, *from))
}

/// Returns how long the part of the pattern is that matches this one byte.
fn one(pattern: &[u8], byte: Option<&u8>) -> Option<usize> {
    let byte = *byte?;
    match *pattern.first()? {
        b'?' => (byte != b'/').then_some(1),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        b'[' => match set(pattern) {
            Some((length, members, opposite)) => {
                (byte != b'/' && is_member(members, byte) != opposite).then_some(length)
            }
            None => (byte == b'[').then_some(1),
        },
        literal => (literal == byte).then_some(1),
    }
}

fn set(pattern: &[u8]) -> Option<(usize, &[u8], bool)> {
    let opposite = pattern.get(1) == Some(&b'!');
    let start = 1 + usize::from(opposite);
    let length = pattern.get(start + 1..)?.iter().position(|byte| *byte == b']')? + 1;
    Some((start + length + 1, &pattern[start..start + length], opposite))
}

fn is_member(mut members: &[u8], byte: u8) -> bool {
    while let [first, rest @ ..] = members {
        if let [b'-', last, after @ ..] = rest {
            if (*first..=*last).contains(&byte) {
                return true;
            }
            members = after;
        } else if *first == byte {
            return true;
        } else {
            members = rest;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_pattern_panics(pattern: Vec<u8>, path: Vec<u8>) {
            let _ = Pattern::new(&pattern).covers(&path);
        }

        #[test]
        fn a_plain_path_covers_itself_and_what_is_in_it(path in "[a-z]{1,4}(/[a-z]{1,4}){0,3}") {
            let pattern = Pattern::new(format!("/{path}").as_bytes());
            let (inside, beside) = (format!("{path}/x"), format!("{path}x"));
            prop_assert!(pattern.covers(path.as_bytes()));
            prop_assert!(pattern.covers(inside.as_bytes()));
            prop_assert!(!pattern.covers(beside.as_bytes()));
        }
    }

    #[test]
    fn stars_sets_and_anchors_mean_what_they_say() {
        for (pattern, path, wanted) in [
            ("*.log", "var/log/x.log", true),
            ("*.log", "var/x.log/inside", true),
            ("/*.log", "var/x.log", false),
            ("/var/*/x", "var/a/x", true),
            ("/var/*/x", "var/a/b/x", false),
            ("/var/**/x", "var/a/b/x", true),
            ("/var/**/x", "var/x", true),
            ("/a**z", "a/b/cz", true),
            ("/a*b**c*d", "axb/y/cxd", true),
            ("file[0-9]", "d/file7", true),
            ("file[!0-9]", "file7", false),
            ("a?c", "a/c", false),
            ("\\*", "a", false),
            ("\\*", "*", true),
            ("/", "anything", true),
        ] {
            assert_eq!(Pattern::new(pattern.as_bytes()).covers(path.as_bytes()), wanted, "{pattern} on {path}");
        }
    }
}
