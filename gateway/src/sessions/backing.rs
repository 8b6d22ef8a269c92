//! A manager that has had no word of a leader for too long keeps no agents. PURE.
//!
//! What it would tell them may be old, and what they say to it reaches nobody. Another manager may
//! have a leader, so they are sent to look for one.

use super::{Sessions, turned};
use skep_proto::{Timestamp, v1::TurnedCode};

/// Whether a leader that a majority follows has answered this manager just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaderWord {
    /// It has, or is this manager.
    Heard,
    /// Nobody has.
    Missing,
}

/// The message to agents of a manager without a leader.
pub(super) const NO_LEADER: &str =
    "this manager has no word of a leader that a majority follows; try another manager";

impl Sessions {
    /// To be told more often than once in a heartbeat period.
    pub fn handle_leader_word(&mut self, word: LeaderWord, now: Timestamp) {
        self.listen(now);
        match word {
            LeaderWord::Heard => self.word_missing_since = None,
            LeaderWord::Missing => {
                self.word_missing_since.get_or_insert(now);
            }
        }
        if !self.lacks_leader(now) {
            return;
        }
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.turn_away(conn, turned(TurnedCode::Retry, NO_LEADER));
            // One that comes back nowhere is silent, which no other manager would notice.
            if let Some(session) = self.forget(conn).filter(|session| session.open) {
                self.overdue.note(session.patience_end(), session.node, session.number);
            }
        }
    }

    /// Whether there has been no word of a leader for a heartbeat period.
    pub(super) fn lacks_leader(&self, now: Timestamp) -> bool {
        self.word_missing_since.is_some_and(|since| now.since(since) >= self.period_ns)
    }
}
