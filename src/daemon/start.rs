//! What a machine is when its daemon starts.

use super::{
    advice::Advice,
    joined, left,
    lifecycle::{self, BegunBy, Start, StartFacts},
    local::LocalProblem,
    machine::MachineRole,
    promoted::{self, PortWish},
    settings::{DaemonMode, DaemonSettings, Founding},
    state::StateDir,
};
use anyhow::Result;

/// What the machine is, and why it is not what somebody wanted.
pub(super) fn first_role(
    state: &StateDir,
    settings: &DaemonSettings,
) -> Result<(MachineRole, LocalProblem)> {
    let facts = StartFacts {
        asks_to_join: settings.join.is_some(),
        waits: settings.founding == Founding::OnRequest,
        is_manager: joined::is_manager(state),
        joined_as_manager: promoted::read(state).is_ok_and(|joined| joined.is_some()),
        follows: joined::follows(state),
        has_certificate: joined::has_certificate(state),
        has_left: left::has_left(state),
    };
    let role = match (lifecycle::at_start(facts), &settings.join) {
        (Start::Manage | Start::Found, _) => MachineRole::Manager(BegunBy::Start),
        (Start::Wait, _) => MachineRole::Alone,
        (Start::GiveUpJoining, _) => return give_up_joining(state),
        (Start::RefuseManagersFolder, _) => return Err(joined::managers_folder(state).into()),
        (Start::RefuseWorkersFolder, _) => return Err(joined::workers_folder(state).into()),
        (Start::Join | Start::Follow, join) => {
            look_at_flags_of_worker(settings)?;
            let joined = match join {
                Some(join) => joined::join(state, join)?,
                None => joined::follow(state)?,
            };
            MachineRole::Worker(joined, BegunBy::Start)
        }
    };
    Ok((role, LocalProblem::default()))
}

/// Where the machine listens once it is a manager: as the flags say, or an earlier request.
pub(super) fn port(state: &StateDir, settings: &DaemonSettings) -> Result<PortWish> {
    let asked = settings.join.as_ref().map(|join| PortWish {
        listen: join.listen_address.clone(),
        advertise: join.advertise_address.clone(),
    });
    match asked.filter(|asked| *asked != PortWish::default()) {
        Some(asked) => {
            asked
                .check()
                .map_err(|error| Advice::wrong_input(error.to_string(), "write IP:PORT"))?;
            // Later starts do not say it, and the machine may be promoted then.
            asked.write(state)?;
            Ok(asked)
        }
        None => Ok(PortWish::read(state)),
    }
}

/// Flags of managers stay in a unit's file when its machine joins a cluster.
fn look_at_flags_of_worker(settings: &DaemonSettings) -> Result<()> {
    if settings.mode == DaemonMode::Safe {
        let message = "--safe-mode is for managers, and this machine is a worker";
        return Err(Advice::wrong_input(message, "leave it out").into());
    }
    if settings.metrics_listen.is_some() || settings.heartbeat_period.is_some() {
        tracing::warn!(
            "--metrics-listen and --heartbeat-period are for managers, and this machine is a worker"
        );
    }
    Ok(())
}

fn give_up_joining(state: &StateDir) -> Result<(MachineRole, LocalProblem)> {
    let problem = LocalProblem {
        message: "this node was to join a cluster, and its daemon ended before it was let in"
            .into(),
        hint: "join again with `skep cluster join`".into(),
    };
    tracing::warn!("{}", problem.message);
    joined::forget(state)?;
    Ok((MachineRole::Alone, problem))
}
