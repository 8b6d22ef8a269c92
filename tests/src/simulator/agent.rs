//! One node: the real core over modelled containers and a journal that may lose its tail.

use super::dice::Dice;
use skep_agent::{
    core::{
        Core, Input, Output,
        action::{Action, Outcome, Step},
        link::Identity,
        memory::{Memory, Note},
    },
    runtime::{Ended, Found, FoundState, Proof, RuntimeError, Started, Workload},
};
use skep_proto::{
    Id, Timestamp,
    time::SECOND_NS,
    v1::{EndCause, NodeDescription, Platform, Resources, RuntimeKind},
};
use std::collections::BTreeMap;

/// Something the node will notice later.
#[derive(Clone, Debug)]
pub enum Later {
    /// An action is done.
    Done {
        /// As the action named it.
        task: Id,
        /// As the action named it.
        ticket: u64,
        /// What came of it.
        outcome: Box<Outcome>,
    },
    /// A container ends by itself.
    Exit {
        /// Whose.
        task: Id,
        /// With what.
        code: i32,
    },
}

/// A container as the engine has it: it outlives the agent.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its program.
    pub image: String,
    /// Whether it was started.
    pub started: bool,
    /// How it ended.
    pub ended: Option<Ended>,
    /// Who waits for its end.
    waiters: Vec<u64>,
}

/// One node.
pub struct Agent {
    /// The core; none while the process is down.
    pub core: Option<Core>,
    /// Its engine's containers.
    pub containers: BTreeMap<Id, Container>,
    /// Stops that the core asked for since the last look.
    pub stopped: Vec<Id>,
    identity: Identity,
    journal: Vec<Vec<Note>>,
    name: String,
    processes: u64,
}

