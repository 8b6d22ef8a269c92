//! A story written to a real log in a temporary folder.

use super::Past;
use skep_log::{Config, Draft, Entry, Fold, Frozen, Halt, Hash, Log, RestoreError, seal};
use skep_projections::{
    Delta, View,
    apply::Stamp,
    fixture::{World, id},
    snapshot,
};
use skep_proto::{
    Id, Lineage, Position, Revision, author, event,
    v1::{Author, Person, Record, event::Kind},
};
use std::sync::Arc;
use tempfile::TempDir;

/// Records of one entry: few, so that questions fall into the middle of entries and between them.
const ENTRY_RECORDS: usize = 3;

/// A log, and the folder that goes with it.
pub(crate) struct WrittenLog {
    pub(crate) log: Log,
    pub(crate) dir: TempDir,
}

struct FoldedHistory(View);

impl Fold for FoldedHistory {
    fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Halt> {
        for (revision, record) in entry.decode().expect("what was written decodes") {
            let stamp = Stamp { revision, at: entry.at(), incarnation: entry.header.incarnation };
            self.0
                .apply_into(stamp, &record, &mut Delta::default())
                .map_err(|e| Halt { message: e.to_string() })?;
        }
        Ok(())
    }

    fn announce(&mut self) {}

    fn freeze(&self) -> Frozen {
        let view = self.0.clone();
        Box::new(move || snapshot::encode(&view))
    }

    fn restore(&mut self, _: Position, _: Hash, bytes: &[u8]) -> Result<(), RestoreError> {
        self.0 =
            snapshot::decode(bytes).map_err(|error| RestoreError::damaged(error.to_string()))?;
        Ok(())
    }
}

/// Writes every record of the story, a few in an entry, as a manager's state folder holds them.
pub(crate) async fn write(world: &World) -> WrittenLog {
    let dir = TempDir::new().unwrap();
    let config = Config { min_free: 0.0, ..Config::new(dir.path().join("log"), Id(0x5e)) };
    let log = Log::open(config, FoldedHistory(View::default())).await.unwrap();
    let mut parent = Hash::ZERO;
    let mut rest = &world.records[..];
    while let Some((first, _)) = rest.first() {
        let together =
            rest.iter().take(ENTRY_RECORDS).take_while(|(stamp, _)| stamp.at == first.at).count();
        let (now, later) = rest.split_at(together);
        let entry = seal(&Draft {
            parent,
            incarnation: 1,
            first_revision: first.revision,
            at: first.at,
            feature_level: 1,
            code_version: "story".into(),
            lineage: Lineage::NONE,
            made_from: None,
            records: now.iter().map(|(_, record)| record.clone()).collect(),
        });
        parent = entry.hash;
        log.propose(entry).await.unwrap();
        rest = later;
    }
    WrittenLog { log, dir }
}

impl WrittenLog {
    pub(crate) fn past(&self) -> Past {
        Past::new(self.log.history())
    }
}

/// Alice, at the local socket.
pub(crate) fn alice() -> Author {
    author::person(Person { uid: 1000, login_uid: Some(1000), pid: 42, name: "alice".into() })
}

/// The agent of a node of the story.
pub(crate) fn agent(name: &str) -> Author {
    author::node(id("node", name))
}

/// Adds a record with its author and cause; answers its revision.
pub(crate) fn say(world: &mut World, author: Author, cause: Revision, kind: Kind) -> Revision {
    let record = Record {
        author: Some(author),
        cause: cause.0,
        event: Some(event::event(kind)),
        ..Record::default()
    };
    world.append(record);
    world.view.position().revision
}
