//! One task: what is wanted of it, what was seen of it, and from both the next single step. PURE.
//!
//! | state | goes on when | to |
//! |---|---|---|
//! | ASSIGNED | at once | ACCEPTED |
//! | ACCEPTED | more is desired | PREPARING |
//! | PREPARING | the runtime prepared it; cannot ever: REJECTED | READY |
//! | READY | RUNNING (or COMPLETE) is desired | STARTING |
//! | STARTING | it runs and is healthy; ended: as below | RUNNING |
//! | RUNNING | it ended: by itself with 0 COMPLETE, else FAILED | |
//! | any of these | SHUTDOWN or more is desired, and it was stopped | SHUTDOWN |
//!
//! States only ever go up, and stay where they are at the first of the last five.

use super::{
    action::TaskStep,
    effort::{Effort, StepKind},
    memory::{RememberedTask, TaskStanding},
    service::Service,
    verdict::{self, TaskVerdict},
};
use crate::runtime::{FoundState, FoundTask, Started, Workload};
use skep_proto::{
    Id, Timestamp, defaults,
    v1::{ContainerStatus, TaskObserved, TaskState},
};

/// How far the runtime got with a task, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum RuntimeStage {
    /// There is nothing of it.
    Nothing,
    /// It only has to be started.
    Prepared,
    /// It was started, and may have ended.
    Started,
}

/// What has to be done next.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum NextStep {
    /// Nothing, until something happens.
    Rest,
    /// It has come to this state.
    Raise(TaskState),
    /// It is over.
    Finish(TaskVerdict),
    /// The runtime must take this step.
    Take(StepKind),
    /// Nothing is left of it.
    Forget,
}

impl NextStep {
    /// The step that an effort asks for; without one the task rests.
    fn of(step: Option<StepKind>) -> NextStep {
        step.map_or(NextStep::Rest, NextStep::Take)
    }
}

/// A task of this node.
#[derive(Clone, Debug)]
pub(crate) struct AgentTask {
    pub(crate) workload: Workload,
    pub(crate) desired: TaskState,
    pub(crate) standing: TaskStanding,
    pub(crate) observed: TaskObserved,
    /// `observed` has changed since it was last reported.
    pub(crate) news: bool,
    pub(crate) seen: RuntimeStage,
    /// The runtime may have something of it.
    pub(crate) begun: bool,
    pub(crate) stopped: bool,
    pub(crate) removed: bool,
    /// It has ended for the cluster, and was found running after the agent's start.
    pub(crate) runs_on: bool,
    /// It cannot go on, and has to be stopped first.
    pub(crate) failing: Option<TaskVerdict>,
    /// The step that is being taken or tried again: one at a time.
    pub(crate) step: Effort,
    /// Waiting for it to be healthy.
    pub(crate) ready: Effort,
    /// Waiting for it to end.
    pub(crate) end: Effort,
}

impl AgentTask {
    /// A task that was just assigned. `recorded` is what the cluster knows of it already.
    pub(crate) fn new(workload: Workload, desired: TaskState, recorded: TaskState) -> AgentTask {
        let task_id = workload.task_id.to_bytes();
        let state = recorded.max(TaskState::Assigned);
        let observed = TaskObserved { task_id, state: state.into(), ..TaskObserved::default() };
        AgentTask::with(workload, desired, TaskStanding::Wanted, observed)
    }

    /// A task as it was remembered.
    pub(crate) fn restored(
        node: Id,
        id: Id,
        kept: &RememberedTask,
        service: &Service,
    ) -> AgentTask {
        let mut observed = kept.observed.clone();
        let state = observed.state().max(kept.task.recorded()).max(TaskState::Assigned);
        observed.task_id = id.to_bytes();
        observed.state = state.into();
        AgentTask::with(
            service.workload(node, id, &kept.task),
            kept.desired,
            kept.standing,
            observed,
        )
    }

    /// Something the runtime has for a task that nobody here knows: it is cleared away.
    pub(crate) fn stray(node: Id, id: Id) -> AgentTask {
        let workload = Workload { task_id: id, node_id: node, ..Workload::default() };
        let mut task = AgentTask::new(workload, TaskState::Remove, TaskState::Assigned);
        task.standing = TaskStanding::Dropped;
        task.begun = true;
        task
    }

