//! Who wrote a record, in words and by construction.

use crate::{
    Id,
    v1::{Author, Person, Reconciler, author::Who},
};

/// A reconciler as author of its decisions.
pub fn reconciler(name: Reconciler) -> Author {
    Author { who: Some(Who::Reconciler(name as i32)) }
}

/// A node's agent as author of its observations.
pub fn node(id: Id) -> Author {
    Author { who: Some(Who::NodeId(id.to_bytes())) }
}

/// A manager as author of what only it can see.
pub fn manager(id: Id) -> Author {
    Author { who: Some(Who::ManagerId(id.to_bytes())) }
}

/// A person at the local socket.
pub fn person(person: Person) -> Author {
    Author { who: Some(Who::Person(person)) }
}

/// The name of a reconciler as logs, filters and people say it: `placement`.
pub fn reconciler_name(name: Reconciler) -> &'static str {
    match name {
        Reconciler::Unspecified => "unspecified",
        Reconciler::Replicas => "replicas",
        Reconciler::Globals => "globals",
        Reconciler::Jobs => "jobs",
        Reconciler::Rollout => "rollout",
        Reconciler::Restart => "restart",
        Reconciler::Addresses => "addresses",
        Reconciler::Placement => "placement",
        Reconciler::Fitness => "fitness",
        Reconciler::Liveness => "liveness",
        Reconciler::Roles => "roles",
        Reconciler::Trust => "trust",
        Reconciler::History => "history",
    }
}

/// One word or two for people: `alice (uid 1000)`, `node 2x…`, `placement`.
pub fn describe(author: Option<&Author>) -> String {
    match author.and_then(|a| a.who.as_ref()) {
        None => "nobody".into(),
        Some(Who::Person(p)) => describe_person(p),
        Some(Who::NodeId(id)) => format!("node {}", Id::from_bytes(id)),
        Some(Who::ManagerId(id)) => format!("manager {}", Id::from_bytes(id)),
        Some(Who::Reconciler(n)) => {
            reconciler_name(Reconciler::try_from(*n).unwrap_or(Reconciler::Unspecified)).into()
        }
    }
}

fn describe_person(p: &Person) -> String {
    let name = if p.name.is_empty() { format!("uid {}", p.uid) } else { p.name.clone() };
    match p.login_uid {
        Some(login) if login != p.uid => format!("{name} (login uid {login})"),
        Some(_) | None => name,
    }
}
