//! The agent's core: wanted × seen → the next single step of each task, and a session that tells
//! the cluster. PURE.
//!
//! No clock, no dice, no IO: what happens is handed in with the time at which it happened
//! ([`Core::handle`]), what is to be done is taken out as plain data ([`Core::poll_output`]), and
//! [`Core::poll_timeout`] says when time alone would change something ([`Core::handle_timeout`]).
//! So the simulator runs this very core in virtual time, and the shell around it has nothing to
//! decide. Take outputs until there are none, in order, after every input.

pub mod action;
mod assign;
pub mod candidates;
mod conditions;
pub mod effort;
mod exchange;
mod halt;
mod jitter;
pub mod link;
pub mod memory;
pub mod outbox;
mod parts;
pub mod service;
mod task;
mod verdict;
mod work;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod world;

pub use exchange::{AgentOutput, Input, TasksOfLeaver, WantedMembership};
pub use halt::AgentHalt;

use crate::runtime::RuntimeError;
use action::StepOutcome;
use candidates::{FirstEndpoint, KnownAddress, ManagerCandidate};
use conditions::{Conditions, ListingKind};
use link::{LinkCall, ManagerLink, NextDial, NodeIdentity, WelcomeOutcome};
use memory::{Memory, Note, NoteKind};
use skep_proto::{
    Id, Lineage, Position, Timestamp, defaults,
    v1::{self, ConditionKind, FromAgent, NodeDescription, TaskState, ToAgent},
    v1::{from_agent, to_agent::Message},
};
use std::collections::VecDeque;
use work::NodeWork;

/// The decisions of one agent; see the module's text.
#[derive(Debug)]
pub struct Core {
    link: ManagerLink,
    /// None before the cluster named this node.
    work: Option<NodeWork>,
    memory: Memory,
    conditions: Conditions,
    /// As the runtime described this node last, in this run or an earlier one.
    description: Option<NodeDescription>,
    ready: VecDeque<AgentOutput>,
    halting: Option<AgentHalt>,
    /// It ends only when nothing is left of its tasks.
    ends_when_cleared: bool,
    /// What the newest session began with.
    warnings: Vec<String>,
    /// The position of the newest word about managers.
    told_as_of: Position,
}

impl Core {
    /// An agent that begins, or goes on from what it remembered. `seed` decides its jitter, the
    /// order in which it tries managers, and nothing else.
    pub fn new(identity: NodeIdentity, memory: Memory, seed: u64) -> Core {
        let node = identity.node_id;
        let work = (!node.is_none()).then(|| NodeWork::new(node, &memory));
        Core {
            link: ManagerLink::new(identity, seed),
            work,
            description: memory.description.clone(),
            memory,
            conditions: Conditions::default(),
            ready: VecDeque::new(),
            halting: None,
            ends_when_cleared: false,
            warnings: Vec::new(),
            told_as_of: Position::default(),
        }
    }

    /// The same, with where managers are found: the endpoint that it was started with, and those of
    /// which the cluster told an earlier run.
    #[must_use]
    pub fn following(mut self, first: FirstEndpoint, known: Vec<KnownAddress>) -> Core {
        self.link.follow(first, known);
        self
    }

