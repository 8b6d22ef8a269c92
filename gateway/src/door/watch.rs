//! How it stands with the way in for other machines, for `doctor` and `/metrics`: the port, the
//! certificate authority, and who was turned away.

use super::address::DoorAddress;
use skep_proto::Timestamp;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Longest text that is kept of why somebody was turned away, bytes.
const WHY_BYTES_MAX: usize = 256;
/// Addresses of which the newest refusal is kept.
const TURNED_AWAY_MAX: usize = 8;

/// How it is with the port.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum DoorState {
    /// Nobody has opened it.
    #[default]
    Closed,
    /// Other machines can connect.
    Open(DoorAddress),
    /// It should be open, and something is in the way.
    Blocked {
        /// Where it should be.
        address: DoorAddress,
        /// What is in the way.
        message: String,
    },
}

/// Why nobody can be let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorityTrouble {
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty where that follows from the message.
    pub hint: String,
}

/// Somebody who was turned away from there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TurnedAway {
    /// The address, or that it was on this machine.
    pub from: String,
    /// Why.
    pub why: String,
    /// When, by the wall clock.
    pub at: Timestamp,
}

/// What is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DoorReport {
    /// The port.
    pub port: DoorState,
    /// What keeps the authority from its work, if something does.
    pub trouble: Option<AuthorityTrouble>,
    /// How many connections were turned away since the start.
    pub refused: u64,
    /// Of each of the last addresses the newest, the newest of all first.
    pub turned_away: VecDeque<TurnedAway>,
}

/// What is known, for all who learn or show it; its clones share it.
#[derive(Clone, Default)]
pub struct DoorWatch(Arc<Mutex<DoorReport>>);

impl DoorWatch {
    /// What is known now.
    pub fn look(&self) -> DoorReport {
        self.state().clone()
    }

    /// The port is so from now on.
    pub fn port(&self, port: DoorState) {
        self.state().port = port;
    }

    /// The authority works, or what is in its way.
    pub fn authority(&self, trouble: Option<AuthorityTrouble>) {
        self.state().trouble = trouble;
    }

    /// Somebody was turned away.
    pub fn turned_away(&self, from: &str, why: &str, at: Timestamp) {
        let end = (0..=why.len().min(WHY_BYTES_MAX)).rev().find(|end| why.is_char_boundary(*end));
        let why = why[..end.unwrap_or(0)].to_owned();
        let mut state = self.state();
        state.refused += 1;
        state.turned_away.retain(|known| known.from != from);
        state.turned_away.push_front(TurnedAway { from: from.to_owned(), why, at });
        state.turned_away.truncate(TURNED_AWAY_MAX);
    }

    fn state(&self) -> MutexGuard<'_, DoorReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
