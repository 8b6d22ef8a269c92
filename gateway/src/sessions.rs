//! The manager's half of the conversation with agents. PURE.
//!
//! Inputs are what agents say, what the turn answered and what was committed; outputs are messages to agents and
//! requests for the turn. A record finds its agent by node id, so its cost does not grow with the number of
//! sessions. Heartbeats end here: only silence becomes a request.

mod assign;
mod recent;

use crate::{
    admit::{Machine, Request},
    turn::Answer,
};
use recent::Recent;
use sha2::{Digest as _, Sha256};
use skep_projections::{Delta, NodeRow, View};
use skep_proto::{
    Id, Revision, Timestamp, defaults,
    v1::{
        Assignments, FromAgent, Hello, NodeRole, NodeState, Report, ReportAck, TaskState, ToAgent, Turned,
        TurnedCode, Welcome, from_agent, to_agent,
    },
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A stream from an agent, numbered by the shell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Conn(pub u64);

/// What the shell shall do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send to an agent.
    Send(Conn, ToAgent),
    /// End a stream, after what was sent.
    Close(Conn),
    /// Ask the turn in the node's name; the answer comes back with the token.
    Ask {
        /// Finds the request again.
        token: u64,
        /// Whose observation it is.
        node: Id,
        /// What is asked.
        request: Box<Request>,
    },
}

/// Where an agent's stream comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The agent inside this manager's own process: the manager's node.
    Embedded,
    /// Another process.
    Outside,
}

/// All sessions this manager holds.
pub struct Sessions {
    manager: Id,
    conns: BTreeMap<Conn, Session>,
    by_node: BTreeMap<Id, Conn>,
    beats: BTreeSet<(Timestamp, Conn)>,
    waiting: BTreeMap<u64, Waiting>,
    next_token: u64,
    recent: Recent,
    tenure: Revision,
    outputs: VecDeque<Output>,
}

/// One agent's stream.
struct Session {
    node: Id,
    number: u64,
    process: u64,
    hello: Hello,
    /// Assignments flow only after the turn accepted the session.
    open: bool,
    heard_at: Timestamp,
    silence_at: Timestamp,
    period_ns: u64,
    revision: Revision,
    /// What the agent was last told of each task.
    told: BTreeMap<Id, TaskState>,
}

enum Waiting {
    Joined(Conn),
    Opened(Conn),
    Reported(Conn, u64),
    Noted,
}

impl Sessions {
    /// None yet. Changes from `view` on are remembered for agents that come back.
    pub fn new(manager: Id, view: &View) -> Sessions {
        Sessions {
            manager,
            conns: BTreeMap::new(),
            by_node: BTreeMap::new(),
            beats: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next_token: 1,
            recent: Recent::from(view.position()),
            tenure: view.tenure().revision,
            outputs: VecDeque::new(),
        }
    }

