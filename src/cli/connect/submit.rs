//! Commands on their way: each has an id and is sent until its outcome is known, to another manager
//! if one more was named. People see the manager's own message about it.

use super::{ManagerClient, attempts::Attempts};
use crate::cli::{
    fail::{CliError, CliResult},
    show,
};
use skep_proto::{
    counted,
    v1::{
        Accepted, Command, CommandId, CommandReply, GreetReply, command::Action,
        command_reply::Outcome as ReplyOutcome,
    },
};
use std::{collections::BTreeSet, error::Error, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Status};

/// Submits commands, each with an id of its own, so that asking again is safe.
pub(crate) struct Submitter {
    manager: ManagerClient,
    /// Of the newest command.
    id: CommandId,
    reason: String,
    limit: Duration,
}

/// What one attempt came to.
enum Attempt {
    Accepted(Accepted),
    /// It was not done.
    Failed(CliError),
    /// Nobody can say whether it was done.
    Unknown(String),
}

impl Submitter {
    /// Numbers the commands of one stamp.
    pub(crate) fn new(
        manager: ManagerClient,
        given: &GreetReply,
        reason: Option<&str>,
    ) -> Submitter {
        let limit = super::attempts::ANSWER_LIMIT;
        Submitter {
            manager,
            id: CommandId {
                stamp: given.stamp,
                given_revision: given.given_revision,
                lineage: given.lineage,
                ..CommandId::default()
            },
            reason: reason.unwrap_or_default().to_owned(),
            limit,
        }
    }

    /// Gives a command no longer than this to be decided.
    pub(crate) fn within(mut self, limit: Option<Duration>) -> Submitter {
        self.limit = limit.map_or(self.limit, |limit| limit.min(self.limit));
        self
    }

    /// One command for each name, which is printed when it is done. A refusal does not keep the
    /// others from being sent; all refusals are printed, and the last one is returned. Nor does an
    /// output that cannot be written. Where the manager can't be reached the others are named.
    pub(crate) async fn each(
        &mut self,
        names: &[String],
        mut action: impl FnMut(usize) -> Action,
    ) -> CliResult {
        let mut failures = Failures::default();
        for (index, name) in names.iter().enumerate() {
            match self.submit(action(index)).await {
                Ok(accepted) => {
                    failures.note(show::say(name));
                    if !accepted.changed && accepted.warnings.is_empty() {
                        show::talk(&format!("{name}: nothing changed"));
                    }
                }
                Err(failure) if failure.is_unreachable() => {
                    return failures.give_up(failure, &names[index + 1..]);
                }
                Err(failure) => failures.note(Err(failure)),
            }
        }
        failures.end()
    }

    /// Asks until it is known whether the command was done. A refusal is a failure with the
    /// manager's own message.
    pub(crate) async fn submit(&mut self, action: Action) -> CliResult<Accepted> {
        self.id.number += 1;
        let command = Command {
            id: Some(self.id),
            reason: self.reason.clone(),
            trace: None,
            action: Some(action),
        };
        let began = Instant::now();
        let mut attempts = Attempts::new(self.limit);
        let (mut first_unknown, mut sent): (Option<String>, usize) = (None, 0);
        loop {
            sent += 1;
            let unknown = match self.attempt(&command, attempts.patience(began.elapsed())).await {
                Attempt::Accepted(accepted) => {
                    accepted
                        .warnings
                        .iter()
                        .for_each(|text| show::talk(&format!("warning: {text}")));
                    return Ok(accepted);
                }
                Attempt::Failed(failure) => {
                    return Err(match first_unknown {
                        Some(why) => failed_after_unknown(&why, failure),
                        None => failure,
                    });
                }
                Attempt::Unknown(why) => why,
            };
            let Some(pause) = attempts.again(began.elapsed()) else {
                let tried = format!(
                    "{} within {:.1} s",
                    counted(sent, "time"),
                    began.elapsed().as_secs_f64()
                );
                return Err(stays_unknown(&format!("{unknown}; it was sent {tried}")));
            };
            let looking = self.manager.ask_another();
            let other = timeout(attempts.patience(began.elapsed()), looking).await.ok().flatten();
            if first_unknown.is_none() {
                let at = other.map_or_else(String::new, |socket| format!(" at {socket}"));
                show::talk(&format!("{unknown}; the command is sent again under the same id{at}"));
                first_unknown = Some(unknown);
            }
            sleep(pause).await;
        }
    }

