//! What is known of a command by its id, and what is recorded of it. PURE.

use super::answer::Answer;
use crate::admit::{Refusal, Request};
use sha2::{Digest as _, Sha256};
use skep_projections::{
    View,
    stamps::{CommandStatus, DoneCommand},
};
use skep_proto::{
    LINEAGE_LEVEL, Lineage, counted,
    v1::{Author, Command, CommandId, TraceContext},
};

/// Bytes of the warnings of one answer; at it the others are counted. They are remembered as long
/// as the command's id, in memory.
const ANSWER_WARNINGS_BYTES_MAX: usize = 4 << 10;
/// What precedes a command's bytes in its hash.
const COMMAND_PREFIX: &[u8] = b"skep command 1";

/// What a request carries into its records.
pub(super) struct Envelope<'a> {
    pub(super) id: Option<CommandId>,
    pub(super) trace: Option<&'a TraceContext>,
    pub(super) reason: &'a str,
}

impl Envelope<'_> {
    pub(super) fn of(request: &Request) -> Envelope<'_> {
        match request {
            Request::Command(command) => Envelope {
                id: command.id.filter(|id| id.stamp != 0),
                trace: command.trace.as_ref(),
                reason: &command.reason,
            },
            Request::Machine(_) => Envelope { id: None, trace: None, reason: "" },
        }
    }

    /// The id as records carry it: their lineage stands in the entry's header. A program that knows
    /// no lineages would not read the other fields.
    pub(super) fn recorded_id(&self, view: &View) -> Option<CommandId> {
        let CommandId { stamp, number, .. } = self.id?;
        if view.level() < LINEAGE_LEVEL {
            return Some(CommandId { stamp, number, ..CommandId::default() });
        }
        Some(CommandId { lineage: 0, ..self.id? })
    }
}

/// Binds a command's id to what it asks, whatever the caller says: the same id for another command
/// is refused. Not bound to the trace, which each attempt may have its own of.
pub fn bind(command: &mut Command) {
    let Some(id) = command.id.as_mut().filter(|id| id.stamp != 0) else { return };
    let mut asked = Vec::new();
    if let Some(action) = &command.action {
        action.encode(&mut asked);
    }
    let hash = Sha256::new()
        .chain_update(COMMAND_PREFIX)
        .chain_update((command.reason.len() as u64).to_be_bytes())
        .chain_update(&command.reason)
        .chain_update(asked)
        .finalize();
    // 0 is no hash.
    id.command_hash = hash[..8].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte)).max(1);
}

/// The answer that follows from the command's id alone; none where it has to be decided.
pub(super) fn by_id(view: &View, id: CommandId, author: &Author) -> Option<Answer> {
    let refusal = match view.command_status(id, author) {
        CommandStatus::New => return None,
        CommandStatus::Done(done) => return Some(again(done)),
        CommandStatus::Expired => {
            Refusal::expired("the command's id is too old to tell whether it was done")
                .hint("look whether it took effect, then send it under a new id")
        }
        CommandStatus::OtherHistory if id.lineage == 0 => Refusal::expired(
            "the command's id was given before this cluster had a lineage, or by a client that knows of none",
        )
        .hint("send it again, with the `skep` of the manager's version"),
        CommandStatus::OtherHistory => Refusal::expired(format!(
            "the command's id was given in lineage {}, and this cluster's history goes on in lineage {}: whether the \
             command was done before, it cannot tell",
            Lineage(id.lineage),
            view.lineage()
        ))
        .hint("look whether it took effect, then send it under a new id"),
        CommandStatus::OtherAuthor => {
            Refusal::permission("the command's id was given to somebody else")
                .hint("ask for a stamp of your own (Greet), and number your commands under it")
        }
        CommandStatus::OtherCommand(revision) => Refusal::invalid(format!(
            "another command was done under this id, at revision {revision}"
        ))
        .hint("give each command a number of its own"),
    };
    Some(Answer::Refused(refusal))
}

/// The answer to a command that took effect already, as far as this view knows.
pub(crate) fn done_before(view: &View, request: &Request, author: &Author) -> Option<Answer> {
    match view.command_status(Envelope::of(request).id?, author) {
        CommandStatus::Done(done) => Some(match again(done) {
            // All that followed until now.
            Answer::Accepted { revision, object, changed, warnings, .. } => {
                let through = view.position().revision;
                Answer::Accepted { revision, through, object, changed, warnings }
            }
            other @ (Answer::Refused(_) | Answer::Unknown(_)) => other,
        }),
        CommandStatus::New
        | CommandStatus::Expired
        | CommandStatus::OtherHistory
        | CommandStatus::OtherAuthor
        | CommandStatus::OtherCommand(_) => None,
    }
}

/// As many of the warnings as an answer may have.
pub(super) fn bounded(mut warnings: Vec<String>) -> Vec<String> {
    let sizes = warnings.iter().scan(0, |bytes, warning| {
        *bytes += warning.len();
        Some(*bytes)
    });
    let kept = sizes.take_while(|bytes| *bytes <= ANSWER_WARNINGS_BYTES_MAX).count();
    let others = warnings.len() - kept;
    if others > 0 {
        warnings.truncate(kept);
        warnings.push(format!("and {}", counted(others, "other warning")));
    }
    warnings
}

fn again(done: DoneCommand) -> Answer {
    let DoneCommand { revision, object, warnings } = done;
    Answer::Accepted { revision, through: revision, object, changed: true, warnings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_so_many_warnings_and_counts_the_others() {
        let few = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(bounded(few.clone()), few);
        let full = vec!["x".repeat(ANSWER_WARNINGS_BYTES_MAX)];
        assert_eq!(bounded(full.clone()), full);
        let many: Vec<String> =
            (0..10).map(|_| "y".repeat(ANSWER_WARNINGS_BYTES_MAX / 3)).collect();
        let kept = bounded(many);
        assert_eq!((kept.len(), kept[3].as_str()), (4, "and 7 other warnings"));
    }
}
