//! All tasks of this node and what drives them: takes in assignments and answers, gives out actions
//! and notes. PURE.
//!
//! Each input touches a few tasks; those, and no others, are asked for their next step until they
//! have none. Nothing is asked of the runtime before it has said what it already has
//! ([`NodeWork::on_listed`]), so that a restart starts nothing twice.

use super::{
    action, effort, memory, outbox, parts,
    service::{self, Service},
    task,
    verdict::{self},
};
use crate::runtime::{FoundState, FoundTask, Proof, RuntimeError, TaskEnd};
use skep_proto::{
    Id, Lineage, Position, Timestamp,
    v1::{EndCause, Report, ServiceAssignment, TaskState},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Whether anybody knows what the runtime has.
#[derive(Debug)]
enum Listing {
    /// It is being asked.
    Asked(effort::Effort),
    /// It has said so.
    Known,
}

/// What the cluster has said since this agent began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReceivedSet {
    /// Nothing yet.
    Nothing,
    /// What is assigned: all else is not.
    Complete,
    /// A history that went back: nobody decided that what it does not name should stop.
    NewHistory,
}

/// The tasks of one node.
#[derive(Debug)]
pub(crate) struct NodeWork {
    pub(super) node: Id,
    pub(super) position: Position,
    /// Of the position's incarnation.
    pub(super) lineage: Lineage,
    pub(super) tasks: BTreeMap<Id, task::AgentTask>,
    /// What the runtime has and no task claims: cleared away when the cluster has spoken and did
    /// not name it.
    pub(super) strays: BTreeMap<Id, FoundTask>,
    pub(super) received: ReceivedSet,
    /// Tasks whose next step must be looked for.
    pub(super) touched: BTreeSet<Id>,
    pub(super) notes: Vec<memory::Note>,
    pub(super) outbox: outbox::Outbox,
    pub(super) services: service::Services,
    pub(super) parts: parts::PartCollector,
    listing: Listing,
    actions: VecDeque<action::Action>,
    tickets: u64,
    timers: BTreeSet<(Timestamp, Id)>,
    /// What the runtime noticed about tasks, as it was said last.
    noticed: BTreeMap<Id, String>,
}

impl NodeWork {
    /// Goes on from what is remembered. Everything remembered is reported again: nobody remembers
    /// what was acknowledged.
    pub(crate) fn new(node: Id, memory: &memory::Memory) -> NodeWork {
        let mut work = NodeWork {
            node,
            position: memory.position,
            lineage: memory.lineage,
            tasks: BTreeMap::new(),
            strays: BTreeMap::new(),
            received: ReceivedSet::Nothing,
            touched: BTreeSet::new(),
            notes: Vec::new(),
            outbox: outbox::Outbox::default(),
            services: service::Services::default(),
            parts: parts::PartCollector::default(),
            listing: Listing::Asked(effort::Effort::default()),
            actions: VecDeque::new(),
            tickets: 0,
            timers: BTreeSet::new(),
            noticed: BTreeMap::new(),
        };
        let mut services: BTreeMap<*const ServiceAssignment, Service> = BTreeMap::new();
        for (id, kept) in &memory.tasks {
            let shared = services.entry(Arc::as_ptr(&kept.service));
            let service = shared.or_insert_with(|| Service::new(kept.service.clone()));
            work.tasks.insert(*id, task::AgentTask::restored(node, *id, kept, service));
        }
        work.report_all();
        work.list(Timestamp::NEVER);
        work
    }

