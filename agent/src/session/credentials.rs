//! What this node shows: its key, and its certificate once the cluster has issued one.
//!
//! The key is made at the first start and stays for the node's life; the certificate is renewed. A
//! certificate that could not be written down is asked for again after a restart, with the same
//! key, and so by the same node.

use crate::core::link::JoinCredentials;
use bytes::Bytes;
use skep_proto::{Id, v1::Certified};
use skep_trust::{
    CertificateDer, CertificateError, CertificateFolder, FolderError, IssuedFiles, JoinToken,
    KeyError, KeyLock, ManagerExpectation, NodeCertificate, NodeFiles, NodeKey, RootCertificate,
    RootError, client_config,
};
use std::{fs, path::Path, sync, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::sync::watch;

/// Pause after the certificate could not be written down.
const WRITE_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Why this node's key or certificate cannot be used.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// Its files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why a certificate that came is not taken.
#[derive(Debug, Error)]
pub(super) enum CertificateRefused {
    #[error("the manager's answer holds no certificate of a node: {0}")]
    NoCertificate(#[from] CertificateError),
    #[error("the manager's answer holds no root certificate: {0}")]
    NoRoot(#[from] RootError),
    #[error("the certificate that came is for another key, node or cluster")]
    OfAnother,
    #[error("the root certificate that came is not the one that the join token names")]
    OtherRoot,
}

/// What this node shows; its clones share it.
#[derive(Clone)]
pub(super) struct NodeCredentials {
    folder: CertificateFolder,
    key: Arc<NodeKey>,
    issued: Arc<watch::Sender<Option<IssuedFiles>>>,
    token: Option<JoinToken>,
}

impl NodeCredentials {
    /// Reads the folder, or makes the key. `token` is for the first contact over the network.
    pub(super) fn open(
        folder: &Path,
        lock: KeyLock,
        token: Option<JoinToken>,
    ) -> Result<NodeCredentials, CredentialsError> {
        let folder = CertificateFolder::new(folder.join("certificates")).with_lock(lock);
        let (key, issued) = match read_or_put_aside(&folder)? {
            Some(files) => (files.key, files.issued),
            None => {
                let key = NodeKey::generate()?;
                folder.write_key(&key)?;
                (key, None)
            }
        };
        let issued = Arc::new(watch::Sender::new(issued));
        Ok(NodeCredentials { folder, key: Arc::new(key), issued, token })
    }

    /// The certificate, now and whenever it is renewed.
    pub(super) fn certificate(&self) -> watch::Receiver<Option<IssuedFiles>> {
        self.issued.subscribe()
    }

    /// Which node of which cluster this is, by its certificate.
    pub(super) fn named(&self) -> Option<(Id, Id)> {
        self.issued.borrow().as_ref().map(|issued| (issued.read.node, issued.read.cluster))
    }

    /// The request for a certificate, DER.
    pub(super) fn request(&self) -> Result<Bytes, KeyError> {
        self.key.request().map(Bytes::from)
    }

    /// What a certificate is asked for with; none where there is one.
    pub(super) fn joining(
        &self,
        earlier_secret: Bytes,
    ) -> Result<Option<JoinCredentials>, KeyError> {
        if self.issued.borrow().is_some() {
            return Ok(None);
        }
        self.asking(earlier_secret).map(Some)
    }

    /// The same, whether there is one or not.
    pub(super) fn asking(&self, earlier_secret: Bytes) -> Result<JoinCredentials, KeyError> {
        let token = self.token.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(JoinCredentials { request: self.request()?, token, earlier_secret })
    }

    /// How a connection to a manager is protected; none while this node has neither certificate nor
    /// token, and can speak in the clear alone.
    pub(super) fn tls(&self) -> Option<Result<Arc<rustls::ClientConfig>, rustls::Error>> {
        if let Some(issued) = &*self.issued.borrow() {
            let expect = ManagerExpectation::Root {
                root: issued.root.clone(),
                cluster: Some(issued.read.cluster),
            };
            let config = client_config(Some((&self.key, issued.certificate.clone())), expect);
            return Some(config);
        }
        let digest = self.token.as_ref()?.root_digest;
        // What is learned comes once more with the certificate, and is compared with the token
        // there.
        let expect =
            ManagerExpectation::Pinned { digest, learned: Arc::new(sync::OnceLock::new()) };
        Some(client_config(None, expect))
    }

    /// Takes over a certificate that the cluster has issued. It is shown from now on; the disk
    /// follows.
    pub(super) fn take(&self, certified: &Certified) -> Result<(), CertificateRefused> {
        let certificate = CertificateDer::from(certified.certificate.to_vec());
        let read = NodeCertificate::read(&certificate)?;
        let root = CertificateDer::from(certified.root_certificate.to_vec());
        let root = RootCertificate::from_der(root)?;
        let named = (Id::from_bytes(&certified.node_id), Id::from_bytes(&certified.cluster_id));
        if read.key != self.key.digest() || (read.node, read.cluster) != named {
            return Err(CertificateRefused::OfAnother);
        }
        let known = self.issued.borrow().as_ref().map(|issued| issued.root.digest());
        let expected = known.or(self.token.as_ref().map(|token| token.root_digest));
        if expected.is_some_and(|digest| digest != root.digest()) {
            return Err(CertificateRefused::OtherRoot);
        }
        self.issued.send_replace(Some(IssuedFiles { certificate, read, root }));
        tokio::spawn(self.clone().keep());
        Ok(())
    }

    /// Writes the certificate down, as often as it takes.
    async fn keep(self) {
        let mut told = false;
        loop {
            let credentials = self.clone();
            let written = tokio::task::spawn_blocking(move || credentials.write()).await;
            let Ok(Err(error)) = written else { return };
            if !told {
                tracing::warn!(%error, "this node's certificate is not written down; trying again");
                told = true;
            }
            tokio::time::sleep(WRITE_RETRY_DELAY).await;
        }
    }

    fn write(&self) -> Result<(), FolderError> {
        let issued = self.issued.borrow().clone();
        let Some(issued) = issued else { return Ok(()) };
        self.folder.write_certificate(&issued.certificate, &issued.root)
    }
}

/// What the folder holds. Files that cannot be used are put aside, and the node asks for a
/// certificate again.
fn read_or_put_aside(files: &CertificateFolder) -> Result<Option<NodeFiles>, FolderError> {
    let folder = files.path();
    let damaged = match files.read_node() {
        Err(passing @ (FolderError::Io { .. } | FolderError::Locked { .. })) => {
            return Err(passing);
        }
        Ok(found) => return Ok(found),
        Err(damaged) => damaged,
    };
    let numbered = |number: u64| folder.with_extension(format!("damaged-{number}"));
    let aside = (1..).map(numbered).find(|free| !free.exists()).unwrap_or_else(|| numbered(0));
    let io = |source| FolderError::Io { path: folder.to_owned(), source };
    fs::rename(folder, &aside).map_err(io)?;
    tracing::warn!("{damaged}; the files are kept in {}", aside.display());
    // The key may be good.
    let kept = CertificateFolder::new(&aside).with_lock(files.lock().clone());
    if let Ok(Some(key)) = kept.read_node_key() {
        files.write_key(&key)?;
    }
    files.read_node()
}
