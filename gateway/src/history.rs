//! Every past moment, and how it came to be.
//!
//! A past view is the nearest snapshot below it and the records since, folded again: nothing is
//! stored for the sake of looking back. A few recent ones are kept, because one question about a
//! moment is often followed by another. All of it blocks on the disk, so the services call it where
//! blocking is allowed.

pub mod causes;
pub mod names;
mod newest;
pub mod notable;
pub mod placement;
pub mod select;
pub mod summary;
pub mod tell;
pub mod verdict;
pub mod why;

use crate::admit::Refusal;
use prost::Message;
use skep_log::{Entry, HistoryReader, ReadError};
use skep_projections::{Delta, View, apply::Stamp, snapshot};
use skep_proto::{
    Position, Revision, Timestamp,
    time::SECOND_NS,
    v1::{Moment, Record, RefusalCode, moment},
};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// A moment that lies further ahead of the log's time is in the future: it is refused. What lies
/// within it is the difference between two machines' clocks, and means now.
const CLOCKS_DIFFER_MAX_NS: u64 = 10 * SECOND_NS;
/// Past views kept; the one looked at longest ago is let go.
const VIEWS_MAX: usize = 4;

/// Why the past does not answer.
#[derive(Debug, Error)]
pub enum PastError {
    /// What was asked for makes no sense, or is not there.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record can't be folded by this program.
    #[error("{0}")]
    Unfoldable(String),
}

impl PastError {
    /// The same about a moment of the past: what is not found then may well be there now.
    pub(crate) fn at(self, revision: Revision) -> PastError {
        match self {
            PastError::Refused(refusal) if refusal.code == RefusalCode::NotFound => {
                let message = format!("{} at revision {revision}", refusal.message);
                PastError::Refused(Refusal { message, ..refusal })
            }
            PastError::Refused(_) | PastError::Read(_) | PastError::Unfoldable(_) => self,
        }
    }

    /// What to do about it, where that does not follow from the message and is not in the refusal.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            PastError::Read(error) => error.hint(),
            PastError::Refused(_) | PastError::Unfoldable(_) => None,
        }
    }
}

impl<R: Into<Refusal>> From<R> for PastError {
    fn from(refusal: R) -> PastError {
        PastError::Refused(refusal.into())
    }
}

fn in_the_future(at: Timestamp, now: Timestamp) -> Refusal {
    Refusal::precondition(format!("{at} is in the future")).hint(format!(
        "the log's time is {now}; `skep doctor` tells how far it is from the wall clock"
    ))
}

/// The past of one manager.
#[derive(Clone)]
pub struct Past {
    history: HistoryReader,
    recent: Arc<Mutex<Vec<View>>>,
}

impl Past {
    /// Of this history.
    pub fn new(history: HistoryReader) -> Past {
        Past { history, recent: Arc::default() }
    }

    /// The records themselves.
    pub fn history(&self) -> &HistoryReader {
        &self.history
    }

    /// Where history stands.
    pub fn newest(&self) -> Position {
        self.history.newest()
    }

    /// The revision that a moment means; none is now. `now` is the log's time: what lies
    /// ahead of it is refused, and "so long ago" is counted back from it.
    pub fn revision(
        &self,
        moment: Option<&Moment>,
        now: Timestamp,
    ) -> Result<Option<Revision>, PastError> {
        let Some(moment) = moment.and_then(|moment| moment.moment.as_ref()) else {
            return Ok(None);
        };
        let (revision, said) = match moment {
            moment::Moment::Revision(revision) => {
                return self.within(Revision(*revision)).map(Some);
            }
            moment::Moment::TimeAt(at) => {
                let at = Timestamp(*at);
                if at > now + CLOCKS_DIFFER_MAX_NS {
                    return Err(in_the_future(at, now).into());
                }
                (self.history.revision_at(at)?, format!("at {at}"))
            }
            moment::Moment::AgoNs(ago) => {
                let at = Timestamp(now.0.saturating_sub(*ago));
                (self.history.revision_at(at)?, format!("at {at}"))
            }
        };
        let (first, ..) = self.history.bounds();
        if revision < first {
            let began = self.began().map_or_else(String::new, |at| format!(" at {at}"));
            return Err(Refusal::not_found(format!("there was nothing yet {said}"))
                .hint(format!("history begins with revision {first}{began}"))
                .into());
        }
        Ok(Some(revision))
    }