    /// The next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<action::Action> {
        self.actions.pop_front()
    }

    /// Nothing is here, and nothing is left of what was.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && matches!(self.listing, Listing::Known)
    }

    /// What must be written down, oldest first.
    pub(crate) fn poll_notes(&mut self) -> Option<Vec<memory::Note>> {
        (!self.notes.is_empty()).then(|| std::mem::take(&mut self.notes))
    }

    /// The next report that can be sent now.
    pub(crate) fn poll_report(&mut self) -> Option<Report> {
        self.outbox.poll()
    }

    /// When [`NodeWork::on_time`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Time has passed.
    pub(crate) fn on_time(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            if id.is_none() {
                self.list(now);
            } else if let Some(task) = self.tasks.get_mut(&id) {
                for effort in [&mut task.step, &mut task.ready, &mut task.end] {
                    effort.wake(now);
                }
                self.touched.insert(id);
            }
        }
        self.settle(now);
    }

    /// Tells the cluster the state of every task that it may ask about.
    pub(super) fn report_all(&mut self) {
        let told = self.tasks.values().filter(|t| {
            t.standing != memory::TaskStanding::Dropped && t.state() > TaskState::Assigned
        });
        for task in told {
            self.outbox.put(task.observed.clone());
        }
    }

    fn list(&mut self, now: Timestamp) {
        if let Listing::Asked(effort) = &mut self.listing {
            self.tickets += 1;
            effort.begin(effort::StepKind::Prepare, self.tickets, now);
            self.actions.push_back(action::Action::List { node: self.node, ticket: self.tickets });
        }
    }

    /// Whether the listing of this number is awaited: an answer that comes twice says nothing new.
    pub(crate) fn awaits_listing(&self, ticket: u64) -> bool {
        match &self.listing {
            Listing::Asked(effort) => effort.awaits(ticket),
            Listing::Known => false,
        }
    }

    /// What the runtime has. Every task finds its own; what nobody claims is a stray.
    pub(crate) fn on_listed(
        &mut self,
        ticket: u64,
        result: Result<Vec<FoundTask>, RuntimeError>,
        now: Timestamp,
    ) {
        let Listing::Asked(effort) = &mut self.listing else { return };
        if effort.answers(ticket).is_none() {
            return;
        }
        let Ok(all) = result else {
            let at = effort.again(now);
            self.timers.insert((at, Id::NONE));
            return;
        };
        self.listing = Listing::Known;
        self.strays = all.into_iter().map(|found| (found.task_id, found)).collect();
        let ids: Vec<Id> = self.tasks.keys().copied().collect();
        for id in ids {
            self.claim(id, now);
        }
        self.clear_strays();
        self.settle(now);
    }

    /// The task takes what the runtime has of it.
    pub(super) fn claim(&mut self, id: Id, now: Timestamp) {
        self.touched.insert(id);
        let Some(found) = self.strays.remove(&id) else { return };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.adopt(&found);
        match &found.state {
            FoundState::Ended(_, ended) if task.standing != memory::TaskStanding::Dropped => {
                on_ended(task, ended, now)
            }
            FoundState::Unreadable(reason) => {
                task.say(
                    format!("it could not be inspected after the agent's start: {reason}"),
                    now,
                );
            }
            FoundState::Created | FoundState::Running(_) | FoundState::Ended(..) => {}
        }
    }

    /// Ends tasks that the cluster did not assign to this node. After a change of history they go
    /// on until this agent starts again. A container that only its name connects with a task may
    /// have been made by somebody else, and is left alone.
    pub(super) fn clear_strays(&mut self) {
        match self.received {
            ReceivedSet::Nothing => return,
            ReceivedSet::NewHistory => self.strays.clear(),
            ReceivedSet::Complete => {}
        }
        let ours = |(id, found): (Id, FoundTask)| match found.proof {
            Proof::Recorded => Some(id),
            Proof::Named => None,
        };
        for id in std::mem::take(&mut self.strays).into_iter().filter_map(ours) {
            self.tasks.entry(id).or_insert_with(|| task::AgentTask::stray(self.node, id));
            self.touched.insert(id);
        }
    }

    /// An answer of the runtime. An answer to an overtaken request changes nothing.
    pub(crate) fn on_outcome(
        &mut self,
        id: Id,
        ticket: u64,
        outcome: action::StepOutcome,
        now: Timestamp,
    ) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let kind = match outcome {
            action::StepOutcome::Listed(_) => return,
            action::StepOutcome::Ready(_) => effort::StepKind::AwaitReady,
            action::StepOutcome::Ended(_) => effort::StepKind::AwaitEnd,
            action::StepOutcome::Prepared(_) => effort::StepKind::Prepare,
            action::StepOutcome::Started(_) => effort::StepKind::Start,
            action::StepOutcome::Stopped(_) => effort::StepKind::Stop,
            action::StepOutcome::Removed(_) => effort::StepKind::Remove,
        };
        let effort = task.effort(kind);
        if !effort.is_for(kind) || effort.answers(ticket).is_none() {
            return;
        }
        if let Some(error) = take_up(task, outcome, now) {
            let again = task.effort(kind).again(now);
            self.timers.insert((again, id));
            if let Some(message) = words_about(kind, &error) {
                task.say(message, now);
            }
        }
        self.touched.insert(id);
        self.settle(now);
    }

    /// What the runtime notices about tasks now: each task for which it changed gets the message.
    pub(crate) fn on_noticed(&mut self, noticed: BTreeMap<Id, String>, now: Timestamp) {
        let before = std::mem::replace(&mut self.noticed, noticed);
        let ids: BTreeSet<Id> = before.keys().chain(self.noticed.keys()).copied().collect();
        for id in ids.into_iter().filter(|id| before.get(id) != self.noticed.get(id)) {
            let Some(task) = self.tasks.get_mut(&id).filter(|task| !task.is_terminal()) else {
                continue;
            };
            task.say(self.noticed.get(&id).cloned().unwrap_or_default(), now);
            self.touched.insert(id);
        }
        self.settle(now);
    }

    /// Drives every touched task until it rests.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some(id) = self.touched.pop_first() {
            if matches!(self.listing, Listing::Known) {
                self.drive(id, now);
            }
            self.tell(id);
        }
    }

    fn drive(&mut self, id: Id, now: Timestamp) {
        while let Some(task) = self.tasks.get_mut(&id) {
            match task.next() {
                task::NextStep::Rest => return,
                task::NextStep::Raise(state) => task.raise(state, now),
                task::NextStep::Finish(ending) => task.finish(ending, now),
                task::NextStep::Take(kind) => {
                    self.tickets += 1;
                    task.begun = true;
                    task.effort(kind).begin(kind, self.tickets, now);
                    if matches!(kind, effort::StepKind::Stop | effort::StepKind::Remove) {
                        task.ready = effort::Effort::default();
                    }
                    let step = task.step(kind);
                    self.actions.push_back(action::Action::Step {
                        task: id,
                        ticket: self.tickets,
                        step,
                    });
                }
                task::NextStep::Forget => {
                    self.tasks.remove(&id);
                    self.notes.push(memory::Note::new(memory::NoteKind::Forgotten(id.to_bytes())));
                }
            }
        }
    }

    /// Writes down and reports what is new about the task.
    fn tell(&mut self, id: Id) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        // A new state takes the last message away; what is still odd about the task is said again.
        if task.news
            && task.observed.message.is_empty()
            && !task.is_terminal()
            && let Some(text) = self.noticed.get(&id)
        {
            task.observed.message.clone_from(text);
        }
        if std::mem::take(&mut task.news) && task.standing != memory::TaskStanding::Dropped {
            self.notes.push(memory::Note::new(memory::NoteKind::Observed(task.observed.clone())));
            self.outbox.put(task.observed.clone());
        }
    }

    /// The task is kept for another reason from now on.
    pub(super) fn stand(&mut self, id: Id, standing: memory::TaskStanding) {
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.standing != standing) else {
            return;
        };
        let was_dropped = task.standing == memory::TaskStanding::Dropped;
        task.standing = standing;
        // What became of it meanwhile was told to nobody.
        task.news |= was_dropped && task.state() > TaskState::Assigned;
        let stands = memory::StandingChanged { task_id: id.to_bytes(), standing: standing.into() };
        self.notes.push(memory::Note::new(memory::NoteKind::Stands(stands)));
        if standing == memory::TaskStanding::Dropped {
            task.ready = effort::Effort::default();
            self.outbox.drop_task(id);
        }
        self.touched.insert(id);
    }
}

