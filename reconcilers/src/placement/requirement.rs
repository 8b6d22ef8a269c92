//! What one spec asks of a node, taken apart once for all its tasks.
//!
//! Some of it is decided by a node's class and some by the node alone: its id, its name, what it
//! has left. The two are kept apart, since classes are few and nodes are many.

use super::features;
use skep_projections::{NodeIdx, NodeRow, View, classes::ClassKey};
use skep_proto::{
    Id,
    constraint::{Constraint, Key, Operator, same_arch},
    defaults,
    v1::{
        Feature, GenericResource, PlacementFilter, Platform, PublishMode, Resources, RuntimeKind,
        ServiceSpec,
    },
};
use std::sync::Arc;

/// CPU, memory and named things that a task reserves, or that a node has left.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Reservation {
    pub nano_cpus: i64,
    pub memory_bytes: i64,
    pub generic: Vec<(String, i64)>,
}

impl Reservation {
    /// What each task of the spec reserves.
    pub(crate) fn of_spec(spec: &ServiceSpec) -> Reservation {
        let resources = spec.task.as_ref().and_then(|task| task.resources.as_ref());
        Reservation::of(resources.and_then(|resources| resources.reservations.as_ref()))
    }

    /// What a node has when nothing is reserved.
    pub(crate) fn of_node(node: &NodeRow) -> Reservation {
        Reservation::of(node.description.resources.as_ref())
    }

    fn of(resources: Option<&Resources>) -> Reservation {
        let Some(resources) = resources else { return Reservation::default() };
        let count = |generic: &GenericResource| {
            let named = i64::try_from(generic.names.len()).unwrap_or(i64::MAX);
            (generic.kind.clone(), generic.value.saturating_add(named))
        };
        Reservation {
            nano_cpus: resources.nano_cpus,
            memory_bytes: resources.memory_bytes,
            generic: resources.generic.iter().map(count).collect(),
        }
    }

    /// Whether this is enough for that. What is not asked for is not looked at, so a node that is
    /// over-full still takes what reserves nothing.
    pub(crate) fn covers(&self, needs: &Reservation) -> bool {
        let enough = |has: i64, needs: i64| needs == 0 || needs <= has;
        enough(self.nano_cpus, needs.nano_cpus)
            && enough(self.memory_bytes, needs.memory_bytes)
            && needs.generic.iter().all(|(kind, count)| enough(self.count_of(kind), *count))
    }

    /// Less that.
    pub(crate) fn take(&mut self, needs: &Reservation) {
        self.nano_cpus = self.nano_cpus.saturating_sub(needs.nano_cpus);
        self.memory_bytes = self.memory_bytes.saturating_sub(needs.memory_bytes);
        for (kind, count) in &needs.generic {
            for (known, left) in &mut self.generic {
                if known == kind {
                    *left = left.saturating_sub(*count);
                }
            }
        }
    }

    fn count_of(&self, kind: &str) -> i64 {
        self.generic.iter().filter(|(known, _)| known == kind).map(|(_, count)| *count).sum()
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_nothing(&self) -> bool {
        self.nano_cpus == 0 && self.memory_bytes == 0 && self.generic.is_empty()
    }
}

/// Why a node gets no task of a spec.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct NodeRefusal {
    pub filter: PlacementFilter,
    /// Of the filter for features: the first that the node's runtime lacks.
    pub missing: Feature,
    /// Of the filter for features: that runtime.
    pub runtime: RuntimeKind,
    /// Of the filter for constraints: the first that the node does not meet.
    pub constraint: Option<Arc<str>>,
}

impl NodeRefusal {
    fn by_constraint(constraint: &NamedConstraint) -> NodeRefusal {
        let constraint = Some(constraint.text.clone());
        NodeRefusal { constraint, ..NodeRefusal::from(PlacementFilter::Constraints) }
    }
}

impl From<PlacementFilter> for NodeRefusal {
    fn from(filter: PlacementFilter) -> NodeRefusal {
        NodeRefusal {
            filter,
            missing: Feature::Unspecified,
            runtime: RuntimeKind::Docker,
            constraint: None,
        }
    }
}

/// A constraint with its text, which refusals share.
#[derive(Clone, Debug)]
pub(crate) struct NamedConstraint {
    constraint: Constraint,
    text: Arc<str>,
}

impl NamedConstraint {
    fn of(text: &str) -> NamedConstraint {
        let constraint = Constraint::recorded(text);
        NamedConstraint { text: constraint.to_string().into(), constraint }
    }
}

/// What decides whether a class is fit. Specs that agree in it share the order of nodes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct KindNeeds {
    features: Vec<i32>,
    volume_drivers: Vec<String>,
    constraints: Vec<String>,
    platforms: Vec<(String, String)>,
}

/// All that a spec asks of a node.
#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    /// What its class decides.
    pub kind: KindNeeds,
    of_class: Vec<NamedConstraint>,
    /// About the node's id, host name or address.
    pub of_node: Vec<NamedConstraint>,
    /// What a task reserves.
    pub reservation: Reservation,
    /// Ports of the node itself, as (protocol, port).
    pub ports: Vec<(i32, u32)>,
    /// 0 is without limit.
    pub max_replicas: u64,
}

