//! Raft's state machine: hands what is committed to the applier, and what it says back to who
//! proposed it.
//!
//! Snapshots are taken beside raft, by the log's own policy; raft only learns of those that are
//! finished. A snapshot that can't be written is then no reason for raft to stop.

use super::{alarm, codec, runtime, tail, types, writer};
use crate::{
    disk::{index, keys, snapshot, store, store_handle::StoreHandle},
    history::applier::{Applier, ApplyOutcome, Committed, FrozenSnapshot},
};
use futures::{Stream, TryStreamExt};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, storage, type_config::alias};
use prost::Message;
use skep_proto::Revision;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::mpsc;

/// Consensus over our state.
pub(crate) type Raft = openraft::Raft<types::Types, StateMachine>;

/// Entries that are applied before the first of them is announced and answered, at most.
const UNANNOUNCED_MAX: usize = 64;

/// A snapshot on its way from or to raft: its name, and where its bytes are.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) named: keys::meta::Snapshot,
    pub(crate) source: SnapshotSource,
}

/// Where the bytes of a snapshot are.
#[derive(Clone, Debug)]
pub(crate) enum SnapshotSource {
    /// In a file of this manager's.
    Filed(snapshot::Snapshots),
    /// They have come from another manager.
    Arrived(bytes::Bytes),
}

impl SnapshotFile {
    /// As raft hands it about.
    pub(crate) fn of_raft(self) -> io::Result<alias::SnapshotOf<types::Types, SnapshotFile>> {
        Ok(alias::SnapshotOf::<types::Types, _> { meta: meta_of(&self.named)?, snapshot: self })
    }

    /// Its bytes as stored.
    pub(crate) async fn body(&self) -> io::Result<bytes::Bytes> {
        match &self.source {
            SnapshotSource::Arrived(body) => Ok(body.clone()),
            SnapshotSource::Filed(folder) => {
                let (folder, named) = (folder.clone(), self.named.clone());
                let read = runtime::blocking(move || folder.read_body(&named)).await?;
                read.map_err(io::Error::other)
            }
        }
    }
}

/// What raft applies to. Handles share one applier.
#[derive(Clone)]
pub(crate) struct StateMachine {
    pub(crate) applier: Arc<Mutex<Applier>>,
    /// None where entries are applied that no log has.
    pub(crate) tail: Option<Arc<tail::SharedTail>>,
    pub(crate) snapshots: snapshot::Snapshots,
    pub(crate) store: Arc<StoreHandle>,
    pub(crate) queue: writer::Queue,
    pub(crate) alarm: Arc<alarm::Alarm>,
    /// Told of each finished snapshot.
    pub(crate) finished: mpsc::Sender<()>,
}

/// Builds what raft asks for.
pub(crate) enum Builder {
    /// What was finished last.
    Finished(StateMachine),
    /// The view as it was when raft asked.
    Asked(StateMachine, Mutex<Option<Box<FrozenSnapshot>>>),
}

impl StateMachine {
    fn applier(&self) -> MutexGuard<'_, Applier> {
        self.applier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_one(&self, entry: &types::RaftEntry) -> io::Result<ApplyOutcome> {
        let log_id = codec::store_log_id(&entry.log_id);
        let membership;
        let what = match &entry.payload {
            EntryPayload::Blank => Committed::Blank,
            EntryPayload::Normal(chained) => Committed::Entry(&chained.0),
            EntryPayload::Membership(found) => {
                membership = codec::store_membership(found);
                Committed::Membership(&membership)
            }
        };
        let applied = self.applier().apply(log_id, what);
        applied.map_err(|failure| {
            let error = io::Error::other(failure.message().to_owned());
            self.alarm.raise(failure);
            error
        })
    }

    /// Announces what was applied, and only then answers for it.
    fn answer(&self, answers: &mut Vec<(storage::ApplyResponder<types::Types>, ApplyOutcome)>) {
        self.applier().announce();
        answers.drain(..).for_each(|(responder, outcome)| responder.send(outcome));
    }

    /// Writes a due snapshot on another thread, names it, and says so.
    fn snapshot_if_due(&self) {
        let Some(frozen) = self.applier().due() else { return };
        let machine = self.clone();
        runtime::spawn_beside(async move {
            let written = machine.write(frozen).await;
            let stored_bytes = match &written {
                Ok(named) => Some(named.stored_bytes),
                Err(error) => {
                    tracing::warn!(%error, "a snapshot could not be written; the next one will be tried");
                    None
                }
            };
            machine.applier().written(stored_bytes);
            if written.is_ok() {
                // Nobody listens any more when the log is being closed.
                let _nobody = machine.finished.try_send(());
            }
        });
    }

    async fn write(&self, frozen: FrozenSnapshot) -> io::Result<keys::meta::Snapshot> {
        let snapshots = self.snapshots.clone();
        let named =
            runtime::blocking(move || snapshots.write(frozen.named, &(frozen.view)())).await??;
        let mut batch = store::Batch::default();
        snapshot::put_name(&mut batch, &named);
        self.queue.ask(|done| writer::Work::Change { batch, done }).await?;
        Ok(named)
    }

    fn offered(
        &self,
        named: keys::meta::Snapshot,
    ) -> io::Result<alias::SnapshotOf<types::Types, SnapshotFile>> {
        let source = SnapshotSource::Filed(self.snapshots.clone());
        SnapshotFile { named, source }.of_raft()
    }

