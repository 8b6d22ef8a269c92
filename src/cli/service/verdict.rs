//! Whether a service has come to what was asked: from what a manager shows of it, nothing else.
//! PURE.
//!
//! A slot is settled when its newest task runs the newest spec and is wanted, or has done its work
//! for good. The service is settled when as many slots are as were asked for, and none beside them
//! is still on its way.
//!
//! A task that ended and was replaced counts as a failure whatever its exit code: a service that
//! runs is one whose tasks stay.

use crate::cli::task::{end_of, state_word, trouble};
use skep_proto::{
    Id, bytes_size, defaults,
    v1::{EndCause, PullProgress, RolloutState, Service, Task, TaskState, WatchServiceReply},
};
use std::collections::{BTreeMap, BTreeSet};

/// So many failures of one slot, and it is not worth waiting for more.
pub(super) const ATTEMPTS_MAX: usize = 3;

/// One slot as it is now.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct SlotProgress {
    /// Its number.
    pub number: u64,
    /// Its newest task.
    pub task: Task,
    /// Whether it has come to where it should be.
    pub settled: bool,
    /// Failures of the newest spec since the command.
    pub failures: usize,
    /// Of the newest failed task: what went wrong.
    pub failed: Option<Task>,
    /// Of the newest task.
    pub pull: Option<PullProgress>,
    /// How far its newest task has come towards running the newest spec: its state, and the bytes
    /// pulled for it.
    pub reached: (i32, u64),
}

/// A service between a command and its effect.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct ServiceProgress {
    /// Tasks that were asked for.
    pub wanted: u64,
    /// Slots that are settled.
    pub settled: u64,
    /// Tasks that run an older spec and still serve.
    pub older: u64,
    /// Slots on their way, settled ones too, by number.
    pub slots: Vec<SlotProgress>,
    /// All has come about.
    pub converged: bool,
    /// Why waiting longer is useless; may be empty while it may still succeed.
    pub hopeless: String,
    /// What stands in the way, and may yet go away.
    pub blocked: String,
    /// Time of the newest change to a settled task.
    pub settled_at: u64,
}

impl ServiceProgress {
    /// Whether something is in the way or has gone wrong.
    pub(super) fn in_trouble(&self) -> bool {
        !self.blocked.is_empty() || self.slots.iter().any(|slot| slot.failures > 0 && !slot.settled)
    }

    /// The slot that fails most.
    pub(super) fn culprit(&self) -> Option<&SlotProgress> {
        self.slots.iter().filter(|slot| slot.failed.is_some()).max_by_key(|slot| slot.failures)
    }

    /// Whether any attempt has failed since the command.
    pub(super) fn has_failed(&self) -> bool {
        self.slots.iter().any(|slot| slot.failures > 0)
    }
}

/// Failed tasks that were there before the command, and are not its fault.
pub(super) fn old_failures(reply: &WatchServiceReply, revision: u64) -> BTreeSet<Id> {
    reply.tasks.iter().filter(|task| has_ended(task) && created(task) <= revision).map(id).collect()
}

/// What a reply means. `old` are failures that do not count.
pub(super) fn judge(reply: &WatchServiceReply, old: &BTreeSet<Id>) -> ServiceProgress {
    let Some(service) = reply.service.as_ref() else { return ServiceProgress::default() };
    let wanted = service.spec.as_ref().and_then(defaults::replicas).unwrap_or(0);
    let mut by_slot: BTreeMap<u64, Vec<&Task>> = BTreeMap::new();
    for task in &reply.tasks {
        by_slot.entry(task.slot).or_default().push(task);
    }
    let mut slots: Vec<SlotProgress> = Vec::new();
    let (mut finished, mut dead) = (0, None);
    for (number, mut tasks) in by_slot {
        tasks.sort_by_key(|task| std::cmp::Reverse(created(task)));
        let slot = slot(number, &tasks, service, old, &reply.pulls);
        if is_wanted(&slot.task) {
            slots.push(slot);
        } else if current(&slot.task, service) && state(&slot.task) == TaskState::Complete {
            finished += 1;
        } else if slot.failures > 0 && has_failed(&slot.task) {
            dead = Some(slot.clone());
            slots.push(slot);
        }
    }
    let live = slots.iter().filter(|slot| is_wanted(&slot.task)).count() as u64;
    let running = slots.iter().filter(|slot| slot.settled).count() as u64;
    let settled = running + u64::min(finished, wanted.saturating_sub(running));
    let mut picture = ServiceProgress {
        wanted,
        settled,
        older: reply.tasks.iter().filter(|task| runs(task) && !current(task, service)).count()
            as u64,
        converged: running == live
            && live <= wanted
            && settled >= wanted
            && !is_kept_too_early(service, &slots),
        settled_at: slots
            .iter()
            .filter(|slot| slot.settled)
            .map(|slot| at(&slot.task))
            .max()
            .unwrap_or(0),
        blocked: service
            .blocked
            .as_ref()
            .map_or_else(String::new, |blocked| blocked.message.clone()),
        slots,
        hopeless: String::new(),
    };
    if !picture.converged {
        picture.hopeless = hopeless(service, &picture, dead.filter(|_| live + finished < wanted));
    }
    picture
}

