//! The last resort of a manager that is alone: cut its log at the last readable entry, and begin a new incarnation.
//!
//! What is readable is copied into a fresh store; the damaged one is set aside under another name, and nothing of
//! it is lost by trying. Then a marker says that the next entry must begin a new incarnation, so that agents and
//! followers know that history went back.

use crate::{
    Entry,
    chain::{self, Hash},
    fence::follows,
    head::{HeadFile, Mark},
    keys::{self, StoredBody, meta},
    log::Places,
    store::{Batch, Durability, Page, Span, Store, StoreError, Table, Way, rocks::Rocks},
    unindexed::Indexed,
    writer::index,
};
use prost::Message;
use skep_proto::{Position, Revision};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Entries that are copied at once.
const PAGE: Page = Page { rows: 512, bytes: 4 << 20 };

/// Said by the operator, in so many words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptLoss {
    /// Records that were acknowledged may be lost by this.
    Yes,
}

/// What was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where history ends now.
    pub position: Position,
    /// The hash of its last entry.
    pub head: Hash,
    /// The newest revision that is known to have been durable; more than `position` means loss.
    pub durable: Revision,
    /// The incarnation that the next entry begins.
    pub incarnation: u64,
    /// Where the old store lies now.
    pub set_aside: PathBuf,
    /// What ended the readable part; nothing where the log simply ends.
    pub cause: Option<String>,
}

/// Why nothing was recovered. The log is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A daemon runs on it.
    #[error("the log in {dir} is in use; stop the daemon first")]
    InUse {
        /// Where the log lies.
        dir: String,
    },
    /// Not even its beginning can be read.
    #[error("the log in {dir} can't be read at all: {words}; restore a backup")]
    Unreadable {
        /// Where the log lies.
        dir: String,
        /// What is wrong.
        words: String,
    },
    /// The disk said no.
    #[error("the log in {dir} could not be rewritten: {words}; nothing was changed")]
    Failed {
        /// Where the log lies.
        dir: String,
        /// What is wrong.
        words: String,
    },
}

/// Keeps what is readable of a stopped manager's log, and arranges that a new incarnation begins.
pub fn recover(dir: &Path, _: AcceptLoss) -> Result<Recovered, RecoverError> {
    let told = || dir.display().to_string();
    let failed = |words: String| RecoverError::Failed { dir: told(), words };
    let places = Places::new(dir);
    if !places.store.exists() {
        return Err(RecoverError::Unreadable { dir: told(), words: "there is none".into() });
    }
    // Held until the end: no daemon starts meanwhile.
    let mut head_file = HeadFile::open(&places.head).map_err(|error| {
        let in_use = error.kind() == io::ErrorKind::WouldBlock;
        if in_use { RecoverError::InUse { dir: told() } } else { failed(error.to_string()) }
    })?;
    let old = Rocks::open_read_only(&places.store)
        .map_err(|error| RecoverError::Unreadable { dir: told(), words: error.to_string() })?;
    let fresh = dir.join("store.fresh");
    remove(&fresh).map_err(|error| failed(error.to_string()))?;
    let mark = head_file.mark();
    let copied = {
        let new = Rocks::open(&fresh).map_err(|error| failed(error.to_string()))?;
        let mut copy = Copy::new(&new);
        copy.identity(&old).map_err(|error| failed(error.to_string()))?;
        let cause = copy.entries(&old).map_err(|error| failed(error.to_string()))?;
        copy.finish(&old).map_err(|error| failed(error.to_string()))?;
        (copy.position, copy.head, copy.next, cause)
    };
    drop(old);
    let (position, head, next, cause) = copied;
    let set_aside = unused(dir);
    let mut exchange = || -> io::Result<()> {
        head_file.lower(Mark { next_index: next, revision: position.revision })?;
        fs::rename(&places.store, &set_aside)?;
        fs::rename(&fresh, &places.store)?;
        fs::File::open(dir)?.sync_all()
    };
    exchange().map_err(|error| failed(error.to_string()))?;
    let durable = mark.revision.max(position.revision);
    Ok(Recovered { position, head, durable, incarnation: position.incarnation + 1, set_aside, cause })
}

