//! One step of the leader: take what came in, admit or refuse it, let the reconcilers speak, seal
//! one entry. PURE.
//!
//! The tip is the view with everything proposed so far, committed or not. A turn works on it alone;
//! time and entropy are handed in. What it returns is data: an entry to be proposed, the view after
//! it, and the answers, none of which may be given before the entry is committed.

mod answer;
mod command_id;
mod decided;
mod ledger;
mod seeds;

use crate::admit::{self, Refusal, Request};
pub use answer::Answer;
use command_id::Envelope;
pub use command_id::bind;
pub(crate) use command_id::done_before;
pub use decided::Decided;
use ledger::{Ledger, Verdict};
use seeds::Salts;
pub use seeds::Seeds;
use skep_log::chain::{self, Draft, EncodedRecords, Hash, MadeFrom, SealedEntry};
use skep_projections::{Delta, View, apply::Stamp};
use skep_proto::{
    FEATURE_LEVEL, LINEAGE_LEVEL, Revision, Timestamp,
    v1::{
        Author, Checkpoint, CommandId, CommandRefused, Event, Record, RefusalCode, TurnOrigin,
        event::Kind,
    },
};
use skep_reconcilers::{Brain, Entropy, Turn};
use std::sync::Arc;

/// Records of one entry; the rest of a turn goes on in the next entry. One command's events are
/// never split.
pub const ENTRY_RECORDS_MAX: usize = 4_096;
/// The least part of an entry that requests leave to the reconcilers, one record in so many: a
/// flood of requests must not keep lost tasks from being replaced.
const RECONCILERS_SHARE_MIN_DIVISOR: usize = 4;
/// Bytes of one entry's requests, encoded; the rest of a turn goes on in the next entry.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;
/// A checkpoint with the view's digest is recorded when the history passes a multiple of this.
pub const CHECKPOINT_PERIOD_RECORDS: u64 = 10_000;

/// A request and who makes it.
#[derive(Clone, Debug)]
pub struct Ask<C> {
    /// Who gets the answer. The turn only carries it from the request to its answer.
    pub caller: C,
    /// Who asks. Shared by the requests of a message.
    pub author: Arc<Author>,
    /// What is asked.
    pub request: Request,
    /// Encoded size of the request, for the entry's bound.
    pub bytes: usize,
}

/// What one turn produced.
pub struct TurnOutput<C> {
    /// To be proposed; none when nothing was recorded.
    pub entry: Option<SealedEntry>,
    /// The view after it.
    pub view: View,
    /// What it changed.
    pub delta: Delta,
    /// The requests with their answers, to be given when the entry, or what was proposed before it,
    /// is committed.
    pub decided: Decided<C>,
    /// Requests that no longer fitted; they come first in the next turn.
    pub rest: Vec<Ask<C>>,
    /// Whether the next turn has work waiting even if nothing comes in.
    pub more: bool,
    /// When the reconcilers want to be asked again.
    pub wake_at: Option<Timestamp>,
    /// Records in the entry.
    pub records: usize,
}

/// The leader's side of the log: the tip, and what is left to do on it.
pub struct Tip {
    view: View,
    head: Hash,
    brain: Brain,
    left: Delta,
    /// Nothing was decided on this tip yet: what is left is all that the view shows.
    is_fresh: bool,
    wake_at: Option<Timestamp>,
    ledger: Ledger,
    code_version: String,
    entry_records: usize,
    /// Room for the next entry's records.
    room: EncodedRecords,
}

/// An entry being written.
struct OpenEntry {
    records: EncodedRecords,
    /// At so many records the entry takes no more requests.
    records_max: usize,
    bytes: usize,
    delta: Delta,
    at: Timestamp,
    seed: [u8; 32],
    origin: TurnOrigin,
    salts: Salts,
}

impl Tip {
    /// Begins on a committed view: the reconcilers find again what was left undone.
    pub fn new(view: View, head: Hash, brain: Brain, code_version: &str) -> Tip {
        let left = brain.resume(&view);
        Tip {
            view,
            head,
            brain,
            left,
            is_fresh: true,
            wake_at: None,
            ledger: Ledger::default(),
            code_version: code_version.into(),
            entry_records: ENTRY_RECORDS_MAX,
            room: EncodedRecords::default(),
        }
    }

    /// The same with entries of at most so many records: the simulator cuts small turns as
    /// production cuts large ones.
    #[must_use]
    pub fn with_entry_records(mut self, records: usize) -> Tip {
        self.entry_records = records.clamp(1, ENTRY_RECORDS_MAX);
        self
    }

