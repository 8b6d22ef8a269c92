//! Whole lists, in the order that people look for things. PURE.
//!
//! Nodes and services go by name, tasks by service, slot and newest first. What the tasks of a
//! service share is looked up once a service: ten thousand tasks are listed in some tens of
//! milliseconds.

use super::{
    ServiceOfTasks,
    filter::{NodeFilter, ServiceFilter, TaskFilter},
};
use crate::{admit::Refusal, resolve, show};
use skep_projections::{NodeIdx, NodeRow, ServiceIdx, ServiceRow, TaskRow, View};
use skep_proto::{
    Id, Revision,
    v1::{ListRequest, Node, Service, Stray, Task},
};
use std::collections::{BTreeMap, BTreeSet};

/// The nodes that are asked for.
pub fn nodes(view: &View, request: &ListRequest) -> Result<Vec<Node>, Refusal> {
    let filter = NodeFilter::parse(&request.filters)?;
    let mut rows: Vec<&NodeRow> = if request.objects.is_empty() {
        view.nodes().iter().map(|(_, row)| row).filter(|row| !row.removed).collect()
    } else {
        let indexes = indexes(&request.objects, |reference| resolve::node(view, reference))?;
        indexes.into_iter().filter_map(|index| view.nodes().get(index)).collect()
    };
    rows.retain(|row| filter.matches(row));
    if request.objects.is_empty() {
        rows.sort_by_cached_key(|row| (natural(row.hostname()), row.id));
    }
    Ok(rows.into_iter().map(|row| show::node(view, row)).collect())
}

/// The services that are asked for.
pub fn services(view: &View, request: &ListRequest) -> Result<Vec<Service>, Refusal> {
    let filter = ServiceFilter::parse(&request.filters)?;
    let mut rows: Vec<&ServiceRow> = if request.objects.is_empty() {
        view.services().iter().map(|(_, row)| row).filter(|row| !row.removed).collect()
    } else {
        let indexes = indexes(&request.objects, |reference| resolve::service(view, reference))?;
        indexes.into_iter().filter_map(|index| view.services().get(index)).collect()
    };
    rows.retain(|row| filter.matches(row));
    if request.objects.is_empty() {
        rows.sort_by_cached_key(|row| (natural(row.name()), row.id));
    }
    Ok(rows.into_iter().map(|row| show::service(view, row)).collect())
}

/// The tasks that are asked for.
pub fn tasks(view: &View, request: &ListRequest) -> Result<Vec<Task>, Refusal> {
    let filter = TaskFilter::parse(view, &request.filters)?;
    if !request.objects.is_empty() {
        let indexes = indexes(&request.objects, |reference| resolve::task(view, reference))?;
        let rows = indexes.into_iter().filter_map(|index| view.tasks().get(index));
        return Ok(rows
            .filter(|row| filter.matches(view, row))
            .map(|row| show::task(view, row))
            .collect());
    }
    let mut list = Vec::new();
    for (index, rows) in candidates(view, &filter) {
        let Some(service) = view.services().get(index) else { continue };
        let mut rows = rows.unwrap_or_else(|| view.tasks_of(index).map(|(_, row)| row).collect());
        rows.retain(|row| filter.matches(view, row));
        rows.sort_by_key(|row| (row.slot, std::cmp::Reverse(row.created.0), row.id));
        shown(view, service, &rows, &mut list);
    }
    Ok(list)
}

/// Tasks that agents have and history does not know, by node and id.
pub fn strays(view: &View) -> Vec<Stray> {
    let mut strays: Vec<Stray> = view
        .strays()
        .map(|(id, stray)| {
            let node = view.nodes().by_id(Id::from_bytes(&stray.node_id));
            Stray {
                task_id: id.to_bytes(),
                node_id: stray.node_id.clone(),
                node_name: node.map_or_else(String::new, |(_, row)| row.hostname().to_owned()),
                state: stray.state,
            }
        })
        .collect();
    strays.sort_by(|a, b| (&a.node_name, &a.task_id).cmp(&(&b.node_name, &b.task_id)));
    strays
}

/// All tasks of a service, by slot, the newest of each first.
pub fn tasks_of(view: &View, index: ServiceIdx) -> Vec<Task> {
    let mut list = Vec::new();
    if let Some(service) = view.services().get(index) {
        let mut rows: Vec<&TaskRow> = view.tasks_of(index).map(|(_, row)| row).collect();
        rows.sort_by_key(|row| (row.slot, std::cmp::Reverse(row.created.0), row.id));
        shown(view, service, &rows, &mut list);
    }
    list
}

fn shown(view: &View, service: &ServiceRow, rows: &[&TaskRow], list: &mut Vec<Task>) {
    let mut named = ServiceOfTasks { service: Some(service), name: service.name(), spec: None };
    let mut version = Revision::ZERO;
    list.reserve(rows.len());
    for row in rows {
        if named.spec.is_none() || version != row.spec_version {
            version = row.spec_version;
            named.spec = service.spec_at(version).and_then(|spec| spec.task.as_ref());
        }
        list.push(show::task_of(view, row, &named));
    }
}

/// Services whose tasks can match, by name; with the tasks, where the nodes asked for have told
/// them already.
fn candidates<'a>(
    view: &'a View,
    filter: &TaskFilter<'_>,
) -> Vec<(ServiceIdx, Option<Vec<&'a TaskRow>>)> {
    let mut found: Vec<(ServiceIdx, Option<Vec<&TaskRow>>)> =
        match (filter.services(), filter.nodes()) {
            (Some(indexes), _) => indexes
                .iter()
                .copied()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .map(|index| (index, None))
                .collect(),
            (None, Some(nodes)) => {
                let nodes: BTreeSet<NodeIdx> = nodes.iter().copied().collect();
                let mut by_service: BTreeMap<ServiceIdx, Vec<&TaskRow>> = BTreeMap::new();
                for (_, row) in nodes.into_iter().flat_map(|node| view.tasks_on(node)) {
                    by_service.entry(row.service).or_default().push(row);
                }
                by_service.into_iter().map(|(index, rows)| (index, Some(rows))).collect()
            }
            (None, None) => view.services().iter().map(|(index, _)| (index, None)).collect(),
        };
    found.sort_by_cached_key(|(index, _)| {
        (view.services().get(*index).map(|row| natural(row.name())), *index)
    });
    found
}

fn indexes<P: Ord + Copy, E: Into<Refusal>>(
    references: &[String],
    find: impl Fn(&str) -> Result<P, E>,
) -> Result<Vec<P>, Refusal> {
    let mut seen = BTreeSet::new();
    let found: Result<Vec<P>, Refusal> =
        references.iter().map(|r| find(r).map_err(Into::into)).collect();
    Ok(found?.into_iter().filter(|index| seen.insert(*index)).collect())
}

/// A name as people sort it: in any case, and `n2` before `n10`. Text and numbers by turns.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let (text, after) =
            rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let (number, next) =
            after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len()));
        // Digits alone: what does not parse is too large.
        let value = if number.is_empty() { 0 } else { number.parse().unwrap_or(u64::MAX) };
        parts.push((text.to_lowercase(), value));
        rest = next;
    }
    parts
}
