//! A node for people, after `docker node inspect --pretty`.

use super::{availability_word, condition_word, manager_word, role_word, runtime_word, state_word};
use crate::cli::show::{duration_text, local_time, pairs, title, untrusted::one_line};
use skep_proto::{
    Id, Timestamp, bytes_size,
    v1::{Node, Resources},
};

/// `now` is the log's time.
pub(super) fn pretty(node: &Node, now: Timestamp) -> String {
    let description = node.description.clone().unwrap_or_default();
    let meta = node.meta.unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let annotations = node.spec.clone().unwrap_or_default().annotations.unwrap_or_default();
    let labels: Vec<String> =
        annotations.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let platform = description.platform.clone().unwrap_or_default();
    let features: Vec<String> = description
        .features()
        .map(|feature| {
            feature.as_str_name().trim_start_matches("FEATURE_").replace('_', " ").to_lowercase()
        })
        .collect();
    let conditions: Vec<String> = status
        .conditions
        .iter()
        .map(|one| {
            let word = condition_word(one.kind());
            format!("{word} since {}: {}", local_time(one.since_at), one_line(&one.message))
        })
        .collect();
    let address = match status.address.as_str() {
        "" => description.addr.clone(),
        address => address.to_owned(),
    };
    let port = node.manager_port.as_ref().map_or_else(String::new, |port| {
        format!("{} (listens on {})", port.advertise_address, port.listen_address)
    });
    let certificate = node.certificate.as_ref().map_or_else(String::new, |known| {
        format!("as {} until {}", role_word(known.role()), local_time(known.not_after_at))
    });
    pairs(&[
        ("ID", Id::from_bytes(&node.id).to_string()),
        ("Hostname", description.hostname.clone()),
        ("Role", title(role_word(node.role()))),
        ("Joined at", local_time(meta.created_at)),
        ("Labels", labels.join("\n")),
        ("State", state(node, status.since_at, now)),
        ("Message", status.message),
        ("Conditions", conditions.join("\n")),
        ("Availability", title(availability_word(node))),
        ("Address", address),
        ("Manager port", port),
        ("Manager status", manager(node)),
        ("Certificate", certificate),
        (
            "Platform",
            format!("{}/{}", platform.os, platform.architecture).trim_matches('/').to_owned(),
        ),
        ("Resources", amount(description.resources.as_ref())),
        ("Reserved", amount(node.reserved.as_ref())),
        ("Live tasks", node.tasks.to_string()),
        ("Runtime", runtime_word(description.runtime()).to_owned()),
        ("Engine version", description.engine.clone().unwrap_or_default().version),
        ("Features", features.join(", ")),
    ])
}

/// What Docker shows of a manager, and its number in raft, which managers' logs name.
fn manager(node: &Node) -> String {
    let Some(status) = &node.manager_status else { return String::new() };
    let address = node.manager_port.as_ref().map_or("", |port| port.advertise_address.as_str());
    let leader = if status.leader { "Yes" } else { "No" };
    let mut lines = vec![format!("Raft Status: {}", manager_word(node, None))];
    if !address.is_empty() {
        lines.insert(0, format!("Address: {address}"));
    }
    lines.push(format!("Leader: {leader}"));
    if status.raft_id != 0 {
        lines.push(format!("Raft Number: {}", status.raft_id));
    }
    lines.join("\n")
}

fn state(node: &Node, since_at: u64, now: Timestamp) -> String {
    match since_at {
        0 => state_word(node).to_owned(),
        at => {
            format!(
                "{} for {}",
                state_word(node),
                duration_text(now.since(Timestamp(at))).to_lowercase()
            )
        }
    }
}

