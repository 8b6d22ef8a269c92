//! Why a task is on its node, as text. PURE.

use skep_proto::{
    feature,
    v1::{Feature, FilterCount, PlacementFilter, TaskAssigned},
};

/// What each filter refused: `2 refused: constraints not satisfied`.
pub fn refusals(refused: &[FilterCount]) -> Vec<String> {
    let some = refused.iter().filter(|count| count.nodes > 0);
    some.map(|count| format!("{} refused: {}", count.nodes, filter_phrase(count))).collect()
}

fn filter_phrase(count: &FilterCount) -> String {
    let phrase = match count.filter() {
        PlacementFilter::Unspecified => "for a reason this program does not know",
        PlacementFilter::Ready => "not ready or not active",
        PlacementFilter::Resources => "not enough CPU or memory left",
        // Older records do not say what was missing.
        PlacementFilter::Features if count.missing() == Feature::Unspecified => {
            "their runtime cannot do what the task asks for"
        }
        PlacementFilter::Features => {
            let runtime = feature::runtime_name(count.runtime());
            return format!("the {runtime} runtime {}", feature::lacks(count.missing()));
        }
        PlacementFilter::Constraints => "constraints not satisfied",
        PlacementFilter::Platform => "another platform than the image's",
        PlacementFilter::HostPort => "a host port is taken",
        PlacementFilter::VolumeDriver => "their engine lacks a volume driver",
        PlacementFilter::Condition => "a problem of the node",
        PlacementFilter::MaxReplicas => "they have as many replicas as one node may have",
    };
    phrase.to_owned()
}

/// What made the chosen node the best.
pub fn chosen(assigned: &TaskAssigned, node: &str, service: &str) -> String {
    let rank = match assigned.candidates {
        0 | 1 => "the only node".into(),
        n => format!("the best of {n} nodes"),
    };
    let failures = match assigned.recent_failures {
        0 => String::new(),
        n => format!(", and {} of {service} there", count(n, "recent failure")),
    };
    let of_service = count(assigned.service_tasks, "task");
    let had = format!("it had {of_service} of {service}, {} in all{failures}", assigned.node_tasks);
    format!("{node} was {rank} that passed every filter: before, {had}")
}

/// `no tasks`, `1 task`, `3 tasks`.
pub(super) fn count(n: u32, noun: &str) -> String {
    match n {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}
