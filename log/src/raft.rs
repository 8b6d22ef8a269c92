//! Consensus: openraft on our store. It is named in this folder and nowhere else.
//!
//! ```text
//!   propose ─► raft ─► log store ─► writer (one batch, one sync) ─► raft ─► state machine ─► applier
//! ```

pub(crate) mod alarm;
mod codec;
mod log_store;
mod machine;
mod network;
pub(crate) mod node;
pub(crate) mod proposal;
mod runtime;
#[cfg(test)]
mod suite;
mod tail;
pub(crate) mod tasks;
mod types;
mod writer;
