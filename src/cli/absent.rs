//! Commands that people know from Docker and that skep does not have. They are known here so that
//! the answer can say what to use instead; they are not shown in any help.

use super::fail::{CliError, CliResult};
use clap::Args;

/// Whatever follows the name of such a command.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(super) struct Absent {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<String>,
}

/// What an absent command is called, and what to use instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Docker {
    /// `docker ps`
    Ps,
    /// `docker logs`
    Logs,
    /// `docker stats`
    Stats,
    /// `docker events`
    Events,
    /// `docker stack`
    Stack,
    /// `docker secret`
    Secret,
    /// `docker config`
    Config,
    /// `docker network`
    Network,
    /// `docker service rollback`
    Rollback,
}

/// What to use instead of a command of Docker that is about single containers or images, which skep
/// does not handle by themselves.
pub(super) fn instead_of(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "run" | "create" | "compose" | "up" => {
            "`skep service create --name NAME IMAGE` runs a service"
        }
        "stop" | "kill" | "rm" | "down" => {
            "`skep service scale SERVICE=0` stops a service's tasks, `skep service rm` removes it"
        }
        "scale" => "`skep service scale SERVICE=REPLICAS` changes how many tasks a service has",
        "update" | "rollback" => "`skep service update SERVICE` changes a service",
        "ls" | "list" => "`skep service ls`, `skep task ls` and `skep node ls` list what there is",
        "init" | "join" | "leave" | "join-token" | "token" => {
            "`skep cluster` has what makes a machine part of a cluster: init, join, leave, token"
        }
        "drain" | "promote" | "demote" => "`skep node` has what can be done with nodes",
        "start" | "restart" => {
            "`skep service update --force SERVICE` replaces the tasks of a service"
        }
        "exec" | "attach" | "cp" | "top" | "port" | "wait" => {
            "`skep task inspect TASK` names the node and the container: use `docker` there"
        }
        "pull" | "push" | "build" | "images" | "image" | "tag" | "rmi" | "login" => {
            "nodes pull the images of their tasks by themselves; handle images with `docker`"
        }
        "container" | "inspect" => {
            "`skep task ls` lists tasks, `skep task inspect` and `skep service inspect` show them"
        }
        "volume" => "volumes are made with the tasks that mount them: --mount type=volume,…",
        "info" | "system" => "`skep status` shows the cluster, `skep doctor` what is wrong",
        _ => return None,
    })
}

impl Docker {
    /// The refusal.
    pub(super) fn refuse(self) -> CliResult {
        let (name, instead) = self.name_and_substitute();
        Err(CliError::usage(format!("{name} is not supported yet")).hint(instead))
    }

    fn name_and_substitute(self) -> (&'static str, &'static str) {
        match self {
            Docker::Ps => (
                "ps",
                "`skep task ls` lists all tasks, `skep service ps SERVICE` those of a service",
            ),
            Docker::Logs => ("logs", "use `skep service logs SERVICE` or `skep task logs TASK`"),
            Docker::Stats => {
                ("stats", "`skep node inspect --pretty NODE` shows what is reserved of a node")
            }
            Docker::Events => ("events", "`skep log --follow` shows what happens as it happens"),
            Docker::Stack => ("stack", "create each service with `skep service create`"),
            Docker::Secret => ("secret", "mount a file: --mount type=bind,…"),
            Docker::Config => ("config", "mount a file: --mount type=bind,…"),
            Docker::Network => {
                ("network", "services use the nodes' own networks: --network host, none or bridge")
            }
            Docker::Rollback => (
                "service rollback",
                "`skep --at REVISION service inspect` shows any earlier spec; set it with `skep service update`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_command_is_refused_with_what_to_use_instead() {
        let secret = CliError::usage("secret is not supported yet")
            .hint("mount a file: --mount type=bind,…");
        assert_eq!(Docker::Secret.refuse(), Err(secret));
        assert_eq!(
            instead_of("info"),
            Some("`skep status` shows the cluster, `skep doctor` what is wrong")
        );
        assert_eq!(instead_of("frobnicate"), None);
    }
}