    fn within(&self, revision: Revision) -> Result<Revision, PastError> {
        let (first, newest, _) = self.history.bounds();
        if (first..=newest.revision).contains(&revision) {
            return Ok(revision);
        }
        let wrong = if revision < first { "before what is kept" } else { "in the future" };
        Err(Refusal::not_found(format!("revision {revision} is {wrong}"))
            .hint(format!("history holds revisions {first} to {}", newest.revision))
            .into())
    }

    fn began(&self) -> Option<Timestamp> {
        let (first, ..) = self.history.bounds();
        self.history.entry_at(first).ok().flatten().map(|entry| entry.at())
    }

    /// The cluster at a revision.
    pub fn view_at(&self, revision: Revision) -> Result<View, PastError> {
        let revision = self.within(revision)?;
        let mut view = match self.nearest(revision) {
            Some(view) if view.position().revision == revision => return Ok(view),
            nearest => self.start(revision, nearest)?,
        };
        for entry in self.history.entries(view.position().revision.next()) {
            if !fold(&mut view, &*entry?, revision)? {
                break;
            }
        }
        self.keep(&view);
        Ok(view)
    }

    /// The newest of the snapshot and the kept view below a revision.
    fn start(&self, revision: Revision, nearest: Option<View>) -> Result<View, PastError> {
        let Some((position, _, bytes)) = self.history.snapshot_at(revision)? else {
            return Ok(nearest.unwrap_or_default());
        };
        if let Some(nearest) = nearest
            && nearest.position() >= position
        {
            return Ok(nearest);
        }
        snapshot::decode(&bytes).map_err(|error| PastError::Unfoldable(error.to_string()))
    }

    fn nearest(&self, revision: Revision) -> Option<View> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let below = recent.iter().filter(|view| view.position().revision <= revision);
        below.max_by_key(|view| view.position().revision).cloned()
    }

    fn keep(&self, view: &View) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|kept| kept.position() != view.position());
        recent.insert(0, view.clone());
        recent.truncate(VIEWS_MAX);
    }

    /// The record of this revision, with its entry.
    pub fn record_at(&self, revision: Revision) -> Result<Option<FoundRecord>, PastError> {
        self.record_in(revision, None)
    }

    /// As [`Past::record_at`], where the entry may be at hand already.
    pub(crate) fn record_in(
        &self,
        revision: Revision,
        entry: Option<Arc<Entry>>,
    ) -> Result<Option<FoundRecord>, PastError> {
        let holds = |entry: &Arc<Entry>| entry.first() <= revision && revision <= entry.last();
        let entry = match entry.filter(holds) {
            Some(entry) => Some(entry),
            None => self.history.entry_at(revision)?,
        };
        let Some(entry) = entry else { return Ok(None) };
        let index = usize::try_from(revision.0 - entry.first().0).unwrap_or(usize::MAX);
        let Some(bytes) = entry.records.get(index) else { return Ok(None) };
        let record =
            Record::decode(bytes.clone()).map_err(|error| ReadError::Damaged(error.to_string()))?;
        Ok(Some(FoundRecord { revision, record, entry }))
    }
}

/// A record, where it stands.
#[derive(Clone, Debug)]
pub struct FoundRecord {
    /// Its number.
    pub revision: Revision,
    /// What it says.
    pub record: Record,
    /// The entry that it came in.
    pub entry: Arc<Entry>,
}

/// Folds what an entry holds up to a revision, and answers whether more is wanted.
fn fold(view: &mut View, entry: &Entry, through: Revision) -> Result<bool, PastError> {
    let mut ignored = Delta::default();
    let begun = view.position().revision;
    for (revision, bytes) in (entry.first().0..).map(Revision).zip(&entry.records) {
        if revision > through {
            return Ok(false);
        }
        if revision <= begun {
            continue;
        }
        let record =
            Record::decode(bytes.clone()).map_err(|error| ReadError::Damaged(error.to_string()))?;
        let stamp = Stamp { revision, at: entry.at(), incarnation: entry.header.incarnation };
        view.apply_into(stamp, &record, &mut ignored)
            .map_err(|error| PastError::Unfoldable(error.to_string()))?;
    }
    Ok(entry.last() < through)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
