//! A log that one thread drives, step by step, over a disk that loses what was not synced.
//!
//! Opening, restoring, appending, syncing, applying, snapshots and recovering are the functions
//! that the daemon's log runs; only consensus and threads are left out: this manager votes alone,
//! so what is synced is committed. The simulator holds one of these, and so can stop it between any
//! two steps.
//!
//! ```text
//!   append(entry) …  ─► sync() ─► each appended entry's outcome, after fold, index and status show it
//!   snapshot()       ─► where one was due: written, named
//!   disk.cut_power(keep); SingleLog::open(…)   a crash: of what was not synced the oldest `keep` changes survive
//! ```

use super::{
    errors::OpenError,
    opening::{self, Opened},
};
use crate::{
    Entry, Fold, Hash, HistoryReader, SealedEntry, SnapshotPolicy, Status,
    disk::{appender, entries, files, keys, snapshot, store},
    failure::{FailureCause, LogFailure},
    history::{Health, HistorySource, RaftRole, applier},
    raft::node::FIRST_RAFT_ID,
};
use prost::Message;
use skep_proto::{Id, Position, Revision};
use std::{collections::VecDeque, sync::Arc};

/// What became of an appended entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry.
    pub hash: Hash,
    /// Where history stands after it; none where it did not follow on the head, and did nothing.
    pub position: Option<Position>,
}

/// An open log. After an error nothing is taken any more until [`SingleLog::reopen`] succeeds;
/// history can still be read. Dropping it is a crash of the process: what it had written and not
/// synced is on the disk or not, as [`files::model::ModelDisk::cut_power`] decides.
pub struct SingleLog {
    files: Arc<dyn files::Files>,
    node: Id,
    log: Opened,
    counts: Arc<appender::Counts>,
    /// None after an error.
    appender: Option<appender::Appender>,
    term: u64,
    next_index: u64,
    /// Appended and not applied.
    waiting: VecDeque<(keys::meta::StoredLogId, StoredWaiting)>,
    rows: appender::Rows,
}

enum StoredWaiting {
    Blank,
    Membership(keys::meta::StoredMembership),
    Entry(Arc<Entry>),
}

impl SingleLog {
    /// Opens the log on a disk, restores the fold and brings it up to date. This manager leads
    /// then.
    pub fn open(
        disk: &files::model::ModelDisk,
        node: Id,
        snapshots: SnapshotPolicy,
        fold: Box<dyn Fold>,
    ) -> Result<SingleLog, OpenError> {
        let files = disk.sealed();
        let log = opening::open(&files, (node, crate::LogOrigin::Founds), snapshots, fold)?;
        let mut single = SingleLog {
            files,
            node,
            log,
            counts: Arc::default(),
            appender: None,
            term: 0,
            next_index: 0,
            waiting: VecDeque::new(),
            rows: appender::Rows::default(),
        };
        single.begin()?;
        Ok(single)
    }

    /// What the daemon does when the disk works again after a failure: the store is reopened,
    /// and all that it holds is applied. What was appended and not synced is history then, or never
    /// will be.
    pub fn reopen(&mut self) -> Result<(), OpenError> {
        self.appender = None;
        self.waiting.clear();
        self.rows = appender::Rows::default();
        match self.log.store.reopen() {
            crate::disk::store_handle::Reopened::Working => self.begin(),
            crate::disk::store_handle::Reopened::Reading(error)
            | crate::disk::store_handle::Reopened::Closed(error) => {
                Err(opening::refused(&*self.files, error))
            }
        }
    }

    fn begin(&mut self) -> Result<(), OpenError> {
        let appender = opening::appender(&*self.files, &self.log.store, &self.counts)?;
        self.appender = Some(appender);
        let begun = self.replay().and_then(|()| self.elect());
        begun.map_err(|failure| opening::not_started(&*self.files, &self.log.applier, failure))
    }

