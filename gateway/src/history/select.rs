//! Which records a query asks for.
//!
//! A service is asked for with its tasks: what happens to them is what happens to it. Names mean
//! every object that ever had them, so that the log of a service that was removed, or made again,
//! can be read by its name.

use super::{
    Past, PastError,
    names::{KnownNames, NameLookup, named},
    notable::notable,
};
use crate::{
    admit::Refusal,
    resolve::{Noun, ResolveError},
};
use skep_projections::View;
use skep_proto::{
    Id, Revision, author, event,
    v1::{Author, LogRequest, Reconciler, Record, author::Who, event::Kind},
};
use std::collections::BTreeSet;

/// Most objects and authors that one query may name; more are refused, since each is looked up on
/// the disk.
const SUBJECTS_MAX: usize = 1_024;

/// What is asked for.
pub struct Selection {
    all: bool,
    /// None asks for every object's.
    objects: Option<BTreeSet<Id>>,
    /// Those of them whose tasks to come belong to them too.
    services: BTreeSet<Id>,
    authors: Vec<AuthorFilter>,
}

/// One author that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum AuthorFilter {
    Uid(u32),
    Reconciler(Reconciler),
    /// A person of this name, or one of these machines.
    Named(String, Vec<Id>),
}

impl Selection {
    /// Reads a request; an object that history never knew is an error.
    pub fn of(request: &LogRequest, past: &Past, view: &View) -> Result<Selection, PastError> {
        let named = request.objects.len().max(request.authors.len());
        if named > SUBJECTS_MAX {
            let message =
                format!("{named} objects or authors are too many: {SUBJECTS_MAX} are possible");
            return Err(Refusal::invalid(message).into());
        }
        let mut selection = Selection {
            all: request.all,
            objects: None,
            services: BTreeSet::new(),
            authors: Vec::new(),
        };
        let mut lookup = NameLookup::new(past.clone(), view);
        for reference in &request.objects {
            let ids = find(reference, past, view)?;
            for id in ids {
                selection.add(id, &mut lookup);
            }
        }
        for word in &request.authors {
            selection.authors.push(speaker(word, past, view)?);
        }
        Ok(selection)
    }

    fn add(&mut self, id: Id, lookup: &mut NameLookup) {
        self.objects.get_or_insert_default().insert(id);
        if let KnownNames::Service(_) = lookup.of(id) {
            self.services.insert(id);
        }
    }

    /// Learns every task that the services ever had: to read upwards, where a task's records may
    /// come before one that names its service.
    pub fn learn_tasks(&mut self, past: &Past) -> Result<(), PastError> {
        for service in &self.services {
            let objects = self.objects.get_or_insert_default();
            each_task(*service, past, |task, _| {
                objects.insert(task);
            })?;
        }
        Ok(())
    }

    /// Learns the tasks that the services have in this view, and answers with all objects: to read
    /// backwards from there. The other tasks are named by the record that took them out of the
    /// view.
    pub fn learn_from(&mut self, view: &View) -> BTreeSet<Id> {
        for service in &self.services {
            let Some(index) = view.services().find(*service) else { continue };
            let tasks = view.tasks_of(index).map(|(_, task)| task.id);
            self.objects.get_or_insert_default().extend(tasks);
        }
        self.objects.clone().unwrap_or_default()
    }

    /// The task that this record makes known, where it is one of the services'.
    pub fn task_of(&self, kind: &Kind) -> Option<Id> {
        let (task, service) = if let Kind::TaskCreated(e) = kind {
            (&e.task_id, &e.service_id)
        } else if let Kind::TaskReaped(e) = kind {
            (&e.task_id, &e.service_id)
        } else {
            return None;
        };
        self.services.contains(&Id::from_bytes(service)).then(|| Id::from_bytes(task))
    }

    /// The objects asked for; none is all.
    pub fn objects(&self) -> Option<&BTreeSet<Id>> {
        self.objects.as_ref()
    }

    /// Whether the record is asked for. Learns of new tasks of services that are.
    pub fn takes(&mut self, record: &Record) -> bool {
        let Some(kind) = record.event.as_ref().and_then(|event| event.kind.as_ref()) else {
            return self.all;
        };
        let task = self.task_of(kind);
        if let Some(objects) = &mut self.objects {
            objects.extend(task);
            if !event::objects(kind).any(|id| objects.contains(&id)) {
                return false;
            }
        }
        (self.all || notable(record))
            && (self.authors.is_empty() || self.is_by(record.author.as_ref()))
    }

