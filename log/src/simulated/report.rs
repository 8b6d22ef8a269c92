//! What a run tells.

use std::time::Duration;

/// What became of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftRun {
    /// Invariants that were broken, with what was seen; none in a right run.
    pub broken: Vec<String>,
    /// Entries of history at the end.
    pub entries: u64,
    /// Entries that a client was told to be history.
    pub acknowledged: u64,
    /// Linearizable reads that were answered.
    pub reads: u64,
    /// Terms in which somebody led.
    pub tenures: u64,
    /// Crashes of managers.
    pub crashes: u64,
    /// Sessions that went on after their disk had failed, without a restart.
    pub went_on: u64,
    /// Managers that have left.
    pub left: u64,
    /// Managers at the end.
    pub managers: u64,
    /// Snapshots that a manager took over from another one.
    pub installed: u64,
    /// How long it took, in virtual time.
    pub took: Duration,
    /// Steps of all tasks, and a digest of them.
    pub steps: (u64, u64),
}
