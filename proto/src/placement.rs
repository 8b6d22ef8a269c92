//! Why nodes get no task of a service, as text. PURE.
//!
//! The reconciler writes it into its records and history shows it again from the counts, so both
//! use this one wording.

use crate::{
    counted, feature,
    v1::{Feature, FilterCount, PlacementFilter},
};

/// Characters of a constraint that are shown; a longer one is cut. Specs show all of it.
const CONSTRAINT_SHOWN_CHARS_MAX: usize = 120;

/// What one filter refused: `constraint node.labels.zone==b not met by 2 nodes`.
pub fn refused_nodes(count: &FilterCount) -> String {
    let nodes = counted(count.nodes, "node");
    let why = match count.filter() {
        PlacementFilter::Unspecified => "refused for an unknown reason by",
        PlacementFilter::Ready => "not ready or not active:",
        PlacementFilter::Resources => "not enough free cpu, memory or other resources on",
        // Older records do not say what was missing.
        PlacementFilter::Features if count.missing() == Feature::Unspecified => {
            return format!("the runtime of {nodes} {}", feature::lacks(count.missing()));
        }
        PlacementFilter::Features => {
            let runtime = feature::runtime_name(count.runtime());
            return format!("the {runtime} runtime of {nodes} {}", feature::lacks(count.missing()));
        }
        // Older records do not say which.
        PlacementFilter::Constraints if count.constraint.is_empty() => "constraints not met by",
        PlacementFilter::Constraints => {
            return format!("constraint {} not met by {nodes}", shown(&count.constraint));
        }
        PlacementFilter::Platform => "another platform on",
        PlacementFilter::HostPort => "host port in use on",
        PlacementFilter::VolumeDriver => "a volume driver is missing on",
        PlacementFilter::Condition => {
            "a problem such as an unreachable engine keeps new tasks from"
        }
        PlacementFilter::MaxReplicas => "as many replicas as allowed already on",
    };
    format!("{why} {nodes}")
}

fn shown(constraint: &str) -> String {
    match constraint.char_indices().nth(CONSTRAINT_SHOWN_CHARS_MAX) {
        None => constraint.to_owned(),
        Some((end, _)) => format!("{}…", &constraint[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(filter: PlacementFilter, nodes: u32) -> FilterCount {
        FilterCount { filter: filter as i32, nodes, ..FilterCount::default() }
    }

    #[test]
    fn a_refusal_names_the_constraint_as_far_as_a_line_can_hold_it() {
        let constraints = of(PlacementFilter::Constraints, 2);
        assert_eq!(refused_nodes(&constraints), "constraints not met by 2 nodes");
        let named = FilterCount { constraint: "node.labels.zone==b".into(), ..constraints };
        assert_eq!(refused_nodes(&named), "constraint node.labels.zone==b not met by 2 nodes");
        let long = FilterCount { constraint: "ä".repeat(121), ..named };
        let cut = format!("constraint {}… not met by 2 nodes", "ä".repeat(120));
        assert_eq!(refused_nodes(&long), cut);
    }

    #[test]
    fn one_node_is_not_counted_as_several() {
        assert_eq!(
            refused_nodes(&of(PlacementFilter::Ready, 1)),
            "not ready or not active: 1 node"
        );
        assert_eq!(
            refused_nodes(&of(PlacementFilter::Features, 1)),
            "the runtime of 1 node cannot do what the spec asks for"
        );
    }
}
