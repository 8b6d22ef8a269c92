//! The cluster's certificate authority, as this manager has it.
//!
//! Its key lies in the state folder and never in the log. What a certificate says is decided by the
//! turn and recorded; only then it is signed here, from the record. So there is no certificate of a
//! node that the log does not know. The manager's own at its doors is for a key in memory alone.

mod problem;
mod sealing;

pub use problem::AuthorityProblem;
pub(crate) use sealing::keep_sealed;
pub use sealing::{DiskKeys, SealingProblem};

use crate::{
    admit::{MachineRequest, Request},
    clock::wall,
    drive::Drive,
    peers::ManagerApplication,
    turn::Answer,
};
use bytes::Bytes;
use skep_projections::{View, trust::IssuedCertificate};
use skep_proto::{Id, Timestamp, author, defaults, v1};
use skep_trust::{
    CertificateAuthority, CertificateFolder, CertificateRequest, LockSalt, NodeKey, NodeName,
    UnlockKey, Validity,
};
use std::sync::{Arc, OnceLock};

/// What the request to record an authority takes of an entry, nearly.
const FOUNDING_BYTES: usize = 1_024;

/// The authority's key, and whose manager has it.
pub struct ManagerAuthority {
    /// None before it was read or made.
    authority: OnceLock<CertificateAuthority>,
    folder: CertificateFolder,
    manager: Id,
    /// Of a manager that has joined others.
    joined: Option<JoinedAuthority>,
}

/// Where a manager that has not founded its cluster gets the authority's key.
pub struct JoinedAuthority {
    /// The cluster, as the own node's certificate says.
    pub cluster: Id,
    /// Who is asked.
    pub application: ManagerApplication,
}

impl ManagerAuthority {
    /// The authority in this folder. Nothing is read or written yet.
    pub fn of(folder: CertificateFolder, manager: Id) -> ManagerAuthority {
        ManagerAuthority { authority: OnceLock::new(), folder, manager, joined: None }
    }

    /// The same of a manager that has joined others.
    #[must_use]
    pub fn of_joined(self, joined: JoinedAuthority) -> ManagerAuthority {
        ManagerAuthority { joined: Some(joined), ..self }
    }

    /// Has the authority's key, and the authority recorded. A manager that has joined others gets
    /// the key from them.
    pub async fn record(&self, drive: &Drive) -> Result<(), AuthorityProblem> {
        match &self.joined {
            Some(joined) => self.fetch(joined).await?,
            None => self.found(drive).await?,
        }
        self.of_cluster(&drive.newest().view).map(drop)
    }

    /// Reads the key, or asks the other managers for it.
    async fn fetch(&self, joined: &JoinedAuthority) -> Result<(), AuthorityProblem> {
        if self.authority.get().is_some() {
            return Ok(());
        }
        let authority = match self.folder.read_authority()? {
            Some(authority) => authority,
            None => {
                let (authority, lock) = joined.application.authority().await?;
                if lock.is_some() {
                    self.folder.lock().seal_with(lock, &authority);
                }
                self.folder.write_authority(&authority)?;
                authority
            }
        };
        // Nobody else sets it.
        self.authority.set(authority).ok();
        Ok(())
    }

    /// Waits until the cluster is founded, and reads its authority's key. Only where the cluster
    /// has no authority one is made and recorded: a key that was lost is not replaced, since nodes
    /// believe no other.
    async fn found(&self, drive: &Drive) -> Result<(), AuthorityProblem> {
        let mut published = drive.published();
        let founded = published.wait_for(|p| !p.view.cluster().id.is_none()).await;
        let Ok(has_one) = founded.map(|p| p.view.cluster().authority.is_some()) else {
            return Ok(());
        };
        if self.authority.get().is_none() {
            let authority = match self.folder.read_authority()? {
                Some(authority) => authority,
                None if has_one => {
                    return Err(AuthorityProblem::Lost { folder: self.folder.path().to_owned() });
                }
                None if drive.is_in_safe_mode() => return Err(AuthorityProblem::SafeMode),
                None => {
                    let authority = CertificateAuthority::found(wall())?;
                    self.folder.write_authority(&authority)?;
                    authority
                }
            };
            // Nobody else sets it.
            self.authority.set(authority).ok();
        }
        if !has_one {
            self.say(drive).await?;
        }
        Ok(())
    }

    async fn say(&self, drive: &Drive) -> Result<(), AuthorityProblem> {
        let authority = self.authority.get().ok_or(AuthorityProblem::NotYet)?;
        let found = MachineRequest::FoundAuthority {
            root_certificate: Bytes::copy_from_slice(authority.root().der()),
            salts: [random()?, random()?],
        };
        let author = author::manager(self.manager);
        match drive.ask(author, Request::Machine(found), FOUNDING_BYTES).await {
            Answer::Accepted { .. } => Ok(()),
            Answer::Refused(refusal) => Err(AuthorityProblem::NotRecorded(refusal.message)),
            Answer::Unknown(why) => Err(AuthorityProblem::NotRecorded(why)),
        }
    }

