//! The keys under which a manager's log lies on its disk.
//!
//! Each sealed value names its key by number. A new key is added when the cluster is locked, since
//! the one before lay on the disk in the clear; what is there already keeps its key.

use crate::cipher::{NoRandomness, SealingKey, random};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

const TEXT_HEADING: &str = "skep data keys 1";
/// Keys of one log. A cluster that is locked more often goes on with the newest one, since a file
/// that grew for ever could not be read one day.
const DATA_KEYS_MAX: usize = 512;

/// The keys with their numbers, the newest last: that one seals. Numbers are random, so that a key
/// of another folder is not taken for one of this.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKeys(Vec<(u32, SealingKey)>);

/// A text that does not hold keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("this is not a file of data keys")]
pub struct NoDataKeys;

impl DataKeys {
    /// One new key.
    pub fn generate() -> Result<DataKeys, NoRandomness> {
        DataKeys(Vec::new()).with_another()
    }

    /// These, and a new one that seals from now on, as long as there is room for one.
    pub fn with_another(&self) -> Result<DataKeys, NoRandomness> {
        let mut keys = self.0.clone();
        if keys.len() >= DATA_KEYS_MAX {
            return Ok(DataKeys(keys));
        }
        let number = loop {
            let number = u32::from_be_bytes(random()?);
            if self.get(number).is_none() {
                break number;
            }
        };
        keys.push((number, SealingKey::new(random()?)));
        Ok(DataKeys(keys))
    }

    /// As they stand in a file: a heading, then a number and a key a line.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("{TEXT_HEADING}\n"));
        for (number, key) in &self.0 {
            let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&key.0[..]));
            text.push_str(&format!("{number} {}\n", *encoded));
        }
        text
    }

    /// Reads what [`DataKeys::to_text`] wrote.
    pub fn parse(text: &str) -> Result<DataKeys, NoDataKeys> {
        let mut lines = text.lines();
        if lines.next() != Some(TEXT_HEADING) {
            return Err(NoDataKeys);
        }
        let key = |line: &str| {
            let (number, encoded) = line.split_once(' ')?;
            let bytes = Zeroizing::new(STANDARD_NO_PAD.decode(encoded).ok()?);
            Some((number.parse().ok()?, SealingKey::new(bytes[..].try_into().ok()?)))
        };
        let keys: Vec<_> = lines.map(key).collect::<Option<_>>().ok_or(NoDataKeys)?;
        (!keys.is_empty()).then_some(DataKeys(keys)).ok_or(NoDataKeys)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&SealingKey> {
        self.0.iter().find(|(known, _)| *known == number).map(|(_, key)| key)
    }

    /// The number of the one that seals.
    pub(crate) fn newest(&self) -> Option<u32> {
        self.0.last().map(|(number, _)| *number)
    }
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(number, _)| number)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_so_many_keys_at_most_and_goes_on_with_the_newest() {
        let mut keys = DataKeys::generate().unwrap();
        (0..DATA_KEYS_MAX).for_each(|_| keys = keys.with_another().unwrap());
        assert_eq!(keys.0.len(), DATA_KEYS_MAX);
        assert_eq!(keys.with_another().unwrap(), keys);
        // Sealed and in base 64 a text is half as long again.
        assert!(keys.to_text().len() < 40 << 10, "it fits into a file that is read");
    }

    #[test]
    fn keys_are_read_as_they_were_written_and_never_shown() {
        let keys = DataKeys::generate().unwrap().with_another().unwrap();
        assert_eq!(DataKeys::parse(&keys.to_text()), Ok(keys.clone()));
        for wrong in ["", "skep data keys 1\n", "skep data keys 1\n1 AAAA\n", "skep data keys 2\n"]
        {
            assert_eq!(DataKeys::parse(wrong), Err(NoDataKeys), "{wrong}");
        }
        let [one, two] = &keys.0[..] else { panic!("{keys:?}") };
        assert_ne!(one.0, two.0);
        assert_eq!(format!("{keys:?}"), format!("[{}, {}]", one.0, two.0), "no key is shown");
        assert_eq!(keys.newest(), Some(two.0));
    }
}
