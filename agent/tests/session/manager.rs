//! A manager that does nothing by itself: a test takes each agent's stream and says what it wants
//! on it.

#![allow(dead_code, reason = "each test binary uses its part")]

use super::door;
use skep_proto::{
    Id,
    v1::{self, from_agent::Message, *},
};
use skep_trust::CertificateAuthority;
use std::{io, path, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait, transport::Server};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct ManagerStub {
    /// Of one that listens there.
    pub(crate) socket: path::PathBuf,
    /// Of one that listens on the network; else empty.
    pub(crate) address: String,
    /// What it makes of requests for a new certificate.
    pub(crate) renewals: watch::Sender<StubRenewals>,
    lines: mpsc::Receiver<TestSession>,
    chunks: mpsc::Receiver<LogChunk>,
    /// Came while the test waited for another's.
    early: Vec<LogChunk>,
    serving: JoinHandle<()>,
}

/// What a stub makes of requests for a new certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct StubRenewals {
    /// It gives one of this role; none refuses.
    pub(crate) gives: Option<v1::NodeRole>,
    /// How often it was asked.
    pub(crate) asked: usize,
}

/// One agent's stream.
pub(crate) struct TestSession {
    from: Streaming<FromAgent>,
    to: mpsc::Sender<Result<ToAgent, Status>>,
}

struct TestDispatcher {
    arrivals: mpsc::Sender<TestSession>,
    publish: mpsc::Sender<LogChunk>,
    renewals: watch::Sender<StubRenewals>,
    authority: Arc<CertificateAuthority>,
}

#[async_trait]
impl dispatcher_server::Dispatcher for TestDispatcher {
    type AttachStream = ReceiverStream<Result<ToAgent, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (to, stream) = mpsc::channel(16);
        let line = TestSession { from: request.into_inner(), to };
        self.arrivals.send(line).await.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn join(&self, request: Request<v1::Join>) -> Result<Response<ToAgent>, Status> {
        let request = &request.get_ref().request;
        let certified = door::certify(&self.authority, request, v1::NodeRole::Worker);
        let message = Some(to_agent::Message::Certified(certified));
        Ok(Response::new(ToAgent { message }))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::Certified>, Status> {
        self.renewals.send_modify(|renewals| renewals.asked += 1);
        let gives = self.renewals.borrow().gives;
        let role = gives.ok_or_else(|| Status::unavailable("this stub renews nothing"))?;
        let request = &request.get_ref().request;
        Ok(Response::new(door::certify(&self.authority, request, role)))
    }

    async fn publish_logs(
        &self,
        request: Request<Streaming<LogChunk>>,
    ) -> Result<Response<LogsTaken>, Status> {
        let mut chunks = request.into_inner();
        while let Some(chunk) = chunks.message().await? {
            self.publish
                .send(chunk)
                .await
                .map_err(|_| Status::unavailable("the test has ended"))?;
        }
        Ok(Response::new(LogsTaken {}))
    }
}

impl ManagerStub {
    pub(crate) async fn start(folder: &path::Path) -> ManagerStub {
        let socket = folder.join("skep.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a socket");
        let authority = door::authority(folder);
        let connections = door::connections(listener, &authority);
        ManagerStub { socket, ..ManagerStub::serve(connections, authority) }
    }

    /// Another manager of the same cluster, which listens on the network.
    pub(crate) async fn on_network(folder: &path::Path) -> ManagerStub {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let authority = door::authority(folder);
        let connections = door::network_connections(listener, &authority);
        ManagerStub { address, ..ManagerStub::serve(connections, authority) }
    }

    fn serve(
        connections: mpsc::Receiver<io::Result<door::StubConnection>>,
        authority: Arc<CertificateAuthority>,
    ) -> ManagerStub {
        let (arrivals, lines) = mpsc::channel(16);
        let (publish, chunks) = mpsc::channel(16);
        let renewals = watch::Sender::default();
        let dispatcher =
            TestDispatcher { arrivals, publish, renewals: renewals.clone(), authority };
        let serving = tokio::spawn(async move {
            let service = dispatcher_server::DispatcherServer::new(dispatcher);
            let served = Server::builder().add_service(service);
            served.serve_with_incoming(ReceiverStream::new(connections)).await.expect("served");
        });
        ManagerStub {
            socket: path::PathBuf::new(),
            address: String::new(),
            renewals,
            lines,
            chunks,
            early: Vec::new(),
            serving,
        }
    }

    pub(crate) async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
        let _ = std::fs::remove_file(&self.socket);
    }

    pub(crate) async fn line(&mut self) -> TestSession {
        timeout(PATIENCE, self.lines.recv())
            .await
            .expect("an agent calls")
            .expect("the session listens")
    }

    /// All lines of a reader, as `TASK NODE TEXT`, and what could not be read.
    pub(crate) async fn output(&mut self, request: u64) -> (Vec<String>, String) {
        self.output_until(request, |chunk| chunk.end).await
    }

    /// The lines of a follower until the end of this task.
    pub(crate) async fn output_of(&mut self, request: u64, task: Id) -> Vec<String> {
        let id = task.to_bytes();
        self.output_until(request, |chunk| chunk.ended_ids.contains(&id)).await.0
    }