    /// Something happened at `now`, which must never go back.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Described(description) => self.describe(*description, now),
            Input::Undescribed(fallback) => self.describe_without_runtime(*fallback, now),
            Input::Noticed(noticed) => {
                self.conditions.set(ConditionKind::EngineUnreachable, &noticed.engine_problem, now);
                self.conditions.on_unlisted(ListingKind::Regular, &noticed.listing_problem, now);
                self.conditions.set(ConditionKind::EngineStuck, &noticed.start_problem, now);
                if let Some(work) = &mut self.work {
                    work.on_noticed(noticed.tasks, now);
                }
            }
            Input::Leave(tasks) => self.leave(tasks, now),
            Input::Unwritable(problem) => {
                self.conditions.set(ConditionKind::StateUnwritable, &problem, now);
            }
            Input::Connected { line } if self.link.is_current(line) => {
                if self.link.awaits_connection() {
                    let history = (self.position(), self.lineage());
                    self.link.on_connected(history, self.conditions.greet(), now);
                }
            }
            Input::Broken { line } if self.link.is_current(line) => {
                self.link.on_broken(now);
                self.close();
            }
            Input::Received { line, message } if self.link.is_current(line) => {
                self.receive(*message, now)
            }
            Input::Untrusted { line, message } if self.link.is_current(line) => {
                self.halting = self.link.on_untrusted(message, now);
                self.close();
            }
            Input::Connected { .. }
            | Input::Broken { .. }
            | Input::Untrusted { .. }
            | Input::Received { .. } => {}
            Input::Done { ticket, outcome: StepOutcome::Listed(result), .. } => {
                let awaits = |work: &&mut NodeWork| work.awaits_listing(ticket);
                if let Some(work) = self.work.as_mut().filter(awaits) {
                    let problem = result.as_ref().err().map(ToString::to_string);
                    let problem = problem.unwrap_or_default();
                    self.conditions.on_unlisted(ListingKind::First, &problem, now);
                    work.on_listed(ticket, result, now);
                }
            }
            Input::Done { task, ticket, outcome } => {
                self.note_pull(task, &outcome, now);
                if let Some(work) = &mut self.work {
                    work.on_outcome(task, ticket, outcome, now);
                }
            }
        }
        self.forget_unneeded_pulls(now);
        self.finish_halting();
    }

    /// Time has come to `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.link.on_time(now);
        self.conditions.on_time(now);
        if let Some(work) = &mut self.work {
            work.on_time(now);
        }
    }

    /// When to call [`Core::handle_timeout`] if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let work = self.work.as_ref().and_then(NodeWork::poll_timeout);
        [self.link.poll_timeout(), self.conditions.poll_timeout(), work].into_iter().flatten().min()
    }

    /// The next thing to do: first what must be remembered, then what is done and said.
    pub fn poll_output(&mut self) -> Option<AgentOutput> {
        if let Some(AgentOutput::Certified(_) | AgentOutput::Joined { .. }) = self.ready.front() {
            return self.ready.pop_front();
        }
        if let Some(notes) = self.work.as_mut().and_then(NodeWork::poll_notes) {
            return Some(AgentOutput::Write(notes));
        }
        if let Some(action) = self.work.as_mut().and_then(NodeWork::poll_action) {
            return Some(AgentOutput::Act(action));
        }
        if let Some(call) = self.link.poll() {
            return Some(match call {
                LinkCall::Dial { line, candidate } => AgentOutput::Dial { line, candidate },
                LinkCall::Send(message) => AgentOutput::Send(message),
                LinkCall::HangUp { line, message } => AgentOutput::HangUp { line, message },
            });
        }
        if self.link.is_open()
            && let Some(conditions) = self.conditions.poll()
        {
            let message = Some(from_agent::Message::Conditions(v1::Conditions { conditions }));
            return Some(AgentOutput::Send(Box::new(FromAgent { message })));
        }
        if let Some(report) = self.work.as_mut().and_then(NodeWork::poll_report) {
            let message = Some(from_agent::Message::Report(report));
            return Some(AgentOutput::Send(Box::new(FromAgent { message })));
        }
        self.ready.pop_front()
    }

    /// The lineage of that position's incarnation.
    fn lineage(&self) -> Lineage {
        self.work.as_ref().map_or(self.memory.lineage, |work| work.lineage)
    }

    /// The newest position whose assignments have been taken up.
    pub fn position(&self) -> Position {
        self.work.as_ref().map_or(self.memory.position, |work| work.position)
    }

    /// This node; none before the cluster named it.
    pub fn node(&self) -> Id {
        self.link.identity.node_id
    }

    /// Its cluster; none before that named the node.
    pub fn cluster(&self) -> Id {
        self.link.identity.cluster_id
    }

    /// Nothing is dialed any more: the node has left, or the cluster has no use for it.
    pub fn is_over(&self) -> bool {
        self.link.is_halted()
    }

    /// A session is open.
    pub fn is_attached(&self) -> bool {
        self.link.is_open()
    }

    /// The managers that it may dial, the endpoint that it was started with at the head.
    pub fn candidates(&self) -> Vec<ManagerCandidate> {
        self.link.candidates()
    }

    /// The manager with which a session is open.
    pub fn attached_to(&self) -> Option<&ManagerCandidate> {
        self.link.attached_to()
    }

    /// Every task with its state and what is desired of it, in the order of their ids.
    pub fn tasks(&self) -> impl Iterator<Item = (Id, TaskState, TaskState)> + '_ {
        let tasks = self.work.iter().flat_map(|work| work.tasks.iter());
        tasks.map(|(id, task)| (*id, task.state(), task.desired))
    }

    /// Whether a state of this task is still to be reported, or its report to be acknowledged.
    pub fn has_to_report(&self, task: Id) -> bool {
        self.work.as_ref().is_some_and(|work| work.outbox.holds(task))
    }

    /// `SERVICE.SLOT` of a task that the cluster gave to this node.
    pub fn task_name(&self, task: Id) -> Option<String> {
        self.work.as_ref()?.tasks.get(&task).map(|task| task.workload.name())
    }

    /// The runtime says what this node is and has. It is remembered for a start without the
    /// runtime.
    fn describe(&mut self, description: NodeDescription, now: Timestamp) {
        if self.description.as_ref() != Some(&description) {
            self.description = Some(description.clone());
            let note = Note::new(NoteKind::Described(Box::new(description.clone())));
            self.ready.push_back(AgentOutput::Write(vec![note]));
        }
        if self.link.on_described(description, now) {
            self.close();
        }
    }

    /// A node that was announced stays as it is. One that was not is announced as the runtime
    /// described it last, so that a start while the engine is away is not taken for the loss of the
    /// node.
    fn describe_without_runtime(&mut self, fallback: NodeDescription, now: Timestamp) {
        if self.link.is_described() {
            return;
        }
        let NodeDescription { hostname, addr, runtime, .. } = fallback.clone();
        let description = match self.description.clone() {
            Some(remembered) => NodeDescription { hostname, addr, runtime, ..remembered },
            None => fallback,
        };
        self.link.on_described(description, now);
    }

    /// Whether this node can pull images.
    fn note_pull(&mut self, task: Id, outcome: &StepOutcome, now: Timestamp) {
        match outcome {
            StepOutcome::Prepared(Err(RuntimeError::PullFailed { image, reason })) => {
                self.conditions.on_pull_failed(image, reason, now);
            }
            StepOutcome::Prepared(Ok(_)) => {
                let task = self.work.as_ref().and_then(|work| work.tasks.get(&task));
                let container = task.and_then(|task| defaults::container(&task.workload.spec));
                if let Some(container) = container {
                    self.conditions.on_prepared(&container.image, now);
                }
            }
            StepOutcome::Prepared(Err(_))
            | StepOutcome::Listed(_)
            | StepOutcome::Started(_)
            | StepOutcome::Ready(_)
            | StepOutcome::Ended(_)
            | StepOutcome::Stopped(_)
            | StepOutcome::Removed(_) => {}
        }
    }

    /// A pull that failed is over when no task of this node has its image any more.
    fn forget_unneeded_pulls(&mut self, now: Timestamp) {
        if !self.conditions.has_failed_pulls() {
            return;
        }
        let tasks = self.work.iter().flat_map(|work| work.tasks.values());
        let containers = tasks.filter_map(|task| defaults::container(&task.workload.spec));
        let needed = containers.map(|container| container.image.as_str()).collect();
        self.conditions.on_needed(&needed, now);
    }

    fn receive(&mut self, message: ToAgent, now: Timestamp) {
        match message.message {
            None => {}
            Some(Message::Welcome(welcome)) => match self.link.on_welcome(&welcome, now) {
                WelcomeOutcome::As(node, cluster) => self.open(node, cluster, welcome.warnings),
                WelcomeOutcome::Elsewhere(halt) => self.halting = Some(halt),
                WelcomeOutcome::Unasked => {}
            },
            Some(Message::Certified(certified)) => match self.link.on_certified(&certified, now) {
                WelcomeOutcome::As(..) => {
                    self.ready.push_front(AgentOutput::Certified(Box::new(certified)));
                }
                WelcomeOutcome::Elsewhere(halt) => self.halting = Some(halt),
                WelcomeOutcome::Unasked => {}
            },
            Some(Message::Turned(turned)) => {
                let halt = self.link.on_turned(&turned, now);
                self.close();
                if matches!(halt, Some(AgentHalt::NodeRemoved { .. })) {
                    self.clear_away(now);
                }
                self.halting = halt;
            }
            Some(message) if self.link.is_open() => self.converse(message, now),
            Some(_) => {}
        }
    }

    fn converse(&mut self, message: Message, now: Timestamp) {
        let Some(work) = &mut self.work else { return };
        match message {
            Message::Welcome(_) | Message::Certified(_) | Message::Turned(_) => {}
            Message::Assignments(assignments) => match work.on_assignments(assignments, now) {
                Ok(None) => {}
                Ok(Some(taken)) => self.link.send(from_agent::Message::PartTaken(taken)),
                Err(message) => {
                    self.link.hang_up(&message, NextDial::Another, now);
                    self.close();
                }
            },
            Message::HeartbeatPeriod(period) => self.link.on_period(period.period_ns, now),
            Message::Managers(told) => {
                let membership = WantedMembership::of(&told);
                // A manager that is behind says what was true before.
                if membership.as_of < self.told_as_of {
                    return;
                }
                self.told_as_of = membership.as_of;
                let known = self.link.on_managers(&told);
                self.ready.push_back(AgentOutput::Managers { known, membership });
            }
            Message::Ack(ack) => work.outbox.acknowledge(ack.number),
            Message::Logs(order) => self.ready.push_back(AgentOutput::Logs(order)),
            Message::Cancel(cancel) => {
                self.ready.push_back(AgentOutput::LogCancel { request: cancel.request })
            }
        }
    }

    fn open(&mut self, node_id: Id, cluster_id: Id, warnings: Vec<String>) {
        if self.work.is_some() && !warnings.is_empty() && warnings != self.warnings {
            self.ready.push_back(AgentOutput::Warn(warnings.clone()));
        }
        self.warnings.clone_from(&warnings);
        let work = self.work.get_or_insert_with(|| {
            self.ready.push_front(AgentOutput::Joined { node_id, cluster_id, warnings });
            NodeWork::new(node_id, &self.memory)
        });
        work.outbox.open();
        work.begin_stream();
    }

    fn close(&mut self) {
        self.conditions.close();
        if let Some(work) = &mut self.work {
            work.outbox.close();
        }
    }

    /// Asked a second time, it may stop waiting.
    fn leave(&mut self, tasks: TasksOfLeaver, now: Timestamp) {
        self.halting = Some(self.link.leave());
        self.close();
        self.clear_away(now);
        self.ends_when_cleared = tasks == TasksOfLeaver::Awaited;
    }

    /// The node is no part of the cluster any more: its tasks end.
    fn clear_away(&mut self, now: Timestamp) {
        self.ends_when_cleared = true;
        if let Some(work) = &mut self.work {
            work.abandon(now);
        }
    }

    fn finish_halting(&mut self) {
        let cleared = self.work.as_ref().is_none_or(NodeWork::is_empty);
        let waits = self.ends_when_cleared && !cleared;
        if let Some(halt) = self.halting.take_if(|_| !waits) {
            self.ready.push_back(AgentOutput::Halt(halt));
        }
    }
}