    /// The authority, if it is the cluster's.
    fn of_cluster(&self, view: &View) -> Result<&CertificateAuthority, AuthorityProblem> {
        let authority = self.authority.get().ok_or(AuthorityProblem::NotYet)?;
        // The others are heard over a door that shows this; the record comes with what they send.
        if view.cluster().authority.is_none() && self.joined.is_some() {
            return Ok(authority);
        }
        let recorded = view.cluster().authority.as_deref().ok_or(AuthorityProblem::NotYet)?;
        if recorded.root_certificate != authority.root().der().as_ref() {
            return Err(AuthorityProblem::Other { folder: self.folder.path().to_owned() });
        }
        Ok(authority)
    }

    /// The join token of a role.
    pub fn join_token(
        &self,
        view: &View,
        role: v1::NodeRole,
    ) -> Result<skep_trust::JoinToken, AuthorityProblem> {
        let authority = self.of_cluster(view)?;
        let recorded = view.cluster().authority.as_deref().ok_or(AuthorityProblem::NotYet)?;
        Ok(authority.join_token(role, recorded.salt(role)))
    }

    /// The role that a join token gives; none where it is not one of this cluster's, or not any
    /// more.
    pub fn role_of(
        &self,
        view: &View,
        token: &skep_trust::JoinToken,
    ) -> Result<Option<v1::NodeRole>, AuthorityProblem> {
        for role in [v1::NodeRole::Worker, v1::NodeRole::Manager] {
            if self.join_token(view, role)? == *token {
                return Ok(Some(role));
            }
        }
        Ok(None)
    }

    /// What unlocks managers of this cluster; none where they are not locked.
    pub fn unlock_key(&self, view: &View) -> Result<Option<UnlockKey>, AuthorityProblem> {
        let authority = self.of_cluster(view)?;
        Ok(wanted_lock(view).map(|salt| authority.unlock_key(salt)))
    }

    /// Seals this manager's keys as the cluster wants it.
    pub(crate) fn seal(&self, keys: &DiskKeys, view: &View) -> Result<(), SealingProblem> {
        let authority = self.of_cluster(view)?;
        keys.seal(authority, wanted_lock(view))
    }

    /// The authority's key, PKCS#8 as PEM, for another manager.
    pub fn key(&self, view: &View) -> Result<Bytes, AuthorityProblem> {
        let authority = self.of_cluster(view)?;
        Ok(Bytes::copy_from_slice(authority.key_pem().as_bytes()))
    }

    /// Number and times for a certificate that is asked for now. Its role follows from the node.
    pub fn proposal(&self, view: &View) -> Result<IssuedCertificate, AuthorityProblem> {
        let expiry_ns = defaults::certificate_expiry_ns(&view.cluster().spec);
        let validity = Validity::from(wall(), expiry_ns);
        Ok(IssuedCertificate {
            role: v1::NodeRole::Worker,
            serial: skep_trust::authority::positive(random()?),
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    /// Signs what the log says of a node's certificate.
    pub fn sign(
        &self,
        view: &View,
        certified: v1::Certified,
        request: &CertificateRequest,
    ) -> Result<v1::Certified, AuthorityProblem> {
        let authority = self.of_cluster(view)?;
        let name = NodeName {
            node: Id::from_bytes(&certified.node_id),
            role: certified.role(),
            cluster: Id::from_bytes(&certified.cluster_id),
        };
        let validity = Validity {
            not_before: Timestamp(certified.not_before_at),
            not_after: Timestamp(certified.not_after_at),
        };
        let serial = certified.serial.as_ref().try_into().unwrap_or_default();
        let certificate = authority.issue(request, &name, validity, serial)?;
        Ok(v1::Certified {
            certificate: Bytes::copy_from_slice(&certificate),
            root_certificate: Bytes::copy_from_slice(authority.root().der()),
            ..certified
        })
    }

    /// What this manager shows at its doors: a certificate for a key that lies in memory alone,
    /// made anew at each start. Nobody needs to know the key before, since agents look for a
    /// manager of their cluster, whichever it is.
    pub fn door(
        &self,
        view: &View,
    ) -> Result<(Arc<rustls::ServerConfig>, Validity), AuthorityProblem> {
        let authority = self.of_cluster(view)?;
        let joined = self.joined.as_ref().map(|joined| joined.cluster);
        let cluster = Some(view.cluster().id).filter(|cluster| !cluster.is_none()).or(joined);
        let (manager, cluster) = (self.manager, cluster.ok_or(AuthorityProblem::NotYet)?);
        let key = NodeKey::generate()?;
        let request = CertificateRequest::parse(&key.request()?)?;
        let name = NodeName { node: manager, role: v1::NodeRole::Manager, cluster };
        let validity = Validity::from(wall(), defaults::CERTIFICATE_EXPIRY_NS);
        let certificate = authority.issue(&request, &name, validity, random()?)?;
        Ok((skep_trust::server_config(&key, certificate, authority.root())?, validity))
    }
}

/// What managers seal their keys with; none where they do not.
pub fn wanted_lock(view: &View) -> Option<LockSalt> {
    let authority = view.cluster().authority.as_deref()?;
    view.cluster().spec.auto_lock.then_some(LockSalt(authority.unlock_salt))
}

/// The same for another manager; empty where they do not.
pub fn lock_salt(view: &View) -> Bytes {
    wanted_lock(view).map_or_else(Bytes::new, |salt| Bytes::copy_from_slice(&salt.0))
}

fn random() -> Result<[u8; 16], AuthorityProblem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(AuthorityProblem::Randomness)?;
    Ok(bytes)
}