impl Agent {
    /// A node that was never in any cluster.
    pub fn new(index: usize, dice: &mut Dice) -> Agent {
        let identity = Identity { secret: dice.bytes(), version: "sim".into(), ..Identity::default() };
        Agent {
            core: None,
            containers: BTreeMap::new(),
            stopped: Vec::new(),
            identity,
            journal: Vec::new(),
            name: format!("node{index}"),
            processes: 0,
        }
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id the cluster gave it.
    pub fn node(&self) -> Id {
        self.identity.node_id
    }

    /// The process starts, on what the journal kept.
    pub fn start(&mut self, dice: &mut Dice, now: Timestamp) {
        let mut memory = Memory::default();
        self.journal.iter().flatten().for_each(|note| memory.apply(note));
        self.processes += 1;
        self.identity.process = dice.roll();
        let mut core = Core::new(self.identity.clone(), memory, dice.roll());
        core.handle(Input::Described(Box::new(self.description())), now);
        self.core = Some(core);
    }

    /// The process dies; the journal's tail may be lost. Containers go on.
    pub fn crash(&mut self, dice: &mut Dice) {
        self.core = None;
        self.containers.values_mut().for_each(|container| container.waiters.clear());
        let lost = dice.below(3).min(self.journal.len() as u64) as usize;
        self.journal.truncate(self.journal.len() - lost);
    }

    /// What the core wants written is written; the rest is for the world.
    pub fn keep(&mut self, output: &Output) {
        match output {
            Output::Joined { node_id, cluster_id } => {
                self.identity.node_id = *node_id;
                self.identity.cluster_id = *cluster_id;
            }
            Output::Write(notes) => self.journal.push(notes.clone()),
            Output::Act(_)
            | Output::Dial { .. }
            | Output::Send(_)
            | Output::HangUp { .. }
            | Output::Logs(_)
            | Output::LogCancel { .. }
            | Output::Halt(_) => {}
        }
    }

    /// Takes a step as the engine would; what comes of it comes later, after the given time.
    pub fn act(&mut self, action: Action, dice: &mut Dice) -> Vec<(u64, Later)> {
        let soon = dice.below(SECOND_NS / 20);
        match action {
            Action::List { ticket, node: _ } => {
                let found = self.containers.iter().map(|(id, container)| found(*id, container)).collect();
                vec![(soon, done(Id::NONE, ticket, Outcome::Listed(Ok(found))))]
            }
            Action::Step { task, ticket, step } => match step {
                Step::Prepare(workload) => vec![(soon, done(task, ticket, self.prepare(task, &workload)))],
                Step::Start(_) => self.begin(task, ticket, soon, dice),
                Step::AwaitReady(_) => {
                    self.ready(task, ticket).map(|later| (soon, later)).into_iter().collect()
                }
                Step::AwaitEnd(_) => {
                    self.await_end(task, ticket).map(|later| (soon, later)).into_iter().collect()
                }
                Step::Stop { .. } => {
                    self.stopped.push(task);
                    let mut later = self.end(task, 143, EndCause::Asked, soon);
                    later.push((soon + 1, done(task, ticket, Outcome::Stopped(Ok(())))));
                    later
                }
                Step::Remove => {
                    self.containers.remove(&task);
                    vec![(soon, done(task, ticket, Outcome::Removed(Ok(()))))]
                }
            },
        }
    }

    /// A container ends by itself, if it still runs.
    pub fn exit(&mut self, task: Id, code: i32) -> Vec<(u64, Later)> {
        self.end(task, code, EndCause::Itself, 1)
    }

    fn prepare(&mut self, task: Id, workload: &Workload) -> Outcome {
        let image =
            skep_proto::defaults::container(&workload.spec).map(|c| c.image.clone()).unwrap_or_default();
        if image == "fail-pull" {
            return Outcome::Prepared(Err(RuntimeError::Rejected("no such image".into())));
        }
        let made = Container { image, started: false, ended: None, waiters: Vec::new() };
        self.containers.entry(task).or_insert(made);
        Outcome::Prepared(Ok(Default::default()))
    }

    fn begin(&mut self, task: Id, ticket: u64, soon: u64, dice: &mut Dice) -> Vec<(u64, Later)> {
        let Some(container) = self.containers.get_mut(&task) else {
            return vec![(soon, done(task, ticket, Outcome::Started(Err(RuntimeError::Gone))))];
        };
        let mut later = vec![(soon, done(task, ticket, Outcome::Started(Ok(started(task)))))];
        if !container.started {
            container.started = true;
            let code = container.image.strip_prefix("exit:").and_then(|code| code.parse().ok());
            if let Some(code) = code {
                later.push((soon + dice.below(3 * SECOND_NS), Later::Exit { task, code }));
            }
        }
        later
    }

    fn ready(&mut self, task: Id, ticket: u64) -> Option<Later> {
        let container = self.containers.get(&task)?;
        let ready = if container.ended.is_some() { Err(RuntimeError::Gone) } else { Ok(()) };
        Some(done(task, ticket, Outcome::Ready(ready)))
    }

    fn await_end(&mut self, task: Id, ticket: u64) -> Option<Later> {
        match self.containers.get_mut(&task) {
            None => Some(done(task, ticket, Outcome::Ended(Err(RuntimeError::Gone)))),
            Some(container) => match &container.ended {
                Some(ended) => Some(done(task, ticket, Outcome::Ended(Ok(ended.clone())))),
                None => {
                    container.waiters.push(ticket);
                    None
                }
            },
        }
    }

    fn end(&mut self, task: Id, code: i32, cause: EndCause, soon: u64) -> Vec<(u64, Later)> {
        let Some(container) = self.containers.get_mut(&task) else { return Vec::new() };
        if container.ended.is_some() {
            return Vec::new();
        }
        let signal = if code > 128 { code - 128 } else { 0 };
        let ended = Ended { exit_code: Some(code), signal, cause, ..Ended::default() };
        container.ended = Some(ended.clone());
        let waiters = std::mem::take(&mut container.waiters);
        waiters
            .into_iter()
            .map(|ticket| (soon, done(task, ticket, Outcome::Ended(Ok(ended.clone())))))
            .collect()
    }

    fn description(&self) -> NodeDescription {
        NodeDescription {
            hostname: self.name.clone(),
            platform: Some(Platform { architecture: "amd64".into(), os: "linux".into() }),
            resources: Some(Resources {
                nano_cpus: 4_000_000_000,
                memory_bytes: 8 << 30,
                generic: Vec::new(),
            }),
            runtime: RuntimeKind::Fake as i32,
            ..NodeDescription::default()
        }
    }
}

fn done(task: Id, ticket: u64, outcome: Outcome) -> Later {
    Later::Done { task, ticket, outcome: Box::new(outcome) }
}

fn started(task: Id) -> Started {
    Started { container_ref: task.to_string(), pid: 1, ports: Vec::new() }
}

fn found(task_id: Id, container: &Container) -> Found {
    let state = match (&container.ended, container.started) {
        (Some(ended), _) => FoundState::Ended(started(task_id), ended.clone()),
        (None, true) => FoundState::Running(started(task_id)),
        (None, false) => FoundState::Created,
    };
    Found { task_id, image_digest: String::new(), proof: Proof::Recorded, state }
}
