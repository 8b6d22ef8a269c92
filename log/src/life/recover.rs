//! The last resort of a manager that is alone: cut its log at the last readable entry, and begin a
//! new incarnation.
//!
//! What is readable is copied into a fresh store; the damaged one is set aside under another name,
//! and nothing of it is lost by trying. Snapshots that lie behind the cut have no name in the fresh
//! store; the next opening puts them aside too.
//!
//! A mark in the fresh store says that the next entry must begin a new incarnation, so that agents
//! and followers know that history went back, and up to where the loss was accepted: the next
//! opening lowers the head file to where the log ends now. A recovery that is interrupted at any
//! step leaves a log that opens, or that can be recovered again.

use super::opening::{begun, dir_of};
use crate::{
    Entry,
    chain::Hash,
    disk::{entries, files, head, index, keys, names, snapshot, store, store_handle::StoreHandle},
    failure::ErrorSource,
    fence::HistoryHead,
};
use prost::Message;
use skep_proto::{Position, Revision};
use skep_trust::ValueCipher;
use std::{io, path, sync::Arc};

/// Which loss an operator accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptLoss {
    /// Records that were acknowledged may be lost, where the log is damaged. One that is not
    /// damaged is refused.
    OfDamaged,
    /// The same, also where the log is not damaged, or where the disk refuses to give parts of it.
    Forced,
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
    pub set_aside: path::PathBuf,
    /// What ended the readable part; nothing where the log simply ends.
    pub cause: Option<String>,
}

/// Why nothing was recovered. The log is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A daemon runs on it.
    #[error("the log in {dir} is in use")]
    InUse {
        /// Where the log lies.
        dir: String,
    },
    /// There is nothing to recover from.
    #[error("the log in {dir} is not damaged: it ends at revision {readable}, as it should")]
    Undamaged {
        /// Where the log lies.
        dir: String,
        /// Where it ends.
        readable: Revision,
    },
    /// Not even its beginning can be read.
    #[error("the log in {dir} can't be read at all: {message}")]
    Unreadable {
        /// Where the log lies.
        dir: String,
        /// What is wrong.
        message: String,
    },
    /// The disk refused.
    #[error("the log in {dir} could not be rewritten, and nothing was changed")]
    Failed {
        /// Where the log lies.
        dir: String,
        /// What is wrong.
        source: ErrorSource,
    },
}

impl RecoverError {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            RecoverError::InUse { .. } => Some("stop the daemon first"),
            RecoverError::Undamaged { .. } => Some("start the daemon; there is nothing to recover"),
            RecoverError::Unreadable { .. } => Some("restore a backup"),
            RecoverError::Failed { .. } => None,
        }
    }
}

/// Keeps what is readable of a stopped manager's log, and arranges that a new incarnation begins.
/// `cipher` opens what is sealed.
pub fn recover(
    dir: &path::Path,
    loss: AcceptLoss,
    cipher: Option<Arc<ValueCipher>>,
) -> Result<Recovered, RecoverError> {
    let files = Arc::new(files::os::OsFiles::new(dir));
    recover_in(files::sealed::SealedFiles::over(files, cipher), loss)
}

/// As [`recover`], for a log on a model disk.
#[cfg(any(test, feature = "model"))]
pub fn recover_model(disk: &crate::ModelDisk, loss: AcceptLoss) -> Result<Recovered, RecoverError> {
    recover_in(disk.sealed(), loss)
}

pub(crate) fn recover_in(
    files: Arc<dyn files::Files>,
    loss: AcceptLoss,
) -> Result<Recovered, RecoverError> {
    let dir = || dir_of(&*files);
    let failed = |source: ErrorSource| RecoverError::Failed { dir: dir(), source };
    let unreadable = |message: String| RecoverError::Unreadable { dir: dir(), message };
    let io = |error: io::Error| failed(error.into());
    if !files.exists(names::STORE).map_err(io)? {
        if !files.exists(names::FRESH_STORE).map_err(io)? {
            return Err(unreadable("there is none".into()));
        }
        return finish_interrupted(&files, loss);
    }
    // Held until the end: no daemon starts meanwhile.
    let head_file = head::HeadFile::open(&*files).map_err(|error| {
        match error.kind() == io::ErrorKind::WouldBlock {
            true => RecoverError::InUse { dir: dir() },
            false => failed(error.into()),
        }
    })?;
    let old = StoreHandle::open_for_reading(files.clone()).map_err(|error| match error {
        store::StoreError::Failed(_)
        | store::StoreError::Locked(_)
        | store::StoreError::KeyMissing(_) => failed(error.into()),
        store::StoreError::Damaged(message) | store::StoreError::Absent(message) => {
            unreadable(message)
        }
    })?;
    let mark = head_file.mark();
    files.remove(names::FRESH_STORE).map_err(io)?;
    let copied =
        CopiedHistory::copy(&files, &old, mark, loss).map_err(|error| failed(error.into()))?;
    drop(old);
    if loss == AcceptLoss::OfDamaged && !copied.shows_damage(mark) {
        files.remove(names::FRESH_STORE).map_err(io)?;
        return Err(RecoverError::Undamaged { dir: dir(), readable: copied.position.revision });
    }
    let set_aside = unused(&*files).map_err(io)?;
    files.rename(names::STORE, &set_aside).map_err(io)?;
    exchange(&*files).map_err(io)?;
    Ok(copied.recovered(mark, files.path(&set_aside)))
}

