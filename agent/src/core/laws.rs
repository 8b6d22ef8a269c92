//! Laws of the core that hold whatever happens, in whatever order.
//!
//! A little cluster, which knows what it wants and sends it as a manager would, and a little engine, which does what it is
//! asked or is away, surround one core. Messages are lost with their session, sent again and sent late; the agent dies and comes
//! back with what it had written down. In the end everything is let go well, and must come to rest as the cluster wants it.

use super::{
    Core, Input, Output,
    action::{Action, Outcome, Step},
    link::Identity,
    memory::Memory,
};
use crate::runtime::{Ended, Found, FoundState, Prepared, RuntimeError, Started};
use proptest::prelude::*;
use skep_proto::{
    Id, Timestamp,
    v1::{
        Assignment, Assignments, EndCause, Report, ReportAck, TaskAssignment, TaskObserved, TaskState,
        ToAgent, Welcome, from_agent, to_agent,
    },
};
use std::collections::{BTreeMap, BTreeSet};

const NODE: Id = Id(1000);

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Op {
    Create,
    Want(usize, TaskState),
    Remove(usize),
    Deliver,
    DeliverWhole,
    Again(usize),
    Break,
    Attach,
    Restart,
    Acknowledge,
    Answer(usize),
    FindAway(usize),
    EndItself(usize),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Create),
        2 => (0..8usize, prop_oneof![Just(TaskState::Running), Just(TaskState::Shutdown), Just(TaskState::Remove)])
            .prop_map(|(n, state)| Op::Want(n, state)),
        1 => (0..8usize).prop_map(Op::Remove),
        4 => Just(Op::Deliver),
        1 => Just(Op::DeliverWhole),
        2 => (0..50usize).prop_map(Op::Again),
        1 => Just(Op::Break),
        3 => Just(Op::Attach),
        1 => Just(Op::Restart),
        3 => Just(Op::Acknowledge),
        9 => (0..9usize).prop_map(Op::Answer),
        2 => (0..9usize).prop_map(Op::FindAway),
        2 => (0..8usize).prop_map(Op::EndItself),
        2 => (1..40_000u64).prop_map(Op::Pass),
    ]
}

#[derive(Clone, Debug)]
struct Wish {
    desired: TaskState,
    recorded: TaskState,
}

#[derive(Clone, Debug, PartialEq)]
enum Container {
    Created,
    Running,
    Ended(Ended),
}

struct Scene {
    core: Core,
    memory: Memory,
    now: Timestamp,
    // the cluster
    wishes: BTreeMap<Id, Wish>,
    revision: u64,
    /// The revision at which each task changed or went last.
    touched: BTreeMap<Id, u64>,
    /// What the session has been told; none while there is none.
    told: Option<u64>,
    sent: Vec<Assignments>,
    ever: BTreeSet<Id>,
    line: u64,
    reports: Vec<Report>,
    // the engine
    containers: BTreeMap<Id, Container>,
    starts: BTreeMap<Id, u32>,
    pending: Vec<(Id, u64, Option<Step>)>,
}

