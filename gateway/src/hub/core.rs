//! The rules of the hub: which agent's stream gets a message, and which stream is dropped. PURE.
//!
//! The shell brings what happened and does what [`HubCore::poll_output`] says, in that order. When
//! a stream cannot take a message the shell reports it with [`HubCore::handle_full`]: a stream is
//! never waited for, so that one agent that does not read holds up no other.

use crate::{
    admit::{CertificateAsked, MachineRequest, Request, TaskReport},
    sessions::{Conn, LeaderWord, NodeOfPeer, SessionOutput, Sessions},
    turn::Answer,
};
use prost::Message;
use skep_projections::{Delta, View};
use skep_proto::{
    Id, Timestamp,
    v1::{FromAgent, Hello, ToAgent},
};
use std::collections::{BTreeSet, VecDeque};

/// What a request takes of an entry beside what can be large in it, bytes.
const REQUEST_BYTES: usize = 512;

/// What the shell does. `C` is the caller that waits to hear whether its message was forwarded.
#[derive(Debug)]
pub enum HubOutput<C> {
    /// Queue a message for an agent. If the stream cannot take it: [`HubCore::handle_full`].
    Send(Conn, ToAgent),
    /// Queue a message for an agent and tell the caller whether the stream took it. The session
    /// goes on if it did not: the caller decides what that means.
    Forward(Conn, ToAgent, C),
    /// Tell the caller that the node has no session here.
    NoSession(C),
    /// End a stream, after what was queued for it.
    Drop(Conn),
    /// Ask the turn in the node's name; the answer comes back with the token.
    Submit {
        /// Finds the request again.
        token: u64,
        /// Whose observation it is.
        node: Id,
        /// What is asked.
        request: Box<Request>,
        /// What the request takes of an entry, nearly.
        bytes: usize,
    },
}

/// The sessions, and the streams that are open.
pub struct HubCore<C> {
    sessions: Sessions,
    streams: BTreeSet<Conn>,
    outputs: VecDeque<HubOutput<C>>,
}

impl<C> HubCore<C> {
    /// No stream yet, at the manager with this node. Changes from `view` on are remembered for
    /// agents that come back.
    pub fn new(own: Id, view: &View) -> HubCore<C> {
        HubCore {
            sessions: Sessions::new(own, view),
            streams: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The stream of a node's open session.
    pub fn conn_of(&self, node: Id) -> Option<Conn> {
        self.sessions.conn_of(node).filter(|conn| self.streams.contains(conn))
    }

    /// The streams that are open.
    pub fn streams(&self) -> impl Iterator<Item = Conn> + '_ {
        self.streams.iter().copied()
    }

    /// The stream and the node of each session, open or about to be.
    pub fn sessions(&self) -> impl Iterator<Item = (Conn, Id)> + '_ {
        self.sessions.iter()
    }

