//! Lines about machines.

use skep_proto::{
    Id, condition,
    v1::{
        NodeAvailability, NodeConditionsObserved, NodeJoined, NodeRemoved, NodeRole, NodeSpec,
        NodeUpdated, StrayDisowned, StrayObserved, TaskState,
    },
};
use std::collections::BTreeMap;

pub(super) fn joined(e: &NodeJoined, node: &str) -> String {
    let platform = e.description.as_ref().and_then(|description| description.platform.as_ref());
    let platform = platform.map_or_else(String::new, |p| format!(": {}/{}", p.os, p.architecture));
    format!("node {node} joined{platform}")
}

pub(super) fn disowned(e: &StrayDisowned, node: &str) -> String {
    format!("task {} on {node} shall end: nobody owns it", Id::from_bytes(&e.task_id))
}

pub(super) fn removed(e: &NodeRemoved, node: &str) -> String {
    let force = if e.force { " by force" } else { "" };
    format!("node {node} removed{force}")
}

pub(super) fn updated(e: &NodeUpdated, node: &str) -> String {
    let Some(spec) = &e.spec else { return format!("node {node} changed") };
    format!(
        "node {node} changed: now {}, {}{}",
        availability(spec.availability()),
        role(spec.desired_role()),
        labels(spec)
    )
}

pub(super) fn conditions(e: &NodeConditionsObserved, node: &str) -> String {
    if e.conditions.is_empty() {
        return format!("node {node} has no problems any more");
    }
    let lines: Vec<String> = e.conditions.iter().map(condition::line).collect();
    format!("node {node} has a problem: {}", lines.join("; "))
}

pub(super) fn stray(e: &StrayObserved, node: &str) -> String {
    let task = Id::from_bytes(&e.task_id);
    if e.state() < TaskState::Complete {
        format!("task {task} runs on {node}, and history does not know it")
    } else {
        format!("task {task} on {node} has ended; history did not know it")
    }
}

fn availability(availability: NodeAvailability) -> &'static str {
    match availability {
        NodeAvailability::Active => "active",
        NodeAvailability::Pause => "paused",
        NodeAvailability::Drain => "drained",
    }
}

fn role(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Worker => "worker",
        NodeRole::Manager => "manager",
    }
}

/// Label values can be long; a line names the keys and as much of the values as is readable.
const VALUE_CHARS_MAX: usize = 24;

fn labels(spec: &NodeSpec) -> String {
    let labels: BTreeMap<&String, &String> =
        spec.annotations.iter().flat_map(|a| &a.labels).collect();
    let mut text = String::new();
    for (key, value) in labels {
        let short: String = value.chars().take(VALUE_CHARS_MAX).collect();
        let more = if short.len() < value.len() { "…" } else { "" };
        text += &format!(", {key}={short}{more}");
    }
    text
}