    /// The newest snapshot of what is applied here. One beyond that was passed over at the opening,
    /// since this program does not read it: raft must not be offered it.
    fn newest(&self) -> io::Result<Option<keys::meta::Snapshot>> {
        let applied = self.applier().applied().map_or(0, |applied| applied.index);
        let mut named = index::named_snapshots(&self.store, Revision(u64::MAX))?.into_iter();
        Ok(named.find(|snapshot| snapshot.applied.is_none_or(|log_id| log_id.index <= applied)))
    }
}

fn meta_of(named: &keys::meta::Snapshot) -> io::Result<alias::SnapshotMetaOf<types::Types>> {
    let membership = named.membership.clone().unwrap_or_default();
    Ok(alias::SnapshotMetaOf::<types::Types> {
        last_log_id: named.applied.as_ref().map(codec::load_log_id),
        last_membership: codec::load_membership_at(named.membership_log_id.as_ref(), &membership)?,
    })
}

impl RaftSnapshotBuilder<types::Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(
        &mut self,
    ) -> Result<alias::SnapshotOf<types::Types, SnapshotFile>, io::Error> {
        match self {
            Builder::Finished(machine) => match machine.newest()? {
                Some(named) => machine.offered(named),
                None => Err(io::Error::other("there is no snapshot")),
            },
            Builder::Asked(machine, frozen) => {
                let frozen = frozen.get_mut().unwrap_or_else(PoisonError::into_inner).take();
                let frozen =
                    frozen.ok_or_else(|| io::Error::other("the snapshot was built already"))?;
                let named = machine.write(*frozen).await?;
                machine.offered(named)
            }
        }
    }
}

impl storage::RaftStateMachine<types::Types> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<types::LogId>, types::MembershipAt), io::Error> {
        let applier = self.applier();
        let (log_id, membership) = applier.membership();
        let membership = codec::load_membership_at(log_id.as_ref(), membership)?;
        Ok((applier.applied().as_ref().map(codec::load_log_id), membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<storage::EntryResponder<types::Types>, io::Error>>
            + Unpin
            + OptionalSend,
    {
        let alarm = self.alarm.clone();
        let _guard = alarm::PanicGuard(&alarm);
        let mut answers = Vec::new();
        let mut unannounced = 0;
        let result = loop {
            match entries.try_next().await {
                Ok(Some((entry, responder))) => {
                    if let Some(tail) = &self.tail {
                        tail.until_written(entry.log_id.index).await;
                    }
                    match self.apply_one(&entry) {
                        Ok(outcome) => {
                            answers.extend(responder.map(|responder| (responder, outcome)));
                        }
                        Err(error) => break Err(error),
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            unannounced += 1;
            if unannounced == UNANNOUNCED_MAX {
                self.answer(&mut answers);
                unannounced = 0;
            }
        };
        self.answer(&mut answers);
        if self.applier().gathered() {
            self.queue.push(writer::Work::Index)?;
        }
        self.snapshot_if_due();
        result
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        match (force, self.newest()) {
            (false, Ok(Some(_))) => Some(Builder::Finished(self.clone())),
            (false, Ok(None) | Err(_)) => None,
            (true, _) => Some(self.get_snapshot_builder().await),
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let frozen = self.applier().freeze();
        Builder::Asked(self.clone(), Mutex::new(Some(Box::new(frozen))))
    }

    async fn install_snapshot(
        &mut self,
        meta: &alias::SnapshotMetaOf<types::Types>,
        snapshot: SnapshotFile,
    ) -> Result<(), io::Error> {
        let body = snapshot.body().await?;
        let SnapshotFile { named, source } = snapshot;
        if meta.last_log_id != named.applied.as_ref().map(codec::load_log_id) {
            return Err(io::Error::other("the snapshot is not the one that raft speaks of"));
        }
        let before = self.applier().known_until();
        let own = self.snapshots.clone();
        let read = runtime::blocking(move || -> io::Result<_> {
            let view = own.unpack(&named, &body).map_err(io::Error::other)?;
            let named = match source {
                SnapshotSource::Filed(_) => named,
                SnapshotSource::Arrived(_) => own.keep(named, &body)?,
            };
            Ok((named, view))
        });
        let (named, view) = read.await??;
        let mut batch = store::Batch::default();
        snapshot::put_name(&mut batch, &named);
        // What lies between was never applied here and is not known to be history.
        if let Some(log_id) = named.applied.filter(|log_id| log_id.index >= before) {
            let (from, to) = (keys::entry_key(before), keys::entry_key(log_id.index + 1));
            batch.delete_span(store::StoreTable::Entries, &from, &to);
            batch.put(store::StoreTable::Meta, keys::PURGED, &[&log_id.encode_to_vec()]);
        }
        // First what may be refused; it is committed elsewhere, and may be seen at once.
        self.applier().restore(&named, &view).map_err(io::Error::other)?;
        self.queue.ask(|done| writer::Work::Change { batch, done }).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<alias::SnapshotOf<types::Types, SnapshotFile>>, io::Error> {
        self.newest()?.map(|named| self.offered(named)).transpose()
    }
}

/// Tells raft of a finished snapshot, so that it may forget what lies before.
pub(crate) async fn announce(raft: &Raft) {
    if let Err(error) = raft.trigger().snapshot().await {
        tracing::debug!(%error, "raft was not told of a snapshot");
    }
}
