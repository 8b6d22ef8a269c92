//! The leader's effector for roles: raft's members follow what the log says that nodes are to be.
//!
//! What comes next is decided by [`plan`]; here it is carried out, and what raft then says is
//! recorded. Each step is right whatever was done before, so a new leader goes on anywhere.

pub mod plan;

use crate::{
    admit::{MachineRequest, Request},
    drive::Drive,
    turn::Answer,
};
use plan::MemberStep;
use skep_log::{NoMemberChange, RaftMembers};
use skep_proto::{Id, author};
use std::time::Duration;
use tokio::time::timeout;

/// Between two looks at raft's members while nothing changes.
const MEMBERS_LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Pause before a step is tried again that raft has refused: a new manager may only be catching up.
const MEMBER_RETRY_DELAY: Duration = Duration::from_millis(200);
/// What a request about a node takes of an entry, nearly.
const MEMBERSHIP_REQUEST_BYTES: usize = 64;

/// Keeps raft's members while this manager, with this node, leads. Ends with the log.
pub async fn keep(drive: Drive, own: Id) {
    let (mut leadership, mut published) = (drive.log().leadership(), drive.published());
    let mut told = String::new();
    loop {
        if leadership.wait_for(|now| now.leader).await.is_err() {
            return;
        }
        published.borrow_and_update();
        let Some(members) = drive.log().members().await else {
            tokio::time::sleep(MEMBERS_LOOK_PERIOD).await;
            continue;
        };
        match act(&drive, own, &members).await {
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

/// What came of a look.
enum Acted {
    Nothing,
    Done,
    Refused(String),
}

async fn act(drive: &Drive, own: Id, members: &RaftMembers) -> Acted {
    let view = drive.newest().view.clone();
    for (node, session) in plan::abandoned_sessions(&view, members) {
        ask(drive, own, MachineRequest::Silent { node, session }).await.ok();
    }
    let Some(step) = plan::next(&view, members) else { return Acted::Nothing };
    tracing::debug!(?step, "the managers change");
    let done = match step {
        MemberStep::Record { node, raft_id, membership } => {
            ask(drive, own, MachineRequest::Membership { node, raft_id, membership }).await
        }
        MemberStep::Change(change) => changed(drive.log().change_members(change).await),
        MemberStep::HandOver { to } => changed(drive.log().hand_over(to).await),
    };
    done.map_or_else(Acted::Refused, |()| Acted::Done)
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
