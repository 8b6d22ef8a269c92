//! REC-15: what an entry's header names is enough to take its turn again. From the view before and
//! the records of its requests the reconcilers decide the very records that followed.
//!
//! LOG-8: the header names the lineage that the records lead to.

use super::{checkers::Check, disk};
use skep_log::SealedEntry;
use skep_projections::{Delta, View};
use skep_proto::{
    LINEAGE_LEVEL, Timestamp,
    v1::{Record, event::Kind},
};
use skep_reconcilers::{Brain, Entropy, Turn};

/// Takes each turn again, and keeps what it left for the next.
pub(super) struct RepeatedTurns {
    brain: Brain,
    left: Delta,
}

impl Default for RepeatedTurns {
    fn default() -> RepeatedTurns {
        RepeatedTurns { brain: Brain::new(), left: Delta::default() }
    }
}

impl RepeatedTurns {
    /// The turn of the next entry of a history. `entry_records` are as many as its writer puts into
    /// one.
    pub(super) fn repeat(
        &mut self,
        before: &View,
        entry: &SealedEntry,
        entry_records: usize,
    ) -> Check {
        let header = &entry.header;
        let first = header.first_revision;
        let Some(origin) = header.origin else {
            return Err(format!(
                "REC-15: the entry of revision {first} does not say what began it"
            ));
        };
        let mut view = before.clone();
        let left = std::mem::take(&mut self.left);
        let mut delta = match (origin.resumed, origin.continued) {
            (true, _) => self.brain.resume(&view),
            (false, true) => left,
            (false, false) => Delta::default(),
        };
        if origin.continued && delta.is_empty() {
            return Err(format!("REC-15: revision {first} goes on with nothing that was left"));
        }
        let mut followed = Vec::new();
        for (index, (stamp, record)) in disk::records(entry).enumerate() {
            let record = record?;
            if index < origin.requested as usize {
                view.apply_into(stamp, &record, &mut delta).map_err(|error| error.to_string())?;
            } else {
                followed.push(Record { salt: Default::default(), ..record });
            }
        }
        followed.pop_if(|record| is_checkpoint(record));
        let seed =
            header.seed[..].try_into().map_err(|_| format!("REC-15: {first} has no seed"))?;
        let turn = Turn { now: Timestamp(header.at), entropy: Entropy::beside(seed) };
        let room = entry_records.saturating_sub(origin.requested as usize);
        let settled = self.brain.settle(&mut view, delta, &turn, room);
        self.left = settled.left;
        if settled.records != followed {
            return Err(format!(
                "REC-15: the turn of revision {first} taken again: {} and not {}",
                told(&settled.records),
                told(&followed)
            ));
        }
        if view.level() >= LINEAGE_LEVEL && view.lineage().0 != header.lineage {
            return Err(format!("LOG-8: revision {first} names another lineage than its records"));
        }
        Ok(())
    }
}

fn is_checkpoint(record: &Record) -> bool {
    let kind = record.event.as_ref().and_then(|event| event.kind.as_ref());
    matches!(kind, Some(Kind::Checkpoint(_)))
}

fn told(records: &[Record]) -> String {
    format!("{} records ({records:?})", records.len()).chars().take(600).collect()
}
