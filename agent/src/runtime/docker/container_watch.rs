//! The watch over one container until its end: when to look at it, and what a look means. PURE.
//!
//! An end is found by looking. Events and listings only say when a look is worth it: they may be
//! lost, late, doubled or out of order, and nothing depends on them but the time at which an end is
//! noticed and the cause that is reported. After a container has ended, the watch waits for a
//! moment, since the events that show who ended it may come later.

use super::{
    container::{Container, ContainerHealth, HealthCheckEnd, Phase},
    marks::StopMark,
    trace::Trace,
};
use skep_proto::time::SECOND_NS;

/// How long events about an end may lag behind the end itself.
const END_NEWS_LIMIT_NS: u64 = SECOND_NS / 2;
/// How long the news that a container ended for want of memory may lag behind its end, on a busy
/// machine.
const MEMORY_NEWS_LIMIT_NS: u64 = 2 * SECOND_NS;
/// How long after somebody else's stop a start may follow, as with `docker restart`: then nothing
/// has ended. A busy machine takes seconds for it.
pub(super) const RESTART_LIMIT_NS: u64 = 10 * SECOND_NS;
/// A container that could not be looked at is looked at again after this.
const LOOK_RETRY_DELAY_NS: u64 = 5 * SECOND_NS;

/// What a look at the container gave.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum InspectOutcome {
    /// The engine has it.
    Here(Box<Container>),
    /// The engine does not have it.
    Absent,
    /// The engine did not say: why, for people.
    Failed(String),
}

/// Whether the engine answers at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EngineReach {
    /// It answers.
    Here,
    /// It does not.
    Away,
}

/// Who removes the container, if anybody does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remover {
    /// This runtime is about it.
    Us,
    /// Not this runtime.
    Others,
}

/// What is known beside the look. `now` is any clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchContext<'a> {
    pub(super) trace: &'a Trace,
    pub(super) mark: Option<StopMark>,
    pub(super) engine: EngineReach,
    pub(super) remover: Remover,
    pub(super) now: u64,
}

/// What to do next.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum WatchStep {
    /// Look at it.
    Look,
    /// Wait until something is said about it, or until this time.
    Wait(Option<u64>),
    /// Wait likewise, and say that somebody stopped it and may be starting it again.
    AwaitRestart(u64),
    /// Wait likewise, and say that it cannot be looked at.
    Trouble(String, u64),
    /// Stop it: its health check gave up. Then wait as before.
    StopUnhealthy,
    /// It has ended: say how.
    Over(Box<Container>),
    /// Somebody else removed it.
    Removed,
    /// There is nothing to watch.
    Gone,
}

/// The watch over one container.
#[derive(Clone, Debug, Default)]
pub(super) struct ContainerWatch {
    /// It was there at some look.
    was_here: bool,
    /// The health check after which it was stopped. One that begins later cannot be run any more,
    /// and is not why.
    gave_up_after: Option<HealthCheckEnd>,
    /// It was looked at once more because the engine had not said yet whether it wanted memory.
    looked_for_memory: bool,
    /// It has ended, as it was first seen.
    ended: Option<SeenEnd>,
}

/// A container that has ended, and what was known when that was seen.
#[derive(Clone, Debug)]
struct SeenEnd {
    container: Box<Container>,
    at: u64,
    /// The last start for which an event came. The event of a short run's start may be younger than
    /// its end by the engine's own reckoning, so only a later one means another run.
    started_at: u64,
}

impl ContainerWatch {
    /// The container was looked at.
    pub(super) fn on_look(
        &mut self,
        looked: InspectOutcome,
        around: &WatchContext<'_>,
    ) -> WatchStep {
        self.ended = None;
        match looked {
            InspectOutcome::Absent if self.was_here && around.remover == Remover::Others => {
                WatchStep::Removed
            }
            InspectOutcome::Absent => WatchStep::Gone,
            InspectOutcome::Failed(_) if around.engine == EngineReach::Away => {
                WatchStep::Wait(Some(around.now + LOOK_RETRY_DELAY_NS))
            }
            InspectOutcome::Failed(reason) => {
                WatchStep::Trouble(reason, around.now + LOOK_RETRY_DELAY_NS)
            }
            InspectOutcome::Here(mut found) => {
                self.was_here = true;
                // Each end is waited for anew: somebody may have started it again.
                self.looked_for_memory &= found.phase == Phase::Ended;
                match (found.phase, found.health) {
                    (Phase::Ended, _) => {
                        found.last_check = self.gave_up_after.unwrap_or(found.last_check);
                        let started_at = around.trace.started_at;
                        self.ended = Some(SeenEnd { container: found, at: around.now, started_at });
                        self.settle(around)
                    }
                    (Phase::Running, ContainerHealth::Unhealthy) if around.mark.is_none() => {
                        self.gave_up_after = Some(found.last_check);
                        WatchStep::StopUnhealthy
                    }
                    (Phase::Running | Phase::Created, _) => WatchStep::Wait(None),
                }
            }
        }
    }

