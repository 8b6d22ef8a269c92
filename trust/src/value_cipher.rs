//! The cipher of values: entries and snapshots on a manager's disk.
//!
//! ```text
//!   number of the key, u32 · session, 16 bytes · count, u64 · sealed text · tag, 16 bytes
//! ```
//!
//! Each opening of a log is a session with a random name. From the key and that name a key of its
//! own is made (HKDF), under which values are counted. So no nonce comes twice however many values
//! there are, and none costs a random number.

use crate::data_keys::{DataKeys, NoDataKeys};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use thiserror::Error;

/// Separates what is made from these keys from anything else.
const VALUE_DOMAIN: &[u8] = b"skep value 1";
const SESSION_LEN: usize = 16;
/// Number, session, count.
const VALUE_PREFIX_LEN: usize = 4 + SESSION_LEN + 8;
const TAG_LEN: usize = 16;
/// Bytes that a sealed value is longer than its text.
pub const SEALED_OVERHEAD_LEN: usize = VALUE_PREFIX_LEN + TAG_LEN;
/// Sessions whose keys are kept at hand; there is one for each start of a manager.
const SESSIONS_KEPT_MAX: usize = 1_024;

/// Why a sealed value can't be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ValueError {
    /// It is no sealed value.
    #[error("it is not laid out as a sealed value")]
    Malformed,
    /// The key that it names is not known here.
    #[error("it is sealed with key {0}, which this folder does not have")]
    UnknownKey(u32),
    /// It is not what was sealed, or stands where something else stood.
    #[error("it is not what was sealed")]
    Altered,
}

/// Seals and opens values. Cheap to share, never blocks on the disk.
pub struct ValueCipher {
    session: [u8; SESSION_LEN],
    keys: RwLock<DataKeys>,
    writing: RwLock<Arc<SessionKey>>,
    reading: RwLock<SessionKeys>,
}

/// By the number of the key, and the session.
type SessionKeys = HashMap<(u32, [u8; SESSION_LEN]), Arc<SessionKey>>;

struct SessionKey {
    number: u32,
    cipher: LessSafeKey,
    next: AtomicU64,
}

impl SessionKey {
    fn new(keys: &DataKeys, number: u32, session: &[u8]) -> Option<SessionKey> {
        let key = Salt::new(HKDF_SHA256, session).extract(&keys.get(number)?.0[..]);
        let made = key.expand(&[VALUE_DOMAIN], &AES_256_GCM).ok()?;
        let cipher = LessSafeKey::new(UnboundKey::from(made));
        Some(SessionKey { number, cipher, next: AtomicU64::new(0) })
    }

    fn newest(keys: &DataKeys, session: &[u8]) -> Option<SessionKey> {
        SessionKey::new(keys, keys.newest()?, session)
    }
}

