//! How an agent gets its session: what its certificate and its hello must show, and what the turn
//! is asked. PURE.
//!
//! Whether this manager is behind the agent is looked at before anything else: a manager that lags
//! may not know a node yet, and an agent that hears that it was removed ends its tasks.

use super::{
    Conn, PendingAnswer, STOPPING, ServingState, Session, Sessions, TOO_OFTEN, backing::NO_LEADER,
    parts::Outbound, turned,
};
use crate::admit::{MachineRequest, same_names, was_removed};
use skep_projections::{NodeRow, View};
use skep_proto::{
    Id, Lineage, Revision, Timestamp,
    constraint::{Constraint, Key},
    defaults,
    v1::{ClusterManagers, Hello, NodeSpec, Turned, TurnedCode},
};
use std::{collections::BTreeMap, net::IpAddr};

/// The message to agents while a manager that has joined others has heard nothing of them yet.
const NO_HISTORY: &str = "this manager has no history yet; try again";
/// Services named in a warning; the others are counted.
const SERVICES_NAMED_MAX: usize = 5;

/// The node that an agent's certificate names, and the key that it has shown that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeOfPeer {
    /// The node.
    pub node: Id,
    /// SHA-256 of the key.
    pub key_hash: [u8; 32],
    /// Where it connects from; none where it comes through the local socket.
    pub address: Option<IpAddr>,
}

impl Sessions {
    /// The first message of a stream. `number` is the session's, never used before.
    pub fn handle_hello(
        &mut self,
        conn: Conn,
        peer: NodeOfPeer,
        hello: Hello,
        number: u64,
        view: &View,
        now: Timestamp,
    ) {
        self.listen(now);
        if self.life == ServingState::Stopping {
            return self.turn_away(conn, turned(TurnedCode::Stopping, STOPPING));
        }
        if self.lacks_leader(now) {
            return self.turn_away(conn, turned(TurnedCode::Retry, NO_LEADER));
        }
        if view.cluster().id.is_none() {
            return self.turn_away(conn, turned(TurnedCode::Retry, NO_HISTORY));
        }
        let node = peer.node;
        let warnings = match self.may_open(peer, &hello, view) {
            Ok(row) => warnings_of_return(view, row, &hello),
            Err(mut turned) => {
                turned.cluster_id = view.cluster().id.to_bytes();
                return self.turn_away(conn, turned);
            }
        };
        if !self.paces.may_speak(node, now) {
            return self.turn_away(conn, turned(TurnedCode::Retry, TOO_OFTEN));
        }
        if let Some(held) = self.by_node.get(&node).copied() {
            let newer = turned(TurnedCode::Superseded, "the same agent opened a newer session");
            self.turn_away(held, newer);
            self.forget(held);
        }
        let period_ns = self.period_ns;
        let session = Session {
            node,
            number,
            process: hello.process,
            address: peer.address.map(|address| address.to_string()).unwrap_or_default(),
            hello,
            open: false,
            heard_at: now,
            silence_at: now + period_ns * defaults::HEARTBEAT_GRACE_PERIODS,
            period_ns,
            revision: Revision::ZERO,
            told: BTreeMap::new(),
            outbound: Outbound::default(),
            warnings,
            managers: ClusterManagers::default(),
        };
        self.beats.insert((session.silence_at, conn));
        self.by_node.insert(node, conn);
        self.overdue.forget(node);
        self.conns.insert(conn, session);
        self.open(conn);
    }

    fn may_open<'v>(
        &self,
        peer: NodeOfPeer,
        hello: &Hello,
        view: &'v View,
    ) -> Result<&'v NodeRow, Turned> {
        if let Some(message) = other_history(hello, view) {
            return Err(turned(TurnedCode::OtherHistory, &message));
        }
        if hello.incarnation == view.position().incarnation
            && hello.revision > view.position().revision.0
        {
            return Err(turned(TurnedCode::Retry, "this manager is behind the agent; try again"));
        }
        let row = view.nodes().by_id(peer.node).map(|(_, row)| row).filter(|row| !row.removed);
        let row = row.ok_or_else(|| absent(view, peer.node))?;
        // History may have gone back behind the record of the certificate; its signature stands.
        if row.certificate.is_some() && row.credential_hash != peer.key_hash {
            return Err(turned(TurnedCode::WrongKey, "the certificate's key is not this node's"));
        }
        let held = self.by_node.get(&peer.node).and_then(|conn| self.conns.get(conn));
        if held.is_some_and(|session| session.process != hello.process) {
            return Err(turned(
                TurnedCode::Claimed,
                "another agent process holds this node's session",
            ));
        }
        Ok(row)
    }

    pub(super) fn open(&mut self, conn: Conn) {
        let Some(session) = self.conns.get(&conn) else { return };
        let machine = MachineRequest::Open {
            node: session.node,
            session: session.number,
            description: session.hello.description.clone().unwrap_or_default().into(),
            conditions: session.hello.conditions.clone(),
            address: session.address.clone(),
            manager: self.own,
        };
        self.ask(session.node, machine, PendingAnswer::Opened(conn));
    }
}

