//! A node's container engine: it outlives the agent, and it fails, hangs and lies as engines do.
//!
//! An answer comes some time after the step took effect. While the engine is away nothing can be
//! asked of it, but its containers run on; while it hangs its answers are late, and while it is
//! stuck those to creations and starts alone. Programs that crash
//! or cannot be pulled do so only as long as things go wrong: when the faults are over the world is
//! well, and everything wanted can run.

use super::dice::Dice;
use skep_agent::{
    core::action::{Action, StepOutcome, TaskStep},
    runtime::{FoundState, FoundTask, Proof, RuntimeError, Started, TaskEnd, Workload},
};
use skep_proto::{Id, Timestamp, defaults, time::SECOND_NS, v1::EndCause};
use std::collections::{BTreeMap, BTreeSet};

/// An answer takes so long at most when nothing is wrong.
const ANSWER_NS_MAX: u64 = SECOND_NS / 20;
/// A slow answer takes so long at most.
const SLOW_NS_MAX: u64 = 40 * SECOND_NS;
/// A refusal that is heard of twice is heard of again within this time.
const AGAIN_NS_MAX: u64 = 2 * SECOND_NS;
/// A program that ends by itself does so within this time.
const LIFE_NS_MAX: u64 = 12 * SECOND_NS;

/// Whether things go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    /// Steps fail, answers are late, programs crash.
    Rough,
    /// All is well.
    Calm,
}

/// What an engine will do or say.
#[derive(Clone, Debug)]
pub enum EngineEvent {
    /// A step takes effect; its answer follows.
    Effect {
        /// As the agent named it.
        action: Box<Action>,
        /// How long after the effect the answer is given.
        answered_after: u64,
    },
    /// An answer reaches the agent.
    Answer {
        /// As the action named it.
        task: Id,
        /// As the action named it.
        ticket: u64,
        /// What came of it.
        outcome: Box<StepOutcome>,
    },
    /// A container ends.
    Exit {
        /// Whose.
        task: Id,
        /// How.
        ended: TaskEnd,
    },
}

/// Something that follows, so many nanoseconds later.
pub type Follows = Vec<(u64, EngineEvent)>;

/// One container.
#[derive(Clone, Debug)]
pub struct SimulatedContainer {
    /// Whose task it is, and what it runs.
    pub workload: Workload,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// How it ended.
    pub ended: Option<TaskEnd>,
    /// Tickets of those who wait for its end.
    waiters: Vec<u64>,
}

impl SimulatedContainer {
    /// Whether its program runs.
    pub fn runs(&self) -> bool {
        self.started_at.is_some() && self.ended.is_none()
    }
}

/// The engine of one node.
#[derive(Default)]
pub struct SimulatedEngine {
    /// All that it has.
    pub containers: BTreeMap<Id, SimulatedContainer>,
    /// Containers that began to run since somebody looked.
    pub began: Vec<Id>,
    /// Stops that were asked for since somebody looked, and the time that each gives.
    pub stops: Vec<(Id, u64)>,
    /// Containers that were removed while they ran, since somebody looked.
    pub killed: Vec<Id>,
    removed: BTreeSet<Id>,
    away_until: Timestamp,
    hangs_until: Timestamp,
    stuck_until: Timestamp,
}

impl SimulatedEngine {
    /// Nobody can reach it until then.
    pub fn go_away(&mut self, until: Timestamp) {
        self.away_until = self.away_until.max(until);
    }

    /// For how long nobody can reach it from now on.
    pub fn away_for(&self, now: Timestamp) -> u64 {
        self.away_until.since(now)
    }

    /// What is asked of it is answered only then.
    pub fn hang(&mut self, until: Timestamp) {
        self.hangs_until = self.hangs_until.max(until);
    }

    /// It answers until then, and creates and starts nothing: what it starts containers with hangs.
    pub fn get_stuck(&mut self, until: Timestamp) {
        self.stuck_until = self.stuck_until.max(until);
    }

    /// For how long it creates and starts nothing from now on.
    pub fn stuck_for(&self, now: Timestamp) -> u64 {
        self.stuck_until.since(now)
    }

    /// The agent's process is gone: nobody waits for an answer any more.
    pub fn forget_waiters(&mut self) {
        self.containers.values_mut().for_each(|container| container.waiters.clear());
    }

