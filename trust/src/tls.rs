//! The TLS configurations of managers and of those that connect to them.
//!
//! A connection is judged by two things: the root certificate that signed the peer's certificate,
//! and what the certificate says of the peer. Addresses are not judged, since machines are moved
//! and renumbered: a manager is whoever has a manager's certificate of this cluster. There is TLS
//! 1.3 alone, with one library of cryptography, and HTTP/2 above it.

mod client;
mod clock;
mod manager;
mod provider;
mod refusal;

pub use manager::ManagerExpectation;
pub use provider::provider;
pub use refusal::{ManagerRefused, disbelief_of, refusal_of};

use crate::{node_key::NodeKey, root::RootCertificate};
use client::ClientVerifier;
use manager::ManagerVerifier;
use rustls::{
    ClientConfig, ServerConfig, client::Resumption, pki_types::CertificateDer,
    server::NoServerSessionStorage, version::TLS13,
};
use std::sync::Arc;

/// What is spoken above TLS.
const HTTP_2: &[u8] = b"h2";

/// The configuration of a manager, with its own certificate.
///
/// The manager presents its certificate and the root certificate after it, so that a machine with a
/// join token can compare the root with the token. A client needs no certificate, since a joining
/// machine has none. One that is presented must have been signed by this root and be of the form
/// that [`crate::NodeCertificate`] reads; otherwise the handshake ends.
///
/// The handshake does not judge the time of a client's certificate: a node whose certificate has
/// expired may still ask for a new one, and only that. The caller must compare the validity with
/// its clock before it serves anything else.
///
/// Sessions are not resumed. A resumed session would carry on with the certificate of the earlier
/// one, unverified, although the root may have been replaced since.
///
/// Errors: the certificate is not that of the key, or the library refuses the root.
pub fn server_config(
    key: &NodeKey,
    certificate: CertificateDer<'static>,
    root: &RootCertificate,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let verifier = Arc::new(ClientVerifier::new(root)?);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate, root.der().clone()], key.to_tls())?;
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The configuration of whoever connects to a manager: with a node's key and certificate, or
/// without them where it has none yet.
///
/// The name in the address is ignored. A manager that is not the expected one is refused in the
/// handshake, and [`refusal_of`] finds the reason in the error of the connection. Sessions are not
/// resumed, so that each connection is verified.
///
/// Errors: the certificate is not that of the key, or the library refuses the root.
pub fn client_config(
    identity: Option<(&NodeKey, CertificateDer<'static>)>,
    expect: ManagerExpectation,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        // Called dangerous since it replaces the judgement by names; ours is by root and role.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ManagerVerifier::new(expect)));
    let mut config = match identity {
        Some((key, certificate)) => {
            builder.with_client_auth_cert(vec![certificate], key.to_tls())?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config.resumption = Resumption::disabled();
    // Nobody reads the name, so it need not travel in the clear.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
