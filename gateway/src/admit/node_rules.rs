//! What holds for every node that is asked about: it is there, and what it says of itself can be
//! kept and shown. PURE.

use super::{Refusal, refusal::excerpt, spec};
use prost::Message as _;
use skep_projections::{NodeRow, View};
use skep_proto::{Id, REMOVAL_LEVEL, v1::NodeDescription};
use std::collections::BTreeMap;

/// Largest description of a machine, bytes encoded; a larger one is refused.
const DESCRIPTION_BYTES_MAX: usize = 64 << 10;
/// Longest host name of a node, bytes; a longer one is refused.
const NODE_HOSTNAME_BYTES_MAX: usize = 255;

/// Refuses what no node can join with: a name or labels that cannot be kept or shown.
pub fn check_node(name: &str, labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    node_name(name)?;
    node_labels(labels)
}

fn node_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > NODE_HOSTNAME_BYTES_MAX || spec::has_control(name) {
        return Err(Refusal::invalid(format!(
            "{:?} is not a host name for a node",
            excerpt(name, 80)
        ))
        .hint(format!(
            "1 to {NODE_HOSTNAME_BYTES_MAX} bytes without control characters: see --hostname"
        )));
    }
    Ok(())
}

pub(super) fn node_labels(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if labels.len() > spec::LABELS_MAX {
        return Err(Refusal::invalid(format!(
            "a node may have {} labels at most",
            spec::LABELS_MAX
        )));
    }
    labels.iter().try_for_each(|(key, value)| spec::label(key, value))
}

/// A warning for each other node of this host name.
pub(crate) fn same_names(view: &View, node: Id, hostname: &str) -> Vec<String> {
    let named = view.nodes_named(hostname).filter_map(|index| view.nodes().get(index));
    let others = named.filter(|row| row.id != node);
    let warning = |row: &NodeRow| {
        format!(
            "node {} has the host name {} too: until one of them is renamed, commands must name them by id",
            row.id,
            row.hostname()
        )
    };
    others.map(warning).collect()
}

/// Refuses a description that is too large to keep or to show: an agent's message may have
/// megabytes.
pub(super) fn within_bound(description: &NodeDescription) -> Result<(), Refusal> {
    let name = description.hostname.as_str();
    node_name(name)?;
    let bytes = description.encoded_len();
    if bytes > DESCRIPTION_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "the description of node {name} has {bytes} bytes, {DESCRIPTION_BYTES_MAX} are possible"
        ))
        .hint("an engine with so many labels or plugins can't be described; remove some"));
    }
    Ok(())
}

pub(super) fn known(view: &View, node: Id) -> Result<&NodeRow, Refusal> {
    match view.nodes().by_id(node) {
        Some((_, row)) if !row.removed => Ok(row),
        Some(_) | None => Err(absent(view, node)),
    }
}

/// Of a node that is not there: whether it was removed, or this history has never known it.
pub(super) fn absent(view: &View, node: Id) -> Refusal {
    if was_removed(view, node) {
        return Refusal::not_found(format!("node {node} was removed from this cluster"))
            .hint("start its agent with an empty state folder to join as a new node");
    }
    Refusal::precondition(format!("this manager's history does not know node {node}")).hint(
        "was the manager set back to an older backup? bring back the newer history; or empty the \
         folder `agent` of that node's state folder: it then joins as a new node",
    )
}

/// Whether somebody took the node away. Below feature level 5 the view does not remember it for
/// longer than the node's tasks, so there every node that is not there counts as removed.
pub(crate) fn was_removed(view: &View, node: Id) -> bool {
    view.level() < REMOVAL_LEVEL
        || view.removed_nodes().has(node)
        || view.nodes().by_id(node).is_some_and(|(_, row)| row.removed)
}