    fn with(
        workload: Workload,
        desired: TaskState,
        standing: TaskStanding,
        observed: TaskObserved,
    ) -> AgentTask {
        let begun = observed.state() >= TaskState::Preparing;
        AgentTask {
            workload,
            desired,
            standing,
            observed,
            news: false,
            seen: RuntimeStage::Nothing,
            begun,
            stopped: false,
            removed: false,
            runs_on: false,
            failing: None,
            step: Effort::default(),
            ready: Effort::default(),
            end: Effort::default(),
        }
    }

    pub(crate) fn state(&self) -> TaskState {
        self.observed.state()
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.state() >= TaskState::Complete
    }

    /// What it ends with once it has been stopped; none while it may go on. A stop that was begun
    /// is not taken back.
    pub(crate) fn ending(&self) -> Option<TaskVerdict> {
        let asked =
            self.desired >= TaskState::Shutdown || self.stopped || self.step.is_for(StepKind::Stop);
        let shutdown = || TaskVerdict { state: TaskState::Shutdown, error: String::new() };
        self.failing.clone().or_else(|| asked.then(shutdown))
    }

    /// The next single step.
    pub(crate) fn next(&self) -> NextStep {
        if self.standing == TaskStanding::Dropped {
            return self.next_of_dropped();
        }
        if self.is_terminal() {
            let stop = self.step.take(StepKind::Stop).filter(|_| self.must_stop());
            return NextStep::of(stop);
        }
        if let Some(ending) = self.ending() {
            return self.next_of_ending(ending);
        }
        match (self.state(), self.seen) {
            (TaskState::New | TaskState::Pending | TaskState::Assigned, _) => {
                NextStep::Raise(TaskState::Accepted)
            }
            (TaskState::Accepted, _) if self.desired > TaskState::Accepted => {
                NextStep::Raise(TaskState::Preparing)
            }
            (TaskState::Accepted, _) => NextStep::Rest,
            (TaskState::Preparing | TaskState::Ready, RuntimeStage::Nothing) => {
                NextStep::of(self.step.take(StepKind::Prepare))
            }
            (TaskState::Preparing, RuntimeStage::Prepared | RuntimeStage::Started) => {
                NextStep::Raise(TaskState::Ready)
            }
            (TaskState::Ready, _) if self.desired > TaskState::Ready => {
                NextStep::Raise(TaskState::Starting)
            }
            (TaskState::Ready, _) => NextStep::Rest,
            (TaskState::Starting, RuntimeStage::Prepared) => {
                NextStep::of(self.step.take(StepKind::Start))
            }
            (TaskState::Starting, RuntimeStage::Started) => {
                let end = self.end.take(StepKind::AwaitEnd);
                NextStep::of(end.or_else(|| self.ready.take(StepKind::AwaitReady)))
            }
            (TaskState::Running, RuntimeStage::Started) => {
                NextStep::of(self.end.take(StepKind::AwaitEnd))
            }
            (TaskState::Starting, RuntimeStage::Nothing)
            | (TaskState::Running, RuntimeStage::Nothing | RuntimeStage::Prepared) => {
                NextStep::Finish(TaskVerdict {
                    state: TaskState::Failed,
                    error: verdict::LOST.into(),
                })
            }
            (
                TaskState::Complete
                | TaskState::Shutdown
                | TaskState::Failed
                | TaskState::Rejected
                | TaskState::Remove
                | TaskState::Orphaned,
                _,
            ) => NextStep::Rest,
        }
    }

    /// Stop, then hear how it ended, then say so.
    fn next_of_ending(&self, ending: TaskVerdict) -> NextStep {
        if !self.begun {
            return NextStep::Finish(ending);
        }
        match (self.stopped, self.seen) {
            (false, _) => NextStep::of(self.step.take(StepKind::Stop)),
            (true, RuntimeStage::Started) => NextStep::of(self.end.take(StepKind::AwaitEnd)),
            (true, RuntimeStage::Nothing | RuntimeStage::Prepared) => NextStep::Finish(ending),
        }
    }

    fn next_of_dropped(&self) -> NextStep {
        if !self.begun || self.removed {
            NextStep::Forget
        } else if !self.must_stop() {
            NextStep::of(self.step.take(StepKind::Remove))
        } else {
            NextStep::of(self.step.take(StepKind::Stop))
        }
    }