    /// Something was said about the container, or the time of the last wait has come.
    pub(super) fn on_wake(&mut self, around: &WatchContext<'_>) -> WatchStep {
        if self.ended.is_some() { self.settle(around) } else { WatchStep::Look }
    }

    /// Whether enough is known to say who ended it.
    fn settle(&mut self, around: &WatchContext<'_>) -> WatchStep {
        let Some(found) = self.ended.take() else { return WatchStep::Look };
        if around.mark.is_some() {
            return WatchStep::Over(found.container);
        }
        if around.engine == EngineReach::Away {
            // It may have been the engine that took it along: known when it is back.
            return WatchStep::Wait(Some(around.now + LOOK_RETRY_DELAY_NS));
        }
        if around.trace.destroyed || around.trace.started_at > found.started_at {
            return WatchStep::Look;
        }
        if self.awaits_memory_news(&found.container, around.trace) {
            let until = found.at + MEMORY_NEWS_LIMIT_NS;
            if around.now < until {
                self.ended = Some(found);
                return WatchStep::Wait(Some(until));
            }
            self.looked_for_memory = true;
            return WatchStep::Look;
        }
        let is_stopped = around.trace.stopped_at.is_some();
        let until = found.at + if is_stopped { RESTART_LIMIT_NS } else { END_NEWS_LIMIT_NS };
        if !around.trace.is_unsettled(found.container.exit_code) || around.now >= until {
            return WatchStep::Over(found.container);
        }
        self.ended = Some(found);
        if is_stopped { WatchStep::AwaitRestart(until) } else { WatchStep::Wait(Some(until)) }
    }

    /// Whether the kernel may have ended it for want of memory, and the engine may not know yet.
    fn awaits_memory_news(&self, container: &Container, trace: &Trace) -> bool {
        container.memory_limited
            && !container.out_of_memory
            && !self.looked_for_memory
            && trace.may_have_wanted_memory(container.exit_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::trace::ContainerEvent;

    const S: u64 = SECOND_NS;

    fn running() -> InspectOutcome {
        InspectOutcome::Here(Box::new(Container { phase: Phase::Running, ..Container::default() }))
    }

    fn ended(code: i32) -> Container {
        Container {
            phase: Phase::Ended,
            exit_code: code,
            finished_at: 100 * S,
            ..Container::default()
        }
    }

    fn trace(happenings: &[(u64, ContainerEvent)]) -> Trace {
        let mut trace = Trace::default();
        happenings.iter().for_each(|(at, happening)| trace.note(*at, *happening));
        trace
    }

    fn around(trace: &Trace, now: u64) -> WatchContext<'_> {
        WatchContext { trace, mark: None, engine: EngineReach::Here, remover: Remover::Others, now }
    }

    #[test]
    fn the_check_that_made_it_unhealthy_is_told_and_not_one_that_met_the_stop() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        let last_check = HealthCheckEnd::Exited(1);
        let unhealthy = Container {
            phase: Phase::Running,
            health: ContainerHealth::Unhealthy,
            last_check,
            ..Container::default()
        };
        let unhealthy = InspectOutcome::Here(Box::new(unhealthy));
        assert_eq!(watch.on_look(unhealthy, &around(&quiet, 0)), WatchStep::StopUnhealthy);
        let stopped = WatchContext { mark: Some(StopMark::Unhealthy), ..around(&quiet, S) };
        let met = Container { last_check: HealthCheckEnd::Broken, ..ended(143) };
        assert_eq!(
            watch.on_look(InspectOutcome::Here(Box::new(met)), &stopped),
            WatchStep::Over(Box::new(Container { last_check, ..ended(143) }))
        );
    }

