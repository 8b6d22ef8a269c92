//! `skep cluster`: how machines become part of a cluster, and its settings. Its words are those of
//! `docker swarm`, and `skep swarm` is the same command.

mod member;
mod settings;
mod unlocking;

use super::{
    args::{AvailabilityChoice, ChangeArgs, GlobalArgs, RoleChoice},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    show,
};
use clap::{Args, Subcommand};
use skep_proto::{
    Id,
    v1::{
        ChoosePortRequest, FoundCluster, JoinTokenRequest, OpenPort, RotateJoinToken,
        command::Action,
    },
};

/// `skep cluster`
#[derive(Subcommand)]
pub(super) enum ClusterCommand {
    /// Open this manager's port for other machines; a daemon that waits founds a cluster first
    Init(InitArgs),
    /// Join a cluster, as a worker or as a manager: the token says which
    Join(member::JoinArgs),
    /// Take this machine out of its cluster; its tasks end
    Leave(member::LeaveArgs),
    /// Show the cluster's settings
    Inspect(settings::InspectArgs),
    /// Change the cluster's settings
    Update(settings::UpdateArgs),
    /// Show or rotate the token that lets a machine join
    #[command(visible_alias = "join-token")]
    Token(TokenArgs),
    /// Open the keys of a manager that was started again
    Unlock(unlocking::UnlockArgs),
    /// Show or rotate the key that opens them
    UnlockKey(unlocking::UnlockKeyArgs),
}

/// `skep cluster init`
#[derive(Args)]
pub(super) struct InitArgs {
    /// Address by which other machines reach this one [default: the machine's only one]
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "", hide_default_value = true)]
    advertise_addr: String,
    /// Address to listen on [default: 0.0.0.0:2377]
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "", hide_default_value = true)]
    listen_addr: String,
    /// Whether the node takes tasks, where it founds the cluster now
    #[arg(long, value_enum, value_name = "active|pause|drain")]
    availability: Option<AvailabilityChoice>,
    #[command(flatten)]
    settings: settings::SettingsArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// `skep cluster token`
#[derive(Args)]
pub(super) struct TokenArgs {
    /// What a machine joins as with the token
    #[arg(value_enum, value_name = "worker|manager")]
    role: RoleChoice,
    /// Make a new token first; nobody joins with the old one any more
    #[arg(long)]
    rotate: bool,
    /// Show the token alone
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

impl InitArgs {
    /// What is founded where the daemon belongs to no cluster.
    fn found(&self) -> FoundCluster {
        FoundCluster {
            availability: self.availability.map(|choice| choice.of_node() as i32),
            listen_address: self.listen_addr.clone(),
            advertise_address: self.advertise_addr.clone(),
            spec: Some(self.settings.of_new_cluster()),
        }
    }
}

pub(super) async fn run(top: &GlobalArgs, command: ClusterCommand) -> CliResult {
    match command {
        ClusterCommand::Init(args) => init(top, args).await,
        ClusterCommand::Join(args) => member::join(top, args).await,
        ClusterCommand::Leave(args) => member::leave(top, args).await,
        ClusterCommand::Inspect(args) => settings::inspect(top, args).await,
        ClusterCommand::Update(args) => settings::update(top, args).await,
        ClusterCommand::Token(args) => token(top, args).await,
        ClusterCommand::Unlock(args) => unlocking::unlock(top, args).await,
        ClusterCommand::UnlockKey(args) => unlocking::unlock_key(top, args).await,
    }
}

async fn init(top: &GlobalArgs, args: InitArgs) -> CliResult {
    let daemon = top.daemon(&args.change.host)?;
    let founded = member::found(&daemon, args.found()).await?;
    let begun = if founded { ClusterBegun::Now } else { ClusterBegun::Before };
    if args.availability.is_some() && begun == ClusterBegun::Before {
        return Err(CliError::usage(
            "--availability has no effect: this node is part of a cluster already",
        )
        .hint("change it with `skep node update --availability`"));
    }
    let manager = ManagerClient::connect(&daemon).await?;
    let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
    let asked = ChoosePortRequest {
        listen_address: args.listen_addr,
        advertise_address: args.advertise_addr,
    };
    // What is refused of all that is refused before anything is changed.
    let chosen = manager.membership().choose_port(asked).await?.into_inner();
    chosen.warnings.iter().for_each(|text| show::talk(&format!("warning: {text}")));
    args.settings.apply(&manager, &mut submitter).await?;
    // It is for a text alone: who can't be told the token hears why when the port is open.
    let asked = JoinTokenRequest { role: RoleChoice::Worker.role() as i32 };
    let before = manager.membership().join_token(asked).await.ok();
    let before = before.map(|reply| reply.into_inner().address).unwrap_or_default();
    let open = OpenPort {
        node_id: chosen.node_id.clone(),
        listen_address: chosen.listen_address.clone(),
        advertise_address: chosen.advertise_address.clone(),
    };
    submitter.submit(Action::OpenPort(open)).await?;
    let opened = manager.membership().await_port(chosen).await?.into_inner();
    let node = Id::from_bytes(&opened.node_id);
    show::say(&format!("{}\n", opening(begun, node, &before, &opened.advertise_address)))?;
    invite(&manager, RoleChoice::Worker).await?;
    match args.settings.locks() {
        true => unlocking::show_key(&manager).await,
        false => Ok(()),
    }
}

/// Whether the command has founded the cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClusterBegun {
    Now,
    /// Its daemon had, or an earlier command.
    Before,
}

