//! Why files of keys and certificates cannot be read or written.

use crate::{cipher::NoRandomness, unlock_key::LockSalt};
use std::{error::Error as StdError, io, path::PathBuf};
use thiserror::Error;

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
    /// A key is sealed, and the unlock key that is known does not open it.
    #[error("{}: its unlock key does not open it", path.display())]
    NotOpened {
        /// The file.
        path: PathBuf,
    },
    /// A key is sealed, and the unlock key with this salt is not known here.
    #[error("{}: locked", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// What its unlock key was made with.
        salt: LockSalt,
    },
    /// What is to be written can't be sealed.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A key and a certificate do not belong together.
    #[error("{}: this key does not belong to the certificate {}", key.display(), certificate.display())]
    KeyOfAnother {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
}
