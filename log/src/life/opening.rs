//! Opening: whose log it is, the newest snapshot that can be used, and whether the end is where it
//! should be.
//!
//! An error of the file system is never taken for damage: nothing is deleted for it, and the next
//! attempt may work.

use super::{config::LogOrigin, errors::with_causes};
use crate::{
    Fold, OpenError, RestoreError, SnapshotPolicy,
    disk::{appender, entries, files, head, index, keys, names, snapshot, store, store_handle},
    failure::{FailureCause, LogFailure},
    history::applier::{Applier, Listeners},
    raft::node::FIRST_RAFT_ID,
};
use prost::Message;
use skep_proto::{Id, Revision};
use std::{io, sync::Arc};

/// A log that was opened and not yet brought up to date.
pub(crate) struct Opened {
    pub(crate) identity: keys::meta::StoredIdentity,
    pub(crate) store: Arc<store_handle::StoreHandle>,
    pub(crate) snapshots: snapshot::Snapshots,
    pub(crate) listeners: Listeners,
    pub(crate) applier: Applier,
    /// The incarnation that the next entry must begin, after a recovery; 0 is none.
    pub(crate) begun: u64,
}

/// Opens the store and loads the newest snapshot that can be used.
pub(crate) fn open(
    files: &Arc<dyn files::Files>,
    whose: (Id, LogOrigin),
    policy: SnapshotPolicy,
    fold: Box<dyn Fold>,
) -> Result<Opened, OpenError> {
    let dir = || dir_of(&**files);
    let failed = |error: io::Error| OpenError::Failed { dir: dir(), source: error.into() };
    let refused = |error: store::StoreError| refused(&**files, error);
    files.make_folder(names::ROOT).map_err(failed)?;
    refuse_half_recovered(&**files)?;
    let store = Arc::new(store_handle::StoreHandle::open(files.clone()).map_err(refused)?);
    files.sync_names(names::ROOT).map_err(failed)?;
    let identity = identify(&**files, &store, whose)?;
    let begun = begun(&store).map_err(refused)?.incarnation;
    let indexed = index::indexed_end(&store).map_err(refused)?;
    let end = indexed.head.position.revision;
    let (listeners, snapshots) = (Listeners::default(), snapshot::Snapshots::new(files.clone()));
    let mut applier = Applier::new(fold, indexed, policy, listeners.clone(), store.clone());
    restore(&mut applier, &store, &snapshots, end).map_err(refused)?;
    Ok(Opened { identity, store, snapshots, listeners, applier, begun })
}

/// A recovery that was interrupted between its two renames leaves no store under its name. An empty
/// one must not be made there.
fn refuse_half_recovered(files: &dyn files::Files) -> Result<(), OpenError> {
    let failed = |error: io::Error| OpenError::Failed { dir: dir_of(files), source: error.into() };
    if files.exists(names::STORE).map_err(failed)? {
        return Ok(());
    }
    if files.exists(names::FRESH_STORE).map_err(failed)? {
        let message = "a recovery of it was interrupted; run it again to finish it".into();
        return Err(OpenError::Damaged { dir: dir_of(files), message });
    }
    let mark = head::HeadFile::read(files).map_err(failed)?;
    if mark.next_index > 0 {
        let (readable, durable) = (Revision::ZERO, mark.revision);
        return Err(OpenError::EndsEarly { dir: dir_of(files), readable, durable });
    }
    Ok(())
}

/// Finds out whose log it is, or says so in an empty one.
fn identify(
    files: &dyn files::Files,
    store: &store_handle::StoreHandle,
    (node, origin): (Id, LogOrigin),
) -> Result<keys::meta::StoredIdentity, OpenError> {
    let refused = |error| refused(files, error);
    if let Some(value) = store.get(store::StoreTable::Meta, keys::IDENTITY).map_err(refused)? {
        let found = keys::meta::StoredIdentity::decode(value).map_err(|error| {
            refused(store::StoreError::Damaged(format!("its identity: {error}")))
        })?;
        if found.node() != node {
            return Err(OpenError::OtherNode {
                dir: dir_of(files),
                found: found.node(),
                wanted: node,
            });
        }
        let wanted = match origin {
            LogOrigin::Founds => FIRST_RAFT_ID,
            LogOrigin::Joins { raft_id, .. } => raft_id,
        };
        if found.raft_id != wanted {
            let (dir, found) = (dir_of(files), found.raft_id);
            return Err(OpenError::OtherManager { dir, found, wanted });
        }
        return Ok(found);
    }
    let node_id = node.to_bytes();
    let identity = match origin {
        LogOrigin::Founds => {
            let raft_id = FIRST_RAFT_ID;
            keys::meta::StoredIdentity { node_id, raft_id, joined: false, lineage: 0 }
        }
        LogOrigin::Joins { raft_id, lineage } => {
            let lineage = lineage.0;
            keys::meta::StoredIdentity { node_id, raft_id, joined: true, lineage }
        }
    };
    let mut batch = store::Batch::default();
    batch.put(store::StoreTable::Meta, keys::IDENTITY, &[&identity.encode_to_vec()]);
    store.commit(&batch, store::Durability::Synced).map_err(refused)?;
    Ok(identity)
}

