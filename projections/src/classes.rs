//! Kinds of nodes: those that no constraint on labels, role, platform or features can tell apart.
//!
//! A cluster of 100,000 machines has a handful of kinds. Placement decides once per class whether a
//! spec fits it, and then looks at no node that does not; how many nodes each filter refused
//! follows from the counts kept here. Constraints on a node's id, host name or address are about
//! single nodes and are looked up by those.

use crate::{count::CountChange, node::NodeRow, slab::Slab};
use skep_proto::{
    constraint::Subject,
    v1::{NodeDescription, NodeRole, NodeSpec},
};
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

/// The class of a node that counts for nothing, because it has been removed.
pub const NO_CLASS: u32 = u32::MAX;

/// All that the nodes of a class have in common. What is compared is the role, the labels and the
/// machine; they are shared with the nodes, since a node that is given a label would otherwise be
/// copied for it.
#[derive(Clone, Debug)]
pub struct ClassKey {
    /// Role and labels, as people want them.
    wanted: Arc<NodeSpec>,
    /// What the machine said of itself.
    pub machine: Arc<Machine>,
}

/// What an agent said of its machine, as far as tasks may ask for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Machine {
    /// Which runtime it has.
    pub runtime: i32,
    /// Operating system.
    pub os: String,
    /// Processor architecture, as the agent said it.
    pub arch: String,
    /// What the runtime can honour, sorted.
    pub features: Vec<i32>,
    /// Engine plugins as (type, name), sorted.
    pub plugins: Vec<(String, String)>,
    /// Labels given by the engine.
    pub engine_labels: BTreeMap<String, String>,
}

impl Machine {
    fn of(said: &NodeDescription) -> Machine {
        let platform = said.platform.clone().unwrap_or_default();
        let engine = said.engine.clone().unwrap_or_default();
        let mut features = said.features.clone();
        features.sort_unstable();
        features.dedup();
        let mut plugins: Vec<_> = engine.plugins.into_iter().map(|p| (p.r#type, p.name)).collect();
        plugins.sort_unstable();
        plugins.dedup();
        Machine {
            runtime: said.runtime,
            os: platform.os,
            arch: platform.architecture,
            features,
            plugins,
            engine_labels: engine.labels,
        }
    }
}

impl Machine {
    /// Whether its engine has a plugin of this type and name; the tag "latest" need not be named.
    pub fn has_plugin(&self, of_type: &str, name: &str) -> bool {
        let latest = format!("{name}:latest");
        self.plugins
            .iter()
            .any(|(kind, known)| kind == of_type && (known == name || *known == latest))
    }
}

impl ClassKey {
    /// What a node has in common with those of its class.
    pub fn of(node: &NodeRow) -> ClassKey {
        ClassKey { wanted: node.spec.clone(), machine: Arc::new(Machine::of(&node.description)) }
    }

    /// Worker or manager, as wanted.
    pub fn role(&self) -> NodeRole {
        NodeRole::try_from(self.wanted.desired_role).unwrap_or(NodeRole::Worker)
    }

    /// Labels given by people.
    pub fn node_labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.wanted.annotations.as_ref().map_or(&NONE, |annotations| &annotations.labels)
    }

    /// What constraints may ask of any node of the class; id, host name and address are empty.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            id: "",
            hostname: "",
            addr: "",
            role: role_word(self.role()),
            os: &self.machine.os,
            arch: &self.machine.arch,
            node_labels: self.node_labels(),
            engine_labels: &self.machine.engine_labels,
        }
    }
}

impl Ord for ClassKey {
    fn cmp(&self, other: &ClassKey) -> Ordering {
        let of = |key: &ClassKey| key.wanted.desired_role;
        let labels = || self.node_labels().cmp(other.node_labels());
        // A node that changes compares its own machine with itself.
        let machine = || match Arc::ptr_eq(&self.machine, &other.machine) {
            true => Ordering::Equal,
            false => self.machine.cmp(&other.machine),
        };
        of(self).cmp(&of(other)).then_with(machine).then_with(labels)
    }
}