/// Takes up a runtime's answer; what is given back is to be tried again later.
fn take_up(
    task: &mut task::AgentTask,
    outcome: action::StepOutcome,
    now: Timestamp,
) -> Option<RuntimeError> {
    match outcome {
        action::StepOutcome::Listed(_) => {}
        action::StepOutcome::Prepared(Ok(prepared)) => {
            task.seen = super::task::RuntimeStage::Prepared;
            if !prepared.image_digest.is_empty() {
                task.container().image_digest = prepared.image_digest;
            }
        }
        action::StepOutcome::Prepared(Err(
            error @ (RuntimeError::Rejected(_)
            | RuntimeError::PullFailed { .. }
            | RuntimeError::Failed(_)),
        )) => task.finish(
            verdict::TaskVerdict { state: TaskState::Rejected, error: error.to_string() },
            now,
        ),
        action::StepOutcome::Started(Ok(started)) => task.on_started(&started),
        action::StepOutcome::Started(Err(
            RuntimeError::Rejected(message) | RuntimeError::Failed(message),
        )) => {
            task.finish(verdict::TaskVerdict { state: TaskState::Failed, error: message }, now);
        }
        action::StepOutcome::Started(Err(RuntimeError::Gone))
        | action::StepOutcome::Ended(Err(RuntimeError::Gone)) => {
            let gone = TaskEnd { cause: EndCause::RemovedOutside, at: now, ..TaskEnd::default() };
            on_ended(task, &gone, now);
        }
        action::StepOutcome::Ready(Ok(())) => task.raise(TaskState::Running, now),
        action::StepOutcome::Ready(Err(
            RuntimeError::Rejected(message) | RuntimeError::Failed(message),
        )) => {
            task.failing = Some(verdict::TaskVerdict { state: TaskState::Failed, error: message });
        }
        action::StepOutcome::Ended(Ok(ended)) => on_ended(task, &ended, now),
        action::StepOutcome::Stopped(Ok(()) | Err(RuntimeError::Gone)) => task.stopped = true,
        action::StepOutcome::Removed(Ok(()) | Err(RuntimeError::Gone)) => task.removed = true,
        action::StepOutcome::Prepared(Err(error))
        | action::StepOutcome::Started(Err(error))
        | action::StepOutcome::Ready(Err(error))
        | action::StepOutcome::Ended(Err(error))
        | action::StepOutcome::Stopped(Err(error))
        | action::StepOutcome::Removed(Err(error)) => return Some(error),
    }
    None
}

