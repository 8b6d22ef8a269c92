//! The leader's effector for roles: raft's members follow what the log says that nodes are to be.
//!
//! What comes next is decided by [`plan`]; here it is carried out, and what raft then says is
//! recorded. Each step is right whatever was done before, so a new leader goes on anywhere.

mod level;
mod orphans;
pub mod plan;
mod reach;
mod room;
mod steady;

use crate::{
    admit::{LeaderSight, MachineRequest, Request},
    drive::Drive,
    peers::ManagerPeers,
    turn::Answer,
};
use orphans::OrphanedSessions;
use plan::MemberStep;
use skep_log::{MemberChange, NoMemberChange, RaftMembers};
use skep_projections::View;
use skep_proto::{Id, Revision, author};
use std::time::Duration;
use steady::SteadyManagers;
use tokio::time::{Instant, timeout};

/// Between two looks at raft's members while nothing changes.
const MEMBERS_LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Pause before a step is tried again that raft has refused: a new manager may only be catching up.
const MEMBER_RETRY_DELAY: Duration = Duration::from_millis(200);
/// What a request about a node takes of an entry, nearly.
const MEMBERSHIP_REQUEST_BYTES: usize = 64;

/// Between two looks for another leader while this one's disk is nearly full.
const ROOM_LOOK_PERIOD: Duration = Duration::from_secs(5);
/// Between two questions to the others whether they know a higher feature level.
const LEVEL_LOOK_PERIOD: Duration = Duration::from_secs(5);

/// Keeps raft's members while this manager, with this node, leads. Ends with the log.
pub async fn keep(drive: Drive, own: Id, others: ManagerPeers) {
    let (mut leadership, mut published) = (drive.log().leadership(), drive.published());
    let (mut told, mut tenure) = (String::new(), LeaderLooks::new());
    loop {
        if !leadership.borrow().leader {
            tenure = LeaderLooks::new();
        }
        if leadership.wait_for(|now| now.leader).await.is_err() {
            return;
        }
        published.borrow_and_update();
        let Some(members) = drive.log().members().await else {
            tokio::time::sleep(MEMBERS_LOOK_PERIOD).await;
            continue;
        };
        let view = drive.newest().view.clone();
        if tenure.revision != view.tenure().revision {
            // The lead was lost and won again since the last look.
            tenure = LeaderLooks { revision: view.tenure().revision, ..LeaderLooks::new() };
        }
        // What has changed meanwhile is looked at again in the next round.
        let silent = tenure.lost_sessions(&view, &members).into_iter().map(|(node, session)| {
            let tenure = view.tenure().revision;
            ask(&drive, own, MachineRequest::Silent { node, session, tenure })
        });
        futures::future::join_all(silent).await;
        tenure.hand_over_for_room(&drive, &others, &members).await;
        tenure.steady.look(&members, tenure.begun.elapsed());
        let seen = tenure.sights(&view, &others, &members).await.into_iter();
        let seen = seen.map(|seen| ask(&drive, own, MachineRequest::Leader(seen)));
        futures::future::join_all(seen).await;
        match act(&drive, own, &members, &tenure.steady).await {
            Acted::Nothing => {
                // Either way it is looked at again.
                timeout(MEMBERS_LOOK_PERIOD, published.changed()).await.ok();
            }
            Acted::Done => {}
            Acted::Refused(why) => {
                if why != told {
                    tracing::info!("the managers are not changed yet: {why}");
                    told = why;
                }
                tokio::time::sleep(MEMBER_RETRY_DELAY).await;
            }
        }
    }
}

/// What a leader remembers between two looks. Its patience begins anew with each tenure.
struct LeaderLooks {
    /// Where the tenure begins in the history.
    revision: Revision,
    begun: Instant,
    orphans: OrphanedSessions,
    steady: SteadyManagers,
    /// When another leader was last looked for.
    room_at: Option<Instant>,
    /// When the others were last asked which feature level they know.
    level_at: Option<Instant>,
}

impl LeaderLooks {
    fn new() -> LeaderLooks {
        let (begun, orphans) = (Instant::now(), OrphanedSessions::default());
        let steady = SteadyManagers::default();
        let revision = Revision::ZERO;
        LeaderLooks { revision, begun, orphans, steady, room_at: None, level_at: None }
    }

