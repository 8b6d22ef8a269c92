//! Lines about machines.

use skep_proto::{
    Id, Timestamp, condition,
    v1::{
        CertificateIssued, JoinTokenRotated, ManagerReachObserved, MembershipObserved,
        NodeAvailability, NodeConditionsObserved, NodeJoined, NodeRemoved, NodeRole, NodeSpec,
        NodeUpdated, PortOpened, RaftIdAssigned, RaftMembership, SessionOpened, StrayDisowned,
        StrayObserved, TaskState,
    },
};
use std::collections::BTreeMap;

pub(super) fn joined(e: &NodeJoined, node: &str) -> String {
    let platform = e.description.as_ref().and_then(|description| description.platform.as_ref());
    let platform = platform.map_or_else(String::new, |p| format!(": {}/{}", p.os, p.architecture));
    format!("node {node} joined{platform}")
}

pub(super) fn disowned(e: &StrayDisowned, node: &str) -> String {
    format!("task {} on {node} is to be ended: no service owns it", Id::from_bytes(&e.task_id))
}

pub(super) fn removed(e: &NodeRemoved, node: &str) -> String {
    let force = if e.force { " by force" } else { "" };
    format!("node {node} removed{force}")
}

pub(super) fn opened(e: &SessionOpened, node: &str) -> String {
    let from = match e.address.as_str() {
        "" => String::new(),
        address => format!(" from {address}"),
    };
    match e.former_hostname.as_str() {
        "" => format!("node {node} connected{from}"),
        former => {
            let hostname = e.description.as_ref().map_or("", |new| new.hostname.as_str());
            format!(
                "node {node} connected{from}: its host name changed from {former} to {hostname}"
            )
        }
    }
}

/// What changed, each with its value before and after. Older records have only the values after.
pub(super) fn updated(e: &NodeUpdated, node: &str) -> String {
    let Some(spec) = &e.spec else { return format!("node {node} changed") };
    if let Some(before) = &e.before {
        let changes = changes(before, spec, &e.added_labels);
        if !changes.is_empty() {
            return format!("node {node} changed: {}", changes.join(", "));
        }
    }
    format!(
        "node {node} changed: now {}, {}{}",
        availability(spec.availability()),
        role(spec.desired_role()),
        labels(spec)
    )
}

/// Changes named in a line; the others are counted.
const NODE_CHANGES_SHOWN_MAX: usize = 6;

fn changes(before: &NodeSpec, after: &NodeSpec, added: &[String]) -> Vec<String> {
    let mut changes = Vec::new();
    let (was, is) = (before.availability(), after.availability());
    if was != is {
        changes.push(format!("availability {} → {}", availability(was), availability(is)));
    }
    let (was, is) = (before.desired_role(), after.desired_role());
    if was != is {
        changes.push(format!("role {} → {}", role(was), role(is)));
    }
    let (was, is) = (label_map(before), label_map(after));
    for key in added {
        let value = is.get(key).map_or("", |value| value.as_str());
        changes.push(format!("label {key}={} added", shortened(value)));
    }
    for (key, old) in was {
        match is.get(key) {
            None => changes.push(format!("label {key}={} removed", shortened(old))),
            // A record of the first program that wrote them repeats all labels.
            Some(new) if *new == old => {}
            Some(new) => {
                let (old, new) = (shortened(old), shortened(new));
                changes.push(format!("label {key} {old} → {new}"));
            }
        }
    }
    if changes.len() > NODE_CHANGES_SHOWN_MAX {
        let more = changes.len() - NODE_CHANGES_SHOWN_MAX;
        changes.truncate(NODE_CHANGES_SHOWN_MAX);
        changes.push(format!("{more} more"));
    }
    changes
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
        NodeAvailability::Pause => "pause",
        NodeAvailability::Drain => "drain",
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
    let text = |(key, value): (&String, &String)| format!(", {key}={}", shortened(value));
    label_map(spec).into_iter().map(text).collect()
}

fn label_map(spec: &NodeSpec) -> BTreeMap<&String, &String> {
    spec.annotations.iter().flat_map(|annotations| &annotations.labels).collect()
}

fn shortened(value: &str) -> String {
    let short: String = value.chars().take(VALUE_CHARS_MAX).collect();
    if short.len() < value.len() { short + "…" } else { short }
}

pub(super) fn token_rotated(event: &JoinTokenRotated) -> String {
    let role = match event.role() {
        NodeRole::Worker => "workers",
        NodeRole::Manager => "managers",
    };
    format!("the join token of {role} is a new one")
}

