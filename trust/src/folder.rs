//! The folder in which a node keeps its certificates and keys.
//!
//! The files have Swarm's names, so that tools find them. Each is written whole, synced and renamed
//! to its name, so after a crash there is the old one or the new one. Where two belong together,
//! the one that makes the other useful comes last. Only the owner may read the folder.

use crate::{
    AuthorityError, CertificateAuthority, LockSalt, NodeCertificate, NodeKey, RootCertificate,
    files::{self, damaged, read as read_text},
    folder_error::FolderError,
    key_lock::{KeyLock, SealedContent, SealedText, salt_of},
    pem_text,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const ROOT_FILE: &str = "swarm-root-ca.crt";
const ROOT_KEY_FILE: &str = "swarm-root-ca.key";
const NODE_FILE: &str = "swarm-node.crt";
const NODE_KEY_FILE: &str = "swarm-node.key";

/// The folder in which a node keeps its certificates and keys.
#[derive(Clone, Debug)]
pub struct CertificateFolder {
    path: PathBuf,
    lock: KeyLock,
}

/// What a node has.
#[derive(Debug)]
pub struct NodeFiles {
    /// Its private key.
    pub key: NodeKey,
    /// What was issued for the key; none before that.
    pub issued: Option<IssuedFiles>,
}

/// What was issued to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuedFiles {
    /// The certificate as others see it.
    pub certificate: CertificateDer<'static>,
    /// The certificate as it was read; it may have expired.
    pub read: NodeCertificate,
    /// The root certificate of the cluster.
    pub root: RootCertificate,
}

impl CertificateFolder {
    /// The folder at this path, which need not be there: the first write makes it.
    pub fn new(path: impl Into<PathBuf>) -> CertificateFolder {
        CertificateFolder { path: path.into(), lock: KeyLock::default() }
    }

    /// The same, where keys may be sealed.
    #[must_use]
    pub fn with_lock(self, lock: KeyLock) -> CertificateFolder {
        CertificateFolder { lock, ..self }
    }

    /// What keys are sealed with.
    pub fn lock(&self) -> &KeyLock {
        &self.lock
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cluster's authority; none where its key is not there, as on every worker.
    pub fn read_authority(&self) -> Result<Option<CertificateAuthority>, FolderError> {
        let (root_path, key_path) = (self.path.join(ROOT_FILE), self.path.join(ROOT_KEY_FILE));
        let key = self.read_key(SealedContent::AuthorityKey, &key_path)?;
        let Some(key) = key else { return Ok(None) };
        let Some(root) = read_text(&root_path)? else {
            return Err(FolderError::Missing { path: root_path, needed_by: key_path });
        };
        match CertificateAuthority::from_pem(&root, &key) {
            Ok(authority) => Ok(Some(authority)),
            Err(AuthorityError::KeyOfAnother) => {
                Err(FolderError::KeyOfAnother { key: key_path, certificate: root_path })
            }
            Err(error @ AuthorityError::Root(_)) => Err(damaged(&root_path, error)),
            Err(error @ (AuthorityError::Key(_) | AuthorityError::Signing(_))) => {
                Err(damaged(&key_path, error))
            }
        }
    }

    /// Writes the cluster's authority: the root certificate, then its key. Returns when both are on
    /// the disk.
    pub fn write_authority(&self, authority: &CertificateAuthority) -> Result<(), FolderError> {
        self.write(ROOT_FILE, authority.root().pem())?;
        self.write_sealed(ROOT_KEY_FILE, SealedContent::AuthorityKey, &authority.key_pem())
    }

    /// The node's key, and what was issued for it; none before a key was written.
    pub fn read_node(&self) -> Result<Option<NodeFiles>, FolderError> {
        let [key_path, certificate_path, root_path] =
            [NODE_KEY_FILE, NODE_FILE, ROOT_FILE].map(|name| self.path.join(name));
        let key = self.read_key(SealedContent::NodeKey, &key_path)?;
        let certificate = read_text(&certificate_path)?;
        let Some(key) = key else {
            return match certificate {
                Some(_) => {
                    Err(FolderError::Missing { path: key_path, needed_by: certificate_path })
                }
                None => Ok(None),
            };
        };
        let key = NodeKey::from_pem(&key).map_err(|error| damaged(&key_path, error))?;
        let Some(certificate) = certificate else {
            return Ok(Some(NodeFiles { key, issued: None }));
        };
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| damaged(&certificate_path, error.to_string()))?;
        let read = NodeCertificate::read(&certificate)
            .map_err(|error| damaged(&certificate_path, error))?;
        if read.key != key.digest() {
            return Err(FolderError::KeyOfAnother { key: key_path, certificate: certificate_path });
        }
        let Some(root) = read_text(&root_path)? else {
            return Err(FolderError::Missing { path: root_path, needed_by: certificate_path });
        };
        let root = RootCertificate::from_pem(&root).map_err(|error| damaged(&root_path, error))?;
        Ok(Some(NodeFiles { key, issued: Some(IssuedFiles { certificate, read, root }) }))
    }

