//! What objects are called, and were called.
//!
//! A node may be renamed: it is shown by the name that it has in the view at hand, which is what
//! commands take. What has left the view is shown by the name in the record that introduced it. The
//! audit index leads from an id to that record, and from a name to every record that gave it.

use super::{Past, PastError, summary::ObjectNames};
use skep_projections::View;
use skep_proto::{
    Id, Revision, event,
    v1::{Record, event::Kind},
};
use std::collections::BTreeMap;

/// Names remembered by one reader; at it all are forgotten and looked up again.
const NAMES_MAX: usize = 65_536;

/// What kind of object an id is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KnownNames {
    /// A service.
    Service(String),
    /// A node.
    Node(String),
    /// A task: its service and its name.
    Task(Id, String),
    /// The cluster.
    Cluster,
    /// Nothing that history tells of.
    Nothing,
}

/// Looks names up in a view and in history.
pub struct NameLookup {
    past: Past,
    /// The nodes of the view, and those that were named after it.
    nodes: BTreeMap<Id, String>,
    /// Records after this one are newer than the view.
    through: Revision,
    known: BTreeMap<Id, KnownNames>,
}

impl NameLookup {
    /// With the nodes' names as they are in the view.
    pub fn new(past: Past, view: &View) -> NameLookup {
        let nodes = view.nodes().iter().map(|(_, row)| (row.id, row.hostname().to_owned()));
        let through = view.position().revision;
        NameLookup { past, nodes: nodes.collect(), through, known: BTreeMap::new() }
    }

    /// What an id is, by the record that introduced it.
    pub fn of(&mut self, id: Id) -> KnownNames {
        if let Some(name) = self.nodes.get(&id) {
            return KnownNames::Node(name.clone());
        }
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        // A name is decoration: where the log cannot be read, those who read the records themselves
        // say so.
        let known = self
            .introduction(id)
            .ok()
            .flatten()
            .map_or(KnownNames::Nothing, |record| self.introduced(&record));
        self.remember(id, known.clone());
        known
    }

    /// Remembers what a record that is read anyway introduces. One that is newer than the view may
    /// rename a node.
    pub fn note(&mut self, revision: Revision, record: &Record) {
        let known = self.introduced(record);
        let Some(kind) = record.event.as_ref().and_then(|event| event.kind.as_ref()) else {
            return;
        };
        if known != KnownNames::Nothing
            && let Some(id) = event::objects(kind).next()
        {
            match known {
                KnownNames::Node(name) if revision > self.through => {
                    self.nodes.insert(id, name);
                }
                KnownNames::Node(_) if self.known.contains_key(&id) => {}
                KnownNames::Node(_)
                | KnownNames::Service(_)
                | KnownNames::Task(..)
                | KnownNames::Cluster
                | KnownNames::Nothing => self.remember(id, known),
            }
        }
    }

    fn remember(&mut self, id: Id, known: KnownNames) {
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        self.known.insert(id, known);
    }

    fn introduction(&self, id: Id) -> Result<Option<Record>, PastError> {
        let newest = self.past.newest().revision;
        let Some(first) = self.past.history().index()?.oldest_first(id, Revision(1), newest).next()
        else {
            return Ok(None);
        };
        Ok(self.past.record_at(first?)?.map(|told| told.record))
    }

    fn introduced(&mut self, record: &Record) -> KnownNames {
        match record.event.as_ref().and_then(|event| event.kind.as_ref()) {
            Some(Kind::TaskCreated(e)) => {
                let service = Id::from_bytes(&e.service_id);
                let name = format!("{}.{}", self.name(service), e.slot);
                KnownNames::Task(service, name)
            }
            Some(Kind::ClusterCreated(_)) => KnownNames::Cluster,
            Some(kind @ (Kind::ServiceCreated(_) | Kind::ServiceUpdated(_))) => {
                event::given_name(kind)
                    .map_or(KnownNames::Nothing, |name| KnownNames::Service(name.to_owned()))
            }
            Some(kind) => event::given_name(kind)
                .map_or(KnownNames::Nothing, |name| KnownNames::Node(name.to_owned())),
            None => KnownNames::Nothing,
        }
    }
}

impl ObjectNames for NameLookup {
    fn name(&mut self, id: Id) -> String {
        match self.of(id) {
            KnownNames::Service(name) | KnownNames::Node(name) | KnownNames::Task(_, name)
                if !name.is_empty() =>
            {
                name
            }
            KnownNames::Cluster => "cluster".into(),
            KnownNames::Service(_)
            | KnownNames::Node(_)
            | KnownNames::Task(..)
            | KnownNames::Nothing => id.to_string(),
        }
    }
}

/// The services and nodes that ever had this name, oldest first.
pub fn named(past: &Past, name: &str) -> Result<Vec<Id>, PastError> {
    let mut ids = Vec::new();
    let mut entry = None;
    for revision in past.history().index()?.naming(name) {
        let Some(found) = past.record_in(revision?, entry.take())? else { continue };
        let kind = found.record.event.as_ref().and_then(|event| event.kind.as_ref());
        // Another name may stand under the same key of the index.
        let given = kind.filter(|kind| {
            event::given_name(kind).is_some_and(|given| given.to_lowercase() == name.to_lowercase())
        });
        if let Some(id) = given.and_then(|kind| event::objects(kind).next())
            && !ids.contains(&id)
        {
            ids.push(id);
        }
        entry = Some(found.entry);
    }
    Ok(ids)
}
