//! Docker's filters: values of one key are alternatives, except that all labels must be there; keys
//! must all hold. PURE.
//!
//! A key that is not known, and a value that could never match, are refused with what is valid,
//! rather than answered by an empty list.

use crate::{admit::Refusal, resolve};
use skep_projections::{NodeIdx, NodeRow, ServiceIdx, ServiceRow, TaskRow, View};
use skep_proto::v1::{Filter, NodeMembership, NodeRole, TaskState, service_mode::Mode};
use std::collections::BTreeMap;

/// Most values of all filters of one list; more are refused, since each is compared with every row.
const FILTER_VALUES_MAX: usize = 1_024;

type LabelMap<'a> = Option<&'a BTreeMap<String, String>>;

const NODE_KEYS: [&str; 6] = ["id", "label", "membership", "name", "node.label", "role"];
const SERVICE_KEYS: [&str; 4] = ["id", "label", "mode", "name"];
const TASK_KEYS: [&str; 5] = ["desired-state", "id", "name", "node", "service"];
const MODES: [&str; 4] = ["replicated", "global", "replicated-job", "global-job"];

/// Which nodes are asked for.
pub struct NodeFilter<'a>(BTreeMap<&'a str, Vec<&'a str>>);

/// Which services are asked for.
pub struct ServiceFilter<'a>(BTreeMap<&'a str, Vec<&'a str>>);

/// Which tasks are asked for.
pub struct TaskFilter<'a> {
    keys: BTreeMap<&'a str, Vec<&'a str>>,
    services: Option<Vec<ServiceIdx>>,
    nodes: Option<Vec<NodeIdx>>,
    states: Option<Vec<TaskState>>,
}

