//! The gRPC service for agents: their streams, handed to the hub.

use super::enrol::{Enrolment, JudgedJoin};
use crate::{
    hub::{AgentStream, Hub, HubInput},
    logs::Broker,
    peer::{ConnectionPeer, PeerOrigin},
    sessions::{Conn, NodeOfPeer},
};
use futures::{Stream, StreamExt};
use skep_proto::v1::{
    self, FromAgent, Hello, LogChunk, ToAgent, dispatcher_server::Dispatcher, from_agent::Message,
};
use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};
use tokio::{sync, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// A stream without a hello is ended after this time.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// Streams that may wait for their hello at once; one more is refused, and its agent comes again.
const GREETINGS_MAX: usize = 2_048;

/// The service.
#[derive(Clone)]
pub struct DispatcherService {
    hub: Hub,
    enrolment: Enrolment,
    broker: Arc<Broker>,
    pulls: Arc<crate::pulls::Pulls>,
    conns: Arc<std::sync::atomic::AtomicU64>,
    limits: GreetingLimits,
    greetings: Arc<sync::Semaphore>,
}

/// How long streams may take to say hello, and how many may do so at once.
#[derive(Clone, Copy)]
pub(super) struct GreetingLimits {
    pub(super) wait: Duration,
    pub(super) streams: usize,
}

impl Default for GreetingLimits {
    fn default() -> GreetingLimits {
        GreetingLimits { wait: HELLO_LIMIT, streams: GREETINGS_MAX }
    }
}

impl DispatcherService {
    /// Behind it the hub, those who vouch for machines, and those who wait for logs and pulls.
    pub fn new(
        hub: Hub,
        enrolment: Enrolment,
        broker: Arc<Broker>,
        pulls: Arc<crate::pulls::Pulls>,
    ) -> DispatcherService {
        let limits = GreetingLimits::default();
        let greetings = Arc::new(sync::Semaphore::new(limits.streams));
        DispatcherService {
            hub,
            enrolment,
            broker,
            pulls,
            conns: Arc::default(),
            limits,
            greetings,
        }
    }

    /// The same with other limits.
    #[cfg(test)]
    pub(super) fn with_limits(self, limits: GreetingLimits) -> DispatcherService {
        let greetings = Arc::new(sync::Semaphore::new(limits.streams));
        DispatcherService { limits, greetings, ..self }
    }

    /// One of those who may be connecting at once.
    fn greeting(&self) -> Result<sync::SemaphorePermit<'_>, Status> {
        self.greetings.try_acquire().map_err(|_| {
            Status::unavailable(format!(
                "{} agents are connecting already; try again",
                self.limits.streams
            ))
        })
    }

    fn conn(&self) -> Conn {
        Conn(self.conns.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1)
    }

    async fn first(&self, incoming: &mut Streaming<FromAgent>) -> Result<Hello, Status> {
        let _greeting = self.greeting()?;
        let first = timeout(self.limits.wait, incoming.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello came on this stream"))?;
        match first?.and_then(|first| first.message) {
            Some(Message::Hello(hello)) => Ok(hello),
            Some(
                Message::Heartbeat(_)
                | Message::Report(_)
                | Message::LogChunk(_)
                | Message::Pull(_)
                | Message::Conditions(_)
                | Message::Join(_)
                | Message::PartTaken(_),
            )
            | None => Err(Status::invalid_argument("an agent's stream begins with hello")),
        }
    }

    async fn answer_join(&self, peer: &ConnectionPeer, join: v1::Join) -> Result<ToAgent, Status> {
        let _greeting = self.greeting()?;
        self.enrolment.prepare().await;
        let judged = match self.enrolment.judge(peer, join) {
            Ok(judged) => judged,
            Err(turned) => return Ok(self.enrolment.turned_away(turned)),
        };
        let JudgedJoin { asked, request } = judged;
        let (back, mut outgoing, _dropped) = AgentStream::open();
        let join = HubInput::Join { conn: self.conn(), asked: asked.into(), back };
        let stopping = || Status::unavailable("the manager is stopping");
        if !self.hub.tell(join).await {
            return Err(stopping());
        }
        let answer = outgoing.recv().await.ok_or_else(stopping)?;
        Ok(self.enrolment.seal(answer, &request))
    }

    /// Reads until the agent ends its stream, or the hub has dropped it.
    async fn read(
        self,
        (conn, node): (Conn, skep_proto::Id),
        mut incoming: Streaming<FromAgent>,
        mut dropped: sync::oneshot::Receiver<Infallible>,
    ) {
        loop {
            let message = tokio::select! {
                message = incoming.message() => message,
                _ = &mut dropped => break,
            };
            // An error of the stream and its end are the same to the session: it is gone.
            let Ok(Some(message)) = message else { break };
            match message.message {
                Some(Message::Pull(pull)) if self.enrolment.runs(node, &pull.task_id) => {
                    self.pulls.note(pull);
                }
                Some(Message::Pull(_)) => {}
                Some(Message::LogChunk(chunk)) => self.broker.offer(chunk),
                Some(
                    Message::Hello(_)
                    | Message::Heartbeat(_)
                    | Message::Report(_)
                    | Message::Conditions(_)
                    | Message::Join(_)
                    | Message::PartTaken(_),
                )
                | None => {
                    if !self.hub.tell(HubInput::Message(conn, message)).await {
                        break;
                    }
                }
            }
        }
        self.hub.tell(HubInput::Gone(conn)).await;
    }
}

/// The other end of the connection.
fn peer<T>(request: &Request<T>) -> Result<&ConnectionPeer, Status> {
    let peer = request.extensions().get::<ConnectionPeer>();
    peer.ok_or_else(|| Status::unauthenticated("the connection has no credentials"))
}

#[tonic::async_trait]
impl Dispatcher for DispatcherService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ToAgent, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let peer = peer(&request)?;
        let address = match peer.origin {
            PeerOrigin::Network(address) => Some(address.ip().to_canonical()),
            PeerOrigin::Local(_) => None,
        };
        let origin = peer.origin.clone();
        let peer = peer
            .certificate()
            .map(|shown| NodeOfPeer { node: shown.node, key_hash: shown.key.0, address })
            .ok_or_else(|| Status::unauthenticated("the connection has shown no certificate"))?;
        let mut incoming = request.into_inner();
        let hello = self.first(&mut incoming).await?;
        let conn = self.conn();
        let (back, outgoing, dropped) = AgentStream::open();
        if !self.hub.tell(HubInput::Hello { conn, peer, hello, back }).await {
            return Err(Status::unavailable("the manager is stopping"));
        }
        tokio::spawn(self.clone().read((conn, peer.node), incoming, dropped));
        let (enrolment, mut is_first) = (self.enrolment.clone(), true);
        let told = ReceiverStream::new(outgoing).map(move |message| {
            if std::mem::take(&mut is_first) {
                enrolment.note_answer(&origin, &message);
            }
            Ok(message)
        });
        Ok(Response::new(Box::pin(told)))
    }

    async fn join(&self, request: Request<v1::Join>) -> Result<Response<ToAgent>, Status> {
        let peer = peer(&request)?.clone();
        let answer = self.answer_join(&peer, request.into_inner()).await?;
        self.enrolment.note_answer(&peer.origin, &answer);
        Ok(Response::new(answer))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::Certified>, Status> {
        let peer = peer(&request)?.clone();
        self.enrolment.renew(&peer, request.into_inner()).await.map(Response::new)
    }

    async fn publish_logs(
        &self,
        request: Request<Streaming<LogChunk>>,
    ) -> Result<Response<v1::LogsTaken>, Status> {
        let mut chunks = request.into_inner();
        let mut order = None;
        // An error of the stream and its end are the same to the reader: no more will come of it.
        while let Ok(Some(chunk)) = chunks.message().await {
            order = Some(chunk.request);
            if !self.broker.take(chunk).await {
                break;
            }
        }
        if let Some(request) = order {
            self.broker.close(request);
        }
        Ok(Response::new(v1::LogsTaken {}))
    }
}
