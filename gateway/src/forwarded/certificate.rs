//! The request for a certificate as it travels. PURE.

use crate::admit::{CertificateAsked, CertificateClaim, Newcomer};
use bytes::Bytes;
use skep_projections::trust::IssuedCertificate;
use skep_proto::{
    Id, Timestamp,
    v1::{CertificateAsk, CertificateNewcomer, NodeRole, ShownKey, certificate_ask::Claim},
};

pub(super) fn encode(asked: &CertificateAsked) -> CertificateAsk {
    let newcomer = |newcomer: &Newcomer| CertificateNewcomer {
        spec: Some(newcomer.spec.clone()),
        description: Some(newcomer.description.clone()),
    };
    let claim = match &asked.claim {
        CertificateClaim::Newcomer(joining) => Claim::Newcomer(newcomer(joining)),
        CertificateClaim::Own(joining) => Claim::Own(newcomer(joining)),
        CertificateClaim::EarlierSecret(hash) => Claim::EarlierSecret(Bytes::copy_from_slice(hash)),
        CertificateClaim::Key => Claim::Key(ShownKey {}),
        CertificateClaim::Certificate => Claim::Certificate(ShownKey {}),
    };
    CertificateAsk {
        node_id: asked.node.to_bytes(),
        key_hash: Bytes::copy_from_slice(&asked.key_hash),
        serial: Bytes::copy_from_slice(&asked.certificate.serial),
        not_before_at: asked.certificate.not_before.0,
        not_after_at: asked.certificate.not_after.0,
        claim: Some(claim),
    }
}

pub(super) fn decode(asked: CertificateAsk) -> Option<CertificateAsked> {
    let newcomer = |newcomer: CertificateNewcomer| {
        Box::new(Newcomer {
            spec: newcomer.spec.unwrap_or_default(),
            description: newcomer.description.unwrap_or_default(),
        })
    };
    let claim = match asked.claim? {
        Claim::Newcomer(joining) => CertificateClaim::Newcomer(newcomer(joining)),
        Claim::Own(joining) => CertificateClaim::Own(newcomer(joining)),
        Claim::EarlierSecret(hash) => CertificateClaim::EarlierSecret(hash[..].try_into().ok()?),
        Claim::Key(_) => CertificateClaim::Key,
        Claim::Certificate(_) => CertificateClaim::Certificate,
    };
    Some(CertificateAsked {
        node: Id::from_bytes(&asked.node_id),
        key_hash: asked.key_hash[..].try_into().ok()?,
        claim,
        certificate: IssuedCertificate {
            // The role is the node's: who decides does not look at this one.
            role: NodeRole::Worker,
            serial: asked.serial[..].try_into().ok()?,
            not_before: Timestamp(asked.not_before_at),
            not_after: Timestamp(asked.not_after_at),
        },
    })
}
