//! Consensus: openraft on our store. It is named in this folder and nowhere else.
//!
//! ```text
//!   propose ─► raft ─► log store ─► writer (one batch, one sync) ─► raft ─► state machine ─► applier
//! ```

/// What the library's own messages are filtered by. It warns of each message that a manager which
/// is away does not get, some twenty in a second; `doctor` and `node ls` say who is away.
pub const CONSENSUS_TARGET: &str = "openraft";

pub(crate) mod alarm;
mod arrivals;
mod codec;
mod contact;
pub(crate) mod handle;
pub(crate) mod hearing;
mod log_store;
mod machine;
pub(crate) mod members;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod peers;
pub(crate) mod proposal;
pub(crate) mod runtime;
#[cfg(test)]
mod suite;
mod tail;
pub(crate) mod tasks;
pub(crate) mod timing;
pub(crate) mod types;
#[cfg(any(test, feature = "model"))]
pub(crate) mod virtual_time;
#[cfg(not(any(test, feature = "model")))]
#[path = "raft/virtual_time/absent.rs"]
mod virtual_time;
mod watching;
pub(crate) mod wire;
mod writer;