/// It has ended: as was asked, or for its own reasons.
fn on_ended(task: &mut task::AgentTask, ended: &TaskEnd, now: Timestamp) {
    if task.is_terminal() {
        return;
    }
    let ending = task.ending().unwrap_or_else(|| verdict::of(ended));
    verdict::note(task.container(), ended);
    task.finish(ending, now);
    task.stopped = true;
}

/// The message that people see while a step is tried again. Waiting has none: what is waited for
/// may be well.
fn words_about(kind: effort::StepKind, error: &RuntimeError) -> Option<String> {
    let doing = match kind {
        effort::StepKind::AwaitReady | effort::StepKind::AwaitEnd | effort::StepKind::Remove => {
            return None;
        }
        effort::StepKind::Prepare => "preparing",
        effort::StepKind::Start => "starting",
        effort::StepKind::Stop => "stopping",
    };
    Some(format!("{doing}, trying again: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{action::Action, effort::STEP_RETRY_DELAY_NS_MIN, memory::Memory};
    use crate::runtime::{Prepared, Workload};

    #[test]
    fn a_listing_that_failed_is_asked_for_again_when_its_time_has_come() {
        let mut work = NodeWork::new(Id(1), &Memory::default());
        assert_eq!(work.poll_timeout(), None, "the answer is awaited");
        assert_eq!(work.poll_action(), Some(Action::List { node: Id(1), ticket: 1 }));
        let failed = Err(RuntimeError::Unreachable("no engine".into()));
        work.on_listed(1, failed, Timestamp(5));
        let again = Timestamp(5) + STEP_RETRY_DELAY_NS_MIN;
        assert_eq!(work.poll_timeout(), Some(again));
        work.on_time(Timestamp(again.0 - 1));
        assert_eq!(work.poll_action(), None);
        work.on_time(again);
        assert_eq!(work.poll_action(), Some(Action::List { node: Id(1), ticket: 2 }));
        assert_eq!(work.poll_timeout(), None);
    }

    #[test]
    fn an_answer_that_comes_twice_does_not_put_off_the_next_try() {
        let mut work = NodeWork::new(Id(1), &Memory::default());
        work.on_listed(1, Ok(Vec::new()), Timestamp(1));
        let workload = Workload { task_id: Id(2), ..Workload::default() };
        let task = task::AgentTask::new(workload, TaskState::Running, TaskState::Assigned);
        work.tasks.insert(Id(2), task);
        work.touched.insert(Id(2));
        work.settle(Timestamp(1));
        let unreachable = || {
            let error = RuntimeError::Unreachable("no engine".into());
            action::StepOutcome::Prepared(Err(error))
        };
        let again = Timestamp(5) + STEP_RETRY_DELAY_NS_MIN;
        work.on_outcome(Id(2), 2, unreachable(), Timestamp(5));
        work.on_outcome(Id(2), 2, unreachable(), Timestamp(6));
        assert_eq!(work.timers, BTreeSet::from([(again, Id(2))]));
    }

    #[test]
    fn the_image_and_the_end_of_a_task_are_reported() {
        let mut task =
            task::AgentTask::new(Workload::default(), TaskState::Running, TaskState::Running);
        let prepared = |image_digest: &str| {
            let image_digest = image_digest.to_owned();
            action::StepOutcome::Prepared(Ok(Prepared { image_digest }))
        };
        assert_eq!(take_up(&mut task, prepared("sha256:new"), Timestamp(1)), None);
        assert_eq!(take_up(&mut task, prepared(""), Timestamp(1)), None);
        let ended = TaskEnd { exit_code: Some(3), ..TaskEnd::default() };
        assert_eq!(take_up(&mut task, action::StepOutcome::Ended(Ok(ended)), Timestamp(1)), None);
        let container = task.container();
        assert_eq!((container.image_digest.as_str(), container.exit_code), ("sha256:new", Some(3)));
    }
}
