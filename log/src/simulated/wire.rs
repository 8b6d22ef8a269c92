//! The network between managers. Each message travels by itself: it takes its time, may be lost,
//! and a request may arrive once more, later. Where a way is cut, all that is on it is lost.

use crate::raft::{
    handle::RaftHandle,
    peers::{NoPeerAnswer, PeerAddress, PeerAnswer, PeerLane, PeerTransport},
    virtual_time::{Process, VirtualTime},
    wire,
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// How bad the network is.
#[derive(Clone, Copy, Default)]
pub(super) struct NetworkQuality {
    /// Of a thousand messages so many are lost.
    pub(super) lost: u64,
    /// Of a thousand requests so many arrive twice.
    pub(super) repeated: u64,
    /// How long a message travels, at most.
    pub(super) travels: Duration,
}

/// The network. Handles are cheap.
#[derive(Clone)]
pub(super) struct ManagerNetwork {
    world: VirtualTime,
    /// Messages are on their way whoever sent them.
    process: Process,
    state: Arc<Mutex<NetworkState>>,
}

#[derive(Default)]
struct NetworkState {
    /// Managers that run.
    open: BTreeMap<u64, RunningPeer>,
    /// Ways, from one manager to another one, on which all is lost.
    cut: BTreeSet<(u64, u64)>,
    weather: NetworkQuality,
    installed: u64,
}

/// A manager that runs.
#[derive(Clone)]
struct RunningPeer {
    process: Process,
    raft: RaftHandle,
}

/// One manager's end of it.
pub(super) struct NetworkEnd {
    pub(super) wire: ManagerNetwork,
    pub(super) own: u64,
}

impl ManagerNetwork {
    pub(super) fn new(world: &VirtualTime) -> ManagerNetwork {
        ManagerNetwork { world: world.clone(), process: world.process(), state: Arc::default() }
    }

    pub(super) fn world(&self) -> &VirtualTime {
        &self.world
    }

    fn state(&self) -> MutexGuard<'_, NetworkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A manager hears requests from now on.
    pub(super) fn open(&self, manager: u64, process: Process, raft: RaftHandle) {
        self.state().open.insert(manager, RunningPeer { process, raft });
    }

    /// Nobody hears any more.
    pub(super) fn close(&self, manager: u64) {
        self.state().open.remove(&manager);
    }

    /// The way to a manager's raft, if it runs. Who keeps it keeps its store open.
    pub(super) fn handle(&self, manager: u64) -> Option<RaftHandle> {
        self.state().open.get(&manager).map(|open| open.raft.clone())
    }

    /// Managers that run.
    pub(super) fn running(&self) -> Vec<u64> {
        self.state().open.keys().copied().collect()
    }

    pub(super) fn cut(&self, from: u64, to: u64) {
        self.state().cut.insert((from, to));
    }

    /// Snapshots that were taken over.
    pub(super) fn installed(&self) -> u64 {
        self.state().installed
    }

    /// All ways are open again.
    pub(super) fn mend(&self) {
        self.state().cut.clear();
    }

    pub(super) fn weather(&self, weather: NetworkQuality) {
        self.state().weather = weather;
    }

    /// Takes as long as a message does; false where it is lost.
    async fn travel(&self, from: u64, to: u64) -> bool {
        let weather = self.state().weather;
        let travels = self.world.below(weather.travels.as_micros() as u64 + 1);
        self.world.sleep(Duration::from_micros(travels)).await;
        !self.state().cut.contains(&(from, to)) && self.world.below(1000) >= weather.lost
    }

    fn on_its_way(&self, message: impl Future<Output = ()> + Send + 'static) {
        self.world.spawn_in(self.process, message.boxed());
    }

    /// Brings a request to its target, and its answer back.
    async fn carry(
        self,
        from: u64,
        to: PeerAddress,
        question: Bytes,
        reply: oneshot::Sender<Result<Bytes, NoPeerAnswer>>,
    ) {
        if !self.travel(from, to.raft_id).await {
            return;
        }
        let open = self.state().open.get(&to.raft_id).cloned();
        let Some(RunningPeer { process, raft }) = open else {
            let PeerAddress { raft_id: target, address, .. } = to;
            let cause = "connection refused".into();
            // Who no longer waits needs no answer.
            return drop(reply.send(Err(NoPeerAnswer::Unreachable { target, address, cause })));
        };
        let network = self.clone();
        let serve = async move {
            let answer = raft.hear(question).await;
            if matches!(wire::decode_answer(answer.clone()), Ok(PeerAnswer::Installed(_))) {
                network.state().installed += 1;
            }
            let back = network.clone();
            network.on_its_way(async move {
                if back.travel(to.raft_id, from).await {
                    drop(reply.send(Ok(answer)));
                }
            });
        };
        self.world.spawn_in(process, serve.boxed());
    }
}

impl std::fmt::Debug for NetworkEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the network of manager {}", self.own)
    }
}

impl PeerTransport for NetworkEnd {
    fn ask(
        &self,
        to: PeerAddress,
        _: PeerLane,
        question: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, NoPeerAnswer>> {
        let (wire, own) = (self.wire.clone(), self.own);
        if wire.world.below(1000) < wire.state().weather.repeated {
            let (again, to, question) = (wire.clone(), to.clone(), question.clone());
            let late = Duration::from_millis(wire.world.below(3000));
            wire.on_its_way(async move {
                again.world.sleep(late).await;
                // Nobody waits for this one's answer.
                let (unheard, _) = oneshot::channel();
                again.carry(own, to, question, unheard).await;
            });
        }
        async move {
            let (reply, answer) = oneshot::channel();
            wire.on_its_way(wire.clone().carry(own, to, question, reply));
            match answer.await {
                Ok(answer) => answer,
                // It was lost, which nobody tells.
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }
}
