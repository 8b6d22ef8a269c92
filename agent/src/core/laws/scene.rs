//! A little cluster, which knows what it wants and sends it as a manager would, and a little
//! engine, which does what it is asked or is away, around one core.
//!
//! Messages are lost with their session, sent again and sent late; the agent dies and comes back
//! with what it had written down. The cluster's history goes back to a backup, and a new
//! incarnation begins. Checked at each step: only what was assigned is run and reported, only what
//! was ordered to end is stopped, reports never go back, and a message that comes again changes
//! nothing.

use super::{ModelOp, engine::ModelEngine};
use crate::{
    core::{
        AgentOutput, Core, Input,
        action::{Action, StepOutcome, TaskStep},
        link::NodeIdentity,
        memory::Memory,
    },
    runtime::{Prepared, Started},
};
use skep_proto::{
    Id, Timestamp,
    v1::{self, from_agent, to_agent},
};
use std::collections::{BTreeMap, BTreeSet};

const NODE: Id = Id(1000);

#[derive(Clone, Debug)]
struct Wish {
    desired: v1::TaskState,
    recorded: v1::TaskState,
}

#[derive(Debug)]
pub(super) struct Scene {
    core: Core,
    memory: Memory,
    now: Timestamp,
    cluster: ModelCluster,
    backup: ModelCluster,
    /// Tasks made in any history.
    made: u128,
    /// What was sent to the session; `None` while there is none.
    told: Option<u64>,
    sent: Vec<v1::Assignments>,
    ever: BTreeSet<Id>,
    /// The incarnation that named each task last.
    named: BTreeMap<Id, u64>,
    /// Tasks that some message ordered to end.
    condemned: BTreeSet<Id>,
    line: u64,
    reports: Vec<v1::Report>,
    engine: ModelEngine,
    pending: Vec<PendingStep>,
    /// Steps that a stop or a removal overtook, whose answers may still be on their way.
    overtaken: Vec<PendingStep>,
}

/// What the cluster wants, and since when.
#[derive(Clone, Debug, Default)]
struct ModelCluster {
    incarnation: u64,
    revision: u64,
    wishes: BTreeMap<Id, Wish>,
    /// The revision at which each task changed or went last.
    touched: BTreeMap<Id, u64>,
}

/// Whose, the ticket, and which step; none is a listing.
type PendingStep = (Id, u64, Option<TaskStep>);

impl Scene {
    pub(super) fn new() -> Scene {
        let memory = Memory::default();
        let mut scene = Scene {
            core: Core::new(NodeIdentity::default(), memory.clone(), 1),
            memory,
            now: Timestamp(1_000_000_000),
            cluster: ModelCluster { incarnation: 1, ..ModelCluster::default() },
            backup: ModelCluster { incarnation: 1, ..ModelCluster::default() },
            made: 0,
            told: None,
            sent: Vec::new(),
            ever: BTreeSet::new(),
            named: BTreeMap::new(),
            condemned: BTreeSet::new(),
            line: 0,
            reports: Vec::new(),
            engine: ModelEngine::default(),
            pending: Vec::new(),
            overtaken: Vec::new(),
        };
        scene.input(Input::Described(Box::default()));
        scene
    }

