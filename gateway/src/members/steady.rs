//! Which managers have answered the leader for a while. PURE.
//!
//! A manager whose raft ends again and again answers for moments. Raft must not change its members
//! on such an answer: the majority that remains would be gone with it.

use skep_log::RaftMembers;
use std::{collections::BTreeMap, time::Duration};

/// A manager that has not answered for so long has been away.
const AWAY_AFTER: Duration = Duration::from_secs(2);
/// One that was away counts once it has answered for so long.
const STEADY_AFTER: Duration = Duration::from_secs(5);

/// Since when those that were away answer again; none while they don't.
#[derive(Default)]
pub(super) struct SteadyManagers(BTreeMap<u64, Option<Duration>>);

impl SteadyManagers {
    /// Looks at all, at this time by a stopwatch.
    pub(super) fn look(&mut self, members: &RaftMembers, now: Duration) {
        self.0.retain(|raft_id, _| members.voters.contains(raft_id));
        for raft_id in members.voters.iter().filter(|raft_id| **raft_id != members.own) {
            let silent = members.silent_for.get(raft_id);
            if silent.is_none_or(|silent| *silent >= AWAY_AFTER) {
                self.0.insert(*raft_id, None);
            } else if let Some(since) = self.0.get_mut(raft_id) {
                since.get_or_insert(now);
            }
        }
        self.0
            .retain(|_, since| since.is_none_or(|since| now.saturating_sub(since) < STEADY_AFTER));
    }

    /// Whether this one answers, at this time in the leader's tenure; none where it is too early to
    /// say.
    pub(super) fn answers(&self, raft_id: u64, now: Duration) -> Option<bool> {
        match self.0.get(&raft_id) {
            None => Some(true),
            Some(Some(_)) => None,
            Some(None) => (now >= AWAY_AFTER).then_some(false),
        }
    }

    /// Whether a majority is steady of the voters that remain without this one.
    pub(super) fn are_enough_without(&self, members: &RaftMembers, leaving: u64) -> bool {
        let remain = || members.voters.iter().filter(|raft_id| **raft_id != leaving);
        let steady = remain().filter(|raft_id| !self.0.contains_key(raft_id)).count();
        steady > remain().count() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(silent_s: &[(u64, u64)]) -> RaftMembers {
        RaftMembers {
            own: 1,
            leader: Some(1),
            voters: [1, 2, 3].into(),
            silent_for: silent_s.iter().map(|(id, s)| (*id, Duration::from_secs(*s))).collect(),
            ..RaftMembers::default()
        }
    }

    #[test]
    fn a_manager_that_answers_for_a_moment_is_not_counted_on() {
        let mut steady = SteadyManagers::default();
        let mut enough = |silent_s: &[(u64, u64)], at_s| {
            let members = members(silent_s);
            steady.look(&members, Duration::from_secs(at_s));
            [2, 3].map(|leaving| steady.are_enough_without(&members, leaving))
        };
        assert_eq!(enough(&[(2, 0), (3, 1)], 0), [true, true]);
        assert_eq!(enough(&[(2, 0), (3, 2)], 1), [false, true], "3 is away");
        assert_eq!(enough(&[(2, 0), (3, 0)], 10), [false, true], "3 answers, for now");
        assert_eq!(enough(&[(2, 0), (3, 0)], 14), [false, true]);
        assert_eq!(enough(&[(2, 0), (3, 0)], 15), [true, true], "it has for 5 s");
        assert_eq!(enough(&[(2, 0)], 16), [false, true], "it has never answered this leader");
    }
}
