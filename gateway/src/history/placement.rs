//! Why a task is on its node, as text. PURE.

use skep_proto::{
    counted, placement,
    v1::{FilterCount, TaskAssigned},
};

/// What each filter refused, a line each.
pub fn refusals(refused: &[FilterCount]) -> Vec<String> {
    refused.iter().filter(|count| count.nodes > 0).map(placement::refused_nodes).collect()
}

/// What made the chosen node the best.
pub fn chosen(assigned: &TaskAssigned, node: &str, service: &str) -> String {
    let rank = match assigned.candidates {
        0 | 1 => "the only node".into(),
        n => format!("the best of {n} nodes"),
    };
    let failures = match assigned.recent_failures {
        0 => String::new(),
        n => format!(", and {} of {service} there", counted_or_no(n, "recent failure")),
    };
    let of_service = counted_or_no(assigned.service_tasks, "task");
    let had = format!("it had {of_service} of {service}, {} in all{failures}", assigned.node_tasks);
    format!("{node} was {rank} that passed every filter: before, {had}")
}

/// `no tasks`, `1 task`, `3 tasks`.
pub(super) fn counted_or_no(n: u32, noun: &str) -> String {
    if n == 0 { format!("no {noun}s") } else { counted(n, noun) }
}
