//! What can be said about any event without a view: its kind, its voice, the objects it touches.

use crate::{
    Id,
    v1::{Event, NodeDescription, ServiceSpec, event::Kind},
};

/// Who may say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voice {
    /// A command that was accepted, or turned away.
    Intent,
    /// A reconciler's, or the turn's own.
    Decision,
    /// What an agent, or a manager, saw.
    Observation,
}

/// Every kind's name, in the order of the schema: the catalogue and the golden bytes are checked
/// against it.
pub const KINDS: [&str; 45] = [
    "cluster_created",
    "cluster_updated",
    "node_updated",
    "node_removed",
    "service_created",
    "service_updated",
    "service_scaled",
    "service_removed",
    "command_refused",
    "object_released",
    "stray_disowned",
    "join_token_rotated",
    "port_opened",
    "unlock_key_rotated",
    "task_created",
    "task_assigned",
    "task_desired",
    "task_rejected",
    "task_orphaned",
    "task_reaped",
    "placement_explained",
    "placement_blocked",
    "rollout_started",
    "rollout_paused",
    "rollout_completed",
    "node_down",
    "object_parked",
    "checkpoint",
    "feature_level_raised",
    "incarnation_begun",
    "raft_id_assigned",
    "node_joined",
    "session_opened",
    "session_closed",
    "node_silent",
    "task_observed",
    "tenure_begun",
    "clock_jumped",
    "stray_observed",
    "node_conditions_observed",
    "node_secret_renewed",
    "authority_founded",
    "certificate_issued",
    "membership_observed",
    "manager_reach_observed",
];

/// An event as the envelope carries it.
pub fn event(kind: Kind) -> Event {
    Event { kind: Some(kind) }
}

/// The kind's name: noun and participle.
pub fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::ClusterCreated(_) => "cluster_created",
        Kind::ClusterUpdated(_) => "cluster_updated",
        Kind::NodeUpdated(_) => "node_updated",
        Kind::NodeRemoved(_) => "node_removed",
        Kind::ServiceCreated(_) => "service_created",
        Kind::ServiceUpdated(_) => "service_updated",
        Kind::ServiceScaled(_) => "service_scaled",
        Kind::ServiceRemoved(_) => "service_removed",
        Kind::CommandRefused(_) => "command_refused",
        Kind::ObjectReleased(_) => "object_released",
        Kind::StrayDisowned(_) => "stray_disowned",
        Kind::JoinTokenRotated(_) => "join_token_rotated",
        Kind::PortOpened(_) => "port_opened",
        Kind::UnlockKeyRotated(_) => "unlock_key_rotated",
        Kind::TaskCreated(_) => "task_created",
        Kind::TaskAssigned(_) => "task_assigned",
        Kind::TaskDesired(_) => "task_desired",
        Kind::TaskRejected(_) => "task_rejected",
        Kind::TaskOrphaned(_) => "task_orphaned",
        Kind::TaskReaped(_) => "task_reaped",
        Kind::PlacementExplained(_) => "placement_explained",
        Kind::PlacementBlocked(_) => "placement_blocked",
        Kind::RolloutStarted(_) => "rollout_started",
        Kind::RolloutPaused(_) => "rollout_paused",
        Kind::RolloutCompleted(_) => "rollout_completed",
        Kind::NodeDown(_) => "node_down",
        Kind::ObjectParked(_) => "object_parked",
        Kind::Checkpoint(_) => "checkpoint",
        Kind::FeatureLevelRaised(_) => "feature_level_raised",
        Kind::IncarnationBegun(_) => "incarnation_begun",
        Kind::RaftIdAssigned(_) => "raft_id_assigned",
        Kind::NodeJoined(_) => "node_joined",
        Kind::SessionOpened(_) => "session_opened",
        Kind::SessionClosed(_) => "session_closed",
        Kind::NodeSilent(_) => "node_silent",
        Kind::TaskObserved(_) => "task_observed",
        Kind::TenureBegun(_) => "tenure_begun",
        Kind::ClockJumped(_) => "clock_jumped",
        Kind::StrayObserved(_) => "stray_observed",
        Kind::NodeConditionsObserved(_) => "node_conditions_observed",
        Kind::NodeSecretRenewed(_) => "node_secret_renewed",
        Kind::AuthorityFounded(_) => "authority_founded",
        Kind::CertificateIssued(_) => "certificate_issued",
        Kind::MembershipObserved(_) => "membership_observed",
        Kind::ManagerReachObserved(_) => "manager_reach_observed",
    }
}

