//! Authors of records: how to make one, and how to describe one as text.

use crate::{
    Id,
    v1::{Author, Person, Reconciler, author::Who},
};
use std::borrow::Cow;

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
pub fn describe(author: Option<&Author>) -> Cow<'_, str> {
    match author.and_then(|a| a.who.as_ref()) {
        None => "nobody".into(),
        Some(Who::Person(p)) => describe_person(p),
        Some(Who::NodeId(id)) => format!("node {}", Id::from_bytes(id)).into(),
        Some(Who::ManagerId(id)) => format!("manager {}", Id::from_bytes(id)).into(),
        Some(Who::Reconciler(n)) => {
            reconciler_name(Reconciler::try_from(*n).unwrap_or(Reconciler::Unspecified)).into()
        }
    }
}

fn describe_person(p: &Person) -> Cow<'_, str> {
    let name: Cow<'_, str> =
        if p.name.is_empty() { format!("uid {}", p.uid).into() } else { (&p.name).into() };
    match p.login_uid {
        Some(login) if login != p.uid => format!("{name} (login uid {login})").into(),
        Some(_) | None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_author_is_described() {
        let alice =
            |login_uid| Person { uid: 1000, name: "alice".into(), login_uid, ..Person::default() };
        let said = |author: Author| describe(Some(&author)).into_owned();
        assert_eq!(describe(None), "nobody");
        assert_eq!(said(person(alice(None))), "alice");
        assert_eq!(said(person(alice(Some(1000)))), "alice");
        assert_eq!(said(person(alice(Some(7)))), "alice (login uid 7)");
        assert_eq!(said(person(Person { uid: 5, ..Person::default() })), "uid 5");
        assert_eq!(said(node(Id(1))), "node 0000000000000000000000001");
        assert_eq!(said(manager(Id(2))), "manager 0000000000000000000000002");
        assert_eq!(said(reconciler(Reconciler::Placement)), "placement");
        assert_eq!(said(Author { who: Some(Who::Reconciler(99)) }), "unspecified");
    }

    #[test]
    fn a_reconciler_is_called_as_in_the_schema() {
        for number in 0..13 {
            let name = Reconciler::try_from(number).unwrap_or_default();
            let expected = format!("RECONCILER_{}", reconciler_name(name).to_uppercase());
            assert_eq!(name.as_str_name(), expected);
        }
    }
}
