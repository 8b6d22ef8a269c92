//! A record in one line for people. PURE.
//!
//! The caller looks the names up: the same record reads `web.3 failed on alpha: exit code 137
//! (killed from outside)` today and in ten years, when neither service nor node is there any more.

mod machines;
mod tasks;

use super::placement::refusals;
use skep_proto::{
    Id, Timestamp, author, counted,
    time::SECOND_NS,
    v1::{
        ClockJumped, CommandRefused, ObjectParked, PlacementBlocked, PlacementExplained, Record,
        RefusalCode, ServiceSpec, author::Who, event::Kind,
    },
};

/// Finds what objects are, or were, called.
pub trait ObjectNames {
    /// The name of a service, node or task; something readable where there is none.
    fn name(&mut self, id: Id) -> String;
}

/// The record in one line.
pub fn line(record: &Record, names: &mut dyn ObjectNames) -> String {
    let Some(kind) = record.event.as_ref().and_then(|event| event.kind.as_ref()) else {
        return "a kind of record that this program does not know".into();
    };
    let mut name = |id: &[u8]| names.name(Id::from_bytes(id));
    match kind {
        Kind::ClusterCreated(_) => "the cluster was created".into(),
        Kind::ClusterUpdated(_) => "the cluster's settings changed".into(),
        Kind::ServiceCreated(e) => {
            format!("service {} created{}", name(&e.service_id), what(e.spec.as_ref()))
        }
        Kind::ServiceUpdated(e) => {
            let changed = changed(&e.changed_fields);
            format!("service {} updated{changed}{}", name(&e.service_id), what(e.spec.as_ref()))
        }
        Kind::ServiceScaled(e) => {
            format!("service {} scaled to {}", name(&e.service_id), e.replicas)
        }
        Kind::ServiceRemoved(e) => format!("service {} removed", name(&e.service_id)),
        Kind::CommandRefused(e) => refused(e),
        Kind::ObjectReleased(e) => format!("{} unparked", name(&e.object_id)),
        Kind::PlacementExplained(e) => explained(e, &name(&e.service_id)),
        Kind::PlacementBlocked(e) => blocked(e, &name(&e.service_id)),
        Kind::RolloutStarted(e) => format!("{}: roll-out started", name(&e.service_id)),
        Kind::RolloutPaused(e) => {
            format!("{}: roll-out paused{}", name(&e.service_id), after(&e.message))
        }
        Kind::RolloutCompleted(e) => format!("{}: roll-out completed", name(&e.service_id)),
        Kind::StrayObserved(e) => machines::stray(e, &name(&e.node_id)),
        Kind::StrayDisowned(e) => machines::disowned(e, &name(&e.node_id)),
        Kind::ObjectParked(e) => parked(e, &name(&e.object_id)),
        Kind::Checkpoint(_) => "checkpoint".into(),
        Kind::FeatureLevelRaised(e) => format!("feature level raised to {}", e.level),
        Kind::IncarnationBegun(e) => {
            format!("incarnation {} begun{}", e.incarnation, after(&e.message))
        }
        Kind::TenureBegun(e) => {
            let by = manager(record).map_or_else(String::new, |id| format!(" of {}", name(id)));
            format!("tenure{by} begun: term {}, skep {}", e.term, e.code_version)
        }
        Kind::ClockJumped(e) => jumped(e),
        Kind::NodeUpdated(e) => machines::updated(e, &name(&e.node_id)),
        Kind::NodeRemoved(e) => machines::removed(e, &name(&e.node_id)),
        Kind::NodeDown(e) => format!("node {} is down{}", name(&e.node_id), after(&e.message)),
        Kind::NodeJoined(e) => machines::joined(e, &name(&e.node_id)),
        Kind::SessionOpened(e) => machines::opened(e, &name(&e.node_id)),
        Kind::SessionClosed(e) => format!("node {} disconnected", name(&e.node_id)),
        Kind::NodeSilent(e) => format!("node {} is silent", name(&e.node_id)),
        Kind::NodeSecretRenewed(e) => machines::secret_renewed(&name(&e.node_id)),
        Kind::AuthorityFounded(_) => "the cluster has a certificate authority".to_owned(),
        Kind::PortOpened(e) => machines::port_opened(e, &name(&e.node_id)),
        Kind::RaftIdAssigned(e) => machines::numbered(e, &name(&e.node_id)),
        Kind::MembershipObserved(e) => machines::membership(e, &name(&e.node_id)),
        Kind::ManagerReachObserved(e) => machines::reach(e, &name(&e.node_id)),
        Kind::JoinTokenRotated(e) => machines::token_rotated(e),
        Kind::UnlockKeyRotated(_) => "the key that unlocks managers was rotated".to_owned(),
        Kind::CertificateIssued(e) => machines::certified(e, &name(&e.node_id)),
        Kind::NodeConditionsObserved(e) => machines::conditions(e, &name(&e.node_id)),
        Kind::TaskCreated(e) => tasks::created(e, &name(&e.task_id)),
        Kind::TaskAssigned(e) => tasks::assigned(e, &name(&e.task_id), &name(&e.node_id)),
        Kind::TaskDesired(e) => tasks::desired(e, &name(&e.task_id)),
        Kind::TaskRejected(e) => format!("{} withdrawn{}", name(&e.task_id), after(&e.error)),
        Kind::TaskOrphaned(e) => {
            format!("{} given up: its node is lost", name(&e.task_id))
        }
        Kind::TaskReaped(e) => format!("{} left the view", name(&e.task_id)),
        Kind::TaskObserved(e) => {
            let on = agent(record).map_or_else(String::new, |id| format!(" on {}", name(id)));
            tasks::observed(e, &name(&e.task_id), &on)
        }
    }
}

