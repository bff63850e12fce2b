//! Paths and queries of requests, escaped where they are put together, so that no name can leave its segment.

use std::fmt::{self, Display, Formatter};

/// Escapes everything but the unreserved characters of RFC 3986 section 2.3.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    encoded
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(value & 15)])
}

/// Is a path with its query. Its parts stay apart until it is sent, so that a read with the daemon down can go by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    segments: Vec<String>,
    queries: Vec<(&'static str, String)>,
}

impl Target {
    /// Begins with a fixed path such as `/v1/containers`.
    pub fn new(path: &'static str) -> Self {
        Self { segments: path.split('/').skip(1).map(str::to_owned).collect(), queries: Vec::new() }
    }

    /// Adds a segment.
    pub fn segment(mut self, segment: impl Display) -> Self {
        self.segments.push(segment.to_string());
        self
    }

    /// Adds a question.
    pub fn query(mut self, key: &'static str, value: impl Display) -> Self {
        self.queries.push((key, value.to_string()));
        self
    }

    /// Adds a question if there is a value.
    pub fn query_if(self, key: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }

    /// Adds `key=true` if it is so.
    pub fn flag(self, key: &'static str, set: bool) -> Self {
        if set { self.query(key, "true") } else { self }
    }

    /// Says what of it is empty, which would lead to another place or ask for everything.
    pub fn emptiness(&self) -> Option<String> {
        if self.segments.iter().any(String::is_empty) {
            return Some("a name cannot be empty".to_owned());
        }
        let (key, _) = self.queries.iter().find(|(_, value)| value.is_empty())?;
        Some(format!("the value of {key} is empty; leave it out to have all"))
    }

    /// Returns the segments, unescaped.
    pub fn segments(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// Returns the value of a question, unescaped.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.queries.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }
}

/// As it goes over the wire.
impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{}", encode_segment(segment))?;
        }
        for (index, (key, value)) in self.queries.iter().enumerate() {
            write!(f, "{}{key}={}", if index == 0 { '?' } else { '&' }, percent_encode(value))?;
        }
        Ok(())
    }
}

/// Escapes `.` and `..` too, since servers resolve them (RFC 3986 section 5.2.4).
fn encode_segment(segment: &str) -> String {
    if segment.bytes().all(|byte| byte == b'.') { segment.replace('.', "%2E") } else { percent_encode(segment) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_puts_paths_and_questions_together() {
        let target = Target::new("/v1/containers").segment("web1").query("label", "a=b c").flag("all", true);
        assert_eq!(target.to_string(), "/v1/containers/web1?label=a%3Db%20c&all=true");
    }

    #[test]
    fn what_is_empty_is_no_place_and_no_question() {
        let target = || Target::new("/v1/containers");
        assert_eq!(target().segment("web1").query("label", "a=b").emptiness(), None);
        assert_eq!(target().segment("").segment("stop").emptiness().as_deref(), Some("a name cannot be empty"));
        assert!(target().query("label", "").emptiness().is_some_and(|why| why.contains("label")));
    }

    proptest! {
        #[test]
        fn no_segment_leaves_its_place(text in any::<String>()) {
            let target = Target::new("/v1").segment(&text);
            let wire = target.to_string();
            let segment = wire.strip_prefix("/v1/").unwrap();
            prop_assert!(!segment.contains(['/', '?', '#', ' ']) && segment.is_ascii());
            prop_assert!(segment != "." && segment != "..");
            let address = format!("http://berth{wire}");
            prop_assert!(address.parse::<hyper::Uri>().is_ok());
        }
    }
}
