//! Who uses a manager: one who proposes as the drive does while this manager leads, with several
//! entries in flight, and one who reads.

use super::witness::Witness;
use crate::{
    Hash, Leadership, SealedEntry, Status,
    raft::{
        handle::RaftHandle,
        proposal::{Proposal, ProposeError},
        virtual_time::VirtualTime,
    },
    testing,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use skep_proto::{Position, Revision};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Entries in flight at once.
const PROPOSED_MAX: usize = 4;
/// Between two entries, at most.
const ENTRY_DELAY_MAX: Duration = Duration::from_millis(150);
/// Between two reads, at most.
const READ_DELAY_MAX: Duration = Duration::from_millis(400);

/// A manager as those see it who use it.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) world: VirtualTime,
    pub(super) manager: u64,
    pub(super) raft: RaftHandle,
    pub(super) status: watch::Receiver<Status>,
    pub(super) witness: Witness,
}

/// Tells of each tenure.
pub(super) async fn watch(
    manager: u64,
    mut leadership: watch::Receiver<Leadership>,
    witness: Witness,
) {
    loop {
        let now = leadership.borrow_and_update().clone();
        if now.leader {
            witness.leads(now.term, manager);
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// What was proposed, and its answer.
type ProposedEntries = FuturesOrdered<BoxFuture<'static, (Hash, Result<Position, ProposeError>)>>;

impl Desk {
    /// Proposes as long as this manager leads, and begins anew on its head after each failure.
    pub(super) async fn propose(mut self) {
        while self.status.wait_for(|status| status.leader).await.is_ok() {
            let status = self.status.borrow().clone();
            let mut head = (status.head, status.applied.revision);
            let mut flight = ProposedEntries::new();
            let mut fails = false;
            while !fails || !flight.is_empty() {
                while !fails && flight.len() < PROPOSED_MAX && self.world.below(3) > 0 {
                    let entry = self.entry(head);
                    head = (entry.hash, head.1.next());
                    flight.push_back(self.hand_over(entry));
                }
                match flight.next().await {
                    Some((hash, Ok(position))) => {
                        self.witness.acknowledged(self.manager, position.revision, hash);
                    }
                    Some((hash, Err(error))) => {
                        fails = true;
                        if error != ProposeError::Unknown {
                            self.witness.seen().given_up.insert(hash);
                        }
                    }
                    None => {}
                }
                self.pause(ENTRY_DELAY_MAX).await;
            }
            self.pause(ENTRY_DELAY_MAX).await;
        }
    }

    async fn pause(&self, most: Duration) {
        self.world.sleep(Duration::from_micros(self.world.below(most.as_micros() as u64))).await;
    }

    /// An entry that nobody else makes.
    fn entry(&self, (parent, revision): (Hash, Revision)) -> SealedEntry {
        let mut draft = testing::draft(parent, revision.0 + 1, 0);
        let reason = format!("{} of manager {}", self.world.draw(), self.manager);
        draft.records.push(&skep_proto::v1::Record { reason, ..testing::label(revision.0 + 1) });
        crate::seal(&draft)
    }

    fn hand_over(
        &self,
        entry: SealedEntry,
    ) -> BoxFuture<'static, (Hash, Result<Position, ProposeError>)> {
        let (hash, (proposal, hear)) = (entry.hash, Proposal::new());
        self.raft.propose(Arc::new(entry.into()), hear);
        proposal.map(move |answer| (hash, answer)).boxed()
    }

    /// Reads again and again.
    pub(super) async fn read(self) {
        loop {
            self.pause(READ_DELAY_MAX).await;
            let before = self.witness.newest_acknowledged();
            if self.raft.barrier().await.is_ok() {
                let read = self.status.borrow().applied.revision;
                self.witness.read(self.manager, before, read);
            }
        }
    }
}