impl Requirement {
    pub(crate) fn of(spec: &ServiceSpec) -> Requirement {
        let placement = spec.task.as_ref().and_then(|task| task.placement.as_ref());
        let texts = placement.map_or(&[][..], |placement| &placement.constraints);
        let (of_node, of_class): (Vec<_>, Vec<_>) =
            texts.iter().map(|text| NamedConstraint::of(text)).partition(is_about_one_node);
        let platforms = placement.map_or(&[][..], |placement| &placement.platforms);
        let platform =
            |p: &Platform| (p.os.to_ascii_lowercase(), p.architecture.to_ascii_lowercase());
        let class_texts = of_class.iter().map(|named| {
            let Constraint { key, operator, value } = &named.constraint;
            format!("{key:?} {operator:?} {value}")
        });
        Requirement {
            kind: KindNeeds {
                features: features::needed(spec)
                    .into_iter()
                    .map(|feature| feature as i32)
                    .collect(),
                volume_drivers: volume_drivers(spec),
                constraints: class_texts.collect(),
                platforms: platforms.iter().map(platform).collect(),
            },
            of_class,
            of_node,
            reservation: Reservation::of_spec(spec),
            ports: host_ports(spec),
            max_replicas: placement.map_or(0, |placement| placement.max_replicas_per_node),
        }
    }

    /// The first filter that refuses every node of the class.
    pub(crate) fn refuses_class(&self, class: &ClassKey) -> Option<NodeRefusal> {
        let subject = class.subject();
        let fits = |(os, arch): &(String, String)| {
            (os.is_empty() || os.eq_ignore_ascii_case(&class.machine.os))
                && (arch.is_empty() || same_arch(arch, &class.machine.arch))
        };
        let is_missing = |feature: &&i32| class.machine.features.binary_search(feature).is_err();
        if let Some(missing) = self.kind.features.iter().find(is_missing) {
            let missing = Feature::try_from(*missing).unwrap_or_default();
            let runtime = RuntimeKind::try_from(class.machine.runtime).unwrap_or_default();
            let refusal = NodeRefusal::from(PlacementFilter::Features);
            return Some(NodeRefusal { missing, runtime, ..refusal });
        }
        let has_driver = |driver: &String| class.machine.has_plugin("Volume", driver);
        if !self.kind.volume_drivers.iter().all(has_driver) {
            return Some(PlacementFilter::VolumeDriver.into());
        }
        if let Some(unmet) = self.of_class.iter().find(|c| !c.constraint.admits(&subject)) {
            return Some(NodeRefusal::by_constraint(unmet));
        }
        let is_other = !self.kind.platforms.is_empty() && !self.kind.platforms.iter().any(fits);
        is_other.then(|| PlacementFilter::Platform.into())
    }

    /// The first constraint about the node itself that it does not meet.
    pub(crate) fn refuses_node(&self, node: &NodeRow, class: &ClassKey) -> Option<NodeRefusal> {
        let id = if self.of_node.is_empty() { String::new() } else { node.id.to_string() };
        let subject = node.subject(&id, class);
        let unmet = self.of_node.iter().find(|named| !named.constraint.admits(&subject));
        unmet.map(NodeRefusal::by_constraint)
    }

    /// The only nodes that can be meant, where a constraint names one, and how all others are
    /// refused.
    pub(crate) fn named_nodes(&self, view: &View) -> Option<(Vec<NodeIdx>, NodeRefusal)> {
        let equal = self.of_node.iter().filter(|c| c.constraint.operator == Operator::Equal);
        equal.into_iter().find_map(|named| {
            let constraint = &named.constraint;
            let nodes: Option<Vec<NodeIdx>> = match &constraint.key {
                Key::NodeId => {
                    let id = Id::parse(&constraint.value.to_ascii_lowercase());
                    Some(id.and_then(|id| view.nodes().find(id)).into_iter().collect())
                }
                Key::Hostname => Some(view.nodes_named(&constraint.value).collect()),
                Key::Ip
                | Key::Role
                | Key::Os
                | Key::Arch
                | Key::NodeLabel(_)
                | Key::EngineLabel(_)
                | Key::Unknown(_) => None,
            };
            Some((nodes?, NodeRefusal::by_constraint(named)))
        })
    }

    /// Whether each node has to be looked at by itself.
    pub(crate) fn looks_at_nodes(&self) -> bool {
        !self.of_node.is_empty()
            || !self.reservation.is_nothing()
            || !self.ports.is_empty()
            || self.max_replicas > 0
    }
}

fn is_about_one_node(named: &NamedConstraint) -> bool {
    match named.constraint.key {
        Key::NodeId | Key::Hostname | Key::Ip => true,
        Key::Role
        | Key::Os
        | Key::Arch
        | Key::NodeLabel(_)
        | Key::EngineLabel(_)
        | Key::Unknown(_) => false,
    }
}

/// Drivers of volumes that not every engine has, sorted.
fn volume_drivers(spec: &ServiceSpec) -> Vec<String> {
    let container = spec.task.as_ref().and_then(defaults::container);
    let mounts = container.map_or(&[][..], |container| &container.mounts);
    let named = mounts.iter().filter_map(|mount| mount.volume.as_ref()).map(|v| v.driver.as_str());
    let mut drivers: Vec<String> = named
        .filter(|driver| !driver.is_empty() && *driver != defaults::VOLUME_DRIVER)
        .map(str::to_owned)
        .collect();
    drivers.sort_unstable();
    drivers.dedup();
    drivers
}

fn host_ports(spec: &ServiceSpec) -> Vec<(i32, u32)> {
    let ports = spec.endpoint.iter().flat_map(|endpoint| &endpoint.ports);
    let fixed =
        ports.filter(|port| port.publish_mode() == PublishMode::Host && port.published_port != 0);
    fixed.map(|port| (port.protocol, port.published_port)).collect()
}
