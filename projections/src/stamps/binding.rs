//! To whom a stamp belongs, as a number.

use skep_proto::{
    Id,
    v1::{Author, Person, author::Who},
};
use xxhash_rust::xxh3::xxh3_64;

/// What stays the same of an author over connections and processes, hashed; never 0. It guards
/// against mistakes, not against forgery: who the author is has been established before.
pub(crate) fn author_mark(author: Option<&Author>) -> u64 {
    let words = match author.and_then(|author| author.who.as_ref()) {
        None => [0, 0, 0],
        Some(Who::Person(Person { uid, login_uid, pid: _, name: _ })) => {
            [1, u64::from(*uid), login_uid.map_or(0, |uid| u64::from(uid) + 1)]
        }
        Some(Who::NodeId(id)) => of_id(2, id),
        Some(Who::ManagerId(id)) => of_id(3, id),
        Some(Who::Reconciler(number)) => [4, u64::from(number.unsigned_abs()), 0],
    };
    xxh3_64(words.map(u64::to_le_bytes).as_flattened()).max(1)
}

fn of_id(kind: u64, id: &[u8]) -> [u64; 3] {
    let id = Id::from_bytes(id).0;
    [kind, (id >> 64) as u64, id as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::author;
    use std::collections::BTreeSet;

    #[test]
    fn a_person_is_the_same_in_another_process_and_not_behind_another_login() {
        let person = |uid, login_uid, pid, name: &str| {
            let name = name.to_owned();
            author_mark(Some(&author::person(Person { uid, login_uid, pid, name })))
        };
        assert_eq!(person(0, Some(7), 1, "root"), person(0, Some(7), 2, ""));
        let others = [
            person(0, None, 1, "root"),
            person(0, Some(0), 1, "root"),
            person(0, Some(7), 1, "root"),
            person(7, None, 1, "root"),
            author_mark(Some(&author::node(Id(7)))),
            author_mark(Some(&author::node(Id(7 << 64)))),
            author_mark(Some(&author::manager(Id(7)))),
            author_mark(None),
        ];
        assert_eq!(BTreeSet::from(others).len(), others.len(), "no two are the same");
    }
}