    /// The view with everything proposed so far.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// One step. `now` must not be before the newest record; it is raised to it if it is.
    pub fn turn<C>(
        &mut self,
        mut asks: Vec<Ask<C>>,
        now: Timestamp,
        seeds: Seeds,
    ) -> TurnOutput<C> {
        let at = now.max(self.view.at());
        let first = self.view.position().revision.next();
        let mut open = self.open(at, seeds);
        let turn = Turn { now: at, entropy: Entropy::new(seeds.ids) };
        let mut answers = Vec::with_capacity(asks.len());
        for ask in &asks {
            if open.is_full() {
                break;
            }
            open.bytes += ask.bytes;
            answers.push(self.decide(ask, &turn, &mut open));
        }
        open.origin.requested = open.records.len() as u32;
        let rest = asks.split_off(answers.len());
        if !rest.is_empty() {
            asks.shrink_to_fit();
        }
        let wake_at = self.settle(&mut open);
        self.checkpoint(first, &mut open);
        let through = self.view.position().revision;
        for answer in &mut answers {
            if let Answer::Accepted { through: newest, .. } = answer {
                *newest = through;
            }
        }
        let records = open.records.len();
        let more = !self.left.is_empty() || !rest.is_empty();
        let delta = std::mem::take(&mut open.delta);
        let entry = self.seal(first, open);
        let (view, decided) = (self.view.clone(), Decided::new(asks, answers));
        TurnOutput { entry, view, delta, decided, rest, more, wake_at, records }
    }

    fn open(&mut self, at: Timestamp, seeds: Seeds) -> OpenEntry {
        let resumed = std::mem::take(&mut self.is_fresh);
        let delta = std::mem::take(&mut self.left);
        let origin = TurnOrigin {
            requested: 0,
            continued: !resumed && !delta.is_empty(),
            woken: self.wake_at.is_some_and(|wake_at| wake_at <= at),
            resumed,
        };
        let reserved = (self.entry_records / RECONCILERS_SHARE_MIN_DIVISOR).max(1);
        OpenEntry {
            records: std::mem::take(&mut self.room),
            records_max: self.entry_records.saturating_sub(reserved).max(1),
            bytes: 0,
            delta,
            at,
            seed: seeds.ids,
            origin,
            salts: Salts::new(seeds.salts),
        }
    }

    fn decide<C>(&mut self, ask: &Ask<C>, turn: &Turn, open: &mut OpenEntry) -> Answer {
        let envelope = Envelope::of(&ask.request);
        if let Some(id) = envelope.id
            && let Some(answer) = command_id::by_id(&self.view, id, &ask.author)
        {
            // One that nobody can have sent by sending again: somebody tries, or errs.
            if let Answer::Refused(refusal) = &answer
                && refusal.code != RefusalCode::Expired
            {
                self.record_refusal(ask, refusal, open);
            }
            return answer;
        }
        match admit::admit(&self.view, &ask.request, &turn.entropy) {
            Err(refusal) => {
                self.record_refusal(ask, &refusal, open);
                Answer::Refused(refusal)
            }
            Ok(admitted) => {
                let changed = !admitted.events.is_empty();
                let mut revision = self.view.position().revision;
                if changed {
                    revision = revision.next();
                }
                let command = envelope.recorded_id(&self.view);
                let told = command_id::bounded(admitted.warnings);
                open.bytes += told.iter().map(String::len).sum::<usize>();
                let mut warnings = self.recorded_warnings(command, &told);
                for (cause, kind) in admitted.events {
                    let record = Record {
                        author: Some((*ask.author).clone()),
                        cause: cause.0,
                        command,
                        trace: envelope.trace.cloned(),
                        reason: envelope.reason.to_owned(),
                        event: Some(Event { kind: Some(kind) }),
                        warnings: std::mem::take(&mut warnings),
                        ..Record::default()
                    };
                    self.write(record, open);
                }
                Answer::Accepted {
                    revision,
                    through: revision,
                    object: admitted.object,
                    changed,
                    warnings: told,
                }
            }
        }
    }

    /// What the first record of a command remembers of its answer: who sends it again under its id
    /// is warned again.
    fn recorded_warnings(&self, id: Option<CommandId>, warnings: &[String]) -> Vec<String> {
        let is_remembered = id.is_some() && self.view.level() >= LINEAGE_LEVEL;
        if is_remembered { warnings.to_vec() } else { Vec::new() }
    }

