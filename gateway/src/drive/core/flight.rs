//! The entries in flight: proposed, and not yet both committed and announced.
//!
//! This is the one place that knows what is in flight. Answers wait here with the entry that they
//! were decided on. An answer that recorded nothing rests on everything proposed before it, so it
//! waits with the newest entry. That this is committed does not prove that the manager still led
//! when it decided: the entry may have been committed long before this manager hears of it.

use super::queue::{Asker, WaitingCaller};
use crate::{clock::Uptime, turn::Decided};
use skep_log::chain::Hash;
use skep_projections::{Delta, View};
use skep_proto::time::SECOND_NS;
use std::{collections::VecDeque, sync::Arc};

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
    decided: Decided<WaitingCaller<C>>,
    /// Decided after it, without an entry of their own.
    unrecorded: Decided<WaitingCaller<C>>,
    since: Uptime,
    status: EntryStatus,
}

/// The answers that waited for an entry.
pub(super) struct AnnouncedAnswers<C> {
    /// Those that the entry records.
    pub(super) recorded: Decided<WaitingCaller<C>>,
    /// Those that recorded nothing and rest on it.
    pub(super) unrecorded: Decided<WaitingCaller<C>>,
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

    /// The view with everything that is in flight; none where nothing is.
    pub(super) fn newest_view(&self) -> Option<&View> {
        self.entries.back().map(|entry| &entry.view)
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
        decided: Decided<WaitingCaller<C>>,
        since: Uptime,
    ) {
        let delta = Arc::new(delta);
        self.entries.push_back(InFlightEntry {
            hash,
            view,
            delta,
            decided,
            unrecorded: Decided::default(),
            since,
            status: EntryStatus::Proposed,
        });
    }

    /// Lets answers that recorded nothing wait for everything that is in flight; gives them back
    /// when nothing is.
    pub(super) fn attach(
        &mut self,
        decided: Decided<WaitingCaller<C>>,
    ) -> Decided<WaitingCaller<C>> {
        match self.entries.back_mut() {
            Some(newest) => {
                newest.unrecorded.extend(decided);
                Decided::default()
            }
            None => decided,
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

    /// What was decided with the oldest entry, if that is committed: everybody can see it now.
    pub(super) fn announced(&mut self) -> Option<AnnouncedAnswers<C>> {
        let entry = self.entries.pop_front_if(|entry| entry.status == EntryStatus::Committed)?;
        Some(AnnouncedAnswers { recorded: entry.decided, unrecorded: entry.unrecorded })
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
        let waited = given_up
            .into_iter()
            .flat_map(|entry| entry.decided.into_answers().chain(entry.unrecorded.into_answers()));
        waited.map(|(held, _)| held).collect()
    }

    /// When the log has taken too long to confirm what a command waits for.
    pub(super) fn deadline(&self) -> Option<Uptime> {
        let waits = |entry: &&InFlightEntry<C>| {
            let mut callers = entry.decided.callers().chain(entry.unrecorded.callers());
            callers.any(|held| held.asker == Asker::Person)
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
        self.take_people(|entry| entry.since + CONFIRM_NS_MAX <= now)
    }

    /// Takes out all people, and leaves the entries.
    pub(super) fn people(&mut self) -> Vec<WaitingCaller<C>> {
        self.take_people(|_| true)
    }

    fn take_people(
        &mut self,
        is_chosen: impl Fn(&InFlightEntry<C>) -> bool,
    ) -> Vec<WaitingCaller<C>> {
        let mut taken = Vec::new();
        for entry in self.entries.iter_mut().take_while(|entry| is_chosen(entry)) {
            for decided in [&mut entry.decided, &mut entry.unrecorded] {
                taken.extend(decided.take_out(|held| held.asker == Asker::Person));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::{super::queue::RequestArrival, *};
    use crate::{
        admit::Request,
        turn::{Answer, Ask},
    };
    use skep_proto::v1::Command;

    fn decided(asked: &[(u64, Asker)], since: Uptime) -> Decided<WaitingCaller<u64>> {
        let ask = |(caller, asker): &(u64, Asker)| Ask {
            caller: WaitingCaller {
                caller: Some(*caller),
                asker: *asker,
                arrival: RequestArrival::Here,
                since,
            },
            author: Arc::default(),
            request: Request::Command(Command::default()),
            bytes: 0,
        };
        let answer = |(caller, _): &(u64, Asker)| Answer::Unknown(format!("answer {caller}"));
        Decided::new(asked.iter().map(ask).collect(), asked.iter().map(answer).collect())
    }

    #[test]
    fn only_a_person_stops_waiting_for_an_answer_and_the_others_keep_theirs() {
        let mut flight = Flight::<u64>::default();
        let asked = [(1, Asker::Machine), (2, Asker::Person), (3, Asker::Machine)];
        let since = Uptime(7);
        let entry = (View::default(), Delta::default());
        flight.push(Hash::ZERO, entry, decided(&asked, since), since);
        let later = flight.attach(decided(&[(4, Asker::Machine)], since));
        assert!(later.answers().is_empty(), "it waits with the entry");
        let expired = flight.expired(since + CONFIRM_NS_MAX);
        assert_eq!(expired.iter().map(|held| held.caller).collect::<Vec<_>>(), [Some(2)]);
        assert!(flight.announced().is_none(), "it is not committed");
        flight.commit(Hash::ZERO);
        let announced = flight.announced().into_iter().flat_map(|announced| {
            announced.recorded.into_answers().chain(announced.unrecorded.into_answers())
        });
        let told: Vec<String> =
            announced.map(|(held, answer)| format!("{:?} {answer:?}", held.caller)).collect();
        let unknown = |caller| format!("Some({caller}) Unknown(\"answer {caller}\")");
        assert_eq!(told, [1, 3, 4].map(unknown));
        assert!(flight.announced().is_none());
    }

    #[test]
    fn only_what_a_person_waits_for_has_a_deadline() {
        let mut flight = Flight::<u64>::default();
        let mut push = |asker: Asker, since: Uptime| {
            let entry = (View::default(), Delta::default());
            flight.push(Hash::ZERO, entry, decided(&[(1, asker)], since), since);
            flight.deadline()
        };
        assert_eq!(push(Asker::Machine, Uptime(5)), None);
        let deadline = Some(Uptime(7 + CONFIRM_NS_MAX));
        assert_eq!(push(Asker::Person, Uptime(7)), deadline);
        assert_eq!(push(Asker::Person, Uptime(9)), deadline, "that of the oldest");
    }
}