    /// The next thing for the shell to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Sessions::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.beats.first().map(|(at, _)| *at)
    }

    /// The stream of a node's open session.
    pub fn conn_of(&self, node: Id) -> Option<Conn> {
        self.by_node.get(&node).copied().filter(|conn| self.conns.get(conn).is_some_and(|s| s.open))
    }

    /// How many sessions are open.
    pub fn open_sessions(&self) -> usize {
        self.conns.values().filter(|s| s.open).count()
    }

    /// The first message of a stream. `number` is the session's, never used before.
    ///
    /// A node that has no id yet gets one made from its secret: an agent whose welcome was lost comes back as the
    /// same node, not as a second one.
    pub fn handle_hello(
        &mut self,
        conn: Conn,
        origin: Origin,
        hello: Hello,
        number: u64,
        view: &View,
        now: Timestamp,
    ) {
        let known = Id::from_bytes(&hello.node_id);
        let node = match (known.is_none(), origin) {
            (false, _) => known,
            (true, Origin::Embedded) => self.manager,
            (true, Origin::Outside) => named_by(&hello.secret),
        };
        let joins = view.nodes().find(node).is_none() && (known.is_none() || origin == Origin::Embedded);
        if let Err(mut turned) = self.may_open(node, joins, &hello, view) {
            turned.cluster_id = view.cluster().id.to_bytes();
            return self.turn_away(conn, turned);
        }
        let period_ns = defaults::heartbeat_period_ns(&view.cluster().spec);
        let session = Session {
            node,
            number,
            process: hello.process,
            hello,
            open: false,
            heard_at: now,
            silence_at: now + period_ns * defaults::HEARTBEAT_GRACE_PERIODS,
            period_ns,
            revision: Revision::ZERO,
            told: BTreeMap::new(),
        };
        self.beats.insert((session.silence_at, conn));
        self.by_node.insert(node, conn);
        self.conns.insert(conn, session);
        if joins { self.join(conn, origin) } else { self.open(conn) }
    }

    fn may_open(&mut self, node: Id, joins: bool, hello: &Hello, view: &View) -> Result<(), Turned> {
        if !joins {
            let row = view.nodes().by_id(node).map(|(_, row)| row).filter(|row| !row.removed);
            let row = row.ok_or_else(|| {
                turned(TurnedCode::NodeRemoved, "this node is not part of the cluster (any more)")
            })?;
            if <[u8; 32]>::from(Sha256::digest(&hello.secret)) != row.secret_hash {
                return Err(turned(TurnedCode::WrongSecret, "the secret is not this node's"));
            }
        }
        if hello.incarnation == view.position().incarnation && hello.revision > view.position().revision.0 {
            return Err(turned(TurnedCode::Retry, "this manager is behind the agent; try again"));
        }
        let Some(held) = self.by_node.get(&node).copied() else { return Ok(()) };
        if self.conns.get(&held).is_some_and(|s| s.process != hello.process) {
            return Err(turned(TurnedCode::Claimed, "another agent process holds this node's session"));
        }
        self.turn_away(held, turned(TurnedCode::Superseded, "the same agent opened a newer session"));
        self.forget(held);
        Ok(())
    }

    fn join(&mut self, conn: Conn, origin: Origin) {
        let Some(session) = self.conns.get(&conn) else { return };
        let mut spec = session.hello.spec.clone().unwrap_or_default();
        let role = if origin == Origin::Embedded { NodeRole::Manager } else { NodeRole::Worker };
        spec.desired_role = role as i32;
        let machine = Machine::Join {
            node: session.node,
            spec,
            description: session.hello.description.clone().unwrap_or_default(),
            secret_hash: Sha256::digest(&session.hello.secret).into(),
        };
        self.ask(session.node, machine, Waiting::Joined(conn));
    }

    fn open(&mut self, conn: Conn) {
        let Some(session) = self.conns.get(&conn) else { return };
        let machine = Machine::Open {
            node: session.node,
            session: session.number,
            description: session.hello.description.clone().unwrap_or_default(),
        };
        self.ask(session.node, machine, Waiting::Opened(conn));
    }

    /// A later message of a stream. Those that are not the sessions' business are left to the shell.
    pub fn handle_message(&mut self, conn: Conn, message: FromAgent, now: Timestamp) {
        let Some(session) = self.conns.get_mut(&conn) else { return };
        session.heard_at = now;
        match message.message {
            Some(from_agent::Message::Report(report)) => self.report(conn, report),
            Some(
                from_agent::Message::Hello(_)
                | from_agent::Message::Heartbeat(_)
                | from_agent::Message::LogChunk(_)
                | from_agent::Message::Pull(_)
                | from_agent::Message::Conditions(_),
            )
            | None => {}
        }
    }

    fn report(&mut self, conn: Conn, report: Report) {
        let Some(session) = self.conns.get(&conn).filter(|s| s.open) else { return };
        let machine = Machine::Report { node: session.node, tasks: report.tasks };
        self.ask(session.node, machine, Waiting::Reported(conn, report.number));
    }

    /// The stream ended, whatever the reason.
    pub fn handle_gone(&mut self, conn: Conn) {
        let Some(session) = self.forget(conn) else { return };
        let close = Machine::Close { node: session.node, session: session.number };
        self.ask(session.node, close, Waiting::Noted);
    }

    /// Asks the turn about sessions that have said nothing for too long, and ends their streams.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((at, conn)) = self.beats.first().copied().filter(|(at, _)| *at <= now) {
            self.beats.remove(&(at, conn));
            let Some(session) = self.conns.get_mut(&conn) else { continue };
            let silence_at = session.heard_at + session.period_ns * defaults::HEARTBEAT_GRACE_PERIODS;
            if silence_at > now {
                session.silence_at = silence_at;
                self.beats.insert((silence_at, conn));
                continue;
            }
            let silent = Machine::Silent { node: session.node, session: session.number };
            let node = session.node;
            self.turn_away(conn, turned(TurnedCode::Retry, "no heartbeat for three periods"));
            self.forget(conn);
            self.ask(node, silent, Waiting::Noted);
        }
    }

    /// The turn's answer, once it is committed; `view` is committed and includes it.
    pub fn handle_answer(&mut self, token: u64, answer: &Answer, view: &View) {
        let Some(waiting) = self.waiting.remove(&token) else { return };
        match (waiting, answer) {
            (Waiting::Joined(conn), Answer::Accepted { .. }) => self.open(conn),
            (Waiting::Opened(conn), Answer::Accepted { .. }) => self.welcome(conn, view),
            (Waiting::Reported(conn, number), Answer::Accepted { .. }) => {
                self.send(conn, to_agent::Message::Ack(ReportAck { number }));
            }
            (Waiting::Noted, _) => {}
            (waiting, Answer::Refused(why)) => self.start_over(waiting, &why.message),
            (waiting, Answer::Unknown(why)) => self.start_over(waiting, why),
        }
    }

    /// The agent shall come again: what it reported and nobody acknowledged it will report again.
    fn start_over(&mut self, waiting: Waiting, why: &str) {
        let (Waiting::Joined(conn) | Waiting::Opened(conn) | Waiting::Reported(conn, _)) = waiting else {
            return;
        };
        self.turn_away(conn, turned(TurnedCode::Retry, why));
        self.handle_gone(conn);
    }

    fn welcome(&mut self, conn: Conn, view: &View) {
        let Some(session) = self.conns.get_mut(&conn) else { return };
        if session.open {
            return;
        }
        session.open = true;
        let welcome = Welcome {
            node_id: session.node.to_bytes(),
            cluster_id: view.cluster().id.to_bytes(),
            session: session.number,
            heartbeat_period_ns: session.period_ns,
        };
        let first = assign::first(view, session, &self.recent);
        self.send(conn, to_agent::Message::Welcome(welcome));
        self.send(conn, to_agent::Message::Assignments(first));
    }

    /// Something was committed: those it concerns are told. `delta` may span several commits.
    pub fn handle_committed(&mut self, view: &View, delta: &Delta) {
        self.recent.note(view, delta);
        for (node, changes) in assign::by_node(view, delta) {
            let Some(conn) = self.conn_of(node) else { continue };
            let Some(session) = self.conns.get_mut(&conn) else { continue };
            if let Some(message) = assign::next(view, session, &changes) {
                self.send(conn, to_agent::Message::Assignments(message));
            }
        }
        for node in delta.nodes.iter().filter_map(|place| view.nodes().get(*place)) {
            self.node_changed(node);
        }
        if view.tenure().revision != self.tenure {
            self.tenure = view.tenure().revision;
            self.affirm();
        }
    }

    fn node_changed(&mut self, node: &NodeRow) {
        let Some(conn) = self.by_node.get(&node.id).copied() else { return };
        let Some(session) = self.conns.get(&conn).filter(|s| s.open) else { return };
        if node.removed {
            self.turn_away(conn, turned(TurnedCode::NodeRemoved, "this node was removed from the cluster"));
            self.forget(conn);
        } else if node.session != session.number && node.state == NodeState::Ready {
            self.turn_away(conn, turned(TurnedCode::Superseded, "the node has a newer session"));
            self.forget(conn);
        }
    }

    /// A new tenure made every node unknown: sessions that live say so.
    fn affirm(&mut self) {
        let open: Vec<Conn> = self.conns.iter().filter(|(_, s)| s.open).map(|(conn, _)| *conn).collect();
        open.into_iter().for_each(|conn| self.open(conn));
    }

    fn ask(&mut self, node: Id, machine: Machine, waiting: Waiting) {
        let token = self.next_token;
        self.next_token += 1;
        self.waiting.insert(token, waiting);
        let request = Box::new(Request::Machine(machine));
        self.outputs.push_back(Output::Ask { token, node, request });
    }

    fn send(&mut self, conn: Conn, message: to_agent::Message) {
        self.outputs.push_back(Output::Send(conn, ToAgent { message: Some(message) }));
    }

    fn turn_away(&mut self, conn: Conn, turned: Turned) {
        self.send(conn, to_agent::Message::Turned(turned));
        self.outputs.push_back(Output::Close(conn));
    }

    fn forget(&mut self, conn: Conn) -> Option<Session> {
        let session = self.conns.remove(&conn)?;
        self.beats.remove(&(session.silence_at, conn));
        if self.by_node.get(&session.node) == Some(&conn) {
            self.by_node.remove(&session.node);
        }
        Some(session)
    }
}

fn named_by(secret: &[u8]) -> Id {
    Id::from_bytes(&Sha256::digest([b"skep node", secret].concat())[..16])
}

fn turned(code: TurnedCode, message: &str) -> Turned {
    Turned { code: code as i32, message: message.into(), ..Turned::default() }
}

/// Whether a message of assignments says anything.
fn says_nothing(message: &Assignments) -> bool {
    !message.complete && message.changed.is_empty() && message.removed_ids.is_empty()
}