    async fn attempt(&self, command: &Command, patience: Duration) -> Attempt {
        let mut control = self.manager.control();
        match timeout(patience, control.submit(Request::new(command.clone()))).await {
            Err(_) => Attempt::Unknown("the manager has not answered".into()),
            Ok(Ok(reply)) => answered(reply.into_inner()),
            Ok(Err(status)) => broke_off(status),
        }
    }
}

/// Refuses names of which two mean the same object: the second command would fail, or undo the
/// first. `ids` are of the objects that the names mean, each once or once for each name.
pub(crate) fn once_each<T: Ord>(
    noun: &str,
    names: &[String],
    ids: impl IntoIterator<Item = T>,
) -> CliResult {
    let objects = ids.into_iter().collect::<BTreeSet<T>>().len();
    let mut seen = BTreeSet::new();
    let message = match names.iter().find(|name| !seen.insert(*name)) {
        Some(name) => format!("{noun} {name} is named twice"),
        None if objects < names.len() && names.len() == 2 => {
            format!("{} are the same {noun}", names.join(" and "))
        }
        None if objects < names.len() => {
            format!("some of {} are the same {noun}", names.join(", "))
        }
        None => return Ok(()),
    };
    Err(CliError::usage(message).hint(format!("name each {noun} once")))
}

fn answered(reply: CommandReply) -> Attempt {
    match reply.outcome {
        Some(ReplyOutcome::Accepted(accepted)) => Attempt::Accepted(accepted),
        Some(ReplyOutcome::Refused(refused)) => Attempt::Failed(refused.into()),
        Some(ReplyOutcome::Unknown(unknown)) => Attempt::Unknown(unknown.message),
        None => Attempt::Failed(
            CliError::refused("the manager's answer is empty")
                .hint("it may be newer than this program"),
        ),
    }
}

fn broke_off(status: Status) -> Attempt {
    if status.source().is_some() {
        return Attempt::Unknown("the manager went away before it had answered".into());
    }
    let may_have_been_done = matches!(
        status.code(),
        Code::Unavailable | Code::Aborted | Code::Unknown | Code::Cancelled
    );
    match may_have_been_done {
        true => Attempt::Unknown(format!("the manager does not answer: {}", status.message())),
        false => Attempt::Failed(status.into()),
    }
}

fn stays_unknown(why: &str) -> CliError {
    CliError::unreachable(format!("it is not known whether the command was done: {why}")).hint(
        "look for it with `skep log -n 5` before you repeat it: a second attempt is a new command",
    )
}

/// A later attempt's failure says nothing about an earlier attempt whose outcome is unknown.
fn failed_after_unknown(why: &str, failure: CliError) -> CliError {
    stays_unknown(&format!("{why}; when it was sent again: {}", failure.message()))
        .caused_by(failure)
}

/// Failures of several commands: the caller prints the last one, those before it are printed here.
#[derive(Default)]
pub(crate) struct Failures(Option<CliError>);

impl Failures {
    /// Takes what one of them came to.
    pub(crate) fn note(&mut self, outcome: CliResult) {
        if let Err(failure) = outcome
            && let Some(earlier) = self.0.replace(failure)
        {
            earlier.tell();
        }
    }

    /// What all of them came to where the manager can't be reached any more; nobody has asked it
    /// about these objects yet.
    pub(crate) fn give_up(mut self, failure: CliError, left: &[String]) -> CliResult {
        self.note(Err(failure));
        if !left.is_empty() {
            let message = format!("the manager was not asked about {}", left.join(", "));
            let hint = "repeat the command for those once a manager answers";
            self.note(Err(CliError::unreachable(message).hint(hint)));
        }
        self.end()
    }

    /// What all of them came to.
    pub(crate) fn end(self) -> CliResult {
        self.0.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_the_manager_was_not_asked_about_is_told() {
        let gave_up = |left: &[&str]| {
            let left: Vec<String> = left.iter().map(|name| (*name).to_owned()).collect();
            let failures = Failures::default();
            let told = failures.give_up(CliError::unreachable("it went away"), &left);
            told.expect_err("it failed").to_string()
        };
        assert_eq!(gave_up(&[]), "error: it went away");
        assert_eq!(
            gave_up(&["b", "c"]),
            "error: the manager was not asked about b, c\nhint: repeat the command for those once a \
             manager answers"
        );
    }
}
