//! A task for people.

use super::outcome::{end_text, image, ports, state_word, trouble};
use crate::cli::show::{ago, local_time, pairs, title};
use skep_proto::{Id, Timestamp, v1::Task};

/// `now` is the log's time.
pub(super) fn pretty(task: &Task, now: Timestamp) -> String {
    let meta = task.meta.unwrap_or_default();
    let status = task.status.clone().unwrap_or_default();
    let container = status.container.clone().unwrap_or_default();
    let id = |bytes: &[u8]| {
        if bytes.is_empty() { String::new() } else { Id::from_bytes(bytes).to_string() }
    };
    let number = |n: i64| if n == 0 { String::new() } else { n.to_string() };
    pairs(&[
        ("ID", id(&task.id)),
        ("Name", task.name.clone()),
        ("Service", format!("{} {}", task.service_name, id(&task.service_id))),
        ("Slot", task.slot.to_string()),
        ("Spec version", task.spec_version.to_string()),
        ("Image", image(task).to_owned()),
        ("Image digest", container.image_digest.clone()),
        ("Node", format!("{} {}", task.node_name, id(&task.node_id)).trim().to_owned()),
        ("Created", local_time(meta.created_at)),
        ("Replaces", id(&task.replaces_id)),
        ("Attempt", number(i64::from(task.attempt))),
        ("Desired state", title(state_word(task.desired()))),
        ("Current state", format!("{} {}", title(state_word(status.state())), ago(status.at, now))),
        ("Message", status.message.clone()),
        ("Error", trouble(task)),
        (
            "End",
            if container.exit_code.is_some() || container.signal != 0 {
                end_text(&container)
            } else {
                String::new()
            },
        ),
        ("Held until", local_time(task.start_at)),
        ("Container", container.container_ref.clone()),
        ("Process id", number(i64::from(container.pid))),
        ("Ports", ports(task)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::{
        time::SECOND_NS,
        v1::{
            ContainerSpec, ContainerStatus, Meta, PortConfig, PortProtocol, TaskSpec, TaskState,
            TaskStatus, task_spec::Runtime,
        },
    };

    const NOW: Timestamp = Timestamp(1_700_000_100 * SECOND_NS);

    fn ended() -> Task {
        let port = PortConfig {
            target_port: 80,
            published_port: 8080,
            protocol: PortProtocol::Tcp.into(),
            ..PortConfig::default()
        };
        let container = ContainerStatus {
            container_ref: "c0ffee".into(),
            pid: 4_711,
            exit_code: Some(3),
            image_digest: "sha256:1".into(),
            ports: vec![port],
            ..ContainerStatus::default()
        };
        let image = ContainerSpec { image: "nginx:1".into(), ..ContainerSpec::default() };
        Task {
            id: Id(1).to_bytes(),
            name: "web.2".into(),
            meta: Some(Meta { created_at: 1_700_000_000 * SECOND_NS, ..Meta::default() }),
            service_id: Id(2).to_bytes(),
            service_name: "web".into(),
            slot: 2,
            spec_version: 9,
            spec: Some(TaskSpec {
                runtime: Some(Runtime::Container(image)),
                ..TaskSpec::default()
            }),
            node_id: Id(3).to_bytes(),
            node_name: "node1".into(),
            desired: TaskState::Shutdown.into(),
            status: Some(TaskStatus {
                state: TaskState::Failed.into(),
                at: NOW.0 - 40 * SECOND_NS,
                message: "started".into(),
                error: "no space".into(),
                container: Some(container),
            }),
            replaces_id: Id(4).to_bytes(),
            start_at: 1_700_000_050 * SECOND_NS,
            attempt: 5,
        }
    }

    #[test]
    fn everything_that_is_known_of_a_task_is_told() {
        let (created, held) =
            (local_time(1_700_000_000 * SECOND_NS), local_time(1_700_000_050 * SECOND_NS));
        let expected = format!(
            "ID:             0000000000000000000000001
Name:           web.2
Service:        web 0000000000000000000000002
Slot:           2
Spec version:   9
Image:          nginx:1
Image digest:   sha256:1
Node:           node1 0000000000000000000000003
Created:        {created}
Replaces:       0000000000000000000000004
Attempt:        5
Desired state:  Shutdown
Current state:  Failed 40 seconds ago
Message:        started
Error:          no space
End:            exit code 3
Held until:     {held}
Container:      c0ffee
Process id:     4711
Ports:          *:8080->80/tcp
"
        );
        assert_eq!(pretty(&ended(), NOW), expected);
    }

    #[test]
    fn an_end_by_a_signal_alone_is_an_end_too() {
        let mut task = ended();
        let container = task.status.get_or_insert_default().container.get_or_insert_default();
        (container.exit_code, container.signal) = (None, 9);
        let text = pretty(&task, NOW);
        assert!(text.contains("\nEnd:            killed by SIGKILL\n"), "{text}");
    }

    #[test]
    fn what_is_not_known_of_a_task_has_no_line() {
        let expected = "Service:
Slot:           0
Spec version:   0
Desired state:  New
Current state:  New
";
        assert_eq!(pretty(&Task::default(), NOW), expected);
    }
}
