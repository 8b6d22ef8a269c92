//! Flags that Docker has and nobody acts on here. They are known, so that the answer can say what
//! to use instead; they are not shown, since a flag that does nothing does not exist.

use crate::cli::fail::{CliError, CliResult};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, parser::ValueSource};

/// Flags of `docker service create` that are refused: name, whether a value follows, what to use
/// instead.
const CREATE: &[(&str, bool, &str)] = &[
    ("cap-add", true, "leave it out"),
    ("cap-drop", true, "leave it out"),
    ("config", true, "mount a file: --mount type=bind,…"),
    ("credential-spec", true, "leave it out"),
    ("dns", true, "leave it out: tasks use their node's"),
    ("dns-option", true, "leave it out: tasks use their node's"),
    ("dns-search", true, "leave it out: tasks use their node's"),
    ("endpoint-mode", true, "leave it out; ports are published with mode=host"),
    ("generic-resource", true, "label nodes and use --constraint"),
    ("group", true, "leave it out"),
    ("host", true, "leave it out"),
    ("isolation", true, "leave it out"),
    ("limit-pids", true, "leave it out"),
    ("log-driver", true, "leave it out: output is kept on the node, see `skep service logs`"),
    ("log-opt", true, "leave it out: output is kept on the node, see `skep service logs`"),
    ("max-concurrent", true, "jobs are not built: use --restart-condition none"),
    ("memory-swap", true, "use --limit-memory"),
    ("memory-swappiness", true, "use --limit-memory"),
    ("no-resolve-image", false, "leave it out: each node takes the image that it has, or pulls it"),
    ("oom-score-adj", true, "leave it out"),
    ("placement-pref", true, "leave it out: tasks are spread over nodes anyway"),
    ("rollback-delay", true, ROLLOUT),
    ("rollback-failure-action", true, ROLLOUT),
    ("rollback-max-failure-ratio", true, ROLLOUT),
    ("rollback-monitor", true, ROLLOUT),
    ("rollback-order", true, ROLLOUT),
    ("rollback-parallelism", true, ROLLOUT),
    ("secret", true, "mount a file: --mount type=bind,…"),
    ("sysctl", true, "leave it out"),
    ("ulimit", true, "leave it out"),
    ("update-delay", true, ROLLOUT),
    ("update-failure-action", true, ROLLOUT),
    ("update-max-failure-ratio", true, ROLLOUT),
    ("update-monitor", true, ROLLOUT),
    ("update-order", true, ROLLOUT),
    ("update-parallelism", true, ROLLOUT),
    ("with-registry-auth", false, "log in on the nodes"),
];
const ROLLOUT: &str =
    "leave it out: an update replaces one task at a time, stop-first, and pauses at a failure";
/// Of those, the ones that `docker service update` has as pairs that add and take away.
const PAIRS: &[(&str, &str, &str)] = &[
    ("config", "config-add", "config-rm"),
    ("dns", "dns-add", "dns-rm"),
    ("dns-option", "dns-option-add", "dns-option-rm"),
    ("dns-search", "dns-search-add", "dns-search-rm"),
    ("generic-resource", "generic-resource-add", "generic-resource-rm"),
    ("group", "group-add", "group-rm"),
    ("host", "host-add", "host-rm"),
    ("placement-pref", "placement-pref-add", "placement-pref-rm"),
    ("secret", "secret-add", "secret-rm"),
    ("sysctl", "sysctl-add", "sysctl-rm"),
    ("ulimit", "ulimit-add", "ulimit-rm"),
];

/// The first refused flag of a `service create`.
pub(super) struct ForCreate(Option<Refused>);
/// The first refused flag of a `service update`.
pub(super) struct ForUpdate(Option<Refused>);

/// A flag's name, whether a value follows, what to use instead.
type Refused = (&'static str, bool, &'static str);

fn for_create() -> Vec<Refused> {
    // `--host` names the manager here, as everywhere.
    CREATE.iter().filter(|(name, ..)| *name != "host").copied().collect()
}

fn for_update() -> Vec<Refused> {
    let mut flags = vec![(
        "rollback",
        false,
        "see the earlier spec with `skep --at REVISION service inspect`, and set it",
    )];
    for (name, value, instead) in
        CREATE.iter().copied().filter(|(name, ..)| *name != "max-concurrent")
    {
        match PAIRS.iter().find(|(single, ..)| *single == name) {
            Some((_, add, rm)) => flags.extend([(*add, value, instead), (*rm, value, instead)]),
            None => flags.push((name, value, instead)),
        }
    }
    flags
}