pub(super) fn port_opened(event: &PortOpened, node: &str) -> String {
    let PortOpened { listen_address: listen, advertise_address: advertise, .. } = event;
    format!(
        "node {node} lets other machines in: it listens on {listen}, and they reach it at {advertise}"
    )
}

pub(super) fn numbered(event: &RaftIdAssigned, node: &str) -> String {
    format!("node {node} is to be a manager, as number {} in raft", event.raft_id)
}

pub(super) fn membership(event: &MembershipObserved, node: &str) -> String {
    let MembershipObserved { raft_id, .. } = event;
    match event.membership() {
        RaftMembership::None => format!("node {node} is no manager any more (raft: {raft_id})"),
        RaftMembership::Follows => {
            format!("node {node} follows the managers' log, without a vote (raft: {raft_id})")
        }
        RaftMembership::Votes => format!("node {node} is a manager with a vote (raft: {raft_id})"),
    }
}

pub(super) fn reach(event: &ManagerReachObserved, node: &str) -> String {
    match event.answers {
        true => format!("manager {node} answers the leader again"),
        false => format!("manager {node} does not answer the leader"),
    }
}

pub(super) fn secret_renewed(node: &str) -> String {
    format!("node {node} has a new secret: its agent lost the old one")
}

pub(super) fn certified(event: &CertificateIssued, node: &str) -> String {
    format!("node {node} has a certificate until {}", Timestamp(event.not_after_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::Annotations;

    fn spec(availability: NodeAvailability, labels: &[(&str, &str)]) -> Option<NodeSpec> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let annotations = Some(Annotations { name: String::new(), labels });
        let availability = availability as i32;
        Some(NodeSpec { annotations, availability, ..NodeSpec::default() })
    }

    #[test]
    fn a_change_of_a_node_names_what_changed() {
        let (active, drain) = (NodeAvailability::Active, NodeAvailability::Drain);
        let line = |before, spec, added: &[&str]| {
            let added_labels = added.iter().map(|key| (*key).to_owned()).collect();
            let node_id = Id(1).to_bytes();
            updated(&NodeUpdated { node_id, spec, before, added_labels }, "n1")
        };
        let before = spec(active, &[("zone", "a"), ("disk", "ssd")]);
        assert_eq!(
            line(before.clone(), spec(drain, &[("zone", "b"), ("rack", "1")]), &["rack"]),
            "node n1 changed: availability active → drain, label rack=1 added, \
             label disk=ssd removed, label zone a → b"
        );
        let old = line(None, before.clone(), &[]);
        assert_eq!(old, "node n1 changed: now active, worker, disk=ssd, zone=a");
        let keys: Vec<String> = (0..9).map(|n| format!("k{n}")).collect();
        let many: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        let added: Vec<&str> = keys.iter().map(String::as_str).collect();
        let line = line(spec(active, &[]), spec(active, &many), &added);
        assert!(line.ends_with("label k5=v added, 3 more"), "{line}");
    }

    #[test]
    fn a_node_becomes_a_manager_in_lines_and_ceases_to_be_one() {
        let role =
            |role: NodeRole| Some(NodeSpec { desired_role: role.into(), ..NodeSpec::default() });
        let changed = NodeUpdated {
            spec: role(NodeRole::Manager),
            before: role(NodeRole::Worker),
            ..NodeUpdated::default()
        };
        assert_eq!(updated(&changed, "n2"), "node n2 changed: role worker → manager");
        let (node_id, raft_id) = (Id(1).to_bytes(), 7);
        let assigned = RaftIdAssigned { node_id, raft_id };
        assert_eq!(numbered(&assigned, "n2"), "node n2 is to be a manager, as number 7 in raft");
        let line = |now: RaftMembership| {
            let node_id = Id(1).to_bytes();
            membership(&MembershipObserved { node_id, raft_id, membership: now.into() }, "n2")
        };
        assert_eq!(
            [RaftMembership::Follows, RaftMembership::Votes, RaftMembership::None].map(line),
            [
                "node n2 follows the managers' log, without a vote (raft: 7)",
                "node n2 is a manager with a vote (raft: 7)",
                "node n2 is no manager any more (raft: 7)",
            ]
        );
    }

    #[test]
    fn a_node_that_comes_back_under_another_name_says_which_it_had() {
        let description = Some(skep_proto::v1::NodeDescription {
            hostname: "k2".into(),
            ..skep_proto::v1::NodeDescription::default()
        });
        let renamed =
            SessionOpened { description, former_hostname: "k1".into(), ..SessionOpened::default() };
        assert_eq!(
            opened(&renamed, "k2"),
            "node k2 connected: its host name changed from k1 to k2"
        );
        assert_eq!(opened(&SessionOpened::default(), "k1"), "node k1 connected");
    }
}