/// What a recovery left to be done.
pub(crate) fn begun(
    store: &store_handle::StoreHandle,
) -> Result<keys::meta::PendingRecovery, store::StoreError> {
    let begun = store
        .get(store::StoreTable::Meta, keys::BEGUN)?
        .map(keys::meta::PendingRecovery::decode)
        .transpose();
    let begun = begun
        .map_err(|error| store::StoreError::Damaged(format!("the mark of a recovery: {error}")))?;
    Ok(begun.unwrap_or_default())
}

/// Puts the newest usable snapshot into the fold. One that is damaged loses its name and its file;
/// one that another version of the program wrote keeps both. The entries behind either are applied
/// instead; where a snapshot came from another manager they may not be here, and nothing is
/// changed.
fn restore(
    applier: &mut Applier,
    store: &store_handle::StoreHandle,
    snapshots: &snapshot::Snapshots,
    end: Revision,
) -> Result<(), store::StoreError> {
    let mut named = index::named_snapshots(store, Revision(u64::MAX))?;
    let mut batch = store::Batch::default();
    let mut damaged = Vec::new();
    let mut passed_over = false;
    for candidate in &named {
        let unusable: String = match snapshots.read(candidate) {
            Ok(view) => match applier.restore(candidate, &view) {
                Ok(()) => break,
                Err(RestoreError::Damaged(message)) => {
                    damaged.push(candidate.revision);
                    message
                }
                Err(RestoreError::OtherVersion(message)) => message,
            },
            Err(error @ snapshot::SnapshotReadError::Damaged { .. }) => {
                damaged.push(candidate.revision);
                error.to_string()
            }
            Err(error @ snapshot::SnapshotReadError::Newer { .. }) => error.to_string(),
            Err(error @ snapshot::SnapshotReadError::Unreadable { .. }) => return Err(error.into()),
        };
        passed_over = true;
        tracing::warn!(
            revision = candidate.revision,
            unusable,
            "the snapshot before this one is tried"
        );
    }
    for revision in &damaged {
        batch.delete(store::StoreTable::Meta, &keys::snapshot_key(Revision(*revision)));
    }
    if passed_over {
        refuse_gap(store, applier.applied().map_or(0, |applied| applied.index + 1))?;
    }
    show_again(applier.applied(), store, &mut batch)?;
    if !batch.is_empty() {
        store.commit(&batch, store::Durability::Synced)?;
    }
    named.retain(|snapshot| !damaged.contains(&snapshot.revision));
    if let Err(error) = snapshots.sweep(&named, end) {
        tracing::warn!(%error, "snapshots that nothing names could not be taken away");
    }
    Ok(())
}

/// A log that took over a snapshot from another manager lacks entries before it, and can't do
/// without it.
fn refuse_gap(store: &store_handle::StoreHandle, next: u64) -> Result<(), store::StoreError> {
    let Some(missing) = entries::first_missing(store, next)? else { return Ok(()) };
    Err(store::StoreError::Damaged(format!(
        "its newest snapshot can't be used, and raft index {missing}, which it holds, is not here otherwise"
    )))
}

/// What raft had hidden behind a snapshot that was not used must be seen by raft again.
fn show_again(
    restored: Option<keys::meta::StoredLogId>,
    store: &store_handle::StoreHandle,
    batch: &mut store::Batch,
) -> Result<(), store::StoreError> {
    let Some(value) = store.get(store::StoreTable::Meta, keys::PURGED)? else { return Ok(()) };
    let purged = keys::meta::StoredLogId::decode(value).map_err(|error| {
        store::StoreError::Damaged(format!("the purge pointer does not decode: {error}"))
    })?;
    match restored {
        Some(log_id) if log_id.index >= purged.index => {}
        Some(log_id) => {
            batch.put(store::StoreTable::Meta, keys::PURGED, &[&log_id.encode_to_vec()])
        }
        None => batch.delete(store::StoreTable::Meta, keys::PURGED),
    }
    Ok(())
}

