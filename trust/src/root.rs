//! The root certificate of a cluster: the public half of its certificate authority.
//!
//! Every node has it and judges every other node by it. A join token names it by a digest of its
//! PEM text, as Swarm's tokens do; therefore the text is always made anew from the bytes, in one
//! form, whatever the file looks like.

use crate::pem_text;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::fmt;
use thiserror::Error;

/// The root certificate of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct RootCertificate {
    der: CertificateDer<'static>,
    pem: String,
}

/// Why something is not a root certificate.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RootError {
    /// The text has another number of certificates than one.
    #[error("{count} certificates in PEM form are there instead of one")]
    Count {
        /// How many could be read before the first error.
        count: usize,
    },
    /// The bytes are no certificate.
    #[error("this is not a certificate")]
    Malformed,
    /// The certificate may not sign others.
    #[error("this certificate is not that of a certificate authority")]
    NotAnAuthority,
}

impl RootCertificate {
    /// Reads the one certificate in a PEM text.
    pub fn from_pem(text: &str) -> Result<RootCertificate, RootError> {
        let mut found: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(text.as_bytes()).map_while(Result::ok).collect();
        match (found.pop(), found.len()) {
            (Some(der), 0) => RootCertificate::from_der(der),
            (Some(_), others) => Err(RootError::Count { count: others + 1 }),
            (None, _) => Err(RootError::Count { count: 0 }),
        }
    }

    /// Takes the DER bytes of a certificate that may sign others.
    pub fn from_der(der: CertificateDer<'static>) -> Result<RootCertificate, RootError> {
        let (rest, certificate) =
            x509_parser::parse_x509_certificate(&der).map_err(|_| RootError::Malformed)?;
        if !rest.is_empty() {
            return Err(RootError::Malformed);
        }
        if !certificate.is_ca() {
            return Err(RootError::NotAnAuthority);
        }
        // What the TLS library cannot use as a root must not become one.
        RootCertStore::empty().add(der.clone()).map_err(|_| RootError::Malformed)?;
        let pem = pem_text::encode(pem_text::CERTIFICATE, &der);
        Ok(RootCertificate { der, pem })
    }

    /// Its DER bytes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its PEM text: lines of 64 characters, each with `\n` at its end.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of its PEM text, as join tokens have it.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.pem.as_bytes()).into()
    }

    /// The root as the TLS library wants it.
    pub(crate) fn store(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        Ok(roots)
    }
}

impl fmt::Debug for RootCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootCertificate(")?;
        self.digest().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW, member};

    #[test]
    fn the_text_is_made_anew_in_one_form() {
        let root = member().authority.root().clone();
        let foreign = format!("a comment\r\n{}\n\n", root.pem().replace('\n', "\r\n"));
        let read = RootCertificate::from_pem(&foreign).unwrap();
        assert_eq!(read, root);
        assert_eq!(read.digest(), root.digest());
        assert!(format!("{root:?}").len() < 90, "{root:?}");
    }

    #[test]
    fn what_is_no_root_is_refused() {
        let member = member();
        let root = member.authority.root();
        let count = |text: &str| RootCertificate::from_pem(text).unwrap_err();
        assert_eq!(count(""), RootError::Count { count: 0 });
        assert_eq!(count(&root.pem().repeat(2)), RootError::Count { count: 2 });
        assert_eq!(count(&root.pem()[..200]), RootError::Count { count: 0 });
        let longer = [root.der().as_ref(), b"x"].concat();
        assert_eq!(RootCertificate::from_der(longer.into()), Err(RootError::Malformed));
        let shorter = root.der()[..100].to_vec();
        assert_eq!(RootCertificate::from_der(shorter.into()), Err(RootError::Malformed));
        let leaf = member.issue(1, skep_proto::v1::NodeRole::Manager, NOW).1;
        assert_eq!(RootCertificate::from_der(leaf), Err(RootError::NotAnAuthority));
    }
}
