//! Which managers may be dialed, and in which order. PURE.
//!
//! Managers are dialed in rounds: each candidate once, then again from the beginning. The one that
//! worked last begins a round, since it is the likeliest to work again; the others follow in an
//! order by chance, so that the agents of a manager that went away spread over those that are left.
//! A manager's own agent begins each round at its own socket, which needs no network.

use super::jitter::Jitter;
use skep_proto::{Id, v1::ManagerAddress};
use std::collections::VecDeque;

/// Managers that an agent knows by the word of its cluster; of a longer list it keeps the
/// beginning. A cluster has a handful of managers.
pub const KNOWN_MANAGERS_MAX: usize = 64;
/// Longest address of a manager; a longer one is ignored.
pub const MANAGER_ADDRESS_BYTES_MAX: usize = 256;

/// A manager of which the cluster has told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownAddress {
    /// Its own node.
    pub node: Id,
    /// `HOST:PORT`.
    pub address: String,
}

impl KnownAddress {
    /// None where this is no address that could be dialed.
    pub fn new(node: Id, address: &str) -> Option<KnownAddress> {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        let (host, port) = address.rsplit_once(':')?;
        let fits = address.len() <= MANAGER_ADDRESS_BYTES_MAX && address.chars().all(is_plain);
        let names = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0);
        (fits && names).then(|| KnownAddress { node, address: address.to_owned() })
    }

    /// Those of a list that can be dialed, each once.
    pub(crate) fn all_of(told: &[ManagerAddress]) -> Vec<KnownAddress> {
        let read = told.iter().filter_map(|manager| {
            KnownAddress::new(Id::from_bytes(&manager.node_id), &manager.address)
        });
        bounded(read)
    }
}

/// As many as are kept, each address once.
fn bounded(managers: impl IntoIterator<Item = KnownAddress>) -> Vec<KnownAddress> {
    let mut kept: Vec<KnownAddress> = Vec::new();
    for manager in managers {
        let is_new = kept.iter().all(|known| known.address != manager.address);
        if is_new && kept.len() < KNOWN_MANAGERS_MAX {
            kept.push(manager);
        }
    }
    kept
}

/// What kind of endpoint the agent was started with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum FirstEndpoint {
    /// The socket of the manager in the agent's own process.
    OwnSocket,
    /// The socket of another process on this machine.
    #[default]
    Socket,
    /// `HOST:PORT`.
    Network(String),
}

/// A manager that may be dialed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManagerCandidate {
    /// The endpoint that the agent was started with.
    First,
    /// One of which the cluster has told: its `HOST:PORT`.
    Known(String),
}

/// Where the round is after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RoundPart {
    /// Others are left that may work.
    Midway,
    /// All have failed, and the next dial begins a new round.
    Over,
}

/// The managers that may be dialed, and how far the round is.
#[derive(Debug)]
pub(crate) struct Candidates {
    first: FirstEndpoint,
    known: Vec<KnownAddress>,
    /// Dialed now, or next.
    current: ManagerCandidate,
    /// The one that worked last.
    good: Option<ManagerCandidate>,
    /// What is left of the round.
    round: VecDeque<ManagerCandidate>,
}

impl Candidates {
    /// Only the first endpoint: what a node dials that has not joined, since nobody else takes it
    /// for a member.
    pub(crate) fn first_alone(first: FirstEndpoint, known: Vec<KnownAddress>) -> Candidates {
        let (known, round) = (bounded(known), VecDeque::new());
        Candidates { first, known, current: ManagerCandidate::First, good: None, round }
    }

    /// Begins with a round over all.
    pub(crate) fn begin(&mut self, own: Id, jitter: &mut Jitter) {
        self.round = self.order(own, jitter);
        self.current = self.round.pop_front().unwrap_or(ManagerCandidate::First);
    }

    /// Only the first endpoint is dialed from now on, until that fails.
    pub(crate) fn return_to_first(&mut self) {
        self.current = ManagerCandidate::First;
        self.round.clear();
    }

    /// The one that is dialed now, or next.
    pub(crate) fn current(&self) -> &ManagerCandidate {
        &self.current
    }

    /// All of them, the first endpoint at the head. One address is one candidate; the agent of a
    /// manager does not dial that manager over the network.
    pub(crate) fn all(&self, own: Id) -> Vec<ManagerCandidate> {
        let is_other = |manager: &&KnownAddress| match &self.first {
            FirstEndpoint::OwnSocket => own.is_none() || manager.node != own,
            FirstEndpoint::Socket => true,
            FirstEndpoint::Network(address) => manager.address != *address,
        };
        let known = self.known.iter().filter(is_other);
        let known = known.map(|manager| ManagerCandidate::Known(manager.address.clone()));
        std::iter::once(ManagerCandidate::First).chain(known).collect()
    }

    /// What the cluster has told last, or an earlier run of the agent was told.
    pub(crate) fn known(&self) -> &[KnownAddress] {
        &self.known
    }

    /// The cluster's managers are these now. A cluster that names none, since no machine can reach
    /// them, takes no address away: an agent without any could find nobody again.
    ///
    /// What is left of the round is left of it still, and those that are new come to it. So a
    /// manager that tells of others and breaks off the session is not dialed without a pause.
    pub(crate) fn replace(&mut self, known: Vec<KnownAddress>, own: Id, jitter: &mut Jitter) {
        if known.is_empty() || known == self.known {
            return;
        }
        let before = self.all(own);
        self.known = known;
        let now = self.all(own);
        let mut round: Vec<ManagerCandidate> =
            self.round.drain(..).filter(|candidate| now.contains(candidate)).collect();
        let is_new = |candidate: &ManagerCandidate| {
            !before.contains(candidate) && *candidate != self.current
        };
        round.extend(now.into_iter().filter(is_new));
        jitter.shuffle(&mut round);
        self.rank(&mut round);
        self.round = round.into();
    }

    /// The current one works: all others are left for when it does not any more.
    pub(crate) fn on_worked(&mut self, own: Id, jitter: &mut Jitter) {
        self.good = Some(self.current.clone());
        self.round = self.order(own, jitter);
        self.round.retain(|candidate| *candidate != self.current);
    }

    /// The current one does not work: the next one becomes it, another one if there is one.
    pub(crate) fn on_failed(&mut self, own: Id, jitter: &mut Jitter) -> RoundPart {
        match self.round.pop_front() {
            Some(next) => {
                self.current = next;
                RoundPart::Midway
            }
            None => {
                let failed = self.current.clone();
                self.begin(own, jitter);
                if self.current == failed
                    && let Some(next) = self.round.pop_front()
                {
                    self.current = next;
                    self.round.push_front(failed);
                }
                RoundPart::Over
            }
        }
    }

    /// A whole round.
    fn order(&self, own: Id, jitter: &mut Jitter) -> VecDeque<ManagerCandidate> {
        let mut order = self.all(own);
        jitter.shuffle(&mut order);
        self.rank(&mut order);
        order.into()
    }

    /// Puts those that are preferred at the head and leaves the order of the others.
    fn rank(&self, order: &mut [ManagerCandidate]) {
        order.sort_by_key(|candidate| match (candidate, &self.first) {
            (ManagerCandidate::First, FirstEndpoint::OwnSocket) => 0,
            (candidate, _) if self.good.as_ref() == Some(candidate) => 1,
            (ManagerCandidate::First | ManagerCandidate::Known(_), _) => 2,
        });
    }
}

#[cfg(test)]
mod tests;
