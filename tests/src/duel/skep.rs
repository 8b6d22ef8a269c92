//! Our side: a daemon, and node label updates of 256 bytes, one by one or on streams.

use super::{encoded, load::LoadAnswer, members, server};
use anyhow::{Context, Result, bail};
use futures::StreamExt;
use skep_proto::v1::{
    self, command::Action, command_reply::Outcome, control_client::ControlClient,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::UnixStream, sync::Semaphore};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Connections that callers share, as on the rival's side.
const CONNECTIONS: usize = 16;
/// Commands on one stream without an answer.
pub const IN_FLIGHT: usize = 100;

/// A running daemon and the ways to it.
pub struct Skep {
    /// The processes.
    pub server: server::Servers,
    channels: Vec<Channel>,
    socket: PathBuf,
}

impl Skep {
    /// Starts a daemon with its state below a folder, and further flags.
    pub async fn start(program: &Path, dir: &Path, flags: &[&str]) -> Result<Skep> {
        Skep::start_members(program, dir, flags, 1).await
    }

    /// The same with so many managers. The first one leads, and is asked.
    pub async fn start_members(
        program: &Path,
        dir: &Path,
        flags: &[&str],
        members: usize,
    ) -> Result<Skep> {
        let socket = dir.join("skep.sock");
        let arguments = [
            "daemon".to_owned(),
            "--state-dir".to_owned(),
            dir.join("skep").display().to_string(),
            "--listen-control".to_owned(),
            format!("unix://{}", socket.display()),
            "--hostname".to_owned(),
            "bench".to_owned(),
        ];
        let arguments: Vec<String> =
            arguments.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned())).collect();
        let first = server::Server::start(program, &arguments, &dir.join("skep.log"))?;
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(connect(&socket).await?);
        }
        let server = server::Servers(vec![first]);
        let mut skep = Skep { server, channels, socket };
        for _ in 0..100 {
            if skep.update(0, 0).await.is_ok() {
                if members > 1 {
                    skep.server.0.extend(members::join(program, dir, &skep.socket, members)?);
                }
                return Ok(skep);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the daemon's node does not join; see {}", dir.join("skep.log").display())
    }

    /// One of the connections.
    pub fn channel(&self, caller: usize) -> Channel {
        self.channels[caller % self.channels.len()].clone()
    }

    /// Commands in one message, all of them accepted.
    pub async fn submit(&self, actions: Vec<Action>) -> Result<()> {
        let commands = actions
            .into_iter()
            .map(|action| v1::Command { action: Some(action), ..v1::Command::default() })
            .collect();
        let messages = tokio_stream::once(v1::Commands { commands });
        let mut replies =
            ControlClient::new(self.channel(0)).submit_stream(messages).await?.into_inner();
        while let Some(message) = replies.next().await {
            for reply in &message?.replies {
                accepted(reply)?;
            }
        }
        Ok(())
    }

    /// One command, answered when it is synced.
    pub fn update(
        &self,
        caller: usize,
        turn: u64,
    ) -> impl Future<Output = Result<LoadAnswer>> + Send + use<> {
        let channel = self.channel(caller);
        async move {
            let reply =
                ControlClient::new(channel).submit(command(caller, turn)).await?.into_inner();
            accepted(&reply)?;
            Ok(LoadAnswer::together(1))
        }
    }

    /// A call that asks nothing of the log.
    pub fn greet(&self, caller: usize) -> impl Future<Output = Result<LoadAnswer>> + Send + use<> {
        let channel = self.channel(caller);
        async move {
            ControlClient::new(channel).greet(v1::GreetRequest::default()).await?;
            Ok(LoadAnswer::together(1))
        }
    }

    /// A stream kept full for a while; a command takes from the sending of its message to its
    /// answer.
    pub fn stream(
        &self,
        caller: usize,
        time: Duration,
    ) -> impl Future<Output = Result<LoadAnswer>> + Send + use<> {
        let channel = self.channel(caller);
        async move {
            let one = encoded::EncodedTemplate::new(|turn| v1::Commands {
                commands: vec![command(caller, turn)],
            })?;
            let (send, receive) = tokio::sync::mpsc::channel(IN_FLIGHT);
            let room = Arc::new(Semaphore::new(IN_FLIGHT));
            let answered = room.clone();
            let (asked, mut asked_at) = tokio::sync::mpsc::unbounded_channel();
            let feeding = tokio::spawn(async move {
                let begun = Instant::now();
                let mut turn = 0;
                while begun.elapsed() < time {
                    // All that may be asked now goes into one message; room is given back with the
                    // answers.
                    let Ok(first) = room.acquire().await else { break };
                    let more = room.try_acquire_many(room.available_permits() as u32);
                    let count = 1 + more.as_ref().map_or(0, |more| more.num_permits());
                    first.forget();
                    if let Ok(more) = more {
                        more.forget();
                    }
                    // A list that is encoded is its members' encodings, one after the other.
                    let mut commands = Vec::new();
                    (turn..).take(count).for_each(|turn| one.write(turn, &mut commands));
                    turn += count as u64;
                    // Messages are answered in their order. The receiver lives as long as the call.
                    asked.send(Instant::now()).ok();
                    if send.send(commands.into()).await.is_err() {
                        break;
                    }
                }
            });
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await?;
            let codec = encoded::EncodedCodec::<v1::CommandReplies>::default();
            let request = tonic::Request::new(ReceiverStream::new(receive));
            let path = tonic::codegen::http::uri::PathAndQuery::from_static(
                "/skep.v1.Control/SubmitStream",
            );
            let mut replies = client.streaming(request, path, codec).await?.into_inner();
            let mut done = LoadAnswer::default();
            while let Some(message) = replies.next().await {
                let message = message?;
                message.replies.iter().try_for_each(accepted)?;
                let asked = asked_at.recv().await.context("an answer that nobody asked for")?;
                done.add(message.replies.len(), asked.elapsed());
                answered.add_permits(message.replies.len());
            }
            feeding.await?;
            Ok(done)
        }
    }

    /// A number from `/metrics`.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = UnixStream::connect(&self.socket).await?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: skep\r\nConnection: close\r\n\r\n")
            .await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        let line = page
            .lines()
            .find(|line| line.starts_with(name))
            .with_context(|| format!("no metric {name}"))?;
        line.rsplit(' ').next().unwrap_or("").parse().with_context(|| line.to_owned())
    }
}

fn command(caller: usize, turn: u64) -> v1::Command {
    let label_add = BTreeMap::from([("bench".to_owned(), super::value(caller, turn))]);
    let update = v1::UpdateNode { node: "bench".into(), label_add, ..v1::UpdateNode::default() };
    v1::Command { action: Some(Action::UpdateNode(update)), ..v1::Command::default() }
}

fn accepted(reply: &v1::CommandReply) -> Result<()> {
    match &reply.outcome {
        Some(Outcome::Accepted(_)) => Ok(()),
        Some(Outcome::Refused(refused)) => bail!("refused: {}", refused.message),
        Some(Outcome::Unknown(unknown)) => bail!("nobody knows the outcome: {}", unknown.message),
        None => bail!("an empty reply"),
    }
}

async fn connect(socket: &Path) -> Result<Channel> {
    let mut tries = 0;
    loop {
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move {
                skep_gateway::local_stream::LocalStream::connect(path)
                    .await
                    .map(hyper_util::rt::TokioIo::new)
            }
        });
        match Endpoint::from_static("http://skep").connect_with_connector(connector).await {
            Ok(channel) => return Ok(channel),
            Err(error) if tries > 100 => return Err(error).context("the daemon does not answer"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        tries += 1;
    }
}
