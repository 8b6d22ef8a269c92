//! Whether what is asked may become true. PURE.
//!
//! Every request, a person's or a machine's, is decided against the newest view: it becomes events,
//! or a refusal that says what is wrong and what to do. Nothing else stands between a request and
//! the log, so what is checked here is checked once.

mod certificates;
mod cluster;
mod leader;
mod machines;
mod node_rules;
mod nodes;
mod ports;
mod refusal;
mod report;
mod roles;
mod sameness;
mod services;
mod spec;
mod strays;
mod unsupported;

pub use certificates::{CertificateAsked, CertificateClaim, Newcomer};
pub use cluster::check_cluster;
pub use leader::LeaderSight;
pub use node_rules::check_node;
pub(crate) use node_rules::{same_names, was_removed};
pub use refusal::Refusal;
pub use report::TaskReport;
pub(crate) use roles::{is_ready, is_up, majority, votes, what_is_amiss};

use crate::resolve;
use bytes::Bytes;
use skep_projections::View;
use skep_proto::{
    Id, Revision,
    v1::{Command, Condition, NodeDescription, command::Action, event::Kind},
};
use skep_reconcilers::Entropy;

/// Longest reason of a command, bytes; a longer one is refused, since each record of the command
/// carries it.
const REASON_BYTES_MAX: usize = 1_024;

/// Somebody's request, as the turn takes it.
#[derive(Clone, Debug)]
pub enum Request {
    /// A person's.
    Command(Command),
    /// What machines say of themselves, and managers of machines.
    Machine(MachineRequest),
}

/// What becomes known without anybody's wish.
#[derive(Clone, Debug)]
pub enum MachineRequest {
    /// A certificate for a node's key. With it a new node joins.
    Certify(Box<CertificateAsked>),
    /// The manager has a certificate authority for the cluster.
    FoundAuthority {
        /// The root's certificate, DER.
        root_certificate: Bytes,
        /// What the join tokens of workers and of managers are made from.
        salts: [[u8; 16]; 2],
    },
    /// A known agent begins a session.
    Open {
        /// Which.
        node: Id,
        /// The session's number, never 0.
        session: u64,
        /// What it is now.
        description: Box<NodeDescription>,
        /// What is wrong with it now.
        conditions: Vec<Condition>,
        /// The IP address that it connects from; empty where it comes through the local socket.
        address: String,
        /// The node of the manager that holds the session.
        manager: Id,
    },
    /// What is wrong with a node has changed during its session.
    Conditions {
        /// Whose.
        node: Id,
        /// Which session.
        session: u64,
        /// All of them.
        conditions: Vec<Condition>,
    },
    /// A session's stream ended.
    Close {
        /// Whose.
        node: Id,
        /// Which session.
        session: u64,
    },
    /// No heartbeat for too long. It says nothing once another tenure has begun: each node has been
    /// unknown since, and its grace has begun anew.
    Silent {
        /// Whose.
        node: Id,
        /// Which session.
        session: u64,
        /// The revision at which the tenure began in which that was observed.
        tenure: Revision,
    },
    /// An agent's observations of its tasks.
    Report {
        /// Whose.
        node: Id,
        /// What it saw.
        tasks: Vec<TaskReport>,
    },
    /// What the leader sees of the managers.
    Leader(LeaderSight),
    /// The leader's own facts: first record, tenure, clock, incarnation.
    Fact(Kind),
}

/// What a request becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admitted {
    /// The revision each event answers (0 for an origin), and the event. Empty when nothing
    /// changes.
    pub events: Vec<(Revision, Kind)>,
    /// The object it was about.
    pub object: Id,
    /// What the caller should know although it was done.
    pub warnings: Vec<String>,
}

impl Admitted {
    fn one(object: Id, kind: Kind) -> Admitted {
        Admitted { events: vec![(Revision::ZERO, kind)], object, ..Admitted::default() }
    }

    fn unchanged(object: Id) -> Admitted {
        Admitted { object, ..Admitted::default() }
    }
}

