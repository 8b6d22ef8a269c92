//! Whose a program runs as: names, or numbers that an account can have. PURE.

use super::super::{Refusal, refusal::excerpt};
use skep_projections::View;
use skep_proto::{
    defaults,
    v1::{RuntimeKind, ServiceSpec},
};

/// The highest id of a user or a group: the system takes the one above it for "none".
const ACCOUNT_ID_MAX: u64 = u32::MAX as u64 - 1;
/// The highest id that Docker takes. Processes run under higher ones too.
const DOCKER_ACCOUNT_ID_MAX: u64 = i32::MAX as u64;
/// Digits of an id that a refusal shows.
const ACCOUNT_ID_SHOWN_CHARS_MAX: usize = 40;

/// Which nodes use Docker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DockerNodes {
    None,
    Some,
    All,
}

pub(super) fn validate(view: &View, user: &str) -> Result<(), Refusal> {
    let parts = user.split(':').count();
    if parts > 2 || user.ends_with(':') || user.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Err(
            Refusal::invalid(format!("{user:?} is not a user")).hint("write USER or USER:GROUP")
        );
    }
    for (name, whose) in user.split(':').zip(["user", "group"]) {
        if let Some(id) = number(name)
            && id > ACCOUNT_ID_MAX
        {
            let shown = excerpt(name, ACCOUNT_ID_SHOWN_CHARS_MAX);
            return Err(Refusal::invalid(format!("{shown} is too large for the id of a {whose}"))
                .hint(format!("the largest is {ACCOUNT_ID_MAX}")));
        }
    }
    match above_docker(user) {
        Some(id) if docker_nodes(view) == DockerNodes::All => {
            Err(Refusal::precondition(format!("{}, and every node uses Docker", refused(id)))
                .hint("choose a smaller id, or add a node of processes"))
        }
        Some(_) | None => Ok(()),
    }
}

/// A warning if the nodes that use Docker cannot run the service, and others can.
pub(super) fn warnings(view: &View, spec: &ServiceSpec) -> Vec<String> {
    let container = spec.task.as_ref().and_then(defaults::container);
    let id = container.and_then(|container| above_docker(&container.user));
    match id {
        Some(id) if docker_nodes(view) == DockerNodes::Some => {
            vec![format!("{}: tasks on nodes that use Docker will fail", refused(id))]
        }
        Some(_) | None => Vec::new(),
    }
}

fn refused(id: u64) -> String {
    format!("Docker refuses the id {id}: the largest it takes is {DOCKER_ACCOUNT_ID_MAX}")
}

/// A number of a user or a group that Docker refuses.
fn above_docker(user: &str) -> Option<u64> {
    user.split(':').filter_map(number).find(|id| *id > DOCKER_ACCOUNT_ID_MAX)
}

/// The number that is written, if one is; a larger one than can be counted is the largest.
fn number(name: &str) -> Option<u64> {
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| name.parse().unwrap_or(u64::MAX))
}

fn docker_nodes(view: &View) -> DockerNodes {
    let nodes = view.nodes().iter().map(|(_, node)| node).filter(|node| !node.removed);
    let uses_docker = nodes.map(|node| node.description.runtime == RuntimeKind::Docker as i32);
    let (docker, others): (Vec<bool>, Vec<bool>) = uses_docker.partition(|is_docker| *is_docker);
    match (docker.is_empty(), others.is_empty()) {
        (true, _) => DockerNodes::None,
        (false, true) => DockerNodes::All,
        (false, false) => DockerNodes::Some,
    }
}
