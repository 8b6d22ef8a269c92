//! Who gets in at a door: counts, and nothing else. PURE.

use std::collections::BTreeMap;

/// Connections one door takes at most; one more is told so and closed at once.
const CONNECTIONS_MAX: u32 = 8_192;
/// Places that only the manager's own agent can take, so that a full door never costs it its
/// session.
const OWN_CONNECTIONS: u32 = 8;
/// Descriptors that connections leave to the log, tasks and files; where fewer are allowed,
/// connections get a third.
const DESCRIPTORS_RESERVED: u64 = 256;
/// A refusing door is open again when it is filled to less than this share, in eighths: so that one
/// place that comes and goes is not told each time.
const REOPENS_EIGHTHS: u32 = 7;

/// How many may be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// All but the manager's own agent.
    pub all: u32,
    /// Those of one process.
    pub process: u32,
}

impl Limits {
    /// What a process with this limit of descriptors can afford.
    pub fn for_descriptors(limit: u64) -> Limits {
        let rest = limit.saturating_sub(DESCRIPTORS_RESERVED).max(limit / 3);
        let all = u32::try_from(rest).unwrap_or(u32::MAX).clamp(4, CONNECTIONS_MAX);
        Limits { all, process: all / 2 }
    }
}

/// What becomes of one that comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    Taken,
    Refused,
}

/// A change that people should hear of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turning {
    /// The first one was refused.
    Full,
    /// There is room again.
    Over,
}

/// Who is in.
pub struct Places {
    limits: Limits,
    by_process: BTreeMap<i32, u32>,
    others: u32,
    own: u32,
    refused: u64,
    refusing: bool,
}

impl Places {
    /// Nobody is in.
    pub fn new(limits: Limits) -> Places {
        Places {
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

    /// How many others than the manager's own agent may be in.
    pub fn limit(&self) -> u32 {
        self.limits.all
    }

    /// How many have been sent away since the start.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether some are being sent away now.
    pub fn is_refusing(&self) -> bool {
        self.refusing
    }

    /// One more of this process; `own` is the manager's.
    pub(super) fn enter(&mut self, process: i32, own: u32) -> (Entry, Option<Turning>) {
        let is_own = u32::try_from(process) == Ok(own);
        let held = self.by_process.get(&process).copied().unwrap_or(0);
        let room = if is_own {
            held < OWN_CONNECTIONS
        } else {
            self.others < self.limits.all && held < self.limits.process
        };
        if !room {
            self.refused += 1;
            let begins = !std::mem::replace(&mut self.refusing, true);
            return (Entry::Refused, begins.then_some(Turning::Full));
        }
        self.by_process.insert(process, held + 1);
        if is_own {
            self.own += 1;
        } else {
            self.others += 1;
        }
        (Entry::Taken, None)
    }

    /// One of this process has gone.
    pub(super) fn leave(&mut self, process: i32, own: u32) -> Option<Turning> {
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
            u64::from(open) * 8 <= u64::from(limit) * u64::from(REOPENS_EIGHTHS)
        };
        let fullest = self.by_process.values().copied().max().unwrap_or(0);
        let over =
            self.refusing && low(self.others, self.limits.all) && low(fullest, self.limits.process);
        self.refusing &= !over;
        over.then_some(Turning::Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1;

    fn places() -> Places {
        Places::new(Limits { all: 8, process: 4 })
    }

    #[test]
    fn one_process_gets_half_the_places_and_others_the_rest() {
        let mut places = places();
        assert!((0..4).all(|_| places.enter(10, OWN) == (Entry::Taken, None)));
        assert_eq!(places.enter(10, OWN), (Entry::Refused, Some(Turning::Full)), "told once");
        assert_eq!(places.enter(10, OWN), (Entry::Refused, None));
        assert!(
            (0..4).all(|_| places.enter(11, OWN) == (Entry::Taken, None)),
            "others still get in"
        );
        assert_eq!(places.enter(12, OWN), (Entry::Refused, None), "all places are taken");
        assert_eq!((places.open(), places.limit(), places.refused()), (8, 8, 3));
    }

    #[test]
    fn the_managers_own_agent_gets_in_at_a_full_door_within_its_own_bound() {
        let mut places = places();
        for process in [10, 11] {
            (0..4).for_each(|_| _ = places.enter(process, OWN));
        }
        assert_eq!(places.enter(12, OWN).0, Entry::Refused);
        assert!((0..OWN_CONNECTIONS).all(|_| places.enter(1, OWN).0 == Entry::Taken));
        assert_eq!(places.enter(1, OWN).0, Entry::Refused);
        assert_eq!(places.leave(1, OWN), None, "its leaving makes no room for others");
        assert_eq!(places.enter(12, OWN).0, Entry::Refused);
        assert_eq!(places.open(), 8 + OWN_CONNECTIONS - 1);
    }

    #[test]
    fn the_end_is_told_once_and_when_there_is_real_room() {
        let mut places = places();
        (0..5).for_each(|_| _ = places.enter(10, OWN));
        assert!(places.is_refusing());
        assert_eq!(places.leave(10, OWN), Some(Turning::Over), "3 of 4");
        assert!(!places.is_refusing());
        assert_eq!(places.leave(10, OWN), None);
        assert_eq!(places.enter(10, OWN), (Entry::Taken, None));
        let wide = Limits { all: 100, process: 50 };
        let mut places = Places::new(wide);
        (0..51).for_each(|_| _ = places.enter(10, OWN));
        let told: Vec<_> = (0..10).map(|_| places.leave(10, OWN)).collect();
        assert_eq!(
            told.iter().position(|turning| turning.is_some()),
            Some(6),
            "at 43 of 50: {told:?}"
        );
        assert_eq!(told.iter().flatten().count(), 1);
    }

    #[test]
    fn limits_leave_descriptors_for_the_log() {
        assert_eq!(Limits::for_descriptors(160), Limits { all: 53, process: 26 });
        assert_eq!(Limits::for_descriptors(1_024), Limits { all: 768, process: 384 });
        assert_eq!(
            Limits::for_descriptors(1 << 20),
            Limits { all: CONNECTIONS_MAX, process: CONNECTIONS_MAX / 2 }
        );
        assert_eq!(Limits::for_descriptors(0), Limits { all: 4, process: 2 });
    }
}
