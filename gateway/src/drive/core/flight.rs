//! The entries in flight: proposed, and not yet both committed and announced.
//!
//! This is the one place that knows what is in flight. Answers wait here with the entry that they
//! were decided on. An answer that recorded nothing rests on everything proposed before it, so it
//! waits with the newest entry.

use super::queue::{Asker, WaitingCaller};
use crate::{clock::Uptime, turn::Answer};
use skep_log::chain::Hash;
use skep_projections::{Delta, View};
use skep_proto::time::SECOND_NS;
use std::{collections::VecDeque, mem, sync::Arc};

/// Entries in flight; at it the next turn waits.
pub const IN_FLIGHT_MAX: usize = 8;
/// Time the log may take to confirm an entry; then the commands in it get the outcome "unknown".
/// The entry itself stays in flight.
pub(super) const CONFIRM_NS_MAX: u64 = 10 * SECOND_NS;

/// How far an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EntryStatus {
    /// Nothing yet.
    Proposed,
    /// The log gave it up. It may still become history, in its place or never.
    Failed,
    /// It is history, and followers do not see it yet.
    Committed,
}

struct InFlightEntry<C> {
    hash: Hash,
    view: View,
    delta: Arc<Delta>,
    answers: Vec<(WaitingCaller<C>, Answer)>,
    since: Uptime,
    status: EntryStatus,
}

/// Entries that were proposed, in their order.
pub(super) struct Flight<C> {
    entries: VecDeque<InFlightEntry<C>>,
}

impl<C> Default for Flight<C> {
    fn default() -> Flight<C> {
        Flight { entries: VecDeque::new() }
    }
}

impl<C> Flight<C> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= IN_FLIGHT_MAX
    }

    /// Whether the log has still something to say of an entry.
    pub(super) fn awaits_log(&self) -> bool {
        self.entries.iter().any(|entry| entry.status == EntryStatus::Proposed)
    }

    pub(super) fn push(
        &mut self,
        hash: Hash,
        (view, delta): (View, Delta),
        answers: Vec<(WaitingCaller<C>, Answer)>,
        since: Uptime,
    ) {
        let delta = Arc::new(delta);
        self.entries.push_back(InFlightEntry {
            hash,
            view,
            delta,
            answers,
            since,
            status: EntryStatus::Proposed,
        });
    }

    /// Lets answers wait for everything that is in flight; gives them back when nothing is.
    pub(super) fn attach(
        &mut self,
        answers: Vec<(WaitingCaller<C>, Answer)>,
    ) -> Vec<(WaitingCaller<C>, Answer)> {
        match self.entries.back_mut() {
            Some(newest) => {
                newest.answers.extend(answers);
                Vec::new()
            }
            None => answers,
        }
    }

    /// The view and the change of an entry that was committed, if it is the next one of those in
    /// flight.
    pub(super) fn commit(&mut self, hash: Hash) -> Option<(View, Arc<Delta>)> {
        let next = self.entries.iter_mut().find(|entry| entry.status != EntryStatus::Committed)?;
        if next.hash != hash {
            return None;
        }
        next.status = EntryStatus::Committed;
        Some((next.view.clone(), next.delta.clone()))
    }

    /// Answers of entries that are committed, and that everybody can see now.
    pub(super) fn announced(&mut self) -> Vec<(WaitingCaller<C>, Answer)> {
        let mut answers = Vec::new();
        while let Some(entry) =
            self.entries.pop_front_if(|entry| entry.status == EntryStatus::Committed)
        {
            answers.extend(entry.answers);
        }
        answers
    }

    /// The log gave an entry up.
    pub(super) fn fail(&mut self, hash: Hash) {
        let found = self.entries.iter_mut().find(|entry| entry.hash == hash);
        if let Some(entry) = found.filter(|entry| entry.status == EntryStatus::Proposed) {
            entry.status = EntryStatus::Failed;
        }
    }

    /// Takes out what is not committed; returns who waits for it.
    pub(super) fn give_up(&mut self) -> Vec<WaitingCaller<C>> {
        let committed =
            self.entries.iter().take_while(|entry| entry.status == EntryStatus::Committed).count();
        let given_up = self.entries.split_off(committed);
        given_up.into_iter().flat_map(|entry| entry.answers).map(|(held, _)| held).collect()
    }

    /// When the log has taken too long to confirm what a command waits for.
    pub(super) fn deadline(&self) -> Option<Uptime> {
        let waits = |entry: &&InFlightEntry<C>| {
            entry.answers.iter().any(|(held, _)| held.asker == Asker::Person)
        };
        self.entries.iter().find(waits).map(|entry| entry.since + CONFIRM_NS_MAX)
    }

    /// When the oldest entry was proposed that the log has not confirmed.
    pub(super) fn unconfirmed_since(&self) -> Option<Uptime> {
        self.entries
            .iter()
            .find(|entry| entry.status != EntryStatus::Committed)
            .map(|entry| entry.since)
    }

    /// Takes out who waits too long, and leaves the entries.
    pub(super) fn expired(&mut self, now: Uptime) -> Vec<WaitingCaller<C>> {
        let mut expired = Vec::new();
        for entry in self.entries.iter_mut().take_while(|entry| entry.since + CONFIRM_NS_MAX <= now)
        {
            for (held, answer) in mem::take(&mut entry.answers) {
                match held.asker {
                    Asker::Person => expired.push(held),
                    Asker::Machine => entry.answers.push((held, answer)),
                }
            }
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::{Id, Revision};

    #[test]
    fn only_what_a_person_waits_for_has_a_deadline() {
        let mut flight = Flight::<u64>::default();
        let mut push = |asker: Asker, since: Uptime| {
            let waiting = WaitingCaller { caller: Some(1), asker, since };
            let answer = Answer::Accepted {
                revision: Revision(1),
                through: Revision(1),
                object: Id(1),
                changed: true,
                warnings: Vec::new(),
            };
            let entry = (View::default(), Delta::default());
            flight.push(Hash::ZERO, entry, vec![(waiting, answer)], since);
            flight.deadline()
        };
        assert_eq!(push(Asker::Machine, Uptime(5)), None);
        let deadline = Some(Uptime(7 + CONFIRM_NS_MAX));
        assert_eq!(push(Asker::Person, Uptime(7)), deadline);
        assert_eq!(push(Asker::Person, Uptime(9)), deadline, "that of the oldest");
    }
}