    fn is_by(&self, author: Option<&Author>) -> bool {
        let Some(who) = author.and_then(|author| author.who.as_ref()) else { return false };
        self.authors.iter().any(|speaker| match (speaker, who) {
            (AuthorFilter::Uid(uid), Who::Person(person)) => {
                person.uid == *uid || person.login_uid == Some(*uid)
            }
            (AuthorFilter::Named(name, _), Who::Person(person)) => person.name == *name,
            (AuthorFilter::Named(_, ids), Who::NodeId(id) | Who::ManagerId(id)) => {
                ids.contains(&Id::from_bytes(id))
            }
            (AuthorFilter::Reconciler(wanted), Who::Reconciler(is)) => *is == *wanted as i32,
            (AuthorFilter::Uid(_), Who::NodeId(_) | Who::ManagerId(_) | Who::Reconciler(_))
            | (AuthorFilter::Named(..), Who::Reconciler(_))
            | (AuthorFilter::Reconciler(_), Who::Person(_) | Who::NodeId(_) | Who::ManagerId(_)) => {
                false
            }
        })
    }
}

/// Every object, of now or of the past, that a reference may mean.
pub(super) fn find(reference: &str, past: &Past, view: &View) -> Result<Vec<Id>, PastError> {
    if reference.is_empty() {
        return Err(ResolveError::Empty(Noun::Object).into());
    }
    if let Some(id) = Id::parse(reference)
        && knows(id, past)?
    {
        return Ok(vec![id]);
    }
    let mut ids = named(past, reference)?;
    if ids.is_empty() {
        ids = slot(reference, past)?;
    }
    if ids.is_empty() {
        ids = begun(view, reference)?;
    }
    if ids.is_empty() {
        let not_found =
            ResolveError::NotFound { noun: Noun::Object, reference: reference.into(), near: None };
        return Err(not_found.into());
    }
    Ok(ids)
}

fn knows(id: Id, past: &Past) -> Result<bool, PastError> {
    let first =
        past.history().index()?.oldest_first(id, Revision(1), past.newest().revision).next();
    Ok(first.transpose()?.is_some())
}

/// `web.3`, `web.3.ID`: tasks of that slot, in the order of their creation.
fn slot(reference: &str, past: &Past) -> Result<Vec<Id>, PastError> {
    let Some((name, last)) = reference.rsplit_once('.') else { return Ok(Vec::new()) };
    if let Some(id) = Id::parse(last) {
        return Ok(if knows(id, past)? { vec![id] } else { Vec::new() });
    }
    let Ok(slot) = last.parse::<u64>() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for service in named(past, name)? {
        each_task(service, past, |task, of_slot| {
            if of_slot == slot {
                found.push(task);
            }
        })?;
    }
    Ok(found)
}

/// The one object in the view whose id begins so.
fn begun(view: &View, reference: &str) -> Result<Vec<Id>, PastError> {
    let Some((low, high)) = Id::prefix_range(reference) else { return Ok(Vec::new()) };
    let services = view.services().range(low, high).map(|(_, row)| row.id);
    let nodes = view.nodes().range(low, high).map(|(_, row)| row.id);
    let tasks = view.tasks().range(low, high).map(|(_, row)| row.id);
    let ids: Vec<Id> = services.chain(nodes).chain(tasks).take(6).collect();
    if ids.len() > 1 {
        let matches = ids.iter().map(Id::to_string).collect();
        let (noun, total) = (Noun::Object, ids.len());
        return Err(
            ResolveError::Ambiguous { noun, reference: reference.into(), matches, total }.into()
        );
    }
    Ok(ids)
}

fn each_task(service: Id, past: &Past, mut take: impl FnMut(Id, u64)) -> Result<(), PastError> {
    let mut entry = None;
    for revision in
        past.history().index()?.oldest_first(service, Revision(1), past.newest().revision)
    {
        let Some(told) = past.record_in(revision?, entry.take())? else { continue };
        if let Some(Kind::TaskCreated(e)) =
            told.record.event.as_ref().and_then(|event| event.kind.as_ref())
        {
            take(Id::from_bytes(&e.task_id), e.slot);
        }
        entry = Some(told.entry);
    }
    Ok(())
}

fn speaker(word: &str, past: &Past, view: &View) -> Result<AuthorFilter, PastError> {
    if let Some(uid) = word.strip_prefix("uid:").and_then(|uid| uid.parse().ok()) {
        return Ok(AuthorFilter::Uid(uid));
    }
    let reconcilers = (1..=12).filter_map(|n| Reconciler::try_from(n).ok());
    if let Some(reconciler) = reconcilers.into_iter().find(|r| author::reconciler_name(*r) == word)
    {
        return Ok(AuthorFilter::Reconciler(reconciler));
    }
    // A name that no machine has may be a person's: people are not listed anywhere.
    let machines = match find(word, past, view) {
        Ok(ids) => ids,
        Err(PastError::Refused(_)) => Vec::new(),
        Err(other) => return Err(other),
    };
    Ok(AuthorFilter::Named(word.to_owned(), machines))
}
