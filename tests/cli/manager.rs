//! A manager that says what a story needs, behind a real socket with the real services.

use crate::figures::NOW;
use skep_proto::v1::{self, control_server, history_server, logs_server, *};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio_stream::{
    StreamExt,
    wrappers::{ReceiverStream, UnixListenerStream},
};
use tonic::{Request, Response, Status, metadata::MetadataValue, transport::Server};

/// What the manager answers, and what it was asked.
#[derive(Clone, Default)]
pub(crate) struct ManagerScript {
    pub nodes: Vec<Node>,
    pub services: Vec<Service>,
    /// The one service as it was from a revision on, the oldest first.
    pub earlier: Vec<(u64, Service)>,
    pub tasks: Vec<Task>,
    pub strays: Vec<Stray>,
    pub status: StatusReply,
    pub reply: Option<command_reply::Outcome>,
    /// Answers that come before `reply`, one for each command.
    pub first_replies: Arc<Mutex<Vec<command_reply::Outcome>>>,
    /// Sent one after the other; then the stream stays open.
    pub watch: Vec<WatchServiceReply>,
    pub records: Vec<LogRecord>,
    pub diff: DiffReply,
    pub why: WhyReply,
    pub findings: Vec<Finding>,
    pub logs: Vec<LogsReply>,
    /// What the metadata of the lists say.
    pub stale: Option<StaleRead>,
    pub asked: Arc<Mutex<Vec<String>>>,
    /// Connections that were accepted.
    pub connections: Arc<AtomicUsize>,
    pub commands: Arc<Mutex<Vec<Command>>>,
}

/// It answers as long as this is held.
pub(crate) struct ScriptedServer {
    pub socket: PathBuf,
    pub script: ManagerScript,
    _dir: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl ManagerScript {
    fn listed<T>(&self, list: T) -> Response<T> {
        let mut response = Response::new(list);
        if let Some(stale) = &self.stale {
            let value = MetadataValue::from_bytes(&prost::Message::encode_to_vec(stale));
            response.metadata_mut().insert_bin("skep-stale-bin", value);
        }
        response
    }

    /// Begins to answer.
    pub(crate) fn serve(self) -> ScriptedServer {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let socket = dir.path().join("skep.sock");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = {
            let _inside = runtime.enter();
            tokio::net::UnixListener::bind(&socket).expect("a socket")
        };
        let script = self.clone();
        let connections = self.connections.clone();
        let accepted = UnixListenerStream::new(listener).map(move |connection| {
            connections.fetch_add(1, Ordering::Relaxed);
            connection
        });
        runtime.spawn(async move {
            Server::builder()
                .add_service(control_server::ControlServer::new(script.clone()))
                .add_service(history_server::HistoryServer::new(script.clone()))
                .add_service(logs_server::LogsServer::new(script))
                .serve_with_incoming(accepted)
                .await
        });
        ScriptedServer { socket, script: self, _dir: dir, _runtime: runtime }
    }

    fn note(&self, what: &str, request: &impl std::fmt::Debug) {
        self.asked.lock().expect("nobody panicked").push(format!("{what} {request:?}"));
    }
}

impl ScriptedServer {
    pub(crate) fn run(&self, args: &[&str]) -> String {
        crate::run::against(&self.socket, args)
    }

    /// The one command that was submitted.
    pub(crate) fn command(&self) -> Command {
        let commands = self.script.commands.lock().expect("nobody panicked");
        assert_eq!(commands.len(), 1, "one command");
        commands[0].clone()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.script.asked.lock().expect("nobody panicked").clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.socket
    }
}

/// Those of a list that were asked for, each once; a name that nobody has is an error, as the real
/// manager's.
fn chosen<T: Clone + PartialEq>(
    all: &[T],
    objects: &[String],
    named: impl Fn(&T, &str) -> bool,
) -> Result<Vec<T>, Status> {
    if objects.is_empty() {
        return Ok(all.to_vec());
    }
    let mut chosen: Vec<T> = Vec::new();
    for object in objects {
        let one = all.iter().find(|one| named(one, object)).ok_or_else(|| not_found(object))?;
        if !chosen.contains(one) {
            chosen.push(one.clone());
        }
    }
    Ok(chosen)
}

fn not_found(object: &str) -> Status {
    use prost::Message;
    let refused =
        Refused { hint: "`skep service ls` lists what there is".into(), ..Refused::default() };
    Status::with_details(
        tonic::Code::NotFound,
        format!("nothing is called {object:?}"),
        refused.encode_to_vec().into(),
    )
}

fn is_id(bytes: &[u8], text: &str) -> bool {
    skep_proto::Id::from_bytes(bytes).to_string() == text
}

type ReplyStream<T> = ReceiverStream<Result<T, Status>>;

/// All of it, and the end unless it is to stay open.
fn stream<T: Send + 'static>(all: Vec<T>, stays: bool) -> Response<ReplyStream<T>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(all.len().max(1));
    tokio::spawn(async move {
        for one in all {
            let _ = sender.send(Ok(one)).await;
        }
        if stays {
            sender.closed().await;
        }
    });
    Response::new(ReceiverStream::new(receiver))
}

