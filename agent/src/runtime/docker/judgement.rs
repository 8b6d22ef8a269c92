//! Who ended a container, from what is known about it. Pure.
//!
//! The engine tells an exit code, and 137 says little: a person with `docker kill`, a person with
//! `docker stop`, the engine on its way down and the kernel short of memory all leave it. The
//! engine's events tell them apart: each signal sent through it is one, and so is a stop. What the
//! engine forgot when it was restarted is told by when it was away.

use super::{container::HealthCheckEnd, marks::StopMark, trace::Trace};
use crate::runtime::TaskEnd;
use skep_proto::{Timestamp, time::SECOND_NS, v1::EndCause};

/// Longest that an engine takes to stop its containers before it is gone itself.
const ENGINE_STOP_LIMIT_NS: u64 = 60 * SECOND_NS;
/// An engine that comes back dates the ends that it missed at its own start; within this.
const ENGINE_START_LIMIT_NS: u64 = 10 * SECOND_NS;
/// A time in which the engine was away. Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outage {
    pub(super) from: u64,
    pub(super) until: u64,
}

/// Whether containers outlive their engine's restart, as the engine is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum LiveRestore {
    On,
    #[default]
    Off,
}

/// All that is known about a container that has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct ContainerEndFacts {
    pub(super) exit_code: i32,
    pub(super) out_of_memory: bool,
    /// The engine's own error message.
    pub(super) error: String,
    pub(super) last_check: HealthCheckEnd,
    pub(super) started_at: u64,
    pub(super) finished_at: u64,
    pub(super) mark: Option<StopMark>,
    pub(super) trace: Trace,
    /// Times in which the engine was away and came back without its memory.
    pub(super) outages: Vec<Outage>,
    /// When the engine that runs now began, where that is known.
    pub(super) engine_since: Option<u64>,
    /// When the machine was booted, where the engine is on this machine.
    pub(super) booted_at: Option<u64>,
    /// Containers outlive the engine.
    pub(super) live_restore: LiveRestore,
}

/// Who ended it.
pub(super) fn judge(facts: &ContainerEndFacts) -> TaskEnd {
    let (cause, error) = cause(facts);
    let taken_along = matches!(cause, EndCause::Reboot | EndCause::EngineStopped);
    let lost = taken_along && facts.exit_code == 255;
    let signal = match facts.trace.died.and_then(|(at, code)| facts.trace.deadly(at, code)) {
        Some(signal) if facts.exit_code == 128 + signal => signal,
        Some(_) | None => signal_in(facts.exit_code),
    };
    TaskEnd {
        // 255 is what an engine writes that was not there to see it.
        exit_code: (!lost).then_some(facts.exit_code),
        signal: if lost { 0 } else { signal },
        out_of_memory: facts.out_of_memory,
        cause,
        error: if error.is_empty() { facts.error.clone() } else { error },
        at: Timestamp(facts.finished_at),
    }
}

fn cause(facts: &ContainerEndFacts) -> (EndCause, String) {
    match facts.mark {
        Some(StopMark::Asked) => return (EndCause::Asked, String::new()),
        Some(StopMark::Unhealthy) => {
            let check = match facts.last_check {
                HealthCheckEnd::Unknown => String::new(),
                HealthCheckEnd::Exited(code) => format!("the last one exited with code {code}"),
                HealthCheckEnd::Broken => {
                    "the last one took longer than it may, or could not be run".into()
                }
            };
            return (EndCause::Unhealthy, check);
        }
        None => {}
    }
    let unseen = facts.trace.died.is_none();
    if unseen && facts.booted_at.is_some_and(|booted| facts.started_at < booted) {
        // One that ended before the boot perhaps came to its own end while no agent watched. An
        // orderly shutdown leaves the same exit code, so it is not taken for work that was done.
        return (
            EndCause::Reboot,
            "the machine went down while it ran, or soon after its end".into(),
        );
    }
    if facts.out_of_memory {
        return (EndCause::Itself, String::new());
    }
    if ended_with_engine(facts) {
        return (EndCause::EngineStopped, String::new());
    }
    let Some((at, code)) = facts.trace.died else { return (EndCause::Itself, String::new()) };
    if facts.trace.stopped_at.is_some_and(|stopped| stopped >= at) {
        return (
            EndCause::StoppedOutside,
            "somebody stopped the container through the engine".into(),
        );
    }
    match facts.trace.deadly(at, code) {
        Some(signal) => (
            EndCause::KilledOutside,
            format!("somebody sent signal {signal} to the container through the engine"),
        ),
        None => (EndCause::Itself, String::new()),
    }
}

