//! A store whose entries are sealed: their values, not their keys, which are numbers.
//!
//! A sealed value begins with a byte that is no kind of an entry. It is bound to its key, so that
//! no entry stands in the place of another.

use super::{
    Batch, Change, Durability, KeyValue, Page, ScanOrder, Span, Store, StoreError, StoreTable,
};
use crate::disk::keys::{SEALED, read_entry_key};
use bytes::Bytes;
use skep_trust::{ValueCipher, ValueError};
use std::sync::Arc;

/// What to do where a key is missing.
const REMEDY: &str = "put the file `keys` of this log back from a backup";
/// What an entry is bound to, before its key.
const ENTRY_CONTEXT: &[u8] = b"skep entry";

/// A store behind a cipher. Without one it writes in the clear, and what is sealed can't be read.
pub(crate) struct SealedStore {
    pub(crate) inner: Box<dyn Store>,
    pub(crate) cipher: Option<Arc<ValueCipher>>,
}

fn context(key: &[u8]) -> Vec<u8> {
    [ENTRY_CONTEXT, key].concat()
}

impl SealedStore {
    fn seal(cipher: &ValueCipher, batch: &Batch) -> Result<Batch, StoreError> {
        let mut sealed = Batch::default();
        for change in batch.changes() {
            match change {
                Change::Put { table: StoreTable::Entries, key, value } => {
                    let value = cipher.seal(&context(key), &[value]);
                    let value = value.map_err(|error| StoreError::Failed(error.to_string()))?;
                    sealed.put(StoreTable::Entries, key, &[&[SEALED], &value]);
                }
                Change::Put { table, key, value } => sealed.put(table, key, &[value]),
                Change::Delete { table, key } => sealed.delete(table, key),
                Change::DeleteSpan { table, from, to } => sealed.delete_span(table, from, to),
            }
        }
        Ok(sealed)
    }

    fn open(&self, table: StoreTable, key: &[u8], value: Bytes) -> Result<Bytes, StoreError> {
        let sealed = match value.split_first() {
            Some((&SEALED, sealed)) if table == StoreTable::Entries => sealed,
            Some(_) | None => return Ok(value),
        };
        let index = read_entry_key(key).unwrap_or_default();
        let Some(cipher) = &self.cipher else {
            return Err(StoreError::KeyMissing(format!(
                "the entry at raft index {index} is sealed, and there are no keys; {REMEDY}"
            )));
        };
        let opened = cipher.open(&context(key), sealed);
        opened.map(Bytes::from).map_err(|error| {
            let message = format!("the entry at raft index {index}: {error}");
            match error {
                ValueError::Malformed | ValueError::Altered => StoreError::Damaged(message),
                // The entry may be whole: with its key it is read.
                ValueError::UnknownKey(_) => StoreError::KeyMissing(format!("{message}; {REMEDY}")),
            }
        })
    }
}

impl Store for SealedStore {
    fn commit(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        match &self.cipher {
            Some(cipher) => self.inner.commit(&SealedStore::seal(cipher, batch)?, durability),
            None => self.inner.commit(batch, durability),
        }
    }

    fn get(&self, table: StoreTable, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.inner.get(table, key)?;
        value.map(|value| self.open(table, key, value)).transpose()
    }

    fn scan(
        &self,
        table: StoreTable,
        span: &Span,
        way: ScanOrder,
        page: Page,
    ) -> Result<Vec<KeyValue>, StoreError> {
        let rows = self.inner.scan(table, span, way, page)?.into_iter();
        rows.map(|(key, value)| {
            let value = self.open(table, &key, value)?;
            Ok((key, value))
        })
        .collect()
    }

    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::files::{
        Files,
        model::{ModelDisk, known_cipher},
        sealed::SealedFiles,
    };

    fn put(store: &dyn Store, key: &[u8], value: &[u8]) {
        let mut batch = Batch::default();
        batch.put(StoreTable::Entries, key, &[value]);
        store.commit(&batch, Durability::Synced).unwrap();
    }

    #[test]
    fn an_entry_lies_sealed_and_is_read_in_its_place_alone() {
        let disk = ModelDisk::default();
        let sealed = SealedFiles::over(Arc::new(disk.clone()), Some(known_cipher()));
        put(&*sealed.open_store("store").unwrap(), b"one", b"secret");
        let clear = disk.open_store("store").unwrap();
        let lies = clear.get(StoreTable::Entries, b"one").unwrap().unwrap();
        assert!(!lies.windows(6).any(|part| part == b"secret"), "{lies:?}");
        put(&*clear, b"two", &lies);
        put(&*clear, b"three", b"\0as older programs wrote it");
        drop(clear);
        let store = sealed.read_store("store").unwrap();
        let get = |key: &[u8]| store.get(StoreTable::Entries, key);
        assert_eq!(get(b"one").unwrap().as_deref(), Some(&b"secret"[..]));
        assert!(matches!(get(b"two"), Err(StoreError::Damaged(_))), "it was sealed for another");
        assert_eq!(get(b"three").unwrap().as_deref(), Some(&b"\0as older programs wrote it"[..]));
        let two = Span::new(b"two", b"twp");
        assert!(store.scan(StoreTable::Entries, &two, ScanOrder::Up, Page::ONE).is_err());
    }

    #[test]
    fn an_entry_whose_key_is_missing_is_not_taken_for_damaged() {
        let disk = ModelDisk::default();
        let cipher = known_cipher();
        let more = cipher.keys().with_another().unwrap();
        cipher.replace_keys(more).unwrap();
        let sealed = SealedFiles::over(Arc::new(disk.clone()), Some(cipher));
        put(&*sealed.open_store("store").unwrap(), b"one", b"secret");
        let without = SealedFiles::over(Arc::new(disk), Some(known_cipher()));
        let found = without.open_store("store").unwrap().get(StoreTable::Entries, b"one");
        let Err(StoreError::KeyMissing(message)) = found else { panic!("{found:?}") };
        assert!(message.contains("which this folder does not have; put the file"), "{message}");
    }

    #[test]
    fn a_snapshot_lies_sealed_and_is_told_from_one_that_was_altered() {
        let disk = ModelDisk::default();
        let sealed = SealedFiles::over(Arc::new(disk.clone()), Some(known_cipher()));
        sealed.make_folder("snapshots").unwrap();
        sealed.write("snapshots/one", &[b"sec", b"ret"]).unwrap();
        sealed.write("head", &[b"clear"]).unwrap();
        assert_eq!(sealed.read("snapshots/one").unwrap(), b"secret");
        assert_eq!(disk.read("head").unwrap(), b"clear");
        let mut lies = disk.read("snapshots/one").unwrap();
        assert!(!lies.windows(6).any(|part| part == b"secret"));
        *lies.last_mut().unwrap() ^= 1;
        disk.write("snapshots/one", &[&lies]).unwrap();
        let altered = sealed.read("snapshots/one").unwrap_err();
        assert_eq!(altered.kind(), std::io::ErrorKind::InvalidData);
        disk.write("snapshots/old", &[b"skep snapshot 1\nclear"]).unwrap();
        assert_eq!(sealed.read("snapshots/old").unwrap(), b"skep snapshot 1\nclear");
    }
}
