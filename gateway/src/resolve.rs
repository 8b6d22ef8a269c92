//! Resolving a reference: a name, an id, or the beginning of an id. PURE.
//!
//! Commands, reads and logs all ask here, so that `web` means the same thing everywhere. A whole id
//! wins over a name, a name over the beginning of an id, as in Docker. What was removed is not
//! found: its name is free.

use skep_projections::{
    NodeIdx, NodeRow, ServiceIdx, ServiceRow, TaskIdx, TaskRow, View,
    table::{Row, RowIndex, Table},
};
use skep_proto::{Id, id::ID_CHARS, v1::RefusalCode};
use std::fmt;
use thiserror::Error;

/// Matches named in an error; the others are counted.
const MATCHES_SHOWN_MAX: usize = 5;
/// Names compared for a "did you mean"; beyond it the question is not asked.
const NAMES_COMPARED_MAX: usize = 10_000;

/// What a reference is to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noun {
    /// A service.
    Service,
    /// A node.
    Node,
    /// A task.
    Task,
    /// Any of them.
    Object,
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Noun::Service => "service",
            Noun::Node => "node",
            Noun::Task => "task",
            Noun::Object => "object",
        })
    }
}

/// Why a reference names nothing, or too much.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ResolveError {
    /// Nothing was written.
    #[error("no {0} is named")]
    Empty(Noun),
    /// There is no such object.
    #[error("{noun} {reference:?} not found")]
    NotFound {
        /// What was looked for.
        noun: Noun,
        /// As it was written.
        reference: String,
        /// A name that looks like it.
        near: Option<String>,
    },
    /// It could be several.
    #[error("{noun} {reference:?} is ambiguous: it could be {}", listed(matches, *total))]
    Ambiguous {
        /// What was looked for.
        noun: Noun,
        /// As it was written.
        reference: String,
        /// Some of what it could be: name and id.
        matches: Vec<String>,
        /// How many it could be.
        total: usize,
    },
}

fn listed(matches: &[String], total: usize) -> String {
    let more = total.saturating_sub(matches.len());
    let list = matches.join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}

impl ResolveError {
    /// What kind of wrong.
    pub fn code(&self) -> RefusalCode {
        match self {
            ResolveError::Empty(_) => RefusalCode::Invalid,
            ResolveError::NotFound { .. } => RefusalCode::NotFound,
            ResolveError::Ambiguous { .. } => RefusalCode::Ambiguous,
        }
    }

    /// The next step.
    pub fn hint(&self) -> String {
        match self {
            ResolveError::Empty(noun) => {
                format!("name a {noun} by its name, its id, or the beginning of its id")
            }
            ResolveError::NotFound { near: Some(near), .. } => format!("did you mean {near:?}?"),
            ResolveError::NotFound { noun, near: None, .. } => match noun {
                Noun::Service => "`skep service ls` lists services; `skep log` shows removed ones too".into(),
                Noun::Node => "`skep node ls` lists nodes; `skep log` shows removed ones too".into(),
                Noun::Task => {
                    "`skep service ps SERVICE` lists a service's tasks, `skep log` older ones".into()
                }
                Noun::Object => {
                    "`skep service ls` and `skep node ls` list both; `skep log` shows removed ones too"
                        .into()
                }
            },
            ResolveError::Ambiguous { .. } => "write more of the id".into(),
        }
    }
}

/// The service of this name, id, or beginning of an id.
pub fn service(view: &View, reference: &str) -> Result<ServiceIdx, ResolveError> {
    let there = |row: &ServiceRow| !row.removed;
    let found = whole(view.services(), reference, there).or_else(|| view.service_named(reference));
    match found {
        Some(index) => Ok(index),
        None => {
            let names = || {
                view.services().iter().filter(|(_, row)| !row.removed).map(|(_, row)| row.name())
            };
            begun(view.services(), Noun::Service, reference, there, |row| row.name().to_owned())
                .map_err(|error| error.with_near(names))
        }
    }
}

/// The node of this host name, id, or beginning of an id. Host names need not be unique: two make
/// it ambiguous.
pub fn node(view: &View, reference: &str) -> Result<NodeIdx, ResolveError> {
    let there = |row: &NodeRow| !row.removed;
    if let Some(index) = whole(view.nodes(), reference, there) {
        return Ok(index);
    }
    let mut named = view.nodes_named(reference);
    match (named.next(), named.next()) {
        (Some(index), None) => Ok(index),
        (None, _) => {
            let names = || {
                view.nodes().iter().filter(|(_, row)| !row.removed).map(|(_, row)| row.hostname())
            };
            begun(view.nodes(), Noun::Node, reference, there, |row| row.hostname().to_owned())
                .map_err(|error| error.with_near(names))
        }
        (Some(_), Some(_)) => Err(ambiguous_node(view, reference)),
    }
}

