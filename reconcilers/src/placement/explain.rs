//! Saying why: how many nodes each filter refused, in counts and as a message.
//!
//! What a node's kind decides is counted by class; what it has left is counted for the nodes that
//! were looked at, which is all of them when a task finds no node. Those last counts move with
//! every task that comes and goes, so a change of them alone is not worth a record.

use skep_projections::ServiceRow;
use skep_proto::{
    Revision,
    v1::{FilterCount, PlacementBlocked, PlacementExplained, PlacementFilter},
};
use std::collections::BTreeMap;

/// Counts as the records carry them, in the order of the filters.
fn counts(refused: &BTreeMap<PlacementFilter, u32>) -> Vec<FilterCount> {
    refused
        .iter()
        .map(|(filter, nodes)| FilterCount { filter: *filter as i32, nodes: *nodes })
        .collect()
}

/// What there is to say of a service that got nodes; nothing if it was said already or nothing was
/// refused.
pub(crate) fn explained(
    service: &ServiceRow,
    version: Revision,
    nodes: u32,
    refused: &BTreeMap<PlacementFilter, u32>,
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
    refused: &BTreeMap<PlacementFilter, u32>,
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
fn steady(refused: &[FilterCount]) -> impl Iterator<Item = (PlacementFilter, u32)> + '_ {
    refused.iter().map(|count| (count.filter(), count.nodes)).filter(|(filter, _)| match filter {
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
fn filters_message(nodes: u32, refused: &BTreeMap<PlacementFilter, u32>) -> String {
    if nodes == 0 {
        return "no suitable node: the cluster has no nodes".into();
    }
    let mut reasons: Vec<_> = refused.iter().collect();
    reasons.sort_by_key(|(filter, nodes)| (std::cmp::Reverse(**nodes), **filter));
    let reasons: Vec<_> =
        reasons.into_iter().map(|(filter, nodes)| reason(*filter, *nodes)).collect();
    format!("no suitable node: {}", reasons.join("; "))
}

fn reason(filter: PlacementFilter, nodes: u32) -> String {
    let count = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
    let why = match filter {
        PlacementFilter::Unspecified => "refused for an unknown reason by",
        PlacementFilter::Ready => "not ready or not active:",
        PlacementFilter::Resources => "not enough free cpu, memory or other resources on",
        PlacementFilter::Features => {
            "something the spec asks for is not supported by the runtime of"
        }
        PlacementFilter::Constraints => "constraints not met by",
        PlacementFilter::Platform => "another platform on",
        PlacementFilter::HostPort => "host port in use on",
        PlacementFilter::VolumeDriver => "a volume driver is missing on",
        PlacementFilter::Condition => {
            "a problem such as an unreachable engine keeps new tasks from"
        }
        PlacementFilter::MaxReplicas => "as many replicas as allowed already on",
    };
    format!("{why} {count}")
}
