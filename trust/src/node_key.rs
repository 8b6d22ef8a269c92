//! A node's own private key, on the curve P-256.
//!
//! The key is made on the node and never leaves it: a manager sees only a request that proves that
//! the node has it. The digest of the public half is how records and certificates name the key.

use crate::pem_text;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// A node's private key.
pub struct NodeKey {
    pair: KeyPair,
}

/// SHA-256 of a public key in the form that certificates have it in (SubjectPublicKeyInfo, DER).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

/// Why there is no private key, or why it cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The text is no PEM text of a private key in the form PKCS#8.
    #[error("this is not the PEM text of a private key, which begins with BEGIN PRIVATE KEY")]
    NotPem,
    /// The key is of another kind than the curve P-256, or damaged.
    #[error("this private key is not on the curve P-256, or is damaged")]
    NotUsable,
    /// The system has no random bytes, or the key could not sign.
    #[error("the private key cannot be made or used")]
    Signing(#[from] rcgen::Error),
}

impl NodeKey {
    /// A new key, from the system's random bytes.
    pub fn generate() -> Result<NodeKey, KeyError> {
        Ok(NodeKey { pair: generate_pair()? })
    }

    /// Reads what [`NodeKey::to_pem`] wrote.
    pub fn from_pem(text: &str) -> Result<NodeKey, KeyError> {
        Ok(NodeKey { pair: read_pair(text)? })
    }

    /// The key as PEM text in the form PKCS#8. The text is wiped from memory when it is dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        write_pair(&self.pair)
    }

    /// The digest of its public half.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(&self.pair.subject_public_key_info())
    }

    /// A request for a certificate (PKCS#10, DER). It names nothing but the public half, since the
    /// manager decides on everything else, and it is signed with this key.
    pub fn request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.pair)?.der().to_vec())
    }

    /// The key as the TLS library wants it.
    pub(crate) fn to_tls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.pair.serialize_der().into())
    }
}

impl fmt::Debug for NodeKey {
    /// Shows the public half's digest alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.digest())
    }
}

impl KeyDigest {
    /// The digest of a public key in the form SubjectPublicKeyInfo, DER.
    pub(crate) fn of(public_key: &[u8]) -> KeyDigest {
        KeyDigest(Sha256::digest(public_key).into())
    }
}

impl fmt::Display for KeyDigest {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A new key pair on the curve P-256.
pub(crate) fn generate_pair() -> Result<KeyPair, KeyError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// Reads a key pair on the curve P-256 from PEM text.
pub(crate) fn read_pair(text: &str) -> Result<KeyPair, KeyError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::NotPem)?;
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
        .map_err(|_| KeyError::NotUsable)
}

/// The key pair as PEM text.
pub(crate) fn write_pair(pair: &KeyPair) -> Zeroizing<String> {
    Zeroizing::new(pem_text::encode(pem_text::PRIVATE_KEY, pair.serialized_der()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text() {
        let key = NodeKey::generate().unwrap();
        let read = NodeKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(read.digest(), key.digest());
        assert_eq!(*read.to_pem(), *key.to_pem());
        assert_ne!(NodeKey::generate().unwrap().digest(), key.digest());
    }

    #[test]
    fn debug_shows_the_public_half_alone() {
        let key = NodeKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), format!("NodeKey({})", key.digest()));
        assert_eq!(KeyDigest([0xab; 32]).to_string(), "ab".repeat(32));
        assert_eq!(format!("{:?}", KeyDigest([0; 32])), "00".repeat(32));
    }

    #[test]
    fn what_is_no_usable_key_is_refused() {
        let pem = NodeKey::generate().unwrap().to_pem();
        let refused = |text: &str| NodeKey::from_pem(text).unwrap_err();
        assert!(matches!(refused(""), KeyError::NotPem));
        assert!(matches!(refused(&pem.replace("PRIVATE", "PUBLIC")), KeyError::NotPem));
        let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(matches!(refused(&write_pair(&other)), KeyError::NotUsable));
    }
}