/// What an agent is told whose node is not there. Only one that was removed ends its tasks.
fn absent(view: &View, node: Id) -> Turned {
    if was_removed(view, node) {
        return turned(TurnedCode::NodeRemoved, "this node was removed from the cluster");
    }
    let message = format!(
        "this manager's history does not know node {node}: it may have been set back to an older \
         backup. Bring back the newer history; or empty the folder `agent` of this node's state \
         folder: it then joins as a new node"
    );
    turned(TurnedCode::OtherHistory, &message)
}

/// Why this manager's history is not the one that an agent follows, if it is not: the agent has
/// seen a later incarnation, or another one of the same number.
pub(super) fn other_history(hello: &Hello, view: &View) -> Option<String> {
    let (here, lineage) = (view.position().incarnation, view.lineage());
    let (there, followed) = (hello.incarnation, Lineage(hello.lineage));
    if there > here {
        return Some(format!(
            "this node follows incarnation {there} (lineage {followed}), and this manager is at incarnation {here} \
             (lineage {lineage}): it is behind, or its history was left for a later one"
        ));
    }
    let differs = !followed.is_none() && !lineage.is_none() && followed != lineage;
    (there == here && differs).then(|| {
        format!(
            "two histories claim to be incarnation {here}: this node follows lineage {followed}, and this manager has \
             lineage {lineage}; both were restored from one backup: stop the managers of the one that is not wanted"
        )
    })
}

/// What the operator of a node that comes back should know: its new host name, and labels that only
/// the first start takes.
fn warnings_of_return(view: &View, row: &NodeRow, hello: &Hello) -> Vec<String> {
    let mut warnings = Vec::new();
    let hostname = hello.description.as_ref().map_or("", |new| new.hostname.as_str());
    if !hostname.is_empty() && hostname != row.hostname() {
        warnings.push(renamed(view, row.hostname(), hostname));
        warnings.extend(same_names(view, row.id, hostname));
    }
    let labels = |spec: &NodeSpec| spec.annotations.clone().unwrap_or_default().labels;
    let has = labels(&row.spec);
    let asked = hello.spec.as_ref().map(labels).unwrap_or_default();
    let ignored: Vec<String> = asked
        .iter()
        .filter(|(key, value)| has.get(*key) != Some(*value))
        .map(|(key, value)| format!("--label-add {key}={value}"))
        .collect();
    if !ignored.is_empty() {
        let flags = ignored.join(" ");
        let node = if hostname.is_empty() { row.hostname() } else { hostname };
        warnings.push(format!(
            "--label changes nothing on a node that has joined already; use `skep node update {flags} {node}`"
        ));
    }
    warnings
}

/// That a node has another name, and which services have constraints on either name.
fn renamed(view: &View, before: &str, after: &str) -> String {
    let names_it = |text: &String| {
        let constraint = Constraint::recorded(text);
        constraint.key == Key::Hostname
            && [before, after].iter().any(|name| constraint.value.eq_ignore_ascii_case(name))
    };
    let services: Vec<&str> = view
        .services()
        .iter()
        .filter(|(_, row)| !row.removed)
        .filter(|(_, row)| {
            let placement = row.spec.task.as_ref().and_then(|task| task.placement.as_ref());
            placement.is_some_and(|placement| placement.constraints.iter().any(names_it))
        })
        .map(|(_, row)| row.name())
        .collect();
    let change = format!("the host name of this node changed from {before} to {after}");
    let more = services.len().saturating_sub(SERVICES_NAMED_MAX);
    let mut named = services[..services.len() - more].join(", ");
    if more > 0 {
        named += &format!(" and {more} more");
    }
    match services.len() {
        0 => change,
        _ => format!("{change}: constraints on node.hostname move or end tasks of {named}"),
    }
}
