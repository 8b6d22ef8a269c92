//! History of a stopped manager: opened without a lock and without changing a byte.

use super::{HistoryReader, HistorySource, status::StatusCell, unindexed::Unindexed};
use crate::{
    disk::{
        files::{Files, os::OsFiles, sealed::SealedFiles},
        head::HeadFile,
        index::readable_end,
        snapshot::Snapshots,
        store::StoreError,
        store_handle::StoreHandle,
    },
    failure::ErrorSource,
};
use skep_trust::ValueCipher;
use std::{path::Path, sync::Arc};

/// Why a stopped manager's history can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenHistoryError {
    /// Nothing is there.
    #[error("there is no log in {dir}")]
    Absent {
        /// Where it was looked for.
        dir: String,
    },
    /// Something is there, and it is not whole.
    #[error("the log in {dir} can't be read: {message}")]
    Damaged {
        /// Where it lies.
        dir: String,
        /// What is wrong.
        message: String,
    },
    /// The disk, or the permissions, said no.
    #[error("the log in {dir} can't be opened: {source}")]
    Failed {
        /// Where it lies.
        dir: String,
        /// What is wrong.
        source: ErrorSource,
    },
}

impl OpenHistoryError {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            OpenHistoryError::Absent { .. } => Some("name the state folder of a manager"),
            OpenHistoryError::Damaged { .. } => {
                Some("`skep recover --accept-loss` keeps what is readable")
            }
            OpenHistoryError::Failed { .. } => {
                Some("check that this user may read the folder, and that its disk works")
            }
        }
    }
}

impl HistoryReader {
    /// Opens the history of a manager that is not running. `dir` is the folder that its log was
    /// opened with, `cipher` opens what is sealed.
    pub fn open_read_only(
        dir: &Path,
        cipher: Option<Arc<ValueCipher>>,
    ) -> Result<HistoryReader, OpenHistoryError> {
        HistoryReader::read_only(SealedFiles::over(Arc::new(OsFiles::new(dir)), cipher))
    }

    pub(crate) fn read_only(files: Arc<dyn Files>) -> Result<HistoryReader, OpenHistoryError> {
        let dir = || files.path("").display().to_string();
        let refuse = |error: StoreError| match error {
            StoreError::Absent(_) => OpenHistoryError::Absent { dir: dir() },
            StoreError::Damaged(message) => OpenHistoryError::Damaged { dir: dir(), message },
            StoreError::Locked(_) | StoreError::Failed(_) | StoreError::KeyMissing(_) => {
                OpenHistoryError::Failed { dir: dir(), source: error.into() }
            }
        };
        let store = Arc::new(StoreHandle::open_for_reading(files.clone()).map_err(refuse)?);
        let (end, behind) = readable_end(&store).map_err(refuse)?;
        if let Ok(mark) = HeadFile::read(&*files)
            && mark.revision > end.head.position.revision
        {
            tracing::warn!(
                readable = %end.head.position,
                durable = %mark.revision,
                "the log ends before what was durable once"
            );
        }
        let unindexed = Unindexed::default();
        for indexed in behind {
            unindexed.push(indexed.index, indexed.entry);
        }
        Ok(HistoryReader::new(HistorySource {
            store,
            unindexed: Arc::new(unindexed),
            snapshots: Snapshots::new(files),
            status: StatusCell::new(end.head.position, end.head.hash).watch(),
        }))
    }
}