/// The second half of the exchange.
fn exchange(files: &dyn files::Files) -> io::Result<()> {
    files.rename(names::FRESH_STORE, names::STORE)?;
    files.sync_names(names::ROOT)
}

/// A recovery was interrupted between its two renames. A fresh store that is whole takes its place;
/// one that is not is nothing, and the one that was set aside last is recovered.
fn finish_interrupted(
    files: &Arc<dyn files::Files>,
    loss: AcceptLoss,
) -> Result<Recovered, RecoverError> {
    let failed = |source: ErrorSource| RecoverError::Failed { dir: dir_of(&**files), source };
    let io = |error: io::Error| failed(error.into());
    let refused = |error: store::StoreError| failed(error.into());
    let whole = files
        .read_store(names::FRESH_STORE)
        .and_then(|store| store.get(store::StoreTable::Meta, keys::BEGUN));
    let set_aside = last_set_aside(&**files).map_err(io)?;
    match (whole, set_aside) {
        (Ok(Some(_)), set_aside) => {
            exchange(&**files).map_err(io)?;
            let store = StoreHandle::open_for_reading(files.clone()).map_err(refused)?;
            let (end, _) = crate::disk::index::readable_end(&store).map_err(refused)?;
            let begun = begun(&store).map_err(refused)?;
            let durable = begun.accepted().map_or(Revision::ZERO, |mark| mark.revision);
            Ok(Recovered {
                position: end.head.position,
                head: end.head.hash,
                durable: durable.max(end.head.position.revision),
                incarnation: begun.incarnation,
                set_aside: files.path(&set_aside.unwrap_or_default()),
                cause: None,
            })
        }
        (Ok(None) | Err(_), Some(old)) => {
            files.rename(&old, names::STORE).map_err(io)?;
            recover_in(files.clone(), loss)
        }
        (Ok(None), None) => {
            Err(RecoverError::Unreadable { dir: dir_of(&**files), message: "there is none".into() })
        }
        (Err(error), None) => Err(refused(error)),
    }
}

/// The readable part, in the fresh store.
struct CopiedHistory {
    position: Position,
    head: Hash,
    next: u64,
    incarnation: u64,
    cause: Option<String>,
}

impl CopiedHistory {
    fn copy(
        files: &Arc<dyn files::Files>,
        old: &StoreHandle,
        mark: head::HeadMark,
        loss: AcceptLoss,
    ) -> Result<CopiedHistory, store::StoreError> {
        let new = files.open_store(names::FRESH_STORE)?;
        let mut copy = Copy {
            new: &*new,
            loss,
            batch: store::Batch::default(),
            head: HistoryHead::default(),
            next: 0,
        };
        copy.identity(old)?;
        let cause = copy.entries(old)?;
        let incarnation = copy.finish(old, mark)?;
        Ok(CopiedHistory {
            position: copy.head.position,
            head: copy.head.hash,
            next: copy.next,
            incarnation,
            cause,
        })
    }

    /// Whether something that was synced is missing or altered.
    fn shows_damage(&self, mark: head::HeadMark) -> bool {
        self.cause.is_some() || self.next < mark.next_index
    }

    fn recovered(self, mark: head::HeadMark, set_aside: path::PathBuf) -> Recovered {
        Recovered {
            position: self.position,
            head: self.head,
            durable: mark.revision.max(self.position.revision),
            incarnation: self.incarnation,
            set_aside,
            cause: self.cause,
        }
    }
}

/// Copying the readable part.
struct Copy<'a> {
    new: &'a dyn store::Store,
    loss: AcceptLoss,
    batch: store::Batch,
    head: HistoryHead,
    next: u64,
}