impl Scene {
    fn new() -> Scene {
        let memory = Memory::default();
        let mut scene = Scene {
            core: Core::new(Identity::default(), memory.clone(), 1),
            memory,
            now: Timestamp(1_000_000_000),
            wishes: BTreeMap::new(),
            revision: 0,
            touched: BTreeMap::new(),
            told: None,
            sent: Vec::new(),
            ever: BTreeSet::new(),
            line: 0,
            reports: Vec::new(),
            containers: BTreeMap::new(),
            starts: BTreeMap::new(),
            pending: Vec::new(),
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
                Output::Joined { node_id, .. } => assert_eq!(node_id, NODE),
                Output::Write(notes) => notes.iter().for_each(|note| self.memory.apply(note)),
                Output::Act(action) => self.ask(action),
                Output::Dial { line } => self.line = line,
                Output::HangUp { .. } => self.close(),
                Output::Send(message) => match message.message.expect("a message") {
                    from_agent::Message::Hello(hello) => {
                        assert!(hello.revision <= self.revision);
                        self.told = Some(hello.revision);
                    }
                    from_agent::Message::Report(report) => self.hear(report),
                    from_agent::Message::Heartbeat(_) => {}
                    other @ (from_agent::Message::LogChunk(_) | from_agent::Message::Pull(_)) => {
                        panic!("{other:?}")
                    }
                },
                Output::Logs(_) | Output::LogCancel { .. } => {}
                Output::Halt(halt) => panic!("{halt}"),
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
                if matches!(step, Step::Stop { .. } | Step::Remove) {
                    let overtaken =
                        |step: &Option<Step>| matches!(step, Some(Step::Prepare(_) | Step::Start(_)));
                    self.pending.retain(|(id, _, step)| *id != task || !overtaken(step));
                }
                self.pending.push((task, ticket, Some(step)));
            }
        }
    }

    /// Only what is assigned is reported, and never lower than before.
    fn hear(&mut self, report: Report) {
        for observed in &report.tasks {
            let id = Id::from_bytes(&observed.task_id);
            assert!(self.ever.contains(&id), "a report of {id}, which nobody assigned");
            assert!(observed.state() >= TaskState::Accepted);
        }
        self.reports.push(report);
    }

    fn record(&mut self, observed: &TaskObserved) {
        if let Some(wish) = self.wishes.get_mut(&Id::from_bytes(&observed.task_id)) {
            assert!(observed.state() >= wish.recorded, "reports never go back");
            wish.recorded = observed.state();
        }
    }

    fn nth_task(&self, n: usize) -> Option<Id> {
        self.wishes.keys().nth(n % self.wishes.len().max(1)).copied()
    }

    fn touch(&mut self, id: Id) {
        self.revision += 1;
        self.touched.insert(id, self.revision);
    }

    fn assignment(&self, id: Id, wish: &Wish) -> Assignment {
        let task = TaskAssignment { recorded: wish.recorded.into(), ..TaskAssignment::default() };
        Assignment { task_id: id.to_bytes(), desired: wish.desired.into(), task: Some(task) }
    }

    fn message(&self, after: Option<u64>) -> Assignments {
        let since = after.unwrap_or(0);
        let is_new = |id: &Id| after.is_none() || self.touched.get(id).is_some_and(|at| *at > since);
        let changed =
            self.wishes.iter().filter(|(id, _)| is_new(id)).map(|(id, w)| self.assignment(*id, w)).collect();
        let gone = self.touched.iter().filter(|(id, at)| **at > since && !self.wishes.contains_key(id));
        Assignments {
            complete: after.is_none(),
            incarnation: 1,
            revision: self.revision,
            after_revision: since,
            changed,
            removed_ids: if after.is_some() {
                gone.map(|(id, _)| id.to_bytes()).collect()
            } else {
                Vec::new()
            },
        }
    }

    fn deliver(&mut self, whole: bool) {
        let Some(told) = self.told.filter(|told| whole || *told != self.revision) else { return };
        let message = self.message((!whole && told > 0).then_some(told));
        self.told = Some(self.revision);
        self.sent.push(message.clone());
        self.send(to_agent::Message::Assignments(message));
    }

    fn send(&mut self, message: to_agent::Message) {
        if let to_agent::Message::Assignments(assignments) = &message {
            self.ever.extend(assignments.changed.iter().map(|a| Id::from_bytes(&a.task_id)));
        }
        let message = Box::new(ToAgent { message: Some(message) });
        self.input(Input::Received { line: self.line, message });
    }

    fn attach(&mut self) {
        if self.core.is_attached() {
            return;
        }
        self.pass(8_000);
        self.input(Input::Connected { line: self.line });
        let welcome = Welcome {
            node_id: NODE.to_bytes(),
            cluster_id: Id(5).to_bytes(),
            heartbeat_period_ns: 5_000_000_000,
            session: 1,
        };
        self.send(to_agent::Message::Welcome(welcome));
    }

    fn restart(&mut self) {
        let identity = self.core.link.identity.clone();
        self.core = Core::new(identity, self.memory.clone(), 2);
        self.pending.clear();
        self.close();
        self.input(Input::Described(Box::default()));
    }

    fn answer(&mut self, n: usize, away: bool) {
        if self.pending.is_empty() {
            return;
        }
        let (task, ticket, step) = self.pending.remove(n % self.pending.len());
        let error = || RuntimeError::Unreachable("away".into());
        let outcome = match step.clone() {
            None if away => Outcome::Listed(Err(error())),
            None => Outcome::Listed(Ok(self.containers.iter().map(|(id, c)| found(*id, c)).collect())),
            Some(Step::Prepare(_)) if away => Outcome::Prepared(Err(error())),
            Some(Step::Prepare(_)) => {
                self.containers.entry(task).or_insert(Container::Created);
                Outcome::Prepared(Ok(Prepared::default()))
            }
            Some(Step::Start(_)) if away => Outcome::Started(Err(error())),
            Some(Step::Start(_)) => Outcome::Started(self.start(task)),
            Some(Step::AwaitReady(_)) => match self.containers.get(&task) {
                Some(Container::Running) => Outcome::Ready(Ok(())),
                Some(Container::Created | Container::Ended(_)) | None => {
                    Outcome::Ready(Err(RuntimeError::Gone))
                }
            },
            Some(Step::AwaitEnd(_)) => match self.containers.get(&task) {
                Some(Container::Ended(ended)) => Outcome::Ended(Ok(ended.clone())),
                None => Outcome::Ended(Err(RuntimeError::Gone)),
                Some(Container::Created | Container::Running) => {
                    self.pending.push((task, ticket, step));
                    return;
                }
            },
            Some(Step::Stop { .. }) if away => Outcome::Stopped(Err(error())),
            Some(Step::Stop { .. }) => {
                self.end(task, EndCause::Asked);
                Outcome::Stopped(Ok(()))
            }
            Some(Step::Remove) if away => Outcome::Removed(Err(error())),
            Some(Step::Remove) => {
                self.containers.remove(&task);
                Outcome::Removed(Ok(()))
            }
        };
        self.input(Input::Done { task, ticket, outcome });
    }

    fn start(&mut self, task: Id) -> Result<Started, RuntimeError> {
        match self.containers.get_mut(&task) {
            None => return Err(RuntimeError::Gone),
            Some(container @ Container::Created) => {
                *container = Container::Running;
                *self.starts.entry(task).or_default() += 1;
            }
            Some(Container::Running | Container::Ended(_)) => {}
        }
        Ok(Started::default())
    }

    fn end(&mut self, task: Id, cause: EndCause) {
        if let Some(container @ Container::Running) = self.containers.get_mut(&task) {
            *container = Container::Ended(Ended { exit_code: Some(0), cause, ..Ended::default() });
        }
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Create => {
                let id = Id(1 + self.touched.len() as u128);
                self.wishes.insert(id, Wish { desired: TaskState::Ready, recorded: TaskState::Assigned });
                self.touch(id);
            }
            Op::Want(n, state) => {
                let Some(id) = self.nth_task(n) else { return };
                let wish = self.wishes.get_mut(&id).expect("it is one of them");
                wish.desired = wish.desired.max(state);
                self.touch(id);
            }
            Op::Remove(n) => {
                let Some(id) = self.nth_task(n) else { return };
                self.wishes.remove(&id);
                self.touch(id);
            }
            Op::Deliver => self.deliver(false),
            Op::DeliverWhole => self.deliver(true),
            Op::Again(n) => self.again(n),
            Op::Break => {
                self.close();
                self.input(Input::Broken { line: self.line });
            }
            Op::Attach => self.attach(),
            Op::Restart => self.restart(),
            Op::Acknowledge => {
                if let Some(report) = self.reports.pop() {
                    report.tasks.iter().for_each(|observed| self.record(observed));
                    self.send(to_agent::Message::Ack(ReportAck { number: report.number }));
                }
            }
            Op::Answer(n) => self.answer(n, false),
            Op::FindAway(n) => self.answer(n, true),
            Op::EndItself(n) => {
                if let Some(id) = self.containers.keys().nth(n).copied() {
                    self.end(id, EndCause::Itself);
                }
            }
            Op::Pass(ms) => self.pass(ms),
        }
    }

    /// A message that was sent before comes once more: nothing may change. AGENT-3, AGENT-4.
    fn again(&mut self, n: usize) {
        if !self.core.is_attached() || self.sent.is_empty() {
            return;
        }
        let message = self.sent[n % self.sent.len()].clone();
        let position = self.core.position();
        if message.revision > position.revision.0 {
            return; // It was lost, and is news.
        }
        let before: Vec<_> = self.core.tasks().collect();
        let (memory, pending) = (self.memory.clone(), self.pending.clone());
        self.send(to_agent::Message::Assignments(message));
        assert_eq!(self.core.tasks().collect::<Vec<_>>(), before);
        assert_eq!((self.core.position(), &self.memory, &self.pending), (position, &memory, &pending));
    }

    /// From here on all goes well; in the end everything is as the cluster wants it.
    fn heal(&mut self) {
        for _ in 0..60 {
            self.attach();
            self.deliver(false);
            self.act(Op::Acknowledge);
            for n in 0..self.pending.len() {
                self.answer(n, false);
            }
            self.pass(31_000);
        }
        for (id, wish) in &self.wishes {
            let (_, state, _) = self.core.tasks().find(|(task, ..)| task == id).expect("it is assigned");
            assert_eq!(state, wish.recorded, "{id}: what was seen has been told");
            let runs = self.containers.get(id) == Some(&Container::Running);
            match wish.desired {
                TaskState::Ready => assert!(!runs && state >= TaskState::Ready, "{id} {state:?}"),
                TaskState::Running => {
                    assert!(runs == (state == TaskState::Running) && state >= TaskState::Running)
                }
                _ => assert!(!runs && state >= TaskState::Complete, "{id} {state:?}"),
            }
        }
        let left: Vec<Id> =
            self.core.tasks().map(|(id, ..)| id).filter(|id| !self.wishes.contains_key(id)).collect();
        assert!(left.is_empty(), "left: {left:?}");
        assert!(self.containers.keys().all(|id| self.wishes.contains_key(id)), "{:?}", self.containers);
        assert!(self.starts.values().all(|starts| *starts == 1), "started twice: {:?}", self.starts);
        assert_eq!(self.memory.tasks.len(), self.wishes.len(), "nothing is remembered for nothing");
    }
}

fn found(task_id: Id, container: &Container) -> Found {
    let state = match container {
        Container::Created => FoundState::Created,
        Container::Running => FoundState::Running(Started::default()),
        Container::Ended(ended) => FoundState::Ended(Started::default(), ended.clone()),
    };
    Found { task_id, image_digest: String::new(), state }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_only_what_is_assigned_runs_and_all_comes_right(ops in prop::collection::vec(op(), 1..120)) {
        let mut scene = Scene::new();
        for op in ops {
            scene.act(op);
        }
        scene.heal();
    }

    #[test]
    fn the_same_happening_twice_gives_the_same_outputs(ops in prop::collection::vec(op(), 1..60)) {
        let play = || {
            let mut scene = Scene::new();
            ops.iter().for_each(|op| scene.act(*op));
            format!("{:?} {:?} {:?}", scene.core, scene.memory, scene.pending)
        };
        prop_assert_eq!(play(), play());
    }
}
