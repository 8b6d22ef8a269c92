//! From what a task's files and the process table say to where the task is. PURE.
//!
//! A file that cannot be read, or that is missing where it must be, costs its own task: the task is
//! ended and the error message names the file. While its shim lives, the shim knows enough to end
//! the task properly.

use super::{
    folder::NoteFile,
    notes::{Cause, ProcessEnding, RunningProcess},
};

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Evidence {
    /// The task's folder, for error messages.
    pub(super) folder: String,
    pub(super) shim: ShimState,
    /// Only whether it can be read.
    pub(super) plan: NoteFile<()>,
    pub(super) running: NoteFile<RunningProcess>,
    pub(super) ended: NoteFile<ProcessEnding>,
    /// This boot.
    pub(super) boot: String,
    /// Nanoseconds since the Unix epoch.
    pub(super) now: u64,
}

/// Whether somebody watches over the task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ShimState {
    Lives,
    Gone,
    /// The FIFO that would show it cannot be used; the error message names it.
    Unknown(String),
}

/// Where the task is, or what must be done about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    /// Nothing is here, or no more than a prepare that was cut short.
    Absent,
    /// Prepared; never started.
    Planned,
    /// Its shim lives and has not said that the program runs.
    Starting,
    /// Its shim lives and the program ran when it last spoke.
    Runs(RunningProcess),
    /// Its shim lives, and the task cannot go on for this reason.
    MustEnd(Option<RunningProcess>, ProcessEnding),
    /// It ended; without a note of its start it never ran.
    Over(Option<RunningProcess>, ProcessEnding),
    /// It is over, but nobody cleared away what it left and nobody wrote that down.
    Orphaned(Option<RunningProcess>, ProcessEnding),
}

impl Evidence {
    pub(super) fn judge(self) -> Finding {
        let damage = self.damage();
        let Evidence { shim, plan, running, ended, boot, now, .. } = self;
        let end = |cause, error: String| ProcessEnding {
            cause,
            error,
            at: now,
            ..ProcessEnding::default()
        };
        let started = running.clone().read();
        match (shim, damage) {
            (ShimState::Lives, Some(damage)) => {
                Finding::MustEnd(started, end(Cause::NotesDamaged, damage))
            }
            (ShimState::Lives, None) => started.map_or(Finding::Starting, Finding::Runs),
            (ShimState::Gone, damage) => match (ended, damage) {
                (NoteFile::Read(ending), _) => Finding::Over(started, ending),
                (NoteFile::Absent | NoteFile::Damaged(_), None) => match (started, plan) {
                    (Some(running), _) => {
                        let ending = end_of_orphan(&running, &boot, end);
                        Finding::Orphaned(Some(running), ending)
                    }
                    (None, NoteFile::Read(())) => Finding::Planned,
                    (None, NoteFile::Absent | NoteFile::Damaged(_)) => Finding::Absent,
                },
                (NoteFile::Absent | NoteFile::Damaged(_), Some(damage)) => {
                    Finding::Orphaned(started, end(Cause::NotesDamaged, damage))
                }
            },
            (ShimState::Unknown(message), damage) => match ended {
                NoteFile::Read(ending) => Finding::Over(started, ending),
                NoteFile::Absent | NoteFile::Damaged(_) => {
                    Finding::Orphaned(started, end(Cause::NotesDamaged, damage.unwrap_or(message)))
                }
            },
        }
    }

    /// Which file of the task is damaged. A plan that is missing although the start left traces was
    /// removed.
    fn damage(&self) -> Option<String> {
        let begun = self.shim == ShimState::Lives
            || !matches!(self.running, NoteFile::Absent)
            || !matches!(self.ended, NoteFile::Absent);
        let plan = match &self.plan {
            NoteFile::Damaged(message) => Some(message.clone()),
            NoteFile::Absent if begun => Some(format!("{}/plan.json is missing", self.folder)),
            NoteFile::Absent | NoteFile::Read(()) => None,
        };
        let running = match &self.running {
            NoteFile::Damaged(message) => Some(message.clone()),
            NoteFile::Absent | NoteFile::Read(_) => None,
        };
        let ended = match &self.ended {
            NoteFile::Damaged(message) if self.shim == ShimState::Gone => Some(message.clone()),
            NoteFile::Damaged(_) | NoteFile::Absent | NoteFile::Read(_) => None,
        };
        plan.or(running).or(ended)
    }
}