impl Copy<'_> {
    fn identity(&mut self, old: &StoreHandle) -> Result<(), store::StoreError> {
        for key in [keys::IDENTITY, keys::VOTE] {
            if let Some(value) = self.unless_lost(old.get(store::StoreTable::Meta, key))?.flatten()
            {
                self.batch.put(store::StoreTable::Meta, key, &[&value]);
            }
        }
        self.flush()
    }

    /// What can be read; none where it is damaged, or where the disk refuses it and the operator
    /// said to go on. Where its key is missing nobody goes on.
    fn unless_lost<T>(
        &self,
        read: Result<T, store::StoreError>,
    ) -> Result<Option<T>, store::StoreError> {
        match (read, self.loss) {
            (Ok(read), _) => Ok(Some(read)),
            // Nothing is lost as long as somebody may find the key.
            (Err(error @ store::StoreError::KeyMissing(_)), _) => Err(error),
            (Err(store::StoreError::Damaged(_)), _) | (Err(_), AcceptLoss::Forced) => Ok(None),
            (Err(error), AcceptLoss::OfDamaged) => Err(error),
        }
    }

    /// Copies entry after entry until one can't be read, is missing, or breaks the chain; says what
    /// it was.
    fn entries(&mut self, old: &StoreHandle) -> Result<Option<String>, store::StoreError> {
        loop {
            let span = store::Span::since(keys::entry_key(self.next));
            let rows = match self.unless_lost(old.scan(
                store::StoreTable::Entries,
                &span,
                store::ScanOrder::Up,
                entries::PAGE,
            ))? {
                Some(rows) if rows.is_empty() => return Ok(None),
                Some(rows) => rows,
                // The page may hold readable entries before the damage: one by one then.
                None => {
                    let key = keys::entry_key(self.next);
                    match old.get(store::StoreTable::Entries, &key) {
                        Ok(Some(value)) => vec![(key.to_vec().into(), value)],
                        Ok(None) => {
                            return Ok(Some(format!("raft index {} is missing", self.next)));
                        }
                        Err(error) => {
                            let message = error.to_string();
                            self.unless_lost::<()>(Err(error))?;
                            return Ok(Some(message));
                        }
                    }
                }
            };
            for (key, value) in rows {
                let kept = self.entry(old, &key, &value);
                if let Err(store::StoreError::Damaged(message)) = kept {
                    self.flush()?;
                    return Ok(Some(message));
                }
                kept?;
            }
            self.flush()?;
        }
    }

    fn entry(
        &mut self,
        old: &StoreHandle,
        key: &[u8],
        value: &bytes::Bytes,
    ) -> Result<(), store::StoreError> {
        let index = keys::read_entry_key(key)?;
        if index != self.next {
            return Err(store::StoreError::Damaged(format!("raft index {} is missing", self.next)));
        }
        if let entries::LoadedBody::Entry(entry) = entries::load(index, value)?.body {
            if self.head.is_followed_by(&entry) {
                index::put_rows(&mut self.batch, &index::Indexed { index, entry: entry.clone() })?;
                self.head = HistoryHead::after(&entry);
            } else if self.was_history(old, &entry, index)? {
                let first = entry.first();
                return Err(store::StoreError::Damaged(format!(
                    "the chain breaks at revision {first}"
                )));
            }
        }
        self.batch.put(store::StoreTable::Entries, key, &[value]);
        self.next += 1;
        Ok(())
    }

    /// Whether the index says that this entry was applied. A damaged index does not answer that.
    fn was_history(
        &self,
        old: &StoreHandle,
        entry: &Entry,
        index: u64,
    ) -> Result<bool, store::StoreError> {
        Ok(self.unless_lost(index::is_indexed(old, entry, index))?.unwrap_or(false))
    }

    /// Names the snapshots that are still true, and then what the next opening must do: a store
    /// with that mark is whole. Says which incarnation begins: one above all that are known ever to
    /// have been, also where what they wrote is lost.
    fn finish(
        &mut self,
        old: &StoreHandle,
        mark: head::HeadMark,
    ) -> Result<u64, store::StoreError> {
        let named = self
            .unless_lost(index::named_snapshots(old, self.head.position.revision))?
            .unwrap_or_default();
        for snapshot in
            named.iter().filter(|s| s.applied.is_none_or(|log_id| log_id.index < self.next))
        {
            snapshot::put_name(&mut self.batch, snapshot);
        }
        let known = self.unless_lost(begun(old))?.unwrap_or_default().incarnation;
        let incarnation = known.max(mark.incarnation).max(self.head.position.incarnation) + 1;
        let begun: keys::meta::PendingRecovery =
            keys::meta::PendingRecovery::new(incarnation, mark);
        self.flush()?;
        self.batch.put(store::StoreTable::Meta, keys::BEGUN, &[&begun.encode_to_vec()]);
        self.flush()?;
        Ok(incarnation)
    }

    fn flush(&mut self) -> Result<(), store::StoreError> {
        self.new.commit(&self.batch, store::Durability::Synced)?;
        self.batch.clear();
        Ok(())
    }
}

/// A name that no damaged store has yet.
fn unused(files: &dyn files::Files) -> io::Result<String> {
    let mut n = 1;
    while files.exists(&names::damaged_store(n))? {
        n += 1;
    }
    Ok(names::damaged_store(n))
}

/// The store that was set aside last.
fn last_set_aside(files: &dyn files::Files) -> io::Result<Option<String>> {
    let mut last = None;
    let mut n = 1;
    while files.exists(&names::damaged_store(n))? {
        last = Some(names::damaged_store(n));
        n += 1;
    }
    Ok(last)
}