fn slot(
    number: u64,
    tasks: &[&Task],
    service: &Service,
    old: &BTreeSet<Id>,
    pulls: &[PullProgress],
) -> SlotProgress {
    let newest = tasks[0];
    let counts = |task: &Task| has_failed(task) || (was_replaced(task) && task.id != newest.id);
    let failed: Vec<&Task> = tasks
        .iter()
        .filter(|task| counts(task) && current(task, service) && !old.contains(&id(task)))
        .copied()
        .collect();
    let pull = pulls.iter().find(|pull| pull.task_id == newest.id).cloned();
    let is_on_its_way =
        is_wanted(newest) && current(newest, service) && state(newest) <= TaskState::Running;
    SlotProgress {
        number,
        settled: is_on_its_way && state(newest) == TaskState::Running,
        failures: failed.len(),
        failed: failed.first().map(|task| (*task).clone()),
        reached: match is_on_its_way {
            true => (state(newest) as i32, pull.as_ref().map_or(0, |pull| pull.done_bytes)),
            false => (0, 0),
        },
        pull,
        task: newest.clone(),
    }
}

/// Tasks that are kept because only their placement was changed count once the roll-out has looked
/// at all of them.
fn is_kept_too_early(service: &Service, slots: &[SlotProgress]) -> bool {
    let is_updating =
        service.rollout.as_ref().is_some_and(|rollout| rollout.state() == RolloutState::Updating);
    is_updating
        && slots.iter().any(|slot| slot.settled && slot.task.spec_version != service.spec_version)
}

fn hopeless(service: &Service, picture: &ServiceProgress, dead: Option<SlotProgress>) -> String {
    if !service.parked.is_empty() {
        return format!("the service is parked: {}", service.parked);
    }
    if let Some(rollout) =
        service.rollout.as_ref().filter(|rollout| rollout.state() == RolloutState::Paused)
    {
        return format!("the update is paused: {}", rollout.message);
    }
    if let Some(slot) = dead {
        return format!("{} ended and is not tried again: {}", slot.task.name, trouble(&slot.task));
    }
    match picture.culprit() {
        Some(slot) if slot.failures >= ATTEMPTS_MAX => {
            let word =
                if slot.failed.as_ref().is_some_and(has_failed) { "failed" } else { "ended" };
            format!("{} {word} {} times", slot.task.name, slot.failures)
        }
        Some(_) | None => String::new(),
    }
}

/// One line about a slot, for those who watch.
pub(super) fn slot_line(slot: &SlotProgress) -> String {
    let task = &slot.task;
    let mut line = state_word(state(task)).to_owned();
    if !task.node_name.is_empty() {
        line.push_str(&format!(" on {}", task.node_name));
    }
    if let Some(pull) = &slot.pull {
        line.push_str(&format!(", {}", pull_text(pull)));
    } else if has_failed(task) {
        line.push_str(&format!(": {}", trouble(task)));
    } else if let Some(failed) = slot.failed.as_ref().filter(|_| !slot.settled) {
        let times =
            if slot.failures == 1 { "once".to_owned() } else { format!("{} times", slot.failures) };
        let word = if has_failed(failed) { "failed" } else { "ended" };
        line.push_str(&format!(", {word} {times}: {}", end_of(failed)));
    } else if let Some(message) =
        task.status.as_ref().map(|status| &status.message).filter(|_| !slot.settled)
        && !message.is_empty()
        && *message != line
    {
        line.push_str(&format!(", {message}"));
    }
    line
}

fn pull_text(pull: &PullProgress) -> String {
    match (pull.done_bytes, pull.total_bytes) {
        (0, 0) => pull.message.clone(),
        (done, 0) => format!("{} {}", pull.message, bytes_size(done)).trim().to_owned(),
        (done, total) => format!("{} {} of {}", pull.message, bytes_size(done), bytes_size(total))
            .trim()
            .to_owned(),
    }
}

fn is_wanted(task: &Task) -> bool {
    task.desired() <= TaskState::Running
}

/// Whether the task runs what the service now asks for. Where it may run is judged by the manager,
/// which replaces or keeps it.
fn current(task: &Task, service: &Service) -> bool {
    if task.spec_version == service.spec_version {
        return true;
    }
    let (Some(own), Some(asked)) =
        (&task.spec, service.spec.as_ref().and_then(|spec| spec.task.as_ref()))
    else {
        return false;
    };
    let mut own = own.clone();
    own.placement.clone_from(&asked.placement);
    own == *asked
}

fn has_failed(task: &Task) -> bool {
    matches!(state(task), TaskState::Failed | TaskState::Rejected)
}

/// Whether the task ended by itself and with success. Where another one has taken its slot, the
/// service is not healthy all the same, since its program does not stay.
fn was_replaced(task: &Task) -> bool {
    let container = task.status.as_ref().and_then(|status| status.container.as_ref());
    let was_asked = container.is_some_and(|container| container.end_cause() == EndCause::Asked);
    state(task) == TaskState::Complete && !was_asked
}

fn has_ended(task: &Task) -> bool {
    has_failed(task) || state(task) == TaskState::Complete
}

fn runs(task: &Task) -> bool {
    is_wanted(task) && state(task) == TaskState::Running
}

fn state(task: &Task) -> TaskState {
    task.status.as_ref().map_or(TaskState::New, |status| status.state())
}

fn at(task: &Task) -> u64 {
    task.status.as_ref().map_or(0, |status| status.at)
}

fn created(task: &Task) -> u64 {
    task.meta.as_ref().map_or(0, |meta| meta.created_revision)
}

fn id(task: &Task) -> Id {
    Id::from_bytes(&task.id)
}

#[cfg(test)]
mod tests;
