//! Why something is as it is: a verdict, the chain of causes behind it, and why that node.
//!
//! For what is still in the view at the moment asked about, the view gives the verdict. What has
//! left it is looked at as it was just before its last record.

use super::{
    FoundRecord, Past, PastError, causes, names::NameLookup, placement, select, summary, tell,
    verdict,
};
use crate::resolve::{self, Noun, ResolveError};
use skep_projections::{NodeIdx, ServiceIdx, TaskIdx, View};
use skep_proto::{
    Id, Revision, author, event,
    v1::{FilterCount, WhyReply, event::Kind},
};

/// Records of a service looked at for an explanation of a placement, from the newest back.
const EXPLANATIONS_SEARCHED_MAX: usize = 4_096;

/// What is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum WhySubject {
    Service(ServiceIdx),
    Node(NodeIdx),
    Task(TaskIdx),
}

/// Explains an object as it stood in a view.
pub fn why(past: &Past, view: &View, reference: &str) -> Result<WhyReply, PastError> {
    match present(view, reference) {
        Ok(target) => explain(past, view, target, None),
        Err(ResolveError::NotFound { .. }) => gone(past, view, reference),
        Err(other) => Err(other.into()),
    }
}

/// The object in the view. `service/web`, `node/web` and `task/…` say which is meant where names
/// clash.
fn present(view: &View, reference: &str) -> Result<WhySubject, ResolveError> {
    if reference.is_empty() {
        return Err(ResolveError::Empty(Noun::Object));
    }
    let service = |r: &str| resolve::service(view, r).map(WhySubject::Service);
    let node = |r: &str| resolve::node(view, r).map(WhySubject::Node);
    let task = |r: &str| resolve::task(view, r).map(WhySubject::Task);
    match reference.split_once('/') {
        Some(("service", rest)) => return service(rest),
        Some(("node", rest)) => return node(rest),
        Some(("task", rest)) => return task(rest),
        Some(_) | None => {}
    }
    let answers =
        [("service", service(reference)), ("node", node(reference)), ("task", task(reference))];
    let found: Vec<(&str, WhySubject)> =
        answers.iter().filter_map(|(n, a)| Some((*n, *a.as_ref().ok()?))).collect();
    match found[..] {
        [(_, target)] => Ok(target),
        [_, ..] => Err(ResolveError::Ambiguous {
            noun: Noun::Object,
            reference: reference.into(),
            matches: found.iter().map(|(noun, _)| format!("{noun}/{reference}")).collect(),
            total: found.len(),
        }),
        [] => {
            let ambiguous = |e: &ResolveError| {
                matches!(e, ResolveError::Ambiguous { .. } | ResolveError::Empty(_))
            };
            let mut errors = answers.into_iter().filter_map(|(_, answer)| answer.err());
            let not_found = || ResolveError::NotFound {
                noun: Noun::Object,
                reference: reference.into(),
                near: None,
            };
            Err(errors.find(ambiguous).unwrap_or_else(not_found))
        }
    }
}

/// An object that has left the view: as it was before its last record.
fn gone(past: &Past, view: &View, reference: &str) -> Result<WhyReply, PastError> {
    let name = reference.split_once('/').map_or(reference, |(_, name)| name);
    let through = view.position().revision;
    let mut last: Option<(Revision, Id)> = None;
    for id in select::find(name, past, view)? {
        last = last.max(last_own_record(past, id, through)?.map(|revision| (revision, id)));
    }
    let not_found =
        || ResolveError::NotFound { noun: Noun::Object, reference: reference.into(), near: None };
    let (revision, id) = last.ok_or_else(not_found)?;
    let told = past.record_at(revision)?.ok_or_else(not_found)?;
    if let Some(target) = by_id(view, id) {
        return explain(past, view, target, Some(&told));
    }
    let before = past.view_at(Revision(revision.0.saturating_sub(1)).max(Revision(1)))?;
    let target = by_id(&before, id).ok_or_else(not_found)?;
    let mut reply = explain(past, &before, target, Some(&told))?;
    reply.verdict = format!("{}; before that: {}", end(past, view, &told), reply.verdict);
    Ok(reply)
}

/// The newest record whose first object this is. Others only mention it, as the reaping of a task
/// does its service.
fn last_own_record(past: &Past, id: Id, through: Revision) -> Result<Option<Revision>, PastError> {
    let mut entry = None;
    for revision in past.history().index()?.newest_first(id, Revision(1), through) {
        let Some(told) = past.record_in(revision?, entry.take())? else { continue };
        let kind = told.record.event.as_ref().and_then(|event| event.kind.as_ref());
        if kind.is_some_and(|kind| event::objects(kind).next() == Some(id)) {
            return Ok(Some(told.revision));
        }
        entry = Some(told.entry);
    }
    Ok(None)
}

fn by_id(view: &View, id: Id) -> Option<WhySubject> {
    let service = view.services().find(id).map(WhySubject::Service);
    let node = || view.nodes().find(id).map(WhySubject::Node);
    service.or_else(node).or_else(|| view.tasks().find(id).map(WhySubject::Task))
}

/// The last record about something that has gone, and who wrote it.
fn end(past: &Past, view: &View, told: &FoundRecord) -> String {
    let line = summary::line(&told.record, &mut NameLookup::new(past.clone(), view));
    let by = author::describe(told.record.author.as_ref());
    let reason = if told.record.reason.is_empty() {
        String::new()
    } else {
        format!(" ({})", told.record.reason)
    };
    format!("{line} at revision {} by {by}{reason}", told.revision)
}

