//! The nodes as one plan sees them: the view, and on top of it what the plan itself has placed
//! already.
//!
//! Nodes are handed out in the order of their load. Specs that ask the same of a node's kind share
//! one such order, merged from those of the fit classes; what it holds may be outdated, since
//! another order may have handed out the same node, so each node is checked against its present
//! load when its turn comes and put back if it has grown. Loads only grow within a plan, so nothing
//! is ever missed.

use super::requirement::{KindNeeds, NodeRefusal, Requirement, Reservation};
use skep_projections::{NodeIdx, NodeRow, View};
use skep_proto::v1::PlacementFilter;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// Where an entry of an order came from, when not from a class: its place has been taken from there
/// already.
const PUT_BACK: usize = usize::MAX;

/// What the plan has placed on a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed {
    /// Live tasks, those of the view included.
    pub load: u32,
    reserved: Reservation,
    ports: Vec<(i32, u32)>,
}

/// An order of nodes, least loaded first.
pub(crate) struct Order<'a> {
    heap: BinaryHeap<Reverse<(u32, NodeIdx, usize)>>,
    classes: Vec<Box<dyn Iterator<Item = (u32, NodeIdx)> + 'a>>,
    /// Placeable nodes in it.
    pub nodes: u32,
    /// How many nodes each filter kept out of it.
    pub refused: BTreeMap<NodeRefusal, u32>,
}

/// The nodes as placement sees them within one turn.
pub(crate) struct NodePool<'a> {
    pub view: &'a View,
    placed: BTreeMap<NodeIdx, Placed>,
    orders: Vec<Order<'a>>,
    by_kind: BTreeMap<KindNeeds, usize>,
}

impl<'a> NodePool<'a> {
    pub(crate) fn new(view: &'a View) -> NodePool<'a> {
        NodePool { view, placed: BTreeMap::new(), orders: Vec::new(), by_kind: BTreeMap::new() }
    }

    /// The order of the nodes that a spec's needs leave; only among some, where those alone can be
    /// new to it.
    pub(crate) fn order_for(&mut self, needs: &Requirement, among: Option<&[NodeIdx]>) -> usize {
        if let Some(nodes) = among {
            let elsewhere = PlacementFilter::Constraints.into();
            self.orders.push(self.order_of_nodes(needs, nodes, elsewhere));
        } else if let Some((nodes, elsewhere)) = needs.named_nodes(self.view) {
            self.orders.push(self.order_of_nodes(needs, &nodes, elsewhere));
        } else if let Some(known) = self.by_kind.get(&needs.kind) {
            return *known;
        } else {
            self.orders.push(self.order_of_classes(needs));
            self.by_kind.insert(needs.kind.clone(), self.orders.len() - 1);
        }
        self.orders.len() - 1
    }

    pub(crate) fn order(&self, which: usize) -> &Order<'a> {
        &self.orders[which]
    }