/// What has become of the manager: `before` and `now` are where others reach it; empty where its
/// port was closed.
fn opening(begun: ClusterBegun, node: Id, before: &str, now: &str) -> String {
    match (begun, before) {
        (ClusterBegun::Now, _) | (ClusterBegun::Before, "") => {
            format!("Cluster initialized: current node ({node}) is a manager.")
        }
        (ClusterBegun::Before, before) if before == now => {
            format!("Port unchanged: others reach current node ({node}) at {now}.")
        }
        (ClusterBegun::Before, before) => {
            format!(
                "Port moved: others reach current node ({node}) at {now}, and not at {before} any more."
            )
        }
    }
}

async fn token(top: &GlobalArgs, args: TokenArgs) -> CliResult {
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    if args.rotate {
        let rotate = RotateJoinToken { role: args.role.role() as i32 };
        let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
        submitter.submit(Action::RotateJoinToken(rotate)).await?;
        if !args.quiet {
            show::say(&format!("Successfully rotated {} join token.\n", args.role.name()))?;
        }
    }
    if args.quiet {
        let asked = JoinTokenRequest { role: args.role.role() as i32 };
        return show::say(&manager.membership().join_token(asked).await?.into_inner().token);
    }
    invite(&manager, args.role).await
}

/// What to do on the other machine.
async fn invite(manager: &ManagerClient, role: RoleChoice) -> CliResult {
    let asked = JoinTokenRequest { role: role.role() as i32 };
    let reply = manager.membership().join_token(asked).await?.into_inner();
    let name = role.name();
    let address = match reply.address.as_str() {
        "" => "MANAGER:PORT",
        address => address,
    };
    let token = reply.token;
    show::say(&format!(
        "To add a {name} to this cluster, run the following command on the other machine:\n\n    \
         skep cluster join --token {token} {address}\n\n\
         It needs a daemon there that waits (`skep daemon --no-cluster`). One that is only just \
         being\nstarted can join by itself:\n\n    \
         skep daemon --join {address} --token {token}\n"
    ))?;
    if reply.address.is_empty() {
        show::talk("note: this manager's port is closed; open it with `skep cluster init`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_initialized_once() {
        let told = |begun, before| opening(begun, Id(1), before, "10.0.0.1:2377");
        let initialized =
            "Cluster initialized: current node (0000000000000000000000001) is a manager.";
        assert_eq!(told(ClusterBegun::Now, ""), initialized);
        assert_eq!(told(ClusterBegun::Now, "10.0.0.1:2377"), initialized, "it is open already");
        assert_eq!(told(ClusterBegun::Before, ""), initialized);
        let unchanged = told(ClusterBegun::Before, "10.0.0.1:2377");
        assert!(
            unchanged.starts_with("Port unchanged: ") && unchanged.ends_with("at 10.0.0.1:2377.")
        );
        let moved = told(ClusterBegun::Before, "10.0.0.9:2377");
        assert!(moved.contains("at 10.0.0.1:2377, and not at 10.0.0.9:2377"), "{moved}");
    }
}
