//! Whether an engine that answers also creates and starts containers. PURE.
//!
//! Docker's engine answers a ping and lists its containers by itself. To start a container it asks
//! containerd, and if that hangs, the engine's call never ends: the node would get tasks that it
//! can never start. Two signs show it. The engine asks containerd for its version too, so a version
//! that does not come shows it before any task suffers. And where creations, or starts, of two
//! different services are not answered while none is, the engine is at fault, whatever the reason.
//! One service alone proves nothing: it may have a volume whose server is gone, and it must not
//! take the node from all others.

use skep_proto::{Id, time::SECOND_NS};
use std::collections::{BTreeMap, BTreeSet};

/// Between two questions for the version of an engine that told it the last time.
const VERSION_PERIOD_NS: u64 = 10 * SECOND_NS;
/// From a question for the version that was not answered to the next one.
const VERSION_RETRY_DELAY_NS: u64 = SECOND_NS;
/// Questions for the version in a row that an engine leaves without an answer in time; at it the
/// engine starts nothing.
const VERSIONS_UNTOLD_MAX: u32 = 2;
/// Services whose containers the engine neither creates nor starts in time; at it the cause is the
/// engine and not the services.
const SERVICES_UNSTARTED_MAX: usize = 2;

/// What an engine is asked to do with a container.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum ContainerCall {
    Create,
    Start,
}

/// Whether a call was answered in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallReply {
    /// It was; a refusal is an answer too.
    InTime,
    /// It was not.
    Missing,
}

/// What shows whether an engine creates and starts containers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct StartHealth {
    /// Questions for the version that were not answered, in a row.
    untold: u32,
    /// When to ask for the version, by the caller's clock.
    version_at: u64,
    /// The calls that were not answered, since one of the same kind was: of which task, and whose
    /// service.
    missing: BTreeMap<(ContainerCall, Id), Id>,
}

impl StartHealth {
    /// The engine was reached just now, and asked for its version: what was before counts no more.
    /// One that answered a ping then and did not tell its version is not asked a second time before
    /// it is said: until then it would get tasks.
    pub(super) fn on_reached(&mut self, version: CallReply, now: u64) {
        *self = StartHealth::default();
        self.on_version(version, now);
        if version == CallReply::Missing {
            self.untold = VERSIONS_UNTOLD_MAX;
        }
    }

    /// When to ask for the version.
    pub(super) fn version_at(&self) -> u64 {
        self.version_at
    }

    /// The engine was asked for its version.
    pub(super) fn on_version(&mut self, reply: CallReply, now: u64) {
        match reply {
            CallReply::InTime => {
                self.untold = 0;
                self.version_at = now + VERSION_PERIOD_NS;
            }
            CallReply::Missing => {
                self.untold = self.untold.saturating_add(1);
                self.version_at = now + VERSION_RETRY_DELAY_NS;
            }
        }
    }

    /// The engine was asked to create or start the container of a task.
    pub(super) fn on_call(
        &mut self,
        call: ContainerCall,
        (task, service): (Id, Id),
        reply: CallReply,
    ) {
        match reply {
            CallReply::InTime => self.missing.retain(|(missing, _), _| *missing != call),
            CallReply::Missing => {
                self.missing.insert((call, task), service);
            }
        }
    }

    /// The task is to be removed: what it waits for shows nothing any more.
    pub(super) fn forget(&mut self, task: Id) {
        self.missing.retain(|(_, of), _| *of != task);
    }