    /// Whether its program may run. What has ended by itself does not, but the cluster rejects
    /// tasks that run, and an agent that has lost its journal only knows that such a task is over.
    fn must_stop(&self) -> bool {
        !self.stopped && (self.runs_on || !self.is_terminal())
    }

    /// It has come to `state`; a lower state than it had changes nothing.
    pub(crate) fn raise(&mut self, state: TaskState, now: Timestamp) {
        if state > self.state() {
            self.observed.state = state.into();
            self.observed.observed_at = now.0;
            self.observed.message.clear();
            self.news = true;
        }
    }

    /// It is over: nothing that is still being waited for matters any more.
    pub(crate) fn finish(&mut self, ending: TaskVerdict, now: Timestamp) {
        self.raise(ending.state, now);
        self.observed.error = ending.error;
        self.rest();
    }

    /// Whatever is being tried is tried no more. A removal that was begun is still awaited: where
    /// the task is dropped once more it need not be asked for again.
    pub(crate) fn rest(&mut self) {
        if !self.step.is_for(StepKind::Remove) {
            self.step = Effort::default();
        }
        self.ready = Effort::default();
        self.end = Effort::default();
    }

    /// A message for people about the state it is in; the same message again is not reported.
    pub(crate) fn say(&mut self, message: String, now: Timestamp) {
        if self.observed.message != message {
            self.observed.message = message;
            self.observed.observed_at = now.0;
            self.news = true;
        }
    }

    pub(crate) fn container(&mut self) -> &mut ContainerStatus {
        self.observed.container.get_or_insert_default()
    }

    pub(crate) fn on_started(&mut self, started: &Started) {
        self.seen = RuntimeStage::Started;
        let container = self.container();
        container.container_ref.clone_from(&started.container_ref);
        container.pid = started.pid;
        container.ports.clone_from(&started.ports);
    }

    /// What the runtime has of it, found after a restart.
    pub(crate) fn adopt(&mut self, found: &FoundTask) {
        self.begun = true;
        if !found.image_digest.is_empty() && !self.is_terminal() {
            self.container().image_digest.clone_from(&found.image_digest);
        }
        match &found.state {
            FoundState::Created => self.seen = RuntimeStage::Prepared,
            FoundState::Running(started) | FoundState::Ended(started, _) if !self.is_terminal() => {
                self.on_started(started)
            }
            FoundState::Running(_) => (self.seen, self.runs_on) = (RuntimeStage::Started, true),
            FoundState::Ended(..) => self.seen = RuntimeStage::Started,
            // Each step looks before it does anything, and is taken again until it can look.
            FoundState::Unreadable(_) if self.state() >= TaskState::Running => {
                self.seen = RuntimeStage::Started
            }
            FoundState::Unreadable(_) if self.state() == TaskState::Starting => {
                self.seen = RuntimeStage::Prepared
            }
            FoundState::Unreadable(_) => {}
        }
    }

    /// The step with all that the runtime needs for it.
    pub(crate) fn step(&self, kind: StepKind) -> TaskStep {
        let workload = || Box::new(self.workload.clone());
        match kind {
            StepKind::Prepare => TaskStep::Prepare(workload()),
            StepKind::Start => TaskStep::Start(workload()),
            StepKind::AwaitReady => TaskStep::AwaitReady(workload()),
            StepKind::AwaitEnd => TaskStep::AwaitEnd(workload()),
            StepKind::Stop => TaskStep::Stop { grace_ns: self.grace_ns() },
            StepKind::Remove => TaskStep::Remove,
        }
    }

    fn grace_ns(&self) -> u64 {
        defaults::container(&self.workload.spec)
            .map_or(defaults::STOP_GRACE_LIMIT_NS, defaults::stop_grace_ns)
    }

    /// Where the answer to a step of this kind is awaited.
    pub(crate) fn effort(&mut self, kind: StepKind) -> &mut Effort {
        match kind {
            StepKind::Prepare | StepKind::Start | StepKind::Stop | StepKind::Remove => {
                &mut self.step
            }
            StepKind::AwaitReady => &mut self.ready,
            StepKind::AwaitEnd => &mut self.end,
        }
    }
}

#[cfg(test)]
mod tests;
