//! Paths as Linux has them: bytes without NUL, in no promised encoding.
//!
//! Names in containers and archives are hostile and need not be UTF-8. A [`BytePath`] keeps the exact bytes and shows
//! them so that no two paths look the same and no terminal is fooled. It neither normalises nor resolves anything and
//! says nothing about where a path may lead.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::terminal::push_safe;

/// Is a path as the bytes the kernel has.
///
/// Its `Display` escapes bytes that are not UTF-8 (`\xff`), control and bidirectional characters, and the backslash
/// itself, so that different paths never print alike. In JSON a UTF-8 path is a plain string, exact to the character;
/// any other is `{"text": …, "base64": …}`: the escaped form to read and the bytes to use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BytePath(Vec<u8>);

/// Says why bytes are no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBytePath {
    /// Nothing was given.
    #[error("a path cannot be empty")]
    Empty,
    /// The kernel ends a path at NUL.
    #[error("the path {path} has a NUL byte in it; no Linux path can")]
    Nul {
        /// The path, escaped.
        path: String,
    },
    /// The bytes beside the text are not base64.
    #[error("the bytes of the path {text:?} are not base64")]
    Base64 {
        /// The escaped form that came along.
        text: String,
    },
}

impl BytePath {
    /// Makes a path of bytes.
    ///
    /// # Errors
    /// Refuses nothing at all and anything with a NUL byte.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidBytePath> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(InvalidBytePath::Empty);
        }
        if bytes.contains(&0) {
            return Err(InvalidBytePath::Nul { path: escaped(&bytes) });
        }
        Ok(Self(bytes))
    }

    /// Returns the exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path as the standard library has it.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

/// Returns what a text that names a path may mean, the likelier first: the path that shows like that, with its escapes, or
/// the one that has exactly these bytes. So whatever is shown can be named, and a name with a backslash in it as it is, too.
pub fn readings(text: &str) -> Vec<Vec<u8>> {
    let literal = text.as_bytes().to_vec();
    match unescaped(text) {
        Some(shown) if shown != literal && !shown.contains(&0) => vec![shown, literal],
        _ => vec![literal],
    }
}

/// Turns an escaped form back; nothing if it is none.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let kind = behind.chars().next()?;
        let tail = &behind[kind.len_utf8()..];
        rest = match kind {
            '\\' | 'n' | 't' | 'r' => {
                bytes.push(match kind {
                    'n' => b'\n',
                    't' => b'\t',
                    'r' => b'\r',
                    _ => b'\\',
                });
                tail
            }
            'x' => {
                bytes.push(u8::from_str_radix(tail.get(..2).filter(|digits| is_hexadecimal(digits))?, 16).ok()?);
                &tail[2..]
            }
            'u' => {
                let (digits, tail) = tail.strip_prefix('{')?.split_once('}')?;
                let character = u32::from_str_radix(Some(digits).filter(|digits| is_hexadecimal(digits))?, 16).ok()?;
                bytes.extend_from_slice(char::from_u32(character)?.encode_utf8(&mut [0; 4]).as_bytes());
                tail
            }
            _ => return None,
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// A number may have a sign for the standard library, and none here.
fn is_hexadecimal(digits: &str) -> bool {
    digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('?')
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                other => push_safe(&mut text, other),
            }
        }
        for byte in chunk.invalid() {
            text.extend(['\\', 'x', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    text
}

impl FromStr for BytePath {
    type Err = InvalidBytePath;

    /// Takes the text as it is: a shell hands over bytes, not escapes.
    fn from_str(text: &str) -> Result<Self, InvalidBytePath> {
        Self::from_bytes(text)
    }
}

impl TryFrom<PathBuf> for BytePath {
    type Error = InvalidBytePath;
    fn try_from(path: PathBuf) -> Result<Self, InvalidBytePath> {
        Self::from_bytes(path.into_os_string().as_encoded_bytes())
    }
}

impl AsRef<Path> for BytePath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

impl fmt::Display for BytePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escaped(&self.0))
    }
}

impl fmt::Debug for BytePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bytes { text: String, base64: String },
}

