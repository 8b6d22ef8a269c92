//! Host ports: who else wants the same one. Placement keeps them apart on a node, so this only
//! warns.

use skep_projections::View;
use skep_proto::{counted, v1::ServiceSpec, verb};

/// A warning for each published port that leaves fewer nodes than replicas on purpose is for the
/// user to judge: at most one task with a given host port fits on a node.
pub(super) fn warnings(view: &View, spec: &ServiceSpec) -> Vec<String> {
    let ports = spec.endpoint.as_ref().map_or(&[][..], |e| &e.ports);
    let replicas = skep_proto::defaults::replicas(spec).unwrap_or(0);
    let (nodes, _) = view.node_counts();
    let nodes = u64::from(nodes);
    ports
        .iter()
        .filter(|port| port.published_port != 0 && replicas > nodes)
        .map(|port| {
            format!(
                "host port {} fits once on a node: {replicas} replicas need as many nodes, and there {} {}",
                port.published_port,
                verb(nodes, "is", "are"),
                counted(nodes, "node"),
            )
        })
        .collect()
}