    /// The streams of agents that wait for a certificate.
    pub fn joining(&self) -> impl Iterator<Item = Conn> + '_ {
        self.sessions.joining()
    }

    /// When [`HubCore::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.sessions.poll_timeout()
    }

    /// The next thing for the shell to do.
    pub fn poll_output(&mut self) -> Option<HubOutput<C>> {
        self.outputs.pop_front()
    }

    /// The first message of a stream. `session` is the session's number, never used before.
    pub fn handle_hello(
        &mut self,
        (conn, peer): (Conn, NodeOfPeer),
        hello: Hello,
        session: u64,
        view: &View,
        now: Timestamp,
    ) {
        self.streams.insert(conn);
        self.sessions.handle_hello(conn, peer, hello, session, view, now);
        self.collect();
    }

    /// An agent asks for a certificate: the stream gets one message and ends.
    pub fn handle_join(&mut self, conn: Conn, asked: CertificateAsked) {
        self.streams.insert(conn);
        self.sessions.handle_join(conn, asked);
        self.collect();
    }

    /// A later message of a stream.
    pub fn handle_message(&mut self, conn: Conn, message: FromAgent, now: Timestamp) {
        self.sessions.handle_message(conn, message, now);
        self.collect();
    }

    /// The agent's end of the stream is closed.
    pub fn handle_gone(&mut self, conn: Conn) {
        self.drop_stream(conn);
        self.sessions.handle_gone(conn);
        self.collect();
    }

    /// A message could not be queued: the agent does not read. Its stream is dropped, and it comes
    /// back with its position.
    pub fn handle_full(&mut self, conn: Conn) {
        self.outputs.retain(|output| !matches!(output, HubOutput::Send(to, _) if *to == conn));
        self.handle_gone(conn);
    }

    /// A caller has a message for a node's agent.
    pub fn handle_order(&mut self, node: Id, message: ToAgent, caller: C) {
        self.outputs.push_back(match self.conn_of(node) {
            Some(conn) => HubOutput::Forward(conn, message, caller),
            None => HubOutput::NoSession(caller),
        });
    }

    /// Something was committed. `delta` may span several commits.
    pub fn handle_committed(&mut self, view: &View, delta: &Delta, now: Timestamp) {
        self.sessions.handle_committed(view, delta, now);
        self.collect();
    }

    /// The turn's answer, once it is committed; `view` is committed and includes it.
    pub fn handle_answer(&mut self, token: u64, answer: &Answer, view: &View) {
        self.sessions.handle_answer(token, answer, view);
        self.collect();
    }

    /// Whether there is word of a leader.
    pub fn handle_leader_word(&mut self, word: LeaderWord, now: Timestamp) {
        self.sessions.handle_leader_word(word, now);
        self.collect();
    }

    /// Time has come to `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.sessions.handle_timeout(now);
        self.collect();
    }

    /// The manager stops: every agent gets a message, and no more sessions are opened.
    pub fn handle_stopping(&mut self) {
        self.sessions.handle_stopping();
        self.collect();
    }

    /// Passes on what the sessions want, except for streams that have gone meanwhile.
    fn collect(&mut self) {
        while let Some(output) = self.sessions.poll_output() {
            match output {
                SessionOutput::Send(conn, message) => {
                    if self.streams.contains(&conn) {
                        self.outputs.push_back(HubOutput::Send(conn, message));
                    }
                }
                SessionOutput::Close(conn) => self.drop_stream(conn),
                SessionOutput::Ask { token, node, request } => {
                    let bytes = request_bytes(&request);
                    self.outputs.push_back(HubOutput::Submit { token, node, request, bytes });
                }
            }
        }
    }

    fn drop_stream(&mut self, conn: Conn) {
        if self.streams.remove(&conn) {
            self.outputs.push_back(HubOutput::Drop(conn));
        }
    }
}

/// What a node's request takes of an entry, nearly: reports and descriptions can be large.
fn request_bytes(request: &Request) -> usize {
    match request {
        Request::Machine(MachineRequest::Report { tasks, .. }) => {
            tasks.iter().map(TaskReport::encoded_len).sum::<usize>() + REQUEST_BYTES
        }
        Request::Machine(MachineRequest::Open { description, .. }) => {
            description.encoded_len() + REQUEST_BYTES
        }
        Request::Machine(MachineRequest::Certify(asked)) => asked.encoded_len() + REQUEST_BYTES,
        Request::Machine(MachineRequest::Conditions { conditions, .. }) => {
            conditions.iter().map(Message::encoded_len).sum::<usize>() + REQUEST_BYTES
        }
        Request::Machine(
            MachineRequest::Close { .. }
            | MachineRequest::Silent { .. }
            | MachineRequest::FoundAuthority { .. }
            | MachineRequest::Leader(_)
            | MachineRequest::Fact(_),
        )
        | Request::Command(_) => REQUEST_BYTES,
    }
}

#[cfg(test)]
mod stories;
