//! What objects are called, and were called.
//!
//! Names stand in the records that introduce objects, and nowhere else. The audit index leads from an id to
//! the record that introduced it; the other way round, from a name to every object that ever had it, the
//! introducing records are scanned once and remembered: they are few beside the rest.

use super::{Past, PastError, summary::Names};
use prost::Message;
use skep_log::ReadError;
use skep_proto::{
    Id, Revision,
    v1::{NodeDescription, Record, ServiceSpec, event::Kind},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Names remembered by one reader; at it all are forgotten and looked up again.
const NAMES_MAX: usize = 65_536;

/// What kind of object an id is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known {
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

/// Looks names up in history.
pub struct Lookup {
    past: Past,
    known: BTreeMap<Id, Known>,
}

impl Lookup {
    /// With nothing looked up yet.
    pub fn new(past: Past) -> Lookup {
        Lookup { past, known: BTreeMap::new() }
    }

    /// What an id is, by the record that introduced it.
    pub fn of(&mut self, id: Id) -> Known {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        // A name is decoration: where the log cannot be read, those who read the records themselves say so.
        let known =
            self.introduction(id).ok().flatten().map_or(Known::Nothing, |record| self.introduced(&record));
        self.remember(id, known.clone());
        known
    }

    /// Remembers what a record that is read anyway introduces.
    pub fn note(&mut self, record: &Record) {
        let known = self.introduced(record);
        let Some(kind) = record.event.as_ref().and_then(|event| event.kind.as_ref()) else { return };
        if known != Known::Nothing
            && let Some(id) = skep_proto::event::objects(kind).first()
        {
            self.remember(*id, known);
        }
    }

    fn remember(&mut self, id: Id, known: Known) {
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        self.known.insert(id, known);
    }

    fn introduction(&self, id: Id) -> Result<Option<Record>, PastError> {
        let newest = self.past.newest().revision;
        let Some(first) = self.past.history().revisions_of(id, Revision(1), newest).next() else {
            return Ok(None);
        };
        Ok(self.past.record_at(first?)?.map(|told| told.record))
    }

    fn introduced(&mut self, record: &Record) -> Known {
        match record.event.as_ref().and_then(|event| event.kind.as_ref()) {
            Some(Kind::TaskCreated(e)) => {
                let service = Id::from_bytes(&e.service_id);
                let name = format!("{}.{}", self.name(service), e.slot);
                Known::Task(service, name)
            }
            Some(Kind::ClusterCreated(_)) => Known::Cluster,
            Some(kind) => named(kind).map_or(Known::Nothing, |(noun, _, name)| match noun {
                Noun::Service => Known::Service(name.to_owned()),
                Noun::Node => Known::Node(name.to_owned()),
            }),
            None => Known::Nothing,
        }
    }
}

impl Names for Lookup {
    fn name(&mut self, id: Id) -> String {
        match self.of(id) {
            Known::Service(name) | Known::Node(name) | Known::Task(_, name) if !name.is_empty() => name,
            Known::Cluster => "cluster".into(),
            Known::Service(_) | Known::Node(_) | Known::Task(..) | Known::Nothing => id.to_string(),
        }
    }
}

#[derive(Clone, Copy)]
enum Noun {
    Service,
    Node,
}

/// The service or node that a record names, and its name.
fn named(kind: &Kind) -> Option<(Noun, Id, &str)> {
    match kind {
        Kind::ServiceCreated(e) => {
            Some((Noun::Service, Id::from_bytes(&e.service_id), service_name(e.spec.as_ref())?))
        }
        Kind::ServiceUpdated(e) => {
            Some((Noun::Service, Id::from_bytes(&e.service_id), service_name(e.spec.as_ref())?))
        }
        Kind::NodeJoined(e) => {
            Some((Noun::Node, Id::from_bytes(&e.node_id), host_name(e.description.as_ref())?))
        }
        Kind::SessionOpened(e) => {
            Some((Noun::Node, Id::from_bytes(&e.node_id), host_name(e.description.as_ref())?))
        }
        // They name nothing; a kind that will must be added above.
        Kind::ClusterCreated(_)
        | Kind::ClusterUpdated(_)
        | Kind::NodeUpdated(_)
        | Kind::NodeRemoved(_)
        | Kind::ServiceScaled(_)
        | Kind::ServiceRemoved(_)
        | Kind::CommandRefused(_)
        | Kind::ObjectReleased(_)
        | Kind::TaskCreated(_)
        | Kind::TaskAssigned(_)
        | Kind::TaskDesired(_)
        | Kind::TaskRejected(_)
        | Kind::TaskOrphaned(_)
        | Kind::TaskReaped(_)
        | Kind::PlacementExplained(_)
        | Kind::PlacementBlocked(_)
        | Kind::RolloutStarted(_)
        | Kind::RolloutPaused(_)
        | Kind::RolloutCompleted(_)
        | Kind::NodeDown(_)
        | Kind::ObjectParked(_)
        | Kind::Checkpoint(_)
        | Kind::FeatureLevelRaised(_)
        | Kind::IncarnationBegun(_)
        | Kind::SessionClosed(_)
        | Kind::NodeSilent(_)
        | Kind::NodeConditionsObserved(_)
        | Kind::NodeSecretRenewed(_)
        | Kind::TaskObserved(_)
        | Kind::TenureBegun(_)
        | Kind::StrayObserved(_)
        | Kind::StrayDisowned(_)
        | Kind::ClockJumped(_) => None,
    }
}

fn service_name(spec: Option<&ServiceSpec>) -> Option<&str> {
    spec?.annotations.as_ref().map(|a| a.name.as_str())
}

fn host_name(description: Option<&NodeDescription>) -> Option<&str> {
    description.map(|description| description.hostname.as_str())
}

/// Every name that a service or node ever had.
#[derive(Clone, Default)]
pub struct Catalogue {
    read: Arc<Mutex<Read>>,
}

#[derive(Default)]
struct Read {
    through: Revision,
    by_name: BTreeMap<String, Vec<Id>>,
}

impl Catalogue {
    /// The services and nodes that ever had this name, oldest first. Reads what has been written since the
    /// last question.
    pub fn named(&self, past: &Past, name: &str) -> Result<Vec<Id>, PastError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.go_on(past)?;
        Ok(read.by_name.get(&name.to_lowercase()).cloned().unwrap_or_default())
    }
}