    /// A step is asked for.
    pub fn ask(
        &mut self,
        action: Action,
        weather: Weather,
        now: Timestamp,
        dice: &mut Dice,
    ) -> Follows {
        let soon = dice.below(ANSWER_NS_MAX);
        if let Action::Step { task, step: TaskStep::Stop { grace_ns }, .. } = &action {
            self.stops.push((*task, *grace_ns));
        }
        if weather == Weather::Rough {
            let error = if now < self.away_until {
                Some(RuntimeError::Unreachable("no engine".into()))
            } else if dice.once_in(40) {
                Some(match dice.below(3) {
                    0 => RuntimeError::Failed("the engine said no".into()),
                    _ => RuntimeError::Unreachable("the engine is busy".into()),
                })
            } else {
                None
            };
            if let Some(error) = error {
                let refused = refused(&action, error);
                let mut follows = vec![(soon, refused.clone())];
                // It is heard of once more, when the step may have been asked for again.
                if dice.once_in(8) {
                    follows.push((soon + dice.below(AGAIN_NS_MAX), refused));
                }
                return follows;
            }
        }
        let begins_something =
            matches!(&action, Action::Step { step: TaskStep::Prepare(_) | TaskStep::Start(_), .. });
        let stuck = if begins_something { self.stuck_for(now) } else { 0 };
        let hang = match weather {
            Weather::Rough => self.hangs_until.since(now).max(stuck),
            Weather::Calm => 0,
        };
        let slow = weather == Weather::Rough && dice.once_in(25);
        let late = if slow { dice.below(SLOW_NS_MAX) } else { 0 };
        // Either the step itself is late or only its answer.
        let (before, after) = if dice.once_in(2) { (hang + late, 0) } else { (hang, late) };
        let effect =
            EngineEvent::Effect { action: Box::new(action), answered_after: soon / 2 + after };
        vec![(before + soon / 2, effect)]
    }

    /// A step takes effect.
    pub fn effect(
        &mut self,
        action: Action,
        answered_after: u64,
        weather: Weather,
        now: Timestamp,
        dice: &mut Dice,
    ) -> Follows {
        let mut follows = match action {
            Action::List { ticket, .. } => {
                let found =
                    self.containers.iter().map(|(id, container)| found(*id, container)).collect();
                vec![(0, answer(Id::NONE, ticket, StepOutcome::Listed(Ok(found))))]
            }
            Action::Step { task, ticket, step } => {
                self.step((task, ticket), step, weather, now, dice)
            }
        };
        for (after, event) in &mut follows {
            if matches!(event, EngineEvent::Answer { .. }) {
                *after += answered_after;
            }
        }
        // The same answer twice is an event that was delivered twice.
        if weather == Weather::Rough && dice.once_in(30) {
            let twice: Follows = follows
                .iter()
                .filter(|(_, event)| matches!(event, EngineEvent::Answer { .. }))
                .map(|(after, event)| (after + dice.below(SLOW_NS_MAX), event.clone()))
                .collect();
            follows.extend(twice);
        }
        follows
    }

    fn step(
        &mut self,
        (task, ticket): (Id, u64),
        step: TaskStep,
        weather: Weather,
        now: Timestamp,
        dice: &mut Dice,
    ) -> Follows {
        match step {
            TaskStep::Prepare(workload) => {
                vec![(0, answer(task, ticket, self.prepare(task, *workload, weather)))]
            }
            TaskStep::Start(_) => self.start(task, ticket, weather, now, dice),
            TaskStep::AwaitReady(_) => {
                let Some(container) = self.containers.get(&task) else { return Vec::new() };
                let ready =
                    if container.ended.is_some() { Err(RuntimeError::Gone) } else { Ok(()) };
                vec![(0, answer(task, ticket, StepOutcome::Ready(ready)))]
            }
            TaskStep::AwaitEnd(_) => self.await_end(task, ticket),
            TaskStep::Stop { grace_ns } => self.stop(task, ticket, grace_ns, dice),
            TaskStep::Remove => {
                if self.containers.get(&task).is_some_and(SimulatedContainer::runs) {
                    self.killed.push(task);
                }
                let mut follows = self.vanish(task);
                self.removed.insert(task);
                follows.push((1, answer(task, ticket, StepOutcome::Removed(Ok(())))));
                follows
            }
        }
    }

    fn prepare(&mut self, task: Id, workload: Workload, weather: Weather) -> StepOutcome {
        if weather == Weather::Rough && image(&workload) == "fail-pull" {
            return StepOutcome::Prepared(Err(RuntimeError::Rejected("no such image".into())));
        }
        // A create that would take effect after its removal: the runtime sees to it that nothing
        // stays.
        if !self.removed.contains(&task) {
            let made =
                SimulatedContainer { workload, started_at: None, ended: None, waiters: Vec::new() };
            self.containers.entry(task).or_insert(made);
        }
        StepOutcome::Prepared(Ok(Default::default()))
    }

    fn start(
        &mut self,
        task: Id,
        ticket: u64,
        weather: Weather,
        now: Timestamp,
        dice: &mut Dice,
    ) -> Follows {
        let Some(container) = self.containers.get_mut(&task) else {
            return vec![(0, answer(task, ticket, StepOutcome::Started(Err(RuntimeError::Gone))))];
        };
        let mut follows = vec![(0, answer(task, ticket, StepOutcome::Started(Ok(started(task)))))];
        if container.started_at.is_none() && container.ended.is_none() {
            container.started_at = Some(now);
            self.began.push(task);
            let code =
                image(&container.workload).strip_prefix("exit:").and_then(|code| code.parse().ok());
            if let (Some(code), Weather::Rough) = (code, weather) {
                follows.push((
                    dice.below(LIFE_NS_MAX),
                    EngineEvent::Exit { task, ended: exited(code) },
                ));
            }
        }
        follows
    }