/// Decides a request against the newest view.
pub fn admit(view: &View, request: &Request, entropy: &Entropy) -> Result<Admitted, Refusal> {
    match request {
        Request::Machine(machine) => machines::admit(view, machine),
        Request::Command(command) if command.reason.len() > REASON_BYTES_MAX => {
            Err(Refusal::invalid(format!(
                "the reason has {} bytes; {REASON_BYTES_MAX} is the most",
                command.reason.len()
            ))
            .hint("say it in a sentence or two, and link to the rest"))
        }
        Request::Command(command) => match &command.action {
            None => Err(Refusal::invalid("the command is empty")
                .hint("this client may be newer than the manager")),
            Some(Action::UpdateNode(c)) => nodes::update(view, c),
            Some(Action::RemoveNode(c)) => nodes::remove(view, c),
            Some(Action::CreateService(c)) => services::create(view, c, entropy),
            Some(Action::UpdateService(c)) => services::update(view, c),
            Some(Action::ScaleService(c)) => services::scale(view, c),
            Some(Action::RemoveService(c)) => services::remove(view, c),
            Some(Action::UpdateCluster(c)) => cluster::update(view, c, entropy),
            Some(Action::ReleaseObject(c)) => cluster::release(view, c),
            Some(Action::DisownStray(c)) => strays::disown(view, c),
            Some(Action::RotateJoinToken(c)) => certificates::rotate_join_token(view, c, entropy),
            Some(Action::RotateUnlockKey(_)) => cluster::rotate_unlock_key(view, entropy),
            Some(Action::OpenPort(c)) => nodes::open_port(view, c),
        },
    }
}

/// A command's name and what it is about, for the record of a refusal; never its body.
pub fn describe(request: &Request) -> (&'static str, String) {
    match request {
        Request::Command(command) => match &command.action {
            None => ("empty", String::new()),
            Some(Action::UpdateNode(c)) => ("update_node", c.node.clone()),
            Some(Action::RemoveNode(c)) => ("remove_node", c.node.clone()),
            Some(Action::CreateService(c)) => {
                ("create_service", services::name_of(c.spec.as_ref()).to_owned())
            }
            Some(Action::UpdateService(c)) => ("update_service", c.service.clone()),
            Some(Action::ScaleService(c)) => ("scale_service", c.service.clone()),
            Some(Action::RemoveService(c)) => ("remove_service", c.service.clone()),
            Some(Action::UpdateCluster(_)) => ("update_cluster", String::new()),
            Some(Action::ReleaseObject(c)) => ("release_object", c.object.clone()),
            Some(Action::DisownStray(c)) => ("disown_stray", c.task.clone()),
            Some(Action::RotateJoinToken(_)) => ("rotate_join_token", String::new()),
            Some(Action::RotateUnlockKey(_)) => ("rotate_unlock_key", String::new()),
            Some(Action::OpenPort(c)) => ("open_port", Id::from_bytes(&c.node_id).to_string()),
        },
        Request::Machine(machine) => match machine {
            MachineRequest::Certify(asked) => ("certify", asked.node.to_string()),
            MachineRequest::FoundAuthority { .. } => ("found_authority", String::new()),
            MachineRequest::Open { node, .. } => ("open_session", node.to_string()),
            MachineRequest::Conditions { node, .. } => ("conditions", node.to_string()),
            MachineRequest::Close { node, .. } => ("close_session", node.to_string()),
            MachineRequest::Silent { node, .. } => ("silent", node.to_string()),
            MachineRequest::Report { node, .. } => ("report", node.to_string()),
            MachineRequest::Leader(seen) => seen.key(),
            MachineRequest::Fact(_) => ("fact", String::new()),
        },
    }
}

/// The object that a command is about, where it names one that exists: its refusal is found there
/// too.
pub fn object_of(view: &View, request: &Request) -> Id {
    let service = |reference: &str| {
        let found =
            resolve::service(view, reference).ok().and_then(|index| view.services().get(index));
        found.map(|row| row.id)
    };
    let node = |reference: &str| {
        resolve::node(view, reference)
            .ok()
            .and_then(|index| view.nodes().get(index))
            .map(|row| row.id)
    };
    let found = match request {
        Request::Machine(_) => None,
        Request::Command(command) => match &command.action {
            None => None,
            Some(Action::UpdateNode(c)) => node(&c.node),
            Some(Action::RemoveNode(c)) => node(&c.node),
            Some(Action::CreateService(c)) => service(services::name_of(c.spec.as_ref())),
            Some(Action::UpdateService(c)) => service(&c.service),
            Some(Action::ScaleService(c)) => service(&c.service),
            Some(Action::RemoveService(c)) => service(&c.service),
            Some(
                Action::UpdateCluster(_) | Action::RotateJoinToken(_) | Action::RotateUnlockKey(_),
            ) => Some(view.cluster().id),
            Some(Action::ReleaseObject(c)) => service(&c.object).or_else(|| node(&c.object)),
            Some(Action::OpenPort(c)) => Some(Id::from_bytes(&c.node_id)),
            Some(Action::DisownStray(_)) => None,
        },
    };
    found.unwrap_or(Id::NONE)
}

#[cfg(test)]
mod tests;