    fn order_of_classes(&self, needs: &Requirement) -> Order<'a> {
        let mut order = Order::new(self.view);
        for (class, row) in self.view.classes().filter(|(_, row)| row.placeable > 0) {
            match needs.refuses_class(&row.key) {
                Some(refusal) => order.refuse(refusal, row.placeable),
                None => {
                    order.nodes += row.placeable;
                    order.classes.push(Box::new(self.view.placeable_in(class)));
                    order.advance(order.classes.len() - 1);
                }
            }
        }
        order
    }

    /// Only these nodes; all others are refused `elsewhere`.
    fn order_of_nodes(
        &self,
        needs: &Requirement,
        nodes: &[NodeIdx],
        elsewhere: NodeRefusal,
    ) -> Order<'a> {
        let mut order = Order::new(self.view);
        let (_, placeable) = self.view.node_counts();
        let mut fit = 0;
        for index in nodes {
            let Some(node) = self.view.nodes().get(*index).filter(|node| node.is_placeable())
            else {
                continue;
            };
            let Some(class) = self.view.class(node.class) else { continue };
            match needs.refuses_class(&class.key) {
                Some(refusal) => order.refuse(refusal, 1),
                None => {
                    fit += 1;
                    order.heap.push(Reverse((
                        self.load(*index, node.live_tasks),
                        *index,
                        PUT_BACK,
                    )));
                }
            }
        }
        order.nodes = fit;
        let others = placeable.saturating_sub(fit + order.refused_by_kind());
        order.refuse(elsewhere, others);
        order
    }

    /// Takes the least loaded node out of an order; [`NodePool::put_back`] must follow once the
    /// caller is done with it.
    pub(crate) fn next(&mut self, which: usize) -> Option<(u32, NodeIdx)> {
        let order = &mut self.orders[which];
        loop {
            let Reverse((load, node, class)) = order.heap.pop()?;
            if class != PUT_BACK {
                order.advance(class);
            }
            match self.placed.get(&node) {
                Some(placed) if placed.load > load => {
                    order.heap.push(Reverse((placed.load, node, PUT_BACK)))
                }
                Some(_) | None => return Some((load, node)),
            }
        }
    }

    /// Puts a node back with its load as it is now.
    pub(crate) fn put_back(&mut self, which: usize, node: NodeIdx, load: u32) {
        let load = self.load(node, load);
        self.orders[which].heap.push(Reverse((load, node, PUT_BACK)));
    }

    /// Live tasks on a node, given those in the view.
    pub(crate) fn load(&self, node: NodeIdx, in_view: u32) -> u32 {
        self.placed.get(&node).map_or(in_view, |placed| placed.load)
    }

    /// The first filter that refuses one more task on this node, of which the service has so many
    /// there.
    pub(crate) fn refuses(
        &self,
        index: NodeIdx,
        needs: &Requirement,
        service_tasks: u32,
    ) -> Option<NodeRefusal> {
        if !needs.looks_at_nodes() {
            return None;
        }
        let node = self.view.nodes().get(index)?;
        let placed = self.placed.get(&index);
        if !needs.of_node.is_empty() {
            let Some(class) = self.view.class(node.class) else {
                return Some(PlacementFilter::Constraints.into());
            };
            if let Some(refusal) = needs.refuses_node(node, &class.key) {
                return Some(refusal);
            }
        }
        if !needs.reservation.is_nothing()
            && !self.free(index, node, placed, needs).covers(&needs.reservation)
        {
            return Some(PlacementFilter::Resources.into());
        }
        let taken = |port: &(i32, u32)| {
            node.host_ports.binary_search(port).is_ok()
                || placed.is_some_and(|placed| placed.ports.contains(port))
        };
        if needs.ports.iter().any(taken) {
            return Some(PlacementFilter::HostPort.into());
        }
        let full = needs.max_replicas > 0 && u64::from(service_tasks) >= needs.max_replicas;
        full.then(|| PlacementFilter::MaxReplicas.into())
    }

    fn free(
        &self,
        index: NodeIdx,
        node: &NodeRow,
        placed: Option<&Placed>,
        needs: &Requirement,
    ) -> Reservation {
        let mut free = Reservation {
            nano_cpus: node.free_nano_cpus(),
            memory_bytes: node.free_memory_bytes(),
            generic: Vec::new(),
        };
        // The view keeps no sum of named things: they are rare, and added up only for those who ask
        // for them.
        if !needs.reservation.generic.is_empty() {
            free.generic = Reservation::of_node(node).generic;
            for (_, task) in self.view.tasks_on(index).filter(|(_, task)| !task.has_ended()) {
                let generic =
                    self.view.spec_of(task).map(|spec| Reservation::of_spec(spec).generic);
                free.take(&Reservation {
                    generic: generic.unwrap_or_default(),
                    ..Reservation::default()
                });
            }
        }
        if let Some(placed) = placed {
            free.take(&placed.reserved);
        }
        free
    }

    /// Places one task of such needs on a node whose load in the view, or since, is known.
    pub(crate) fn place(&mut self, node: NodeIdx, load: u32, needs: &Requirement) {
        let placed = self.placed.entry(node).or_default();
        placed.load = load + 1;
        placed.reserved.nano_cpus += needs.reservation.nano_cpus;
        placed.reserved.memory_bytes += needs.reservation.memory_bytes;
        placed.reserved.generic.extend_from_slice(&needs.reservation.generic);
        placed.ports.extend_from_slice(&needs.ports);
    }
}

impl Order<'_> {
    fn new(view: &View) -> Self {
        let (nodes, placeable) = view.node_counts();
        let mut order = Order {
            heap: BinaryHeap::new(),
            classes: Vec::new(),
            nodes: 0,
            refused: BTreeMap::new(),
        };
        let impaired = view.impaired_count();
        order.refuse(PlacementFilter::Condition, impaired);
        order.refuse(PlacementFilter::Ready, nodes - placeable - impaired);
        order
    }

    fn refuse(&mut self, refusal: impl Into<NodeRefusal>, nodes: u32) {
        if nodes > 0 {
            *self.refused.entry(refusal.into()).or_default() += nodes;
        }
    }

    fn refused_by_kind(&self) -> u32 {
        self.refused
            .iter()
            .filter(|(refusal, _)| {
                !matches!(refusal.filter, PlacementFilter::Ready | PlacementFilter::Condition)
            })
            .map(|(_, nodes)| *nodes)
            .sum()
    }

    fn advance(&mut self, class: usize) {
        if let Some((load, node)) = self.classes[class].next() {
            self.heap.push(Reverse((load, node, class)));
        }
    }
}
