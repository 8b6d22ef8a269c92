//! How an agent gets its session: what its hello must show, and what the turn is asked. PURE.

use super::{
    Conn, Origin, PendingAnswer, STOPPING, ServingState, Session, Sessions, parts::Outbound, turned,
};
use crate::admit::{MachineRequest, same_names};
use sha2::{Digest as _, Sha256};
use skep_projections::{NodeRow, View};
use skep_proto::{
    Id, Lineage, Revision, Timestamp,
    constraint::{Constraint, Key},
    defaults,
    v1::{Hello, NodeRole, NodeSpec, Turned, TurnedCode},
};
use std::collections::BTreeMap;

/// Services named in a warning; the others are counted.
const SERVICES_NAMED_MAX: usize = 5;

/// How an agent comes to its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HelloKind {
    /// As a new node.
    Join,
    /// As the manager's own agent, which has lost its folder and so its secret.
    Reclaim,
    /// As a node that is known, with its secret.
    Return,
}

impl Sessions {
    /// The first message of a stream. `number` is the session's, never used before.
    ///
    /// A node that has no id yet gets one made from its secret: an agent whose welcome was lost
    /// comes back as the same node, not as a second one.
    pub fn handle_hello(
        &mut self,
        conn: Conn,
        origin: Origin,
        hello: Hello,
        number: u64,
        view: &View,
        now: Timestamp,
    ) {
        self.listen(now);
        if self.life == ServingState::Stopping {
            return self.turn_away(conn, turned(TurnedCode::Stopping, STOPPING));
        }
        let known = Id::from_bytes(&hello.node_id);
        let node = match (known.is_none(), origin) {
            (false, _) => known,
            (true, Origin::Embedded) => self.manager,
            (true, Origin::Outside) => named_by(&hello.secret),
        };
        let is_new =
            view.nodes().find(node).is_none() && (known.is_none() || origin == Origin::Embedded);
        let entry = match (is_new, known.is_none() && origin == Origin::Embedded) {
            (true, _) => HelloKind::Join,
            (false, true) => HelloKind::Reclaim,
            (false, false) => HelloKind::Return,
        };
        if let Err(mut turned) = self.may_open(node, entry, &hello, view) {
            turned.cluster_id = view.cluster().id.to_bytes();
            return self.turn_away(conn, turned);
        }
        let period_ns = self.period_ns;
        let mut session = Session {
            node,
            number,
            process: hello.process,
            hello,
            open: false,
            heard_at: now,
            silence_at: now + period_ns * defaults::HEARTBEAT_GRACE_PERIODS,
            period_ns,
            revision: Revision::ZERO,
            told: BTreeMap::new(),
            outbound: Outbound::default(),
            warnings: Vec::new(),
        };
        if entry != HelloKind::Join
            && let Some((_, row)) = view.nodes().by_id(node)
        {
            session.warnings = warnings_of_return(view, row, &session.hello);
        }
        self.beats.insert((session.silence_at, conn));
        self.by_node.insert(node, conn);
        self.overdue.forget(node);
        self.conns.insert(conn, session);
        match entry {
            HelloKind::Join => self.join(conn, origin),
            HelloKind::Reclaim => self.reclaim(conn),
            HelloKind::Return => self.open(conn),
        }
    }

    fn may_open(
        &mut self,
        node: Id,
        entry: HelloKind,
        hello: &Hello,
        view: &View,
    ) -> Result<(), Turned> {
        if entry != HelloKind::Join {
            let row = view.nodes().by_id(node).map(|(_, row)| row).filter(|row| !row.removed);
            let row = row.ok_or_else(|| {
                turned(TurnedCode::NodeRemoved, "this node is not part of the cluster (any more)")
            })?;
            let has_secret = <[u8; 32]>::from(Sha256::digest(&hello.secret)) == row.secret_hash;
            if entry == HelloKind::Return && !has_secret {
                return Err(turned(TurnedCode::WrongSecret, "the secret is not this node's"));
            }
        }
        if let Some(message) = other_history(hello, view) {
            return Err(turned(TurnedCode::OtherHistory, &message));
        }
        if hello.incarnation == view.position().incarnation
            && hello.revision > view.position().revision.0
        {
            return Err(turned(TurnedCode::Retry, "this manager is behind the agent; try again"));
        }
        let Some(held) = self.by_node.get(&node).copied() else { return Ok(()) };
        if self.conns.get(&held).is_some_and(|s| s.process != hello.process) {
            return Err(turned(
                TurnedCode::Claimed,
                "another agent process holds this node's session",
            ));
        }
        self.turn_away(
            held,
            turned(TurnedCode::Superseded, "the same agent opened a newer session"),
        );
        self.forget(held);
        Ok(())
    }

    fn join(&mut self, conn: Conn, origin: Origin) {
        let Some(session) = self.conns.get(&conn) else { return };
        let mut spec = session.hello.spec.clone().unwrap_or_default();
        let role = if origin == Origin::Embedded { NodeRole::Manager } else { NodeRole::Worker };
        spec.desired_role = role as i32;
        let machine = MachineRequest::Join {
            node: session.node,
            spec,
            description: session.hello.description.clone().unwrap_or_default().into(),
            secret_hash: Sha256::digest(&session.hello.secret).into(),
        };
        self.ask(session.node, machine, PendingAnswer::Joined(conn));
    }

    fn reclaim(&mut self, conn: Conn) {
        let Some(session) = self.conns.get(&conn) else { return };
        let secret_hash = Sha256::digest(&session.hello.secret).into();
        let machine = MachineRequest::Reclaim { node: session.node, secret_hash };
        self.ask(session.node, machine, PendingAnswer::Joined(conn));
    }

    pub(super) fn open(&mut self, conn: Conn) {
        let Some(session) = self.conns.get(&conn) else { return };
        let machine = MachineRequest::Open {
            node: session.node,
            session: session.number,
            description: session.hello.description.clone().unwrap_or_default().into(),
            conditions: session.hello.conditions.clone(),
        };
        self.ask(session.node, machine, PendingAnswer::Opened(conn));
    }
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

fn named_by(secret: &[u8]) -> Id {
    Id::from_bytes(&Sha256::digest([b"skep node", secret].concat())[..16])
}
