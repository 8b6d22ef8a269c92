//! The manager: the real turn and the real sessions, over the modelled disk.

use super::{
    dice::Dice,
    disk::Disk,
    world::{Clocks, happening::Happening},
};
use skep_gateway::{
    admit::{Machine, Request},
    clock::{Now, Uptime},
    drive::core::time::{LogClock, WallStep},
    sessions::{Conn, Origin, Output, Sessions},
    turn::{Answer, Ask, Tip, TurnOutput},
};
use skep_log::chain::Hash;
use skep_projections::{Delta, View};
use skep_proto::{
    Id, Timestamp, author,
    v1::{
        ClockJumped, ClusterCreated, ClusterSpec, FromAgent, Hello, Person, TenureBegun,
        event::Kind,
    },
};
use skep_reconcilers::Brain;
use std::collections::VecDeque;

/// Entries that are under way at once; at it the next turn waits.
const IN_FLIGHT_MAX: usize = 8;

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiter {
    /// A person, by their command's number and what had been proposed when it came.
    Client(u64, u64),
    /// The sessions, by their token.
    Session(u64),
    /// Nobody.
    Nobody,
}

/// A turn that is written and not yet safe.
struct Pending {
    number: usize,
    view: View,
    delta: Delta,
    answers: Vec<(Waiter, Answer)>,
}

/// What one turn wrote, and whether more is left to do.
pub struct Took {
    /// The number of the entry, where there is one.
    pub number: Option<usize>,
    /// Whether work was left for the next turn.
    pub more: bool,
}

/// A manager's process.
pub struct Manager {
    /// Which run of the process this is: what was begun in an earlier one never ends.
    pub life: u64,
    /// Which tenure this is: proposals of an earlier one have failed.
    pub term: u64,
    /// Up to what is safe.
    pub committed: View,
    /// When the process began, by the true time.
    pub began_at: Timestamp,
    head: Hash,
    tip: Tip,
    sessions: Sessions,
    clock: LogClock,
    inbox: Vec<Ask<Waiter>>,
    pending: VecDeque<Pending>,
    more: bool,
    wake_at: Option<Timestamp>,
    entry_records: usize,
    proposed: u64,
    concluded: u64,
    happenings: Vec<Happening>,
}

/// The manager's own id, for ever.
pub const MANAGER: Id = Id(42);

/// The world's true time is the manager's monotonic clock.
fn now(clocks: Clocks) -> Now {
    Now { uptime: Uptime(clocks.now.0), wall: clocks.wall }
}

impl Manager {
    /// Starts on what the disk holds: all of it is history now.
    pub fn start(
        disk: &Disk,
        life: u64,
        cluster: ClusterSpec,
        entry_records: usize,
        clocks: Clocks,
        dice: &mut Dice,
    ) -> Result<Manager, String> {
        let (view, head, _) = disk.fold_from(View::default(), Hash::ZERO)?;
        let mut manager = Manager {
            life,
            term: 0,
            committed: view.clone(),
            began_at: clocks.now,
            head,
            tip: Tip::new(View::default(), Hash::ZERO, Brain::new(), "sim"),
            sessions: Sessions::new(MANAGER, &view),
            clock: LogClock::begin(view.at(), now(clocks)).0,
            inbox: Vec::new(),
            pending: VecDeque::new(),
            more: false,
            wake_at: None,
            entry_records,
            proposed: 0,
            concluded: 0,
            happenings: Vec::new(),
        };
        if head == Hash::ZERO {
            let cluster_id = Id(u128::from(dice.roll())).to_bytes();
            let created = ClusterCreated { cluster_id, spec: Some(cluster) };
            manager.fact(Kind::ClusterCreated(Box::new(created)));
        }
        manager.lead(life << 32, clocks);
        Ok(manager)
    }

    /// A tenure begins on the committed view.
    fn lead(&mut self, term: u64, clocks: Clocks) {
        self.term = term;
        let (clock, jump) = LogClock::begin(self.committed.at(), now(clocks));
        self.clock = clock;
        self.tip = Tip::new(self.committed.clone(), self.head, Brain::new(), "sim")
            .with_entry_records(self.entry_records);
        self.more = false;
        self.fact(Kind::TenureBegun(TenureBegun { term, code_version: "sim".into() }));
        if let Some(WallStep(by_ns)) = jump {
            self.fact(Kind::ClockJumped(ClockJumped { by_ns }));
        }
    }

    fn fact(&mut self, kind: Kind) {
        let request = Request::Machine(Machine::Fact(kind));
        let author = author::manager(MANAGER);
        self.inbox.push(Ask { caller: Waiter::Nobody, author, request, bytes: 0 });
    }

    /// Proposals failed, or another election was won: the tip is closed and a new tenure begins on
    /// what the disk kept.
    pub fn renew(&mut self, disk: &Disk, clocks: Clocks) -> Result<(), String> {
        for turn in std::mem::take(&mut self.pending) {
            for (waiter, _) in turn.answers {
                self.give(waiter, Answer::Unknown("the log failed".into()));
            }
        }
        self.concluded = self.proposed;
        let (view, head, delta) = disk.fold_from(self.committed.clone(), self.head)?;
        (self.committed, self.head) = (view, head);
        self.sessions.handle_committed(&self.committed, &delta, clocks.now);
        self.lead(self.term + 1, clocks);
        Ok(())
    }

    /// A person asks.
    pub fn ask(&mut self, number: u64, request: Request) {
        let person = Person { uid: 1000, name: "alice".into(), ..Person::default() };
        let caller = Waiter::Client(number, self.proposed);
        self.inbox.push(Ask { caller, author: author::person(person), request, bytes: 64 });
    }

