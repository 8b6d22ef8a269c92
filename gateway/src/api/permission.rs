//! Who may call what. PURE.
//!
//! One table for both doors. What it does not name, nobody may call.

use crate::peer::ConnectionPeer;
use skep_projections::{NodeRow, View};
use skep_proto::{Id, Timestamp, v1::NodeRole};
use skep_trust::{NodeCertificate, ValidAt};
use thiserror::Error;
use tonic::{Code, Status};

/// What a caller must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Somebody on the local socket, in the clear: root and the group `skep`.
    Person,
    /// Anybody who can connect. What the call itself shows decides.
    Anybody,
    /// A machine with a certificate of the cluster that is valid now. The call itself looks whether
    /// the node still counts, and says so in its own way.
    Certified,
    /// The same, but the certificate may have ended: this is how a node gets a new one.
    CertifiedOnce,
    /// A machine whose certificate is valid now and of a node that counts, with that node's key.
    Node,
    /// The same of a manager that has a number in raft.
    Manager,
    /// A machine with a manager's certificate, as far as this manager knows: it may be the one that
    /// is behind, and hears what it lacks from nobody else.
    RaftPeer,
}

/// The calls that a daemon answers whatever its machine is.
const LOCAL: &str = "/skep.v1.Local/";

/// Paths begin with one of these.
pub(super) const ACCESS: [(&str, Access); 12] = [
    (LOCAL, Access::Person),
    ("/skep.v1.Control/", Access::Person),
    ("/skep.v1.History/", Access::Person),
    ("/skep.v1.Logs/", Access::Person),
    ("/skep.v1.Membership/", Access::Person),
    ("/metrics", Access::Person),
    ("/skep.v1.Dispatcher/Join", Access::Anybody),
    ("/skep.v1.Dispatcher/Renew", Access::CertifiedOnce),
    ("/skep.v1.Dispatcher/Attach", Access::Certified),
    ("/skep.v1.Dispatcher/PublishLogs", Access::Node),
    ("/skep.v1.Managers/Raft", Access::RaftPeer),
    ("/skep.v1.Managers/", Access::Manager),
];

/// Why somebody may not call something.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(super) enum Denied {
    #[error("this is for people on the machine itself: use its local socket")]
    NotAPerson,
    #[error("this is for nodes of the cluster, and the connection has shown no certificate")]
    NoCertificate,
    #[error(
        "the certificate of node {0} is valid from {1}, and this manager's clock says {2}: compare the clocks"
    )]
    NotYet(Id, Timestamp, Timestamp),
    #[error(
        "the certificate of node {0} ended at {1}, and this manager's clock says {2}; the agent renews it"
    )]
    Expired(Id, Timestamp, Timestamp),
    #[error("node {0} is not part of the cluster (any more)")]
    NotANode(Id),
    #[error("the certificate's key is not the one of node {0}")]
    OtherKey(Id),
    #[error("node {0} is no manager")]
    NotAManager(Id),
    #[error("there is nothing of this name")]
    Unknown,
}

impl Denied {
    /// As the caller hears it.
    pub(super) fn status(&self) -> Status {
        let code = match self {
            Denied::NotAPerson
            | Denied::NotANode(_)
            | Denied::NotAManager(_)
            | Denied::OtherKey(_) => Code::PermissionDenied,
            Denied::NoCertificate | Denied::NotYet(..) | Denied::Expired(..) => {
                Code::Unauthenticated
            }
            Denied::Unknown => Code::Unimplemented,
        };
        Status::new(code, self.to_string())
    }
}

