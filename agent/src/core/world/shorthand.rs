//! The short words of stories, and what they stand for.

use super::NODE;
use crate::{
    core::{
        WantedMembership,
        candidates::{FirstEndpoint, KnownAddress, ManagerCandidate},
    },
    runtime::{RuntimeError, TaskEnd},
};
use skep_proto::{Id, v1};

pub(in crate::core) fn id_of(letter: char) -> Id {
    Id(u128::from(u32::from(letter)))
}

pub(super) fn letter_of(id: Id) -> char {
    u32::try_from(id.0).ok().and_then(char::from_u32).unwrap_or('?')
}

pub(super) fn state(word: &str) -> v1::TaskState {
    v1::TaskState::from_str_name(&format!("TASK_STATE_{word}"))
        .unwrap_or_else(|| panic!("no state {word}"))
}

pub(super) fn word(state: v1::TaskState) -> &'static str {
    state.as_str_name().trim_start_matches("TASK_STATE_")
}

pub(super) fn assignment(task_id: bytes::Bytes, wish: &str) -> v1::Assignment {
    let (wish, service) = wish.split_once('{').unwrap_or((wish, ""));
    let (desired, recorded) = wish.split_once('[').unwrap_or((wish, "ASSIGNED]"));
    let service_id = match service.trim_end_matches('}') {
        "" => bytes::Bytes::new(),
        name => service_of(name).service_id,
    };
    let task = v1::TaskAssignment {
        service_id,
        recorded: state(recorded.trim_end_matches(']')).into(),
        ..v1::TaskAssignment::default()
    };
    v1::Assignment { task_id, desired: state(desired).into(), task: Some(task) }
}

/// ` [KIND: text, …]`
pub(super) fn kinds(conditions: &[v1::Condition]) -> String {
    let all = conditions.iter().map(|c| {
        let kind = c.kind().as_str_name().trim_start_matches("CONDITION_KIND_");
        format!("{kind}: {}", c.message)
    });
    format!(" [{}]", all.collect::<Vec<_>>().join(", "))
}

pub(super) fn service_of(name: &str) -> v1::ServiceAssignment {
    let id = name.bytes().fold(3000, |id, byte| id * 256 + u128::from(byte));
    v1::ServiceAssignment {
        service_id: Id(id).to_bytes(),
        service_name: name.to_owned(),
        spec: Some(v1::TaskSpec {
            runtime: Some(v1::task_spec::Runtime::Container(v1::ContainerSpec {
                image: format!("{name}:1"),
                ..v1::ContainerSpec::default()
            })),
            ..v1::TaskSpec::default()
        }),
        ..v1::ServiceAssignment::default()
    }
}

pub(super) fn unreachable() -> RuntimeError {
    RuntimeError::Unreachable("no engine".into())
}

/// `3`, or the name of a cause.
pub(super) fn ended(how: &str) -> TaskEnd {
    match how.parse() {
        Ok(code) => TaskEnd { exit_code: Some(code), ..TaskEnd::default() },
        Err(_) => {
            let cause = v1::EndCause::from_str_name(&format!("END_CAUSE_{how}"))
                .unwrap_or_else(|| panic!("no cause {how}"));
            TaskEnd { exit_code: Some(137), signal: 9, cause, ..TaskEnd::default() }
        }
    }
}

pub(super) fn told(observed: &v1::TaskObserved) -> String {
    let letter = letter_of(Id::from_bytes(&observed.task_id));
    let tokens = if observed.error.is_empty() { &observed.message } else { &observed.error };
    let tokens = if tokens.is_empty() { String::new() } else { format!("({tokens})") };
    format!("{letter}={}{tokens}", word(observed.state()))
}

/// `own`, `socket` or `HOST:PORT`.
pub(super) fn first_of(text: &str) -> FirstEndpoint {
    match text {
        "own" => FirstEndpoint::OwnSocket,
        "socket" => FirstEndpoint::Socket,
        address => FirstEndpoint::Network(address.to_owned()),
    }
}

/// `b:1 =c:1`: with an equals sign, the address of the manager on this very node.
pub(super) fn managers_of(text: &str) -> Vec<KnownAddress> {
    let manager = |word: &str| match word.strip_prefix('=') {
        Some(address) => KnownAddress { node: NODE, address: address.to_owned() },
        None => KnownAddress { node: Id(5000), address: word.to_owned() },
    };
    text.split_whitespace().map(manager).collect()
}

/// Nothing for the endpoint that the agent was started with.
pub(super) fn dialed(candidate: &ManagerCandidate) -> String {
    match candidate {
        ManagerCandidate::First => "dial".into(),
        ManagerCandidate::Known(address) => format!("dial {address}"),
    }
}

/// `b:1 c:1`, and `as MANAGER 3/9` where the node is to be more than a worker.
pub(super) fn kept(known: &[KnownAddress], membership: WantedMembership) -> String {
    let known: Vec<&str> = known.iter().map(|manager| manager.address.as_str()).collect();
    let WantedMembership { role, raft_id, lineage, .. } = membership;
    let part = match (role, raft_id) {
        (v1::NodeRole::Worker, 0) => String::new(),
        (role, raft_id) => {
            let role = role.as_str_name().trim_start_matches("NODE_ROLE_");
            format!(" as {role} {raft_id}/{}", lineage.0)
        }
    };
    format!("keep {}{part}", known.join(" "))
}
