//! Who may speak for a node: join tokens, the cluster's certificate authority, the certificates of
//! nodes, and the TLS configurations that are made from them.
//!
//! Managers and agents share this crate, so that what one side writes into a certificate is what
//! the other side reads out of it. It decides nothing about a cluster: which node gets which role,
//! and what an expired certificate may still do, is said elsewhere. It reads no clock except
//! through the TLS handshake, and it opens no connection.

pub mod authority;
pub mod certificate;
#[cfg(test)]
mod fixture;
pub mod folder;
pub mod node_key;
mod pem_text;
pub mod request;
pub mod root;
pub mod tls;
pub mod token;
pub mod validity;

pub use authority::{AuthorityError, CertificateAuthority};
pub use certificate::{CertificateError, NodeCertificate, NodeName};
pub use folder::{CertificateFolder, FolderError, IssuedFiles, NodeFiles};
pub use node_key::{KeyDigest, KeyError, NodeKey};
pub use request::{CertificateRequest, RequestError};
pub use root::{RootCertificate, RootError};
pub use rustls::pki_types::CertificateDer;
pub use tls::{
    ManagerExpectation, ManagerRefused, client_config, disbelief_of, refusal_of, server_config,
};
pub use token::{JoinToken, TokenError, TokenSecret};
pub use validity::{RenewalDelay, ValidAt, Validity};