    /// Sessions of which nobody else would say that they are over.
    fn lost_sessions(&mut self, view: &View, members: &RaftMembers) -> Vec<(Id, u64)> {
        let mut lost = plan::abandoned_sessions(view, members);
        lost.extend(self.orphans.overdue(view, self.begun.elapsed()));
        lost
    }

    /// What is to be recorded of the managers.
    async fn sights(
        &mut self,
        view: &View,
        others: &ManagerPeers,
        members: &RaftMembers,
    ) -> Vec<LeaderSight> {
        let mut seen = reach::news(view, members, &self.steady, self.begun.elapsed());
        let unasked = level::to_ask(view, members.own);
        let looked = self.level_at.is_some_and(|at| at.elapsed() < LEVEL_LOOK_PERIOD);
        if !unasked.is_empty() && !looked {
            self.level_at = Some(Instant::now());
            let told = others.levels(unasked.into_iter()).await;
            seen.extend(level::raised(view, members.own, &told));
        }
        seen
    }

    /// Lets another manager lead where this one's disk is nearly full and that one's is not.
    async fn hand_over_for_room(
        &mut self,
        drive: &Drive,
        others: &ManagerPeers,
        members: &RaftMembers,
    ) {
        let free = drive.log().free_share();
        let looked = self.room_at.is_some_and(|at| at.elapsed() < ROOM_LOOK_PERIOD);
        if !room::is_scarce(free) || looked {
            return;
        }
        self.room_at = Some(Instant::now());
        let voters = members.voters.iter().copied().filter(|raft_id| *raft_id != members.own);
        let shares = others.free_shares(voters).await;
        let Some(to) = room::roomiest(&shares) else { return };
        tracing::warn!(
            to,
            "the disk of the log is nearly full ({:.1} % is free); another manager is to lead",
            free * 100.0
        );
        if let Err(error) = drive.log().hand_over(to).await {
            tracing::warn!(%error, "the lead was not handed over");
        }
    }
}

/// What came of a look.
enum Acted {
    Nothing,
    Done,
    Refused(String),
}

async fn act(drive: &Drive, own: Id, members: &RaftMembers, steady: &SteadyManagers) -> Acted {
    let view = drive.newest().view.clone();
    let mut refused = Vec::new();
    for step in plan::steps(&view, members) {
        if let MemberStep::Change(MemberChange::Demote { raft_id }) = &step
            && !steady.are_enough_without(members, *raft_id)
        {
            refused.push(format!(
                "without manager {raft_id} no majority is left that has answered for some seconds"
            ));
            continue;
        }
        tracing::debug!(?step, "the managers change");
        match carry_out(drive, own, step).await {
            Ok(()) => return Acted::Done,
            Err(why) => refused.push(why),
        }
    }
    if refused.is_empty() { Acted::Nothing } else { Acted::Refused(refused.join("; ")) }
}

async fn carry_out(drive: &Drive, own: Id, step: MemberStep) -> Result<(), String> {
    match step {
        MemberStep::Record { node, raft_id, membership } => {
            let seen = LeaderSight::Membership { node, raft_id, membership };
            ask(drive, own, MachineRequest::Leader(seen)).await
        }
        MemberStep::Change(change) => changed(drive.log().change_members(change).await),
        MemberStep::HandOver { to } => changed(drive.log().hand_over(to).await),
    }
}

fn changed(outcome: Result<(), NoMemberChange>) -> Result<(), String> {
    match outcome {
        Ok(()) | Err(NoMemberChange::AlreadySo(_)) => Ok(()),
        Err(error @ (NoMemberChange::Refused(_) | NoMemberChange::Unknown(_))) => {
            Err(error.to_string())
        }
    }
}

async fn ask(drive: &Drive, own: Id, machine: MachineRequest) -> Result<(), String> {
    let asked =
        drive.ask(author::manager(own), Request::Machine(machine), MEMBERSHIP_REQUEST_BYTES);
    match asked.await {
        Answer::Accepted { .. } => Ok(()),
        Answer::Refused(refusal) => Err(refusal.message),
        Answer::Unknown(why) => Err(why),
    }
}
