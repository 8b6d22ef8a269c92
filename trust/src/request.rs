//! A node's request for a certificate, as a manager reads it.
//!
//! Only the public key in it counts. The subject and the extensions that a request asks for are
//! ignored: who the node is and which role it has is what the cluster knows of it, never what it
//! says of itself. The request's signature proves that whoever made it has the private key.

use crate::node_key::KeyDigest;
use rcgen::SubjectPublicKeyInfo;
use thiserror::Error;
use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256},
    prelude::FromDer,
    x509::SubjectPublicKeyInfo as RequestedKey,
};

/// Largest request for a certificate; a larger one is refused before it is read. One of ours has
/// some 200 bytes.
pub const CERTIFICATE_REQUEST_BYTES_MAX: usize = 4 << 10;

/// A request for a certificate whose signature has been verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateRequest {
    public_key: SubjectPublicKeyInfo,
    digest: KeyDigest,
}

/// Why a request for a certificate is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RequestError {
    /// It is larger than [`CERTIFICATE_REQUEST_BYTES_MAX`].
    #[error(
        "the certificate request has {bytes} bytes, and at most {CERTIFICATE_REQUEST_BYTES_MAX} \
         are read"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is no PKCS#10 request in DER.
    #[error("this is not a certificate request in the form PKCS#10")]
    Malformed,
    /// Its key or its signature is not ECDSA on the curve P-256 with SHA-256.
    #[error("the certificate request is not signed with ECDSA on the curve P-256 and SHA-256")]
    Algorithm,
    /// Its signature is not that of its key.
    #[error("the signature of the certificate request is wrong")]
    Signature,
}

impl CertificateRequest {
    /// Reads a request (PKCS#10, DER) and verifies its signature.
    pub fn parse(der: &[u8]) -> Result<CertificateRequest, RequestError> {
        if der.len() > CERTIFICATE_REQUEST_BYTES_MAX {
            return Err(RequestError::TooLarge { bytes: der.len() });
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        let key = &request.certification_request_info.subject_pki;
        // The key's own curve is checked too: the algorithm of the signature does not fix it.
        if request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256 || !is_p256(key) {
            return Err(RequestError::Algorithm);
        }
        request.verify_signature().map_err(|_| RequestError::Signature)?;
        let public_key =
            SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| RequestError::Algorithm)?;
        // The digest is that of the form which the certificate will have.
        let digest = KeyDigest::of(&rcgen::PublicKeyData::subject_public_key_info(&public_key));
        Ok(CertificateRequest { public_key, digest })
    }

    /// The digest of the key that it asks a certificate for.
    pub fn digest(&self) -> KeyDigest {
        self.digest
    }

    /// The key that it asks a certificate for.
    pub(crate) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.public_key
    }
}

fn is_p256(key: &RequestedKey<'_>) -> bool {
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_key::NodeKey;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, IsCa, KeyPair};

    fn request_of(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::default().serialize_request(&pair).unwrap().der().to_vec()
    }

    #[test]
    fn a_request_names_its_key() {
        let key = NodeKey::generate().unwrap();
        let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
        assert_eq!(request.digest(), key.digest());
    }

    #[test]
    fn what_it_asks_for_beside_its_key_is_ignored() {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["swarm-ca".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationalUnitName, "swarm-manager");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let der = params.serialize_request(&pair).unwrap().der().to_vec();
        let request = CertificateRequest::parse(&der).unwrap();
        let bare = NodeKey::from_pem(&crate::node_key::write_pair(&pair)).unwrap();
        assert_eq!(CertificateRequest::parse(&bare.request().unwrap()), Ok(request));
    }

    #[test]
    fn other_algorithms_and_sizes_are_refused() {
        for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let refused = CertificateRequest::parse(&request_of(algorithm));
            assert_eq!(refused, Err(RequestError::Algorithm), "{algorithm:?}");
        }
        let large = vec![0x30; CERTIFICATE_REQUEST_BYTES_MAX + 1];
        assert_eq!(
            CertificateRequest::parse(&large),
            Err(RequestError::TooLarge { bytes: CERTIFICATE_REQUEST_BYTES_MAX + 1 })
        );
        assert_eq!(CertificateRequest::parse(&large[1..]), Err(RequestError::Malformed));
        let longer = [NodeKey::generate().unwrap().request().unwrap(), vec![0]].concat();
        assert_eq!(CertificateRequest::parse(&longer), Err(RequestError::Malformed));
    }

    #[test]
    fn the_signature_must_be_that_of_the_key() {
        let mut der = NodeKey::generate().unwrap().request().unwrap();
        let other = NodeKey::generate().unwrap().request().unwrap();
        // Both have the same layout up to the signature: the other's key is put in.
        let key_at = der.windows(2).position(|pair| pair == [0x00, 0x04]).unwrap() + 2;
        der[key_at..key_at + 64].copy_from_slice(&other[key_at..key_at + 64]);
        assert_eq!(CertificateRequest::parse(&der), Err(RequestError::Signature));
    }

    proptest! {
        #[test]
        fn changed_bytes_never_change_the_key(at: prop::sample::Index, flip in 1u8..) {
            let mut der = NodeKey::generate().unwrap().request().unwrap();
            let honest = CertificateRequest::parse(&der).unwrap();
            let at = at.index(der.len());
            der[at] ^= flip;
            // A few bits of the signature's wrapping mean nothing, so the request may stay good.
            if let Ok(request) = CertificateRequest::parse(&der) {
                prop_assert_eq!(request, honest);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(der: Vec<u8>) {
            let _ = CertificateRequest::parse(&der);
        }
    }
}
