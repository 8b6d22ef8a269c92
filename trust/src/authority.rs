//! The certificate authority of a cluster: its root certificate and the key that signs with it.
//!
//! Whoever has the key can make any node of the cluster. It is made once, when the cluster is
//! founded, and only managers have it. Certificates take the form of Swarm's, so that tools which
//! know those can read ours.

mod form;

pub use form::positive;

use crate::{
    certificate::NodeName,
    node_key::{KeyError, generate_pair, read_pair, write_pair},
    request::CertificateRequest,
    root::{RootCertificate, RootError},
    token::{JoinToken, TokenSecret},
    validity::Validity,
};
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use skep_proto::{Timestamp, time::SECOND_NS, v1::NodeRole};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Life of the root certificate: 20 years. TLS does not judge the time of a root, so nodes go on
/// after it; tools that show certificates call it expired.
pub const ROOT_LIFE_LIMIT_NS: u64 = 20 * 365 * 24 * 3_600 * SECOND_NS;
/// Separates the hash of a join token's secret from any other hash over the key.
const TOKEN_DOMAIN: &[u8] = b"skep join token 1";

/// The certificate authority of a cluster.
pub struct CertificateAuthority {
    root: RootCertificate,
    issuer: Issuer<'static, KeyPair>,
}

/// Why there is no certificate authority, or why it cannot sign.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The root certificate cannot be used.
    #[error("the root certificate cannot be used")]
    Root(#[from] RootError),
    /// The key cannot be used.
    #[error("the key of the certificate authority cannot be used")]
    Key(#[from] KeyError),
    /// The key is not the one of the root certificate.
    #[error("the key of the certificate authority does not belong to the root certificate")]
    KeyOfAnother,
    /// The certificate cannot be made.
    #[error("the certificate cannot be made")]
    Signing(#[from] rcgen::Error),
}

impl CertificateAuthority {
    /// A new authority, with a new key from the system's random bytes. Its root certificate begins
    /// an hour before now, like those of nodes, and lasts for 20 years.
    pub fn found(now: Timestamp) -> Result<CertificateAuthority, AuthorityError> {
        let pair = generate_pair()?;
        let root = form::root(Validity::from(now, ROOT_LIFE_LIMIT_NS)).self_signed(&pair)?;
        let root = RootCertificate::from_der(root.into())?;
        CertificateAuthority::of(root, pair)
    }

    /// The authority of this root certificate with this key, both as PEM text.
    pub fn from_pem(root: &str, key: &str) -> Result<CertificateAuthority, AuthorityError> {
        CertificateAuthority::of(RootCertificate::from_pem(root)?, read_pair(key)?)
    }

    fn of(root: RootCertificate, pair: KeyPair) -> Result<CertificateAuthority, AuthorityError> {
        let (_, certificate) =
            x509_parser::parse_x509_certificate(root.der()).map_err(|_| RootError::Malformed)?;
        if certificate.public_key().raw != pair.subject_public_key_info() {
            return Err(AuthorityError::KeyOfAnother);
        }
        let issuer = Issuer::from_ca_cert_der(root.der(), pair)?;
        Ok(CertificateAuthority { root, issuer })
    }

    /// The root certificate.
    pub fn root(&self) -> &RootCertificate {
        &self.root
    }

    /// The key as PEM text in the form PKCS#8. The text is wiped from memory when it is dropped.
    pub fn key_pem(&self) -> Zeroizing<String> {
        write_pair(self.issuer.key())
    }

    /// Issues a certificate for the key of this request. The serial number is 16 random bytes; the
    /// first two bits are overwritten, so that the number is positive and always of 16 bytes.
    pub fn issue(
        &self,
        request: &CertificateRequest,
        name: &NodeName,
        validity: Validity,
        serial: [u8; 16],
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let params = form::node(name, validity, serial)?;
        Ok(params.signed_by(request.public_key(), &self.issuer)?.into())
    }

    /// The secret of the join token for this role, made from the authority's key and a salt that
    /// the cluster's records hold. So no token is stored anywhere, every manager knows it, and a
    /// new salt makes the old token worthless. Nobody who could compute it gains anything by it:
    /// who has the key can issue certificates anyway.
    pub fn token_secret(&self, role: NodeRole, salt: &[u8; 16]) -> TokenSecret {
        let role = match role {
            NodeRole::Worker => [0],
            NodeRole::Manager => [1],
        };
        let hash = self.derive(TOKEN_DOMAIN, &[&role, salt]);
        TokenSecret::new(std::array::from_fn(|at| hash[at]))
    }

    /// A secret that only who has the key can compute. `domain` says what it is for.
    pub(crate) fn derive(&self, domain: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let of_key =
            Sha256::new().chain_update(domain).chain_update(self.issuer.key().serialized_der());
        parts.iter().fold(of_key, |hash, part| hash.chain_update(part)).finalize().into()
    }

    /// The join token for this role, see [`CertificateAuthority::token_secret`].
    pub fn join_token(&self, role: NodeRole, salt: &[u8; 16]) -> JoinToken {
        JoinToken { root_digest: self.root.digest(), secret: self.token_secret(role, salt) }
    }
}

impl fmt::Debug for CertificateAuthority {
    /// Shows the root certificate's digest alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateAuthority({:?})", self.root)
    }
}

#[cfg(test)]
mod tests;
