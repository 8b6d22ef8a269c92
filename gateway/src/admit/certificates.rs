//! Who gets a certificate, and with it a place in the cluster. PURE.
//!
//! A node is known by its key. It joins with a new key, its manager's own process may take it back
//! under another one, and an agent from before there were certificates exchanges its secret for
//! one. Nobody else changes a node's key.

use super::{Admitted, Refusal, node_rules, roles};
use bytes::Bytes;
use prost::Message as _;
use skep_projections::{NodeRow, View, trust::IssuedCertificate};
use skep_proto::{
    Id, Revision,
    v1::{
        AuthorityFounded, CertificateIssued, JoinTokenRotated, NodeDescription, NodeJoined,
        NodeRole, NodeSpec, RotateJoinToken, event::Kind,
    },
};
use skep_reconcilers::Entropy;

/// A certificate whose life is not further than one part in so many is issued again as it is: who
/// asks again and again adds nothing to the log.
const CERTIFICATE_LIFE_PARTS: u64 = 10;
/// Nodes in a cluster; one more is refused, so that a join token in the wrong hands does not fill
/// the managers' memory.
const NODES_MAX: u32 = 20_000;

/// Somebody asks for a certificate.
#[derive(Clone, Debug)]
pub struct CertificateAsked {
    /// Of which node.
    pub node: Id,
    /// SHA-256 of the key, for which the asker has shown that it has it.
    pub key_hash: [u8; 32],
    /// Why the asker should get it.
    pub claim: CertificateClaim,
    /// Number and times of the certificate. Its role is that of the node.
    pub certificate: IssuedCertificate,
}

impl CertificateAsked {
    /// What it takes of an entry, nearly.
    pub(crate) fn encoded_len(&self) -> usize {
        match &self.claim {
            CertificateClaim::Newcomer(newcomer) | CertificateClaim::Own(newcomer) => {
                newcomer.spec.encoded_len() + newcomer.description.encoded_len()
            }
            CertificateClaim::EarlierSecret(_)
            | CertificateClaim::Key
            | CertificateClaim::Certificate => 0,
        }
    }
}

/// Why somebody should get a certificate.
#[derive(Clone, Debug)]
pub enum CertificateClaim {
    /// It has shown a join token, or came through the manager's own socket.
    Newcomer(Box<Newcomer>),
    /// It is the agent in the manager's own process: the manager vouches for it whatever its key.
    Own(Box<Newcomer>),
    /// It has shown the secret of which this is the SHA-256: it joined below feature level 4.
    EarlierSecret([u8; 32]),
    /// It has the key.
    Key,
    /// It has shown a certificate for the key that the authority has signed.
    Certificate,
}

/// What a node joins as.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// What it wants to be, with its role.
    pub spec: NodeSpec,
    /// What it is.
    pub description: NodeDescription,
}

pub(super) fn certify(view: &View, asked: &CertificateAsked) -> Result<Admitted, Refusal> {
    let Some((_, row)) = view.nodes().by_id(asked.node) else {
        return match &asked.claim {
            CertificateClaim::Newcomer(newcomer) if !view.removed_nodes().has(asked.node) => {
                roles::join(view, newcomer.spec.desired_role())?;
                join(view, asked, newcomer)
            }
            CertificateClaim::Own(newcomer) => join(view, asked, newcomer),
            CertificateClaim::Newcomer(_)
            | CertificateClaim::EarlierSecret(_)
            | CertificateClaim::Key
            | CertificateClaim::Certificate => Err(node_rules::absent(view, asked.node)),
        };
    };
    if row.removed {
        return Err(node_rules::absent(view, asked.node));
    }
    let has_key = row.credential_hash == asked.key_hash;
    match &asked.claim {
        CertificateClaim::Own(_) => {}
        CertificateClaim::Newcomer(_) | CertificateClaim::Key if has_key => {}
        // History may have gone back behind the record of it; the signature stands.
        CertificateClaim::Certificate if has_key || row.certificate.is_none() => {}
        CertificateClaim::EarlierSecret(secret_hash)
            if has_key || row.certificate.is_none() && row.credential_hash == *secret_hash => {}
        CertificateClaim::Newcomer(_) => {
            return Err(Refusal::exists(format!("node {} has joined already", asked.node))
                .hint("start the agent with an empty state folder to join as another node"));
        }
        CertificateClaim::EarlierSecret(_)
        | CertificateClaim::Key
        | CertificateClaim::Certificate => {
            return Err(Refusal::permission(format!("this is not the key of node {}", asked.node))
                .hint(
                    "start the agent with an empty state folder to join as another node, and \
                     remove this one with `skep node rm`",
                ));
        }
    }
    let role = row.spec.desired_role();
    if has_key && is_fresh(row, role, &asked.certificate) {
        return Ok(Admitted::unchanged(asked.node));
    }
    Ok(Admitted::one(asked.node, issued(asked, role)))
}

