//! What the log calls when an entry is committed: the view goes on, answers are given, followers are told.
//!
//! On the leader each record is applied once: the committed view becomes the handle that the tip had after that
//! entry. Entries that this process did not write, at a restart, are decoded and folded.

use super::inbox::{Inbox, Reply};
use crate::{metrics::Counters, published::Published, turn::Answer};
use skep_log::{Entry, Fold, Halt, RestoreError, chain::Hash};
use skep_projections::{
    Delta, View,
    apply::Stamp,
    snapshot::{self, SnapshotError},
};
use skep_proto::{
    Position, Revision, Timestamp,
    v1::{Record, event::Kind},
};
use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, watch};

/// A turn that was proposed and is not yet committed.
pub(super) struct Pending {
    pub(super) hash: Hash,
    pub(super) view: View,
    pub(super) delta: Arc<Delta>,
    pub(super) answers: Vec<(Reply, Answer)>,
}

/// What committed changes and answers the sessions have not yet taken; changes of several commits are put
/// together, so that it never holds more than the view and the requests that wait.
#[derive(Default)]
pub struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// Everything since the last look.
#[derive(Default)]
pub struct Mail {
    /// The newest view and all that changed up to it.
    pub committed: Option<(View, Arc<Delta>)>,
    /// Answers by the sessions' tokens.
    pub answers: Vec<(u64, Answer)>,
}

impl Mailbox {
    /// Waits for mail and takes it all.
    pub async fn take(&self) -> Mail {
        loop {
            let arrived = self.arrived.notified();
            let mail = mem::take(&mut *self.lock());
            if mail.committed.is_some() || !mail.answers.is_empty() {
                return mail;
            }
            arrived.await;
        }
    }

    pub(super) fn answered(&self, answers: Vec<(u64, Answer)>) {
        self.lock().answers.extend(answers);
        self.arrived.notify_one();
    }

