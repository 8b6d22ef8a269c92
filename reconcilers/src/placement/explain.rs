//! Saying why: how many nodes each filter refused, in counts and as a message.
//!
//! What a node's kind decides is counted by class; what it has left is counted for the nodes that
//! were looked at, which is all of them when a task finds no node. Those last counts move with
//! every task that comes and goes, so a change of them alone is not worth a record.

use super::requirement::NodeRefusal;
use skep_projections::ServiceRow;
use skep_proto::{
    Revision, placement,
    v1::{FilterCount, PlacementBlocked, PlacementExplained, PlacementFilter},
};
use std::collections::BTreeMap;

/// Counts as the records carry them, in the order of the filters.
fn counts(refused: &BTreeMap<NodeRefusal, u32>) -> Vec<FilterCount> {
    refused.iter().map(|(refusal, nodes)| count(refusal, *nodes)).collect()
}

fn count(refusal: &NodeRefusal, nodes: u32) -> FilterCount {
    FilterCount {
        filter: refusal.filter as i32,
        nodes,
        missing: refusal.missing as i32,
        runtime: refusal.runtime as i32,
        constraint: refusal.constraint.as_deref().unwrap_or_default().to_owned(),
    }
}

/// What there is to say of a service that got nodes; nothing if it was said already or nothing was
/// refused.
pub(crate) fn explained(
    service: &ServiceRow,
    version: Revision,
    nodes: u32,
    refused: &BTreeMap<NodeRefusal, u32>,
) -> Option<PlacementExplained> {
    let said = service.explained.as_ref();
    if refused.is_empty() && said.is_none_or(|said| said.refused.is_empty()) {
        return None;
    }
    let refused = counts(refused);
    let known = said.is_some_and(|said| {
        said.spec_version == version.0
            && said.nodes == nodes
            && steady(&said.refused).eq(steady(&refused))
    });
    let service_id = service.id.to_bytes();
    (!known).then_some(PlacementExplained { service_id, spec_version: version.0, nodes, refused })
}

/// What there is to say of a service that waits; nothing if it was said already.
pub(crate) fn blocked(
    service: &ServiceRow,
    version: Revision,
    nodes: u32,
    refused: &BTreeMap<NodeRefusal, u32>,
) -> Option<PlacementBlocked> {
    let message = filters_message(nodes, refused);
    let refused = counts(refused);
    let known = service.blocked.as_ref().is_some_and(|said| {
        said.spec_version == version.0
            && said.nodes == nodes
            && steady(&said.refused).eq(steady(&refused))
    });
    let service_id = service.id.to_bytes();
    (!known).then_some(PlacementBlocked {
        service_id,
        spec_version: version.0,
        nodes,
        refused,
        message,
    })
}

/// Counts that do not move with every task.
fn steady(refused: &[FilterCount]) -> impl Iterator<Item = &FilterCount> {
    refused.iter().filter(|count| match count.filter() {
        PlacementFilter::Ready
        | PlacementFilter::Features
        | PlacementFilter::Constraints
        | PlacementFilter::Platform
        | PlacementFilter::Condition
        | PlacementFilter::VolumeDriver
        | PlacementFilter::Unspecified => true,
        PlacementFilter::Resources | PlacementFilter::HostPort | PlacementFilter::MaxReplicas => {
            false
        }
    })
}

/// One line for people, the most frequent reason first.
fn filters_message(nodes: u32, refused: &BTreeMap<NodeRefusal, u32>) -> String {
    if nodes == 0 {
        return "no suitable node: the cluster has no nodes".into();
    }
    let mut reasons: Vec<_> = refused.iter().collect();
    reasons.sort_by_key(|(refusal, nodes)| (std::cmp::Reverse(**nodes), *refusal));
    let reasons: Vec<_> = reasons
        .into_iter()
        .map(|(refusal, nodes)| placement::refused_nodes(&count(refusal, *nodes)))
        .collect();
    format!("no suitable node: {}", reasons.join("; "))
}
