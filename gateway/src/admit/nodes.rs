//! Commands about nodes: labels, availability, role, removal.

use super::{
    Admitted, Refusal,
    refusal::excerpt,
    spec::{LABELS_MAX, label},
};
use crate::resolve;
use skep_projections::{NodeIdx, NodeRow, View, node::PortAddresses};
use skep_proto::{
    Id, REMOVAL_LEVEL,
    v1::{
        Annotations, NodeAvailability, NodeRemoved, NodeRole, NodeSpec, NodeState, NodeUpdated,
        OpenPort, PortOpened, RemoveNode, UpdateNode, event::Kind,
    },
};
use std::{collections::BTreeMap, net::SocketAddr};

pub(super) fn update(view: &View, command: &UpdateNode) -> Result<Admitted, Refusal> {
    let row = find(view, &command.node)?;
    if command.version != 0 && command.version != row.version.0 {
        let what = format!("node {}", row.hostname());
        return Err(Refusal::overtaken(&what, command.version, row.version, &row.changed_by));
    }
    let spec = changed(row, command)?;
    let mut warnings = absent_labels(row, command);
    if spec.desired_role != row.spec.desired_role {
        warnings.extend(super::roles::change(view, row, spec.desired_role())?);
    }
    if is_alike(&spec, &row.spec) {
        return Ok(Admitted { warnings, ..Admitted::unchanged(row.id) });
    }
    Ok(Admitted { warnings, ..Admitted::one(row.id, Kind::NodeUpdated(updated(row, spec))) })
}

pub(super) fn open_port(view: &View, command: &OpenPort) -> Result<Admitted, Refusal> {
    let row = super::node_rules::known(view, Id::from_bytes(&command.node_id))?;
    if view.level() < REMOVAL_LEVEL {
        let message =
            "a manager of this cluster is older and can't read the record of an open port";
        return Err(Refusal::precondition(message).hint("upgrade every manager first"));
    }
    if row.spec.desired_role() != NodeRole::Manager {
        return Err(Refusal::precondition(format!("node {} is no manager", row.hostname())));
    }
    let port = PortAddresses {
        listen: command.listen_address.clone(),
        advertise: command.advertise_address.clone(),
    };
    for text in [&port.listen, &port.advertise] {
        if text.parse::<SocketAddr>().is_err() {
            let message = format!("{:?} is not an address", excerpt(text, 80));
            return Err(Refusal::invalid(message).hint("write IP:PORT"));
        }
    }
    if row.port.as_deref() == Some(&port) {
        return Ok(Admitted::unchanged(row.id));
    }
    let opened = PortOpened {
        node_id: row.id.to_bytes(),
        listen_address: port.listen,
        advertise_address: port.advertise,
    };
    Ok(Admitted::one(row.id, Kind::PortOpened(opened)))
}

/// Characters of a replaced label's value that the record repeats: as many as a line shows, and a
/// few more.
const REPLACED_VALUE_CHARS_MAX: usize = 32;

/// The record says what is now, and of what was before only what differs.
fn updated(row: &NodeRow, spec: NodeSpec) -> NodeUpdated {
    let (was, is) = (some_labels(&row.spec), some_labels(&spec));
    let mut replaced = Annotations::default();
    for (key, value) in was.into_iter().flatten() {
        if is.and_then(|is| is.get(key)) != Some(value) {
            replaced.labels.insert(key.clone(), beginning(value).to_owned());
        }
    }
    let is_new = |key: &&String| was.is_none_or(|was| !was.contains_key(*key));
    let added_labels =
        is.into_iter().flatten().map(|(key, _)| key).filter(is_new).cloned().collect();
    let before = NodeSpec {
        annotations: Some(replaced).filter(|replaced| !replaced.labels.is_empty()),
        availability: row.spec.availability,
        desired_role: row.spec.desired_role,
        ..NodeSpec::default()
    };
    NodeUpdated { node_id: row.id.to_bytes(), spec: Some(spec), before: Some(before), added_labels }
}