/// Whose voice it is.
pub fn voice(kind: &Kind) -> Voice {
    match kind {
        Kind::ClusterCreated(_)
        | Kind::ClusterUpdated(_)
        | Kind::NodeUpdated(_)
        | Kind::NodeRemoved(_)
        | Kind::ServiceCreated(_)
        | Kind::ServiceUpdated(_)
        | Kind::ServiceScaled(_)
        | Kind::ServiceRemoved(_)
        | Kind::CommandRefused(_)
        | Kind::ObjectReleased(_)
        | Kind::StrayDisowned(_)
        | Kind::JoinTokenRotated(_)
        | Kind::UnlockKeyRotated(_)
        | Kind::PortOpened(_) => Voice::Intent,
        Kind::TaskCreated(_)
        | Kind::TaskAssigned(_)
        | Kind::TaskDesired(_)
        | Kind::TaskRejected(_)
        | Kind::TaskOrphaned(_)
        | Kind::TaskReaped(_)
        | Kind::PlacementExplained(_)
        | Kind::PlacementBlocked(_)
        | Kind::RolloutStarted(_)
        | Kind::RolloutPaused(_)
        | Kind::RolloutCompleted(_)
        | Kind::NodeDown(_)
        | Kind::ObjectParked(_)
        | Kind::Checkpoint(_)
        | Kind::FeatureLevelRaised(_)
        | Kind::IncarnationBegun(_)
        | Kind::RaftIdAssigned(_) => Voice::Decision,
        Kind::NodeJoined(_)
        | Kind::SessionOpened(_)
        | Kind::SessionClosed(_)
        | Kind::NodeSilent(_)
        | Kind::TaskObserved(_)
        | Kind::TenureBegun(_)
        | Kind::ClockJumped(_)
        | Kind::StrayObserved(_)
        | Kind::NodeConditionsObserved(_)
        | Kind::NodeSecretRenewed(_)
        | Kind::AuthorityFounded(_)
        | Kind::CertificateIssued(_)
        | Kind::MembershipObserved(_)
        | Kind::ManagerReachObserved(_) => Voice::Observation,
    }
}

/// The objects that the event is about, as the audit index keeps them: at most two.
pub fn objects(kind: &Kind) -> impl Iterator<Item = Id> {
    let (first, second) = match kind {
        Kind::ClusterCreated(e) => (Some(&e.cluster_id), None),
        Kind::NodeUpdated(e) => (Some(&e.node_id), None),
        Kind::NodeRemoved(e) => (Some(&e.node_id), None),
        Kind::PortOpened(e) => (Some(&e.node_id), None),
        Kind::ServiceCreated(e) => (Some(&e.service_id), None),
        Kind::ServiceUpdated(e) => (Some(&e.service_id), None),
        Kind::ServiceScaled(e) => (Some(&e.service_id), None),
        Kind::ServiceRemoved(e) => (Some(&e.service_id), None),
        Kind::CommandRefused(e) => (Some(&e.object_id), None),
        Kind::ObjectReleased(e) => (Some(&e.object_id), None),
        Kind::TaskCreated(e) => (Some(&e.task_id), Some(&e.service_id)),
        Kind::TaskAssigned(e) => (Some(&e.task_id), Some(&e.node_id)),
        Kind::TaskDesired(e) => (Some(&e.task_id), None),
        Kind::TaskRejected(e) => (Some(&e.task_id), None),
        Kind::TaskOrphaned(e) => (Some(&e.task_id), None),
        Kind::TaskReaped(e) => (Some(&e.task_id), Some(&e.service_id)),
        Kind::PlacementExplained(e) => (Some(&e.service_id), None),
        Kind::PlacementBlocked(e) => (Some(&e.service_id), None),
        Kind::RolloutStarted(e) => (Some(&e.service_id), None),
        Kind::RolloutPaused(e) => (Some(&e.service_id), Some(&e.task_id)),
        Kind::RolloutCompleted(e) => (Some(&e.service_id), None),
        Kind::NodeDown(e) => (Some(&e.node_id), None),
        Kind::ObjectParked(e) => (Some(&e.object_id), None),
        Kind::NodeJoined(e) => (Some(&e.node_id), None),
        Kind::SessionOpened(e) => (Some(&e.node_id), None),
        Kind::SessionClosed(e) => (Some(&e.node_id), None),
        Kind::NodeSilent(e) => (Some(&e.node_id), None),
        Kind::NodeConditionsObserved(e) => (Some(&e.node_id), None),
        Kind::NodeSecretRenewed(e) => (Some(&e.node_id), None),
        Kind::CertificateIssued(e) => (Some(&e.node_id), None),
        Kind::RaftIdAssigned(e) => (Some(&e.node_id), None),
        Kind::MembershipObserved(e) => (Some(&e.node_id), None),
        Kind::ManagerReachObserved(e) => (Some(&e.node_id), None),
        Kind::TaskObserved(e) => (Some(&e.task_id), None),
        Kind::StrayObserved(e) => (Some(&e.task_id), Some(&e.node_id)),
        Kind::StrayDisowned(e) => (Some(&e.task_id), Some(&e.node_id)),
        Kind::ClusterUpdated(_)
        | Kind::Checkpoint(_)
        | Kind::FeatureLevelRaised(_)
        | Kind::IncarnationBegun(_)
        | Kind::TenureBegun(_)
        | Kind::ClockJumped(_)
        | Kind::JoinTokenRotated(_)
        | Kind::UnlockKeyRotated(_)
        | Kind::AuthorityFounded(_) => (None, None),
    };
    let named = first.into_iter().chain(second);
    named.map(|id| Id::from_bytes(id)).filter(|id| !id.is_none())
}