/// The end of a task whose shim is gone without a note.
fn end_of_orphan(
    running: &RunningProcess,
    boot: &str,
    end: impl Fn(Cause, String) -> ProcessEnding,
) -> ProcessEnding {
    if running.boot == boot {
        let message = "somebody killed the shim that watched over it, so it was ended";
        end(Cause::KilledOutside, message.into())
    } else {
        end(Cause::Reboot, "the machine went down while it ran".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> RunningProcess {
        RunningProcess { pid: 7, boot: "this".into(), start_ticks: 1, at: 1 }
    }

    /// `shim plan running ended`: `+` is there, `-` absent, `!` damaged, `~` of another boot.
    fn judged(tokens: &str) -> String {
        let tokens: Vec<&str> = tokens.split(' ').collect();
        fn note<T>(word: &str, name: &str, content: T) -> NoteFile<T> {
            match word {
                "-" => NoteFile::Absent,
                "!" => NoteFile::Damaged(format!("{name} cannot be read")),
                _ => NoteFile::Read(content),
            }
        }
        let boot = if tokens[2] == "~" { "another" } else { "this" };
        let evidence = Evidence {
            folder: "tasks/t".into(),
            shim: match tokens[0] {
                "+" => ShimState::Lives,
                "-" => ShimState::Gone,
                _ => ShimState::Unknown("alive cannot be read".into()),
            },
            plan: note(tokens[1], "plan", ()),
            running: note(tokens[2], "running", running()),
            ended: note(
                tokens[3],
                "ended",
                ProcessEnding { exit_code: Some(3), ..ProcessEnding::default() },
            ),
            boot: boot.into(),
            now: 9,
        };
        let told = |ending: ProcessEnding| match ending.exit_code {
            Some(code) => format!("exit {code}"),
            None => format!("{:?}: {}", ending.cause, ending.error),
        };
        match evidence.judge() {
            Finding::Absent => "absent".into(),
            Finding::Planned => "planned".into(),
            Finding::Starting => "starting".into(),
            Finding::Runs(_) => "runs".into(),
            Finding::MustEnd(_, ending) => format!("must end {}", told(ending)),
            Finding::Over(ran, ending) => {
                format!("over {}{}", if ran.is_some() { "" } else { "unstarted " }, told(ending))
            }
            Finding::Orphaned(_, ending) => format!("orphaned {}", told(ending)),
        }
    }

    #[test]
    fn whole_notes_tell_where_the_task_is() {
        assert_eq!(judged("- - - -"), "absent");
        assert_eq!(judged("- + - -"), "planned");
        assert_eq!(judged("+ + - -"), "starting");
        assert_eq!(judged("+ + + -"), "runs");
        assert_eq!(judged("+ + + +"), "runs", "its shim is about to let go");
        assert_eq!(judged("- + + +"), "over exit 3");
        assert_eq!(judged("- + - +"), "over unstarted exit 3");
    }

    #[test]
    fn the_end_of_a_shim_that_left_no_note_is_recorded() {
        assert!(judged("- + + -").starts_with("orphaned KilledOutside: somebody killed the shim"));
        assert_eq!(judged("- + ~ -"), "orphaned Reboot: the machine went down while it ran");
    }

    #[test]
    fn a_damaged_note_ends_what_runs_and_records_the_end_of_what_does_not() {
        assert_eq!(judged("+ ! + -"), "must end NotesDamaged: plan cannot be read");
        assert_eq!(judged("+ + ! -"), "must end NotesDamaged: running cannot be read");
        assert_eq!(judged("+ ! - -"), "must end NotesDamaged: plan cannot be read");
        assert_eq!(judged("- ! + -"), "orphaned NotesDamaged: plan cannot be read");
        assert_eq!(judged("- + ! -"), "orphaned NotesDamaged: running cannot be read");
        assert_eq!(judged("- + + !"), "orphaned NotesDamaged: ended cannot be read");
        assert_eq!(judged("- ! - -"), "orphaned NotesDamaged: plan cannot be read");
        assert_eq!(judged("! + + -"), "orphaned NotesDamaged: alive cannot be read");
        assert_eq!(judged("! + - -"), "orphaned NotesDamaged: alive cannot be read");
    }

    #[test]
    fn an_end_that_can_be_read_needs_no_other_note() {
        assert_eq!(judged("- ! + +"), "over exit 3");
        assert_eq!(judged("- + ! +"), "over unstarted exit 3");
        assert_eq!(judged("! ! ! +"), "over unstarted exit 3");
    }

    #[test]
    fn a_plan_that_is_missing_beside_signs_of_a_start_was_removed() {
        assert_eq!(judged("+ - + -"), "must end NotesDamaged: tasks/t/plan.json is missing");
        assert_eq!(judged("+ - - -"), "must end NotesDamaged: tasks/t/plan.json is missing");
        assert_eq!(judged("- - + -"), "orphaned NotesDamaged: tasks/t/plan.json is missing");
    }
}
