//! Before and after: how an object differs between two views, as field paths.
//!
//! A path is the one that `inspect` shows in JSON. Rows are compared before anything is rendered,
//! and shared specs by their pointers first, so that two neighbouring views cost little more than
//! walking their ids.

mod fields;

use crate::View;
use fields::{AuditField, FieldOrigin, Fields};
use skep_proto::{
    Id,
    v1::{ChangeKind, FieldChange, ObjectChange},
};
use std::{cmp::Ordering, collections::BTreeMap};

/// All objects that differ, the cluster first, then nodes, services and tasks, each in the order of
/// their ids. An object that somebody removed counts as gone, also while ended tasks keep its row.
pub fn diff(before: &View, after: &View) -> Vec<ObjectChange> {
    let mut changes = Vec::new();
    if !fields::same_cluster(before, after) {
        let (was, is) = (fields::cluster(before), fields::cluster(after));
        changes.extend(change("cluster", after.cluster().id, "cluster", was, is));
    }
    merge(
        before
            .nodes()
            .iter()
            .map(|(_, row)| row)
            .filter(|row| !row.removed)
            .map(|row| (row.id, row)),
        after
            .nodes()
            .iter()
            .map(|(_, row)| row)
            .filter(|row| !row.removed)
            .map(|row| (row.id, row)),
        fields::same_node,
        |id, was, is| {
            let name = is.or(was).map_or("", |row| row.hostname());
            changes.extend(change("node", id, name, was.map(fields::node), is.map(fields::node)));
        },
    );
    merge(
        before
            .services()
            .iter()
            .map(|(_, row)| row)
            .filter(|row| !row.removed)
            .map(|row| (row.id, row)),
        after
            .services()
            .iter()
            .map(|(_, row)| row)
            .filter(|row| !row.removed)
            .map(|row| (row.id, row)),
        fields::same_service,
        |id, was, is| {
            let name = is.or(was).map_or("", |row| row.name());
            changes.extend(change(
                "service",
                id,
                name,
                was.map(fields::service),
                is.map(fields::service),
            ));
        },
    );
    merge(
        before.tasks().iter().map(|(_, row)| (row.id, row)),
        after.tasks().iter().map(|(_, row)| (row.id, row)),
        |was, is| fields::same_task((before, was), (after, is)),
        |id, was, is| {
            let name = is.map(|row| after.task_name(row)).or(was.map(|row| before.task_name(row)));
            let (was, is) =
                (was.map(|row| fields::task(before, row)), is.map(|row| fields::task(after, row)));
            changes.extend(change("task", id, &name.unwrap_or_default(), was, is));
        },
    );
    changes
}

/// How one object differs; nothing when it does not, or is in neither.
pub fn diff_object(before: &View, after: &View, id: Id) -> Option<ObjectChange> {
    let node = |view: &View| {
        view.nodes().by_id(id).filter(|(_, row)| !row.removed).map(|(_, row)| row.clone())
    };
    if let (was, is) = (node(before), node(after))
        && let Some(row) = is.as_ref().or(was.as_ref())
    {
        return change(
            "node",
            id,
            row.hostname(),
            was.as_ref().map(fields::node),
            is.as_ref().map(fields::node),
        );
    }
    let service = |view: &View| {
        view.services().by_id(id).filter(|(_, row)| !row.removed).map(|(_, row)| row.clone())
    };
    if let (was, is) = (service(before), service(after))
        && let Some(row) = is.as_ref().or(was.as_ref())
    {
        let (old, new) = (was.as_ref().map(fields::service), is.as_ref().map(fields::service));
        return change("service", id, row.name(), old, new);
    }
    let task = |view: &View| {
        view.tasks().by_id(id).map(|(_, row)| (view.task_name(row), fields::task(view, row)))
    };
    if let (was, is) = (task(before), task(after))
        && let Some(name) = is.as_ref().or(was.as_ref()).map(|(name, _)| name.clone())
    {
        return change(
            "task",
            id,
            &name,
            was.map(|(_, fields)| fields),
            is.map(|(_, fields)| fields),
        );
    }
    let cluster = |view: &View| if view.cluster().id == id { fields::cluster(view) } else { None };
    change("cluster", id, "cluster", cluster(before), cluster(after))
}

/// Walks two lists that are sorted by id, and tells of what is not the same.
fn merge<'a, R: 'a>(
    before: impl Iterator<Item = (Id, &'a R)>,
    after: impl Iterator<Item = (Id, &'a R)>,
    same: impl Fn(&R, &R) -> bool,
    mut differs: impl FnMut(Id, Option<&'a R>, Option<&'a R>),
) {
    let (mut before, mut after) = (before.peekable(), after.peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((was, _)), Some((is, _))) => was.cmp(is),
        };
        let was = if order.is_le() { before.next() } else { None };
        let is = if order.is_ge() { after.next() } else { None };
        match (was, is) {
            (Some((id, was)), Some((_, is))) if !same(was, is) => differs(id, Some(was), Some(is)),
            (Some((id, was)), None) => differs(id, Some(was), None),
            (None, Some((id, is))) => differs(id, None, Some(is)),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// Two sets of fields as a change; nothing when they are equal.
fn change(
    kind: &str,
    id: Id,
    name: &str,
    was: Option<Fields>,
    is: Option<Fields>,
) -> Option<ObjectChange> {
    let change = match (&was, &is) {
        (None, None) => return None,
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Removed,
        (Some(_), Some(_)) => ChangeKind::Changed,
    };
    let mut paths: BTreeMap<String, (Option<AuditField>, Option<AuditField>)> = BTreeMap::new();
    for field in was.unwrap_or_default() {
        let path = field.path.clone();
        paths.entry(path).or_default().0 = Some(field);
    }
    for field in is.unwrap_or_default() {
        let path = field.path.clone();
        paths.entry(path).or_default().1 = Some(field);
    }
    let is_given = |field: &Option<AuditField>| {
        field.as_ref().is_some_and(|field| field.origin == FieldOrigin::Given)
    };
    // A default says nothing of a thing that has just appeared, or that is gone.
    let fields: Vec<_> = paths
        .into_iter()
        .filter(|(_, (before, after))| is_given(before) || is_given(after))
        .map(|(path, (before, after))| {
            let text = |field: Option<AuditField>| field.map_or_else(String::new, |f| f.text);
            FieldChange { path, before: text(before), after: text(after) }
        })
        .filter(|change| change.before != change.after)
        .collect();
    if fields.is_empty() && change == ChangeKind::Changed {
        return None;
    }
    let (kind, name, id) = (kind.to_owned(), name.to_owned(), id.to_bytes());
    Some(ObjectChange { kind, id, name, change: change as i32, fields })
}
