//! The fields of each kind of row that an audit shows, as paths and texts.
//!
//! Left out are a field that says nothing (zero, false, empty); what follows from other rows; and
//! the hash of a node's secret. A field that has its default is marked, so that an added object
//! lists only what somebody gave it.

use crate::{NodeRow, ServiceRow, TaskRow, View};
use serde_json::Value;
use skep_proto::json::{self, JsonMessage};
use std::{collections::BTreeSet, sync::Arc};

/// One field.
pub(super) struct AuditField {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) origin: FieldOrigin,
}

/// Whether somebody gave a field its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FieldOrigin {
    /// It says something of the object.
    Given,
    /// It is what it is where nobody sets it.
    Default,
}

/// All fields of an object.
pub(super) type Fields = Vec<AuditField>;

pub(super) fn same_cluster(a: &View, b: &View) -> bool {
    let (x, y) = (a.cluster(), b.cluster());
    (x.id, a.level()) == (y.id, b.level()) && same(&x.spec, &y.spec)
}

pub(super) fn cluster(view: &View) -> Option<Fields> {
    if view.cluster().id.is_none() {
        return None;
    }
    let mut fields = Fields::new();
    text(&mut fields, "feature_level", &view.level().to_string());
    message(&mut fields, "spec", view.cluster().spec.as_ref());
    Some(fields)
}

pub(super) fn same_node(a: &NodeRow, b: &NodeRow) -> bool {
    (a.state, &a.state_message) == (b.state, &b.state_message)
        && same(&a.spec, &b.spec)
        && same(&a.description, &b.description)
}

pub(super) fn node(row: &NodeRow) -> Fields {
    let mut fields = Fields::new();
    message(&mut fields, "spec", row.spec.as_ref());
    message(&mut fields, "description", row.description.as_ref());
    text(&mut fields, "status.state", &word(row.state.as_str_name(), "NODE_STATE_"));
    text(&mut fields, "status.message", &row.state_message);
    fields
}

pub(super) fn same_service(a: &ServiceRow, b: &ServiceRow) -> bool {
    (a.spec_version, a.running_tasks, &a.rollout) == (b.spec_version, b.running_tasks, &b.rollout)
        && same(&a.spec, &b.spec)
        && a.blocked == b.blocked
}

pub(super) fn service(row: &ServiceRow) -> Fields {
    let mut fields = Fields::new();
    message(&mut fields, "spec", row.spec.as_ref());
    text(&mut fields, "spec_version", &row.spec_version.to_string());
    text(&mut fields, "status.running_tasks", &row.running_tasks.to_string());
    if let Some(rollout) = &row.rollout {
        let state = word(rollout.state.as_str_name(), "ROLLOUT_STATE_");
        text(&mut fields, "rollout.state", &state);
        text(&mut fields, "rollout.message", &rollout.message);
    }
    if let Some(blocked) = &row.blocked {
        text(&mut fields, "blocked.message", &blocked.message);
    }
    fields
}

fn node_name<'a>(view: &'a View, row: &TaskRow) -> &'a str {
    row.node.and_then(|node| view.nodes().get(node)).map_or("", |node| node.hostname())
}

/// What never changes in a task is not compared, nor are places: other views may have others.
pub(super) fn same_task((_, a): (&View, &TaskRow), (_, b): (&View, &TaskRow)) -> bool {
    let detail = match (&a.detail, &b.detail) {
        (Some(a), Some(b)) => same(a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let compared = |task: &TaskRow| {
        (task.state, task.desired, task.start_at, task.spec_version, task.node.is_some())
    };
    compared(a) == compared(b) && detail
}

pub(super) fn task(view: &View, row: &TaskRow) -> Fields {
    let mut fields = Fields::new();
    text(
        &mut fields,
        "service_name",
        view.services().get(row.service).map_or("", |service| service.name()),
    );
    text(&mut fields, "slot", &row.slot.to_string());
    text(&mut fields, "spec_version", &row.spec_version.to_string());
    text(&mut fields, "node_name", node_name(view, row));
    text(&mut fields, "desired", &word(row.desired.as_str_name(), "TASK_STATE_"));
    text(&mut fields, "status.state", &word(row.state.as_str_name(), "TASK_STATE_"));
    if let Some(detail) = &row.detail {
        text(&mut fields, "status.message", &detail.message);
        text(&mut fields, "status.error", &detail.error);
        if let Some(container) = &detail.container {
            message(&mut fields, "status.container", container);
        }
    }
    if row.start_at.0 != 0 {
        text(&mut fields, "start_at", &row.start_at.to_string());
    }
    fields
}

/// The same spec: the pointer is asked first.
fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn text(fields: &mut Fields, path: &str, text: &str) {
    if !text.is_empty() {
        let (path, text) = (path.into(), text.into());
        fields.push(AuditField { path, text, origin: FieldOrigin::Given });
    }
}

/// `TASK_STATE_RUNNING` as JSON shows it: `running`.
fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

/// The leaves of a message.
fn message<M: JsonMessage>(fields: &mut Fields, path: &str, message: &M) {
    let (mut all, mut given) = (Fields::new(), Fields::new());
    flatten(&mut all, path, &json::render(message));
    flatten(&mut given, path, &json::render_set(message));
    let given: BTreeSet<String> = given.into_iter().map(|field| field.path).collect();
    for field in &mut all {
        if !given.contains(&field.path) {
            field.origin = FieldOrigin::Default;
        }
    }
    fields.append(&mut all);
}

/// The leaves of a value; a list is a leaf.
fn flatten(fields: &mut Fields, path: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, member)| flatten(fields, &format!("{path}.{name}"), member));
        }
        Value::Null | Value::Bool(false) => {}
        Value::String(leaf) => text(fields, path, leaf),
        Value::Array(items) if items.is_empty() => {}
        Value::Number(number) if number.as_f64() == Some(0.0) => {}
        Value::Array(_) | Value::Number(_) | Value::Bool(true) => {
            text(fields, path, &value.to_string());
        }
    }
}
