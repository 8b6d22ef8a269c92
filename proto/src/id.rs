//! Ids: 128 random bits, shown as Swarm's 25 characters of base 36.
//!
//! Records carry the 16 bytes; nothing in the core ever compares the text.

use bytes::Bytes;
use std::fmt;

/// Characters of an id's text: enough for 128 bits in base 36.
pub const ID_CHARS: usize = 25;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The id of an object. Zero is "none" and is never given to anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub u128);

impl Id {
    /// No object.
    pub const NONE: Id = Id(0);

    /// Whether this names nothing.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The bytes as records carry them, most significant first.
    pub fn to_bytes(self) -> Bytes {
        if self.is_none() { Bytes::new() } else { Bytes::copy_from_slice(&self.0.to_be_bytes()) }
    }

    /// Reads what [`Id::to_bytes`] wrote. Anything that is not 16 bytes reads as [`Id::NONE`], so
    /// that a committed record never panics its reader.
    pub fn from_bytes(bytes: &[u8]) -> Id {
        <[u8; 16]>::try_from(bytes).map_or(Id::NONE, |b| Id(u128::from_be_bytes(b)))
    }

    /// Reads the 25 characters of a whole id.
    pub fn parse(text: &str) -> Option<Id> {
        if text.len() != ID_CHARS {
            return None;
        }
        text.bytes()
            .try_fold(0u128, |value, c| {
                let digit = DIGITS.iter().position(|d| *d == c)?;
                value.checked_mul(36)?.checked_add(digit as u128)
            })
            .map(Id)
    }

    /// The lowest and highest id whose text begins with `prefix`; none when no id does.
    pub fn prefix_range(prefix: &str) -> Option<(Id, Id)> {
        if prefix.is_empty() || prefix.len() > ID_CHARS {
            return None;
        }
        let low = Id::parse(&format!("{prefix:0<ID_CHARS$}"))?;
        // The highest text may lie above 128 bits: then the range ends at the highest id there is.
        let high = Id::parse(&format!("{prefix:z<ID_CHARS$}")).unwrap_or(Id(u128::MAX));
        Some((low, high))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; ID_CHARS];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = DIGITS[(rest % 36) as usize];
            rest /= 36;
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_bytes_round_trip(value: u128) {
            let id = Id(value);
            prop_assert_eq!(Id::parse(&id.to_string()), Some(id));
            prop_assert_eq!(Id::from_bytes(&id.to_bytes()), id);
        }

        #[test]
        fn a_prefix_spans_exactly_the_ids_that_begin_with_it(value: u128, len in 1usize..=25, other: u128) {
            let text = Id(value).to_string();
            let (low, high) = Id::prefix_range(&text[..len]).expect("a prefix of an id");
            let begins = Id(other).to_string().starts_with(&text[..len]);
            prop_assert_eq!((low..=high).contains(&Id(other)), begins);
        }
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        assert_eq!(Id::prefix_range(""), None);
        assert_eq!(Id::prefix_range(&"0".repeat(26)), None);
        assert!(Id::NONE.is_none() && !Id(1).is_none());
        assert_eq!(Id::parse("short"), None);
        assert_eq!(Id::parse("zzzzzzzzzzzzzzzzzzzzzzzzz"), None, "above 128 bits");
        assert_eq!(Id::parse("UPPERCASEUPPERCASEUPPERCA"), None);
    }
}