impl PartialOrd for ClassKey {
    fn partial_cmp(&self, other: &ClassKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ClassKey {
    fn eq(&self, other: &ClassKey) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ClassKey {}

/// The word of a role, as constraints say it.
pub fn role_word(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Worker => "worker",
        NodeRole::Manager => "manager",
    }
}

/// Whether the description that a node gives of itself has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DescriptionChange {
    /// No: only what people want of the node changed.
    Unchanged,
    /// It has.
    Changed,
}

/// One class and how many nodes it has.
#[derive(Clone, Debug)]
pub struct Class {
    /// What its nodes have in common.
    pub key: ClassKey,
    /// Its nodes, removed ones not counted.
    pub nodes: u32,
    /// Those of them that new tasks may be placed on.
    pub placeable: u32,
}

/// All classes that have nodes. A class that has none left gives its number to the next new one.
#[derive(Clone, Default)]
pub(crate) struct Classes {
    rows: Slab<Class>,
    by_key: imbl::OrdMap<ClassKey, u32>,
    free: imbl::Vector<u32>,
    given: u32,
    nodes: u32,
    placeable: u32,
}

impl Classes {
    /// One node more of this kind.
    pub(crate) fn enter(&mut self, key: ClassKey) -> u32 {
        self.nodes += 1;
        if let Some(class) = self.by_key.get(&key).copied() {
            self.rows.get_mut(class).expect("a class that is indexed has a row").nodes += 1;
            return class;
        }
        let class = self.free.pop_back().unwrap_or(self.given);
        self.given = self.given.max(class + 1);
        self.put(class, key);
        class
    }

    /// The class of a node of this class that has become something else. One that was and stays
    /// alone in its kind takes its class along, and nothing that is ordered by class moves; any
    /// other has entered the class that is answered, and has still to leave the one it was in.
    pub(crate) fn change(
        &mut self,
        class: u32,
        node: &NodeRow,
        description: DescriptionChange,
    ) -> u32 {
        let machine = self
            .rows
            .get(class)
            .filter(|_| description == DescriptionChange::Unchanged)
            .map(|row| row.key.machine.clone());
        let machine = machine.unwrap_or_else(|| Arc::new(Machine::of(&node.description)));
        let key = ClassKey { wanted: node.spec.clone(), machine };
        match self.rows.get_mut(class) {
            Some(row) if row.key == key => class,
            Some(row) if row.nodes == 1 => match self.by_key.insert(key.clone(), class) {
                None => {
                    let before = std::mem::replace(&mut row.key, key);
                    self.by_key.remove(&before);
                    class
                }
                Some(of_others) => {
                    self.by_key.insert(key.clone(), of_others);
                    self.enter(key)
                }
            },
            // Entered before the old one is left, so that no number is given twice.
            Some(_) | None => self.enter(key),
        }
    }

    fn put(&mut self, class: u32, key: ClassKey) {
        self.by_key.insert(key.clone(), class);
        self.rows.set(class, Class { key, nodes: 1, placeable: 0 });
    }

    /// One node less of it; it is not placeable any more.
    pub(crate) fn leave(&mut self, class: u32) {
        let Some(row) = self.rows.get_mut(class) else { return };
        row.nodes -= 1;
        self.nodes -= 1;
        if row.nodes == 0 {
            let key = row.key.clone();
            self.by_key.remove(&key);
            self.rows.take(class);
            self.free.push_back(class);
        }
    }

    /// A node of the class has become placeable, or is so no more.
    pub(crate) fn count_placeable(&mut self, class: u32, change: CountChange) {
        let Some(row) = self.rows.get_mut(class) else { return };
        row.placeable = change.of(row.placeable);
        self.placeable = change.of(self.placeable);
    }

    /// All classes that have nodes, in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Class)> {
        self.by_key.values().filter_map(|class| Some((*class, self.rows.get(*class)?)))
    }

    /// One class.
    pub(crate) fn get(&self, class: u32) -> Option<&Class> {
        self.rows.get(class)
    }

    pub(crate) fn totals(&self) -> (u32, u32) {
        (self.nodes, self.placeable)
    }

    /// Free numbers, the next to be given last.
    pub(crate) fn free_numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.free.iter().copied()
    }

    /// As a snapshot holds them: numbers are kept, so that new classes get the same ones
    /// everywhere.
    pub(crate) fn restore(
        members: impl Iterator<Item = (u32, ClassKey)>,
        free: Vec<u32>,
    ) -> Option<Classes> {
        let mut classes = Classes::default();
        for (class, key) in members {
            classes.nodes += 1;
            classes.given = classes.given.max(class.checked_add(1)?);
            match classes.by_key.get(&key).copied() {
                Some(known) if known == class => classes.rows.get_mut(class)?.nodes += 1,
                Some(_) => return None,
                None if classes.rows.get(class).is_some() => return None,
                None => classes.put(class, key),
            }
        }
        for class in &free {
            classes.given = classes.given.max(class.checked_add(1)?);
            classes.rows.get(*class).is_none().then_some(())?;
        }
        classes.free = free.into_iter().collect();
        Some(classes)
    }
}

impl NodeRow {
    /// What constraints may ask of it; `id` is the text of its id, made once by the caller.
    pub fn subject<'a>(&'a self, id: &'a str, class: &'a ClassKey) -> Subject<'a> {
        Subject { id, hostname: self.hostname(), addr: &self.description.addr, ..class.subject() }
    }
}
