//! Assignments that arrive in parts: gathered until the last one is there, then taken as one
//! message. PURE.
//!
//! What breaks off in the middle is dropped with its stream and has changed nothing. A part that
//! comes twice is an echo.

use skep_proto::v1::{Assignments, PartTaken};

/// What a message is to those gathered before it.
#[derive(Debug, PartialEq)]
pub(crate) enum GatheredParts {
    /// All of it is there now.
    Whole(Assignments),
    /// A part was taken, and more follow.
    Part(PartTaken),
    /// It has been taken before.
    Echo,
    /// A part before it is missing.
    Gap,
}

/// The parts of one message so far.
#[derive(Debug, Default)]
pub(crate) struct PartCollector(Option<Assignments>);

impl PartCollector {
    pub(crate) fn take(&mut self, message: Assignments) -> GatheredParts {
        if message.part == 0 && !message.more {
            return GatheredParts::Whole(message);
        }
        let (revision, part, more) = (message.revision, message.part, message.more);
        match &mut self.0 {
            Some(begun) if positions(begun) == positions(&message) => {
                if part <= begun.part {
                    return GatheredParts::Echo;
                }
                if part != begun.part + 1 {
                    return GatheredParts::Gap;
                }
                begun.part = part;
                begun.changed.extend(message.changed);
                begun.removed_ids.extend(message.removed_ids);
            }
            Some(_) | None if part == 0 => self.0 = Some(message),
            Some(_) | None => return GatheredParts::Gap,
        }
        if more {
            return GatheredParts::Part(PartTaken { revision, part });
        }
        self.0.take().map_or(GatheredParts::Gap, GatheredParts::Whole)
    }

    pub(crate) fn are_open(&self) -> bool {
        self.0.is_some()
    }

    /// The stream is another one now.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

fn positions(message: &Assignments) -> (bool, [u64; 4]) {
    let Assignments { complete, incarnation, revision, after_revision, lineage, .. } = *message;
    (complete, [incarnation, lineage, revision, after_revision])
}
