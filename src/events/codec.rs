//! Turns typed facts into what the log keeps, and back.
//!
//! An enum of events is written the way serde writes it, `{"Kind":{…}}`, and taken apart: the name becomes the kind, the
//! rest the body. Older shapes go through the upcasters first, which never touch the log.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::upcast;
use super::{DomainEvent, NewEvent};
use crate::types::Category;

/// Says why recorded bytes are no event that this program knows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A name or shape of a newer or foreign program: the stream is parked, not the daemon.
    #[error("the {category} event {kind} (schema {schema}) is not known to this version of berth")]
    Unknown {
        /// The kind of stream.
        category: Category,
        /// The event's name.
        kind: String,
        /// Its shape.
        schema: u16,
    },
    /// The name is known, the bytes do not fit.
    #[error("the body of {kind} (schema {schema}) cannot be read")]
    Body {
        /// The event's name.
        kind: String,
        /// Its shape.
        schema: u16,
        /// What the parser says.
        source: serde_json::Error,
    },
}

/// Writes `event` as the log keeps it, with what may later be redacted beside it.
///
/// # Errors
/// Only when the event cannot be written as JSON, which would be a fault of its definition.
pub fn encode<E: DomainEvent>(event: &E, annex: Option<Vec<u8>>) -> Result<NewEvent, serde_json::Error> {
    let (kind, body) = take_apart(event)?;
    Ok(NewEvent { schema: upcast::current_schema(E::CATEGORY, &kind), kind, body, annex })
}

/// Reads an event of the kind, shape and body that the log tells.
///
/// # Errors
/// [`DecodeError::Unknown`] for a name or shape this program does not know, [`DecodeError::Body`] for damaged bytes.
pub fn decode<E: DomainEvent>(kind: &str, schema: u16, body: &[u8]) -> Result<E, DecodeError> {
    let current = upcast::current_schema(E::CATEGORY, kind);
    if schema > current || !E::KINDS.contains(&kind) {
        return Err(DecodeError::Unknown { category: E::CATEGORY, kind: kind.to_owned(), schema });
    }
    let damaged = |source| DecodeError::Body { kind: kind.to_owned(), schema, source };
    if schema == current {
        return put_together(kind, body).map_err(damaged);
    }
    let value = serde_json::from_slice(body).map_err(damaged)?;
    let raised = upcast::raise(E::CATEGORY, kind, schema, value);
    let body = serde_json::to_vec(&raised).map_err(damaged)?;
    put_together(kind, &body).map_err(damaged)
}

/// Writes an enum and splits `{"Kind":body}`; a variant without fields is the bare text `"Kind"`.
fn take_apart<E: Serialize>(event: &E) -> Result<(String, Vec<u8>), serde_json::Error> {
    let json = serde_json::to_vec(event)?;
    let quote = json.iter().skip(2).position(|byte| *byte == b'"').map_or(json.len(), |found| found + 2);
    if json.first() == Some(&b'{') {
        let kind = String::from_utf8_lossy(&json[2..quote]).into_owned();
        return Ok((kind, json[quote + 2..json.len() - 1].to_vec()));
    }
    Ok((String::from_utf8_lossy(&json[1..json.len() - 1]).into_owned(), b"null".to_vec()))
}

fn put_together<E: DeserializeOwned>(kind: &str, body: &[u8]) -> Result<E, serde_json::Error> {
    if body == b"null" {
        return serde_json::from_value(serde_json::Value::String(kind.to_owned()));
    }
    let mut json = Vec::with_capacity(kind.len() + body.len() + 5);
    json.extend_from_slice(b"{\"");
    json.extend_from_slice(kind.as_bytes());
    json.extend_from_slice(b"\":");
    json.extend_from_slice(body);
    json.push(b'}');
    serde_json::from_slice(&json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::DirectoryEvent;
    use proptest::prelude::*;

    #[test]
    fn an_event_survives_the_log() {
        let event = DirectoryEvent::NameReleased { holder: "container/x".into() };
        let written = encode(&event, None).unwrap();
        assert_eq!(written.kind, "NameReleased");
        assert_eq!(decode::<DirectoryEvent>(&written.kind, written.schema, &written.body).unwrap(), event);
    }

    #[test]
    fn an_unknown_kind_or_a_newer_shape_is_named() {
        let unknown = decode::<DirectoryEvent>("NameGilded", 1, b"{}");
        assert!(matches!(unknown, Err(DecodeError::Unknown { .. })));
        let newer = decode::<DirectoryEvent>("NameReleased", 9, b"{}");
        assert!(matches!(newer, Err(DecodeError::Unknown { .. })));
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(body: Vec<u8>) {
            let _ = decode::<DirectoryEvent>("NameReleased", 1, &body);
        }
    }
}
