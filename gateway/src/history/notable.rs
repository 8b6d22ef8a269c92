//! Which records a person wants to read without asking for all. PURE.
//!
//! Commands, accepted or not; decisions that move work or stop it; failures, and machines that come
//! and go. The ordinary life of tasks is left out: it is many times as much, and only shows that
//! all is well.

use skep_proto::{
    task_state::EndKind,
    v1::{DesireReason, Record, event::Kind},
};

/// Whether the record is shown where not every record was asked for.
pub fn notable(record: &Record) -> bool {
    let Some(kind) = record.event.as_ref().and_then(|event| event.kind.as_ref()) else {
        return true;
    };
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
        | Kind::TaskRejected(_)
        | Kind::TaskOrphaned(_)
        | Kind::PlacementBlocked(_)
        | Kind::RolloutStarted(_)
        | Kind::RolloutPaused(_)
        | Kind::RolloutCompleted(_)
        | Kind::NodeDown(_)
        | Kind::ObjectParked(_)
        | Kind::FeatureLevelRaised(_)
        | Kind::IncarnationBegun(_)
        | Kind::NodeJoined(_)
        | Kind::SessionOpened(_)
        | Kind::SessionClosed(_)
        | Kind::NodeSilent(_)
        | Kind::NodeConditionsObserved(_)
        | Kind::NodeSecretRenewed(_)
        | Kind::AuthorityFounded(_)
        | Kind::JoinTokenRotated(_)
        | Kind::UnlockKeyRotated(_)
        | Kind::PortOpened(_)
        | Kind::CertificateIssued(_)
        | Kind::RaftIdAssigned(_)
        | Kind::MembershipObserved(_)
        | Kind::ManagerReachObserved(_)
        | Kind::TenureBegun(_)
        | Kind::StrayObserved(_)
        | Kind::StrayDisowned(_)
        | Kind::ClockJumped(_) => true,
        Kind::TaskDesired(e) => is_a_move(e.reason()),
        Kind::TaskObserved(e) => e.state().meaning().end == EndKind::Badly,
        Kind::TaskCreated(_)
        | Kind::TaskAssigned(_)
        | Kind::TaskReaped(_)
        | Kind::PlacementExplained(_)
        | Kind::Checkpoint(_) => false,
    }
}

/// Tasks have to leave a node.
fn is_a_move(reason: DesireReason) -> bool {
    match reason {
        DesireReason::NodeDrained
        | DesireReason::NodeDown
        | DesireReason::NodeRemoved
        | DesireReason::Unfit => true,
        DesireReason::Unspecified
        | DesireReason::Start
        | DesireReason::ScaledDown
        | DesireReason::ServiceRemoved
        | DesireReason::Replaced
        | DesireReason::NewSpec
        | DesireReason::Ended => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1;

    #[test]
    fn the_ordinary_life_of_tasks_is_not_notable_but_moves_and_failures_are() {
        let desired = |reason: v1::DesireReason| {
            Kind::TaskDesired(v1::TaskDesired {
                reason: reason as i32,
                ..v1::TaskDesired::default()
            })
        };
        let observed = |state: v1::TaskState| {
            Kind::TaskObserved(v1::TaskObserved {
                state: state as i32,
                ..v1::TaskObserved::default()
            })
        };
        let told = |kind| {
            notable(&Record { event: Some(skep_proto::event::event(kind)), ..Record::default() })
        };
        assert!(
            told(desired(v1::DesireReason::NodeDown))
                && told(desired(v1::DesireReason::NodeDrained))
        );
        assert!(!told(desired(v1::DesireReason::ScaledDown)));
        assert!(told(observed(v1::TaskState::Failed)) && told(observed(v1::TaskState::Rejected)));
        assert!(!told(observed(v1::TaskState::Running)));
    }
}