fn join(view: &View, asked: &CertificateAsked, newcomer: &Newcomer) -> Result<Admitted, Refusal> {
    let Newcomer { spec, description } = newcomer;
    if view.node_counts().0 >= NODES_MAX {
        return Err(Refusal::exhausted(format!("the cluster has {NODES_MAX} nodes, the most that may be"))
            .hint("remove nodes that are gone (`skep node rm`); is somebody using the join token who should not?"));
    }
    node_rules::within_bound(description)?;
    let labels = spec.annotations.as_ref().map(|annotations| &annotations.labels);
    labels.map_or(Ok(()), node_rules::node_labels)?;
    let joined = NodeJoined {
        node_id: asked.node.to_bytes(),
        spec: Some(spec.clone()),
        description: Some(description.clone()),
        secret_hash: Bytes::new(),
    };
    let issued = issued(asked, spec.desired_role());
    Ok(Admitted {
        events: vec![
            (Revision::ZERO, Kind::NodeJoined(Box::new(joined))),
            (Revision::ZERO, issued),
        ],
        object: asked.node,
        warnings: node_rules::same_names(view, asked.node, &description.hostname),
    })
}

fn issued(asked: &CertificateAsked, role: NodeRole) -> Kind {
    let certificate = &asked.certificate;
    Kind::CertificateIssued(CertificateIssued {
        node_id: asked.node.to_bytes(),
        key_hash: Bytes::copy_from_slice(&asked.key_hash),
        role: role as i32,
        serial: Bytes::copy_from_slice(&certificate.serial),
        not_before_at: certificate.not_before.0,
        not_after_at: certificate.not_after.0,
    })
}

/// Whether the node's certificate is nearly as good as one made now.
fn is_fresh(row: &NodeRow, role: NodeRole, new: &IssuedCertificate) -> bool {
    row.certificate.as_deref().is_some_and(|known| {
        let life_ns = known.not_after.since(known.not_before);
        known.role == role
            && known.not_before <= new.not_before
            && new.not_before.since(known.not_before) < life_ns / CERTIFICATE_LIFE_PARTS
    })
}

/// One authority in the life of a cluster; a manager that says it again changes nothing.
pub(super) fn found_authority(
    view: &View,
    root_certificate: &Bytes,
    [worker_salt, manager_salt]: &[[u8; 16]; 2],
) -> Result<Admitted, Refusal> {
    let cluster = view.cluster();
    if cluster.id.is_none() {
        return Err(Refusal::precondition("there is no cluster yet"));
    }
    if cluster.authority.is_some() {
        return Ok(Admitted::unchanged(cluster.id));
    }
    let founded = AuthorityFounded {
        root_certificate: root_certificate.clone(),
        worker_salt: Bytes::copy_from_slice(worker_salt),
        manager_salt: Bytes::copy_from_slice(manager_salt),
    };
    Ok(Admitted::one(cluster.id, Kind::AuthorityFounded(founded)))
}

pub(super) fn rotate_join_token(
    view: &View,
    command: &RotateJoinToken,
    entropy: &Entropy,
) -> Result<Admitted, Refusal> {
    let role = NodeRole::try_from(command.role)
        .map_err(|_| Refusal::invalid(format!("there is no role of number {}", command.role)))?;
    if view.cluster().authority.is_none() {
        return Err(no_authority());
    }
    let rotated = JoinTokenRotated { role: role as i32, salt: entropy.id().to_bytes() };
    Ok(Admitted::one(view.cluster().id, Kind::JoinTokenRotated(rotated)))
}

pub(super) fn no_authority() -> Refusal {
    Refusal::precondition("the cluster has no certificate authority yet")
        .hint("it has one a moment after a manager began to lead: try again")
}

#[cfg(test)]
mod tests;
