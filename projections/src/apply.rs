//! The fold: one record more.
//!
//! `apply` is total. A committed record never panics and leaves nothing to choose; one that
//! contradicts the view (an unknown id, a state that would go back, an end after an end) is set
//! aside and counted, alike on every manager, and the position goes on. Only a kind or version that
//! this program does not know stops it: to skip that would make this manager's view differ from the
//! others'.
//!
//! A [`Delta`] names the objects whose own facts changed. Counters and indexes that follow from a
//! task (how many run, what a node has free) do not put its service or its node into the delta,
//! with one exception: a task that is reaped names its service, because its own row cannot be asked
//! any more.

mod adoption;
mod cluster;
mod misfit;
mod node;
mod service;
mod stray;
mod task;
mod trust;
pub(crate) mod upkeep;

pub use misfit::{Misfit, ObjectKind, SetAside};

use crate::{
    Delta, View,
    stamps::{DoneCommand, author_mark},
};
use misfit::ApplyResult;
use skep_proto::{
    FEATURE_LEVEL, Id, Position, Revision, Timestamp, author, event,
    v1::{
        Author, ConditionKind, DesireReason, NodeRole, NodeSpec, RaftMembership, Record, TaskState,
        event::Kind,
    },
};
use std::sync::Arc;
use thiserror::Error;

/// Where a record stands: from its entry's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The record's number.
    pub revision: Revision,
    /// Time of its entry.
    pub at: Timestamp,
    /// The incarnation it was written in.
    pub incarnation: u64,
}

/// A record that this program cannot fold: the manager halts with this message and nothing has
/// changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{message}")]
pub struct Unknown {
    /// Which record, what is not known, and what to do.
    pub message: String,
}

impl Unknown {
    fn of(stamp: Stamp, what: &str) -> Unknown {
        let message = format!(
            "record {} holds {what}, which this program does not know; \
             run the version of skep that wrote it, or a newer one",
            stamp.revision
        );
        Unknown { message }
    }
}

/// One record on its way into the view.
struct Step<'a> {
    view: &'a mut View,
    stamp: Stamp,
    /// Who wrote the record.
    author: Option<&'a Author>,
    /// Where changes are named, if anybody asks.
    delta: Option<&'a mut Delta>,
    /// A node's spec that was taken out of the record.
    taken: Option<NodeSpec>,
}

impl View {
    /// Folds one record in and says what changed. The view is unchanged when the answer is
    /// [`Unknown`].
    pub fn apply(&mut self, stamp: Stamp, record: &Record) -> Result<Delta, Unknown> {
        let mut delta = Delta::default();
        self.apply_into(stamp, record, &mut delta)?;
        Ok(delta)
    }

    /// Folds one record in and adds what changed to `delta`: for those who fold a turn.
    pub fn apply_into(
        &mut self,
        stamp: Stamp,
        record: &Record,
        delta: &mut Delta,
    ) -> Result<(), Unknown> {
        self.fold(stamp, record, Some(delta), None)
    }

    /// The same, for those who do not need the record afterwards: the spec of a node is not copied
    /// into the view but moved.
    pub fn apply_spent(
        &mut self,
        stamp: Stamp,
        record: &mut Record,
        delta: &mut Delta,
    ) -> Result<(), Unknown> {
        let kind = record.event.as_mut().and_then(|event| event.kind.as_mut());
        let taken =
            if let Some(Kind::NodeUpdated(updated)) = kind { updated.spec.take() } else { None };
        self.fold(stamp, record, Some(delta), taken)
    }

    /// Folds one record in for those who do not ask what changed: a restart, or a look at the past.
    pub fn replay(&mut self, stamp: Stamp, record: &Record) -> Result<(), Unknown> {
        self.fold(stamp, record, None, None)
    }

    fn fold(
        &mut self,
        stamp: Stamp,
        record: &Record,
        delta: Option<&mut Delta>,
        taken: Option<NodeSpec>,
    ) -> Result<(), Unknown> {
        let kind = known(stamp, record)?;
        self.position = Position { incarnation: stamp.incarnation, revision: stamp.revision };
        self.at = self.at.max(stamp.at);
        let step = Step { view: self, stamp, author: record.author.as_ref(), delta, taken };
        if let Err(why) = step.fold(kind) {
            let (revision, at) = (stamp.revision, stamp.at);
            self.newest_set_aside = Some(SetAside { revision, at, why });
            self.digest.take(self.set_aside_part());
            self.set_aside += 1;
            self.digest.put(self.set_aside_part());
        }
        if let (Some(command), false) = (record.command, matches!(kind, Kind::CommandRefused(_))) {
            let answer = DoneCommand {
                revision: stamp.revision,
                object: event::objects(kind).next().unwrap_or(Id::NONE),
                warnings: record.warnings.clone(),
            };
            let author = author_mark(record.author.as_ref());
            self.stamps.mark(command, author, &answer, &mut self.digest);
        }
        Ok(())
    }
}

