//! A node for people, after `docker node inspect --pretty`.

use super::{availability_word, condition_word, role_word, runtime_word, state_word};
use crate::cli::show::{duration_text, local_time, pairs, title, untrusted::one_line};
use skep_proto::{
    Id, Timestamp, bytes_size,
    v1::{Node, Resources},
};

/// `now` is the log's time.
pub(super) fn pretty(node: &Node, now: Timestamp) -> String {
    let description = node.description.clone().unwrap_or_default();
    let meta = node.meta.unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let annotations = node.spec.clone().unwrap_or_default().annotations.unwrap_or_default();
    let labels: Vec<String> =
        annotations.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let platform = description.platform.clone().unwrap_or_default();
    let features: Vec<String> = description
        .features()
        .map(|feature| {
            feature.as_str_name().trim_start_matches("FEATURE_").replace('_', " ").to_lowercase()
        })
        .collect();
    let conditions: Vec<String> = status
        .conditions
        .iter()
        .map(|one| {
            let word = condition_word(one.kind());
            format!("{word} since {}: {}", local_time(one.since_at), one_line(&one.message))
        })
        .collect();
    pairs(&[
        ("ID", Id::from_bytes(&node.id).to_string()),
        ("Hostname", description.hostname.clone()),
        ("Role", title(role_word(node.role()))),
        ("Joined at", local_time(meta.created_at)),
        ("Labels", labels.join("\n")),
        ("State", state(node, status.since_at, now)),
        ("Message", status.message),
        ("Conditions", conditions.join("\n")),
        ("Availability", title(availability_word(node))),
        ("Address", description.addr.clone()),
        (
            "Platform",
            format!("{}/{}", platform.os, platform.architecture).trim_matches('/').to_owned(),
        ),
        ("Resources", amount(description.resources.as_ref())),
        ("Reserved", amount(node.reserved.as_ref())),
        ("Live tasks", node.tasks.to_string()),
        ("Runtime", runtime_word(description.runtime()).to_owned()),
        ("Engine version", description.engine.clone().unwrap_or_default().version),
        ("Features", features.join(", ")),
    ])
}

fn state(node: &Node, since_at: u64, now: Timestamp) -> String {
    match since_at {
        0 => state_word(node).to_owned(),
        at => {
            format!(
                "{} for {}",
                state_word(node),
                duration_text(now.since(Timestamp(at))).to_lowercase()
            )
        }
    }
}

fn amount(resources: Option<&Resources>) -> String {
    let resources = resources.cloned().unwrap_or_default();
    let cpus = resources.nano_cpus as f64 / 1e9;
    format!("{cpus} CPUs, {}", bytes_size(resources.memory_bytes.unsigned_abs()))
}
