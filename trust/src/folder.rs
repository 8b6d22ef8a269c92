//! The folder in which a node keeps its certificates and keys.
//!
//! The files have Swarm's names, so that tools find them. Each is written whole, synced and renamed
//! to its name, so after a crash there is the old one or the new one. Where two belong together,
//! the one that makes the other useful comes last. Only the owner may read the folder.

use crate::{
    AuthorityError, CertificateAuthority, NodeCertificate, NodeKey, RootCertificate, pem_text,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    error::Error as StdError,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use thiserror::Error;
use zeroize::Zeroizing;

const ROOT_FILE: &str = "swarm-root-ca.crt";
const ROOT_KEY_FILE: &str = "swarm-root-ca.key";
const NODE_FILE: &str = "swarm-node.crt";
const NODE_KEY_FILE: &str = "swarm-node.key";
/// Largest file of a certificate or key that is read; a larger one is reported as damaged.
const CERTIFICATE_FILE_BYTES_MAX: u64 = 64 << 10;

/// The folder in which a node keeps its certificates and keys.
#[derive(Clone, Debug)]
pub struct CertificateFolder {
    path: PathBuf,
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

/// Why the files cannot be read or written.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{}: damaged ({source})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A file is missing that another one needs.
    #[error("{}: missing, although {} is there", path.display(), needed_by.display())]
    Missing {
        /// The file that is missing.
        path: PathBuf,
        /// The file that needs it.
        needed_by: PathBuf,
    },
    /// A key and a certificate do not belong together.
    #[error("{}: this key does not belong to the certificate {}", key.display(), certificate.display())]
    KeyOfAnother {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
}

impl CertificateFolder {
    /// The folder at this path, which need not be there: the first write makes it.
    pub fn new(path: impl Into<PathBuf>) -> CertificateFolder {
        CertificateFolder { path: path.into() }
    }

    /// The cluster's authority; none where its key is not there, as on every worker.
    pub fn read_authority(&self) -> Result<Option<CertificateAuthority>, FolderError> {
        let (root_path, key_path) = (self.path.join(ROOT_FILE), self.path.join(ROOT_KEY_FILE));
        let Some(key) = read_text(&key_path)? else { return Ok(None) };
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
        self.write(ROOT_KEY_FILE, &authority.key_pem())
    }

    /// The node's key, and what was issued for it; none before a key was written.
    pub fn read_node(&self) -> Result<Option<NodeFiles>, FolderError> {
        let [key_path, certificate_path, root_path] =
            [NODE_KEY_FILE, NODE_FILE, ROOT_FILE].map(|name| self.path.join(name));
        let (key, certificate) = (read_text(&key_path)?, read_text(&certificate_path)?);
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

    /// Writes the node's key. This comes before the first request for a certificate; the key stays
    /// when the certificate is renewed. Returns when the key is on the disk.
    pub fn write_key(&self, key: &NodeKey) -> Result<(), FolderError> {
        self.write(NODE_KEY_FILE, &key.to_pem())
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

    /// Puts a file with this content in the place of the one of this name.
    fn write(&self, name: &str, content: &str) -> Result<(), FolderError> {
        let folder = &self.path;
        let in_folder = |source| FolderError::Io { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(in_folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(in_folder)?;
        let (path, fresh) = (folder.join(name), folder.join(format!("{name}.new")));
        write_new(&fresh, content)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|source| FolderError::Io { path, source })?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(in_folder)
    }
}

/// Writes a file that only its owner may read. What a crash left under this name is removed first,
/// since it would keep its permissions.
fn write_new(path: &Path, content: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
        // On a full disk half a file would take the room that somebody makes.
        let _ = fs::remove_file(path);
    })
}

/// The text of a file; none where there is no such file.
fn read_text(path: &Path) -> Result<Option<Zeroizing<String>>, FolderError> {
    let io = |source| FolderError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(source)),
    };
    let mut content = Zeroizing::new(Vec::new());
    file.take(CERTIFICATE_FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(io)?;
    if content.len() as u64 > CERTIFICATE_FILE_BYTES_MAX {
        return Err(damaged(path, format!("over {CERTIFICATE_FILE_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(&content).map_err(|error| damaged(path, error))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

fn damaged(path: &Path, source: impl Into<Box<dyn StdError + Send + Sync>>) -> FolderError {
    FolderError::Damaged { path: path.to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests;