impl Step<'_> {
    fn fold(mut self, kind: &Kind) -> ApplyResult {
        match kind {
            Kind::ClusterCreated(e) => self.cluster_created(e),
            Kind::ClusterUpdated(e) => self.cluster_updated(e),
            Kind::FeatureLevelRaised(e) => self.feature_level_raised(e),
            Kind::IncarnationBegun(e) => self.incarnation_begun(e),
            Kind::TenureBegun(e) => self.tenure_begun(e),
            Kind::ObjectParked(e) => self.object_parked(e),
            Kind::ObjectReleased(e) => self.object_released(e),
            Kind::StrayObserved(e) => self.stray_observed(e),
            Kind::StrayDisowned(e) => self.stray_disowned(e),
            Kind::NodeJoined(e) => self.node_joined(e),
            Kind::NodeUpdated(e) => self.node_updated(e),
            Kind::NodeRemoved(e) => self.node_removed(e),
            Kind::PortOpened(e) => self.port_opened(e),
            Kind::RaftIdAssigned(e) => self.raft_id_assigned(e),
            Kind::MembershipObserved(e) => self.membership_observed(e),
            Kind::ManagerReachObserved(e) => self.manager_reach_observed(e),
            Kind::NodeDown(e) => self.node_down(e),
            Kind::NodeSilent(e) => self.node_silent(e),
            Kind::NodeConditionsObserved(e) => self.node_conditions_observed(e),
            Kind::NodeSecretRenewed(e) => self.node_secret_renewed(e),
            Kind::AuthorityFounded(e) => self.authority_founded(e),
            Kind::JoinTokenRotated(e) => self.join_token_rotated(e),
            Kind::UnlockKeyRotated(e) => self.unlock_key_rotated(e),
            Kind::CertificateIssued(e) => self.certificate_issued(e),
            Kind::SessionOpened(e) => self.session_opened(e),
            Kind::SessionClosed(e) => self.session_closed(e),
            Kind::ServiceCreated(e) => self.service_created(e),
            Kind::ServiceUpdated(e) => self.service_updated(e),
            Kind::ServiceScaled(e) => self.service_scaled(e),
            Kind::ServiceRemoved(e) => self.service_removed(e),
            Kind::PlacementExplained(e) => self.placement_explained(e),
            Kind::PlacementBlocked(e) => self.placement_blocked(e),
            Kind::RolloutStarted(e) => self.rollout_started(e),
            Kind::RolloutPaused(e) => self.rollout_paused(e),
            Kind::RolloutCompleted(e) => self.rollout_completed(e),
            Kind::TaskCreated(e) => self.task_created(e),
            Kind::TaskAssigned(e) => self.task_assigned(e),
            Kind::TaskDesired(e) => self.task_desired(e),
            Kind::TaskRejected(e) => self.task_rejected(e),
            Kind::TaskOrphaned(e) => self.task_orphaned(e),
            Kind::TaskReaped(e) => self.task_reaped(e),
            Kind::TaskObserved(e) => self.task_observed(e),
            // They say something about the past or about a command: no object changes.
            Kind::CommandRefused(_) | Kind::Checkpoint(_) | Kind::ClockJumped(_) => Ok(()),
        }
    }

    /// The author of this record in a word or two.
    fn by(&self) -> Arc<str> {
        author::describe(self.author).into()
    }

    /// The same, sharing the text with the author before where it is the same.
    fn by_after(&self, before: &Arc<str>) -> Arc<str> {
        let by = author::describe(self.author);
        if *by == **before { before.clone() } else { by.into() }
    }

    /// Revision and time of this record.
    fn moment(&self) -> (Revision, Timestamp) {
        (self.stamp.revision, self.stamp.at)
    }
}

/// The event, if this program knows all that folding it depends on.
fn known(stamp: Stamp, record: &Record) -> Result<&Kind, Unknown> {
    let unknown = |what: String| Unknown::of(stamp, &what);
    let kind = record.event.as_ref().and_then(|event| event.kind.as_ref());
    let kind = kind.ok_or_else(|| unknown("a kind of event".into()))?;
    let known = |what, number: i32, is_known: bool| {
        if is_known { Ok(()) } else { Err(unknown(format!("{what} {number}"))) }
    };
    let state = |state| known("task state", state, TaskState::try_from(state).is_ok());
    let role = |role| known("node role", role, NodeRole::try_from(role).is_ok());
    let membership =
        |seen| known("membership in raft", seen, RaftMembership::try_from(seen).is_ok());
    match kind {
        Kind::FeatureLevelRaised(e) if e.level > FEATURE_LEVEL => {
            return Err(unknown(format!("feature level {}", e.level)));
        }
        Kind::TaskCreated(e) => state(e.desired)?,
        Kind::TaskObserved(e) => state(e.state)?,
        Kind::StrayObserved(e) => state(e.state)?,
        Kind::JoinTokenRotated(e) => role(e.role)?,
        Kind::CertificateIssued(e) => role(e.role)?,
        Kind::MembershipObserved(e) => membership(e.membership)?,
        Kind::NodeConditionsObserved(e) => {
            let is_known = |kind| ConditionKind::try_from(kind).is_ok();
            e.conditions
                .iter()
                .try_for_each(|c| known("condition kind", c.kind, is_known(c.kind)))?;
        }
        Kind::TaskDesired(e) => {
            state(e.desired)?;
            DesireReason::try_from(e.reason)
                .map_err(|_| unknown(format!("desire reason {}", e.reason)))?;
        }
        // No number in the others decides how they are folded.
        Kind::FeatureLevelRaised(_)
        | Kind::ClusterCreated(_)
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
        | Kind::PortOpened(_)
        | Kind::UnlockKeyRotated(_)
        | Kind::TaskAssigned(_)
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
        | Kind::IncarnationBegun(_)
        | Kind::RaftIdAssigned(_)
        | Kind::ManagerReachObserved(_)
        | Kind::NodeJoined(_)
        | Kind::SessionOpened(_)
        | Kind::SessionClosed(_)
        | Kind::NodeSilent(_)
        | Kind::NodeSecretRenewed(_)
        | Kind::AuthorityFounded(_)
        | Kind::TenureBegun(_)
        | Kind::ClockJumped(_) => {}
    }
    Ok(kind)
}