/// Opens the head file, checks that no synced record is missing, and is ready to write then.
pub(crate) fn appender(
    files: &dyn files::Files,
    store: &Arc<store_handle::StoreHandle>,
    counts: &Arc<appender::Counts>,
) -> Result<appender::Appender, OpenError> {
    let refused = |error| refused(files, error);
    let failed = |error: io::Error| OpenError::Failed { dir: dir_of(files), source: error.into() };
    let mut head = head::HeadFile::open(files).map_err(failed)?;
    let purged = store.get(store::StoreTable::Meta, keys::PURGED).map_err(refused)?;
    let purged = purged
        .and_then(|value| keys::meta::StoredLogId::decode(value).ok())
        .map_or(0, |log_id| log_id.index + 1);
    let last = entries::last(store).map_err(refused)?;
    let next_index = last.map_or(0, |last| last.index + 1).max(purged);
    let begun = begun(store).map_err(refused)?;
    if let Some(accepted) = begun.accepted() {
        if head.mark() == accepted && next_index < accepted.next_index {
            let (end, _) = index::readable_end(store).map_err(refused)?;
            let revision = end.head.position.revision;
            head.lower(head::HeadMark { next_index, revision, ..accepted }).map_err(failed)?;
        }
        // It is accepted once: what is lost from now on is another loss.
        let mut batch = store::Batch::default();
        batch.put(
            store::StoreTable::Meta,
            keys::BEGUN,
            &[&begun.without_accepted().encode_to_vec()],
        );
        store.commit(&batch, store::Durability::Synced).map_err(refused)?;
    }
    if next_index < head.mark().next_index {
        let (end, _) = index::readable_end(store).map_err(refused)?;
        let readable = end.head.position.revision;
        let durable = head.mark().revision.max(readable);
        return Err(OpenError::EndsEarly { dir: dir_of(files), readable, durable });
    }
    Ok(appender::Appender { store: store.clone(), head, counts: counts.clone() })
}

/// The log's folder, for people.
pub(crate) fn dir_of(files: &dyn files::Files) -> String {
    files.path(names::ROOT).display().to_string()
}

/// The store's refusal as an error of opening.
pub(crate) fn refused(files: &dyn files::Files, error: store::StoreError) -> OpenError {
    let dir = dir_of(files);
    match error {
        store::StoreError::Damaged(message) => OpenError::Damaged { dir, message },
        store::StoreError::Locked(_) => OpenError::Locked { dir, source: error.into() },
        store::StoreError::Absent(_)
        | store::StoreError::Failed(_)
        | store::StoreError::KeyMissing(_) => OpenError::Failed { dir, source: error.into() },
    }
}

/// The failure of a session that has just begun, as an error of opening.
pub(crate) fn not_started(
    files: &dyn files::Files,
    applier: &Applier,
    failure: LogFailure,
) -> OpenError {
    let dir = dir_of(files);
    match failure {
        LogFailure::Halted(cause) => {
            let message = cause.into_message();
            OpenError::Halted { dir, applied: applier.position().0, message }
        }
        LogFailure::Damaged(cause) => OpenError::Damaged { dir, message: cause.into_message() },
        LogFailure::Disk(cause) | LogFailure::Panicked(cause) => {
            OpenError::Failed { dir, source: cause.into_source() }
        }
    }
}

impl OpenError {
    /// What keeps an opened log from going on, if this does.
    pub(crate) fn failure(self) -> LogFailure {
        let message = match self.hint() {
            Some(hint) => format!("{}; {hint}", with_causes(&self)),
            None => with_causes(&self),
        };
        let failure = match self {
            OpenError::Locked { .. } | OpenError::Failed { .. } => LogFailure::Disk,
            OpenError::Panicked { .. } => LogFailure::Panicked,
            OpenError::EndsEarly { .. }
            | OpenError::Damaged { .. }
            | OpenError::OtherNode { .. }
            | OpenError::OtherManager { .. } => LogFailure::Damaged,
            OpenError::Halted { .. } => LogFailure::Halted,
        };
        failure(FailureCause::caused_by(message, self))
    }
}