/// The name that the event gives a service or a node, if it does. The audit index leads from a name
/// to these events.
pub fn given_name(kind: &Kind) -> Option<&str> {
    let name = match kind {
        Kind::ServiceCreated(e) => service_name(e.spec.as_ref()),
        Kind::ServiceUpdated(e) => service_name(e.spec.as_ref()),
        Kind::NodeJoined(e) => host_name(e.description.as_ref()),
        Kind::SessionOpened(e) => host_name(e.description.as_ref()),
        Kind::ClusterCreated(_)
        | Kind::ClusterUpdated(_)
        | Kind::NodeUpdated(_)
        | Kind::NodeRemoved(_)
        | Kind::ServiceScaled(_)
        | Kind::ServiceRemoved(_)
        | Kind::CommandRefused(_)
        | Kind::ObjectReleased(_)
        | Kind::StrayDisowned(_)
        | Kind::TaskCreated(_)
        | Kind::TaskAssigned(_)
        | Kind::TaskDesired(_)
        | Kind::TaskRejected(_)
        | Kind::TaskOrphaned(_)
        | Kind::TaskReaped(_)
        | Kind::PlacementExplained(_)
        | Kind::PlacementBlocked(_)
        | Kind::RolloutStarted(_)
        | Kind::RolloutPaused(_)
        | Kind::RolloutCompleted(_)
        | Kind::NodeDown(_)
        | Kind::ObjectParked(_)
        | Kind::Checkpoint(_)
        | Kind::FeatureLevelRaised(_)
        | Kind::IncarnationBegun(_)
        | Kind::SessionClosed(_)
        | Kind::NodeSilent(_)
        | Kind::TaskObserved(_)
        | Kind::TenureBegun(_)
        | Kind::ClockJumped(_)
        | Kind::StrayObserved(_)
        | Kind::NodeConditionsObserved(_)
        | Kind::NodeSecretRenewed(_)
        | Kind::JoinTokenRotated(_)
        | Kind::UnlockKeyRotated(_)
        | Kind::PortOpened(_)
        | Kind::AuthorityFounded(_)
        | Kind::CertificateIssued(_)
        | Kind::RaftIdAssigned(_)
        | Kind::MembershipObserved(_)
        | Kind::ManagerReachObserved(_) => None,
    };
    name.filter(|name| !name.is_empty())
}

/// Whether the event holds text that people or their programs wrote: reasons, environment,
/// arguments, messages. Such a record is salted, so that the text can be erased one day and nobody
/// can find it again by trying. Labels of nodes are not counted: they sort machines, constraints
/// name them, and they change often.
pub fn holds_free_text(kind: &Kind) -> bool {
    match kind {
        Kind::ClusterCreated(_)
        | Kind::ClusterUpdated(_)
        | Kind::ServiceCreated(_)
        | Kind::ServiceUpdated(_)
        | Kind::CommandRefused(_)
        | Kind::TaskRejected(_)
        | Kind::PlacementExplained(_)
        | Kind::PlacementBlocked(_)
        | Kind::RolloutPaused(_)
        | Kind::NodeDown(_)
        | Kind::ObjectParked(_)
        | Kind::IncarnationBegun(_)
        | Kind::NodeJoined(_)
        | Kind::NodeConditionsObserved(_) => true,
        Kind::SessionOpened(e) => e.description.is_some(),
        Kind::TaskObserved(e) => {
            !e.message.is_empty() || !e.error.is_empty() || e.container.is_some()
        }
        Kind::NodeUpdated(_)
        | Kind::NodeRemoved(_)
        | Kind::ServiceScaled(_)
        | Kind::ServiceRemoved(_)
        | Kind::ObjectReleased(_)
        | Kind::StrayDisowned(_)
        | Kind::TaskCreated(_)
        | Kind::TaskAssigned(_)
        | Kind::TaskDesired(_)
        | Kind::TaskOrphaned(_)
        | Kind::TaskReaped(_)
        | Kind::RolloutStarted(_)
        | Kind::RolloutCompleted(_)
        | Kind::Checkpoint(_)
        | Kind::FeatureLevelRaised(_)
        | Kind::SessionClosed(_)
        | Kind::NodeSilent(_)
        | Kind::TenureBegun(_)
        | Kind::ClockJumped(_)
        | Kind::StrayObserved(_)
        | Kind::NodeSecretRenewed(_)
        | Kind::JoinTokenRotated(_)
        | Kind::UnlockKeyRotated(_)
        | Kind::PortOpened(_)
        | Kind::AuthorityFounded(_)
        | Kind::CertificateIssued(_)
        | Kind::RaftIdAssigned(_)
        | Kind::MembershipObserved(_)
        | Kind::ManagerReachObserved(_) => false,
    }
}