impl Serialize for BytePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => text.serialize(serializer),
            Err(_) => Written::Bytes { text: self.to_string(), base64: STANDARD.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BytePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(text.into_bytes()),
            Written::Bytes { text, base64 } => {
                STANDARD.decode(base64).map_err(|_| InvalidBytePath::Base64 { text: text.chars().take(80).collect() })
            }
        };
        bytes.and_then(Self::from_bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(bytes: &[u8]) -> BytePath {
        BytePath::from_bytes(bytes).unwrap()
    }

    #[test]
    fn it_should_show_every_byte_that_could_hide() {
        for (bytes, shown) in [
            (&b"/etc/passwd"[..], "/etc/passwd"),
            (b"/a\xffb", "/a\\xffb"),
            (b"/a\\xffb", "/a\\\\xffb"),
            (b"/a\n\x1b", "/a\\n\\u{1b}"),
            ("/a\u{202e}b".as_bytes(), "/a\\u{202e}b"),
        ] {
            assert_eq!(path(bytes).to_string(), shown);
        }
    }

    #[test]
    fn it_should_write_bytes_beside_the_text_only_where_text_cannot_hold_them() {
        assert_eq!(serde_json::to_string(&path("/ä".as_bytes())).unwrap(), "\"/ä\"");
        assert_eq!(serde_json::to_string(&path(b"/\xff")).unwrap(), r#"{"text":"/\\xff","base64":"L/8="}"#);
    }

    #[test]
    fn it_should_refuse_what_no_path_can_be() {
        assert_eq!("".parse::<BytePath>(), Err(InvalidBytePath::Empty));
        assert!("a\0b".parse::<BytePath>().is_err());
        assert!(serde_json::from_str::<BytePath>(r#"{"text":"x","base64":"***"}"#).is_err());
    }

    #[test]
    fn it_should_take_what_it_shows_and_names_with_a_backslash_as_they_are() {
        for (text, meant) in [
            ("/caf\\xe9", vec![&b"/caf\xe9"[..], b"/caf\\xe9"]),
            ("/system-serial\\x2dgetty.slice", vec![b"/system-serial-getty.slice", b"/system-serial\\x2dgetty.slice"]),
            ("/a\\\\xe9", vec![b"/a\\xe9", b"/a\\\\xe9"]),
            ("/d\\oe", vec![b"/d\\oe"]),
            ("/cut\\x+9\\", vec![b"/cut\\x+9\\"]),
            ("/nul\\x00", vec![b"/nul\\x00"]),
            ("/\u{e4}", vec!["/\u{e4}".as_bytes()]),
        ] {
            assert_eq!(readings(text), meant, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_names_that_path_first(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\\'), Just(b'x'), Just(b'u'), Just(b'{'), Just(0xe9), Just(b'\n'), 1_u8..=255], 1..40,
            )
        ) {
            prop_assert_eq!(&readings(&path(&bytes).to_string())[0], &bytes);
        }

        #[test]
        fn a_text_may_always_be_meant_as_it_is(text in "[\\\\xu{}0-9a-f/\u{e4}]{0,20}") {
            prop_assert!(readings(&text).contains(&text.into_bytes()));
        }

        #[test]
        fn a_path_survives_json(bytes in proptest::collection::vec(1_u8..=255, 1..40)) {
            let json = serde_json::to_string(&path(&bytes)).unwrap();
            prop_assert_eq!(serde_json::from_str::<BytePath>(&json).unwrap(), path(&bytes));
        }

        #[test]
        fn different_paths_never_print_alike(
            left in proptest::collection::vec(prop_oneof![Just(b'\\'), Just(b'x'), Just(b'f'), Just(0xff), 1_u8..=255], 1..8),
            right in proptest::collection::vec(prop_oneof![Just(b'\\'), Just(b'x'), Just(b'f'), Just(0xff), 1_u8..=255], 1..8),
        ) {
            prop_assert_eq!(path(&left) == path(&right), path(&left).to_string() == path(&right).to_string());
        }

        #[test]
        fn nothing_unsafe_is_printed(bytes in proptest::collection::vec(1_u8..=255, 1..40)) {
            prop_assert!(!path(&bytes).to_string().chars().any(super::super::terminal::is_unsafe_for_terminal));
        }
    }
}
