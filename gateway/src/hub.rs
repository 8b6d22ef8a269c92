//! The shell around the sessions: one task that owns the queues to all agents.
//!
//! Which message goes to which stream, and which stream is dropped, is decided by [`HubCore`]; here
//! are the queues, the clock and the way to the turn.

pub mod core;

use self::core::{HubCore, HubOutput};
use crate::{
    admit::CertificateAsked,
    drive::Drive,
    sessions::{Conn, LeaderWord, NodeOfPeer},
};
use skep_proto::{
    Id, Timestamp, author,
    v1::{FromAgent, Hello, ToAgent},
};
use std::{collections::BTreeMap, convert::Infallible, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// Inputs waiting for the hub; at it a stream's reading waits.
const HUB_INPUTS_MAX: usize = 4_096;
/// Messages waiting for one agent; at it the stream is dropped, and the agent comes back with its
/// position.
const TO_AGENT_MAX: usize = 1_024;

/// Between two looks whether a leader answers.
const LEADER_LOOK_PERIOD: Duration = Duration::from_secs(1);

/// An event on a stream, or a request about one.
pub enum HubInput {
    /// The first message.
    Hello {
        /// The stream.
        conn: Conn,
        /// Which node's certificate it has shown.
        peer: NodeOfPeer,
        /// What it says.
        hello: Hello,
        /// The way back; dropping it ends the stream.
        back: AgentStream,
    },
    /// Somebody asks for a certificate.
    Join {
        /// The stream.
        conn: Conn,
        /// What is asked.
        asked: Box<CertificateAsked>,
        /// The way back: it gets one message and ends.
        back: AgentStream,
    },
    /// A later message.
    Message(Conn, FromAgent),
    /// The stream ended.
    Gone(Conn),
    /// The manager stops: every agent gets a message, and no more sessions are opened. Answered
    /// when the messages are queued.
    Stopping(oneshot::Sender<()>),
    /// Whether there is word of a leader.
    LeaderWord(LeaderWord),
    /// Something for a node's agent; answered with whether it has a session here.
    Order(Id, ToAgent, oneshot::Sender<bool>),
}

/// The manager's end of an agent's stream. Dropping it ends the stream in both directions.
pub struct AgentStream {
    messages: mpsc::Sender<ToAgent>,
    _open: oneshot::Sender<Infallible>,
}

impl AgentStream {
    /// A stream, what is to be sent on it, and the notice that the hub has dropped it.
    pub fn open() -> (AgentStream, mpsc::Receiver<ToAgent>, oneshot::Receiver<Infallible>) {
        let (messages, outgoing) = mpsc::channel(TO_AGENT_MAX);
        let (open, dropped) = oneshot::channel();
        (AgentStream { messages, _open: open }, outgoing, dropped)
    }
}

/// The way to the hub.
#[derive(Clone)]
pub struct Hub {
    inputs: mpsc::Sender<HubInput>,
}

impl Hub {
    /// Starts the hub's task; it ends when all handles are gone.
    pub fn start(drive: Drive, own: Id) -> Hub {
        let (inputs, receiver) = mpsc::channel(HUB_INPUTS_MAX);
        let core = HubCore::new(own, &drive.newest().view);
        tokio::spawn(look_for_leader(drive.clone(), inputs.downgrade()));
        let shell = HubShell { drive, core, streams: BTreeMap::new() };
        tokio::spawn(shell.run(receiver));
        Hub { inputs }
    }

    /// Tells the hub; waits while too much waits already. False when the hub has ended.
    pub async fn tell(&self, input: HubInput) -> bool {
        self.inputs.send(input).await.is_ok()
    }

    /// Tells all agents that the manager ends, and ends their streams.
    pub async fn stop(&self) {
        let (send, receive) = oneshot::channel();
        if self.tell(HubInput::Stopping(send)).await {
            // The hub may have ended meanwhile, and all streams with it.
            receive.await.ok();
        }
    }

    /// Sends something to a node's agent. False when it has no session here.
    pub async fn order(&self, node: Id, message: ToAgent) -> bool {
        let (send, receive) = oneshot::channel();
        self.tell(HubInput::Order(node, message, send)).await && receive.await.unwrap_or(false)
    }
}

struct HubShell {
    drive: Drive,
    core: HubCore<oneshot::Sender<bool>>,
    streams: BTreeMap<Conn, AgentStream>,
}

impl HubShell {
    async fn run(mut self, mut inputs: mpsc::Receiver<HubInput>) {
        let drive = self.drive.clone();
        loop {
            let timeout = self.core.poll_timeout().map(|at| self.until(at));
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                mail = drive.mailbox().take() => {
                    if let Some((view, delta)) = &mail.committed {
                        self.core.handle_committed(view, delta, self.now());
                    }
                    let newest = self.drive.newest();
                    for (token, answer) in &mail.answers {
                        self.core.handle_answer(*token, answer, &newest.view);
                    }
                }
                () = sleep(timeout), if timeout.is_some() => self.core.handle_timeout(self.now()),
            }
            self.act();
        }
    }

    fn take(&mut self, input: HubInput) {
        let now = self.now();
        match input {
            HubInput::Hello { conn, peer, hello, back } => {
                self.streams.insert(conn, back);
                let view = &self.drive.newest().view;
                self.core.handle_hello((conn, peer), hello, session_number(), view, now);
            }
            HubInput::Join { conn, asked, back } => {
                self.streams.insert(conn, back);
                self.core.handle_join(conn, *asked);
            }
            HubInput::Message(conn, message) => self.core.handle_message(conn, message, now),
            HubInput::Gone(conn) => self.core.handle_gone(conn),
            HubInput::LeaderWord(word) => self.core.handle_leader_word(word, now),
            HubInput::Stopping(done) => {
                self.core.handle_stopping();
                self.act();
                done.send(()).ok();
            }
            HubInput::Order(node, message, caller) => self.core.handle_order(node, message, caller),
        }
    }

    /// Silence is measured by the monotonic clock: the sessions' times are its readings.
    fn now(&self) -> Timestamp {
        Timestamp(self.drive.clock().uptime().0)
    }

    fn until(&self, at: Timestamp) -> Duration {
        Duration::from_nanos(at.since(self.now()))
    }

    fn act(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                HubOutput::Send(conn, message) => {
                    if !self.offer(conn, message) {
                        tracing::warn!(
                            conn = conn.0,
                            "an agent does not read; its stream is dropped"
                        );
                        self.core.handle_full(conn);
                    }
                }
                // The caller may have gone meanwhile.
                HubOutput::Forward(conn, message, caller) => {
                    caller.send(self.offer(conn, message)).ok();
                }
                HubOutput::NoSession(caller) => {
                    caller.send(false).ok();
                }
                HubOutput::Drop(conn) => {
                    self.streams.remove(&conn);
                }
                HubOutput::Submit { token, node, request, bytes } => {
                    self.drive.submit_for_session(token, author::node(node), *request, bytes);
                }
            }
        }
    }

    /// Whether the stream takes the message.
    fn offer(&self, conn: Conn, message: ToAgent) -> bool {
        self.streams.get(&conn).is_some_and(|stream| stream.messages.try_send(message).is_ok())
    }
}

/// Says again and again whether there is word of a leader, until the hub has ended.
async fn look_for_leader(drive: Drive, inputs: mpsc::WeakSender<HubInput>) {
    loop {
        tokio::time::sleep(LEADER_LOOK_PERIOD).await;
        let word = drive.leader_word().await;
        let Some(inputs) = inputs.upgrade() else { return };
        if inputs.send(HubInput::LeaderWord(word)).await.is_err() {
            return;
        }
    }
}

async fn sleep(timeout: Option<Duration>) {
    tokio::time::sleep(timeout.unwrap_or_default()).await;
}

/// Of a session: never 0, which is "none yet".
fn session_number() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives entropy");
    u64::from_be_bytes(bytes) | 1
}