#[tonic::async_trait]
impl control_server::Control for ManagerScript {
    async fn greet(&self, _: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        Ok(Response::new(GreetReply { stamp: 7, ..GreetReply::default() }))
    }
    async fn submit(
        &self,
        request: Request<v1::Command>,
    ) -> Result<Response<CommandReply>, Status> {
        let command = request.into_inner();
        let first = {
            let mut first = self.first_replies.lock().expect("nobody panicked");
            (!first.is_empty()).then(|| first.remove(0))
        };
        let reply = CommandReply { id: command.id, outcome: first.or_else(|| self.reply.clone()) };
        self.commands.lock().expect("nobody panicked").push(command);
        Ok(Response::new(reply))
    }
    type SubmitStreamStream = ReplyStream<CommandReplies>;
    async fn submit_stream(
        &self,
        _: Request<tonic::Streaming<v1::Commands>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        Err(Status::unimplemented("not in these stories"))
    }
    async fn list_nodes(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<NodeList>, Status> {
        self.note("nodes", request.get_ref());
        let named = |node: &Node, name: &str| {
            is_id(&node.id, name)
                || node.description.as_ref().is_some_and(|description| description.hostname == name)
        };
        let nodes = chosen(&self.nodes, &request.get_ref().objects, named)?;
        Ok(self.listed(NodeList { nodes, revision: 1, answered_at: NOW }))
    }
    async fn list_services(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<ServiceList>, Status> {
        self.note("services", request.get_ref());
        let named = |service: &Service, name: &str| {
            let spec = service.spec.as_ref().and_then(|spec| spec.annotations.as_ref());
            is_id(&service.id, name) || spec.is_some_and(|annotations| annotations.name == name)
        };
        let asked = request.get_ref();
        if let Some(Moment { moment: Some(moment::Moment::Revision(at)) }) = asked.moment
            && !self.earlier.is_empty()
        {
            let then = self.earlier.iter().rev().find(|(since, _)| *since <= at);
            let services = then.map(|(_, service)| service.clone()).into_iter().collect();
            return Ok(self.listed(ServiceList { services, revision: at, answered_at: NOW }));
        }
        let services = chosen(&self.services, &asked.objects, named)?;
        Ok(self.listed(ServiceList { services, revision: 1, answered_at: NOW }))
    }
    async fn list_tasks(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<TaskList>, Status> {
        self.note("tasks", request.get_ref());
        let named = |task: &Task, name: &str| is_id(&task.id, name) || task.name == name;
        let tasks = chosen(&self.tasks, &request.get_ref().objects, named)?;
        Ok(self.listed(TaskList { tasks, revision: 1, answered_at: NOW }))
    }
    async fn list_strays(
        &self,
        request: Request<ListStraysRequest>,
    ) -> Result<Response<StrayList>, Status> {
        self.note("strays", request.get_ref());
        Ok(Response::new(StrayList { strays: self.strays.clone(), revision: 1 }))
    }
    async fn get_cluster(&self, _: Request<GetRequest>) -> Result<Response<Cluster>, Status> {
        Ok(Response::new(Cluster::default()))
    }
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(self.status.clone()))
    }
    type WatchServiceStream = ReplyStream<WatchServiceReply>;
    async fn watch_service(
        &self,
        request: Request<WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        self.note("watch", request.get_ref());
        Ok(stream(self.watch.clone(), true))
    }
}

#[tonic::async_trait]
impl history_server::History for ManagerScript {
    type LogStream = ReplyStream<LogRecord>;
    async fn log(&self, request: Request<LogRequest>) -> Result<Response<Self::LogStream>, Status> {
        self.note("log", request.get_ref());
        let mut records = self.records.clone();
        // Of all kinds this one alone counts as ordinary here.
        records.retain(|record| request.get_ref().all || record.kind != "checkpoint");
        Ok(stream(records, request.get_ref().follow))
    }
    async fn diff(&self, request: Request<DiffRequest>) -> Result<Response<DiffReply>, Status> {
        self.note("diff", request.get_ref());
        Ok(Response::new(self.diff.clone()))
    }
    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyReply>, Status> {
        self.note("why", request.get_ref());
        Ok(Response::new(self.why.clone()))
    }
    type EntriesStream = ReplyStream<StoredEntry>;
    async fn entries(
        &self,
        _: Request<EntriesRequest>,
    ) -> Result<Response<Self::EntriesStream>, Status> {
        Ok(stream(Vec::new(), false))
    }
    async fn doctor(&self, _: Request<DoctorRequest>) -> Result<Response<DoctorReply>, Status> {
        Ok(Response::new(DoctorReply { findings: self.findings.clone() }))
    }
}

#[tonic::async_trait]
impl logs_server::Logs for ManagerScript {
    type ReadStream = ReplyStream<LogsReply>;
    async fn read(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        self.note("logs", request.get_ref());
        Ok(stream(self.logs.clone(), false))
    }
}
