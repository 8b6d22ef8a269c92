//! Which connections are accepted: counts, and nothing else. PURE.

use std::collections::BTreeMap;

/// Most connections of one socket; one more gets a message and is closed at once.
const CONNECTIONS_MAX: u32 = 8_192;
/// Connections reserved for the manager's own agent, so that others never cost it its session.
const OWN_CONNECTIONS_MAX: u32 = 8;
/// Descriptors that connections leave to the log, tasks and files; where fewer are allowed,
/// connections get a third.
const DESCRIPTORS_RESERVED_MIN: u64 = 256;
/// Connections count as accepted again when fewer than this share of the limit, in eighths, are
/// open: one that comes and goes at the limit is not logged each time.
const REOPENS_EIGHTHS_MAX: u32 = 7;

/// How many connections may be open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimits {
    /// Without those of the manager's own agent.
    pub all: u32,
    /// Those of one process.
    pub process: u32,
}

impl ConnectionLimits {
    /// What a process with this limit of descriptors can afford.
    pub fn for_descriptors(limit: u64) -> ConnectionLimits {
        let rest = limit.saturating_sub(DESCRIPTORS_RESERVED_MIN).max(limit / 3);
        let all = u32::try_from(rest).unwrap_or(u32::MAX).clamp(4, CONNECTIONS_MAX);
        ConnectionLimits { all, process: all / 2 }
    }
}

/// What becomes of a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    Taken,
    Refused,
}

/// A change that is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LimitChange {
    /// The first one was refused.
    Full,
    /// There is room again.
    Over,
}

/// The connections that are open, by process.
pub struct ConnectionCounts {
    limits: ConnectionLimits,
    by_process: BTreeMap<i32, u32>,
    others: u32,
    own: u32,
    refused: u64,
    refusing: bool,
}

impl ConnectionCounts {
    /// None is open.
    pub fn new(limits: ConnectionLimits) -> ConnectionCounts {
        ConnectionCounts {
            limits,
            by_process: BTreeMap::new(),
            others: 0,
            own: 0,
            refused: 0,
            refusing: false,
        }
    }

    /// Connections that are open.
    pub fn open(&self) -> u32 {
        self.others + self.own
    }

    /// How many may be open, without those of the manager's own agent.
    pub fn limit(&self) -> u32 {
        self.limits.all
    }

    /// How many have been refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether some are refused now.
    pub fn is_refusing(&self) -> bool {
        self.refusing
    }

    /// One more of this process; `own` is the manager's.
    pub(super) fn enter(&mut self, process: i32, own: u32) -> (Admission, Option<LimitChange>) {
        let is_own = u32::try_from(process) == Ok(own);
        let held = self.by_process.get(&process).copied().unwrap_or(0);
        let room = if is_own {
            held < OWN_CONNECTIONS_MAX
        } else {
            self.others < self.limits.all && held < self.limits.process
        };
        if !room {
            self.refused += 1;
            let begins = !std::mem::replace(&mut self.refusing, true);
            return (Admission::Refused, begins.then_some(LimitChange::Full));
        }
        self.by_process.insert(process, held + 1);
        if is_own {
            self.own += 1;
        } else {
            self.others += 1;
        }
        (Admission::Taken, None)
    }

    /// One of this process has gone.
    pub(super) fn leave(&mut self, process: i32, own: u32) -> Option<LimitChange> {
        let held = self.by_process.remove(&process).unwrap_or(0);
        if held > 1 {
            self.by_process.insert(process, held - 1);
        }
        if u32::try_from(process) == Ok(own) {
            self.own = self.own.saturating_sub(1);
        } else {
            self.others = self.others.saturating_sub(1);
        }
        let low = |open: u32, limit: u32| {
            u64::from(open) * 8 <= u64::from(limit) * u64::from(REOPENS_EIGHTHS_MAX)
        };
        let fullest = self.by_process.values().copied().max().unwrap_or(0);
        let over =
            self.refusing && low(self.others, self.limits.all) && low(fullest, self.limits.process);
        self.refusing &= !over;
        over.then_some(LimitChange::Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1;

    fn connections() -> ConnectionCounts {
        ConnectionCounts::new(ConnectionLimits { all: 8, process: 4 })
    }

    #[test]
    fn one_process_gets_half_the_connections_and_others_the_rest() {
        let mut connections = connections();
        assert!((0..4).all(|_| connections.enter(10, OWN) == (Admission::Taken, None)));
        assert_eq!(
            connections.enter(10, OWN),
            (Admission::Refused, Some(LimitChange::Full)),
            "told once"
        );
        assert_eq!(connections.enter(10, OWN), (Admission::Refused, None));
        assert!(
            (0..4).all(|_| connections.enter(11, OWN) == (Admission::Taken, None)),
            "others still get in"
        );
        assert_eq!(
            connections.enter(12, OWN),
            (Admission::Refused, None),
            "all connections are taken"
        );
        assert_eq!((connections.open(), connections.limit(), connections.refused()), (8, 8, 3));
    }

    #[test]
    fn the_managers_own_agent_gets_in_at_a_full_door_within_its_own_bound() {
        let mut connections = connections();
        for process in [10, 11] {
            (0..4).for_each(|_| _ = connections.enter(process, OWN));
        }
        assert_eq!(connections.enter(12, OWN).0, Admission::Refused);
        assert!((0..OWN_CONNECTIONS_MAX).all(|_| connections.enter(1, OWN).0 == Admission::Taken));
        assert_eq!(connections.enter(1, OWN).0, Admission::Refused);
        assert_eq!(connections.leave(1, OWN), None, "its leaving makes no room for others");
        assert_eq!(connections.enter(12, OWN).0, Admission::Refused);
        assert_eq!(connections.open(), 8 + OWN_CONNECTIONS_MAX - 1);
    }

    #[test]
    fn the_end_is_told_once_and_when_there_is_real_room() {
        let mut connections = connections();
        (0..5).for_each(|_| _ = connections.enter(10, OWN));
        assert!(connections.is_refusing());
        assert_eq!(connections.leave(10, OWN), Some(LimitChange::Over), "3 of 4");
        assert!(!connections.is_refusing());
        assert_eq!(connections.leave(10, OWN), None);
        assert_eq!(connections.enter(10, OWN), (Admission::Taken, None));
        let wide = ConnectionLimits { all: 100, process: 50 };
        let mut connections = ConnectionCounts::new(wide);
        (0..51).for_each(|_| _ = connections.enter(10, OWN));
        let told: Vec<_> = (0..10).map(|_| connections.leave(10, OWN)).collect();
        assert_eq!(
            told.iter().position(|turning| turning.is_some()),
            Some(6),
            "at 43 of 50: {told:?}"
        );
        assert_eq!(told.iter().flatten().count(), 1);
    }

    #[test]
    fn limits_leave_descriptors_for_the_log() {
        assert_eq!(
            ConnectionLimits::for_descriptors(160),
            ConnectionLimits { all: 53, process: 26 }
        );
        assert_eq!(
            ConnectionLimits::for_descriptors(1_024),
            ConnectionLimits { all: 768, process: 384 }
        );
        assert_eq!(
            ConnectionLimits::for_descriptors(1 << 20),
            ConnectionLimits { all: CONNECTIONS_MAX, process: CONNECTIONS_MAX / 2 }
        );
        assert_eq!(ConnectionLimits::for_descriptors(0), ConnectionLimits { all: 4, process: 2 });
    }
}
