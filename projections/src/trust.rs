//! Who is believed: the cluster's certificate authority, its join tokens, and each node's key.
//!
//! Nothing here is secret. The authority's key lies with its manager, and the secrets of join
//! tokens are made from that key and the salts.

use skep_proto::{Timestamp, v1::NodeRole};

/// The cluster's certificate authority, as everybody may know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// The root's certificate, DER.
    pub root_certificate: Vec<u8>,
    /// What the worker's join token is made from, beside the authority's key.
    pub worker_salt: [u8; 16],
    /// The same of the manager's join token.
    pub manager_salt: [u8; 16],
    /// The same of the key that unlocks managers; zeros until it was rotated.
    pub unlock_salt: [u8; 16],
}

impl Authority {
    /// What the role's join token is made from, beside the authority's key.
    pub fn salt(&self, role: NodeRole) -> &[u8; 16] {
        match role {
            NodeRole::Worker => &self.worker_salt,
            NodeRole::Manager => &self.manager_salt,
        }
    }

    pub(crate) fn salt_mut(&mut self, role: NodeRole) -> &mut [u8; 16] {
        match role {
            NodeRole::Worker => &mut self.worker_salt,
            NodeRole::Manager => &mut self.manager_salt,
        }
    }
}

/// The newest certificate of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The role that it names.
    pub role: NodeRole,
    /// Its number.
    pub serial: [u8; 16],
    /// It is valid from then.
    pub not_before: Timestamp,
    /// It is valid until then.
    pub not_after: Timestamp,
}
