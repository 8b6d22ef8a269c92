//! The fields of each kind of row that an audit shows, as paths and texts.
//!
//! Left out are a field that says nothing (zero, false, empty), so that an added object lists only
//! what somebody gave it; what follows from other rows; and the hash of a node's secret.

use crate::{NodeRow, ServiceRow, TaskRow, View};
use serde_json::Value;
use skep_proto::json;
use std::sync::Arc;

/// Path → text.
pub(super) type Fields = Vec<(String, String)>;

pub(super) fn same_cluster(a: &View, b: &View) -> bool {
    let (x, y) = (a.cluster(), b.cluster());
    (x.id, a.level()) == (y.id, b.level()) && same(&x.spec, &y.spec)
}

pub(super) fn cluster(view: &View) -> Option<Fields> {
    if view.cluster().id.is_none() {
        return None;
    }
    let mut fields = Fields::new();
    fields.push(("feature_level".into(), view.level().to_string()));
    flatten(&mut fields, "spec", &json::render(view.cluster().spec.as_ref()));
    Some(fields)
}

pub(super) fn same_node(a: &NodeRow, b: &NodeRow) -> bool {
    (a.state, &a.state_message) == (b.state, &b.state_message)
        && same(&a.spec, &b.spec)
        && same(&a.description, &b.description)
}

pub(super) fn node(row: &NodeRow) -> Fields {
    let mut fields = Fields::new();
    flatten(&mut fields, "spec", &json::render(row.spec.as_ref()));
    flatten(&mut fields, "description", &json::render(row.description.as_ref()));
    fields.push(("status.state".into(), word(row.state.as_str_name(), "NODE_STATE_")));
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
    flatten(&mut fields, "spec", &json::render(row.spec.as_ref()));
    fields.push(("spec_version".into(), row.spec_version.to_string()));
    fields.push(("status.running_tasks".into(), row.running_tasks.to_string()));
    if let Some(rollout) = &row.rollout {
        fields.push(("rollout.state".into(), word(rollout.state.as_str_name(), "ROLLOUT_STATE_")));
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
    fields.push(("slot".into(), row.slot.to_string()));
    fields.push(("spec_version".into(), row.spec_version.to_string()));
    text(&mut fields, "node_name", node_name(view, row));
    fields.push(("desired".into(), word(row.desired.as_str_name(), "TASK_STATE_")));
    fields.push(("status.state".into(), word(row.state.as_str_name(), "TASK_STATE_")));
    if let Some(detail) = &row.detail {
        text(&mut fields, "status.message", &detail.message);
        text(&mut fields, "status.error", &detail.error);
        if let Some(container) = &detail.container {
            flatten(&mut fields, "status.container", &json::render(container));
        }
    }
    if row.start_at.0 != 0 {
        fields.push(("start_at".into(), row.start_at.to_string()));
    }
    fields
}

/// The same spec: the pointer is asked first.
fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn text(fields: &mut Fields, path: &str, text: &str) {
    if !text.is_empty() {
        fields.push((path.into(), text.into()));
    }
}

/// `TASK_STATE_RUNNING` as JSON shows it: `running`.
fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
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
            fields.push((path.into(), value.to_string()))
        }
    }
}
