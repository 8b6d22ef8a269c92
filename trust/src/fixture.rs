//! A cluster for tests: its authority, and certificates of its nodes.

use crate::{CertificateAuthority, CertificateRequest, NodeKey, NodeName, Validity};
use rustls::pki_types::CertificateDer;
use skep_proto::{Id, Timestamp, time::SECOND_NS, v1::NodeRole};

/// 2026-11-21T13:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_795_266_000 * SECOND_NS);

/// A cluster's authority and its id.
pub(crate) struct TestCluster {
    pub(crate) authority: CertificateAuthority,
    pub(crate) cluster: Id,
}

/// A new cluster of the id 9, with a key of its own.
pub(crate) fn member() -> TestCluster {
    cluster(9)
}

/// A new cluster of this id, with a key of its own.
pub(crate) fn cluster(id: u128) -> TestCluster {
    TestCluster { authority: CertificateAuthority::found(NOW).unwrap(), cluster: Id(id) }
}

impl TestCluster {
    /// A new key for this node and its certificate, issued at this time for 90 days.
    pub(crate) fn issue(
        &self,
        node: u128,
        role: NodeRole,
        at: Timestamp,
    ) -> (NodeKey, CertificateDer<'static>) {
        let key = NodeKey::generate().unwrap();
        let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
        let name = NodeName { node: Id(node), role, cluster: self.cluster };
        let serial = node.to_be_bytes();
        (key, self.authority.issue(&request, &name, self.validity(at), serial).unwrap())
    }

    pub(crate) fn validity(&self, at: Timestamp) -> Validity {
        Validity::from(at, skep_proto::defaults::CERTIFICATE_EXPIRY_NS)
    }
}