    fn committed(&self, view: &View, delta: &Arc<Delta>, answers: Vec<(u64, Answer)>) {
        let mut mail = self.lock();
        match &mut mail.committed {
            Some((newest, all)) => {
                newest.clone_from(view);
                Arc::make_mut(all).merge(delta);
            }
            None => mail.committed = Some((view.clone(), delta.clone())),
        }
        mail.answers.extend(answers);
        drop(mail);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the turn's thread and the fold share.
pub struct Shared {
    inbox: Arc<Inbox>,
    pending: Mutex<VecDeque<Pending>>,
    published: watch::Sender<Arc<Published>>,
    head: Mutex<Hash>,
    mailbox: Mailbox,
    counters: Arc<Counters>,
}

impl Shared {
    /// Nothing committed yet.
    pub fn new(counters: Arc<Counters>) -> Arc<Shared> {
        let empty = Arc::new(Published { view: View::default(), delta: Arc::new(Delta::default()) });
        Arc::new(Shared {
            inbox: Arc::default(),
            pending: Mutex::default(),
            published: watch::Sender::new(empty),
            head: Mutex::new(Hash::ZERO),
            mailbox: Mailbox::default(),
            counters,
        })
    }

    /// The fold to open a log with.
    pub fn fold(self: &Arc<Shared>) -> Committed {
        Committed { view: View::default(), unannounced: Vec::new(), shared: self.clone() }
    }

    pub(super) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(super) fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// What the sessions have to hear.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The committed view and the hash of its newest entry.
    pub(super) fn committed(&self) -> (View, Hash) {
        let head = *self.head.lock().unwrap_or_else(PoisonError::into_inner);
        (self.published.borrow().view.clone(), head)
    }

    pub(super) fn await_commit(&self, pending: Pending) {
        self.pending().push_back(pending);
    }

    /// Answers that belong to no entry wait for what was proposed before them.
    pub(super) fn answer_after_pending(&self, answers: Vec<(Reply, Answer)>) {
        let mut pending = self.pending();
        match pending.back_mut() {
            Some(last) => last.answers.extend(answers),
            None => {
                drop(pending);
                self.give(answers, |answers| self.mailbox.answered(answers));
            }
        }
    }

    /// Nobody knows what becomes of what is in flight.
    pub(super) fn give_up(&self, why: &str) {
        let pending = mem::take(&mut *self.pending());
        for (reply, _) in pending.into_iter().flat_map(|turn| turn.answers) {
            self.answer_now(reply, Answer::Unknown(why.to_owned()));
        }
    }

    /// An answer that rests on nothing that is decided.
    pub(super) fn answer_now(&self, reply: Reply, answer: Answer) {
        self.give(vec![(reply, answer)], |answers| self.mailbox.answered(answers));
    }

    fn give(&self, answers: Vec<(Reply, Answer)>, to_sessions: impl FnOnce(Vec<(u64, Answer)>)) {
        let mut sessions = Vec::new();
        for (reply, answer) in answers {
            match reply {
                // A caller that has gone does not need its answer.
                Reply::Caller(caller) => drop(caller.send(answer)),
                Reply::Batch(batch, place) => batch.answer(place, answer),
                Reply::Session(token) => sessions.push((token, answer)),
                Reply::Nobody => {}
            }
        }
        to_sessions(sessions);
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry that was applied and not yet announced.
struct Applied {
    hash: Hash,
    view: View,
    delta: Arc<Delta>,
}

/// The committed view, as the log's fold.
pub struct Committed {
    view: View,
    unannounced: Vec<Applied>,
    shared: Arc<Shared>,
}

impl Committed {
    /// What the tip had after this entry, if this process wrote it. The turn goes on waiting: its answers, and
    /// those that come after it, are given when the entry is announced.
    fn adopt(&self, entry: &Entry) -> Option<(View, Arc<Delta>)> {
        let pending = self.shared.pending();
        let turn = pending.iter().find(|turn| turn.hash == entry.hash)?;
        Some((turn.view.clone(), turn.delta.clone()))
    }

    /// The view after an entry that this process did not write. An error leaves no half of the entry behind.
    fn replay(&self, entry: &Entry) -> Result<(View, Arc<Delta>), Halt> {
        let mut view = self.view.clone();
        let mut delta = Delta::default();
        let header = &entry.header;
        let records = entry.decode().map_err(|error| Halt { message: error.to_string() })?;
        for (revision, record) in records {
            compare(&view, revision, &record)?;
            let stamp = Stamp { revision, at: Timestamp(header.at), incarnation: header.incarnation };
            let folded = view.apply_into(stamp, &record, &mut delta);
            folded.map_err(|error| Halt { message: error.to_string() })?;
        }
        Ok((view, Arc::new(delta)))
    }

    fn publish(&self, head: Hash, view: View, delta: Arc<Delta>) {
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        self.shared.published.send_replace(Arc::new(Published { view, delta }));
    }
}

/// A checkpoint says what every manager's digest must be here; one that differs has a view nobody may act on.
fn compare(view: &View, revision: Revision, record: &Record) -> Result<(), Halt> {
    let Some(Kind::Checkpoint(checkpoint)) = record.event.as_ref().and_then(|e| e.kind.as_ref()) else {
        return Ok(());
    };
    if checkpoint.digest[..] == view.digest().0.to_be_bytes() {
        return Ok(());
    }
    let message = format!(
        "the view folded up to revision {revision} differs from what the log says it must be; \
         run `skep verify --state-dir …` and report the difference"
    );
    Err(Halt { message })
}

impl Fold for Committed {
    fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Halt> {
        let (view, delta) = match self.adopt(entry) {
            Some(adopted) => adopted,
            None => self.replay(entry)?,
        };
        self.view = view.clone();
        self.unannounced.push(Applied { hash: entry.hash, view, delta });
        Ok(())
    }

    fn announce(&mut self) {
        for Applied { hash, view, delta } in mem::take(&mut self.unannounced) {
            self.publish(hash, view.clone(), delta.clone());
            let turn = self.shared.pending().pop_front_if(|turn| turn.hash == hash);
            let answers = turn.map_or_else(Vec::new, |turn| turn.answers);
            self.shared.give(answers, |answers| self.shared.mailbox.committed(&view, &delta, answers));
        }
    }

    fn freeze(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
        let view = self.view.clone();
        Box::new(move || snapshot::encode(&view))
    }

    fn restore(&mut self, _position: Position, head: Hash, bytes: &[u8]) -> Result<(), RestoreError> {
        self.view = snapshot::decode(bytes).map_err(|error| match error {
            SnapshotError::Format { .. } => RestoreError::OtherVersion(error.to_string()),
            SnapshotError::Damaged { .. }
            | SnapshotError::Contradiction { .. }
            | SnapshotError::Digest { .. } => RestoreError::damaged(error.to_string()),
        })?;
        // Where the newest snapshot is the newest entry, nothing is replayed that would tell the head.
        self.unannounced.clear();
        self.publish(head, self.view.clone(), Arc::default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::World;

    #[test]
    fn a_restored_fold_names_the_head_that_the_next_entry_must_name() {
        let world = World::of("node n1 | service web | task web.1 on n1 running");
        let shared = Shared::new(Arc::default());
        let mut fold = shared.fold();
        let head = Hash([7; 32]);
        fold.restore(world.view.position(), head, &snapshot::encode(&world.view)).unwrap();
        let (view, found) = shared.committed();
        assert_eq!((view.digest(), found), (world.view.digest(), head));
    }
}
