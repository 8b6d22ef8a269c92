//! How an agent becomes a node: it asks for a certificate, and the turn decides. PURE.
//!
//! A new node's id is made from its key. So an agent whose answer was lost asks again and is the
//! same node, not a second one.

use super::{Conn, PendingAnswer, STOPPING, ServingState, Sessions, turned};
use crate::{
    admit::{CertificateAsked, CertificateClaim, MachineRequest, Newcomer, Refusal},
    turn::Answer,
};
use sha2::{Digest as _, Sha256};
use skep_projections::{View, trust::IssuedCertificate};
use skep_proto::{
    Id,
    v1::{
        Annotations, Certified, Join, NodeRole, NodeSpec, RefusalCode, Turned, TurnedCode, to_agent,
    },
};

/// Where somebody without a certificate comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applicant {
    /// The agent in this manager's own process: the manager's node.
    Own,
    /// Another process, through the manager's own socket.
    Local,
    /// Somebody with the join token of this role.
    Token(NodeRole),
}

/// An agent that waits for a certificate.
pub(super) struct Joining {
    pub(super) node: Id,
    key_hash: [u8; 32],
}

/// What the turn is asked for an applicant. `manager` is this manager's own node; the certificate's
/// role is not looked at.
pub fn certificate_asked(
    applicant: Applicant,
    manager: Id,
    join: Join,
    key_hash: [u8; 32],
    certificate: IssuedCertificate,
) -> CertificateAsked {
    let newcomer = |role: NodeRole| {
        let asked = join.spec.clone().unwrap_or_default();
        let availability = asked.availability();
        let labels = asked.annotations.unwrap_or_default().labels;
        // Nothing else is the newcomer's to choose.
        let spec = NodeSpec {
            annotations: Some(Annotations { labels, ..Annotations::default() }),
            availability: availability as i32,
            desired_role: role as i32,
            ..NodeSpec::default()
        };
        Box::new(Newcomer { spec, description: join.description.clone().unwrap_or_default() })
    };
    let (node, claim) = match applicant {
        Applicant::Own => (manager, CertificateClaim::Own(newcomer(NodeRole::Manager))),
        Applicant::Local if !join.earlier_secret.is_empty() => {
            let secret_hash = Sha256::digest(&join.earlier_secret).into();
            (Id::from_bytes(&join.node_id), CertificateClaim::EarlierSecret(secret_hash))
        }
        // It has lost its certificate, and not its key.
        Applicant::Local | Applicant::Token(_) if !join.node_id.is_empty() => {
            (Id::from_bytes(&join.node_id), CertificateClaim::Key)
        }
        Applicant::Local => {
            (named_by(&key_hash), CertificateClaim::Newcomer(newcomer(NodeRole::Worker)))
        }
        Applicant::Token(role) => (named_by(&key_hash), CertificateClaim::Newcomer(newcomer(role))),
    };
    CertificateAsked { node, key_hash, claim, certificate }
}

fn named_by(key_hash: &[u8; 32]) -> Id {
    Id::from_bytes(&Sha256::digest([b"skep node", &key_hash[..]].concat())[..16])
}

/// What a node's newest certificate says, where it is for this key. `warnings` are for the
/// operator.
pub fn certified(
    view: &View,
    node: Id,
    key_hash: &[u8; 32],
    warnings: Vec<String>,
) -> Option<Certified> {
    let (_, row) = view.nodes().by_id(node).filter(|(_, row)| !row.removed)?;
    let certificate = row.certificate.as_deref().filter(|_| row.credential_hash == *key_hash)?;
    Some(Certified {
        node_id: node.to_bytes(),
        cluster_id: view.cluster().id.to_bytes(),
        role: certificate.role as i32,
        serial: bytes::Bytes::copy_from_slice(&certificate.serial),
        not_before_at: certificate.not_before.0,
        not_after_at: certificate.not_after.0,
        warnings,
        ..Certified::default()
    })
}

impl Sessions {
    /// An agent asks for a certificate. It gets one message, `certified` or `turned`, and the end
    /// of its stream.
    pub fn handle_join(&mut self, conn: Conn, asked: CertificateAsked) {
        if self.life == ServingState::Stopping {
            return self.turn_away(conn, turned(TurnedCode::Stopping, STOPPING));
        }
        let (node, key_hash) = (asked.node, asked.key_hash);
        let machine = MachineRequest::Certify(Box::new(asked));
        self.joining.insert(conn, Joining { node, key_hash });
        self.ask(node, machine, PendingAnswer::Certified(conn));
    }

    /// The streams of agents that wait for a certificate.
    pub fn joining(&self) -> impl Iterator<Item = Conn> + '_ {
        self.joining.keys().copied()
    }

    /// An agent that has gone meanwhile asks again.
    pub(super) fn answer_join(&mut self, conn: Conn, answer: &Answer, view: &View) {
        let Some(Joining { node, key_hash }) = self.joining.remove(&conn) else { return };
        let refused = match answer {
            Answer::Accepted { warnings, .. } => {
                match certified(view, node, &key_hash, warnings.clone()) {
                    Some(certified) => {
                        return self.send_last(conn, to_agent::Message::Certified(certified));
                    }
                    None => turned(TurnedCode::Retry, "the node has changed meanwhile; try again"),
                }
            }
            Answer::Refused(refusal) => turned_by(refusal),
            Answer::Unknown(why) => turned(TurnedCode::Retry, why),
        };
        let cluster_id = view.cluster().id.to_bytes();
        self.turn_away(conn, Turned { cluster_id, ..refused });
    }
}

/// What a refusal means to the agent: some of them end it.
fn turned_by(refusal: &Refusal) -> Turned {
    let code = match refusal.code {
        RefusalCode::NotFound => TurnedCode::NodeRemoved,
        RefusalCode::AlreadyExists | RefusalCode::Permission => TurnedCode::WrongKey,
        RefusalCode::Unspecified
        | RefusalCode::Invalid
        | RefusalCode::OutOfSequence
        | RefusalCode::Precondition
        | RefusalCode::Unsupported
        | RefusalCode::Exhausted
        | RefusalCode::Expired
        | RefusalCode::Ambiguous => TurnedCode::Retry,
    };
    turned(code, &refusal.message)
}