    /// The first message of a stream.
    pub fn hello(&mut self, conn: Conn, hello: Hello, number: u64, now: Timestamp) {
        let view = self.committed.clone();
        self.sessions.handle_hello(conn, Origin::Outside, hello, number, &view, now);
    }

    /// A later message.
    pub fn message(&mut self, conn: Conn, message: FromAgent, now: Timestamp) {
        self.sessions.handle_message(conn, message, now);
    }

    /// A stream has ended.
    pub fn gone(&mut self, conn: Conn) {
        self.sessions.handle_gone(conn);
    }

    /// Time has passed.
    pub fn time(&mut self, now: Timestamp) {
        if self.sessions.poll_timeout().is_some_and(|at| at <= now) {
            self.sessions.handle_timeout(now);
        }
    }

    /// The stream of a node's open session.
    pub fn conn_of(&self, node: Id) -> Option<Conn> {
        self.sessions.conn_of(node)
    }

    /// What the sessions want of the shell; their requests stay here, the rest is the world's to
    /// do.
    pub fn session_outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.sessions.poll_output() {
            match output {
                Output::Ask { token, node, request } => {
                    if let Request::Machine(Machine::Silent { node, .. }) = &*request {
                        self.happenings.push(Happening::CalledSilent { node: *node });
                    }
                    let author = author::node(node);
                    let caller = Waiter::Session(token);
                    self.inbox.push(Ask { caller, author, request: *request, bytes: 64 });
                }
                Output::Send(..) | Output::Close(_) => outputs.push(output),
            }
        }
        outputs
    }

    /// The log's time.
    fn log_now(&mut self, clocks: Clocks) -> Timestamp {
        self.clock.advance(now(clocks)).0
    }

    /// Whether a turn has something to do now.
    pub fn wants_turn(&mut self, clocks: Clocks) -> bool {
        let now = self.log_now(clocks);
        let due = self.wake_at.is_some_and(|at| at <= now);
        let work = !self.inbox.is_empty() || self.more || due;
        work && self.pending.len() < IN_FLIGHT_MAX
    }

    /// When something may have to be done although nothing happens.
    pub fn poll_timeout(&mut self, clocks: Clocks) -> Option<Timestamp> {
        let now = self.log_now(clocks);
        let turn =
            self.wake_at.filter(|at| *at > now).map(|at| Timestamp(self.clock.uptime_of(at).0));
        [turn, self.sessions.poll_timeout()].into_iter().flatten().min()
    }

    /// Nothing is on its way and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.pending.is_empty() && !self.more
    }

    /// The newest view, committed or not.
    pub fn tip(&self) -> &View {
        self.tip.view()
    }

    /// Entries under way.
    pub fn in_flight(&self) -> usize {
        self.pending.iter().filter(|turn| turn.number > 0).count()
    }

    /// Entries proposed and entries concluded by this process.
    pub fn progress(&self) -> (u64, u64) {
        (self.proposed, self.concluded)
    }

    /// One turn.
    pub fn turn(&mut self, disk: &mut Disk, clocks: Clocks, dice: &mut Dice) -> Took {
        let now = self.log_now(clocks);
        let asks = std::mem::take(&mut self.inbox);
        let turned = self.tip.turn(asks, now, dice.bytes());
        let TurnOutput { entry, view, delta, answers, rest, more, wake_at, records: _ } = turned;
        self.inbox = rest;
        (self.more, self.wake_at) = (more, wake_at);
        let number = entry.map(|entry| disk.append(entry, clocks.now));
        self.proposed += u64::from(number.is_some());
        let before = self.pending.back().map_or(0, |turn| turn.number);
        self.pending.push_back(Pending { number: number.unwrap_or(before), view, delta, answers });
        Took { number, more: self.more }
    }

    /// Everything up to this entry is safe: the committed view goes on, answers may be given.
    pub fn committed(&mut self, number: usize, disk: &Disk, now: Timestamp) {
        while let Some(turn) = self.pending.pop_front_if(|turn| turn.number <= number) {
            if turn.number > 0 && turn.view.position() != self.committed.position() {
                self.concluded += 1;
            }
            self.committed = turn.view;
            if let Some(written) = disk.entry_of(self.committed.position().revision) {
                self.head = written.hash;
            }
            self.sessions.handle_committed(&self.committed, &turn.delta, now);
            for (waiter, answer) in turn.answers {
                self.give(waiter, answer);
            }
        }
    }

    fn give(&mut self, waiter: Waiter, answer: Answer) {
        match waiter {
            Waiter::Session(token) => self.sessions.handle_answer(token, &answer, &self.committed),
            Waiter::Client(number, proposed_before) => {
                let committed = self.committed.position().revision;
                let concluded = self.concluded;
                self.happenings.push(Happening::Answered {
                    number,
                    answer,
                    proposed_before,
                    concluded,
                    committed,
                });
            }
            Waiter::Nobody => {}
        }
    }

    /// What happened inside since somebody looked.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// Clients whose command was on its way when the process died.
    pub fn abandoned(&self) -> Vec<u64> {
        let waiting = self.pending.iter().flat_map(|turn| &turn.answers).map(|(waiter, _)| *waiter);
        let clients = waiting.chain(self.inbox.iter().map(|ask| ask.caller));
        clients
            .filter_map(|waiter| match waiter {
                Waiter::Client(number, _) => Some(number),
                Waiter::Session(_) | Waiter::Nobody => None,
            })
            .collect()
    }
}
