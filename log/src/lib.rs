//! The log: raft over RocksDB, one copy of everything that ever happened.
//!
//! ```text
//!   seal ─► propose ─► raft ─► writer (one batch, one sync) ─► committed ─► fence ─► fold ─► status, followers
//!                                                                             └► index ─► history
//! ```
//!
//! The raft log *is* the history: nothing is written twice, and purging moves a pointer. Each entry names the hash
//! of the one before; one that does not follow on the head does nothing. What is acknowledged is synced. Nothing
//! outside this crate knows by which consensus, or in which store.

mod alarm;
mod applier;
pub mod chain;
mod entry;
mod fence;
mod fold;
mod head;
mod history;
mod keys;
mod log;
mod proposal;
mod raft;
mod recover;
mod ring;
mod session;
mod snapshot;
mod space;
mod status;
mod store;
mod subscribe;
mod supervise;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unindexed;
mod writer;

pub use applier::SnapshotPolicy;
pub use chain::{Draft, Hash, SealedEntry, seal, unseal};
pub use entry::Entry;
pub use fold::{Fold, Frozen, Halt, RestoreError};
pub use history::{AuditIndex, Entries, History, ReadError, Revisions, offline::OpenHistoryError};
pub use log::{BarrierError, Config, FREE_SHARE_MIN, IN_FLIGHT_BYTES_MAX, Log, OpenError};
pub use proposal::{Proposal, ProposeError};
pub use recover::{AcceptLoss, RecoverError, Recovered, recover};
pub use space::Space;
pub use status::{Health, Status};
pub use subscribe::{SubscribeError, Subscription};
pub use writer::Counters;