fn ended_with_engine(facts: &ContainerEndFacts) -> bool {
    if facts.live_restore == LiveRestore::On {
        return false;
    }
    // An end that was seen without a signal before it is the container's own, whatever the engine
    // did after.
    if facts.trace.died.is_some_and(|(at, code)| facts.trace.deadly(at, code).is_none()) {
        return false;
    }
    let within = |from: u64, until: u64| {
        facts.started_at < until
            && facts.finished_at.saturating_add(ENGINE_STOP_LIMIT_NS) >= from
            && facts.finished_at <= until.saturating_add(ENGINE_START_LIMIT_NS)
    };
    let since_engine = |since: u64| match facts.trace.died {
        // Nobody saw how it ended: it was in the time of an earlier engine, or while this one
        // began.
        None => facts.finished_at < since || within(since, since),
        // An engine that begins after a crash stops what its predecessor left, and tells of it.
        // Nobody else could ask it for anything yet.
        Some((died_at, _)) => died_at < since,
    };
    facts.outages.iter().any(|outage| within(outage.from, outage.until))
        || facts.engine_since.is_some_and(since_engine)
}

/// The signal that an exit code speaks of, where a program would hardly choose it by itself.
fn signal_in(code: i32) -> i32 {
    match code - 128 {
        signal @ (4 | 6 | 7 | 8 | 9 | 11 | 15) => signal,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::trace::SIGNAL_EFFECT_LIMIT_NS;

    const S: u64 = SECOND_NS;

    fn facts(code: i32, trace: Trace) -> ContainerEndFacts {
        ContainerEndFacts {
            exit_code: code,
            started_at: 100 * S,
            finished_at: 200 * S,
            trace,
            ..ContainerEndFacts::default()
        }
    }

    fn trace(signals: &[(u64, i32)], died: Option<i32>, stopped: bool) -> Trace {
        Trace {
            signals: signals.to_vec(),
            died: died.map(|code| (200 * S, code)),
            stopped_at: stopped.then_some(200 * S + 1),
            ..Trace::default()
        }
    }

    #[test]
    fn the_signal_is_that_which_was_sent_or_else_that_of_the_exit_code() {
        let signal = |code, sent| judge(&facts(code, trace(&[(199 * S, sent)], Some(code), false)));
        assert_eq!(signal(129, 1).signal, 1, "it died of what was sent");
        assert_eq!(signal(143, 1).signal, 15, "it died of another");
        assert_eq!(signal(1, 1).signal, 0);
    }

    #[test]
    fn the_engines_own_error_is_said_where_the_cause_says_nothing() {
        let own = ContainerEndFacts { error: "no space".into(), ..facts(3, Trace::default()) };
        assert_eq!(judge(&own).error, "no space");
        let killed = trace(&[(200 * S, 9)], Some(137), false);
        let killed = ContainerEndFacts { trace: killed, ..own };
        assert!(judge(&killed).error.contains("sent signal 9"));
    }

    #[test]
    fn each_limit_belongs_to_what_it_limits() {
        let in_time = trace(&[(200 * S - SIGNAL_EFFECT_LIMIT_NS, 1)], Some(1), false);
        check(&facts(1, in_time), EndCause::KilledOutside);
        let stopped_at = Some(200 * S);
        let stopped = Trace { stopped_at, ..trace(&[(199 * S, 15)], Some(0), false) };
        check(&facts(0, stopped), EndCause::StoppedOutside);
        let unseen = || facts(0, Trace::default());
        check(&ContainerEndFacts { booted_at: Some(100 * S), ..unseen() }, EndCause::Itself);
        let killed = || trace(&[(199 * S, 9)], Some(137), false);
        let with_engine = ContainerEndFacts { engine_since: Some(200 * S), ..facts(137, killed()) };
        check(&with_engine, EndCause::KilledOutside);
        let outage = |from: u64, until: u64| {
            let outages = vec![Outage { from, until }];
            judge(&ContainerEndFacts { outages, ..unseen() }).cause
        };
        let (stop, start) = (ENGINE_STOP_LIMIT_NS, ENGINE_START_LIMIT_NS);
        assert_eq!(outage(200 * S + stop, 300 * S), EndCause::EngineStopped);
        assert_eq!(outage(201 * S + stop, 300 * S), EndCause::Itself);
        assert_eq!(outage(150 * S, 200 * S - start), EndCause::EngineStopped);
        assert_eq!(outage(150 * S, 199 * S - start), EndCause::Itself);
        let short = ContainerEndFacts { finished_at: 105 * S, ..unseen() };
        let outages = vec![Outage { from: 90 * S, until: 100 * S }];
        check(&ContainerEndFacts { outages, ..short }, EndCause::Itself);
    }

    fn check(facts: &ContainerEndFacts, expected: EndCause) {
        assert_eq!(judge(facts).cause, expected, "{facts:?}");
    }

    #[test]
    fn strangers_are_told_apart() {
        check(&facts(3, trace(&[], Some(3), false)), EndCause::Itself);
        check(&facts(137, trace(&[(200 * S - 5, 9)], Some(137), false)), EndCause::KilledOutside);
        check(&facts(0, trace(&[(199 * S, 15)], Some(0), true)), EndCause::StoppedOutside);
        check(&facts(137, trace(&[], Some(137), false)), EndCause::Itself);
    }

    #[test]
    fn an_engine_that_begins_stops_what_its_predecessor_left() {
        let mut left = facts(0, trace(&[(199 * S, 15)], Some(0), true));
        left.engine_since = Some(201 * S);
        check(&left, EndCause::EngineStopped);
        left.engine_since = Some(150 * S);
        check(&left, EndCause::StoppedOutside);
    }

    #[test]
    fn a_signal_long_ago_is_not_the_cause() {
        let reloaded = facts(1, trace(&[(110 * S, 1)], Some(1), false));
        check(&reloaded, EndCause::Itself);
        check(&facts(129, trace(&[(110 * S, 1)], Some(129), false)), EndCause::KilledOutside);
    }

    #[test]
    fn what_we_asked_for_is_ours_whatever_the_events_say() {
        let mut asked = facts(137, trace(&[(199 * S, 15), (200 * S, 9)], Some(137), true));
        asked.mark = Some(StopMark::Asked);
        check(&asked, EndCause::Asked);
        asked.mark = Some(StopMark::Unhealthy);
        check(&asked, EndCause::Unhealthy);
        asked.last_check = HealthCheckEnd::Exited(7);
        assert_eq!(judge(&asked).error, "the last one exited with code 7");
    }

    #[test]
    fn an_engine_that_goes_takes_its_containers_along_unless_they_are_restored() {
        let mut gone = facts(143, trace(&[(199 * S, 15)], Some(143), true));
        gone.outages = vec![Outage { from: 203 * S, until: 230 * S }];
        check(&gone, EndCause::EngineStopped);
        assert_eq!(judge(&gone).exit_code, Some(143));
        check(
            &ContainerEndFacts { live_restore: LiveRestore::On, ..gone.clone() },
            EndCause::StoppedOutside,
        );
        let own = ContainerEndFacts { trace: trace(&[], Some(3), false), ..gone.clone() };
        check(&own, EndCause::Itself);
        let unseen = ContainerEndFacts {
            trace: Trace::default(),
            exit_code: 255,
            finished_at: 231 * S,
            ..gone
        };
        check(&unseen, EndCause::EngineStopped);
        assert_eq!(judge(&unseen).exit_code, None);
        let later = ContainerEndFacts { started_at: 300 * S, finished_at: 301 * S, ..unseen };
        check(&later, EndCause::Itself);
    }

    #[test]
    fn an_agent_that_was_away_too_goes_by_the_engines_beginning() {
        let mut away = facts(137, Trace::default());
        away.engine_since = Some(201 * S);
        check(&away, EndCause::EngineStopped);
        away.engine_since = Some(90 * S);
        check(&away, EndCause::Itself);
    }

    #[test]
    fn what_an_orderly_stop_of_engine_or_machine_ended_with_0_is_not_taken_for_done() {
        let mut orderly = facts(0, Trace::default());
        check(&orderly, EndCause::Itself);
        orderly.engine_since = Some(5_000 * S);
        check(&orderly, EndCause::EngineStopped);
        assert_eq!(judge(&orderly).exit_code, Some(0));
        let rebooted = ContainerEndFacts {
            booted_at: Some(5_000 * S),
            live_restore: LiveRestore::On,
            ..orderly.clone()
        };
        check(&rebooted, EndCause::Reboot);
        assert_eq!(judge(&rebooted).exit_code, Some(0));
        let restored = ContainerEndFacts { live_restore: LiveRestore::On, ..orderly.clone() };
        check(&restored, EndCause::Itself);
        let seen = ContainerEndFacts { trace: trace(&[], Some(0), false), ..orderly };
        check(&seen, EndCause::Itself);
    }

    #[test]
    fn a_reboot_is_seen_by_the_boots_time() {
        let mut rebooted = facts(255, Trace::default());
        rebooted.booted_at = Some(150 * S);
        check(&rebooted, EndCause::Reboot);
        assert_eq!(judge(&rebooted).exit_code, None);
    }

    #[test]
    fn memory_comes_before_strangers() {
        let mut fat = facts(137, trace(&[], Some(137), false));
        fat.out_of_memory = true;
        assert_eq!((judge(&fat).cause, judge(&fat).signal), (EndCause::Itself, 9));
    }

    #[test]
    fn only_an_end_that_news_could_explain_is_waited_for() {
        assert!(!trace(&[], Some(3), false).is_unsettled(3));
        assert!(!trace(&[], None, false).is_unsettled(0));
        assert!(trace(&[], None, false).is_unsettled(137));
        assert!(trace(&[(199 * S, 15)], Some(0), false).is_unsettled(0));
        assert!(!trace(&[(110 * S, 1)], Some(1), false).is_unsettled(1));
    }
}
