//! Progress on the standard error: a line a slot on a terminal, and elsewhere a plain line for each
//! thing that is new.

use super::verdict::{ServiceProgress, SlotProgress, slot_line};
use crate::cli::show::{self, untrusted::one_line};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;

/// Slots that get a line of their own; of the others only the sum is shown.
const SLOT_LINES_MAX: usize = 20;

/// How progress is shown.
pub(super) enum ProgressDisplay {
    /// Not at all.
    Silent,
    /// A terminal: lines are rewritten in place.
    Terminal(Box<ProgressBars>),
    /// A file or a pipe: only what is new.
    Plain(PlainProgress),
}

/// The rewritten lines.
pub(super) struct ProgressBars {
    all: MultiProgress,
    overall: ProgressBar,
    slots: BTreeMap<u64, ProgressBar>,
}

/// What has been said.
#[derive(Default)]
pub(super) struct PlainProgress {
    overall: String,
    blocked: String,
    failures: BTreeMap<u64, usize>,
    pulls: BTreeMap<u64, String>,
}

impl ProgressDisplay {
    /// Whether the standard error is a terminal decides.
    pub(super) fn new() -> ProgressDisplay {
        if !show::can_draw() {
            return ProgressDisplay::Plain(PlainProgress::default());
        }
        let all = MultiProgress::new();
        let overall = all.add(line());
        ProgressDisplay::Terminal(Box::new(ProgressBars { all, overall, slots: BTreeMap::new() }))
    }

    /// Shows how things stand.
    pub(super) fn show(&mut self, picture: &ServiceProgress) {
        match self {
            ProgressDisplay::Silent => {}
            ProgressDisplay::Terminal(lines) => lines.show(picture),
            ProgressDisplay::Plain(plain) => {
                plain.news(picture).iter().for_each(|line| show::talk(&one_line(line)))
            }
        }
    }

    /// Leaves the last picture standing.
    pub(super) fn finish(&mut self) {
        if let ProgressDisplay::Terminal(lines) = self {
            lines.slots.values().for_each(ProgressBar::abandon);
            lines.overall.abandon();
        }
    }
}