    /// Applies all that the store holds and that is not applied: this manager votes alone, so it is
    /// committed.
    fn replay(&mut self) -> Result<(), LogFailure> {
        self.next_index = self.log.applier.applied().map_or(0, |applied| applied.index + 1);
        loop {
            let page = entries::load_page(&self.log.store, self.next_index..u64::MAX)?;
            let Some(first) = page.first() else { break };
            if first.log_id.index != self.next_index {
                let missing = format!("raft index {} is missing from the log", self.next_index);
                return Err(LogFailure::Damaged(missing.into()));
            }
            for loaded in page {
                let what = match &loaded.body {
                    entries::LoadedBody::Blank => applier::Committed::Blank,
                    entries::LoadedBody::Membership(membership) => {
                        applier::Committed::Membership(membership)
                    }
                    entries::LoadedBody::Entry(entry) => applier::Committed::Entry(entry),
                };
                self.log.applier.apply(loaded.log_id, what)?;
                self.next_index = loaded.log_id.index + 1;
            }
            self.log.applier.announce();
        }
        Ok(())
    }

    /// Begins a new term, as a leader does that was elected again: a vote, and an entry that
    /// carries no records. What was appended before is applied first.
    pub fn elect(&mut self) -> Result<(), LogFailure> {
        let vote = self
            .log
            .store
            .get(store::StoreTable::Meta, keys::VOTE)?
            .map(keys::meta::StoredVote::decode)
            .transpose();
        let vote = vote.map_err(|error| {
            let message = format!("the stored vote cannot be read: {error}");
            LogFailure::Damaged(FailureCause::caused_by(message, error))
        })?;
        self.term = vote.map_or(0, |vote| vote.term).max(self.term) + 1;
        let status = &self.log.listeners.status;
        status.elected(self.term, RaftRole::Follower);
        self.rows.vote(&keys::meta::StoredVote {
            term: self.term,
            voted_for: FIRST_RAFT_ID,
            committed: true,
        });
        let waiting = if self.next_index == 0 {
            let member = keys::meta::Member {
                id: FIRST_RAFT_ID,
                node_id: self.node.to_bytes(),
                address: String::new(),
            };
            let voters = vec![keys::meta::Voters { ids: vec![FIRST_RAFT_ID] }];
            StoredWaiting::Membership(keys::meta::StoredMembership {
                voters,
                members: vec![member],
            })
        } else {
            StoredWaiting::Blank
        };
        self.push(waiting)?;
        self.sync_all()?;
        self.log.listeners.status.elected(self.term, RaftRole::Leader);
        self.log.listeners.status.health(Health::Ok);
        Ok(())
    }

    /// Writes an entry, not yet synced; its index in raft's log.
    pub fn append(&mut self, entry: SealedEntry) -> Result<u64, LogFailure> {
        self.push(StoredWaiting::Entry(Arc::new(entry.into())))
    }

    fn push(&mut self, waiting: StoredWaiting) -> Result<u64, LogFailure> {
        let log_id = keys::meta::StoredLogId { term: self.term, index: self.next_index };
        let (body, position) = match &waiting {
            StoredWaiting::Blank => (keys::StoredBody::Blank, None),
            StoredWaiting::Membership(membership) => {
                (keys::StoredBody::Membership(membership.encode_to_vec().into()), None)
            }
            StoredWaiting::Entry(entry) => {
                (keys::StoredBody::Entry(entry.bytes().clone()), Some(entry.position()))
            }
        };
        self.rows.entry(log_id, body, position);
        let appender = self.appender.as_mut().ok_or_else(not_working)?;
        let written = appender.commit_unsynced(&mut self.rows);
        self.check(written)?;
        self.next_index += 1;
        self.waiting.push_back((log_id, waiting));
        Ok(log_id.index)
    }

    /// Makes all that was appended durable and applies it; says what became of each entry.
    pub fn sync(&mut self) -> Result<Vec<Applied>, LogFailure> {
        self.sync_all()
    }

    /// The same for what was appended up to this index; what comes after it goes on waiting.
    pub fn sync_up_to(&mut self, index: u64) -> Result<Vec<Applied>, LogFailure> {
        let unindexed = self.log.listeners.unindexed.all();
        let last = self.waiting.iter().rev().find(|(log_id, _)| log_id.index <= index);
        let Some((last, _)) = last else { return Ok(Vec::new()) };
        let position =
            self.waiting.iter().rev().filter(|(log_id, _)| log_id.index <= index).find_map(
                |(_, waiting)| match waiting {
                    StoredWaiting::Entry(entry) => Some(entry.position()),
                    StoredWaiting::Blank | StoredWaiting::Membership(_) => None,
                },
            );
        let last = *last;
        let appender = self.appender.as_mut().ok_or_else(not_working)?;
        let synced = self
            .rows
            .index(&unindexed)
            .and_then(|()| appender.sync(&mut self.rows, last, position));
        self.check(synced)?;
        self.log.listeners.unindexed.stored(unindexed.len());
        let applied = self.apply_up_to(index);
        self.log.applier.announce();
        self.check(applied)
    }

