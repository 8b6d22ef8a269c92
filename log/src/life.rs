//! The life of a log: opened, kept alive, reopened after the disk failed, recovered, closed.
//!
//! What decides is the same for the log that a daemon runs ([`supervise`] and [`session`], with
//! threads and raft) and for the one that a single thread drives step by step ([`single`]).

pub(crate) mod config;
pub(crate) mod errors;
pub(crate) mod open_log;
pub(crate) mod opening;
mod panics;
pub(crate) mod probe;
pub(crate) mod recover;
mod session;
#[cfg(any(test, feature = "model"))]
pub(crate) mod single;
pub(crate) mod space;
pub(crate) mod supervise;