fn amount(resources: Option<&Resources>) -> String {
    let resources = resources.cloned().unwrap_or_default();
    let cpus = resources.nano_cpus as f64 / 1e9;
    format!("{cpus} CPUs, {}", bytes_size(resources.memory_bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::{
        time::SECOND_NS,
        v1::{
            Annotations, Condition, ConditionKind, EngineDescription, Feature, ManagerPort,
            ManagerStatus, Meta, NodeAvailability, NodeCertificate, NodeDescription, NodeRole,
            NodeSpec, NodeState, NodeStatus, Platform, RaftMembership, RuntimeKind,
        },
    };
    use std::collections::BTreeMap;

    const NOW: Timestamp = Timestamp(1_700_000_100 * SECOND_NS);
    const JOINED_AT: u64 = 1_700_000_000 * SECOND_NS;

    fn resources(nano_cpus: i64, memory_bytes: i64) -> Option<Resources> {
        Some(Resources { nano_cpus, memory_bytes, ..Resources::default() })
    }

    fn node() -> Node {
        let description = NodeDescription {
            hostname: "node1".into(),
            platform: Some(Platform { architecture: "amd64".into(), os: "linux".into() }),
            resources: resources(3_500_000_000, 8 << 30),
            engine: Some(EngineDescription { version: "28.1".into(), ..Default::default() }),
            features: vec![Feature::Images.into(), Feature::PublishHost.into()],
            runtime: RuntimeKind::Docker.into(),
            addr: String::new(),
        };
        let pulls = Condition {
            kind: ConditionKind::PullFailing.into(),
            message: "no\nroute".into(),
            since_at: JOINED_AT,
        };
        let labels = [("disk", "ssd"), ("zone", "a")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let annotations = Annotations { labels: BTreeMap::from(labels), ..Annotations::default() };
        Node {
            id: Id(1).to_bytes(),
            meta: Some(Meta { created_at: JOINED_AT, ..Meta::default() }),
            spec: Some(NodeSpec {
                annotations: Some(annotations),
                availability: NodeAvailability::Drain.into(),
                ..NodeSpec::default()
            }),
            description: Some(description),
            status: Some(NodeStatus {
                state: NodeState::Ready.into(),
                message: "told so".into(),
                since_at: NOW.0 - 40 * SECOND_NS,
                conditions: vec![pulls],
                address: "10.0.0.1".into(),
            }),
            role: NodeRole::Manager.into(),
            tasks: 4,
            reserved: resources(1_000_000_000, 64 << 20),
            certificate: Some(NodeCertificate {
                role: NodeRole::Manager.into(),
                not_after_at: JOINED_AT,
                ..NodeCertificate::default()
            }),
            manager_status: Some(ManagerStatus {
                raft_id: 3,
                membership: RaftMembership::Votes.into(),
                leader: false,
                reachable: true,
            }),
            manager_port: Some(ManagerPort {
                listen_address: "0.0.0.0:2377".into(),
                advertise_address: "10.0.0.1:2377".into(),
            }),
        }
    }

    #[test]
    fn everything_that_is_known_of_a_node_is_told() {
        let joined = local_time(JOINED_AT);
        let expected = format!(
            "ID:              0000000000000000000000001
Hostname:        node1
Role:            Manager
Joined at:       {joined}
Labels:          disk=ssd
                 zone=a
State:           Ready for 40 seconds
Message:         told so
Conditions:      pulls fail since {joined}: no route
Availability:    Drain
Address:         10.0.0.1
Manager port:    10.0.0.1:2377 (listens on 0.0.0.0:2377)
Manager status:  Address: 10.0.0.1:2377
                 Raft Status: Reachable
                 Leader: No
                 Raft Number: 3
Certificate:     as manager until {joined}
Platform:        linux/amd64
Resources:       3.5 CPUs, 8GiB
Reserved:        1 CPUs, 64MiB
Live tasks:      4
Runtime:         docker
Engine version:  28.1
Features:        images, publish host
"
        );
        assert_eq!(pretty(&node(), NOW), expected);
    }

    #[test]
    fn a_leader_is_told_to_be_one_and_a_newcomer_has_no_number() {
        let mut leader = node();
        leader.manager_status.get_or_insert_default().leader = true;
        let told = manager(&leader);
        assert!(told.contains("Raft Status: Leader\nLeader: Yes"), "{told}");
        let role = NodeRole::Manager.into();
        let manager_status = Some(ManagerStatus::default());
        let newcomer = Node { role, manager_status, ..Node::default() };
        assert_eq!(manager(&newcomer), "Raft Status: Joining\nLeader: No");
    }

    #[test]
    fn what_is_not_known_of_a_node_has_no_line() {
        let expected = "ID:            0000000000000000000000001
Role:          Worker
State:         Unknown
Availability:  Active
Resources:     0 CPUs, 0B
Reserved:      0 CPUs, 0B
Live tasks:    0
Runtime:       docker
";
        assert_eq!(pretty(&Node { id: Id(1).to_bytes(), ..Node::default() }, NOW), expected);
    }
}