/// Copying the readable part.
struct Copy<'a> {
    new: &'a Rocks,
    batch: Batch,
    position: Position,
    head: Hash,
    next: u64,
}

impl<'a> Copy<'a> {
    fn new(new: &'a Rocks) -> Copy<'a> {
        Copy { new, batch: Batch::default(), position: Position::default(), head: Hash::ZERO, next: 0 }
    }

    fn identity(&mut self, old: &Rocks) -> Result<(), StoreError> {
        for key in [keys::IDENTITY, keys::VOTE] {
            if let Some(value) = old.get(Table::Meta, key)? {
                self.batch.put(Table::Meta, key, &[&value]);
            }
        }
        self.flush()
    }

    /// Copies entry after entry until one can't be read, is missing, or breaks the chain; says what it was.
    fn entries(&mut self, old: &Rocks) -> Result<Option<String>, StoreError> {
        loop {
            let rows = match old.scan(Table::Entries, &Span::since(keys::entry_key(self.next)), Way::Up, PAGE)
            {
                Ok(rows) if rows.is_empty() => return Ok(None),
                Ok(rows) => rows,
                // The page may hold readable entries before the damage: one by one then.
                Err(_) => match old.get(Table::Entries, &keys::entry_key(self.next)) {
                    Ok(Some(value)) => vec![(keys::entry_key(self.next).to_vec().into(), value)],
                    Ok(None) => return Ok(Some(format!("raft index {} is missing", self.next))),
                    Err(error) => return Ok(Some(error.to_string())),
                },
            };
            for (key, value) in rows {
                if let Err(words) = self.entry(old, &key, &value) {
                    self.flush()?;
                    return Ok(Some(words));
                }
            }
            self.flush()?;
        }
    }

    fn entry(&mut self, old: &Rocks, key: &[u8], value: &bytes::Bytes) -> Result<(), String> {
        let at = keys::read_entry_key(key).map_err(|error| error.to_string())?;
        if at != self.next {
            return Err(format!("raft index {} is missing", self.next));
        }
        if let StoredBody::Entry(bytes) = keys::read_entry(value).map_err(|error| error.to_string())?.body {
            let sealed = chain::unseal(bytes).map_err(|error| error.to_string())?;
            let entry = Arc::new(Entry::from(sealed));
            if follows(&entry, self.position, self.head) {
                index(&mut self.batch, &Indexed { index: at, entry: entry.clone() })?;
                (self.position, self.head) = (entry.position(), entry.hash);
            } else if was_history(old, &entry, at) {
                return Err(format!("the chain breaks at revision {}", entry.first()));
            }
        }
        self.batch.put(Table::Entries, key, &[value]);
        self.next += 1;
        Ok(())
    }

    /// Names the snapshots that are still true, and the incarnation to begin.
    fn finish(&mut self, old: &Rocks) -> Result<(), StoreError> {
        let rows = old.scan(Table::Meta, &Span::new(keys::SNAPSHOT, keys::SNAPSHOT_END), Way::Up, PAGE)?;
        for (key, value) in rows {
            let named = meta::Snapshot::decode(value.clone());
            let below = named.is_ok_and(|named| {
                named.revision <= self.position.revision.0
                    && named.applied.is_none_or(|place| place.index < self.next)
            });
            if below {
                self.batch.put(Table::Meta, &key, &[&value]);
            }
        }
        let begun = meta::Begun { incarnation: self.position.incarnation + 1 };
        self.batch.put(Table::Meta, keys::BEGUN, &[&begun.encode_to_vec()]);
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.new.commit(&self.batch, Durability::Synced)?;
        self.batch.clear();
        Ok(())
    }
}

/// Whether the index says that this entry was applied.
fn was_history(old: &Rocks, entry: &Entry, index: u64) -> bool {
    let key = keys::revision_key(entry.first());
    let row = old.get(Table::Revisions, &key).ok().flatten();
    row.and_then(|value| keys::read_revision(&key, &value).ok()).is_some_and(|row| row.index == index)
}

fn unused(dir: &Path) -> PathBuf {
    let name = |n: u32| dir.join(format!("store.damaged-{n}"));
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| dir.join("store.damaged"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
