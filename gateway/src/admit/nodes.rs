//! Commands about nodes: labels, availability, removal.

use super::{Admitted, Refusal};
use crate::resolve;
use skep_projections::{NodeIdx, NodeRow, View};
use skep_proto::v1::{
    Annotations, NodeAvailability, NodeRemoved, NodeRole, NodeSpec, NodeState, NodeUpdated, RemoveNode,
    UpdateNode, event::Kind,
};

/// Longest label key or value, bytes; a longer one is refused.
const LABEL_BYTES_MAX: usize = 4_096;
/// Most labels one object may have; one more is refused.
const LABELS_MAX: usize = 256;

pub(super) fn update(view: &View, command: &UpdateNode) -> Result<Admitted, Refusal> {
    let row = find(view, &command.node)?;
    if command.version != 0 && command.version != row.version.0 {
        return Err(Refusal::out_of_sequence(format!(
            "node {} is at version {}, the update was made for version {}",
            row.hostname(),
            row.version,
            command.version
        ))
        .hint("read it again and repeat the change"));
    }
    let spec = changed(row, command)?;
    if spec == *row.spec {
        return Ok(Admitted::unchanged(row.id));
    }
    Ok(Admitted::one(row.id, Kind::NodeUpdated(NodeUpdated { node_id: row.id.to_bytes(), spec: Some(spec) })))
}

fn changed(row: &NodeRow, command: &UpdateNode) -> Result<NodeSpec, Refusal> {
    let mut spec = (*row.spec).clone();
    let annotations = spec.annotations.get_or_insert_with(Annotations::default);
    for key in &command.label_rm {
        if annotations.labels.remove(key).is_none() {
            return Err(Refusal::invalid(format!("node {} has no label {key:?} to remove", row.hostname())));
        }
    }
    for (key, value) in &command.label_add {
        label(key, value)?;
        annotations.labels.insert(key.clone(), value.clone());
    }
    if annotations.labels.len() > LABELS_MAX {
        return Err(Refusal::invalid(format!("a node may have {LABELS_MAX} labels at most")));
    }
    if let Some(wanted) = command.availability {
        let known = NodeAvailability::try_from(wanted).map_err(|_| {
            Refusal::invalid(format!("availability {wanted} is unknown")).hint("active, pause or drain")
        })?;
        spec.availability = known as i32;
    }
    if command.role.is_some_and(|role| role != spec.desired_role) {
        return Err(Refusal::unsupported("changing a node's role is not supported yet")
            .hint("this cluster has one manager; start further nodes with `skep agent`"));
    }
    Ok(spec)
}

pub(super) fn remove(view: &View, command: &RemoveNode) -> Result<Admitted, Refusal> {
    let row = find(view, &command.node)?;
    if row.spec.desired_role() == NodeRole::Manager {
        return Err(Refusal::precondition(format!(
            "node {} is a manager and can't be removed",
            row.hostname()
        ))
        .hint("drain it with `skep node drain` if it shall run nothing"));
    }
    if row.state == NodeState::Ready && !command.force {
        return Err(Refusal::precondition(format!(
            "node {} is ready: its agent is connected",
            row.hostname()
        ))
        .hint("stop its agent first, or use --force; its tasks are given up and replaced elsewhere"));
    }
    let removed = NodeRemoved { node_id: row.id.to_bytes(), force: command.force };
    Ok(Admitted::one(row.id, Kind::NodeRemoved(removed)))
}

/// Refuses a label that no table could show or that would fill the log.
pub(super) fn label(key: &str, value: &str) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(Refusal::invalid("a label needs a key").hint("write key=value"));
    }
    if key.len() > LABEL_BYTES_MAX || value.len() > LABEL_BYTES_MAX {
        return Err(Refusal::invalid(format!("label {:.40?}… is longer than {LABEL_BYTES_MAX} bytes", key)));
    }
    if has_control(key) || has_control(value) {
        return Err(Refusal::invalid(format!("label {key:?} holds control characters")));
    }
    Ok(())
}

fn has_control(text: &str) -> bool {
    // Nearly all text is plain: looked at by bytes, it need not be decoded.
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    !plain && text.chars().any(char::is_control)
}

fn find<'a>(view: &'a View, reference: &str) -> Result<&'a NodeRow, Refusal> {
    let place: NodeIdx = resolve::node(view, reference)?;
    view.nodes().get(place).ok_or_else(|| Refusal::not_found(format!("no node {reference:?}")))
}