/// As much of a replaced value as the record repeats. Most values need not be decoded for it.
fn beginning(value: &str) -> &str {
    let plain = value.get(..REPLACED_VALUE_CHARS_MAX).filter(|plain| plain.is_ascii());
    plain.unwrap_or_else(|| {
        let cut = value.char_indices().nth(REPLACED_VALUE_CHARS_MAX);
        &value[..cut.map_or(value.len(), |(at, _)| at)]
    })
}

/// Whether two specs are alike in all that an update can change: cheaper than comparing them whole.
fn is_alike(one: &NodeSpec, other: &NodeSpec) -> bool {
    one.availability == other.availability
        && one.desired_role == other.desired_role
        && some_labels(one) == some_labels(other)
}

fn some_labels(spec: &NodeSpec) -> Option<&BTreeMap<String, String>> {
    spec.annotations.as_ref().map(|known| &known.labels).filter(|labels| !labels.is_empty())
}

/// The labels that stay, or are named to be removed. What is only replaced is not copied first.
fn kept_labels(spec: &NodeSpec, command: &UpdateNode) -> BTreeMap<String, String> {
    let is_replaced =
        |key: &String| command.label_add.contains_key(key) && !command.label_rm.contains(key);
    let known = some_labels(spec).into_iter().flatten();
    let kept = known.filter(|(key, _)| !is_replaced(key));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A node that has no annotations and gets no label is as it was.
fn with_labels(spec: &NodeSpec, labels: BTreeMap<String, String>) -> NodeSpec {
    let known = spec.annotations.as_ref();
    let annotations = (known.is_some() || !labels.is_empty()).then(|| Annotations {
        name: known.map(|known| known.name.clone()).unwrap_or_default(),
        labels,
    });
    let NodeSpec { annotations: _, desired_role, membership, availability } = *spec;
    NodeSpec { annotations, desired_role, membership, availability }
}

/// Says which labels are to be taken away and are not there, which is no error.
fn absent_labels(row: &NodeRow, command: &UpdateNode) -> Vec<String> {
    let labels = some_labels(&row.spec);
    let is_absent = |key: &&String| labels.is_none_or(|labels| !labels.contains_key(*key));
    let absent = command.label_rm.iter().filter(is_absent).take(LABELS_MAX);
    absent.map(|key| format!("node {} has no label {key:?}", row.hostname())).collect()
}

fn changed(row: &NodeRow, command: &UpdateNode) -> Result<NodeSpec, Refusal> {
    let mut labels = kept_labels(&row.spec, command);
    command.label_rm.iter().for_each(|key| drop(labels.remove(key)));
    for (key, value) in &command.label_add {
        label(key, value)?;
        labels.insert(key.clone(), value.clone());
    }
    if labels.len() > LABELS_MAX {
        return Err(Refusal::invalid(format!("a node may have {LABELS_MAX} labels at most")));
    }
    let mut spec = with_labels(&row.spec, labels);
    if let Some(wanted) = command.availability {
        let known = NodeAvailability::try_from(wanted).map_err(|_| {
            Refusal::invalid(format!("availability {wanted} is unknown"))
                .hint("active, pause or drain")
        })?;
        spec.availability = known as i32;
    }
    if let Some(wanted) = command.role {
        let known = NodeRole::try_from(wanted).map_err(|_| {
            Refusal::invalid(format!("role {wanted} is unknown")).hint("worker or manager")
        })?;
        spec.desired_role = known as i32;
    }
    Ok(spec)
}

pub(super) fn remove(view: &View, command: &RemoveNode) -> Result<Admitted, Refusal> {
    let row = find(view, &command.node)?;
    super::roles::remove(view, row)?;
    if row.state == NodeState::Ready && !command.force {
        return Err(Refusal::precondition(format!(
            "node {} is ready: its agent is connected",
            row.hostname()
        ))
        .hint(
            "stop its agent first, or use --force; its tasks are given up and replaced elsewhere",
        ));
    }
    let removed = NodeRemoved { node_id: row.id.to_bytes(), force: command.force };
    Ok(Admitted::one(row.id, Kind::NodeRemoved(removed)))
}

fn find<'a>(view: &'a View, reference: &str) -> Result<&'a NodeRow, Refusal> {
    let index: NodeIdx = resolve::node(view, reference)?;
    view.nodes().get(index).ok_or_else(|| Refusal::not_found(format!("no node {reference:?}")))
}
