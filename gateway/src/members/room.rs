//! Whether another manager should lead because this one's disk is nearly full. PURE.
//!
//! The leader's disk decides what people may add: the entry is written there first. So a leader
//! with little room is worse than a follower with little room, as long as another one has plenty.

use crate::drive::core::ADDITIONS_FREE_SHARE_MIN;

/// Free share of the disk that a manager must have to be handed the lead. Well above the share
/// below which a leader looks for another one, or two full disks would hand it to and fro.
const LEADER_FREE_SHARE_MIN: f64 = 2.0 * ADDITIONS_FREE_SHARE_MIN;

/// Whether a leader with this free share of its disk should look for another one.
pub(super) fn is_scarce(own: f64) -> bool {
    own < ADDITIONS_FREE_SHARE_MIN
}

/// The manager that should lead instead, by its number in raft, of those that have said what share
/// of their disks is free; none where nobody has enough.
pub(super) fn roomiest(others: &[(u64, f64)]) -> Option<u64> {
    let have_room = others.iter().filter(|(_, free)| *free >= LEADER_FREE_SHARE_MIN);
    have_room.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(raft_id, _)| *raft_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_with_a_nearly_full_disk_hands_over_to_the_one_with_most_room() {
        assert!(is_scarce(0.049) && !is_scarce(0.05));
        assert_eq!(roomiest(&[]), None);
        assert_eq!(roomiest(&[(2, 0.099)]), None, "it would soon hand it back");
        assert_eq!(roomiest(&[(2, 0.1), (3, 0.5), (4, 0.5)]), Some(3));
    }
}
