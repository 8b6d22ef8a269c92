//! Readers of output against a manager over a real socket: what is too much for one node.

use super::*;
use crate::{
    core::Input,
    runtime::fake::FakeEngine,
    session::{config::ManagerEndpoint, credentials::NodeCredentials, wire::Wire},
};
use skep_proto::v1::{
    Certified, FromAgent, Join, LogsTaken, RenewRequest, ToAgent, dispatcher_server,
};
use tokio::{net::UnixListener, sync, time::timeout};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, Streaming, async_trait, transport::Server};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the manager saw of a stream of output.
#[derive(Debug)]
enum StreamEvent {
    Chunk(LogChunk),
    /// It is over.
    Over,
}

struct ChunkRecorder(mpsc::UnboundedSender<StreamEvent>);

#[async_trait]
impl dispatcher_server::Dispatcher for ChunkRecorder {
    type AttachStream = futures::stream::Pending<Result<ToAgent, Status>>;

    async fn attach(
        &self,
        _request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Ok(Response::new(futures::stream::pending()))
    }

    async fn join(&self, _: Request<Join>) -> Result<Response<ToAgent>, Status> {
        Err(Status::unavailable("nobody joins here"))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<Certified>, Status> {
        Err(Status::unavailable("nobody renews here"))
    }

    async fn publish_logs(
        &self,
        request: Request<Streaming<LogChunk>>,
    ) -> Result<Response<LogsTaken>, Status> {
        let mut chunks = request.into_inner();
        // The call's own future ends with the stream, so somebody else has to see how it ends.
        let (seen, (over, is_over)) = (self.0.clone(), sync::oneshot::channel());
        tokio::spawn(async move {
            while let Ok(Some(chunk)) = chunks.message().await {
                let _ = seen.send(StreamEvent::Chunk(chunk));
            }
            let _ = seen.send(StreamEvent::Over);
            let _ = over.send(());
        });
        let _ = is_over.await;
        Ok(Response::new(LogsTaken {}))
    }
}

/// An agent's readers, and the manager that they send to.
struct PumpWorld {
    pumps: Pumps,
    seen: mpsc::UnboundedReceiver<StreamEvent>,
    _wire: Wire,
    _folder: tempfile::TempDir,
}

impl PumpWorld {
    async fn new() -> PumpWorld {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("skep.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (events, seen) = mpsc::unbounded_channel();
        let service = dispatcher_server::DispatcherServer::new(ChunkRecorder(events));
        let served = Server::builder().add_service(service);
        tokio::spawn(served.serve_with_incoming(UnixListenerStream::new(listener)));
        let (inbox, mut inputs) = mpsc::channel(8);
        let credentials =
            NodeCredentials::open(folder.path(), skep_trust::KeyLock::default(), None).unwrap();
        let target = ManagerEndpoint::Unix(socket);
        let status = sync::watch::Sender::default();
        let mut wire = Wire::new(target.clone(), credentials, inbox, status);
        wire.dial(1, target);
        let connected = timeout(PATIENCE, inputs.recv()).await.unwrap();
        assert!(matches!(connected, Some(Input::Connected { line: 1 })), "{connected:?}");
        let runtime = Arc::new(FakeEngine::new(skep_proto::Timestamp(1)).runtime());
        let pumps = Pumps::new(runtime, wire.outgoing(), "alpha".into());
        PumpWorld { pumps, seen, _wire: wire, _folder: folder }
    }

    /// A follower's order, for a task that the node does not have.
    fn order(&mut self, request: u64) {
        let task_ids = vec![Id(7).to_bytes()];
        let order = LogOrder { request, follow: true, task_ids, ..LogOrder::default() };
        self.pumps.start(&order, |_| None);
    }

    async fn next(&mut self) -> StreamEvent {
        timeout(PATIENCE, self.seen.recv()).await.expect("in time").expect("the manager lives")
    }

    /// The next chunk with something in it.
    async fn chunk(&mut self) -> LogChunk {
        loop {
            match self.next().await {
                StreamEvent::Chunk(chunk) if chunk.end || !chunk.ended_ids.is_empty() => {
                    return chunk;
                }
                StreamEvent::Chunk(_) => {}
                StreamEvent::Over => panic!("the stream is over"),
            }
        }
    }
}

#[tokio::test]
async fn a_follower_with_too_many_orders_is_broken_off_and_can_be_ordered_again() {
    let mut world = PumpWorld::new().await;
    world.order(1);
    assert_eq!(world.chunk().await.request, 1);
    // The reader's task does not run between these.
    for _ in 0..WIDER_ORDERS_MAX {
        world.order(1);
    }
    assert!(world.pumps.running.contains_key(&1), "so many may wait");
    world.order(1);
    assert!(!world.pumps.running.contains_key(&1));
    // It is over without an end: so the manager knows that it was broken off.
    while let StreamEvent::Chunk(chunk) = world.next().await {
        assert!(!chunk.end, "{chunk:?}");
    }
    world.order(1);
    let again = world.chunk().await;
    assert_eq!((again.request, again.ended_ids), (1, vec![Id(7).to_bytes()]));
}

#[tokio::test]
async fn one_reader_more_than_a_node_serves_is_told_so() {
    let mut world = PumpWorld::new().await;
    for request in 1..=PUMPS_MAX as u64 {
        world.order(request);
    }
    for _ in 0..PUMPS_MAX {
        let chunk = world.chunk().await;
        assert_eq!((chunk.end, chunk.message.as_str()), (false, ""));
    }
    world.order(1);
    assert!(!world.chunk().await.end, "an order for one that runs is no reader more");
    world.order(100);
    let refused = world.chunk().await;
    let message = "too many clients read the output of this node now";
    assert_eq!((refused.request, refused.end, refused.message.as_str()), (100, true, message));
    world.pumps.cancel(1);
    // One that was refused counts until its stream is over, which this side hears a little later.
    for request in 101..200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.order(request);
        let said = loop {
            match world.next().await {
                StreamEvent::Chunk(chunk) if chunk.request != request => {}
                StreamEvent::Chunk(chunk) if chunk.end || !chunk.ended_ids.is_empty() => {
                    break chunk;
                }
                StreamEvent::Chunk(_) | StreamEvent::Over => {}
            }
        };
        if !said.end {
            return;
        }
    }
    panic!("there is room again");
}

#[test]
fn output_that_cannot_be_read_is_told_without_numbers_of_the_system() {
    let told = unread("web.1", "/tasks/x: Permission denied (os error 13)");
    assert_eq!(told, "web.1: /tasks/x: permission denied");
    assert_eq!(unread("web.1", ""), "");
}
