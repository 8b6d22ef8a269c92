//! The manager's half of the conversation with agents. PURE.
//!
//! Inputs are what agents say, what the turn answered and what was committed; outputs are messages
//! to agents and requests for the turn. A record finds its agent by node id, so its cost does not
//! grow with the number of sessions. Heartbeats end here: only silence becomes a request.

mod assign;
mod backing;
mod entry;
mod join;
mod managers;
mod nodes;
mod overdue;
mod pace;
mod parts;
mod recent;
#[cfg(test)]
mod stories;
mod unheld;
#[cfg(test)]
mod world;

pub use backing::LeaderWord;
pub use entry::NodeOfPeer;
pub use join::{Applicant, certificate_asked, certified};

use crate::{
    admit::{MachineRequest, Request, TaskReport},
    turn::Answer,
};
use parts::{AssignmentBatch, Outbound, Queued};
use recent::Recent;
use skep_projections::{Delta, View};
use skep_proto::{
    Id, Revision, Timestamp, defaults,
    v1::{
        ClusterManagers, Condition, FromAgent, HeartbeatPeriod, Hello, Report, ReportAck,
        TaskState, ToAgent, Turned, TurnedCode, Welcome, from_agent, to_agent,
    },
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How often silence is looked for in one heartbeat period.
const LOOKS_PER_PERIOD: u64 = 2;
/// A look that comes later than this part of a heartbeat period shows that the manager itself stood
/// still, as a suspended process does.
const LATENESS_PARTS_PER_PERIOD: u64 = 4;
/// The message to agents when the manager stops.
const STOPPING: &str = "the manager is stopping; tasks go on";

/// The message to an agent whose node says more than it may; its next hello says it all.
const TOO_OFTEN: &str = "this node opens sessions or changes its conditions too often; try again";

/// A stream from an agent, numbered by the shell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Conn(pub u64);

/// What the shell does.
#[derive(Clone, Debug)]
pub enum SessionOutput {
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

/// All sessions this manager holds.
pub struct Sessions {
    conns: BTreeMap<Conn, Session>,
    by_node: BTreeMap<Id, Conn>,
    beats: BTreeSet<(Timestamp, Conn)>,
    overdue: overdue::OverdueSessions,
    /// Sessions that are recorded here and that this manager does not hold.
    unheld: overdue::OverdueSessions,
    paces: pace::NodePaces,
    /// When this manager last heard or looked: it listens for as long as it does so in time.
    listened_at: Timestamp,
    /// Nothing was heard or looked at yet.
    is_new: bool,
    /// Since when there is no word of a leader.
    word_missing_since: Option<Timestamp>,
    waiting: BTreeMap<u64, PendingAnswer>,
    /// Streams of agents that wait for a certificate.
    joining: BTreeMap<Conn, join::Joining>,
    next_token: u64,
    /// The node of the manager that this is.
    own: Id,
    managers: managers::KnownManagers,
    recent: Recent,
    tenure: Revision,
    /// Up to where commits were seen.
    committed: Revision,
    period_ns: u64,
    life: ServingState,
    outputs: VecDeque<SessionOutput>,
}

/// Whether this manager still takes sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ServingState {
    Serving,
    Stopping,
}

/// One agent's stream.
struct Session {
    node: Id,
    number: u64,
    process: u64,
    /// Where its agent connects from; empty where it comes through the local socket.
    address: String,
    hello: Hello,
    /// Assignments flow only after the turn accepted the session.
    open: bool,
    heard_at: Timestamp,
    silence_at: Timestamp,
    period_ns: u64,
    revision: Revision,
    /// What the agent was last told of each task.
    told: BTreeMap<Id, TaskState>,
    /// What waits to be sent, and what the stream was told of services.
    outbound: Outbound,
    /// What the operator should know about the node that comes back; sent with the welcome.
    warnings: Vec<String>,
    /// What the agent was last told of the managers.
    managers: ClusterManagers,
}

impl Session {
    /// When the agent counts as silent if nothing more is heard of it.
    fn patience_end(&self) -> Timestamp {
        self.heard_at + self.period_ns * defaults::HEARTBEAT_GRACE_PERIODS
    }
}

enum PendingAnswer {
    Certified(Conn),
    Opened(Conn),
    Reported(Conn, u64),
    Noted,
}

impl Sessions {
    /// None yet, of the manager with this node. Changes from `view` on are remembered for agents
    /// that come back.
    pub fn new(own: Id, view: &View) -> Sessions {
        Sessions {
            conns: BTreeMap::new(),
            by_node: BTreeMap::new(),
            beats: BTreeSet::new(),
            overdue: overdue::OverdueSessions::default(),
            unheld: unheld::recorded_at(own, view),
            paces: pace::NodePaces::default(),
            listened_at: Timestamp::NEVER,
            is_new: true,
            word_missing_since: None,
            waiting: BTreeMap::new(),
            joining: BTreeMap::new(),
            next_token: 1,
            own,
            managers: managers::KnownManagers::of(view),
            recent: Recent::from(view.position()),
            tenure: view.tenure().revision,
            committed: view.position().revision,
            period_ns: defaults::heartbeat_period_ns(&view.cluster().spec),
            life: ServingState::Serving,
            outputs: VecDeque::new(),
        }
    }

    /// The next thing for the shell to do.
    pub fn poll_output(&mut self) -> Option<SessionOutput> {
        self.outputs.pop_front()
    }

    /// When [`Sessions::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let look_at = self.listened_at + self.period_ns / LOOKS_PER_PERIOD;
        let beat_at = self.beats.first().map(|(at, _)| (*at).min(look_at));
        let lost = self.overdue.first().into_iter().chain(self.unheld.first());
        beat_at.into_iter().chain(lost).min()
    }

    /// Time has come to `now`. Time in which this manager did not listen says nothing about agents:
    /// if it comes much later than it asked for, their silence is shorter by as much. Each agent
    /// has at least one more period, since its messages of that time may still be unread.
    fn listen(&mut self, now: Timestamp) {
        let missed_ns = self.poll_timeout().map_or(0, |due| now.since(due));
        self.listened_at = now;
        if std::mem::take(&mut self.is_new) {
            self.unheld.postpone(now + self.grace_ns());
        }
        if missed_ns <= self.period_ns / LATENESS_PARTS_PER_PERIOD {
            return;
        }
        self.overdue.forget_all();
        self.unheld.postpone(now + self.grace_ns());
        for session in self.conns.values_mut() {
            let silent_ns = now.since(session.heard_at).saturating_sub(missed_ns);
            let silent_ns_max = session.period_ns * (defaults::HEARTBEAT_GRACE_PERIODS - 1);
            session.heard_at = Timestamp(now.0.saturating_sub(silent_ns.min(silent_ns_max)));
        }
    }

    /// The stream of a node's open session.
    pub fn conn_of(&self, node: Id) -> Option<Conn> {
        self.by_node.get(&node).copied().filter(|conn| self.conns.get(conn).is_some_and(|s| s.open))
    }

    /// The stream and the node of each session, open or about to be.
    pub fn iter(&self) -> impl Iterator<Item = (Conn, Id)> + '_ {
        self.conns.iter().map(|(conn, session)| (*conn, session.node))
    }

    /// How many sessions are open.
    pub fn open_sessions(&self) -> usize {
        self.conns.values().filter(|s| s.open).count()
    }

    /// A later message of a stream. Those that are not the sessions' business are left to the
    /// shell.
    pub fn handle_message(&mut self, conn: Conn, message: FromAgent, now: Timestamp) {
        self.listen(now);
        let Some(session) = self.conns.get_mut(&conn) else { return };
        session.heard_at = now;
        match message.message {
            Some(from_agent::Message::Report(report)) => self.report(conn, report),
            Some(from_agent::Message::Conditions(told)) => {
                self.conditions(conn, told.conditions, now);
            }
            Some(from_agent::Message::PartTaken(_)) => {
                session.outbound.taken();
                self.flush(conn);
            }
            Some(
                from_agent::Message::Hello(_)
                | from_agent::Message::Join(_)
                | from_agent::Message::Heartbeat(_)
                | from_agent::Message::LogChunk(_)
                | from_agent::Message::Pull(_),
            )
            | None => {}
        }
    }

    fn report(&mut self, conn: Conn, report: Report) {
        let Some(session) = self.conns.get(&conn).filter(|s| s.open) else { return };
        let tasks = TaskReport::read_all(report.tasks);
        let machine = MachineRequest::Report { node: session.node, tasks };
        self.ask(session.node, machine, PendingAnswer::Reported(conn, report.number));
    }

    /// The node's conditions have changed. They are kept with the hello, since each new tenure is
    /// told of the session again.
    fn conditions(&mut self, conn: Conn, conditions: Vec<Condition>, now: Timestamp) {
        let Some(session) = self.conns.get_mut(&conn) else { return };
        session.hello.conditions.clone_from(&conditions);
        if session.open {
            let node = session.node;
            if !self.paces.may_speak(node, now) {
                return self.start_over(PendingAnswer::Opened(conn), TOO_OFTEN);
            }
            let machine = MachineRequest::Conditions { node, session: session.number, conditions };
            self.ask(node, machine, PendingAnswer::Noted);
        }
    }

    /// The manager stops: every agent gets a message and comes back later. Nothing is recorded,
    /// since nothing has happened to the nodes.
    pub fn handle_stopping(&mut self) {
        self.life = ServingState::Stopping;
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.turn_away(conn, turned(TurnedCode::Stopping, STOPPING));
            self.forget(conn);
        }
        for conn in std::mem::take(&mut self.joining).into_keys() {
            self.turn_away(conn, turned(TurnedCode::Stopping, STOPPING));
        }
    }

    /// The stream ended, whatever the reason.
    pub fn handle_gone(&mut self, conn: Conn) {
        self.joining.remove(&conn);
        let Some(session) = self.forget(conn) else { return };
        if session.open && self.listened_at.since(session.heard_at) > session.period_ns {
            self.overdue.note(session.patience_end(), session.node, session.number);
        }
        let close = MachineRequest::Close { node: session.node, session: session.number };
        self.ask(session.node, close, PendingAnswer::Noted);
    }

    /// Asks the turn about sessions that have said nothing for too long, and ends their streams.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.listen(now);
        self.paces.forget_rested(now);
        while let Some((at, conn)) = self.beats.first().copied().filter(|(at, _)| *at <= now) {
            self.beats.remove(&(at, conn));
            let Some(session) = self.conns.get_mut(&conn) else { continue };
            let silence_at = session.patience_end();
            if silence_at > now {
                session.silence_at = silence_at;
                self.beats.insert((silence_at, conn));
                continue;
            }
            let (node, session) = (session.node, session.number);
            self.turn_away(conn, turned(TurnedCode::Retry, "no heartbeat for three periods"));
            self.forget(conn);
            self.say_silent(node, session);
        }
        while let Some((node, session)) = self.overdue.take(now).or_else(|| self.unheld.take(now)) {
            self.say_silent(node, session);
        }
    }

    fn say_silent(&mut self, node: Id, session: u64) {
        let silent = MachineRequest::Silent { node, session, tenure: self.tenure };
        self.ask(node, silent, PendingAnswer::Noted);
    }

    /// The turn's answer, once it is committed; `view` is committed and includes it.
    pub fn handle_answer(&mut self, token: u64, answer: &Answer, view: &View) {
        let Some(waiting) = self.waiting.remove(&token) else { return };
        match (waiting, answer) {
            (PendingAnswer::Certified(conn), answer) => self.answer_join(conn, answer, view),
            (PendingAnswer::Opened(conn), Answer::Accepted { .. }) => self.welcome(conn, view),
            (PendingAnswer::Reported(conn, number), Answer::Accepted { .. }) => {
                if self.conns.contains_key(&conn) {
                    self.send(conn, to_agent::Message::Ack(ReportAck { number }));
                }
            }
            (PendingAnswer::Noted, _) => {}
            (waiting, Answer::Refused(why)) => self.start_over(waiting, &why.message),
            (waiting, Answer::Unknown(why)) => self.start_over(waiting, why),
        }
    }

    /// Turns the agent away so that it connects again. It then repeats its unacknowledged reports.
    fn start_over(&mut self, waiting: PendingAnswer, why: &str) {
        let (PendingAnswer::Opened(conn) | PendingAnswer::Reported(conn, _)) = waiting else {
            return;
        };
        if self.conns.contains_key(&conn) {
            self.turn_away(conn, turned(TurnedCode::Retry, why));
            self.handle_gone(conn);
        }
    }

    fn welcome(&mut self, conn: Conn, view: &View) {
        let Some(session) = self.conns.get_mut(&conn).filter(|session| !session.open) else {
            return;
        };
        session.open = true;
        // The node may have gone in the entry that opened its session: changes of nodes whose
        // session is not open yet are not looked at.
        let node = session.node;
        match view.nodes().by_id(node) {
            Some((_, row)) => self.node_changed(row),
            None => self.dismiss(conn),
        }
        let Some(session) = self.conns.get_mut(&conn) else { return };
        let welcome = Welcome {
            node_id: session.node.to_bytes(),
            cluster_id: view.cluster().id.to_bytes(),
            session: session.number,
            heartbeat_period_ns: session.period_ns,
            warnings: std::mem::take(&mut session.warnings),
        };
        let first = assign::first(view, session, &self.recent);
        self.send(conn, to_agent::Message::Welcome(welcome));
        self.tell_managers_to(conn, view);
        if let Some(first) = first {
            self.assign(conn, first);
        }
    }

    /// Queues a message of assignments, and sends what the agent can take now.
    fn assign(&mut self, conn: Conn, batch: AssignmentBatch) {
        let Some(session) = self.conns.get_mut(&conn) else { return };
        match session.outbound.push(batch) {
            Queued::Yes => self.flush(conn),
            Queued::Full => self.start_over(
                PendingAnswer::Opened(conn),
                "the agent does not keep up with its assignments",
            ),
        }
    }

    fn flush(&mut self, conn: Conn) {
        while let Some(part) = self.conns.get_mut(&conn).and_then(|session| session.outbound.next())
        {
            self.send(conn, to_agent::Message::Assignments(part));
        }
    }

    /// Something was committed: the agents that it concerns are sent the change. `delta` may span
    /// several commits.
    pub fn handle_committed(&mut self, view: &View, delta: &Delta, now: Timestamp) {
        self.listen(now);
        self.recent.note(view, delta);
        for (node, changes) in assign::by_node(view, delta) {
            let Some(conn) = self.conn_of(node) else { continue };
            let Some(session) = self.conns.get_mut(&conn) else { continue };
            if let Some(batch) = assign::next(view, session, &changes) {
                self.assign(conn, batch);
            }
        }
        for node in delta.nodes.iter().filter_map(|index| view.nodes().get(*index)) {
            self.node_changed(node);
            self.note_unheld(node, now);
        }
        self.leave_vanished(view, delta);
        self.tell_managers(view, delta);
        self.committed = view.position().revision;
        self.keep_period(defaults::heartbeat_period_ns(&view.cluster().spec), now);
        if view.tenure().revision != self.tenure {
            self.tenure = view.tenure().revision;
            self.affirm();
        }
    }

    /// The heartbeat period has changed: agents are sent the new one, and silence is measured by
    /// it. Each agent gets the full time once more, since its next heartbeat may still follow the
    /// old period.
    fn keep_period(&mut self, period_ns: u64, now: Timestamp) {
        if period_ns == self.period_ns {
            return;
        }
        self.period_ns = period_ns;
        self.overdue.forget_all();
        self.unheld.postpone(now + self.grace_ns());
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            let Some(session) = self.conns.get_mut(&conn) else { continue };
            self.beats.remove(&(session.silence_at, conn));
            (session.period_ns, session.heard_at) = (period_ns, now);
            session.silence_at = now + period_ns * defaults::HEARTBEAT_GRACE_PERIODS;
            self.beats.insert((session.silence_at, conn));
            if session.open {
                self.send(conn, to_agent::Message::HeartbeatPeriod(HeartbeatPeriod { period_ns }));
            }
        }
    }

    /// A new tenure made every node unknown: each open session is announced again.
    fn affirm(&mut self) {
        let open: Vec<Conn> =
            self.conns.iter().filter(|(_, s)| s.open).map(|(conn, _)| *conn).collect();
        open.into_iter().for_each(|conn| self.open(conn));
    }

    fn ask(&mut self, node: Id, machine: MachineRequest, waiting: PendingAnswer) {
        let token = self.next_token;
        self.next_token += 1;
        self.waiting.insert(token, waiting);
        let request = Box::new(Request::Machine(machine));
        self.outputs.push_back(SessionOutput::Ask { token, node, request });
    }

    fn send(&mut self, conn: Conn, message: to_agent::Message) {
        self.outputs.push_back(SessionOutput::Send(conn, ToAgent { message: Some(message) }));
    }

    fn turn_away(&mut self, conn: Conn, turned: Turned) {
        self.send_last(conn, to_agent::Message::Turned(turned));
    }

    fn send_last(&mut self, conn: Conn, message: to_agent::Message) {
        self.send(conn, message);
        self.outputs.push_back(SessionOutput::Close(conn));
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

fn turned(code: TurnedCode, message: &str) -> Turned {
    Turned { code: code as i32, message: message.into(), ..Turned::default() }
}
