//! Records about machines.

use super::{
    Step,
    misfit::{ApplyResult, Misfit, ObjectKind},
    upkeep::{Changed, away_key, placeable_key},
};
use crate::{
    classes::{ClassKey, DescriptionChange, NO_CLASS},
    digest::{NodePart, TaskPart},
    node::{ManagerNumber, NodeIdx, NodeRow, PortAddresses},
    view::{View, lower_case},
};
use skep_proto::{Id, REMOVAL_LEVEL, Timestamp, v1};
use std::sync::Arc;

impl View {
    /// A node that counts.
    pub(super) fn present_node(&self, id: &[u8]) -> Result<(NodeIdx, &NodeRow), Misfit> {
        let found = self.nodes.by_id(Id::from_bytes(id)).filter(|(_, row)| !row.removed);
        found.ok_or(Misfit::missing(ObjectKind::Node, id))
    }

    /// Changes what people want of a node or what it said of itself, the part named: class and host
    /// name follow.
    fn describe_node(&mut self, index: NodeIdx, part: NodePart, change: impl FnOnce(&mut NodeRow)) {
        let Some(row) = self.nodes.get_mut(index) else { return };
        let parts = [part, NodePart::Marks];
        parts.iter().for_each(|part| self.digest.take(part.known(row)));
        let class = row.class;
        let said = (part == NodePart::Said).then(|| row.description.clone());
        let before = placeable_key(row, index);
        change(row);
        if part == NodePart::Wanted {
            row.wanted_hash = part.hash(row);
        }
        let description = if part == NodePart::Said {
            DescriptionChange::Changed
        } else {
            DescriptionChange::Unchanged
        };
        row.class = self.classes.change(class, row, description);
        let moved = row.class != class;
        parts.iter().for_each(|part| self.digest.put(part.known(row)));
        let after = placeable_key(row, index);
        let renamed = said.filter(|said| said.hostname != row.hostname());
        let renamed = renamed.map(|said| (said, lower_case(row.hostname())));
        self.move_placeable(before, after);
        self.move_impaired(index);
        self.move_manager(index);
        if moved {
            self.classes.leave(class);
        }
        if let Some((said, name)) = renamed {
            self.nodes_by_hostname.remove(&(lower_case(&said.hostname), index));
            self.nodes_by_hostname.insert((name, index));
        }
    }

    /// Takes a removed node's row away once no task refers to it.
    pub(super) fn drop_node_if_unused(&mut self, index: NodeIdx) {
        let removed = self.nodes.get(index).is_some_and(|row| row.removed);
        if removed
            && self.tasks_on(index).next().is_none()
            && let Some(row) = self.nodes.remove(index)
        {
            NodePart::ALL.iter().for_each(|part| self.digest.take(part.known(&row)));
        }
    }
}