    fn input(&mut self, input: Input) {
        self.now = self.now + 1_000;
        self.core.handle(input, self.now);
        self.take_outputs();
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms * 1_000_000;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.core.handle_timeout(self.now);
            self.take_outputs();
        }
        self.now = end;
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                AgentOutput::Joined { node_id, .. } => assert_eq!(node_id, NODE),
                AgentOutput::Warn(_) | AgentOutput::Certified(_) | AgentOutput::Managers { .. } => {
                }
                AgentOutput::Write(notes) => notes.iter().for_each(|note| self.memory.apply(note)),
                AgentOutput::Act(action) => self.ask(action),
                AgentOutput::Dial { line, .. } => self.line = line,
                AgentOutput::HangUp { .. } => self.close(),
                AgentOutput::Send(message) => match message.message.expect("a message") {
                    from_agent::Message::Hello(hello) => {
                        let known = hello.incarnation == self.cluster.incarnation;
                        assert!(!known || hello.revision <= self.cluster.revision);
                        self.told = Some(if known { hello.revision } else { 0 });
                    }
                    from_agent::Message::Report(report) => self.hear(report),
                    from_agent::Message::Heartbeat(_)
                    | from_agent::Message::Conditions(_)
                    | from_agent::Message::PartTaken(_) => {}
                    other @ (from_agent::Message::LogChunk(_)
                    | from_agent::Message::Join(_)
                    | from_agent::Message::Pull(_)) => {
                        panic!("{other:?}")
                    }
                },
                AgentOutput::Logs(_) | AgentOutput::LogCancel { .. } => {}
                AgentOutput::Halt(halt) => panic!("{halt}"),
            }
        }
    }

    fn close(&mut self) {
        self.told = None;
        self.reports.clear();
    }

    /// Only what was assigned is run: AGENT-1.
    fn ask(&mut self, action: Action) {
        match action {
            Action::List { node, ticket } => {
                assert_eq!(node, NODE);
                self.pending.push((Id::NONE, ticket, None));
            }
            Action::Step { task, ticket, step } => {
                assert!(self.ever.contains(&task), "{step:?} of {task}, which nobody assigned");
                if matches!(step, TaskStep::Stop { .. } | TaskStep::Remove) {
                    assert!(
                        self.condemned.contains(&task),
                        "{step:?} of {task}, which nobody ordered"
                    );
                    let is_overtaken = |(id, _, step): &PendingStep| {
                        *id == task
                            && matches!(step, Some(TaskStep::Prepare(_) | TaskStep::Start(_)))
                    };
                    let (overtaken, pending) = self.pending.drain(..).partition(is_overtaken);
                    self.overtaken = overtaken;
                    self.pending = pending;
                }
                self.pending.push((task, ticket, Some(step)));
            }
        }
    }

    /// Only what is assigned is reported, and never lower than before.
    fn hear(&mut self, report: v1::Report) {
        for observed in &report.tasks {
            let id = Id::from_bytes(&observed.task_id);
            assert!(self.ever.contains(&id), "a report of {id}, which nobody assigned");
            assert!(observed.state() >= v1::TaskState::Accepted);
        }
        self.reports.push(report);
    }

    fn record(&mut self, observed: &v1::TaskObserved) {
        let id = Id::from_bytes(&observed.task_id);
        match self.cluster.wishes.get_mut(&id) {
            Some(wish) => {
                assert!(observed.state() >= wish.recorded, "reports never go back");
                wish.recorded = observed.state();
            }
            // Of a history that is no more: somebody decides that it goes.
            None if !self.cluster.touched.contains_key(&id) => self.touch(id),
            None => {}
        }
    }

    fn nth_task(&self, n: usize) -> Option<Id> {
        let wishes = &self.cluster.wishes;
        wishes.keys().nth(n % wishes.len().max(1)).copied()
    }

    fn touch(&mut self, id: Id) {
        self.cluster.revision += 1;
        self.cluster.touched.insert(id, self.cluster.revision);
    }

    fn assignment(&self, id: Id, wish: &Wish) -> v1::Assignment {
        let task =
            v1::TaskAssignment { recorded: wish.recorded.into(), ..v1::TaskAssignment::default() };
        v1::Assignment { task_id: id.to_bytes(), desired: wish.desired.into(), task: Some(task) }
    }

    fn message(&self, after: Option<u64>) -> v1::Assignments {
        let ModelCluster { incarnation, revision, wishes, touched } = &self.cluster;
        let since = after.unwrap_or(0);
        let is_new = |id: &Id| after.is_none() || touched.get(id).is_some_and(|at| *at > since);
        let changed = wishes
            .iter()
            .filter(|(id, _)| is_new(id))
            .map(|(id, w)| self.assignment(*id, w))
            .collect();
        // A whole set names them too: an agent may have them from a history that this one does not
        // know.
        let gone = touched.keys().filter(|id| is_new(id) && !wishes.contains_key(id));
        v1::Assignments {
            complete: after.is_none(),
            incarnation: *incarnation,
            lineage: 100 + *incarnation,
            revision: *revision,
            after_revision: since,
            changed,
            removed_ids: gone.map(|id| id.to_bytes()).collect(),
            ..v1::Assignments::default()
        }
    }

    fn deliver(&mut self, whole: bool) {
        let Some(told) = self.told.filter(|told| whole || *told != self.cluster.revision) else {
            return;
        };
        let message = self.message((!whole && told > 0).then_some(told));
        self.told = Some(self.cluster.revision);
        self.note(&message);
        for part in in_parts(message) {
            self.sent.push(part.clone());
            self.send(to_agent::Message::Assignments(part));
        }
    }

    /// Remembers what the message gives the agent a right to do.
    fn note(&mut self, message: &v1::Assignments) {
        let changed = message.changed.iter().map(|a| (Id::from_bytes(&a.task_id), a.desired()));
        let changed: BTreeMap<Id, v1::TaskState> = changed.collect();
        if message.complete {
            let of_this =
                self.named.iter().filter(|(_, incarnation)| **incarnation == message.incarnation);
            let absent = of_this.map(|(id, _)| *id).filter(|id| !changed.contains_key(id));
            self.condemned.extend(absent);
        }
        self.condemned.extend(message.removed_ids.iter().map(|id| Id::from_bytes(id)));
        for (id, desired) in changed {
            self.ever.insert(id);
            let before = self.named.insert(id, message.incarnation);
            if before != Some(message.incarnation) && !self.engine.containers.contains_key(&id) {
                // Nothing is left of what a history that is no more had run.
                self.engine.starts.remove(&id);
            }
            if desired >= v1::TaskState::Shutdown {
                self.condemned.insert(id);
            }
        }
    }

    fn send(&mut self, message: to_agent::Message) {
        let message = Box::new(v1::ToAgent { message: Some(message) });
        self.input(Input::Received { line: self.line, message });
    }

    fn attach(&mut self) {
        if self.core.is_attached() {
            return;
        }
        self.pass(8_000);
        self.input(Input::Connected { line: self.line });
        let welcome = v1::Welcome {
            node_id: NODE.to_bytes(),
            cluster_id: Id(5).to_bytes(),
            heartbeat_period_ns: 5_000_000_000,
            session: 1,
            ..v1::Welcome::default()
        };
        self.send(to_agent::Message::Welcome(welcome));
    }

    fn restart(&mut self) {
        let identity = self.core.link.identity.clone();
        self.core = Core::new(identity, self.memory.clone(), 2);
        self.pending.clear();
        self.overtaken.clear();
        self.close();
        self.input(Input::Described(Box::default()));
    }

    fn answer(&mut self, n: usize, away: bool) {
        if self.pending.is_empty() {
            return;
        }
        let (task, ticket, step) = self.pending.remove(n % self.pending.len());
        self.outcome(task, ticket, step, away);
    }

    fn answer_late(&mut self, n: usize) {
        if self.overtaken.is_empty() {
            return;
        }
        let (task, ticket, step) = self.overtaken.remove(n % self.overtaken.len());
        let is_stop = |(id, _, step): &PendingStep| {
            *id == task && matches!(step, Some(TaskStep::Stop { .. }))
        };
        if self.pending.iter().any(is_stop) {
            // The engine got to it before the stop.
            return self.outcome(task, ticket, step, false);
        }
        let outcome = match step {
            Some(TaskStep::Start(_)) => StepOutcome::Started(Ok(Started::default())),
            Some(_) | None => StepOutcome::Prepared(Ok(Prepared::default())),
        };
        self.input(Input::Done { task, ticket, outcome });
    }

    fn outcome(&mut self, task: Id, ticket: u64, step: Option<TaskStep>, away: bool) {
        match self.engine.answer(task, step.as_ref(), away) {
            Some(outcome) => self.input(Input::Done { task, ticket, outcome }),
            // It has not ended yet.
            None => self.pending.push((task, ticket, step)),
        }
    }

    pub(super) fn act(&mut self, op: ModelOp) {
        match op {
            ModelOp::Create => {
                self.made += 1;
                let wish =
                    Wish { desired: v1::TaskState::Ready, recorded: v1::TaskState::Assigned };
                self.cluster.wishes.insert(Id(self.made), wish);
                self.touch(Id(self.made));
            }
            ModelOp::Want(n, state) => {
                let Some(id) = self.nth_task(n) else { return };
                let wish = self.cluster.wishes.get_mut(&id).expect("it is one of them");
                wish.desired = wish.desired.max(state);
                self.touch(id);
            }
            ModelOp::Remove(n) => {
                let Some(id) = self.nth_task(n) else { return };
                self.cluster.wishes.remove(&id);
                self.touch(id);
            }
            ModelOp::BackUp => self.backup = self.cluster.clone(),
            ModelOp::Restore => {
                self.act(ModelOp::Break);
                let incarnation = self.cluster.incarnation + 1;
                let revision = self.backup.revision + 1;
                self.cluster = ModelCluster { incarnation, revision, ..self.backup.clone() };
            }
            ModelOp::Deliver => self.deliver(false),
            ModelOp::DeliverWhole => self.deliver(true),
            ModelOp::Again(n) => self.again(n),
            ModelOp::Break => {
                self.close();
                self.input(Input::Broken { line: self.line });
            }
            ModelOp::Attach => self.attach(),
            ModelOp::Restart => self.restart(),
            ModelOp::Acknowledge => {
                if let Some(report) = self.reports.pop() {
                    report.tasks.iter().for_each(|observed| self.record(observed));
                    self.send(to_agent::Message::Ack(v1::ReportAck { number: report.number }));
                }
            }
            ModelOp::Answer(n) => self.answer(n, false),
            ModelOp::FindAway(n) => self.answer(n, true),
            ModelOp::AnswerLate(n) => self.answer_late(n),
            ModelOp::EndItself(n) => {
                if let Some(id) = self.engine.containers.keys().nth(n).copied() {
                    self.engine.end(id, v1::EndCause::Itself);
                }
            }
            ModelOp::Pass(ms) => self.pass(ms),
        }
    }

    /// A message that was sent before comes once more: nothing may change. AGENT-3, AGENT-4.
    fn again(&mut self, n: usize) {
        if !self.core.is_attached() || self.sent.is_empty() {
            return;
        }
        let message = self.sent[n % self.sent.len()].clone();
        let position = self.core.position();
        if (message.incarnation, message.revision) > (position.incarnation, position.revision.0) {
            return; // It was lost, and is news.
        }
        let before: Vec<_> = self.core.tasks().collect();
        let (memory, pending) = (self.memory.clone(), self.pending.clone());
        self.send(to_agent::Message::Assignments(message));
        assert_eq!(self.core.tasks().collect::<Vec<_>>(), before);
        assert_eq!(
            (self.core.position(), &self.memory, &self.pending),
            (position, &memory, &pending)
        );
    }

    /// From here on all goes well; in the end everything is as the cluster wants it.
    pub(super) fn heal(&mut self) {
        for _ in 0..60 {
            self.attach();
            self.deliver(false);
            self.act(ModelOp::Acknowledge);
            for n in 0..self.pending.len() {
                self.answer(n, false);
            }
            self.pass(31_000);
        }
        for (id, wish) in &self.cluster.wishes {
            let (_, state, _) =
                self.core.tasks().find(|(task, ..)| task == id).expect("it is assigned");
            assert_eq!(state, wish.recorded, "{id}: what was seen has been told");
            let runs = self.engine.runs(*id);
            if wish.desired <= v1::TaskState::Ready {
                // What was started in a history that is no more goes on.
                let may_run = self.cluster.incarnation > 1;
                assert!((may_run || !runs) && state >= v1::TaskState::Ready, "{id} {state:?}");
            } else if wish.desired <= v1::TaskState::Running {
                assert!(
                    runs == (state == v1::TaskState::Running) && state >= v1::TaskState::Running,
                    "{id} {state:?}"
                );
            } else {
                assert!(!runs && state >= v1::TaskState::Complete, "{id} {state:?}");
            }
        }
        let left: Vec<Id> = self
            .core
            .tasks()
            .map(|(id, ..)| id)
            .filter(|id| !self.cluster.wishes.contains_key(id))
            .collect();
        assert!(left.is_empty(), "left: {left:?}");
        assert!(
            self.engine.containers.keys().all(|id| self.cluster.wishes.contains_key(id)),
            "{:?}",
            self.engine.containers
        );
        assert!(
            self.engine.starts.values().all(|starts| *starts == 1),
            "started twice: {:?}",
            self.engine.starts
        );
        assert_eq!(
            self.memory.tasks.len(),
            self.cluster.wishes.len(),
            "nothing is remembered for nothing"
        );
    }
}

/// Every task in a part of its own.
fn in_parts(message: v1::Assignments) -> Vec<v1::Assignments> {
    let last = message.changed.len().saturating_sub(1);
    if last == 0 {
        return vec![message];
    }
    let part = |(index, assignment): (usize, &v1::Assignment)| {
        let more = index < last;
        let removed_ids = if more { Vec::new() } else { message.removed_ids.clone() };
        let part = u32::try_from(index).expect("a few tasks");
        v1::Assignments {
            changed: vec![assignment.clone()],
            removed_ids,
            part,
            more,
            ..message.clone()
        }
    };
    message.changed.iter().enumerate().map(part).collect()
}
