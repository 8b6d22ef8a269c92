//! The way to raft.
//!
//! A future of the library must never be dropped before it is done: the library then believes for
//! ever that somebody else is waiting for raft's end, and panics. So only raft's own tasks call it.
//! Whoever wants something sends an order, and one of these tasks carries it out to its end.

use super::{
    hearing::{self, PeerHearing},
    machine::Raft,
    proposal, runtime, tasks, types, writer,
};
use crate::Entry;
use bytes::Bytes;
use futures::future::BoxFuture;
use openraft::ReadPolicy;
use skep_proto::Position;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::{mpsc, oneshot};

/// Orders that wait for raft's thread; at it a proposal is refused as too many, and a barrier
/// waits.
const ORDERS_MAX: usize = 8192;

/// Something wanted of raft.
enum RaftRequest {
    Propose(types::Chained, types::OnAnswer<openraft::raft::ClientWriteResult<types::Types>>),
    /// Does not hold up proposals.
    Run(Box<dyn FnOnce(Raft) -> BoxFuture<'static, ()> + Send>),
}

/// Why it is not known what was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBarrier {
    /// This manager does not lead.
    NotLeader,
    /// Raft does not run.
    NotRunning,
}

/// The way to raft's thread. Handles are cheap; it is dead when raft has stopped.
#[derive(Clone)]
pub(crate) struct RaftHandle {
    orders: mpsc::Sender<RaftRequest>,
    /// None where no caller may run them.
    tasks: Option<Arc<tasks::RaftTasks>>,
    queue: writer::Queue,
    /// Whether this manager is the only one.
    alone: Arc<AtomicBool>,
    hearing: Arc<PeerHearing>,
}

impl RaftHandle {
    /// Starts the task that carries out orders, in their order.
    pub(super) fn take_orders(
        (raft, tasks, queue): (Raft, Option<Arc<tasks::RaftTasks>>, writer::Queue),
        alone: Arc<AtomicBool>,
        hearing: PeerHearing,
    ) -> RaftHandle {
        let (orders, mut inbox) = mpsc::channel(ORDERS_MAX);
        tasks::spawn(async move {
            while let Some(order) = inbox.recv().await {
                match order {
                    // The responder is dropped where raft has ended: the outcome of the entry is
                    // unknown then.
                    RaftRequest::Propose(entry, responder) => {
                        if raft.client_write_ff(entry, Some(responder)).await.is_err() {
                            return;
                        }
                    }
                    RaftRequest::Run(work) => runtime::spawn_beside(work(raft.clone())),
                }
            }
        });
        RaftHandle { orders, tasks, queue, alone, hearing: Arc::new(hearing) }
    }

    /// Gives raft's tasks to this thread if all of them are idle and the disk was quick the last
    /// time.
    pub(crate) fn take_tasks(&self) -> Option<tasks::CallersRun> {
        if self.queue.is_slow() { None } else { self.tasks.as_ref()?.take() }
    }

    /// Hands over an entry. The order of calls is the order in the log. `hear` is called with the
    /// answer, on the thread that runs raft's tasks; or at once, on this one, where the entry is
    /// not taken.
    pub(crate) fn propose(
        &self,
        entry: Arc<Entry>,
        hear: impl FnOnce(Result<Position, proposal::ProposeError>) + Send + 'static,
    ) {
        match self.orders.try_reserve() {
            Ok(room) => {
                let answered = types::OnAnswer::new(|answer| hear(proposal::read_answer(answer)));
                room.send(RaftRequest::Propose(types::Chained(entry), answered));
            }
            Err(mpsc::error::TrySendError::Full(())) => {
                let many = "too many proposals are in flight; try again".into();
                hear(Err(proposal::ProposeError::Full(many)));
            }
            Err(mpsc::error::TrySendError::Closed(())) => {
                let closed = "the log is being reopened, or was closed".into();
                hear(Err(proposal::ProposeError::Failed(closed)));
            }
        }
    }

    /// Waits until all that was committed anywhere before this call is applied here. Where there is
    /// no other manager, one that does not lead has not finished starting: nobody else leads
    /// instead.
    pub(crate) async fn barrier(&self) -> Result<(), NoBarrier> {
        let passed = self.run(|raft| async move {
            let passed = raft.ensure_linearizable(ReadPolicy::ReadIndex).await;
            passed.map(drop).map_err(|error| error.into_api_error().is_some())
        });
        match passed.await {
            Some(Ok(())) => Ok(()),
            Some(Err(true)) if !self.alone.load(Relaxed) => Err(NoBarrier::NotLeader),
            Some(Err(_)) | None => Err(NoBarrier::NotRunning),
        }
    }

    /// Answers what another manager's raft asks.
    pub(crate) async fn hear(&self, question: Bytes) -> Bytes {
        let hearing = self.hearing.clone();
        let answer = self.run(|raft| async move { hearing.answer(raft, question).await }).await;
        answer.unwrap_or_else(hearing::nobody)
    }

    /// Does something with raft, to its end, also where nobody waits for it any more. None where
    /// raft has stopped.
    pub(crate) async fn run<T, F>(&self, work: impl FnOnce(Raft) -> F + Send + 'static) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = move |raft| -> BoxFuture<'static, ()> {
            let work = work(raft);
            // Who no longer waits needs no answer.
            Box::pin(async move { drop(reply.send(work.await)) })
        };
        self.orders.send(RaftRequest::Run(Box::new(work))).await.ok()?;
        answer.await.ok()
    }
}
