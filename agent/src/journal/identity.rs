//! Who this node is: its id, its cluster, and the runtime that was chosen at its first start. Its
//! key and its certificate lie beside it.

use super::{Journal, JournalError, put_aside, replace};
use prost::Message;
use skep_proto::{Id, v1::RuntimeKind};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What the file holds.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    /// None before the cluster named this node.
    pub node_id: Id,
    /// None before the cluster named this node.
    pub cluster_id: Id,
    /// What the agent showed before there were certificates; none once it has one.
    pub earlier_secret: Option<[u8; 32]>,
    /// Chosen at the first start; never another.
    pub runtime: RuntimeKind,
}

/// The file `identity` of a state folder.
#[derive(Clone, Debug)]
pub struct IdentityFile {
    path: PathBuf,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Encoded {
    #[prost(bytes = "bytes", tag = "1")]
    node_id: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    cluster_id: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    secret: bytes::Bytes,
    #[prost(enumeration = "RuntimeKind", tag = "4")]
    runtime: i32,
    /// Of the bytes of the four above, encoded without this one.
    #[prost(fixed32, tag = "15")]
    crc: u32,
}

impl IdentityFile {
    /// The file in this folder, which need not be there.
    pub fn new(folder: &Path) -> IdentityFile {
        IdentityFile { path: folder.join("identity") }
    }

    /// What it holds; none before the first start, and none where it is damaged. Then it is put
    /// aside together with the tasks, which may be another node's, and the agent asks to be let in
    /// as after the loss of its folder.
    pub(crate) fn read_or_put_aside(&self) -> Result<Option<Stored>, JournalError> {
        match self.read() {
            Err(damaged @ JournalError::Damaged { .. }) => {
                let aside = put_aside(&self.path)?;
                if let Some(folder) = self.path.parent() {
                    Journal::put_aside(folder)?;
                }
                tracing::warn!(
                    "{damaged}; it is kept as {}, and its tasks with it",
                    aside.display()
                );
                Ok(None)
            }
            other => other,
        }
    }

    /// What it holds; none before the first start.
    pub fn read(&self) -> Result<Option<Stored>, JournalError> {
        let damaged = |message: &str| JournalError::Damaged {
            path: self.path.clone(),
            message: message.into(),
        };
        let content = match fs::read(&self.path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::Io { path: self.path.clone(), source }),
        };
        let encoded = Encoded::decode(content.as_slice())
            .map_err(|_| damaged("it is not in the form of such a file"))?;
        let bare = Encoded { crc: 0, ..encoded.clone() };
        if crc32c::crc32c(&bare.encode_to_vec()) != encoded.crc {
            return Err(damaged("its checksum differs"));
        }
        let earlier_secret = match encoded.secret.as_ref() {
            [] => None,
            secret => Some(
                <[u8; 32]>::try_from(secret)
                    .map_err(|_| damaged("its secret is not of 32 bytes"))?,
            ),
        };
        Ok(Some(Stored {
            node_id: Id::from_bytes(&encoded.node_id),
            cluster_id: Id::from_bytes(&encoded.cluster_id),
            earlier_secret,
            runtime: encoded.runtime(),
        }))
    }

    /// Writes it whole; returns when it is on the disk.
    pub fn write(&self, stored: &Stored) -> Result<(), JournalError> {
        let mut encoded = Encoded {
            node_id: stored.node_id.to_bytes(),
            cluster_id: stored.cluster_id.to_bytes(),
            secret: stored.earlier_secret.map(|secret| secret.to_vec().into()).unwrap_or_default(),
            runtime: stored.runtime.into(),
            crc: 0,
        };
        encoded.crc = crc32c::crc32c(&encoded.encode_to_vec());
        replace(&self.path, &encoded.encode_to_vec()).map(drop)
    }
}