impl<'a> NodeFilter<'a> {
    /// Reads the filters of a node list.
    pub fn parse(filters: &'a [Filter]) -> Result<NodeFilter<'a>, Refusal> {
        let keys = gather(filters, "node", &NODE_KEYS)?;
        one_of(&keys, "membership", &["accepted", "pending"])?;
        one_of(&keys, "role", &["worker", "manager"])?;
        Ok(NodeFilter(keys))
    }

    /// Whether the node is asked for.
    pub fn matches(&self, row: &NodeRow) -> bool {
        self.0.iter().all(|(key, values)| match *key {
            "id" => begins(&row.id.to_string(), values),
            "name" => begins(row.hostname(), values),
            "label" => {
                labelled(row.description.engine.as_ref().map(|engine| &engine.labels), values)
            }
            "node.label" => labelled(row.spec.annotations.as_ref().map(|a| &a.labels), values),
            "membership" => is_one_of(membership_word(row.spec.membership()), values),
            _role => is_one_of(role_word(row.spec.desired_role()), values),
        })
    }
}

impl<'a> ServiceFilter<'a> {
    /// Reads the filters of a service list.
    pub fn parse(filters: &'a [Filter]) -> Result<ServiceFilter<'a>, Refusal> {
        let keys = gather(filters, "service", &SERVICE_KEYS)?;
        one_of(&keys, "mode", &MODES)?;
        Ok(ServiceFilter(keys))
    }

    /// Whether the service is asked for.
    pub fn matches(&self, row: &ServiceRow) -> bool {
        self.0.iter().all(|(key, values)| match *key {
            "id" => begins(&row.id.to_string(), values),
            "name" => begins(row.name(), values),
            "label" => labelled(row.spec.annotations.as_ref().map(|a| &a.labels), values),
            _mode => is_one_of(mode_word(row), values),
        })
    }
}

impl<'a> TaskFilter<'a> {
    /// Reads the filters of a task list; services and nodes must exist in the view.
    pub fn parse(view: &View, filters: &'a [Filter]) -> Result<TaskFilter<'a>, Refusal> {
        let mut keys = gather(filters, "task", &TASK_KEYS)?;
        let states =
            keys.remove("desired-state").map(|values| values.into_iter().map(desired).collect());
        let services =
            keys.remove("service").map(|values| all(values, |v| resolve::service(view, v)));
        let nodes = keys.remove("node").map(|values| all(values, |v| resolve::node(view, v)));
        Ok(TaskFilter {
            keys,
            services: services.transpose()?,
            nodes: nodes.transpose()?,
            states: states.transpose()?,
        })
    }

    /// The only services whose tasks can match, where that is known.
    pub fn services(&self) -> Option<&[ServiceIdx]> {
        self.services.as_deref()
    }

    /// The only nodes whose tasks can match, where that is known.
    pub fn nodes(&self) -> Option<&[NodeIdx]> {
        self.nodes.as_deref()
    }

    /// Whether the task is asked for.
    pub fn matches(&self, view: &View, row: &TaskRow) -> bool {
        self.states.as_ref().is_none_or(|states| states.contains(&row.desired))
            && self.services.as_ref().is_none_or(|services| services.contains(&row.service))
            && self
                .nodes
                .as_ref()
                .is_none_or(|nodes| row.node.is_some_and(|node| nodes.contains(&node)))
            && self.keys.iter().all(|(key, values)| match *key {
                "id" => begins(&row.id.to_string(), values),
                _name => begins(&format!("{}.{}", view.task_name(row), row.id), values),
            })
    }
}

fn all<P, E: Into<Refusal>>(
    values: Vec<&str>,
    find: impl Fn(&str) -> Result<P, E>,
) -> Result<Vec<P>, Refusal> {
    values.into_iter().map(|value| find(value).map_err(Into::into)).collect()
}

fn gather<'a>(
    filters: &'a [Filter],
    noun: &str,
    valid: &[&str],
) -> Result<BTreeMap<&'a str, Vec<&'a str>>, Refusal> {
    let values: usize = filters.iter().map(|filter| filter.values.len()).sum();
    if values.max(filters.len()) > FILTER_VALUES_MAX {
        return Err(Refusal::invalid(format!(
            "{values} filter values are too many: {FILTER_VALUES_MAX} are possible"
        )));
    }
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for filter in filters {
        if !valid.contains(&filter.key.as_str()) {
            return Err(Refusal::invalid(format!(
                "{noun}s cannot be filtered by {:?}",
                filter.key
            ))
            .hint(format!("the filters of {noun}s are {}", valid.join(", "))));
        }
        keys.entry(&filter.key).or_default().extend(filter.values.iter().map(String::as_str));
    }
    Ok(keys)
}

fn one_of(keys: &BTreeMap<&str, Vec<&str>>, key: &str, valid: &[&str]) -> Result<(), Refusal> {
    let bad = keys.get(key).and_then(|values| values.iter().find(|value| !valid.contains(value)));
    match bad {
        None => Ok(()),
        Some(bad) => Err(Refusal::invalid(format!("{bad:?} is not a valid {key}"))
            .hint(format!("write {key}= and one of {}", valid.join(", ")))),
    }
}

fn desired(word: &str) -> Result<TaskState, Refusal> {
    match word {
        "ready" => Ok(TaskState::Ready),
        "accepted" => Ok(TaskState::Accepted),
        "running" => Ok(TaskState::Running),
        "complete" => Ok(TaskState::Complete),
        "shutdown" => Ok(TaskState::Shutdown),
        "remove" => Ok(TaskState::Remove),
        other => Err(Refusal::invalid(format!("{other:?} is not a valid desired-state"))
            .hint("write desired-state= and one of ready, running, complete, shutdown, remove")),
    }
}

fn begins(text: &str, values: &[&str]) -> bool {
    let text = text.to_lowercase();
    values.iter().any(|value| text.starts_with(&value.to_lowercase()))
}

/// Whether all of the labels are there, as Docker has it: `--filter label=a --filter label=b` asks
/// for what has both.
fn labelled(labels: LabelMap<'_>, values: &[&str]) -> bool {
    values.iter().all(|value| {
        let (key, wanted) =
            value.split_once('=').map_or((*value, None), |(key, wanted)| (key, Some(wanted)));
        let found = labels.and_then(|labels| labels.get(key));
        found.is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
    })
}

fn is_one_of(word: &str, values: &[&str]) -> bool {
    values.contains(&word)
}

fn membership_word(membership: NodeMembership) -> &'static str {
    match membership {
        NodeMembership::Accepted => "accepted",
        NodeMembership::Pending => "pending",
    }
}

fn role_word(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Worker => "worker",
        NodeRole::Manager => "manager",
    }
}

fn mode_word(row: &ServiceRow) -> &'static str {
    match row.spec.mode.as_ref().and_then(|mode| mode.mode.as_ref()) {
        Some(Mode::Replicated(_)) | None => "replicated",
        Some(Mode::Global(_)) => "global",
        Some(Mode::ReplicatedJob(_)) => "replicated-job",
        Some(Mode::GlobalJob(_)) => "global-job",
    }
}
