//! The messages of skep: commands, events, answers and views of objects, with their encoding.
//!
//! Everything here is data. The messages are generated from `schema/skep/v1`; beside them stand the
//! few domain words that deserve a type of their own: ids, revisions, times. Pure: no clock, no
//! randomness, no IO.

pub mod author;
#[cfg(feature = "transport")]
pub mod codec;
pub mod condition;
pub mod constraint;
mod counted;
pub mod defaults;
pub mod event;
pub mod feature;
pub mod id;
pub mod json;
pub mod merge;
pub mod os_error;
pub mod placement;
pub mod position;
mod size;
pub mod task_state;
pub mod time;

/// The messages of the `skep.v1` package, generated from the schema.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated; the schema carries the words"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/skep.v1.rs"));

    /// The compiled schema itself, for those who render messages by reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/skep.v1.bin"));
}

pub use counted::{counted, verb};
pub use id::Id;
pub use position::{Lineage, Position, Revision};
pub use size::bytes_size;
pub use time::Timestamp;

/// Billionths of a CPU that one CPU has: the unit in which CPUs are asked for and offered.
pub const NANO_CPUS: i64 = 1_000_000_000;

/// The newest feature level this program knows: what `apply`, digest and reconcilers mean at it
/// never changes again. A leader raises the cluster to it as soon as every manager knows it; from
/// then on a program that does not know it can't read the log.
pub const FEATURE_LEVEL: u32 = 7;

/// From this feature level on, a change of the restart policy replaces no task.
pub const RESTART_POLICY_LEVEL: u32 = 2;

/// From this feature level on, entries name their lineage and what their turn was made from,
/// records with free text are salted, and a command's id is bound to its author, its lineage and
/// what it asks.
pub const LINEAGE_LEVEL: u32 = 3;

/// From this feature level on, the view remembers which nodes were removed, and records name the
/// addresses of nodes and of open ports.
pub const REMOVAL_LEVEL: u32 = 5;

/// From this feature level on, records say which nodes are managers, under which numbers in raft,
/// and which manager holds a session.
pub const MANAGERS_LEVEL: u32 = 6;

/// From this feature level on, records say whether each manager answers the leader.
pub const REACH_LEVEL: u32 = 7;

/// From this feature level on, managers can be locked, and their unlock key is rotated by a record.
pub const AUTOLOCK_LEVEL: u32 = 7;
