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
