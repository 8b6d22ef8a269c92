//! Records about who is believed.

use super::{
    Step,
    misfit::{ApplyResult, Misfit, ObjectKind},
    upkeep::Changed,
};
use crate::{
    digest::{NodePart, parts},
    trust::{Authority, IssuedCertificate},
    view::View,
};
use skep_proto::{Id, Timestamp, v1};
use std::sync::Arc;

impl View {
    /// Changes the authority, and the digest with it.
    fn edit_authority(&mut self, change: impl FnOnce(&mut Option<Arc<Authority>>)) {
        self.digest.take(parts::authority(self.cluster.authority.as_deref()));
        change(&mut self.cluster.authority);
        self.digest.put(parts::authority(self.cluster.authority.as_deref()));
    }
}

impl Step<'_> {
    /// There is one authority in the life of a cluster: everybody's certificates hang on it.
    pub(super) fn authority_founded(&mut self, e: &v1::AuthorityFounded) -> ApplyResult {
        if self.view.cluster.id.is_none() {
            return Err(Misfit::Missing(ObjectKind::Cluster, Id::NONE));
        }
        if self.view.cluster.authority.is_some() {
            return Err(Misfit::NothingNew(ObjectKind::Cluster, self.view.cluster.id));
        }
        if e.root_certificate.is_empty() {
            return Err(Misfit::Field("root_certificate"));
        }
        let authority = Authority {
            root_certificate: e.root_certificate.to_vec(),
            worker_salt: sixteen(&e.worker_salt, "worker_salt")?,
            manager_salt: sixteen(&e.manager_salt, "manager_salt")?,
            unlock_salt: [0; 16],
        };
        self.view.edit_authority(|known| *known = Some(Arc::new(authority)));
        self.changed(Changed::Cluster)
    }

    pub(super) fn join_token_rotated(&mut self, e: &v1::JoinTokenRotated) -> ApplyResult {
        let salt = sixteen(&e.salt, "salt")?;
        let known = self.view.cluster.authority.as_deref();
        let mut authority =
            known.ok_or(Misfit::Missing(ObjectKind::Cluster, self.view.cluster.id))?.clone();
        *authority.salt_mut(e.role()) = salt;
        self.view.edit_authority(|known| *known = Some(Arc::new(authority)));
        self.changed(Changed::Cluster)
    }

    pub(super) fn unlock_key_rotated(&mut self, e: &v1::UnlockKeyRotated) -> ApplyResult {
        let salt = sixteen(&e.salt, "salt")?;
        let known = self.view.cluster.authority.as_deref();
        let missing = Misfit::Missing(ObjectKind::Cluster, self.view.cluster.id);
        let authority = Authority { unlock_salt: salt, ..known.ok_or(missing)?.clone() };
        self.view.edit_authority(|known| *known = Some(Arc::new(authority)));
        self.changed(Changed::Cluster)
    }

    /// The node is believed with this key from now on, and with no other.
    pub(super) fn certificate_issued(&mut self, e: &v1::CertificateIssued) -> ApplyResult {
        let (index, _) = self.view.present_node(&e.node_id)?;
        let key = <[u8; 32]>::try_from(&e.key_hash[..]).map_err(|_| Misfit::Field("key_hash"))?;
        let certificate = IssuedCertificate {
            role: e.role(),
            serial: sixteen(&e.serial, "serial")?,
            not_before: Timestamp(e.not_before_at),
            not_after: Timestamp(e.not_after_at),
        };
        let (revision, _) = self.moment();
        let touched = [NodePart::Said, NodePart::Marks, NodePart::Certificate];
        self.view.edit_node(index, &touched, |row| {
            row.credential_hash = key;
            row.certificate = Some(Arc::new(certificate));
            row.last_revision = revision;
        });
        self.changed(Changed::Node(index))
    }
}

fn sixteen(bytes: &[u8], field: &'static str) -> Result<[u8; 16], Misfit> {
    bytes.try_into().map_err(|_| Misfit::Field(field))
}