    fn sync_all(&mut self) -> Result<Vec<Applied>, LogFailure> {
        self.sync_up_to(u64::MAX)
    }

    fn apply_up_to(&mut self, index: u64) -> Result<Vec<Applied>, LogFailure> {
        let mut applied = Vec::new();
        while let Some((log_id, waiting)) =
            self.waiting.pop_front_if(|(log_id, _)| log_id.index <= index)
        {
            let what = match &waiting {
                StoredWaiting::Blank => applier::Committed::Blank,
                StoredWaiting::Membership(membership) => applier::Committed::Membership(membership),
                StoredWaiting::Entry(entry) => applier::Committed::Entry(entry),
            };
            let outcome = self.log.applier.apply(log_id, what)?;
            if let StoredWaiting::Entry(entry) = &waiting {
                let position = match outcome {
                    applier::ApplyOutcome::Extended(position) => Some(position),
                    applier::ApplyOutcome::Fenced | applier::ApplyOutcome::Outside => None,
                };
                applied.push(Applied { hash: entry.hash, position });
            }
        }
        Ok(applied)
    }

    /// Takes a snapshot if one is due: writes its file, and then its name. Says at which revision.
    /// One that can't be written is no failure of the log; the next one will be tried.
    pub fn snapshot(&mut self) -> Result<Option<Revision>, LogFailure> {
        let Some(frozen) = self.log.applier.due() else { return Ok(None) };
        let named = match self.log.snapshots.write(frozen.named, &(frozen.view)()) {
            Ok(named) => named,
            Err(error) => {
                tracing::warn!(%error, "a snapshot could not be written");
                self.log.applier.written(None);
                return Ok(None);
            }
        };
        let mut batch = store::Batch::default();
        snapshot::put_name(&mut batch, &named);
        self.rows.change(&batch);
        let appender = self.appender.as_mut().ok_or_else(not_working)?;
        let written = self.log.listeners.unindexed.commit_with(appender, &mut self.rows);
        self.check(written)?;
        self.log.applier.written(Some(named.stored_bytes));
        Ok(Some(Revision(named.revision)))
    }

    /// The first error ends the work, as the daemon's session ends with it.
    fn check<T, E: Into<LogFailure>>(&mut self, result: Result<T, E>) -> Result<T, LogFailure> {
        result.map_err(|error| {
            let failure = error.into();
            self.appender = None;
            let status = &self.log.listeners.status;
            status.elected(self.term, RaftRole::Follower);
            status.health(match &failure {
                LogFailure::Disk(_) | LogFailure::Panicked(_) => {
                    Health::Failed(failure.message().to_owned())
                }
                LogFailure::Damaged(_) | LogFailure::Halted(_) => {
                    Health::Stopped(failure.message().to_owned())
                }
            });
            failure
        })
    }

    /// Where the log stands.
    pub fn status(&self) -> Status {
        self.log.listeners.status.now()
    }

    /// The read side.
    pub fn history(&self) -> HistoryReader {
        HistoryReader::new(HistorySource {
            store: self.log.store.clone(),
            unindexed: self.log.listeners.unindexed.clone(),
            snapshots: self.log.snapshots.clone(),
            status: self.log.listeners.status.watch(),
        })
    }

    /// Entries that are appended and not applied.
    pub fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    /// The incarnation that the next entry must begin, where a recovery cut this log and nothing
    /// was written since.
    pub fn begun_incarnation(&self) -> Option<u64> {
        let applied = self.status().applied;
        Some(self.log.begun).filter(|begun| *begun > applied.incarnation)
    }
}

fn not_working() -> LogFailure {
    LogFailure::Disk("the log must be reopened before it is written".into())
}
