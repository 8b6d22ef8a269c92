//! What the engine's events show about one container. Pure.

use skep_proto::time::SECOND_NS;

/// A signal that came so long before the end, and is not in the exit code, did not cause it.
pub(super) const SIGNAL_EFFECT_LIMIT_NS: u64 = 10 * SECOND_NS;
/// The exit code that SIGKILL leaves.
const KILLED: i32 = 137;
/// Kept of each container; older signals are of no interest.
const SIGNALS_MAX: usize = 8;

/// Something that an event of the engine says about a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ContainerEvent {
    /// It was started.
    Started,
    /// A signal was sent to it through the engine.
    Signal(i32),
    /// The kernel ended something in it for want of memory. The engine hears of that by a way of
    /// its own, and may do so later than of the end.
    WantedMemory,
    /// It ended with this exit code.
    Died(i32),
    /// A stop was carried out.
    Stopped,
    /// It was removed.
    Destroyed,
    /// Something else that makes a look worth it: it was created or paused, or its health changed.
    Changed,
}

/// What the engine's events show about one container since its last start. Times are the engine's,
/// in nanoseconds. The order in which events arrive does not matter, nor whether one arrives twice.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Trace {
    /// Its last start; 0 where no event showed one.
    pub(super) started_at: u64,
    /// Signals sent through the engine: when, and which; in the order of their times.
    pub(super) signals: Vec<(u64, i32)>,
    /// Its end: when, and the exit code.
    pub(super) died: Option<(u64, i32)>,
    /// The kernel ended something in it for want of memory.
    pub(super) wanted_memory_at: Option<u64>,
    /// A stop was carried out.
    pub(super) stopped_at: Option<u64>,
    /// It was removed.
    pub(super) destroyed: bool,
}

impl Trace {
    /// Takes up an event. What is older than the last start belongs to an earlier run.
    pub(super) fn note(&mut self, at: u64, happening: ContainerEvent) {
        match happening {
            ContainerEvent::Destroyed => self.destroyed = true,
            ContainerEvent::Changed => {}
            ContainerEvent::Started if at > self.started_at => {
                self.started_at = at;
                self.signals.retain(|(sent, _)| *sent > at);
                self.died = self.died.filter(|(died, _)| *died > at);
                self.wanted_memory_at = self.wanted_memory_at.filter(|wanted| *wanted > at);
                self.stopped_at = self.stopped_at.filter(|stopped| *stopped > at);
            }
            ContainerEvent::Started
            | ContainerEvent::Signal(_)
            | ContainerEvent::WantedMemory
            | ContainerEvent::Died(_)
            | ContainerEvent::Stopped
                if at <= self.started_at => {}
            ContainerEvent::Started => {}
            ContainerEvent::Signal(signal) => {
                if let Err(index) = self.signals.binary_search(&(at, signal)) {
                    self.signals.insert(index, (at, signal));
                }
                if self.signals.len() > SIGNALS_MAX {
                    self.signals.remove(0);
                }
            }
            ContainerEvent::Died(code) => self.died = self.died.max(Some((at, code))),
            ContainerEvent::WantedMemory => {
                self.wanted_memory_at = self.wanted_memory_at.max(Some(at));
            }
            ContainerEvent::Stopped => self.stopped_at = self.stopped_at.max(Some(at)),
        }
    }

    /// The signal, sent through the engine, that the container with this exit code died of at that
    /// time.
    pub(super) fn deadly(&self, died_at: u64, code: i32) -> Option<i32> {
        let fits = |(at, signal): &&(u64, i32)| {
            *at <= died_at && (code == 128 + signal || died_at - at <= SIGNAL_EFFECT_LIMIT_NS)
        };
        self.signals.iter().rev().find(fits).map(|(_, signal)| *signal)
    }

    /// Whether an end by SIGKILL may have been for want of memory, though nobody has said so yet.
    pub(super) fn may_have_wanted_memory(&self, code: i32) -> bool {
        let by_signal = self.died.is_some_and(|(at, code)| self.deadly(at, code).is_some());
        code == KILLED && self.wanted_memory_at.is_none() && self.stopped_at.is_none() && !by_signal
    }

    /// Whether an end with this code was for want of memory, as the engine's events say. A process
    /// beside the first one may have been ended too; then the container went on.
    pub(super) fn shows_want_of_memory(&self, code: i32) -> bool {
        code == KILLED && self.wanted_memory_at.is_some()
    }

    /// Whether news that are still under way could change what is thought about an end with this
    /// code.
    pub(super) fn is_unsettled(&self, code: i32) -> bool {
        match self.died {
            None => code > 128,
            // After a stranger's signal a stop, a removal or a new start may follow: each means
            // something else.
            Some((at, code)) => self.deadly(at, code).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_any_order_and_twice_make_the_same_trace() {
        let events = [
            (1, ContainerEvent::Started),
            (5, ContainerEvent::Signal(15)),
            (5, ContainerEvent::WantedMemory),
            (6, ContainerEvent::Died(143)),
            (7, ContainerEvent::Stopped),
            (9, ContainerEvent::Started),
            (12, ContainerEvent::Signal(9)),
            (12, ContainerEvent::Died(137)),
            (13, ContainerEvent::WantedMemory),
        ];
        let expected = Trace {
            started_at: 9,
            signals: vec![(12, 9)],
            died: Some((12, 137)),
            wanted_memory_at: Some(13),
            ..Trace::default()
        };
        for turn in 0..events.len() {
            let mut trace = Trace::default();
            let (after, before) = events.split_at(turn);
            for (at, happening) in before.iter().chain(after).chain(&events[turn..]) {
                trace.note(*at, *happening);
            }
            assert_eq!(trace, expected, "begun with {turn}");
            let mut trace = Trace::default();
            events.iter().rev().for_each(|(at, happening)| trace.note(*at, *happening));
            assert_eq!(trace, expected, "backwards");
        }
    }

    #[test]
    fn nothing_up_to_the_last_start_counts_in_whatever_order_it_comes() {
        use ContainerEvent::{Died, Signal, Started, Stopped, WantedMemory};
        for earlier in [Signal(15), WantedMemory, Died(143), Stopped] {
            let mut trace = Trace::default();
            trace.note(9, earlier);
            trace.note(9, Started);
            trace.note(9, earlier);
            assert_eq!(trace, Trace { started_at: 9, ..Trace::default() }, "{earlier:?}");
        }
    }

    #[test]
    fn signals_are_bounded_and_the_newest_stay() {
        let mut trace = Trace::default();
        (1..=20).for_each(|at| trace.note(at, ContainerEvent::Signal(1)));
        assert_eq!(trace.signals.len(), SIGNALS_MAX);
        assert_eq!(trace.signals.last(), Some(&(20, 1)));
    }

    #[test]
    fn only_a_code_above_128_may_still_be_explained_by_a_signal() {
        assert!(!Trace::default().is_unsettled(128));
        assert!(Trace::default().is_unsettled(129));
    }

    #[test]
    fn only_an_end_by_sigkill_is_for_want_of_memory() {
        let mut trace = Trace::default();
        trace.note(5, ContainerEvent::Died(137));
        assert!(trace.may_have_wanted_memory(137) && !trace.may_have_wanted_memory(139));
        assert!(!trace.shows_want_of_memory(137), "nobody has said so");
        trace.note(4, ContainerEvent::WantedMemory);
        assert!(trace.shows_want_of_memory(137) && !trace.may_have_wanted_memory(137));
        assert!(!trace.shows_want_of_memory(0), "it was another process of the container");
    }
}
