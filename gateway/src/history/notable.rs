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