    async fn output_until(
        &mut self,
        request: u64,
        is_last: impl Fn(&LogChunk) -> bool,
    ) -> (Vec<String>, String) {
        let mut lines = Vec::new();
        let mut problems = String::new();
        loop {
            let early = self.early.iter().position(|chunk| chunk.request == request);
            let chunk = match early {
                Some(place) => self.early.remove(place),
                None => timeout(PATIENCE, self.chunks.recv())
                    .await
                    .expect("it sends")
                    .expect("the session listens"),
            };
            if chunk.request != request {
                self.early.push(chunk);
                continue;
            }
            let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
            lines.extend(
                chunk
                    .lines
                    .iter()
                    .map(|l| format!("{} {} {}", l.task_name, l.node_name, text(&l.text))),
            );
            problems.push_str(&chunk.message);
            if is_last(&chunk) {
                return (lines, problems);
            }
        }
    }

    /// The agent has taken up all that was sent to it: it answers what is asked last.
    pub(crate) async fn heard(&mut self, line: &TestSession) {
        const LAST: u64 = 1 << 40;
        line.send(to_agent::Message::Logs(LogOrder { request: LAST, ..LogOrder::default() })).await;
        self.output(LAST).await;
    }

    pub(crate) fn nobody_yet(&mut self) -> bool {
        self.lines.try_recv().is_err()
    }
}

impl TestSession {
    pub(crate) async fn next(&mut self) -> Message {
        let next = timeout(PATIENCE, self.from.message()).await.expect("it says something");
        next.expect("a whole stream").expect("it goes on").message.expect("a message")
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.next().await {
            Message::Hello(hello) => hello,
            other @ (Message::Heartbeat(_)
            | Message::Report(_)
            | Message::LogChunk(_)
            | Message::Pull(_)
            | Message::Conditions(_)
            | Message::Join(_)
            | Message::PartTaken(_)) => {
                panic!("{other:?} before hello")
            }
        }
    }

    pub(crate) async fn report(&mut self) -> Report {
        loop {
            if let Message::Report(report) = self.next().await {
                return report;
            }
        }
    }

    pub(crate) async fn send(&self, message: to_agent::Message) {
        self.to.send(Ok(ToAgent { message: Some(message) })).await.expect("the agent listens");
    }

    pub(crate) async fn welcome(&self, node: Id) {
        let welcome = v1::Welcome {
            node_id: node.to_bytes(),
            cluster_id: Id(500).to_bytes(),
            session: 1,
            heartbeat_period_ns: 100_000_000,
            ..v1::Welcome::default()
        };
        self.send(to_agent::Message::Welcome(welcome)).await;
    }

    /// Tells of these managers, and of the role that the node is to have.
    pub(crate) async fn managers(&self, addresses: &[&str], role: v1::NodeRole) {
        let address = |(index, address): (usize, &&str)| v1::ManagerAddress {
            node_id: Id(900 + index as u128).to_bytes(),
            address: (*address).to_owned(),
        };
        self.send(to_agent::Message::Managers(v1::ClusterManagers {
            managers: addresses.iter().enumerate().map(address).collect(),
            role: role.into(),
            raft_id: 3,
            lineage: 9,
            ..Default::default()
        }))
        .await;
    }

    pub(crate) async fn assign(&self, assignments: Assignments) {
        self.send(to_agent::Message::Assignments(assignments)).await;
    }

    pub(crate) async fn acknowledge(&self, number: u64) {
        self.send(to_agent::Message::Ack(v1::ReportAck { number })).await;
    }

    pub(crate) async fn turn(&self, code: TurnedCode, message: &str) {
        let turned = Turned { code: code.into(), message: message.into(), ..Turned::default() };
        self.send(to_agent::Message::Turned(turned)).await;
    }
}

/// A whole set at this revision of the first incarnation, all desired running.
pub(crate) fn set(revision: u64, tasks: &[(Id, TaskAssignment)]) -> Assignments {
    let assignment = |(id, task): &(Id, TaskAssignment)| Assignment {
        task_id: id.to_bytes(),
        desired: TaskState::Running.into(),
        task: Some(task.clone()),
    };
    Assignments {
        complete: true,
        incarnation: 1,
        revision,
        changed: tasks.iter().map(assignment).collect(),
        ..Assignments::default()
    }
}

/// One task's new desired state.
pub(crate) fn change(
    after_revision: u64,
    revision: u64,
    task: Id,
    desired: TaskState,
) -> Assignments {
    let changed =
        vec![Assignment { task_id: task.to_bytes(), desired: desired.into(), task: None }];
    Assignments { incarnation: 1, revision, after_revision, changed, ..Assignments::default() }
}

pub(crate) fn container(image: &str) -> TaskAssignment {
    let container = ContainerSpec { image: image.into(), ..ContainerSpec::default() };
    TaskAssignment {
        service_name: "web".into(),
        slot: 1,
        spec: Some(TaskSpec {
            runtime: Some(task_spec::Runtime::Container(container)),
            ..TaskSpec::default()
        }),
        ..TaskAssignment::default()
    }
}

pub(crate) fn running(task: &mut TaskAssignment) -> &mut ContainerSpec {
    match task.spec.as_mut().and_then(|spec| spec.runtime.as_mut()) {
        Some(task_spec::Runtime::Container(container)) => container,
        other => panic!("{other:?}"),
    }
}
