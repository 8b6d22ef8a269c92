//! A view as bytes, and back.
//!
//! A snapshot holds the facts (rows with their indexes, free indexes in order, parked objects,
//! stamps) and the digest; what follows from them is recomputed and must come to the same
//! digest. Indexes are kept because later records must land where they land everywhere else. The
//! bytes are a head and then one message for each row, each behind its length, so that neither side
//! ever holds the whole twice. The format is internal, but history's snapshots are kept as long as
//! history: so it has a number, and fields are never reused.

mod rows;
mod schema;
mod trust;

use crate::{
    View,
    digest::Digest,
    table::{Row, RowIndex, Table},
};
use prost::Message;
use schema::{Head, SavedNode, SavedRemoval, SavedService, SavedStamp, SavedTask};
use skep_proto::{
    FEATURE_LEVEL, Id, Revision, Timestamp,
    v1::{ObjectParked, StrayObserved},
};
use std::sync::Arc;
use thiserror::Error;

/// The format written today.
const FORMAT: u32 = 1;
/// Rows for which memory is set aside before they are read; beyond it a list grows as they come.
const ROWS_AHEAD_MAX: usize = 1024;

/// Why bytes are no view.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SnapshotError {
    /// They end early, or do not decode.
    #[error("snapshot is damaged in its {part}")]
    Damaged {
        /// Which part of it.
        part: &'static str,
    },
    /// Written by a newer program.
    #[error("snapshot has format {format}, this program reads {FORMAT}")]
    Format {
        /// The format it has.
        format: u32,
    },
    /// Made at a feature level that a newer program raised.
    #[error(
        "snapshot has feature level {level}, this program knows {FEATURE_LEVEL}; run the version of skep that wrote it, or a newer one"
    )]
    Level {
        /// The level it has.
        level: u32,
    },
    /// The rows contradict each other.
    #[error("snapshot at revision {revision} contradicts itself")]
    Contradiction {
        /// Its revision.
        revision: u64,
    },
    /// The rows are not those that the digest was made of.
    #[error("snapshot at revision {revision} does not match its digest")]
    Digest {
        /// Its revision.
        revision: u64,
    },
}

/// What a snapshot that cannot be read suffers from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotCause {
    /// Another program wrote it; that one can read it.
    OtherVersion,
    /// Its bytes are not those that were written.
    Damage,
}

impl SnapshotError {
    /// Whether another program could read it.
    pub fn cause(&self) -> SnapshotCause {
        match self {
            SnapshotError::Format { .. } | SnapshotError::Level { .. } => {
                SnapshotCause::OtherVersion
            }
            SnapshotError::Damaged { .. }
            | SnapshotError::Contradiction { .. }
            | SnapshotError::Digest { .. } => SnapshotCause::Damage,
        }
    }
}

/// The view as bytes: the same view always gives the same ones.
pub fn encode(view: &View) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024 + 160 * view.tasks.len() + 512 * view.nodes.len());
    put(&mut out, &Head::of(view));
    view.nodes.by_index().for_each(|(index, row)| put(&mut out, &SavedNode::of(index, row)));
    view.services.by_index().for_each(|(index, row)| put(&mut out, &SavedService::of(index, row)));
    view.tasks.by_index().for_each(|(index, row)| put(&mut out, &SavedTask::of(index, row)));
    view.parked.values().for_each(|parked| put(&mut out, parked.as_ref()));
    view.strays.values().for_each(|stray| put(&mut out, stray.as_ref()));
    trust::removals(&view.removed_nodes).for_each(|removal| put(&mut out, &removal));
    rows::stamps(&view.stamps).for_each(|stamp| put(&mut out, &stamp));
    out
}

/// The view that [`encode`] wrote.
pub fn decode(mut bytes: &[u8]) -> Result<View, SnapshotError> {
    let head: Head = take(&mut bytes, "head")?;
    if head.format != FORMAT {
        return Err(SnapshotError::Format { format: head.format });
    }
    if head.level > FEATURE_LEVEL {
        return Err(SnapshotError::Level { level: head.level });
    }
    let revision = head.revision;
    let contradiction = SnapshotError::Contradiction { revision };
    let mut view = head.view();
    take_rows(&mut bytes, head.nodes, &mut view.nodes, SavedNode::row)?;
    view.nodes.free_again(head.free_nodes).ok_or(contradiction.clone())?;
    take_rows(&mut bytes, head.services, &mut view.services, SavedService::row)?;
    view.services.free_again(head.free_services).ok_or(contradiction.clone())?;
    take_rows(&mut bytes, head.tasks, &mut view.tasks, SavedTask::row)?;
    view.tasks.free_again(head.free_tasks).ok_or(contradiction.clone())?;
    for parked in take_all::<ObjectParked>(&mut bytes, head.parked, "parked objects")? {
        view.parked.insert(Id::from_bytes(&parked.object_id), Arc::new(parked));
    }
    for stray in take_all::<StrayObserved>(&mut bytes, head.strays, "strays")? {
        view.strays.insert(Id::from_bytes(&stray.task_id), Arc::new(stray));
    }
    for removal in take_all::<SavedRemoval>(&mut bytes, head.removed_nodes, "removed nodes")? {
        view.removed_nodes.put_back(removal.node.into(), Timestamp(removal.until));
    }
    let stamps = take_all::<SavedStamp>(&mut bytes, head.stamps, "stamps")?;
    view.stamps = rows::restore_stamps(stamps, Revision(head.forgotten_stamps));
    let view = view.rebuild(head.free_classes).ok_or(contradiction)?;
    let whole = bytes.is_empty() && view.digest == digest(&head.digest);
    if whole { Ok(view) } else { Err(SnapshotError::Digest { revision }) }
}

/// Reads so many rows into a table, one by one.
fn take_rows<M: Message + Default, P: RowIndex, R: Row>(
    bytes: &mut &[u8],
    count: u64,
    table: &mut Table<P, R>,
    row: fn(M) -> (u32, R),
) -> Result<(), SnapshotError> {
    let part = "rows";
    for _ in 0..count {
        let (index, row) = row(take(bytes, part)?);
        table.put_back(index, row).ok_or(SnapshotError::Damaged { part })?;
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(<[u8; 16]>::try_from(bytes).map_or(0, u128::from_be_bytes))
}

fn put(out: &mut Vec<u8>, message: &impl Message) {
    message.encode_length_delimited(out).expect("a vector has room for more");
}

fn take<M: Message + Default>(bytes: &mut &[u8], part: &'static str) -> Result<M, SnapshotError> {
    M::decode_length_delimited(bytes).map_err(|_| SnapshotError::Damaged { part })
}

/// So many messages. The count is not trusted with memory before they are there.
fn take_all<M: Message + Default>(
    bytes: &mut &[u8],
    count: u64,
    part: &'static str,
) -> Result<Vec<M>, SnapshotError> {
    let mut all = Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(ROWS_AHEAD_MAX));
    for _ in 0..count {
        all.push(take(bytes, part)?);
    }
    Ok(all)
}