impl ProgressBars {
    fn show(&mut self, picture: &ServiceProgress) {
        let mut text = overall(picture);
        if !picture.blocked.is_empty() {
            text.push_str(&format!(": {}", picture.blocked));
        }
        self.overall.set_message(one_line(&text));
        let shown: Vec<&SlotProgress> = picture.slots.iter().take(SLOT_LINES_MAX).collect();
        self.slots.retain(|number, bar| {
            let stays = shown.iter().any(|slot| slot.number == *number);
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
        for slot in shown {
            let bar = self.slots.entry(slot.number).or_insert_with(|| self.all.add(line()));
            bar.set_message(one_line(&format!("  {}: {}", slot.task.name, slot_line(slot))));
        }
    }
}

impl PlainProgress {
    fn news(&mut self, picture: &ServiceProgress) -> Vec<String> {
        let mut news = Vec::new();
        let text = overall(picture);
        if text != self.overall {
            news.push(text.clone());
            self.overall = text;
        }
        if picture.blocked != self.blocked {
            self.blocked.clone_from(&picture.blocked);
            if !picture.blocked.is_empty() {
                news.push(format!("waiting: {}", picture.blocked));
            }
        }
        for slot in &picture.slots {
            if slot.failures > self.failures.get(&slot.number).copied().unwrap_or(0) {
                self.failures.insert(slot.number, slot.failures);
                news.push(format!("{}: {}", slot.task.name, slot_line(slot)));
            }
            // The text of a pull changes with its stages, its bytes all the time: only the former
            // are news here.
            let stage = slot.pull.as_ref().map(|pull| pull.message.clone()).unwrap_or_default();
            if !stage.is_empty() && self.pulls.get(&slot.number) != Some(&stage) {
                self.pulls.insert(slot.number, stage);
                news.push(format!("{}: {}", slot.task.name, slot_line(slot)));
            }
        }
        news
    }
}

fn overall(picture: &ServiceProgress) -> String {
    format!(
        "overall progress: {} out of {} tasks",
        picture.settled.min(picture.wanted),
        picture.wanted
    )
}

fn line() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new_spinner().with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::ProgressDrawTarget;
    use skep_proto::v1::{PullProgress, Task, TaskState, TaskStatus};

    #[test]
    fn plain_lines_are_said_once() {
        let mut plain = PlainProgress::default();
        let mut picture = ServiceProgress { wanted: 2, ..ServiceProgress::default() };
        assert_eq!(plain.news(&picture), ["overall progress: 0 out of 2 tasks"]);
        assert!(plain.news(&picture).is_empty());
        picture.blocked = "no node takes it".into();
        assert_eq!(plain.news(&picture), ["waiting: no node takes it"]);
        picture.settled = 2;
        picture.blocked.clear();
        assert_eq!(plain.news(&picture), ["overall progress: 2 out of 2 tasks"]);
    }

    fn slot(number: u64, failures: usize, pulls: &str) -> SlotProgress {
        let error = "no space".to_owned();
        let status = TaskStatus { state: TaskState::Failed.into(), error, ..TaskStatus::default() };
        let pull = PullProgress { message: pulls.into(), ..PullProgress::default() };
        SlotProgress {
            number,
            task: Task { name: format!("web.{number}"), status: Some(status), ..Task::default() },
            settled: false,
            failures,
            failed: None,
            pull: Some(pull).filter(|_| !pulls.is_empty()),
            reached: (0, 0),
        }
    }

    #[test]
    fn each_failure_and_each_stage_of_a_pull_is_said_once() {
        let mut plain = PlainProgress::default();
        let mut picture = ServiceProgress { wanted: 1, settled: 3, ..ServiceProgress::default() };
        assert_eq!(plain.news(&picture), ["overall progress: 1 out of 1 tasks"]);
        picture.slots = vec![slot(1, 0, ""), slot(2, 1, "")];
        assert_eq!(plain.news(&picture), ["web.2: failed: no space"]);
        assert!(plain.news(&picture).is_empty());
        picture.slots[1].failures = 2;
        assert_eq!(plain.news(&picture), ["web.2: failed: no space"]);
        picture.slots = vec![slot(1, 0, "pulling"), slot(2, 2, "")];
        assert_eq!(plain.news(&picture), ["web.1: failed, pulling"]);
        assert!(plain.news(&picture).is_empty(), "its bytes are no news");
        picture.slots[0].pull = slot(1, 0, "unpacking").pull;
        assert_eq!(plain.news(&picture), ["web.1: failed, unpacking"]);
    }

    #[test]
    fn lines_on_a_terminal_follow_the_slots_that_are_there() {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let overall = all.add(line());
        let mut display = ProgressDisplay::Terminal(Box::new(ProgressBars {
            all,
            overall,
            slots: BTreeMap::new(),
        }));
        let mut picture = ServiceProgress { wanted: 2, ..ServiceProgress::default() };
        picture.blocked = "no node\ntakes it".into();
        picture.slots = (1..=SLOT_LINES_MAX as u64 + 1).map(|number| slot(number, 0, "")).collect();
        display.show(&picture);
        let shown = |display: &ProgressDisplay| match display {
            ProgressDisplay::Terminal(bars) => (
                bars.overall.message(),
                bars.slots.iter().map(|(number, bar)| (*number, bar.message())).collect::<Vec<_>>(),
            ),
            ProgressDisplay::Silent | ProgressDisplay::Plain(_) => unreachable!("it is a terminal"),
        };
        let (overall, slots) = shown(&display);
        assert_eq!(overall, "overall progress: 0 out of 2 tasks: no node takes it");
        assert_eq!(slots.len(), SLOT_LINES_MAX);
        assert_eq!(slots[1], (2, "  web.2: failed: no space".to_owned()));

        let first = match &display {
            ProgressDisplay::Terminal(bars) => bars.slots[&1].clone(),
            ProgressDisplay::Silent | ProgressDisplay::Plain(_) => unreachable!("it is a terminal"),
        };
        picture.blocked.clear();
        picture.slots = vec![slot(2, 0, "pulling")];
        display.show(&picture);
        let left = vec![(2, "  web.2: failed, pulling".to_owned())];
        assert_eq!(shown(&display), ("overall progress: 0 out of 2 tasks".to_owned(), left));
        assert!(first.is_finished(), "its line is taken away");

        display.finish();
        let ProgressDisplay::Terminal(bars) = &display else { unreachable!("it is a terminal") };
        assert!(bars.overall.is_finished() && bars.slots[&2].is_finished());
    }
}
