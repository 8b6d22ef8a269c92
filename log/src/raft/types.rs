//! The types that consensus uses here. Nothing outside this folder names them.
//!
//! Terms and ids are numbers, a log id is (term, index), one leader a term. An entry carries the
//! chain's own entry behind an `Arc`: it is encoded before it comes here and decoded by nobody on
//! the way through.

use super::runtime::TaskRuntime;
use crate::{Entry, history::applier::ApplyOutcome};
use openraft::{
    EntryPayload, OptionalSend, RaftTypeConfig,
    impls::{BoxedErrorSource, InlineBatch, leader_id_std},
    raft::responder::Responder,
    vote::RaftLeaderId,
};
use skep_proto::Id;
use std::{fmt, sync::Arc};

/// All types of consensus in one name.
#[derive(Debug, Clone, Copy, Default, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) struct Types;

impl RaftTypeConfig for Types {
    type D = Chained;
    type R = ApplyOutcome;
    type NodeId = u64;
    type Node = Peer;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Chained, u64, Peer>;
    type Entry = openraft::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = TaskRuntime;
    type Responder<T>
        = OnAnswer<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// What lies at one index.
pub(crate) type RaftEntry = <Types as RaftTypeConfig>::Entry;
/// The leader that an entry was written under.
pub(crate) type Leader = <<Types as RaftTypeConfig>::LeaderId as RaftLeaderId>::Committed;
/// Term and index.
pub(crate) type LogId = openraft::LogId<Leader>;
/// Whom this manager chose.
pub(crate) type Vote = <Types as RaftTypeConfig>::Vote;
/// Who decides.
pub(crate) type Membership = openraft::Membership<u64, Peer>;
/// The same, with the log id it was written at.
pub(crate) type MembershipAt = openraft::StoredMembership<Leader, u64, Peer>;

/// An entry of the chain on its way through consensus.
#[derive(Clone, Debug)]
pub(crate) struct Chained(pub(crate) Arc<Entry>);

impl PartialEq for Chained {
    fn eq(&self, other: &Chained) -> bool {
        self.0.hash == other.0.hash
    }
}

impl fmt::Display for Chained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.position(), self.0.hash)
    }
}

/// Another manager, as memberships name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its node's id.
    pub(crate) node: Id,
    /// Where it is reached.
    pub(crate) address: String,
}

/// A log id from its parts.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Leader::new(term), index)
}

/// What raft calls with its answer, on its own thread; with none where it ends without one.
///
/// A call costs nothing where nobody needs to be woken, which a channel would do for each entry.
pub(crate) struct OnAnswer<T>(Option<Box<dyn FnOnce(Option<T>) + Send>>);

impl<T> OnAnswer<T> {
    pub(crate) fn new(hear: impl FnOnce(Option<T>) + Send + 'static) -> OnAnswer<T> {
        OnAnswer(Some(Box::new(hear)))
    }
}

impl<T: OptionalSend + 'static> Responder<Types, T> for OnAnswer<T> {
    fn on_complete(mut self, result: T) {
        if let Some(hear) = self.0.take() {
            hear(Some(result));
        }
    }
}

impl<T> Drop for OnAnswer<T> {
    fn drop(&mut self) {
        if let Some(hear) = self.0.take() {
            hear(None);
        }
    }
}
