//! What events and listings showed about an engine and its containers, and when to list them next.
//! PURE.
//!
//! Nothing here decides that a container has ended: that takes a look at it (see
//! [`container_watch`](super::container_watch)). An event wakes the watch over its container and
//! makes a listing due soon. A listing wakes the watch over each container that it does not show as
//! running. So a lost event delays the notice of an end until the next listing at most, and a
//! listing that leaves a container out costs one look.

use super::{
    judgement::{LiveRestore, Outage},
    ledger::{ListedContainer, ListedPhase},
    trace::{ContainerEvent, Trace},
};
use skep_proto::time::SECOND_NS;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Outages that are remembered; the oldest is forgotten, and an end in it is then taken for the
/// container's own.
const OUTAGES_MAX: usize = 16;
/// Between two listings while nothing happens.
const LIST_PERIOD_NS: u64 = 10 * SECOND_NS;
/// From an event that may be one of many to the listing which finds those whose events were lost.
const LIST_DELAY_NS: u64 = SECOND_NS;
/// A listing takes at most this part of the time: an engine that needs long for it is asked less
/// often.
const LIST_TIME_SHARE_MAX: u64 = 20;

/// Whether the engine answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum EngineAnswers {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It answers.
    Yes,
    /// It does not, since then by the wall clock in nanoseconds, for that reason.
    No { since: u64, reason: String },
}

/// What is known of an engine and its containers.
#[derive(Debug, Default)]
pub(super) struct EngineState {
    traces: BTreeMap<String, Trace>,
    outages: VecDeque<Outage>,
    answering: EngineAnswers,
    live_restore: LiveRestore,
    /// Time of the newest event: where a new stream begins, and how an engine that lost its memory
    /// is known.
    newest: u64,
    /// When to list next, by the caller's clock.
    list_at: u64,
    /// When the last listing was over, and how long it took.
    listed: (u64, u64),
}

impl EngineState {
    pub(super) fn trace(&self, container: &str) -> Trace {
        self.traces.get(container).cloned().unwrap_or_default()
    }

    pub(super) fn forget(&mut self, container: &str) {
        self.traces.remove(container);
    }

    pub(super) fn outages(&self) -> Vec<Outage> {
        self.outages.iter().copied().collect()
    }

    pub(super) fn answering(&self) -> &EngineAnswers {
        &self.answering
    }

    pub(super) fn live_restore(&self) -> LiveRestore {
        self.live_restore
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// An event of a container, which happened at `at` by the engine's clock and arrived at `now`
    /// by the caller's. Returns whether the container should be looked at now. Its first start is
    /// no reason to, since the caller that started it has the engine's answer.
    pub(super) fn note(
        &mut self,
        container: &str,
        at: u64,
        happening: ContainerEvent,
        now: u64,
    ) -> bool {
        self.newest = self.newest.max(at);
        let trace = self.traces.entry(container.to_owned()).or_default();
        let is_first_start = happening == ContainerEvent::Started && *trace == Trace::default();
        trace.note(at, happening);
        match happening {
            ContainerEvent::Started => {}
            ContainerEvent::Signal(_)
            | ContainerEvent::WantedMemory
            | ContainerEvent::Died(_)
            | ContainerEvent::Stopped
            | ContainerEvent::Destroyed
            | ContainerEvent::Changed => {
                let (over, took) = self.listed;
                let soonest = (over + took * LIST_TIME_SHARE_MAX).max(now + LIST_DELAY_NS);
                self.list_at = self.list_at.min(soonest);
            }
        }
        !is_first_start
    }

    /// When to list the containers.
    pub(super) fn list_at(&self) -> u64 {
        self.list_at
    }

    /// A listing that took so long, until `now`, showed these. Says which of the watched containers
    /// are worth a look. What neither is listed nor watched is forgotten.
    pub(super) fn on_listed(
        &mut self,
        rows: &[ListedContainer],
        watched: &BTreeSet<String>,
        took: u64,
        now: u64,
    ) -> BTreeSet<String> {
        self.plan(took, now);
        let listed: BTreeMap<&str, ListedPhase> =
            rows.iter().map(|row| (row.id.as_str(), row.phase)).collect();
        self.traces.retain(|id, _| listed.contains_key(id.as_str()) || watched.contains(id));
        let is_worth_a_look = |id: &&String| match listed.get(id.as_str()) {
            Some(ListedPhase::Running | ListedPhase::Paused) => false,
            Some(ListedPhase::Unhealthy | ListedPhase::NotRunning) | None => true,
        };
        watched.iter().filter(is_worth_a_look).cloned().collect()
    }

    /// A listing went wrong after so long: each watched container has to be looked at by itself.
    pub(super) fn on_unlisted(&mut self, took: u64, now: u64) {
        self.plan(took, now);
    }

    fn plan(&mut self, took: u64, now: u64) {
        self.listed = (now, took);
        self.list_at = now + LIST_PERIOD_NS.max(took * LIST_TIME_SHARE_MAX);
    }

    /// The engine does not answer; the first reason stands until it does.
    pub(super) fn went_away(&mut self, reason: &str, wall: u64) {
        match self.answering {
            EngineAnswers::Unknown | EngineAnswers::Yes => {
                self.answering = EngineAnswers::No { since: wall, reason: reason.to_owned() };
            }
            EngineAnswers::No { .. } => {}
        }
    }

    /// The engine answers. Containers are listed at once, to see what happened meanwhile.
    pub(super) fn came_back(&mut self, live_restore: LiveRestore, memory: EventMemory, wall: u64) {
        self.live_restore = live_restore;
        self.list_at = 0;
        let before = std::mem::replace(&mut self.answering, EngineAnswers::Yes);
        if let (EngineAnswers::No { since, .. }, EventMemory::Lost) = (before, memory) {
            if self.outages.len() == OUTAGES_MAX {
                self.outages.pop_front();
            }
            self.outages.push_back(Outage { from: since, until: wall });
        }
    }
}

/// Whether an engine that answers again remembers the newest event that it sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EventMemory {
    /// It does: it was only out of reach.
    Kept,
    /// It does not: it was restarted.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::Id;

