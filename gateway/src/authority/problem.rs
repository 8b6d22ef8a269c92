//! Why a manager vouches for nobody.

use crate::peers::ApplicationError;
use skep_trust::{AuthorityError, FolderError, KeyError, RequestError};
use std::path::PathBuf;
use thiserror::Error;

/// Why this manager vouches for nobody.
#[derive(Debug, Error)]
pub enum AuthorityProblem {
    /// The cluster's authority is not recorded yet.
    #[error("the cluster has no certificate authority yet; try again in a moment")]
    NotYet,
    /// None may be recorded now.
    #[error(
        "the cluster has no certificate authority yet, and this manager was started with --safe-mode"
    )]
    SafeMode,
    /// The log names another one.
    #[error("the key in {} is not the one of the cluster's certificate authority", folder.display())]
    Other {
        /// The folder.
        folder: PathBuf,
    },
    /// Its key is not there any more.
    #[error("the key of the cluster's certificate authority is not in {}", folder.display())]
    Lost {
        /// The folder.
        folder: PathBuf,
    },
    /// It could not be recorded.
    #[error("the cluster's certificate authority can't be recorded: {0}")]
    NotRecorded(String),
    /// No other manager gives its key.
    #[error("the key of the cluster's certificate authority has not come: {0}")]
    NotCome(#[from] ApplicationError),
    /// Its files.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A key cannot be made, or a certificate not be signed.
    #[error("the cluster's certificate authority can't be used: {0}")]
    Sign(#[from] AuthorityError),
    /// The certificate and the key do not make a TLS configuration.
    #[error("a certificate can't be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The manager's own key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The manager's own request for a certificate.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The kernel gives no randomness.
    #[error("no randomness for a certificate: {0}")]
    Randomness(getrandom::Error),
}

impl AuthorityProblem {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> &'static str {
        match self {
            AuthorityProblem::Lost { .. }
            | AuthorityProblem::Other { .. }
            | AuthorityProblem::Folder(
                FolderError::Damaged { .. }
                | FolderError::NotOpened { .. }
                | FolderError::Missing { .. }
                | FolderError::KeyOfAnother { .. },
            ) => {
                "restore the folder `certificates` from a backup of this manager: nodes believe no \
                 other authority"
            }
            AuthorityProblem::SafeMode => "start it without --safe-mode",
            AuthorityProblem::Folder(
                FolderError::Io { .. } | FolderError::Locked { .. } | FolderError::Randomness(_),
            )
            | AuthorityProblem::NotYet
            | AuthorityProblem::NotRecorded(_)
            | AuthorityProblem::NotCome(_)
            | AuthorityProblem::Sign(_)
            | AuthorityProblem::Tls(_)
            | AuthorityProblem::Key(_)
            | AuthorityProblem::Request(_)
            | AuthorityProblem::Randomness(_) => "",
        }
    }
}
