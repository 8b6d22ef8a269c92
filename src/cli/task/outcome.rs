//! What became of a task, as a sentence for people.

use skep_proto::{
    defaults,
    task_state::EndKind,
    v1::{ContainerStatus, EndCause, PortConfig, PortProtocol, Task, TaskState},
};

/// A state as people say it.
pub(crate) fn state_word(state: TaskState) -> &'static str {
    state.word()
}

/// What a task runs.
pub(crate) fn image(task: &Task) -> &str {
    task.spec
        .as_ref()
        .and_then(defaults::container)
        .map_or("", |container| container.image.as_str())
}

/// What went wrong with a task: its error, how it ended where that was not well, or what its agent
/// says of one that does not get on.
pub(crate) fn trouble(task: &Task) -> String {
    let status = task.status.clone().unwrap_or_default();
    if !status.error.is_empty() {
        return status.error;
    }
    match status.state().meaning().end {
        EndKind::Badly => status.container.as_ref().map_or_else(String::new, end_text),
        EndKind::NoEnd => status.message,
        EndKind::Well => String::new(),
    }
}

/// Why a task is not what was wanted: what went wrong, or else how it ended.
pub(crate) fn end_of(task: &Task) -> String {
    let container = task.status.as_ref().and_then(|status| status.container.as_ref());
    match trouble(task) {
        trouble if trouble.is_empty() => container.map_or_else(String::new, end_text),
        trouble => trouble,
    }
}

/// How a container ended: exit code or signal, and who did it where that was not itself.
pub(super) fn end_text(container: &ContainerStatus) -> String {
    let how = match (container.signal, container.exit_code) {
        (0, None) => String::new(),
        (0, Some(code)) => format!("exit code {code}"),
        (signal, _) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(known) => format!("killed by {known}"),
            Err(_) => format!("killed by signal {signal}"),
        },
    };
    let why =
        if container.out_of_memory { "out of memory" } else { cause_text(container.end_cause()) };
    match (how.is_empty(), why.is_empty()) {
        (false, false) => format!("{how}, {why}"),
        (false, true) => how,
        (true, _) => why.to_owned(),
    }
}

fn cause_text(cause: EndCause) -> &'static str {
    match cause {
        EndCause::Itself => "",
        EndCause::Asked => "as asked",
        EndCause::KilledOutside => "killed by somebody else",
        EndCause::StoppedOutside => "stopped by somebody else",
        EndCause::RemovedOutside => "removed by somebody else",
        EndCause::EngineStopped => "the engine stopped",
        EndCause::Unhealthy => "unhealthy",
        EndCause::Reboot => "the machine rebooted",
        EndCause::NotesDamaged => "its node's files about it are damaged",
    }
}

/// Published ports as Docker writes them: `*:8080->80/tcp`. One that each node chooses is
/// `*:*->80/tcp`.
pub(crate) fn ports(task: &Task) -> String {
    let container = task.status.as_ref().and_then(|status| status.container.as_ref());
    port_list(container.map_or(&[][..], |container| &container.ports))
}

/// The same for any ports.
pub(crate) fn port_list(ports: &[PortConfig]) -> String {
    let one = |port: &PortConfig| {
        let protocol = match port.protocol() {
            PortProtocol::Tcp => "tcp",
            PortProtocol::Udp => "udp",
            PortProtocol::Sctp => "sctp",
        };
        let published = match port.published_port {
            0 => "*".to_owned(),
            number => number.to_string(),
        };
        format!("*:{published}->{}/{protocol}", port.target_port)
    };
    ports.iter().map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::{ContainerSpec, TaskSpec, TaskStatus, task_spec};

    fn check(container: &ContainerStatus, expected: &str) {
        assert_eq!(end_text(container), expected);
    }

    #[test]
    fn what_went_wrong_is_the_error_or_the_end_or_what_the_agent_says() {
        let task = |state: TaskState, error: &str| {
            let container = ContainerStatus { exit_code: Some(3), ..ContainerStatus::default() };
            let status = TaskStatus {
                state: state.into(),
                message: "trying again".into(),
                error: error.into(),
                container: Some(container),
                ..TaskStatus::default()
            };
            Task { status: Some(status), ..Task::default() }
        };
        let check = |task: Task, wrong: &str, end: &str| {
            assert_eq!((trouble(&task).as_str(), end_of(&task).as_str()), (wrong, end));
        };
        check(task(TaskState::Failed, "no space"), "no space", "no space");
        check(task(TaskState::Failed, ""), "exit code 3", "exit code 3");
        check(task(TaskState::Starting, ""), "trying again", "trying again");
        check(task(TaskState::Complete, ""), "", "exit code 3");
    }

    #[test]
    fn ports_and_images_are_told_as_docker_tells_them() {
        let port = |published_port, protocol: PortProtocol| PortConfig {
            published_port,
            target_port: 80,
            protocol: protocol.into(),
            ..PortConfig::default()
        };
        let ports_of = vec![port(8080, PortProtocol::Tcp), port(8081, PortProtocol::Udp)];
        let container = ContainerStatus { ports: ports_of, ..ContainerStatus::default() };
        let status = TaskStatus { container: Some(container), ..TaskStatus::default() };
        let container = ContainerSpec { image: "nginx:1".into(), ..ContainerSpec::default() };
        let runtime = Some(task_spec::Runtime::Container(container));
        let spec = Some(TaskSpec { runtime, ..TaskSpec::default() });
        let task = Task { status: Some(status), spec, ..Task::default() };
        assert_eq!(ports(&task), "*:8080->80/tcp,*:8081->80/udp");
        assert_eq!((image(&task), image(&Task::default())), ("nginx:1", ""));
    }

    #[test]
    fn a_port_of_the_nodes_choice_is_no_port_0() {
        let port = |published_port| PortConfig {
            published_port,
            target_port: 80,
            protocol: PortProtocol::Tcp as i32,
            ..PortConfig::default()
        };
        assert_eq!(port_list(&[port(8080), port(0)]), "*:8080->80/tcp,*:*->80/tcp");
    }

    #[test]
    fn an_end_is_told_with_its_code_or_signal_and_its_cause() {
        let ended =
            |exit_code, signal| ContainerStatus { exit_code, signal, ..ContainerStatus::default() };
        check(&ended(Some(3), 0), "exit code 3");
        check(&ended(Some(137), 9), "killed by SIGKILL");
        check(
            &ContainerStatus { out_of_memory: true, ..ended(Some(137), 9) },
            "killed by SIGKILL, out of memory",
        );
        let outside = EndCause::KilledOutside as i32;
        check(
            &ContainerStatus { end_cause: outside, ..ended(Some(137), 9) },
            "killed by SIGKILL, killed by somebody else",
        );
        let stopped = EndCause::EngineStopped as i32;
        check(&ContainerStatus { end_cause: stopped, ..ended(None, 0) }, "the engine stopped");
        check(&ended(None, 99), "killed by signal 99");
    }
}
