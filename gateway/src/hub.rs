//! The shell around the sessions: one task that owns them, feeds them, and does what they say.

use crate::{
    admit::{Machine, Request},
    drive::Drive,
    sessions::{Conn, Origin, Output, Sessions},
};
use prost::Message;
use skep_proto::{
    Id, Timestamp, author,
    v1::{FromAgent, Hello, ToAgent},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// Events from streams waiting for the hub; at it a stream's reading waits.
const EVENTS_MAX: usize = 4_096;
/// Messages waiting for one agent; at it the stream is dropped, and the agent comes back with its
/// position.
pub const TO_AGENT_MAX: usize = 1_024;

/// What a request takes of an entry beside what can be large in it, bytes.
const REQUEST_BYTES: usize = 512;

/// What happened on a stream, or is wanted of one.
pub enum HubEvent {
    /// The first message.
    Hello {
        /// The stream.
        conn: Conn,
        /// Where it comes from.
        origin: Origin,
        /// What it says.
        hello: Hello,
        /// The way back; dropping it ends the stream.
        back: mpsc::Sender<ToAgent>,
    },
    /// A later message.
    Message(Conn, FromAgent),
    /// The stream ended.
    Gone(Conn),
    /// The manager ends: agents are told, and none is taken any more. Answered when they have been
    /// told.
    Stopping(oneshot::Sender<()>),
    /// Something for a node's agent; answered with whether it has a session here.
    Order(Id, ToAgent, oneshot::Sender<bool>),
}

/// The way to the hub.
#[derive(Clone)]
pub struct Hub {
    events: mpsc::Sender<HubEvent>,
}

impl Hub {
    /// Starts the hub's task; it ends when all handles are gone.
    pub fn start(drive: Drive, manager: Id) -> Hub {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let sessions = Sessions::new(manager, &drive.newest().view);
        let task = HubTask { drive, sessions, streams: BTreeMap::new() };
        tokio::spawn(task.run(receiver));
        Hub { events }
    }

    /// Tells the hub; waits while too much waits already. False when the hub has ended.
    pub async fn tell(&self, event: HubEvent) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// Tells all agents that the manager ends, and ends their streams.
    pub async fn stop(&self) {
        let (send, receive) = oneshot::channel();
        if self.tell(HubEvent::Stopping(send)).await {
            // The hub may have ended meanwhile, and all streams with it.
            receive.await.ok();
        }
    }

    /// Sends something to a node's agent. False when it has no session here.
    pub async fn order(&self, node: Id, message: ToAgent) -> bool {
        let (send, receive) = oneshot::channel();
        self.tell(HubEvent::Order(node, message, send)).await && receive.await.unwrap_or(false)
    }
}

struct HubTask {
    drive: Drive,
    sessions: Sessions,
    streams: BTreeMap<Conn, mpsc::Sender<ToAgent>>,
}

impl HubTask {
    async fn run(mut self, mut events: mpsc::Receiver<HubEvent>) {
        let drive = self.drive.clone();
        loop {
            let timeout = self.sessions.poll_timeout().map(|at| self.until(at));
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
                mail = drive.mailbox().take() => {
                    if let Some((view, delta)) = &mail.committed {
                        self.sessions.handle_committed(view, delta, self.now());
                    }
                    let newest = self.drive.newest();
                    for (token, answer) in &mail.answers {
                        self.sessions.handle_answer(*token, answer, &newest.view);
                    }
                }
                () = sleep(timeout), if timeout.is_some() => {
                    let now = self.now();
                    self.sessions.handle_timeout(now);
                }
            }
            self.act();
        }
    }

    fn take(&mut self, event: HubEvent) {
        match event {
            HubEvent::Hello { conn, origin, hello, back } => {
                self.streams.insert(conn, back);
                let (newest, now) = (self.drive.newest(), self.now());
                self.sessions.handle_hello(conn, origin, hello, number(), &newest.view, now);
            }
            HubEvent::Message(conn, message) => {
                let now = self.now();
                self.sessions.handle_message(conn, message, now);
            }
            HubEvent::Gone(conn) => {
                self.streams.remove(&conn);
                self.sessions.handle_gone(conn);
            }
            HubEvent::Stopping(done) => {
                self.sessions.handle_stopping();
                self.act();
                done.send(()).ok();
            }
            HubEvent::Order(node, message, done) => {
                let stream = self.sessions.conn_of(node).and_then(|conn| self.streams.get(&conn));
                let sent = stream.is_some_and(|stream| stream.try_send(message).is_ok());
                // Whoever ordered may have gone.
                done.send(sent).ok();
            }
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
        while let Some(output) = self.sessions.poll_output() {
            match output {
                Output::Send(conn, message) => {
                    let full = self
                        .streams
                        .get(&conn)
                        .is_some_and(|stream| stream.try_send(message).is_err());
                    if full {
                        tracing::warn!(
                            conn = conn.0,
                            "an agent does not read; its stream is dropped"
                        );
                        self.streams.remove(&conn);
                        self.sessions.handle_gone(conn);
                    }
                }
                Output::Close(conn) => {
                    self.streams.remove(&conn);
                }
                Output::Ask { token, node, request } => {
                    let bytes = size(&request);
                    self.drive.submit_for_session(token, author::node(node), *request, bytes);
                }
            }
        }
    }
}

async fn sleep(timeout: Option<Duration>) {
    tokio::time::sleep(timeout.unwrap_or_default()).await;
}

/// What a node's request takes of an entry, nearly: reports and descriptions can be large.
fn size(request: &Request) -> usize {
    match request {
        Request::Machine(Machine::Report { tasks, .. }) => {
            tasks.iter().map(Message::encoded_len).sum()
        }
        Request::Machine(Machine::Join { description, .. } | Machine::Open { description, .. }) => {
            description.encoded_len() + REQUEST_BYTES
        }
        Request::Machine(Machine::Conditions { conditions, .. }) => {
            conditions.iter().map(Message::encoded_len).sum::<usize>() + REQUEST_BYTES
        }
        Request::Machine(
            Machine::Close { .. }
            | Machine::Silent { .. }
            | Machine::Reclaim { .. }
            | Machine::Fact(_),
        )
        | Request::Command(_) => REQUEST_BYTES,
    }
}

/// Of a session: never 0, which is "none yet".
fn number() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives entropy");
    u64::from_be_bytes(bytes) | 1
}