fn explain(
    past: &Past,
    view: &View,
    target: WhySubject,
    last: Option<&FoundRecord>,
) -> Result<WhyReply, PastError> {
    let mut starts: Vec<Revision> = last.map(|told| told.revision).into_iter().collect();
    let gone = || PastError::Unfoldable("an object that was found has no row".into());
    let mut reply = match target {
        WhySubject::Task(index) => {
            let row = view.tasks().get(index).ok_or_else(gone)?;
            starts.extend([row.state_since.0, row.desired_revision, row.created.0]);
            if row.is_pending() {
                starts.extend(blocked_at(past, view, row.service)?);
            }
            WhyReply {
                verdict: verdict::task(view, row),
                kind: "task".into(),
                id: row.id.to_bytes(),
                name: view.task_name(row),
                placement: why_there(past, view, index)?,
                ..WhyReply::default()
            }
        }
        WhySubject::Service(index) => {
            let row = view.services().get(index).ok_or_else(gone)?;
            starts.extend([row.last_revision, row.version]);
            starts.extend(blocked_at(past, view, index)?);
            starts.extend(newest_failure(view, index));
            let refused = row.blocked.as_ref().map_or(&[][..], |blocked| &blocked.refused);
            WhyReply {
                verdict: verdict::service(view, index, row),
                kind: "service".into(),
                id: row.id.to_bytes(),
                name: row.name().into(),
                placement: placement::refusals(refused),
                ..WhyReply::default()
            }
        }
        WhySubject::Node(index) => {
            let row = view.nodes().get(index).ok_or_else(gone)?;
            starts.extend([row.last_revision, row.version]);
            WhyReply {
                verdict: verdict::node(view, row),
                kind: "node".into(),
                id: row.id.to_bytes(),
                name: row.hostname().into(),
                ..WhyReply::default()
            }
        }
    };
    let mut names = NameLookup::new(past.clone(), view);
    reply.chain =
        causes::chain(past, &starts)?.iter().map(|told| tell::shown(told, &mut names)).collect();
    Ok(reply)
}

/// The record that says why a service's tasks have no node.
fn blocked_at(past: &Past, view: &View, index: ServiceIdx) -> Result<Option<Revision>, PastError> {
    let Some(row) = view.services().get(index).filter(|row| row.blocked.is_some()) else {
        return Ok(None);
    };
    let through = view.position().revision;
    let mut entry = None;
    let newest = past.history().index()?.newest_first(row.id, row.created.0, through);
    for revision in newest.take(EXPLANATIONS_SEARCHED_MAX) {
        let Some(told) = past.record_in(revision?, entry.take())? else { continue };
        if let Some(Kind::PlacementBlocked(_)) =
            told.record.event.as_ref().and_then(|event| event.kind.as_ref())
        {
            return Ok(Some(told.revision));
        }
        entry = Some(told.entry);
    }
    Ok(None)
}

/// The newest end of a task of the service that another one has, or had, to answer.
fn newest_failure(view: &View, index: ServiceIdx) -> Option<Revision> {
    let wanted = view.tasks_of(index).filter(|(_, row)| row.is_wanted());
    let failed = wanted.filter_map(|(_, row)| verdict::failed_last(view, row));
    failed.map(|row| row.state_since.0).max()
}

/// Why a task stands on its node.
fn why_there(past: &Past, view: &View, index: TaskIdx) -> Result<Vec<String>, PastError> {
    let Some(row) = view.tasks().get(index) else { return Ok(Vec::new()) };
    let Some(service) = view.services().get(row.service) else { return Ok(Vec::new()) };
    let Some(node) = row.node.and_then(|node| view.nodes().get(node)) else {
        let refused = service.blocked.as_ref().map_or(&[][..], |blocked| &blocked.refused);
        return Ok(placement::refusals(refused));
    };
    let mut lines = Vec::new();
    let mut assigned_at = view.position().revision;
    for revision in past.history().index()?.oldest_first(row.id, row.created.0, assigned_at) {
        let Some(told) = past.record_at(revision?)? else { continue };
        if let Some(Kind::TaskAssigned(e)) =
            told.record.event.as_ref().and_then(|event| event.kind.as_ref())
        {
            lines.push(placement::chosen(e, node.hostname(), service.name()));
            // Said in the same turn, before or after the assignment.
            assigned_at = told.entry.last();
            break;
        }
    }
    lines.extend(placement::refusals(&refused_then(
        past,
        service.id,
        row.spec_version,
        assigned_at,
    )?));
    Ok(lines)
}

/// What the filters had refused for a spec when a task of it was placed.
fn refused_then(
    past: &Past,
    service: Id,
    version: Revision,
    through: Revision,
) -> Result<Vec<FilterCount>, PastError> {
    let mut entry = None;
    let newest = past.history().index()?.newest_first(service, version, through);
    for revision in newest.take(EXPLANATIONS_SEARCHED_MAX) {
        let Some(told) = past.record_in(revision?, entry.take())? else { continue };
        match told.record.event.as_ref().and_then(|event| event.kind.as_ref()) {
            Some(Kind::PlacementExplained(e)) if e.spec_version == version.0 => {
                return Ok(e.refused.clone());
            }
            Some(Kind::PlacementBlocked(e)) if e.spec_version == version.0 => {
                return Ok(e.refused.clone());
            }
            Some(_) | None => entry = Some(told.entry),
        }
    }
    Ok(Vec::new())
}