/// Whether the other end may call what is at this path.
pub(super) fn may(
    path: &str,
    peer: &ConnectionPeer,
    view: &View,
    now: Timestamp,
) -> Result<(), Denied> {
    let named = ACCESS.iter().find(|(prefix, _)| path.starts_with(prefix));
    let Some((_, access)) = named else { return Err(Denied::Unknown) };
    match access {
        Access::Person => peer.person().map(drop).ok_or(Denied::NotAPerson),
        Access::Anybody => Ok(()),
        Access::CertifiedOnce => peer.certificate().map(drop).ok_or(Denied::NoCertificate),
        // Who is no node any more hears it from the session, whatever the certificate's time.
        Access::Certified => match valid(peer, now) {
            Err(Denied::Expired(node, ..)) if row_of(node, view).is_none() => Ok(()),
            judged => judged.map(drop),
        },
        Access::Node => listed(valid(peer, now)?, view),
        Access::Manager => manager(valid(peer, now)?, view),
        Access::RaftPeer => raft_peer(peer, view, now),
    }
}

/// Who answers a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AnsweredBy {
    /// The daemon of each machine.
    EveryDaemon,
    /// Managers alone.
    Managers,
}

/// Who answers what is at this path, for somebody at the socket of a machine that is no manager.
pub(super) fn at_no_manager(path: &str, peer: &ConnectionPeer) -> Result<AnsweredBy, Denied> {
    if !ACCESS.iter().any(|(prefix, _)| path.starts_with(prefix)) {
        return Err(Denied::Unknown);
    }
    if path.starts_with(LOCAL) {
        return peer.person().map(|_| AnsweredBy::EveryDaemon).ok_or(Denied::NotAPerson);
    }
    Ok(AnsweredBy::Managers)
}

fn valid(peer: &ConnectionPeer, now: Timestamp) -> Result<&NodeCertificate, Denied> {
    let certificate = peer.certificate().ok_or(Denied::NoCertificate)?;
    let validity = certificate.validity;
    match validity.at(now) {
        ValidAt::Valid => Ok(certificate),
        ValidAt::NotYet => Err(Denied::NotYet(certificate.node, validity.not_before, now)),
        ValidAt::Expired => Err(Denied::Expired(certificate.node, validity.not_after, now)),
    }
}

fn listed(certificate: &NodeCertificate, view: &View) -> Result<(), Denied> {
    let node = certificate.node;
    let row = row_of(node, view).ok_or(Denied::NotANode(node))?;
    let has_key = row.certificate.is_none() || row.credential_hash == certificate.key.0;
    if has_key { Ok(()) } else { Err(Denied::OtherKey(node)) }
}

/// Whether it is a manager, by its certificate and by the view.
fn manager(certificate: &NodeCertificate, view: &View) -> Result<(), Denied> {
    listed(certificate, view)?;
    let numbered = row_of(certificate.node, view).is_some_and(|row| row.manager.is_some());
    match (certificate.role, numbered) {
        (NodeRole::Manager, true) => Ok(()),
        (NodeRole::Manager, false) | (NodeRole::Worker, _) => {
            Err(Denied::NotAManager(certificate.node))
        }
    }
}

/// Whether raft may hear it. Who was removed is refused, and an older key than the one known. The
/// certificate of a manager that this one knows may have ended: a cluster that slept for long must
/// wake up again.
fn raft_peer(peer: &ConnectionPeer, view: &View, now: Timestamp) -> Result<(), Denied> {
    let certificate = peer.certificate().ok_or(Denied::NoCertificate)?;
    let node = certificate.node;
    if certificate.role != NodeRole::Manager {
        return Err(Denied::NotAManager(node));
    }
    if view.removed_nodes().has(node) {
        return Err(Denied::NotANode(node));
    }
    let row = row_of(node, view);
    let newest = row.and_then(|row| Some((row.credential_hash, row.certificate.as_deref()?)));
    if newest.is_some_and(|(key, known)| {
        key != certificate.key.0 && certificate.validity.not_before <= known.not_before
    }) {
        return Err(Denied::OtherKey(node));
    }
    if row.is_some_and(|row| row.manager.is_some()) {
        return Ok(());
    }
    valid(peer, now).map(drop)
}

fn row_of(node: Id, view: &View) -> Option<&NodeRow> {
    view.nodes().by_id(node).map(|(_, row)| row).filter(|row| !row.removed)
}

#[cfg(test)]
mod tests;
