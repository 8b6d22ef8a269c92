//! Who may speak for a node: join tokens, the cluster's certificate authority, the certificates of
//! nodes, and the TLS configurations that are made from them.
//!
//! Managers and agents share this crate, so that what one side writes into a certificate is what
//! the other side reads out of it. It decides nothing about a cluster: which node gets which role,
//! and what an expired certificate may still do, is said elsewhere. It reads no clock except
//! through the TLS handshake, and it opens no connection.

pub mod authority;
pub mod certificate;
pub mod cipher;
mod data_key_file;
pub mod data_keys;
mod files;
#[cfg(test)]
mod fixture;
pub mod folder;
mod folder_error;
pub mod key_lock;
pub mod node_key;
mod pem_text;
pub mod request;
pub mod root;
pub mod tls;
pub mod token;
pub mod unlock_key;
pub mod validity;
pub mod value_cipher;

pub use authority::{AuthorityError, CertificateAuthority};
pub use certificate::{CertificateError, NodeCertificate, NodeName};
pub use data_key_file::DataKeyFile;
pub use data_keys::DataKeys;
pub use folder::{CertificateFolder, IssuedFiles, NodeFiles};
pub use folder_error::FolderError;
pub use key_lock::KeyLock;
pub use node_key::{KeyDigest, KeyError, NodeKey};
pub use request::{CertificateRequest, RequestError};
pub use root::{RootCertificate, RootError};
pub use rustls::pki_types::CertificateDer;
pub use tls::{
    ManagerExpectation, ManagerRefused, client_config, disbelief_of, refusal_of, server_config,
};
pub use token::{JoinToken, TokenError, TokenSecret};
pub use unlock_key::{LockSalt, UnlockKey};
pub use validity::{RenewalDelay, ValidAt, Validity};
pub use value_cipher::{ValueCipher, ValueError};
