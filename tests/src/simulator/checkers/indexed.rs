//! LOG-7: the index finds each record under every object that it is about, and no other.

use super::{Check, Checker};
use crate::simulator::{disk, world::SimulatedWorld};
use skep_projections::View;
use skep_proto::{Id, Revision, event};
use std::collections::{BTreeMap, BTreeSet};

/// Asks the index for all objects when nothing changes any more.
pub(super) struct IndexedRecords;

impl Checker for IndexedRecords {
    fn name(&self) -> &'static str {
        "LOG-7"
    }

    fn at_rest(&mut self, view: &View, world: &SimulatedWorld) -> Check {
        let Some(manager) = &world.manager else { return Ok(()) };
        let mut about: BTreeMap<Id, BTreeSet<Revision>> = BTreeMap::new();
        for written in world.disk.safe() {
            for (stamp, record) in disk::records(&written.entry) {
                let kind = record?.event.and_then(|event| event.kind);
                for object in kind.iter().flat_map(event::objects) {
                    about.entry(object).or_default().insert(stamp.revision);
                }
            }
        }
        let newest = view.position().revision;
        let index = manager.history().index().map_err(|error| error.to_string())?;
        for (object, expected) in about.into_iter().filter(|(object, _)| !object.is_none()) {
            let found: Result<BTreeSet<Revision>, _> =
                index.oldest_first(object, Revision(1), newest).collect();
            let found = found.map_err(|error| error.to_string())?;
            if let Some(revision) = expected.symmetric_difference(&found).next() {
                let what = if found.contains(revision) { "has" } else { "misses" };
                return Err(format!("what the index says of {object} {what} {revision}"));
            }
        }
        Ok(())
    }
}
