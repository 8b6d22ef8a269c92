//! What an absent field means. Said once, here, so that admission, reconcilers, agents and the
//! command line agree.

use crate::{
    time::{DAY_NS, SECOND_NS},
    v1::{
        ClusterSpec, ContainerSpec, RestartCondition, RestartPolicy, ServiceSpec, TaskSpec,
        service_mode::Mode, task_spec::Runtime,
    },
};

/// Wait before a task is replaced, where the spec does not say.
pub const RESTART_DELAY_NS: u64 = 5 * SECOND_NS;
/// Time between the stop signal and the kill, where the spec does not say.
pub const STOP_GRACE_LIMIT_NS: u64 = 10 * SECOND_NS;
/// Ended tasks kept in the view for each slot.
pub const TASK_HISTORY_LIMIT: i64 = 5;
/// How long certificates of nodes are valid: 90 days.
pub const CERTIFICATE_EXPIRY_NS: u64 = 90 * DAY_NS;
/// How often an agent says that it lives.
pub const HEARTBEAT_PERIOD_NS: u64 = 5 * SECOND_NS;
/// A node is down after this many heartbeat periods of silence.
pub const HEARTBEAT_GRACE_PERIODS: u64 = 3;
/// Time that a node has, beyond the grace period, to report that a replaced task has ended. When it
/// is over the new task starts without that report, since a machine that does not answer must not
/// stop a slot for ever.
pub const REPLACED_STOP_LIMIT_NS: u64 = 50 * SECOND_NS;
/// A new task that ends so soon after it began to run has failed, where the spec does not say.
pub const UPDATE_MONITOR_PERIOD_NS: u64 = 5 * SECOND_NS;
/// The volume driver that every engine has.
pub const VOLUME_DRIVER: &str = "local";

/// The restart policy with every field filled in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restart {
    /// When an ended task is replaced.
    pub condition: RestartCondition,
    /// Wait before the replacement starts.
    pub delay_ns: u64,
    /// 0 is without limit.
    pub max_attempts: u64,
    /// Attempts older than this are not counted; 0 counts all.
    pub window_ns: u64,
}

/// The restart policy of a task spec, defaults filled in.
pub fn restart(spec: &TaskSpec) -> Restart {
    let policy =
        spec.restart.unwrap_or(RestartPolicy { delay_ns: None, ..RestartPolicy::default() });
    Restart {
        condition: policy.condition(),
        delay_ns: policy.delay_ns.unwrap_or(RESTART_DELAY_NS),
        max_attempts: policy.max_attempts,
        window_ns: policy.window_ns,
    }
}

/// Time between the stop signal and the kill.
pub fn stop_grace_ns(spec: &ContainerSpec) -> u64 {
    spec.stop_grace_period_ns.unwrap_or(STOP_GRACE_LIMIT_NS)
}

/// How long a new task is watched: if it ends within this time of beginning to run it counts as
/// failed.
pub fn monitor_ns(spec: &ServiceSpec) -> u64 {
    spec.update.as_ref().and_then(|update| update.monitor_ns).unwrap_or(UPDATE_MONITOR_PERIOD_NS)
}

/// The longest time from the decision to end a task until its node has reported that end.
pub fn stop_limit_ns(spec: &ServiceSpec) -> u64 {
    let container = spec.task.as_ref().and_then(container);
    container.map_or(STOP_GRACE_LIMIT_NS, stop_grace_ns).saturating_add(REPLACED_STOP_LIMIT_NS)
}

/// How many ended tasks a slot keeps in the view; none is "all of them".
pub fn task_history_limit(spec: &ClusterSpec) -> Option<usize> {
    usize::try_from(spec.task_history_limit.unwrap_or(TASK_HISTORY_LIMIT)).ok()
}

/// How often agents say that they live.
pub fn heartbeat_period_ns(spec: &ClusterSpec) -> u64 {
    spec.heartbeat_period_ns.unwrap_or(HEARTBEAT_PERIOD_NS)
}