impl Read {
    fn go_on(&mut self, past: &Past) -> Result<(), PastError> {
        if past.newest().revision <= self.through {
            return Ok(());
        }
        for entry in past.history().entries(self.through.next()) {
            let entry = entry?;
            for bytes in entry.records.iter().filter(|bytes| may_name(bytes)) {
                let record =
                    Record::decode(bytes.clone()).map_err(|error| ReadError::Damaged(error.to_string()))?;
                let kind = record.event.as_ref().and_then(|event| event.kind.as_ref());
                if let Some((_, id, name)) = kind.and_then(named) {
                    let ids = self.by_name.entry(name.to_lowercase()).or_default();
                    if !ids.contains(&id) {
                        ids.push(id);
                    }
                }
            }
            self.through = entry.last();
        }
        Ok(())
    }
}

/// Whether a record's bytes may introduce a name: of the four kinds that do, by their numbers in the schema.
/// The others need not be decoded.
fn may_name(bytes: &[u8]) -> bool {
    kind_number(bytes).is_none_or(|number| [5, 6, 100, 101].contains(&number))
}

/// The number of the event's kind, read without decoding the rest; none where the bytes are not as expected.
fn kind_number(record: &[u8]) -> Option<u64> {
    const EVENT: u64 = 6;
    let mut rest = record;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => drop(varint(&mut rest)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (mut body, after) = rest.split_at_checked(length)?;
                if tag >> 3 == EVENT {
                    return Some(varint(&mut body)? >> 3);
                }
                rest = after;
            }
            _ => return None,
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(bytes).ok()
}
