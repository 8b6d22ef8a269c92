//! What a client demands of a manager's certificate: the expected root, a manager's role, the right
//! cluster, and a time that fits this machine's clock.
//!
//! Signatures are verified by the TLS library alone. The chain has two links: the root signs each
//! node's certificate itself, so other certificates that a manager presents are not used for it.
//! The library verifies the chain at a moment within the certificate's own validity; only then is
//! the time judged, so that a wrong clock is told apart from a wrong signature.

use super::{clock, provider::provider, refusal::ManagerRefused};
use crate::{NodeCertificate, RootCertificate, ValidAt, Validity};
use rustls::{
    DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme,
    client::{
        self,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use skep_proto::{Id, Timestamp, v1::NodeRole};
use std::sync::{Arc, OnceLock};

/// Which manager a connection may lead to.
#[derive(Clone, Debug)]
pub enum ManagerExpectation {
    /// One of a cluster whose root certificate is known: the expectation of its members.
    Root {
        /// The cluster's root certificate.
        root: RootCertificate,
        /// The cluster's id, where it is known.
        cluster: Option<Id>,
    },
    /// One of the cluster that a join token names: the expectation at the first contact. No
    /// connection exists before the manager's root certificate was compared with the token.
    Pinned {
        /// The digest of the root certificate, from the token.
        digest: [u8; 32],
        /// Gets the root certificate in the handshake, before the connection can be used.
        learned: Arc<OnceLock<RootCertificate>>,
    },
}

/// What a client demands of a manager.
#[derive(Debug)]
pub(super) struct ManagerVerifier {
    expect: ManagerExpectation,
}

impl ManagerVerifier {
    pub(super) fn new(expect: ManagerExpectation) -> ManagerVerifier {
        ManagerVerifier { expect }
    }

    /// The root certificate that the manager's certificate must be signed with.
    fn root(
        &self,
        leaf: &NodeCertificate,
        presented: &[CertificateDer<'_>],
    ) -> Result<RootCertificate, ManagerRefused> {
        match &self.expect {
            ManagerExpectation::Root { root, .. } => Ok(root.clone()),
            ManagerExpectation::Pinned { digest, .. } => presented
                .last()
                .and_then(|last| RootCertificate::from_der(last.clone().into_owned()).ok())
                .filter(|root| root.digest() == *digest)
                .ok_or(ManagerRefused::OtherRoot { cluster: leaf.cluster }),
        }
    }

    /// The cluster that the manager must be of, where it is known.
    fn cluster(&self) -> Option<Id> {
        match self.expect {
            ManagerExpectation::Root { cluster, .. } => cluster,
            ManagerExpectation::Pinned { .. } => None,
        }
    }
}

impl ServerCertVerifier for ManagerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = NodeCertificate::read(end_entity).map_err(ManagerRefused::NotANode)?;
        let root = self.root(&leaf, intermediates)?;
        // A manager of another cluster fails the next check too; the id says more than a signature.
        if let Some(expected) = self.cluster().filter(|expected| *expected != leaf.cluster) {
            return Err(ManagerRefused::OtherCluster { expected, found: leaf.cluster }.into());
        }
        signed_by(&root, end_entity, clock::within(leaf.validity, now)).map_err(|error| {
            ManagerRefused::NotSigned { cluster: leaf.cluster, reason: error.to_string() }
        })?;
        match leaf.role {
            NodeRole::Manager => {}
            NodeRole::Worker => return Err(ManagerRefused::NotAManager { node: leaf.node }.into()),
        }
        in_time(leaf.validity, clock::timestamp(now))?;
        if let ManagerExpectation::Pinned { learned, .. } = &self.expect {
            // A second connection learns the same: both roots have the token's digest.
            let _ = learned.set(root);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Whether this root has signed the certificate of a server.
fn signed_by(
    root: &RootCertificate,
    certificate: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let algorithms = provider().signature_verification_algorithms;
    client::verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &root.store()?,
        &[],
        now,
        algorithms.all,
    )
}

/// Whether the certificate is valid at this moment.
fn in_time(validity: Validity, now: Timestamp) -> Result<(), ManagerRefused> {
    let Validity { not_before, not_after } = validity;
    match validity.at(now) {
        ValidAt::Valid => Ok(()),
        ValidAt::NotYet => Err(ManagerRefused::NotYetValid { not_before, not_after, now }),
        ValidAt::Expired => Err(ManagerRefused::Expired { not_before, not_after, now }),
    }
}
