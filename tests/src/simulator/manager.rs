//! The manager: the real turn and the real sessions, over the modelled disk.

use super::{dice::Dice, disk::Disk};
use skep_gateway::{
    admit::{Machine, Request},
    sessions::{Output, Sessions},
    turn::{Answer, Ask, Tip, Turned},
};
use skep_log::chain::Hash;
use skep_projections::{Delta, View};
use skep_proto::{
    Id, Timestamp, author,
    time::SECOND_NS,
    v1::{ClusterCreated, ClusterSpec, Person, TenureBegun, event::Kind},
};
use skep_reconcilers::Brain;
use std::collections::VecDeque;

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiter {
    /// A person, by their command's number.
    Client(u64),
    /// The sessions, by their token.
    Session(u64),
    /// Nobody.
    Nobody,
}

/// A turn that is written and not yet safe.
pub struct Pending {
    /// The entry's number on the disk; 0 for a turn that wrote nothing.
    pub number: usize,
    view: View,
    delta: Delta,
    answers: Vec<(Waiter, Answer)>,
}

/// A manager's process.
pub struct Manager {
    /// Which life of the process this is: what was begun in an earlier one never ends.
    pub life: u64,
    /// Up to what is safe.
    pub committed: View,
    tip: Tip,
    /// The manager's half of the session protocol.
    pub sessions: Sessions,
    inbox: Vec<(Ask, Waiter)>,
    pending: VecDeque<Pending>,
    more: bool,
    /// When the reconcilers want to be asked.
    pub wake_at: Option<Timestamp>,
}

/// The manager's own id, for ever.
pub const MANAGER: Id = Id(42);

impl Manager {
    /// Starts on what the disk holds: all of it is history now.
    pub fn start(disk: &Disk, life: u64, dice: &mut Dice) -> Result<Manager, String> {
        let (view, head) = disk.replay()?;
        let tip = Tip::new(view.clone(), head, Brain::new(), "sim");
        let sessions = Sessions::new(MANAGER, &view);
        let mut manager = Manager {
            life,
            committed: view,
            tip,
            sessions,
            inbox: Vec::new(),
            pending: VecDeque::new(),
            more: false,
            wake_at: None,
        };
        if head == Hash::ZERO {
            let cluster_id = Id(u128::from(dice.roll())).to_bytes();
            let spec = ClusterSpec { heartbeat_period_ns: Some(SECOND_NS), ..ClusterSpec::default() };
            manager.fact(Kind::ClusterCreated(Box::new(ClusterCreated { cluster_id, spec: Some(spec) })));
        }
        manager.fact(Kind::TenureBegun(TenureBegun { term: life, code_version: "sim".into() }));
        Ok(manager)
    }

    fn fact(&mut self, kind: Kind) {
        let request = Request::Machine(Machine::Fact(kind));
        self.inbox
            .push((Ask { token: 0, author: author::manager(MANAGER), request, bytes: 0 }, Waiter::Nobody));
    }

    /// A person asks.
    pub fn ask(&mut self, number: u64, request: Request) {
        let author = author::person(Person { uid: 1000, name: "alice".into(), ..Person::default() });
        self.inbox.push((Ask { token: 0, author, request, bytes: 64 }, Waiter::Client(number)));
    }

    /// What the sessions want of the shell; their requests stay here, the rest is the world's to do.
    pub fn session_outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.sessions.poll_output() {
            match output {
                Output::Ask { token, node, request } => {
                    let ask = Ask { token: 0, author: author::node(node), request: *request, bytes: 64 };
                    self.inbox.push((ask, Waiter::Session(token)));
                }
                Output::Send(..) | Output::Close(_) => outputs.push(output),
            }
        }
        outputs
    }

    /// Whether a turn has something to do now.
    pub fn wants_turn(&self, now: Timestamp) -> bool {
        !self.inbox.is_empty() || self.more || self.wake_at.is_some_and(|at| at <= now)
    }

    /// Nothing is on its way and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.pending.is_empty() && !self.more
    }

    /// The newest view, committed or not.
    pub fn tip(&self) -> &View {
        self.tip.view()
    }

    /// One turn. The number of the entry it wrote, where it wrote one.
    pub fn turn(&mut self, disk: &mut Disk, now: Timestamp, dice: &mut Dice) -> Option<usize> {
        let mut waiters = Vec::new();
        let asks =
            std::mem::take(&mut self.inbox).into_iter().enumerate().map(|(place, (mut ask, waiter))| {
                ask.token = place as u64;
                waiters.push(waiter);
                ask
            });
        let Turned { entry, view, delta, answers, rest, more, wake_at, records: _ } =
            self.tip.turn(asks.collect(), now, dice.bytes());
        let waiter = |token: u64| waiters.get(token as usize).copied().unwrap_or(Waiter::Nobody);
        self.inbox = rest.into_iter().map(|ask| (ask.clone(), waiter(ask.token))).collect();
        self.more = more;
        self.wake_at = wake_at;
        let answers = answers.into_iter().map(|(token, answer)| (waiter(token), answer)).collect();
        let number = entry.map(|entry| disk.append(entry));
        self.pending.push_back(Pending { number: number.unwrap_or(0), view, delta, answers });
        number
    }

    /// Everything up to this entry is safe: the committed view goes on, answers may be given.
    pub fn committed(&mut self, number: usize) -> Vec<(Waiter, Answer)> {
        let mut given = Vec::new();
        while let Some(turn) = self.pending.pop_front_if(|turn| turn.number <= number) {
            self.committed = turn.view;
            self.sessions.handle_committed(&self.committed, &turn.delta);
            for (waiter, answer) in turn.answers {
                match waiter {
                    Waiter::Session(token) => self.sessions.handle_answer(token, &answer, &self.committed),
                    Waiter::Client(_) | Waiter::Nobody => given.push((waiter, answer)),
                }
            }
        }
        given
    }

    /// Turns that wrote nothing and wait for nothing are answered at once.
    pub fn settled(&mut self) -> Vec<(Waiter, Answer)> {
        self.committed(0)
    }

    /// Clients whose command was on its way when the process died.
    pub fn abandoned(&self) -> Vec<u64> {
        let waiting = self.pending.iter().flat_map(|turn| turn.answers.iter().map(|(waiter, _)| *waiter));
        let clients = waiting.chain(self.inbox.iter().map(|(_, waiter)| *waiter));
        clients
            .filter_map(|waiter| match waiter {
                Waiter::Client(number) => Some(number),
                Waiter::Session(_) | Waiter::Nobody => None,
            })
            .collect()
    }
}
