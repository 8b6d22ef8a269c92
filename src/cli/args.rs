//! Flags that many commands share: where the manager is, which moment is meant, why something is
//! done, and how an answer is shown.
//!
//! `--host`, `--state-dir` and `--at` may stand before the command as well as after it. A command
//! takes only those that mean something to it; one that is given and cannot be meant is refused
//! before anybody is asked.

pub(super) use super::style::{InspectStyle, ListStyle};
use super::{
    fail::{CliError, CliResult},
    parse::{self, ParsedTime},
    show::talk,
};
use crate::daemon::file_in_place_of;
use clap::{Args, ValueEnum};
use skep_proto::v1::{Moment, NodeAvailability, NodeRole, moment};
use std::path::PathBuf;

/// Where clients look for the manager when nobody says otherwise.
pub(super) const DEFAULT_SOCKET: &str = "/run/skep/skep.sock";
/// The variable that names the manager's socket.
pub(super) const HOST_VARIABLE: &str = "SKEP_HOST";

/// Sockets that may be named; more are wrong usage. A cluster has no more managers.
const SOCKETS_MAX: usize = 16;

/// Which running managers may be asked.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Host {
    /// Socket of the manager; of several the first that answers is asked [env: SKEP_HOST, with a
    /// comma between several] [default: unix:///run/skep/skep.sock]
    #[arg(long, value_name = "unix://SOCK", value_parser = parse::socket)]
    pub host: Vec<PathBuf>,
}

/// Which manager is read: one that runs, or the folder of one that is stopped.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SourceArgs {
    #[command(flatten)]
    pub host: Host,
    /// Read the state folder of a manager that is stopped, instead of asking one
    #[arg(long, value_name = "DIR", conflicts_with = "host")]
    pub state_dir: Option<PathBuf>,
    /// A file with the unlock key, where that folder is of a locked cluster
    #[arg(long, value_name = "FILE", requires = "state_dir")]
    pub unlock_key_file: Option<PathBuf>,
}

/// Which manager is read, and at which moment of its history.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ReadArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Show what was true then: a revision, a time (local unless it names its zone), or an age
    /// such as -5m
    #[arg(long, value_name = "REV|TIME|-5m", value_parser = parse::moment, allow_hyphen_values = true)]
    pub at: Option<ParsedTime<moment::Moment>>,
}

/// What every command that changes something takes.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    pub host: Host,
    /// Why this is done; kept in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Whether a node takes tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum AvailabilityChoice {
    Active,
    Pause,
    Drain,
}

impl AvailabilityChoice {
    /// As the cluster has it.
    pub(super) fn of_node(self) -> NodeAvailability {
        match self {
            AvailabilityChoice::Active => NodeAvailability::Active,
            AvailabilityChoice::Pause => NodeAvailability::Pause,
            AvailabilityChoice::Drain => NodeAvailability::Drain,
        }
    }
}

/// What a machine is in its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum RoleChoice {
    /// It runs tasks
    Worker,
    /// It manages the cluster too
    Manager,
}

impl RoleChoice {
    /// Its name in a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            RoleChoice::Worker => "worker",
            RoleChoice::Manager => "manager",
        }
    }

    /// As the cluster has it.
    pub(super) fn role(self) -> NodeRole {
        match self {
            RoleChoice::Worker => NodeRole::Worker,
            RoleChoice::Manager => NodeRole::Manager,
        }
    }
}

/// What was said before the command's name.
#[derive(Clone, Debug, Default)]
pub(super) struct GlobalArgs(pub ReadArgs);

/// What a command reads from, all of it decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ManagerAddress {
    /// The first manager that answers of those behind these sockets; at least one.
    Sockets(Vec<PathBuf>),
    /// The folder of a stopped one.
    Folder(StoppedFolder),
}

/// The folder of a stopped manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoppedFolder {
    pub(super) dir: PathBuf,
    /// Where the key lies that opens it, if it is locked.
    pub(super) unlock_key_file: Option<PathBuf>,
}

impl GlobalArgs {
    /// The socket for a command that changes something, or that is about now.
    pub(super) fn host(&self, own: &Host) -> CliResult<ManagerAddress> {
        self.no_moment()?;
        if self.0.source.state_dir.is_some() {
            return Err(CliError::usage(
                "--state-dir reads a stopped manager; this command needs one that runs",
            )
            .hint("start it with `skep daemon`, or name its socket with --host"));
        }
        sockets(own, &self.0.source.host).map(ManagerAddress::Sockets)
    }

    /// The one socket for a command that is about its own daemon: with several it would be left to
    /// chance which machine it is about.
    pub(super) fn daemon(&self, own: &Host) -> CliResult<ManagerAddress> {
        let address = self.host(own)?;
        match &address {
            ManagerAddress::Sockets(named) if named.len() > 1 => {
                let message = format!(
                    "{} sockets are named, and this command is about the daemon of one machine",
                    named.len()
                );
                Err(CliError::usage(message).hint("name its socket alone, with --host"))
            }
            ManagerAddress::Sockets(_) | ManagerAddress::Folder(_) => Ok(address),
        }
    }

    /// Socket or folder for a command that reads what is true now.
    pub(super) fn source(&self, own: &SourceArgs) -> CliResult<ManagerAddress> {
        self.no_moment()?;
        self.target(own)
    }

