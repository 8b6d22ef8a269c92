//! What the engine says about one container, cut down to what a runtime wants to know.

use super::mapping;
use crate::runtime::Started;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};
use skep_proto::{Id, Timestamp};
use std::collections::HashMap;

/// One container at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) task: Option<Id>,
    pub(super) image: String,
    pub(super) phase: Phase,
    pub(super) health: ContainerHealth,
    pub(super) last_check: HealthCheckEnd,
    pub(super) started: Started,
    pub(super) exit_code: i32,
    pub(super) out_of_memory: bool,
    /// It may not take more than some memory: the kernel ends it when it does.
    pub(super) memory_limited: bool,
    pub(super) error: String,
    pub(super) started_at: u64,
    pub(super) finished_at: u64,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Phase {
    /// Never started, or tried without success.
    #[default]
    Created,
    /// A paused one too: it has not ended.
    Running,
    /// It ran.
    Ended,
}

/// What its health check says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum ContainerHealth {
    /// Neither spec nor image have a check.
    #[default]
    Unchecked,
    /// It has not passed yet.
    Starting,
    /// It passed.
    Healthy,
    /// It failed as often as it may.
    Unhealthy,
}

/// How the newest of its health checks ended. What the check printed is the task's output, which
/// stays out of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum HealthCheckEnd {
    /// There was none yet, or the engine does not say.
    #[default]
    Unknown,
    /// It exited with this code.
    Exited(i64),
    /// It took longer than it may, or could not be run.
    Broken,
}

impl HealthCheckEnd {
    fn of(exit_code: Option<i64>) -> HealthCheckEnd {
        match exit_code {
            None => HealthCheckEnd::Unknown,
            Some(code @ 0..) => HealthCheckEnd::Exited(code),
            Some(_) => HealthCheckEnd::Broken,
        }
    }
}

/// Reads the engine's answer.
pub(super) fn read(answer: ContainerInspectResponse) -> Container {
    let state = answer.state.unwrap_or_default();
    let id = answer.id.unwrap_or_default();
    let labels = answer.config.and_then(|config| config.labels).unwrap_or_default();
    let started_at = moment(state.started_at.as_deref());
    let phase = match state.status.unwrap_or(ContainerStateStatusEnum::EMPTY) {
        ContainerStateStatusEnum::RUNNING
        | ContainerStateStatusEnum::PAUSED
        | ContainerStateStatusEnum::RESTARTING => Phase::Running,
        ContainerStateStatusEnum::CREATED => Phase::Created,
        ContainerStateStatusEnum::EXITED
        | ContainerStateStatusEnum::DEAD
        | ContainerStateStatusEnum::REMOVING
        | ContainerStateStatusEnum::STOPPING
        | ContainerStateStatusEnum::EMPTY
            if started_at > 0 =>
        {
            Phase::Ended
        }
        ContainerStateStatusEnum::EXITED
        | ContainerStateStatusEnum::DEAD
        | ContainerStateStatusEnum::REMOVING
        | ContainerStateStatusEnum::STOPPING
        | ContainerStateStatusEnum::EMPTY => Phase::Created,
    };
    let health = state.health.unwrap_or_default();
    let newest = health.log.as_ref().and_then(|checks| checks.last());
    let last_check = HealthCheckEnd::of(newest.and_then(|check| check.exit_code));
    let health = match health.status {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => ContainerHealth::Unchecked,
        Some(HealthStatusEnum::STARTING) => ContainerHealth::Starting,
        Some(HealthStatusEnum::HEALTHY) => ContainerHealth::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => ContainerHealth::Unhealthy,
    };
    let ports = answer.network_settings.and_then(|network| network.ports);
    let memory = answer.host_config.as_ref().and_then(|host| host.memory);
    let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
    let ports = mapping::published(&ports.unwrap_or_default());
    Container {
        task: task_of(&labels),
        image: answer.image.unwrap_or_default(),
        phase,
        health,
        last_check,
        started: Started { container_ref: id.clone(), pid, ports },
        id,
        exit_code: state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(0),
        out_of_memory: state.oom_killed.unwrap_or(false),
        memory_limited: memory.is_some_and(|bytes| bytes > 0),
        error: state.error.unwrap_or_default(),
        started_at,
        finished_at: moment(state.finished_at.as_deref()),
    }
}

/// The task that a container's labels name.
pub(super) fn task_of(labels: &HashMap<String, String>) -> Option<Id> {
    labels.get(mapping::LABEL_TASK_ID).and_then(|id| Id::parse(id))
}

/// 0 for the year 1, which is the engine's "never".
fn moment(text: Option<&str>) -> u64 {
    text.and_then(Timestamp::parse).map_or(0, |at| at.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{ContainerState, Health, HealthcheckResult};

    fn inspected(status: ContainerStateStatusEnum, started_at: &str) -> Container {
        read(ContainerInspectResponse {
            state: Some(ContainerState {
                status: Some(status),
                started_at: Some(started_at.to_owned()),
                finished_at: Some("1970-01-01T00:00:07Z".to_owned()),
                ..ContainerState::default()
            }),
            ..ContainerInspectResponse::default()
        })
    }

    #[test]
    fn what_does_not_run_has_ended_only_if_it_was_ever_started() {
        let ended = inspected(ContainerStateStatusEnum::EXITED, "1970-01-01T00:00:05Z");
        assert_eq!(ended.phase, Phase::Ended);
        assert_eq!((ended.started_at, ended.finished_at), (5_000_000_000, 7_000_000_000));
        let never = inspected(ContainerStateStatusEnum::EXITED, "0001-01-01T00:00:00Z");
        assert_eq!((never.phase, never.started_at), (Phase::Created, 0));
    }

    #[test]
    fn the_newest_health_check_is_read() {
        let check = |codes: &[i64]| {
            let checks = codes
                .iter()
                .map(|code| HealthcheckResult { exit_code: Some(*code), ..Default::default() });
            let health = Health { log: Some(checks.collect()), ..Health::default() };
            let state = ContainerState { health: Some(health), ..ContainerState::default() };
            read(ContainerInspectResponse { state: Some(state), ..Default::default() }).last_check
        };
        assert_eq!(check(&[]), HealthCheckEnd::Unknown);
        assert_eq!(check(&[0, 7]), HealthCheckEnd::Exited(7));
        assert_eq!(check(&[7, -1]), HealthCheckEnd::Broken);
    }
}