fn nonce(count: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&count.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl ValueCipher {
    /// The cipher of one opening of a log. The session's name must be random, and used once.
    pub fn new(keys: DataKeys, session: [u8; SESSION_LEN]) -> Result<ValueCipher, NoDataKeys> {
        let writing = SessionKey::newest(&keys, &session).ok_or(NoDataKeys)?;
        Ok(ValueCipher {
            session,
            keys: RwLock::new(keys),
            writing: RwLock::new(Arc::new(writing)),
            reading: RwLock::default(),
        })
    }

    /// The keys, as they are to be kept.
    pub fn keys(&self) -> DataKeys {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on the newest of these seals. They are on the disk already.
    pub fn replace_keys(&self, keys: DataKeys) -> Result<(), NoDataKeys> {
        let writing = SessionKey::newest(&keys, &self.session).ok_or(NoDataKeys)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        let mut current = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        // The same key goes on counting: a count is never used twice.
        if current.number != writing.number {
            *current = Arc::new(writing);
        }
        Ok(())
    }

    /// The sealed value of these parts, one behind the other.
    pub fn seal(&self, context: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, ValueError> {
        let key = self.writing.read().unwrap_or_else(PoisonError::into_inner).clone();
        let count = key.next.fetch_add(1, Ordering::Relaxed);
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let mut value = Vec::with_capacity(bytes + SEALED_OVERHEAD_LEN);
        value.extend_from_slice(&key.number.to_be_bytes());
        value.extend_from_slice(&self.session);
        value.extend_from_slice(&count.to_be_bytes());
        parts.iter().for_each(|part| value.extend_from_slice(part));
        let text = &mut value[VALUE_PREFIX_LEN..];
        let tag = key.cipher.seal_in_place_separate_tag(nonce(count), Aad::from(context), text);
        // Fails only for a text of over 64 GiB.
        value.extend_from_slice(tag.map_err(|_| ValueError::Malformed)?.as_ref());
        Ok(value)
    }

    /// The text in a sealed value.
    pub fn open(&self, context: &[u8], value: &[u8]) -> Result<Vec<u8>, ValueError> {
        let (prefix, text) =
            value.split_at_checked(VALUE_PREFIX_LEN).ok_or(ValueError::Malformed)?;
        let part = |from: usize, to: usize| &prefix[from..to];
        let malformed = |_| ValueError::Malformed;
        let number = u32::from_be_bytes(part(0, 4).try_into().map_err(malformed)?);
        let session = part(4, 4 + SESSION_LEN).try_into().map_err(malformed)?;
        let count = part(4 + SESSION_LEN, VALUE_PREFIX_LEN).try_into().map_err(malformed)?;
        let key = self.reader(number, session)?;
        let (nonce, mut text) = (nonce(u64::from_be_bytes(count)), text.to_vec());
        let opened = key.cipher.open_in_place(nonce, Aad::from(context), &mut text);
        let bytes = opened.map_err(|_| ValueError::Altered)?.len();
        text.truncate(bytes);
        Ok(text)
    }

    fn reader(
        &self,
        number: u32,
        session: [u8; SESSION_LEN],
    ) -> Result<Arc<SessionKey>, ValueError> {
        let reading = self.reading.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = reading.get(&(number, session)) {
            return Ok(key.clone());
        }
        drop(reading);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = SessionKey::new(&keys, number, &session).ok_or(ValueError::UnknownKey(number))?;
        let key = Arc::new(key);
        let mut reading = self.reading.write().unwrap_or_else(PoisonError::into_inner);
        if reading.len() >= SESSIONS_KEPT_MAX {
            reading.clear();
        }
        reading.insert((number, session), key.clone());
        Ok(key)
    }
}

impl fmt::Debug for ValueCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueCipher({:?})", self.keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher(keys: &DataKeys, session: u8) -> ValueCipher {
        ValueCipher::new(keys.clone(), [session; SESSION_LEN]).unwrap()
    }

    #[test]
    fn a_value_is_opened_in_another_session_and_in_its_place_alone() {
        let keys = DataKeys::generate().unwrap();
        let value = cipher(&keys, 1).seal(b"here", &[b"some ", b"text"]).unwrap();
        assert_eq!(value.len(), 9 + SEALED_OVERHEAD_LEN);
        assert!(!value.windows(4).any(|part| part == b"text"));
        let later = cipher(&keys, 2);
        assert_eq!(later.open(b"here", &value).unwrap(), b"some text");
        assert_eq!(later.open(b"there", &value), Err(ValueError::Altered));
        for at in 0..value.len() {
            let mut altered = value.clone();
            altered[at] ^= 1;
            assert!(later.open(b"here", &altered).is_err(), "byte {at}");
            assert!(later.open(b"here", &value[..at]).is_err(), "cut at {at}");
        }
        let other = cipher(&DataKeys::generate().unwrap(), 2);
        let number = keys.newest().unwrap();
        assert_eq!(other.open(b"here", &value), Err(ValueError::UnknownKey(number)));
    }

    #[test]
    fn the_same_text_is_never_sealed_alike() {
        let keys = DataKeys::generate().unwrap();
        let one = cipher(&keys, 1);
        let (first, second) =
            (one.seal(b"", &[b"text"]).unwrap(), one.seal(b"", &[b"text"]).unwrap());
        assert_ne!(first[VALUE_PREFIX_LEN..], second[VALUE_PREFIX_LEN..]);
        one.replace_keys(keys.clone()).unwrap();
        let third = one.seal(b"", &[b"text"]).unwrap();
        assert_ne!(first, third, "the same keys go on counting");
        let elsewhere = cipher(&keys, 2).seal(b"", &[b"text"]).unwrap();
        assert_ne!(first[VALUE_PREFIX_LEN..], elsewhere[VALUE_PREFIX_LEN..]);
    }

    #[test]
    fn a_new_key_seals_and_those_before_it_still_open() {
        let first = DataKeys::generate().unwrap();
        let cipher = cipher(&first, 1);
        let before = cipher.seal(b"", &[b"text"]).unwrap();
        cipher.replace_keys(first.with_another().unwrap()).unwrap();
        let after = cipher.seal(b"", &[b"text"]).unwrap();
        assert_ne!(before[..4], after[..4], "values name their keys");
        for value in [&before, &after] {
            assert_eq!(cipher.open(b"", value).unwrap(), b"text");
        }
        let without = ValueCipher::new(first, [3; SESSION_LEN]).unwrap();
        assert_eq!(
            without.open(b"", &after),
            Err(ValueError::UnknownKey(cipher.keys().newest().unwrap()))
        );
    }
}