    const S: u64 = SECOND_NS;

    fn row(id: &str, phase: ListedPhase) -> ListedContainer {
        ListedContainer { id: id.into(), names: Vec::new(), task: Id(1), node: Id(2), phase }
    }

    fn watched(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_listing_wakes_whoever_watches_what_it_does_not_show_as_running() {
        let mut engine = EngineState::default();
        let rows = [
            row("runs", ListedPhase::Running),
            row("ended", ListedPhase::NotRunning),
            row("paused", ListedPhase::Paused),
            row("sick", ListedPhase::Unhealthy),
            row("nobodys", ListedPhase::NotRunning),
        ];
        let ours = watched(&["runs", "ended", "paused", "sick", "left out"]);
        assert_eq!(engine.on_listed(&rows, &ours, 1, S), watched(&["ended", "left out", "sick"]));
    }

    #[test]
    fn an_older_event_of_one_container_counts_beside_a_newer_one_of_another() {
        let mut engine = EngineState::default();
        engine.note("a", 20, ContainerEvent::Died(137), 0);
        engine.note("b", 19, ContainerEvent::Died(137), 0);
        assert_eq!(engine.trace("b").died, Some((19, 137)));
        assert_eq!(engine.newest(), 20);
    }

    #[test]
    fn the_first_start_is_not_worth_a_look_and_another_one_is() {
        let mut engine = EngineState::default();
        assert!(!engine.note("a", 5, ContainerEvent::Started, 0));
        assert!(engine.note("a", 6, ContainerEvent::Died(0), 0));
        assert!(engine.note("a", 7, ContainerEvent::Started, 0), "somebody restarted it");
        assert!(engine.note("b", 6, ContainerEvent::Died(0), 0), "its start was lost, or is late");
        assert!(engine.note("b", 5, ContainerEvent::Started, 0));
    }

    #[test]
    fn listings_come_every_period_and_soon_after_an_event_but_take_no_more_than_their_share() {
        let mut engine = EngineState::default();
        assert_eq!(engine.list_at(), 0, "the first at once");
        engine.on_listed(&[], &watched(&[]), 1, S);
        assert_eq!(engine.list_at(), 11 * S);
        engine.note("a", 5, ContainerEvent::Started, 2 * S);
        assert_eq!(engine.list_at(), 11 * S, "a start hides no end");
        engine.note("a", 6, ContainerEvent::Died(0), 2 * S);
        assert_eq!(engine.list_at(), 3 * S);
        engine.on_unlisted(4 * S, 8 * S);
        assert_eq!(engine.list_at(), 88 * S, "it took four seconds");
        engine.note("a", 7, ContainerEvent::Died(0), 9 * S);
        assert_eq!(engine.list_at(), 88 * S);
    }

    #[test]
    fn only_an_engine_that_forgot_was_really_away_and_its_first_reason_stands() {
        let mut engine = EngineState::default();
        engine.went_away("no answer", 5);
        engine.went_away("connection refused", 6);
        assert_eq!(engine.answering(), &EngineAnswers::No { since: 5, reason: "no answer".into() });
        engine.came_back(LiveRestore::Off, EventMemory::Kept, 7);
        assert_eq!((engine.answering(), engine.outages()), (&EngineAnswers::Yes, Vec::new()));
        engine.went_away("no answer", 8);
        engine.came_back(LiveRestore::On, EventMemory::Lost, 9);
        assert_eq!(engine.outages(), [Outage { from: 8, until: 9 }]);
        assert_eq!(engine.live_restore(), LiveRestore::On);
        engine.on_listed(&[], &watched(&[]), 1, 50 * S);
        engine.came_back(LiveRestore::On, EventMemory::Kept, 10);
        assert_eq!(engine.list_at(), 0, "it is listed at once");
    }

    #[test]
    fn outages_are_bounded_and_the_newest_stay() {
        let mut engine = EngineState::default();
        for at in 0..40 {
            engine.went_away("no answer", 2 * at);
            engine.came_back(LiveRestore::Off, EventMemory::Lost, 2 * at + 1);
        }
        let outages = engine.outages();
        assert_eq!(outages.len(), OUTAGES_MAX);
        assert_eq!(outages.last(), Some(&Outage { from: 78, until: 79 }));
    }

    #[test]
    fn a_container_that_is_forgotten_leaves_no_trace() {
        let mut engine = EngineState::default();
        engine.note("a", 5, ContainerEvent::Died(1), 0);
        engine.forget("a");
        assert_eq!(engine.trace("a"), Trace::default());
    }

    #[test]
    fn what_is_neither_listed_nor_watched_is_forgotten() {
        let mut engine = EngineState::default();
        for id in ["listed", "watched", "gone"] {
            engine.note(id, 5, ContainerEvent::Died(1), 0);
        }
        engine.on_listed(&[row("listed", ListedPhase::NotRunning)], &watched(&["watched"]), 1, S);
        let died = |id| engine.trace(id).died.is_some();
        assert_eq!((died("listed"), died("watched"), died("gone")), (true, true, false));
    }
}