    fn await_end(&mut self, task: Id, ticket: u64) -> Follows {
        match self.containers.get_mut(&task) {
            None => vec![(0, answer(task, ticket, StepOutcome::Ended(Err(RuntimeError::Gone))))],
            Some(container) => match &container.ended {
                Some(ended) => {
                    vec![(0, answer(task, ticket, StepOutcome::Ended(Ok(ended.clone()))))]
                }
                None => {
                    container.waiters.push(ticket);
                    Vec::new()
                }
            },
        }
    }

    /// Most programs end when they are told to; some have to be killed when their grace is over.
    fn stop(&mut self, task: Id, ticket: u64, grace_ns: u64, dice: &mut Dice) -> Follows {
        let stubborn = dice.once_in(4);
        let takes = if stubborn { grace_ns } else { dice.below(grace_ns.clamp(1, 2 * SECOND_NS)) };
        let code = if stubborn { 137 } else { 143 };
        let ended = TaskEnd {
            exit_code: Some(code),
            signal: code - 128,
            cause: EndCause::Asked,
            ..TaskEnd::default()
        };
        match self.containers.get_mut(&task) {
            Some(container) if container.runs() => {
                vec![
                    (takes, EngineEvent::Exit { task, ended }),
                    (takes + 1, answer(task, ticket, StepOutcome::Stopped(Ok(())))),
                ]
            }
            Some(container) => {
                // What was created and never started can be started no more.
                container.ended.get_or_insert(ended);
                vec![(0, answer(task, ticket, StepOutcome::Stopped(Ok(()))))]
            }
            None => {
                self.removed.insert(task);
                vec![(0, answer(task, ticket, StepOutcome::Stopped(Ok(()))))]
            }
        }
    }

    /// A container ends, if it still runs; those who wait hear of it.
    pub fn exit(&mut self, task: Id, ended: TaskEnd) -> Follows {
        let Some(container) = self.containers.get_mut(&task).filter(|container| container.runs())
        else {
            return Vec::new();
        };
        container.ended = Some(ended.clone());
        let waiters = std::mem::take(&mut container.waiters);
        waiters
            .into_iter()
            .map(|ticket| (1, answer(task, ticket, StepOutcome::Ended(Ok(ended.clone())))))
            .collect()
    }

    /// Somebody removes a container behind the agent's back.
    pub fn vanish(&mut self, task: Id) -> Follows {
        let Some(container) = self.containers.remove(&task) else { return Vec::new() };
        let gone = TaskEnd { cause: EndCause::RemovedOutside, ..TaskEnd::default() };
        let waiters = container.waiters.into_iter();
        waiters
            .map(|ticket| (1, answer(task, ticket, StepOutcome::Ended(Ok(gone.clone())))))
            .collect()
    }

    /// Tasks whose container runs.
    pub fn running(&self) -> Vec<Id> {
        let running = self.containers.iter().filter(|(_, container)| container.runs());
        running.map(|(task, _)| *task).collect()
    }
}

/// A program's own end.
pub fn exited(code: i32) -> TaskEnd {
    TaskEnd { exit_code: Some(code), cause: EndCause::Itself, ..TaskEnd::default() }
}

/// The program of a workload.
pub fn image(workload: &Workload) -> &str {
    defaults::container(&workload.spec).map_or("", |container| container.image.as_str())
}

fn answer(task: Id, ticket: u64, outcome: StepOutcome) -> EngineEvent {
    EngineEvent::Answer { task, ticket, outcome: Box::new(outcome) }
}

fn refused(action: &Action, error: RuntimeError) -> EngineEvent {
    let (task, ticket, outcome) = match action {
        Action::List { ticket, .. } => (Id::NONE, *ticket, StepOutcome::Listed(Err(error))),
        Action::Step { task, ticket, step } => {
            let unreachable = RuntimeError::Unreachable("the engine is busy".into());
            let outcome = match step {
                TaskStep::Prepare(_) => StepOutcome::Prepared(Err(error)),
                TaskStep::Start(_) => StepOutcome::Started(Err(error)),
                TaskStep::AwaitReady(_) => StepOutcome::Ready(Err(unreachable)),
                TaskStep::AwaitEnd(_) => StepOutcome::Ended(Err(unreachable)),
                TaskStep::Stop { .. } => StepOutcome::Stopped(Err(unreachable)),
                TaskStep::Remove => StepOutcome::Removed(Err(unreachable)),
            };
            (*task, *ticket, outcome)
        }
    };
    answer(task, ticket, outcome)
}

fn started(task: Id) -> Started {
    Started { container_ref: task.to_string(), pid: 1, ports: Vec::new() }
}

fn found(task_id: Id, container: &SimulatedContainer) -> FoundTask {
    let state = match (&container.ended, container.started_at) {
        (Some(ended), _) => FoundState::Ended(started(task_id), ended.clone()),
        (None, Some(_)) => FoundState::Running(started(task_id)),
        (None, None) => FoundState::Created,
    };
    FoundTask { task_id, image_digest: String::new(), proof: Proof::Recorded, state }
}