    /// Why the engine is taken not to start containers, for people; empty while it does.
    pub(super) fn problem(&self) -> String {
        if self.untold >= VERSIONS_UNTOLD_MAX {
            return "the engine answers pings and does not tell its version: containerd, which starts its containers, does not answer it".into();
        }
        let stuck = |call| {
            let services = self.missing.iter().filter(|((missing, _), _)| *missing == call);
            let services: BTreeSet<Id> = services.map(|(_, service)| *service).collect();
            services.len() >= SERVICES_UNSTARTED_MAX
        };
        match (stuck(ContainerCall::Create), stuck(ContainerCall::Start)) {
            (_, true) => "the engine answers pings and does not answer when it is to start containers of several services".into(),
            (true, false) => "the engine answers pings and does not answer when it is to create containers of several services".into(),
            (false, false) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CallReply::{InTime, Missing};
    use ContainerCall::{Create, Start};

    const S: u64 = SECOND_NS;

    fn is_stuck(health: &StartHealth) -> bool {
        !health.problem().is_empty()
    }

    #[test]
    fn a_version_that_does_not_come_twice_shows_it_and_one_that_comes_ends_it() {
        let mut health = StartHealth::default();
        health.on_reached(InTime, S);
        assert_eq!(health.version_at(), 11 * S);
        health.on_version(Missing, 15 * S);
        assert!(!is_stuck(&health), "once may be a busy machine");
        assert_eq!(health.version_at(), 16 * S, "it is asked again soon");
        health.on_version(Missing, 20 * S);
        assert!(health.problem().contains("does not tell its version"), "{}", health.problem());
        health.on_version(InTime, 25 * S);
        assert!(!is_stuck(&health));
        assert_eq!(health.version_at(), 35 * S);
        health.on_version(Missing, 39 * S);
        health.on_version(InTime, 41 * S);
        health.on_version(Missing, 55 * S);
        assert!(!is_stuck(&health), "the two are not in a row");
    }

    #[test]
    fn an_engine_that_is_reached_without_its_version_starts_nothing_until_it_tells_it() {
        let mut health = StartHealth::default();
        health.on_reached(Missing, S);
        assert!(health.problem().contains("does not tell its version"), "{}", health.problem());
        assert_eq!(health.version_at(), 2 * S);
        health.on_version(InTime, 2 * S);
        assert!(!is_stuck(&health));
        health.on_version(Missing, 12 * S);
        assert!(!is_stuck(&health), "once may be a busy machine");
    }

    #[test]
    fn calls_of_two_services_show_it_and_those_of_one_do_not() {
        for (call, word) in [(Create, "create containers"), (Start, "start containers")] {
            let mut health = StartHealth::default();
            health.on_call(call, (Id(1), Id(70)), Missing);
            health.on_call(call, (Id(2), Id(70)), Missing);
            health.on_call(call, (Id(2), Id(70)), Missing);
            assert!(!is_stuck(&health), "a service of which nothing starts costs itself alone");
            health.on_call(call, (Id(3), Id(80)), Missing);
            assert!(health.problem().contains(word), "{}", health.problem());
            health.on_call(call, (Id(9), Id(90)), InTime);
            assert!(!is_stuck(&health), "it does so for a third one");
            health.on_call(call, (Id(1), Id(70)), Missing);
            assert!(!is_stuck(&health), "one since then");
        }
    }

    #[test]
    fn creations_that_are_answered_say_nothing_about_starts() {
        let mut health = StartHealth::default();
        health.on_call(Start, (Id(1), Id(70)), Missing);
        health.on_call(Create, (Id(2), Id(80)), InTime);
        health.on_call(Start, (Id(2), Id(80)), Missing);
        assert!(is_stuck(&health));
        let mut health = StartHealth::default();
        health.on_call(Start, (Id(1), Id(70)), Missing);
        health.on_call(Create, (Id(2), Id(80)), Missing);
        assert!(!is_stuck(&health), "one of each kind");
    }

    #[test]
    fn a_removed_task_and_an_engine_that_comes_back_begin_anew() {
        let mut health = StartHealth::default();
        health.on_call(Start, (Id(1), Id(70)), Missing);
        health.on_call(Start, (Id(2), Id(80)), Missing);
        health.forget(Id(2));
        assert!(!is_stuck(&health));
        health.on_call(Start, (Id(2), Id(80)), Missing);
        health.on_version(Missing, S);
        health.on_version(Missing, S);
        assert!(is_stuck(&health));
        health.on_reached(InTime, 2 * S);
        assert!(!is_stuck(&health));
    }
}
