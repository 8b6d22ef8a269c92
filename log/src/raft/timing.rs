//! Raft's timing. It matters between managers only: one alone never waits for it.

use openraft::{Config, SnapshotPolicy};
use std::time::Duration;

/// How often a leader is heard of by managers to which it sends nothing else.
const RAFT_HEARTBEAT_PERIOD_MS: u64 = 100;
/// Silence of a leader after which a manager asks to lead, at least.
const ELECTION_MIN_MS: u64 = 400;
/// Silence of a leader after which a manager asks to lead, at most.
const ELECTION_MAX_MS: u64 = 800;
/// How long raft gives nobody else its votes after a majority has answered, counted from the
/// question.
pub(super) const LEASE_PERIOD: Duration = Duration::from_millis(ELECTION_MAX_MS);
/// Silence after which a manager names its leader no more. Elections are over long before, where
/// there can be one.
pub(super) const LEADER_SILENCE_MAX: Duration = Duration::from_millis(4 * ELECTION_MAX_MS);
/// Entries that a snapshot holds already and raft keeps visible, so that a follower a little behind
/// needs no snapshot.
pub(crate) const ENTRIES_BEHIND_SNAPSHOT_MAX: u64 = 10_000;

pub(super) fn config(entries_behind_snapshot: u64) -> Config {
    Config {
        cluster_name: "skep".into(),
        heartbeat_interval: RAFT_HEARTBEAT_PERIOD_MS,
        election_timeout_min: ELECTION_MIN_MS,
        election_timeout_max: ELECTION_MAX_MS,
        quorum_loss_probe_interval: Some(2 * ELECTION_MAX_MS),
        enable_pre_vote: Some(true),
        // A restarted leader writes an entry of a new term before it leads: only then is its log
        // known to be committed.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::Never,
        // A manager whose disk was set back has lost what it said it had. That must not end the
        // leader: it is sent the entries again.
        allow_log_reversion: Some(true),
        max_in_snapshot_log_to_keep: entries_behind_snapshot,
        ..Config::default()
    }
}
