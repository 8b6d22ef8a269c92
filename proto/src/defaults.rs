//! What an absent field means. Said once, here, so that admission, reconcilers, agents and the
//! command line agree.

use crate::{
    time::SECOND_NS,
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

/// The longest time from the wish to end a task until its node has reported that end.
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