    #[test]
    fn an_end_is_found_although_every_event_was_lost() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        assert_eq!(watch.on_look(running(), &around(&quiet, 0)), WatchStep::Wait(None));
        assert_eq!(watch.on_wake(&around(&quiet, S)), WatchStep::Look, "a listing woke it");
        let killed = InspectOutcome::Here(Box::new(ended(137)));
        assert_eq!(
            watch.on_look(killed, &around(&quiet, S)),
            WatchStep::Wait(Some(S + END_NEWS_LIMIT_NS))
        );
        let over = watch.on_wake(&around(&quiet, S + END_NEWS_LIMIT_NS));
        assert_eq!(
            over,
            WatchStep::Over(Box::new(ended(137))),
            "no event came, and it is over all the same"
        );
    }

    /// The kernel ended a container that may take only so much memory, as it seems.
    fn short_of_memory() -> Container {
        Container { memory_limited: true, ..ended(137) }
    }

    #[test]
    fn an_end_for_want_of_memory_that_the_engine_tells_late_is_told_as_that() {
        let (mut watch, mut seen) = (ContainerWatch::default(), Trace::default());
        seen.note(100 * S, ContainerEvent::Died(137));
        let killed = InspectOutcome::Here(Box::new(short_of_memory()));
        let until = WatchStep::Wait(Some(MEMORY_NEWS_LIMIT_NS));
        assert_eq!(watch.on_look(killed, &around(&seen, 0)), until);
        assert_eq!(watch.on_wake(&around(&seen, S)), until, "something else was said");
        seen.note(100 * S + 1, ContainerEvent::WantedMemory);
        let over = watch.on_wake(&around(&seen, S + 1));
        assert_eq!(over, WatchStep::Over(Box::new(short_of_memory())));
        assert!(seen.shows_want_of_memory(137));
    }

    #[test]
    fn an_end_that_may_be_for_want_of_memory_is_looked_at_once_more_and_is_over_then() {
        let (mut watch, mut seen) = (ContainerWatch::default(), Trace::default());
        seen.note(100 * S, ContainerEvent::Died(137));
        let killed = || InspectOutcome::Here(Box::new(short_of_memory()));
        watch.on_look(killed(), &around(&seen, 0));
        let later = around(&seen, MEMORY_NEWS_LIMIT_NS);
        assert_eq!(watch.on_wake(&later), WatchStep::Look);
        assert_eq!(watch.on_look(killed(), &later), WatchStep::Over(Box::new(short_of_memory())));
    }

    #[test]
    fn the_end_of_another_run_is_looked_at_once_more_too() {
        let (mut watch, mut seen) = (ContainerWatch::default(), Trace::default());
        seen.note(100 * S, ContainerEvent::Died(137));
        let killed = || InspectOutcome::Here(Box::new(short_of_memory()));
        watch.on_look(killed(), &around(&seen, 0));
        assert_eq!(watch.on_wake(&around(&seen, MEMORY_NEWS_LIMIT_NS)), WatchStep::Look);
        let runs_again = around(&seen, MEMORY_NEWS_LIMIT_NS);
        assert_eq!(watch.on_look(running(), &runs_again), WatchStep::Wait(None));
        let later = around(&seen, 9 * S);
        let until = WatchStep::Wait(Some(9 * S + MEMORY_NEWS_LIMIT_NS));
        assert_eq!(watch.on_look(killed(), &later), until);
    }

    #[test]
    fn no_end_waits_for_news_of_memory_that_cannot_come() {
        let mut by_signal = trace(&[(99 * S, ContainerEvent::Signal(9))]);
        by_signal.note(100 * S, ContainerEvent::Died(137));
        by_signal.note(100 * S, ContainerEvent::Destroyed);
        let mut by_itself = Trace::default();
        by_itself.note(100 * S, ContainerEvent::Died(137));
        let known = Container { out_of_memory: true, ..short_of_memory() };
        for (found, seen, expected) in [
            (short_of_memory(), &by_signal, WatchStep::Look),
            (ended(137), &by_itself, WatchStep::Over(Box::new(ended(137)))),
            (known.clone(), &by_itself, WatchStep::Over(Box::new(known))),
        ] {
            let looked = InspectOutcome::Here(Box::new(found));
            assert_eq!(ContainerWatch::default().on_look(looked, &around(seen, 0)), expected);
        }
    }

    #[test]
    fn an_exit_that_no_event_could_explain_otherwise_is_over_at_once() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        let looked = InspectOutcome::Here(Box::new(ended(3)));
        assert_eq!(watch.on_look(looked, &around(&quiet, 0)), WatchStep::Over(Box::new(ended(3))));
    }

    #[test]
    fn a_run_so_short_that_its_start_is_told_later_than_its_end_is_over() {
        let (mut watch, mut seen) = (ContainerWatch::default(), Trace::default());
        seen.note(100 * S + 5, ContainerEvent::Started);
        let looked = InspectOutcome::Here(Box::new(ended(3)));
        assert_eq!(watch.on_look(looked, &around(&seen, 0)), WatchStep::Over(Box::new(ended(3))));
    }

    #[test]
    fn a_wake_without_a_reason_costs_a_look_and_nothing_else() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        for now in 0..3 {
            assert_eq!(watch.on_look(running(), &around(&quiet, now)), WatchStep::Wait(None));
            assert_eq!(watch.on_wake(&around(&quiet, now)), WatchStep::Look);
        }
    }

    #[test]
    fn a_stop_by_somebody_else_waits_for_the_start_that_a_restart_brings() {
        let (mut watch, mut seen) =
            (ContainerWatch::default(), trace(&[(99 * S, ContainerEvent::Signal(15))]));
        seen.note(100 * S, ContainerEvent::Died(0));
        let looked = InspectOutcome::Here(Box::new(ended(0)));
        assert_eq!(
            watch.on_look(looked, &around(&seen, 0)),
            WatchStep::Wait(Some(END_NEWS_LIMIT_NS))
        );
        seen.note(100 * S + 1, ContainerEvent::Stopped);
        assert_eq!(watch.on_wake(&around(&seen, 1)), WatchStep::AwaitRestart(RESTART_LIMIT_NS));
        seen.note(101 * S, ContainerEvent::Started);
        assert_eq!(watch.on_wake(&around(&seen, 2)), WatchStep::Look, "it runs again");
    }

    #[test]
    fn an_end_that_a_later_look_does_not_show_is_forgotten() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        let killed = InspectOutcome::Here(Box::new(ended(137)));
        watch.on_look(killed, &around(&quiet, 0));
        assert_eq!(watch.on_look(running(), &around(&quiet, 1)), WatchStep::Wait(None));
        assert_eq!(watch.on_wake(&around(&quiet, S)), WatchStep::Look);
    }

    #[test]
    fn an_end_beside_an_engine_that_goes_away_is_judged_when_it_is_back() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        let away = WatchContext { engine: EngineReach::Away, ..around(&quiet, 0) };
        let looked = InspectOutcome::Here(Box::new(ended(0)));
        assert_eq!(watch.on_look(looked, &away), WatchStep::Wait(Some(LOOK_RETRY_DELAY_NS)));
        assert_eq!(watch.on_wake(&around(&quiet, 1)), WatchStep::Look);
        let failed = InspectOutcome::Failed("connection refused".into());
        assert_eq!(
            watch.on_look(failed, &away),
            WatchStep::Wait(Some(LOOK_RETRY_DELAY_NS)),
            "the node says so"
        );
    }

    #[test]
    fn what_we_asked_to_end_is_over_at_once() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        let asked = WatchContext { mark: Some(StopMark::Asked), ..around(&quiet, 0) };
        let looked = InspectOutcome::Here(Box::new(ended(137)));
        assert_eq!(watch.on_look(looked, &asked), WatchStep::Over(Box::new(ended(137))));
    }

    #[test]
    fn a_container_that_cannot_be_looked_at_is_said_to_be_and_looked_at_again() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        let failed = InspectOutcome::Failed("its shim hangs".into());
        let next = watch.on_look(failed, &around(&quiet, S));
        assert_eq!(next, WatchStep::Trouble("its shim hangs".into(), S + LOOK_RETRY_DELAY_NS));
        assert_eq!(watch.on_wake(&around(&quiet, S + LOOK_RETRY_DELAY_NS)), WatchStep::Look);
    }

    #[test]
    fn a_removal_is_told_from_our_own_and_from_what_never_was() {
        let quiet = Trace::default();
        assert_eq!(
            ContainerWatch::default().on_look(InspectOutcome::Absent, &around(&quiet, 0)),
            WatchStep::Gone
        );
        for (remover, expected) in
            [(Remover::Others, WatchStep::Removed), (Remover::Us, WatchStep::Gone)]
        {
            let mut watch = ContainerWatch::default();
            watch.on_look(running(), &around(&quiet, 0));
            let around = WatchContext { remover, ..around(&quiet, 1) };
            assert_eq!(watch.on_look(InspectOutcome::Absent, &around), expected);
        }
    }

    #[test]
    fn an_unhealthy_container_is_stopped_once() {
        let (mut watch, quiet) = (ContainerWatch::default(), Trace::default());
        let sick = || {
            let found = Container {
                phase: Phase::Running,
                health: ContainerHealth::Unhealthy,
                ..Container::default()
            };
            InspectOutcome::Here(Box::new(found))
        };
        assert_eq!(watch.on_look(sick(), &around(&quiet, 0)), WatchStep::StopUnhealthy);
        let marked = WatchContext { mark: Some(StopMark::Unhealthy), ..around(&quiet, 1) };
        assert_eq!(watch.on_look(sick(), &marked), WatchStep::Wait(None), "the stop is under way");
    }
}
