//! Hardware addresses of Ethernet interfaces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Is the address of one Ethernet interface: 48 bits, never a group address (IEEE 802-2014 section 8.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress([u8; 6]);

/// Says why a text is no address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMacAddress {
    /// Not six pairs of hexadecimal digits.
    #[error("cannot read the MAC address {text:?}; write six pairs of hexadecimal digits such as 02:00:5e:10:00:01")]
    Unreadable {
        /// What was given.
        text: String,
    },
    /// An address that no interface can have.
    #[error("{text} is a group address or empty, no interface can have it; make the first byte even, such as 02")]
    NotOneInterface {
        /// What was given.
        text: String,
    },
}

impl MacAddress {
    /// Makes an address of bytes, if one interface can have it.
    pub const fn from_bytes(bytes: [u8; 6]) -> Option<Self> {
        let [first, ..] = bytes;
        let empty = matches!(bytes, [0, 0, 0, 0, 0, 0]);
        if first & 1 == 1 || empty { None } else { Some(Self(bytes)) }
    }

    /// Makes a locally administered address of bytes drawn at the edge, changing the two bits that say so.
    pub const fn local(bytes: [u8; 6]) -> Self {
        let [first, rest @ ..] = bytes;
        let [second, third, fourth, fifth, sixth] = rest;
        Self([(first | 0b10) & !0b1, second, third, fourth, fifth, sixth])
    }

    /// Returns the six bytes.
    pub const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }

    /// Returns whether the address was chosen by an administrator and not by a maker of hardware.
    pub const fn is_local(self) -> bool {
        let [first, ..] = self.0;
        first & 0b10 != 0
    }
}

fn octets(text: &str) -> Option<[u8; 6]> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut bytes = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

impl FromStr for MacAddress {
    type Err = InvalidMacAddress;

    fn from_str(text: &str) -> Result<Self, InvalidMacAddress> {
        let shown = || text.chars().take(64).collect::<String>();
        let bytes = octets(text).ok_or_else(|| InvalidMacAddress::Unreadable { text: shown() })?;
        Self::from_bytes(bytes).ok_or_else(|| InvalidMacAddress::NotOneInterface { text: shown() })
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidMacAddress;
    fn try_from(text: String) -> Result<Self, InvalidMacAddress> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_should_read_both_ways_of_writing() {
        let address = MacAddress([2, 0, 0x5e, 0x10, 0, 0xab]);
        assert_eq!("02:00:5e:10:00:ab".parse(), Ok(address));
        assert_eq!("02-00-5E-10-00-AB".parse(), Ok(address));
    }

    #[test]
    fn it_should_refuse_what_no_interface_can_have() {
        for text in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:ab:cd",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
            "2:0:5e:10:0:1",
            "02:00-5e:10:00:ab",
            "+2:00:5e:10:00:ab",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_local_address_survives_text(bytes: [u8; 6]) {
            let address = MacAddress::local(bytes);
            prop_assert!(address.is_local());
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-f:-]{0,20}|.{0,40}") {
            let _ = text.parse::<MacAddress>();
        }
    }
}
