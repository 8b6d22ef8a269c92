//! Which commands add to the cluster: those are the ones that a nearly full disk refuses.
//!
//! Removals, scale-downs and changes of nodes go on in the reserved part of the disk, since they
//! are how people make room. What machines report is never an addition.

use crate::{admit::Request, resolve};
use skep_projections::{ServiceRow, View};
use skep_proto::{
    defaults,
    v1::{Command, ServiceSpec, TaskSpec, command::Action},
};

/// Whether the request makes new tasks or new objects.
pub(super) fn adds(view: &View, request: &Request) -> bool {
    match request {
        Request::Machine(_) => false,
        Request::Command(command) => command_adds(view, command),
    }
}

fn command_adds(view: &View, command: &Command) -> bool {
    match &command.action {
        Some(Action::CreateService(_)) => true,
        Some(Action::UpdateService(c)) => {
            let row = find(view, &c.service);
            row.zip(c.spec.as_ref()).is_some_and(|(row, spec)| update_adds(row, spec))
        }
        Some(Action::ScaleService(c)) => {
            find(view, &c.service).is_some_and(|row| c.replicas > row.replicas())
        }
        Some(
            Action::RemoveService(_)
            | Action::UpdateNode(_)
            | Action::RemoveNode(_)
            | Action::UpdateCluster(_)
            | Action::ReleaseObject(_)
            | Action::DisownStray(_)
            | Action::RotateJoinToken(_)
            | Action::RotateUnlockKey(_)
            | Action::OpenPort(_),
        )
        | None => false,
    }
}

/// An update adds where it asks for more replicas, and where it replaces tasks: each gets a
/// successor. A restart policy that changes replaces none.
fn update_adds(row: &ServiceRow, spec: &ServiceSpec) -> bool {
    let runs = |spec: &ServiceSpec| {
        spec.task.as_ref().map(|task| TaskSpec { restart: None, ..task.clone() })
    };
    let replaces = runs(spec) != runs(&row.spec) || spec.endpoint != row.spec.endpoint;
    let grows = match (defaults::replicas(spec), defaults::replicas(&row.spec)) {
        (Some(wanted), Some(had)) => wanted > had,
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    replaces || grows
}

/// A service that does not exist is refused in the turn, with a better message than "the disk is
/// full".
fn find<'a>(view: &'a View, reference: &str) -> Option<&'a ServiceRow> {
    view.services().get(resolve::service(view, reference).ok()?)
}