fn augment(mut command: Command, flags: Vec<Refused>) -> Command {
    for (name, value, _) in flags {
        let arg = Arg::new(name).long(name).hide(true);
        let arg = if value {
            arg.action(ArgAction::Append).allow_hyphen_values(true)
        } else {
            arg.action(ArgAction::Count)
        };
        command = command.arg(arg);
    }
    command
}

fn given(matches: &ArgMatches, flags: Vec<Refused>) -> Option<Refused> {
    flags
        .into_iter()
        .find(|(name, ..)| matches.value_source(name) == Some(ValueSource::CommandLine))
}

fn refuse(flag: Option<Refused>) -> CliResult {
    match flag {
        None => Ok(()),
        Some((name, _, instead)) => {
            Err(CliError::usage(format!("--{name} is not supported yet")).hint(instead))
        }
    }
}

macro_rules! refused_flags {
    ($name:ident, $flags:ident) => {
        impl $name {
            /// Refuses the flag, if there is one.
            pub(super) fn check(&self) -> CliResult {
                refuse(self.0)
            }
        }
        impl FromArgMatches for $name {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
                Ok($name(given(matches, $flags())))
            }
            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
                self.0 = given(matches, $flags());
                Ok(())
            }
        }
        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                augment(command, $flags())
            }
            fn augment_args_for_update(command: Command) -> Command {
                augment(command, $flags())
            }
        }
    };
}

refused_flags!(ForCreate, for_create);
refused_flags!(ForUpdate, for_update);

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered to these words of a command that has the flags of `A`.
    fn answer<A: Args>(words: &[&str], check: impl Fn(&A) -> CliResult) -> CliResult {
        let command = A::augment_args(Command::new("service"));
        let matches = command.try_get_matches_from(["service"].iter().chain(words));
        check(&A::from_arg_matches(&matches.expect("each flag is known")).expect("it is read"))
    }

    fn refused(name: &str, instead: &str) -> CliResult {
        Err(CliError::usage(format!("--{name} is not supported yet")).hint(instead))
    }

    #[test]
    fn each_flag_is_refused_with_what_to_use_instead() {
        for (name, takes_value, instead) in for_create() {
            let flag = format!("--{name}");
            let words = if takes_value { vec![flag.as_str(), "-1"] } else { vec![flag.as_str()] };
            assert_eq!(answer(&words, ForCreate::check), refused(name, instead));
        }
        for (name, takes_value, instead) in for_update() {
            let flag = format!("--{name}");
            let words = if takes_value { vec![flag.as_str(), "-1"] } else { vec![flag.as_str()] };
            assert_eq!(answer(&words, ForUpdate::check), refused(name, instead));
        }
        assert_eq!(answer(&[], ForCreate::check), Ok(()));
        assert_eq!(answer(&[], ForUpdate::check), Ok(()));
        assert_eq!(
            answer(&["--dns-add", "a", "--secret-rm", "b"], ForUpdate::check),
            refused("dns-add", "leave it out: tasks use their node's"),
            "the first of several"
        );
    }

    #[test]
    fn what_a_read_command_line_says_can_be_replaced() {
        let parsed = |words: &[&str]| {
            let command = ForCreate::augment_args_for_update(Command::new("service"));
            command.try_get_matches_from(words).expect("each flag is known")
        };
        let mut flags = ForCreate(None);
        let outcome = flags.update_from_arg_matches(&parsed(&["service", "--ulimit", "1"]));
        assert!(outcome.is_ok());
        assert_eq!(flags.check(), refused("ulimit", "leave it out"));
    }

    #[test]
    fn an_update_has_pairs_where_a_creation_has_single_flags() {
        let names = |flags: Vec<Refused>| flags.iter().map(|(name, ..)| *name).collect::<Vec<_>>();
        let (create, update) = (names(for_create()), names(for_update()));
        assert!(create.contains(&"dns") && create.contains(&"max-concurrent"));
        assert!(!create.contains(&"host"), "it names the manager");
        assert!(!update.contains(&"dns") && !update.contains(&"max-concurrent"));
        assert!(update.contains(&"host-add") && update.contains(&"host-rm"));
        assert_eq!(update[0], "rollback");
        assert_eq!(create.len(), CREATE.len() - 1);
        assert_eq!(update.len(), CREATE.len() + PAIRS.len());
    }
}