/// How long certificates of nodes are valid.
pub fn certificate_expiry_ns(spec: &ClusterSpec) -> u64 {
    spec.node_certificate_expiry_ns.unwrap_or(CERTIFICATE_EXPIRY_NS)
}

/// The container of a task spec, where it has one.
pub fn container(spec: &TaskSpec) -> Option<&ContainerSpec> {
    match spec.runtime.as_ref()? {
        Runtime::Container(container) => Some(container),
        Runtime::Generic(_) | Runtime::Attachment(_) => None,
    }
}

/// How many slots a replicated service wants; none for other modes.
pub fn replicas(spec: &ServiceSpec) -> Option<u64> {
    match spec.mode.as_ref()?.mode.as_ref()? {
        Mode::Replicated(replicated) => Some(replicated.replicas),
        Mode::Global(_) | Mode::ReplicatedJob(_) | Mode::GlobalJob(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Global, Replicated, ServiceMode, UpdateConfig};

    fn in_mode(mode: Mode) -> ServiceSpec {
        ServiceSpec { mode: Some(ServiceMode { mode: Some(mode) }), ..ServiceSpec::default() }
    }

    fn with_grace(stop_grace_period_ns: Option<u64>) -> ServiceSpec {
        let container = ContainerSpec { stop_grace_period_ns, ..ContainerSpec::default() };
        let runtime = Some(Runtime::Container(container));
        ServiceSpec {
            task: Some(TaskSpec { runtime, ..TaskSpec::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_absent_has_its_default_and_what_is_said_counts() {
        let plain = restart(&TaskSpec::default());
        assert_eq!((plain.condition, plain.delay_ns), (RestartCondition::Any, 5 * SECOND_NS));
        let at_once = RestartPolicy { delay_ns: Some(0), max_attempts: 3, ..Default::default() };
        let at_once = restart(&TaskSpec { restart: Some(at_once), ..TaskSpec::default() });
        assert_eq!((at_once.delay_ns, at_once.max_attempts), (0, 3));

        let monitor = |monitor_ns| UpdateConfig { monitor_ns, ..UpdateConfig::default() };
        let watched = |update| monitor_ns(&ServiceSpec { update, ..ServiceSpec::default() });
        assert_eq!(watched(None), 5 * SECOND_NS);
        assert_eq!(watched(Some(monitor(Some(0)))), 0);
        assert_eq!(watched(Some(monitor(Some(7)))), 7);

        let limit = |limit| {
            task_history_limit(&ClusterSpec { task_history_limit: limit, ..Default::default() })
        };
        assert_eq!((limit(None), limit(Some(0)), limit(Some(-1))), (Some(5), Some(0), None));

        let period = |heartbeat_period_ns| {
            heartbeat_period_ns_of(ClusterSpec { heartbeat_period_ns, ..Default::default() })
        };
        assert_eq!((period(None), period(Some(9))), (5 * SECOND_NS, 9));
    }

    fn heartbeat_period_ns_of(spec: ClusterSpec) -> u64 {
        heartbeat_period_ns(&spec)
    }

    #[test]
    fn a_task_that_is_to_stop_has_its_grace_and_a_margin() {
        let grace = |spec: &ServiceSpec| spec.task.as_ref().and_then(container).map(stop_grace_ns);
        assert_eq!(grace(&with_grace(None)), Some(10 * SECOND_NS));
        assert_eq!(grace(&with_grace(Some(3))), Some(3));
        assert_eq!(stop_limit_ns(&with_grace(Some(7 * SECOND_NS))), 57 * SECOND_NS);
        assert_eq!(stop_limit_ns(&with_grace(Some(u64::MAX))), u64::MAX);
        assert_eq!(stop_limit_ns(&ServiceSpec::default()), 60 * SECOND_NS);
    }

    #[test]
    fn only_a_replicated_service_wants_a_number_of_replicas() {
        assert_eq!(replicas(&in_mode(Mode::Replicated(Replicated { replicas: 4 }))), Some(4));
        assert_eq!(replicas(&in_mode(Mode::Global(Global {}))), None);
        assert_eq!(replicas(&ServiceSpec::default()), None);
    }
}