    /// The node's key alone, whatever there is beside it.
    pub fn read_node_key(&self) -> Result<Option<NodeKey>, FolderError> {
        let path = self.path.join(NODE_KEY_FILE);
        let key = self.read_key(SealedContent::NodeKey, &path)?;
        key.map(|key| NodeKey::from_pem(&key).map_err(|error| damaged(&path, error))).transpose()
    }

    /// Writes the node's key. This comes before the first request for a certificate; the key stays
    /// when the certificate is renewed. Returns when the key is on the disk.
    pub fn write_key(&self, key: &NodeKey) -> Result<(), FolderError> {
        self.write_sealed(NODE_KEY_FILE, SealedContent::NodeKey, &key.to_pem())
    }

    /// Removes what a crash left of keys that were being written, in the clear it may be.
    pub fn remove_leftovers(&self) -> Result<(), FolderError> {
        files::remove_leftover(&self.path, ROOT_KEY_FILE)?;
        files::remove_leftover(&self.path, NODE_KEY_FILE)
    }

    /// What the authority's key is sealed with; none where it lies in the clear, or is not there.
    pub fn authority_sealed_with(&self) -> Result<Option<LockSalt>, FolderError> {
        Ok(read_text(&self.path.join(ROOT_KEY_FILE))?.and_then(|text| salt_of(&text)))
    }

    /// The same of the node's key.
    pub fn node_sealed_with(&self) -> Result<Option<LockSalt>, FolderError> {
        Ok(read_text(&self.path.join(NODE_KEY_FILE))?.and_then(|text| salt_of(&text)))
    }

    /// Writes the node's key anew, if there is one, so that it is sealed as the lock says now.
    pub fn write_key_anew(&self) -> Result<(), FolderError> {
        let path = self.path.join(NODE_KEY_FILE);
        match self.read_key(SealedContent::NodeKey, &path)? {
            Some(key) => self.write_sealed(NODE_KEY_FILE, SealedContent::NodeKey, &key),
            None => Ok(()),
        }
    }

    /// Writes what was issued to the node: the root certificate, then the node's own. Returns when
    /// both are on the disk.
    pub fn write_certificate(
        &self,
        certificate: &CertificateDer<'_>,
        root: &RootCertificate,
    ) -> Result<(), FolderError> {
        self.write(ROOT_FILE, root.pem())?;
        self.write(NODE_FILE, &pem_text::encode(pem_text::CERTIFICATE, certificate))
    }

    /// What was written of a key, opened.
    fn read_key(
        &self,
        content: SealedContent,
        path: &Path,
    ) -> Result<Option<Zeroizing<String>>, FolderError> {
        let written = files::read(path)?;
        written.map(|written| opened(&self.lock, content, path, written)).transpose()
    }

    fn write(&self, name: &str, content: &str) -> Result<(), FolderError> {
        files::write(&self.path, name, content)
    }

    fn write_sealed(
        &self,
        name: &str,
        content: SealedContent,
        text: &str,
    ) -> Result<(), FolderError> {
        let closed = self.lock.close(content, text)?;
        self.write(name, &closed)
    }
}

/// The text in a file of a key.
pub(crate) fn opened(
    lock: &KeyLock,
    content: SealedContent,
    path: &Path,
    written: Zeroizing<String>,
) -> Result<Zeroizing<String>, FolderError> {
    match lock.open(content, written) {
        SealedText::Opened(text) => Ok(text),
        SealedText::Locked(salt) => Err(FolderError::Locked { path: path.to_owned(), salt }),
        SealedText::Damaged => Err(FolderError::NotOpened { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests;