pub use tasks::ended;

/// The node whose agent wrote the record.
fn agent(record: &Record) -> Option<&[u8]> {
    match record.author.as_ref()?.who.as_ref()? {
        Who::NodeId(id) => Some(id),
        Who::ManagerId(_) | Who::Person(_) | Who::Reconciler(_) => None,
    }
}

/// The manager that wrote the record.
fn manager(record: &Record) -> Option<&[u8]> {
    match record.author.as_ref()?.who.as_ref()? {
        Who::ManagerId(id) => Some(id),
        Who::NodeId(_) | Who::Person(_) | Who::Reconciler(_) => None,
    }
}

/// `: text`, or nothing where there is no text.
fn after(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn what(spec: Option<&ServiceSpec>) -> String {
    let Some(spec) = spec else { return String::new() };
    let image =
        spec.task.as_ref().and_then(skep_proto::defaults::container).map(|c| c.image.as_str());
    match (skep_proto::defaults::replicas(spec), image) {
        (Some(replicas), Some(image)) => format!(": {replicas} × {image}"),
        (None, Some(image)) => format!(": {image}"),
        (_, None) => String::new(),
    }
}

/// Fields named in a line; the others are counted.
const FIELDS_SHOWN_MAX: usize = 6;

/// ` (image, labels.a)`: the fields by their last parts, as people call them.
fn changed(fields: &[String]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let short = |field: &String| {
        let prefixes = ["task.container.", "task.", "annotations."];
        let rest = prefixes.iter().find_map(|prefix| field.strip_prefix(prefix));
        rest.unwrap_or(field).to_owned()
    };
    let mut shown: Vec<String> = fields.iter().take(FIELDS_SHOWN_MAX).map(short).collect();
    if fields.len() > FIELDS_SHOWN_MAX {
        shown.push(format!("{} more", fields.len() - FIELDS_SHOWN_MAX));
    }
    format!(" ({})", shown.join(", "))
}

fn refused(e: &CommandRefused) -> String {
    let code = match e.code() {
        RefusalCode::Unspecified => "refused",
        RefusalCode::Invalid => "refused as invalid",
        RefusalCode::NotFound
        | RefusalCode::AlreadyExists
        | RefusalCode::OutOfSequence
        | RefusalCode::Precondition
        | RefusalCode::Unsupported
        | RefusalCode::Ambiguous => "refused",
        RefusalCode::Permission => "not permitted",
        RefusalCode::Exhausted => "not taken",
        RefusalCode::Expired => "expired",
    };
    let times = if e.count > 1 { format!(" ({} times)", e.count) } else { String::new() };
    let object = if e.object.is_empty() { String::new() } else { format!(" {}", e.object) };
    format!("{}{object} {code}{}{times}", e.command.replace('_', " "), after(&e.message))
}

fn explained(e: &PlacementExplained, service: &str) -> String {
    let refused = refusals(&e.refused);
    if refused.is_empty() {
        match e.nodes {
            1 => format!("{service}: the only node is suitable"),
            nodes => format!("{service}: all of {nodes} nodes are suitable"),
        }
    } else {
        let nodes = counted(e.nodes, "node");
        format!("{service}: not all of {nodes} are suitable: {}", refused.join("; "))
    }
}

fn blocked(e: &PlacementBlocked, service: &str) -> String {
    let why =
        if e.message.is_empty() { refusals(&e.refused).join("; ") } else { e.message.clone() };
    format!("{service} is blocked{}", after(&why))
}

fn parked(e: &ObjectParked, object: &str) -> String {
    format!(
        "{object} parked: {} failed on it{}",
        author::reconciler_name(e.reconciler()),
        after(&e.message)
    )
}

fn jumped(e: &ClockJumped) -> String {
    let seconds = e.by_ns.unsigned_abs() / SECOND_NS;
    let way = if e.by_ns < 0 { "back" } else { "ahead" };
    format!("the clock jumped {way} by {seconds} s")
}

/// A time as a line carries it: to the second.
pub fn to_the_second(at: Timestamp) -> String {
    Timestamp(at.0 / SECOND_NS * SECOND_NS).to_string()
}
