//! A manager's keys on its disk are sealed as the cluster wants it.
//!
//! A person locks or unlocks the cluster, or rotates the unlock key: that is a record. Each manager
//! then writes its key files anew. The order is such that a crash in between leaves nothing that
//! can't be opened: who has the authority's key can make every unlock key, so it is the last to be
//! sealed and the first to be written in the clear.

use super::{AuthorityProblem, ManagerAuthority, wanted_lock};
use crate::drive::Drive;
use skep_trust::{
    CertificateAuthority, CertificateFolder, DataKeyFile, FolderError, KeyLock, LockSalt,
    ValueCipher, data_keys::NoDataKeys,
};
use std::{sync::Arc, time::Duration};
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Before a manager tries again to write its key files.
const SEALING_RETRY_DELAY: Duration = Duration::from_secs(2);

/// Where the keys of a manager lie, and what opens them.
#[derive(Clone)]
pub struct DiskKeys {
    /// The unlock keys that are known.
    pub lock: KeyLock,
    /// With the authority's key.
    pub authority: CertificateFolder,
    /// With the key of the manager's own node.
    pub node: CertificateFolder,
    /// With the keys of the log.
    pub data: DataKeyFile,
    /// The log's cipher.
    pub cipher: Arc<ValueCipher>,
}

/// Why the key files are not sealed as they should be.
#[derive(Debug, Error)]
pub enum SealingProblem {
    /// There is no authority's key to seal.
    #[error(transparent)]
    Authority(#[from] AuthorityProblem),
    /// The files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log has no keys.
    #[error(transparent)]
    NoDataKeys(#[from] NoDataKeys),
}

impl DiskKeys {
    /// Writes the three files anew, sealed with the unlock key of this salt, or in the clear.
    pub fn seal(
        &self,
        authority: &CertificateAuthority,
        wanted: Option<LockSalt>,
    ) -> Result<(), SealingProblem> {
        let was_sealed = self.data.sealed_with()?.is_some();
        self.lock.seal_with(wanted, authority);
        if wanted.is_none() {
            self.authority.write_authority(authority)?;
        }
        // What lay in the clear until now may have been copied: new entries get a new key.
        let keys = match wanted {
            Some(_) if !was_sealed => {
                self.cipher.keys().with_another().map_err(FolderError::from)?
            }
            Some(_) | None => self.cipher.keys(),
        };
        self.data.write(&keys)?;
        self.cipher.replace_keys(keys)?;
        self.node.write_key_anew()?;
        if wanted.is_some() {
            self.authority.write_authority(authority)?;
        }
        Ok(())
    }
}

/// Keeps them sealed as the cluster wants it, until `stop` or the end of the log; `sealed` is what
/// they are sealed with now. It never ends while files are being written.
pub(crate) async fn keep_sealed(
    (keys, mut sealed): (DiskKeys, Option<LockSalt>),
    authority: Arc<ManagerAuthority>,
    drive: Drive,
    stop: CancellationToken,
) {
    let mut published = drive.published();
    let mut told = String::new();
    loop {
        let wanted = wanted_lock(&published.borrow_and_update().view);
        if wanted == sealed || drive.is_in_safe_mode() {
            match stop.run_until_cancelled(published.changed()).await {
                Some(Ok(())) => continue,
                Some(Err(_)) | None => return,
            }
        }
        match seal_as_confirmed(&keys, &authority, &drive).await {
            Ok(now) => sealed = now,
            Err(problem) => {
                if problem != told {
                    tracing::warn!(
                        "this manager's keys are not sealed as the cluster wants: {problem}"
                    );
                    told = problem;
                }
                if stop.run_until_cancelled(sleep(SEALING_RETRY_DELAY)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// What the files are sealed with then. Only a view that a majority confirms decides: after a
/// restart this manager's own may show what was wanted before.
async fn seal_as_confirmed(
    keys: &DiskKeys,
    authority: &Arc<ManagerAuthority>,
    drive: &Drive,
) -> Result<Option<LockSalt>, String> {
    let read = drive.read().await;
    if let Some(stale) = read.stale {
        return Err(stale.why);
    }
    let (keys, authority, wanted) = (keys.clone(), authority.clone(), wanted_lock(&read.view));
    let sealing = tokio::task::spawn_blocking(move || authority.seal(&keys, &read.view));
    sealing.await.map_err(|error| error.to_string())?.map_err(|problem| problem.to_string())?;
    match wanted {
        Some(_) => tracing::info!("the keys on this manager's disk are sealed"),
        None => tracing::info!("the keys on this manager's disk lie in the clear"),
    }
    Ok(wanted)
}
