//! People: they ask for things, and ask again under the same id when nobody knows what became of
//! it.

pub mod orders;
pub mod specs;

use skep_gateway::turn::Answer;
use skep_projections::View;
use skep_proto::{
    Revision, Timestamp,
    v1::{Command, CommandId, RefusalCode, command::Action},
};
use std::collections::{BTreeMap, BTreeSet};

/// Commands under one stamp, as one connection would have sent them.
const COMMANDS_PER_STAMP: u64 = 100;

/// What somebody asked and what they heard.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The command, to be sent again as it is.
    pub command: Command,
    /// What they were told at last.
    pub told: Option<Answer>,
    /// When it reached a manager first.
    pub first_sent_at: Timestamp,
    /// When it was sent at last.
    pub sent_at: Timestamp,
    /// Whether nothing speaks against it: it must be accepted.
    pub certain: bool,
}

/// Everybody who asks.
#[derive(Default)]
pub struct People {
    asked: BTreeMap<u64, Asked>,
    /// Commands that the manager has, and since when.
    waiting: BTreeMap<u64, Timestamp>,
    /// Commands that nobody has heard of yet.
    open: BTreeSet<u64>,
    next: u64,
    /// The newest stamp that somebody was given.
    stamp: CommandId,
    /// How often a command reached a manager.
    pub sent_count: u64,
    /// Answers that accepted something.
    pub accepted: usize,
    /// Answers that refused something.
    pub refused: usize,
    /// Answers that nobody knew.
    pub unknown: usize,
}

impl People {
    /// A new command, with an id that nobody used before. A stamp is given by a manager that shows
    /// this view.
    pub fn ask(&mut self, action: Action, view: &View) -> Command {
        self.next += 1;
        let lineage = view.lineage().0;
        if self.next % COMMANDS_PER_STAMP == 1 || self.stamp.lineage != lineage {
            let given_revision = view.position().revision.0;
            let stamp = self.stamp.stamp + 1;
            self.stamp = CommandId { stamp, given_revision, lineage, ..CommandId::default() };
        }
        let id = CommandId { number: self.next, ..self.stamp };
        let command = Command { id: Some(id), action: Some(action), ..Command::default() };
        self.open.insert(self.next);
        self.asked.insert(
            self.next,
            Asked {
                command: command.clone(),
                told: None,
                first_sent_at: Timestamp::NEVER,
                sent_at: Timestamp::NEVER,
                certain: false,
            },
        );
        command
    }

    /// The same for something that must be accepted.
    pub fn ask_for_the_possible(&mut self, action: Action, view: &View) -> Command {
        let command = self.ask(action, view);
        if let Some(asked) = self.asked.get_mut(&self.next) {
            asked.certain = true;
        }
        command
    }

    /// A command reaches the manager.
    pub fn sent(&mut self, number: u64, now: Timestamp) {
        if let Some(asked) = self.asked.get_mut(&number) {
            if asked.sent_at == Timestamp::NEVER {
                asked.first_sent_at = now;
            }
            asked.sent_at = now;
            self.sent_count += 1;
            self.waiting.insert(number, now);
        }
    }

    /// The manager that had a command has died.
    pub fn lost(&mut self, number: u64) -> Option<Command> {
        self.waiting.remove(&number);
        Some(self.asked.get(&number)?.command.clone())
    }

    /// Somebody hears what became of it. A command whose fate is unknown is to be sent again.
    pub fn hear(&mut self, number: u64, answer: &Answer) -> Option<Command> {
        self.waiting.remove(&number);
        let asked = self.asked.get_mut(&number)?;
        match answer {
            Answer::Accepted { .. } => self.accepted += 1,
            // Nothing was decided: they try again, as the command line does.
            Answer::Refused(refusal) if refusal.code == RefusalCode::Exhausted => {
                return Some(asked.command.clone());
            }
            Answer::Refused(_) => self.refused += 1,
            Answer::Unknown(_) => {
                self.unknown += 1;
                return Some(asked.command.clone());
            }
        }
        asked.told = Some(answer.clone());
        self.open.remove(&number);
        None
    }

    /// One command.
    pub fn of(&self, number: u64) -> Option<&Asked> {
        self.asked.get(&number)
    }

    /// All commands, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = (u64, &Asked)> {
        self.asked.iter().map(|(number, asked)| (*number, asked))
    }

    /// Commands that the manager has and nobody has heard of since, and since when.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, Timestamp)> + '_ {
        self.waiting.iter().map(|(number, since)| (*number, *since))
    }

    /// What was acknowledged as changing something: the command's number and its revision.
    pub fn told(&self) -> impl Iterator<Item = (u64, Revision)> + '_ {
        self.asked.iter().filter_map(|(number, asked)| match &asked.told {
            Some(Answer::Accepted { revision, changed: true, .. }) => Some((*number, *revision)),
            Some(Answer::Accepted { .. } | Answer::Refused(_) | Answer::Unknown(_)) | None => None,
        })
    }

    /// Whether nobody waits for an answer.
    pub fn are_content(&self) -> bool {
        self.open.is_empty()
    }
}