impl Step<'_> {
    pub(super) fn node_joined(&mut self, e: &v1::NodeJoined) -> ApplyResult {
        let id = Id::from_bytes(&e.node_id);
        if id.is_none() {
            return Err(Misfit::NoId(ObjectKind::Node));
        }
        let moment = self.moment();
        let mut row = NodeRow {
            id,
            spec: Arc::new(e.spec.clone().unwrap_or_default()),
            description: Arc::new(e.description.clone().unwrap_or_default()),
            credential_hash: <[u8; 32]>::try_from(&e.secret_hash[..]).unwrap_or_default(),
            certificate: None,
            address: "".into(),
            port: None,
            manager: None,
            session_manager: Id::NONE,
            session: 0,
            state: v1::NodeState::Unknown,
            state_at: moment.1,
            state_message: "".into(),
            conditions: Arc::default(),
            version: moment.0,
            changed_by: self.by(),
            created: moment,
            updated_at: moment.1,
            last_revision: moment.0,
            silent: false,
            removed: false,
            live_tasks: 0,
            reserved_nano_cpus: 0,
            reserved_memory_bytes: 0,
            host_ports: Arc::default(),
            wanted_hash: 0,
            class: NO_CLASS,
        };
        row.wanted_hash = NodePart::Wanted.hash(&row);
        if self.view.nodes.find(id).is_some() {
            return Err(Misfit::Exists(ObjectKind::Node, id));
        }
        row.class = self.view.classes.enter(ClassKey::of(&row));
        NodePart::ALL.iter().for_each(|part| self.view.digest.put(part.known(&row)));
        let name = lower_case(row.hostname());
        let index = self.view.nodes.insert(row).ok_or(Misfit::Full(ObjectKind::Node))?;
        let away = self.view.nodes.get(index).and_then(|row| away_key(row, index));
        self.view.move_away(None, away);
        self.view.move_manager(index);
        self.view.nodes_by_hostname.insert((name, index));
        self.changed(Changed::Node(index))
    }

    pub(super) fn node_updated(&mut self, e: &v1::NodeUpdated) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        let changed_by = self.by_after(&row.changed_by);
        let (revision, at) = self.moment();
        let spec = self.taken.take().or_else(|| e.spec.clone()).unwrap_or_default();
        self.view.describe_node(index, NodePart::Wanted, |row| {
            row.changed_by = changed_by;
            row.spec = Arc::new(spec);
            (row.version, row.updated_at, row.last_revision) = (revision, at, revision);
        });
        self.view.unpark(Id::from_bytes(&e.node_id));
        self.changed(Changed::Node(index))
    }

    /// The description is there only where it differs from the one known. The same session again is
    /// adopted when a new leader hears of it.
    pub(super) fn session_opened(&mut self, e: &v1::SessionOpened) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        let again = row.session == e.session && row.state == v1::NodeState::Ready && !row.silent;
        if e.session == 0 {
            return Err(Misfit::OtherSession { node: row.id, session: 0 });
        }
        if again && e.description.is_none() {
            return Err(Misfit::NothingNew(ObjectKind::Node, row.id));
        }
        let (revision, at) = self.moment();
        let open = |row: &mut NodeRow| {
            (row.session, row.silent, row.last_revision) = (e.session, false, revision);
            row.address = e.address.as_str().into();
            row.session_manager = Id::from_bytes(&e.manager_id);
            row.set_state(v1::NodeState::Ready, at, "");
        };
        match e.description.clone() {
            None => self.view.edit_node(index, &OPENED, open),
            Some(description) => self.redescribe(index, description, open),
        }
        self.changed(Changed::Node(index))
    }

    fn redescribe(
        &mut self,
        index: NodeIdx,
        description: v1::NodeDescription,
        open: impl FnOnce(&mut NodeRow),
    ) {
        let ((revision, at), changed_by) = (self.moment(), self.by());
        // In two steps, because each keeps its own indexes.
        self.view.edit_node(index, &OPENED, open);
        self.view.describe_node(index, NodePart::Said, |row| {
            (row.description, row.changed_by) = (Arc::new(description), changed_by);
            (row.version, row.updated_at) = (revision, at);
        });
    }

    pub(super) fn session_closed(&mut self, e: &v1::SessionClosed) -> ApplyResult {
        let index = self.current(&e.node_id, e.session)?;
        let (revision, at) = self.moment();
        self.view.edit_node(index, &STATUS, |row| {
            row.last_revision = revision;
            if row.state != v1::NodeState::Down {
                row.set_state(v1::NodeState::Disconnected, at, "");
            }
        });
        self.changed(Changed::Node(index))
    }

    /// Only marked: `liveness` says what follows.
    pub(super) fn node_silent(&mut self, e: &v1::NodeSilent) -> ApplyResult {
        let index = self.current(&e.node_id, e.session)?;
        let row =
            self.view.nodes.get(index).ok_or(Misfit::missing(ObjectKind::Node, &e.node_id))?;
        if row.silent || row.state == v1::NodeState::Down {
            return Err(Misfit::NothingNew(ObjectKind::Node, row.id));
        }
        let (revision, _) = self.moment();
        self.view
            .edit_node(index, &STATUS, |row| (row.silent, row.last_revision) = (true, revision));
        self.changed(Changed::Node(index))
    }

    /// The whole set replaces the one known; the same set again changes nothing.
    pub(super) fn node_conditions_observed(
        &mut self,
        e: &v1::NodeConditionsObserved,
    ) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        if *row.conditions == e.conditions {
            return Err(Misfit::NothingNew(ObjectKind::Node, row.id));
        }
        let (revision, _) = self.moment();
        self.view.edit_node(index, &[NodePart::Conditions, NodePart::Marks], |row| {
            row.conditions = Arc::new(e.conditions.clone());
            row.last_revision = revision;
        });
        self.changed(Changed::Node(index))
    }

    pub(super) fn node_secret_renewed(&mut self, e: &v1::NodeSecretRenewed) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        let credential_hash =
            <[u8; 32]>::try_from(&e.secret_hash[..]).map_err(|_| Misfit::Field("secret_hash"))?;
        if row.credential_hash == credential_hash {
            return Err(Misfit::NothingNew(ObjectKind::Node, row.id));
        }
        let (revision, _) = self.moment();
        self.view.edit_node(index, &[NodePart::Said, NodePart::Marks], |row| {
            (row.credential_hash, row.last_revision) = (credential_hash, revision);
        });
        self.changed(Changed::Node(index))
    }

    pub(super) fn node_down(&mut self, e: &v1::NodeDown) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        if row.state == v1::NodeState::Down {
            return Err(Misfit::NothingNew(ObjectKind::Node, row.id));
        }
        let (revision, at) = self.moment();
        self.view.edit_node(index, &STATUS, |row| {
            (row.silent, row.last_revision) = (false, revision);
            row.set_state(v1::NodeState::Down, at, &e.message);
        });
        self.changed(Changed::Node(index))
    }

    /// Its tasks that have not ended become orphans with it. The row stays while tasks refer to it.
    pub(super) fn node_removed(&mut self, e: &v1::NodeRemoved) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        let (class, name) = (row.class, lower_case(row.hostname()));
        let tasks: Vec<_> = self
            .view
            .tasks_on(index)
            .filter(|(_, row)| !row.has_ended())
            .map(|(at, _)| at)
            .collect();
        for task in tasks {
            let moment = self.moment();
            self.view.edit_task(task, &[TaskPart::Observed], |row| {
                (row.state, row.state_since) = (v1::TaskState::Orphaned, moment);
            });
            self.changed(Changed::Task(task))?;
        }
        let (revision, _) = self.moment();
        self.view.edit_node(index, &STATUS, |row| {
            (row.removed, row.silent, row.last_revision) = (true, false, revision);
        });
        if let Some(row) = self.view.nodes.get_mut(index) {
            row.class = NO_CLASS;
        }
        self.view.classes.leave(class);
        let strays = self
            .view
            .strays_on(Id::from_bytes(&e.node_id))
            .map(|stray| Id::from_bytes(&stray.task_id));
        for stray in strays.collect::<Vec<_>>() {
            self.view.forget_stray(stray);
        }
        self.view.nodes_by_hostname.remove(&(name, index));
        self.view.unpark(Id::from_bytes(&e.node_id));
        self.remember_removed(index);
        self.view.drop_node_if_unused(index);
        self.changed(Changed::Node(index))
    }

    /// So that an agent which comes back hears that its node was removed, and is not taken for one
    /// that this history does not know.
    fn remember_removed(&mut self, index: NodeIdx) {
        let Some(row) = self.view.nodes.get(index) else { return };
        if self.view.level < REMOVAL_LEVEL {
            return;
        }
        let (_, at) = self.moment();
        let ends = row.certificate.as_deref().map_or(at, |certificate| certificate.not_after);
        let id = row.id;
        self.view.removed_nodes.add(id, ends, at, &mut self.view.digest);
    }

    pub(super) fn port_opened(&mut self, e: &v1::PortOpened) -> ApplyResult {
        let (index, _) = self.view.present_node(&e.node_id)?;
        let (revision, _) = self.moment();
        let port = PortAddresses {
            listen: e.listen_address.clone(),
            advertise: e.advertise_address.clone(),
        };
        self.view.edit_node(index, &[NodePart::Marks, NodePart::Reach], |row| {
            (row.port, row.last_revision) = (Some(Arc::new(port)), revision);
        });
        self.changed(Changed::Node(index))
    }

    /// The number is the next one, so none is given twice.
    pub(super) fn raft_id_assigned(&mut self, e: &v1::RaftIdAssigned) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        if row.manager.is_some() {
            return Err(Misfit::NothingNew(ObjectKind::Node, row.id));
        }
        if e.raft_id != self.view.newest_raft_id + 1 {
            return Err(Misfit::Field("raft_id"));
        }
        self.view.count_raft_id();
        let membership = v1::RaftMembership::None;
        let raft_id = e.raft_id;
        let manager = Some(ManagerNumber { raft_id, membership, unreachable: false });
        self.set_manager(index, manager)
    }

    /// One that is no member any more gives its number up.
    pub(super) fn membership_observed(&mut self, e: &v1::MembershipObserved) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        let known = row.manager.filter(|known| known.raft_id == e.raft_id);
        let known = known.ok_or(Misfit::Field("raft_id"))?;
        if known.membership == e.membership() && e.membership() != v1::RaftMembership::None {
            return Err(Misfit::NothingNew(ObjectKind::Node, row.id));
        }
        let manager = ManagerNumber { membership: e.membership(), ..known };
        let is_member = manager.membership != v1::RaftMembership::None;
        self.set_manager(index, is_member.then_some(manager))
    }

    /// Of the number that the node has. The same again is no news.
    pub(super) fn manager_reach_observed(&mut self, e: &v1::ManagerReachObserved) -> ApplyResult {
        let (index, row) = self.view.present_node(&e.node_id)?;
        let known = row.manager.filter(|known| known.raft_id == e.raft_id);
        let known = known.ok_or(Misfit::Field("raft_id"))?;
        if known.unreachable != e.answers {
            return Err(Misfit::NothingNew(ObjectKind::Node, row.id));
        }
        self.set_manager(index, Some(ManagerNumber { unreachable: !e.answers, ..known }))
    }

    fn set_manager(&mut self, index: NodeIdx, manager: Option<ManagerNumber>) -> ApplyResult {
        let (revision, _) = self.moment();
        self.view.edit_node(index, &[NodePart::Marks, NodePart::Management], |row| {
            (row.manager, row.last_revision) = (manager, revision);
        });
        self.changed(Changed::Node(index))
    }

    /// The node, if this is its current session.
    fn current(&self, node: &[u8], session: u64) -> Result<NodeIdx, Misfit> {
        let (index, row) = self.view.present_node(node)?;
        if row.session != session || session == 0 {
            return Err(Misfit::OtherSession { node: row.id, session });
        }
        Ok(index)
    }
}

impl NodeRow {
    fn set_state(&mut self, state: v1::NodeState, at: Timestamp, message: &str) {
        (self.state, self.state_at) = (state, at);
        self.state_message = message.into();
    }
}

/// What a change of session or state touches.
pub(super) const STATUS: [NodePart; 2] = [NodePart::Status, NodePart::Marks];
/// The same where a session begins.
const OPENED: [NodePart; 4] =
    [NodePart::Status, NodePart::Marks, NodePart::Reach, NodePart::Management];