fn service_name(spec: Option<&ServiceSpec>) -> Option<&str> {
    Some(spec?.annotations.as_ref()?.name.as_str())
}

fn host_name(description: Option<&NodeDescription>) -> Option<&str> {
    Some(description?.hostname.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{
        Annotations, ContainerStatus, NodeJoined, ServiceCreated, ServiceScaled, ServiceUpdated,
        SessionOpened, StrayObserved, TaskCreated, TaskObserved, TenureBegun,
    };

    #[test]
    fn an_event_is_about_those_of_its_objects_that_it_names() {
        let (a, b) = (Id(1), Id(2));
        let created = |service: Id| {
            let (task_id, service_id) = (a.to_bytes(), service.to_bytes());
            Kind::TaskCreated(TaskCreated { task_id, service_id, ..TaskCreated::default() })
        };
        let listed = |kind: &Kind| objects(kind).collect::<Vec<Id>>();
        assert_eq!(listed(&created(b)), [a, b]);
        assert_eq!(listed(&created(Id::NONE)), [a]);
        let (task_id, node_id) = (a.to_bytes(), b.to_bytes());
        let stray = StrayObserved { task_id, node_id, ..StrayObserved::default() };
        assert_eq!(listed(&Kind::StrayObserved(stray)), [a, b]);
        assert_eq!(listed(&Kind::TenureBegun(TenureBegun::default())), []);
    }

    #[test]
    fn text_makes_a_record_one_that_can_be_erased() {
        let opened = |description| {
            Kind::SessionOpened(Box::new(SessionOpened { description, ..SessionOpened::default() }))
        };
        assert!(holds_free_text(&opened(Some(NodeDescription::default()))));
        assert!(!holds_free_text(&opened(None)));
        let observed = |observed| holds_free_text(&Kind::TaskObserved(observed));
        let plain = TaskObserved::default;
        assert!(!observed(plain()));
        assert!(observed(TaskObserved { message: "exit 1".into(), ..plain() }));
        assert!(observed(TaskObserved { error: "no such image".into(), ..plain() }));
        assert!(observed(TaskObserved { container: Some(ContainerStatus::default()), ..plain() }));
        assert!(holds_free_text(&Kind::ServiceCreated(Box::default())));
        assert!(!holds_free_text(&Kind::ServiceScaled(ServiceScaled::default())));
    }

    #[test]
    fn services_and_nodes_are_given_names() {
        let spec = |name: &str| {
            let annotations = Some(Annotations { name: name.into(), ..Annotations::default() });
            Some(ServiceSpec { annotations, ..ServiceSpec::default() })
        };
        let host = || Some(NodeDescription { hostname: "n1".into(), ..NodeDescription::default() });
        let created = |spec| {
            Kind::ServiceCreated(Box::new(ServiceCreated { spec, ..ServiceCreated::default() }))
        };
        assert_eq!(given_name(&created(spec("web"))), Some("web"));
        assert_eq!(given_name(&created(spec(""))), None);
        assert_eq!(given_name(&created(None)), None);
        let updated = ServiceUpdated { spec: spec("db"), ..ServiceUpdated::default() };
        assert_eq!(given_name(&Kind::ServiceUpdated(Box::new(updated))), Some("db"));
        let joined = NodeJoined { description: host(), ..NodeJoined::default() };
        assert_eq!(given_name(&Kind::NodeJoined(Box::new(joined))), Some("n1"));
        let opened = SessionOpened { description: host(), ..SessionOpened::default() };
        assert_eq!(given_name(&Kind::SessionOpened(Box::new(opened))), Some("n1"));
        assert_eq!(given_name(&Kind::ServiceScaled(ServiceScaled::default())), None);
    }
}
