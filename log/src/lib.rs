//! The log: raft over RocksDB, one copy of everything that ever happened.
//!
//! ```text
//!   seal ─► propose ─► raft ─► writer (one batch, one sync) ─► committed ─► fence ─► fold ─► index, followers, status
//! ```
//!
//! The raft log *is* the history: nothing is written twice, and purging moves a pointer. Each entry
//! names the hash of the one before; one that does not follow on the head does nothing. What is
//! acknowledged is synced. Nothing outside this crate knows by which consensus, or in which store.
//!
//! Four floors, each of which imports from those below it and never from those above:
//!
//! ```text
//!   log       what others call
//!   life      opened, kept alive, healed, recovered
//!   raft      openraft; the writer
//!   history   what was applied: read, followed, indexed
//!   disk      RocksDB and files: layouts, what is durable when
//!   (chain, entry, fence, fold, failure: the types that all of them use)
//! ```

pub mod chain;
mod disk;
mod entry;
mod failure;
mod fence;
mod fold;
mod history;
mod life;
mod log;
mod raft;
#[cfg(any(test, feature = "model"))]
mod simulated;
#[cfg(any(test, feature = "model"))]
mod testing;
#[cfg(test)]
mod tests;

pub use chain::{Draft, Hash, MadeFrom, SealedEntry, seal, unseal};
pub use disk::appender::Counters;
#[cfg(any(test, feature = "model"))]
pub use disk::files::model::{Fault, ModelDisk};
pub use entry::Entry;
pub use failure::{ErrorSource, FailureCause, LogFailure};
pub use fold::{Fold, Frozen, Halt, RestoreError};
pub use history::{
    AuditIndex, Entries, Health, HistoryReader, Leadership, OpenHistoryError, ReadError, Revisions,
    Status, SubscribeError, Subscription, applier::SnapshotPolicy,
};
pub use life::{
    config::{Config, LogOrigin},
    errors::OpenError,
    recover::{AcceptLoss, RecoverError, Recovered, recover},
    space::{FREE_SHARE_MIN, Space},
};
#[cfg(any(test, feature = "model"))]
pub use life::{
    recover::recover_model,
    single::{Applied, SingleLog},
};
pub use log::{BarrierError, IN_FLIGHT_BYTES_MAX, Log, LogTasks};
pub use raft::{
    CONSENSUS_TARGET,
    members::{MemberChange, NoMemberChange, RaftMembers},
    peers::{NoPeerAnswer, PeerAddress, PeerLane, PeerTransport},
    proposal::{Proposal, ProposeError},
};
#[cfg(any(test, feature = "model"))]
pub use simulated::{report::RaftRun, simulate_raft};
