//! The records of pax headers (POSIX.1-2017, pax, "pax Extended Header") and what GNU tar, star and libarchive put there.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::sys::fs::xattr::Xattr;
use crate::sys::fs::{Extent, Moment};

/// Is one record: a key and a value, both bytes.
pub(super) type Record = (Vec<u8>, Vec<u8>);

/// Reads `LENGTH KEY=VALUE\n` records; the length counts itself, so a value may hold anything.
pub(super) fn records(mut bytes: &[u8]) -> Result<Vec<Record>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() && bytes[0] != 0 {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or("a pax record has no length")?;
        let length: usize = number(&bytes[..space]).ok_or("a pax record has no length")?;
        let record = bytes.get(space + 1..length).ok_or("a pax record is longer than its header")?;
        let record = record.strip_suffix(b"\n").ok_or("a pax record does not end where it says")?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or("a pax record has no value")?;
        found.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    Ok(found)
}

/// Reads a decimal number.
pub(super) fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads a time: seconds, also before 1970, with a fraction.
pub(super) fn moment(bytes: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        // -1.25 is three quarters of a second after -2.
        return Some(Moment { seconds: seconds.checked_sub(1)?, nanos: 1_000_000_000 - nanos });
    }
    Some(Moment { seconds, nanos })
}

/// Returns the extended attribute in a record, if it holds one; an ACL as text is one too.
pub(super) fn xattr((key, value): &Record) -> Result<Option<Xattr>, String> {
    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
        return Ok(Some((name.to_vec(), value.clone())));
    }
    if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
        let decoded = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value));
        return Ok(Some((percent_decoded(name), decoded.map_err(|_| "an attribute is not base64")?)));
    }
    match key.as_slice() {
        b"SCHILY.acl.access" => Ok(Some((b"system.posix_acl_access".to_vec(), acl(value)?))),
        b"SCHILY.acl.default" => Ok(Some((b"system.posix_acl_default".to_vec(), acl(value)?))),
        b"RHT.security.selinux" => Ok(Some((b"security.selinux".to_vec(), value.clone()))),
        _ => Ok(None),
    }
}

fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while at < name.len() {
        let code = name.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (name[at], code.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Turns an ACL's text (acl(5)) into the kernel's form (linux/posix_acl_xattr.h): version 2, then tag, permissions, id.
fn acl(text: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "an ACL is not text")?;
    let mut entries = text
        .split([',', '\n'])
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(acl_entry)
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_unstable_by_key(|(tag, _, id)| (*tag, *id));
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&permissions.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    Ok(out)
}

fn acl_entry(line: &str) -> Result<(u16, u16, u32), String> {
    let wrong = || format!("the ACL entry {line:?} cannot be read");
    let parts: Vec<&str> = line.strip_prefix("default:").unwrap_or(line).split(':').collect();
    let [kind, who, permissions, rest @ ..] = parts.as_slice() else { return Err(wrong()) };
    let permissions = permissions.chars().try_fold(0, |bits, character| match character {
        'r' => Ok(bits | 4),
        'w' => Ok(bits | 2),
        'x' => Ok(bits | 1),
        '-' => Ok(bits),
        _ => Err(wrong()),
    })?;
    let tag = match (*kind, who.is_empty()) {
        ("user" | "u", true) => 0x01,
        ("user" | "u", false) => 0x02,
        ("group" | "g", true) => 0x04,
        ("group" | "g", false) => 0x08,
        ("mask" | "m", _) => 0x10,
        ("other" | "o", _) => 0x20,
        _ => return Err(wrong()),
    };
    if who.is_empty() {
        return Ok((tag, permissions, u32::MAX));
    }
    // A name means what some other system had in its passwd; star and libarchive write the number behind it.
    let id = rest.first().and_then(|id| id.parse().ok()).or_else(|| who.parse().ok());
    let id =
        id.ok_or_else(|| format!("the ACL names {who:?}, and only its number is safe: pack with --numeric-owner"))?;
    Ok((tag, permissions, id))
}

/// Reads GNU tar's sparse map of format 0.1: `offset,length,offset,length…`.
pub(super) fn sparse_map(value: &[u8]) -> Option<Vec<Extent>> {
    let numbers = value.split(|byte| *byte == b',').map(number).collect::<Option<Vec<u64>>>()?;
    let pairs = numbers.chunks(2).map(|pair| match pair {
        [offset, length] => Some(Extent { offset: *offset, length: *length }),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let length = (1..9).map(|digits| body + digits).find(|n| n.to_string().len() + body == *n).unwrap();
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    proptest! {
        #[test]
        fn records_with_any_bytes_survive(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5)) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| record("SCHILY.xattr.user.x", value)).collect();
            let found = records(&bytes).unwrap();
            prop_assert_eq!(found.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), values);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[0-9a-z:,=. -]{0,60}") {
            let _ = (records(&bytes), records(text.as_bytes()), acl(text.as_bytes()), moment(text.as_bytes()));
            let _ = (sparse_map(text.as_bytes()), percent_decoded(&bytes));
        }
    }

    #[test]
    fn times_before_the_epoch_and_fractions_are_exact() {
        assert_eq!(moment(b"12.5"), Some(Moment { seconds: 12, nanos: 500_000_000 }));
        assert_eq!(moment(b"-1.25"), Some(Moment { seconds: -2, nanos: 750_000_000 }));
        assert_eq!(moment(b"-3"), Some(Moment { seconds: -3, nanos: 0 }));
    }

    #[test]
    fn an_acl_becomes_the_kernel_s_form_and_a_bare_name_is_refused() {
        let bytes = acl(b"user::rwx,user:1000:r-x,group::r--,mask::r-x,other::---").unwrap();
        assert_eq!(bytes.len(), 4 + 5 * 8);
        assert_eq!(bytes[4..12], [1, 0, 7, 0, 255, 255, 255, 255]);
        assert_eq!(bytes[12..20], [2, 0, 5, 0, 0xe8, 3, 0, 0]);
        assert!(acl(b"user:alice:rwx").unwrap_err().contains("--numeric-owner"));
        assert!(acl(b"user:alice:rwx:1000").is_ok());
    }
}