    /// Socket or folder, and the moment.
    pub(super) fn read(&self, own: &ReadArgs) -> CliResult<(ManagerAddress, Option<Moment>)> {
        let target = self.target(&own.source)?;
        Ok((target, own.at.as_ref().or(self.0.at.as_ref()).map(meant)))
    }

    /// Refuses all of it, for commands that ask nobody.
    pub(super) fn nothing(&self) -> CliResult {
        let top = &self.0;
        if top.at.is_some() || top.source.state_dir.is_some() || !top.source.host.host.is_empty() {
            return Err(CliError::usage(
                "--host, --state-dir and --at have no effect before this command",
            )
            .hint("put the command's own flags after its name"));
        }
        Ok(())
    }

    /// Socket or folder, whatever the moment.
    pub(super) fn target(&self, own: &SourceArgs) -> CliResult<ManagerAddress> {
        let outer = self.0.source.state_dir.as_ref().filter(|_| own.host.host.is_empty());
        let folder = own.state_dir.as_ref().or(outer);
        match folder {
            Some(folder) => match file_in_place_of(folder) {
                Some(file) => Err(CliError::usage(format!(
                    "--state-dir {}: {} is not a folder",
                    folder.display(),
                    file.display()
                ))
                .hint("name the state folder of a manager that is stopped")),
                None => {
                    let given = own.unlock_key_file.clone();
                    let unlock_key_file = given.or_else(|| self.0.source.unlock_key_file.clone());
                    let dir = folder.clone();
                    Ok(ManagerAddress::Folder(StoppedFolder { dir, unlock_key_file }))
                }
            },
            None => sockets(&own.host, &self.0.source.host).map(ManagerAddress::Sockets),
        }
    }

    fn no_moment(&self) -> CliResult {
        match self.0.at {
            None => Ok(()),
            Some(_) => {
                Err(CliError::usage("--at reads the past; this command is about the present")
                    .hint("leave --at out"))
            }
        }
    }
}

/// The moment that was written; how it was read is said where that is in doubt.
pub(super) fn meant(at: &ParsedTime<moment::Moment>) -> Moment {
    at.note.iter().for_each(|note| talk(&format!("note: {note}")));
    Moment { moment: Some(at.value) }
}

fn sockets(own: &Host, top: &Host) -> CliResult<Vec<PathBuf>> {
    let said = [own, top].into_iter().find(|host| !host.host.is_empty());
    let named = match (said, std::env::var(HOST_VARIABLE)) {
        (Some(host), _) => host.host.clone(),
        (None, Ok(text)) if !text.is_empty() => of_variable(&text)?,
        (None, Ok(_) | Err(_)) => vec![PathBuf::from(DEFAULT_SOCKET)],
    };
    if named.len() > SOCKETS_MAX {
        let message = format!("{} sockets are named, and {SOCKETS_MAX} may be", named.len());
        return Err(CliError::usage(message).hint("name those of the nearest managers"));
    }
    Ok(named)
}

fn of_variable(text: &str) -> CliResult<Vec<PathBuf>> {
    let read = text.split(',').map(|one| parse::socket(one.trim()));
    read.collect::<Result<_, _>>()
        .map_err(|message| CliError::usage(format!("{HOST_VARIABLE}: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_socket(path: &str) -> SourceArgs {
        SourceArgs { host: Host { host: vec![path.into()] }, ..SourceArgs::default() }
    }

    #[test]
    fn what_stands_nearer_to_the_command_wins() {
        let at = |path: &str| ManagerAddress::Sockets(vec![path.into()]);
        let top = GlobalArgs(ReadArgs { source: at_socket("/top"), at: None });
        assert_eq!(top.source(&at_socket("/own")), Ok(at("/own")));
        assert_eq!(top.source(&SourceArgs::default()), Ok(at("/top")));
        let folder = SourceArgs { state_dir: Some("/dir".into()), ..SourceArgs::default() };
        let stopped = StoppedFolder { dir: "/dir".into(), unlock_key_file: None };
        assert_eq!(top.source(&folder), Ok(ManagerAddress::Folder(stopped)));
    }

    #[test]
    fn a_moment_is_refused_where_only_now_can_be_meant() {
        let at = ParsedTime { value: moment::Moment::Revision(3), note: None };
        let top = GlobalArgs(ReadArgs { source: at_socket("/top"), at: Some(at) });
        assert!(top.host(&Host::default()).is_err());
        let (_, moment) = top.read(&ReadArgs::default()).expect("a read takes it");
        assert_eq!(moment.and_then(|m| m.moment), Some(moment::Moment::Revision(3)));
    }

    #[test]
    fn several_sockets_are_named_by_a_variable_with_commas() {
        let named = of_variable("unix:///a, /b,unix:///c").expect("they are sockets");
        assert_eq!(named, ["/a", "/b", "/c"].map(PathBuf::from));
        assert!(of_variable("/a,").is_err(), "the last one is empty");
        assert!(of_variable("/a,10.0.0.1:2377").is_err());
    }

    #[test]
    fn a_command_about_one_daemon_takes_one_socket() {
        let top = GlobalArgs::default();
        let named = |count: usize| Host { host: vec!["/a".into(); count] };
        assert!(top.host(&named(SOCKETS_MAX)).is_ok());
        assert!(top.host(&named(SOCKETS_MAX + 1)).is_err());
        assert!(top.daemon(&named(1)).is_ok());
        let failure = top.daemon(&named(2)).expect_err("which one?");
        assert!(failure.message().starts_with("2 sockets are named"), "{failure}");
    }
}