fn ambiguous_node(view: &View, reference: &str) -> ResolveError {
    let named: Vec<NodeIdx> = view.nodes_named(reference).collect();
    let rows = named.iter().filter_map(|index| view.nodes().get(*index));
    let matches = rows
        .take(MATCHES_SHOWN_MAX)
        .map(|row| format!("{} ({})", row.hostname(), row.id))
        .collect();
    ResolveError::Ambiguous {
        noun: Noun::Node,
        reference: reference.into(),
        matches,
        total: named.len(),
    }
}

/// The task of this id, beginning of an id, or name. `web.3` is the wanted task of the slot, or
/// else its newest; `web.3.ID` is one of them.
pub fn task(view: &View, reference: &str) -> Result<TaskIdx, ResolveError> {
    let any = |_: &TaskRow| true;
    if let Some(index) = whole(view.tasks(), reference, any) {
        return Ok(index);
    }
    if let Some(index) = task_named(view, reference) {
        return Ok(index);
    }
    begun(view.tasks(), Noun::Task, reference, any, |row| view.task_name(row))
}

fn task_named(view: &View, reference: &str) -> Option<TaskIdx> {
    if let Some((name, id)) = reference.rsplit_once('.')
        && let Some(index) = Id::parse(id).and_then(|id| view.tasks().find(id))
        && view.tasks().get(index).is_some_and(|row| view.task_name(row).eq_ignore_ascii_case(name))
    {
        return Some(index);
    }
    let (service, slot) = reference.rsplit_once('.')?;
    let service = view.service_named(service)?;
    let slot: u32 = slot.parse().ok().filter(|slot| *slot < u32::MAX)?;
    let tasks: Vec<(TaskIdx, &TaskRow)> = view.tasks_in_slot(service, slot).collect();
    let wanted = tasks.iter().rev().find(|(_, row)| row.is_live());
    wanted.or(tasks.last()).map(|(index, _)| *index)
}

fn whole<P: RowIndex, R: Row>(
    table: &Table<P, R>,
    reference: &str,
    there: impl Fn(&R) -> bool,
) -> Option<P> {
    let index = table.find(Id::parse(reference)?)?;
    table.get(index).filter(|row| there(row)).map(|_| index)
}

/// The one object whose id begins so.
fn begun<P: RowIndex, R: Row>(
    table: &Table<P, R>,
    noun: Noun,
    reference: &str,
    there: impl Fn(&R) -> bool,
    name: impl Fn(&R) -> String,
) -> Result<P, ResolveError> {
    if reference.is_empty() {
        return Err(ResolveError::Empty(noun));
    }
    let mut found = None;
    let (mut matches, mut total) = (Vec::new(), 0);
    if let Some((low, high)) = Id::prefix_range(reference) {
        for (index, row) in table.range(low, high).filter(|(_, row)| there(row)) {
            total += 1;
            found = Some(index);
            if matches.len() < MATCHES_SHOWN_MAX {
                matches.push(format!("{} ({})", name(row), row.id()));
            }
        }
    }
    match (found, total) {
        (Some(index), 1) => Ok(index),
        (None, _) => Err(ResolveError::NotFound { noun, reference: cut(reference), near: None }),
        (Some(_), _) => {
            Err(ResolveError::Ambiguous { noun, reference: cut(reference), matches, total })
        }
    }
}

/// The reference, cut to a length that fits an error message.
fn cut(reference: &str) -> String {
    reference.chars().take(ID_CHARS * 4).collect()
}

impl ResolveError {
    fn with_near<'a, I: Iterator<Item = &'a str>>(mut self, names: impl Fn() -> I) -> ResolveError {
        if let ResolveError::NotFound { reference, near, .. } = &mut self {
            *near = names()
                .take(NAMES_COMPARED_MAX)
                .find(|name| one_slip_apart(name, reference))
                .map(str::to_owned);
        }
        self
    }
}

/// Whether one letter too many, too few, wrong, or changed in place with its neighbour makes one
/// the other.
fn one_slip_apart(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let front = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[front..], &b[front..]);
    let back = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    match (&a[..a.len() - back], &b[..b.len() - back]) {
        ([], [_]) | ([_], []) | ([_], [_]) => front + back > 0,
        ([w, x], [y, z]) => w == z && x == y,
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests;