    /// Refused commands are recorded too, bounded: an attacker must not fill the log.
    fn record_refusal<C>(&mut self, ask: &Ask<C>, refusal: &Refusal, open: &mut OpenEntry) {
        if matches!(ask.request, Request::Machine(_)) {
            return;
        }
        let count = match self.ledger.note(&ask.author, open.at) {
            Verdict::Record { count } => count,
            Verdict::Count => return,
        };
        let (command, object) = admit::describe(&ask.request);
        let refused = CommandRefused {
            command: command.into(),
            code: refusal.code as i32,
            message: refusal.message.clone(),
            object: object.chars().take(128).collect(),
            count,
            object_id: Some(admit::object_of(&self.view, &ask.request))
                .filter(|id| !id.is_none())
                .map(|id| id.to_bytes())
                .unwrap_or_default(),
        };
        let envelope = Envelope::of(&ask.request);
        let record = Record {
            author: Some((*ask.author).clone()),
            trace: envelope.trace.cloned(),
            reason: envelope.reason.to_owned(),
            event: Some(Event { kind: Some(Kind::CommandRefused(refused)) }),
            ..Record::default()
        };
        self.write(record, open);
    }

    fn settle(&mut self, open: &mut OpenEntry) -> Option<Timestamp> {
        let room = self.entry_records.saturating_sub(open.records.len());
        // Not the requests' stream: whoever repeats the turn has the requests' records, and not
        // what was refused between them.
        let turn = Turn { now: open.at, entropy: Entropy::beside(open.seed) };
        let settled = self.brain.settle(&mut self.view, open.delta.clone(), &turn, room);
        settled.records.iter().for_each(|record| self.push(record, open));
        open.delta.merge(&settled.changed);
        self.left = settled.left;
        self.wake_at = settled.wake_at;
        settled.wake_at
    }

    /// The digest after the record before: any manager whose own differs halts.
    fn checkpoint(&mut self, first: Revision, open: &mut OpenEntry) {
        let before = first.0.saturating_sub(1) / CHECKPOINT_PERIOD_RECORDS;
        if open.records.is_empty()
            || self.view.position().revision.0 / CHECKPOINT_PERIOD_RECORDS == before
        {
            return;
        }
        let digest = bytes::Bytes::copy_from_slice(&self.view.digest().0.to_be_bytes());
        self.write_own(Kind::Checkpoint(Checkpoint { digest }), open);
    }

    /// Writes a record that nobody asked for.
    fn write_own(&mut self, kind: Kind, open: &mut OpenEntry) {
        let author = skep_proto::author::manager(self.view.tenure().manager);
        let event = Some(Event { kind: Some(kind) });
        self.write(Record { author: Some(author), event, ..Record::default() }, open);
    }

    fn write(&mut self, mut record: Record, open: &mut OpenEntry) {
        let stamp = Stamp {
            revision: self.view.position().revision.next(),
            at: open.at,
            incarnation: incarnation_of(&self.view, &record),
        };
        self.push(&record, open);
        if let Err(unknown) = self.view.apply_spent(stamp, &mut record, &mut open.delta) {
            // This program wrote the kind itself.
            unreachable!("the turn wrote a record it does not know: {unknown}");
        }
    }

    /// Encodes a record, with its salt: below the level a program would not know the field.
    fn push(&self, record: &Record, open: &mut OpenEntry) {
        let is_salted = self.view.level() >= LINEAGE_LEVEL && seeds::holds_free_text(record);
        if is_salted {
            open.records.push_salted(record, &open.salts.next());
        } else {
            open.records.push(record);
        }
    }

    fn seal(&mut self, first: Revision, open: OpenEntry) -> Option<SealedEntry> {
        if open.records.is_empty() {
            self.room = open.records;
            return None;
        }
        let draft = Draft {
            parent: self.head,
            incarnation: self.view.position().incarnation,
            first_revision: first,
            at: open.at,
            feature_level: self.view.level().clamp(1, FEATURE_LEVEL),
            code_version: self.code_version.clone(),
            lineage: self.view.lineage(),
            made_from: (self.view.level() >= LINEAGE_LEVEL)
                .then_some(MadeFrom { seed: open.seed, origin: open.origin }),
            records: open.records,
        };
        let sealed = chain::seal(&draft);
        self.room = draft.records;
        self.room.clear();
        self.head = sealed.hash;
        Some(sealed)
    }
}

impl OpenEntry {
    fn is_full(&self) -> bool {
        self.records.len() >= self.records_max || self.bytes >= ENTRY_BYTES_MAX
    }
}

/// The first record of a history begins incarnation 1; later ones are begun by a record.
fn incarnation_of(view: &View, record: &Record) -> u64 {
    match record.event.as_ref().and_then(|e| e.kind.as_ref()) {
        Some(Kind::IncarnationBegun(begun)) => begun.incarnation,
        Some(_) | None => view.position().incarnation.max(1),
    }
}

#[cfg(test)]
mod tests;
