//! The program about itself: version, completions, manual pages. None of them asks a manager.

use super::{
    Cli,
    args::GlobalArgs,
    fail::{CliError, CliResult},
    show,
};
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use serde_json::json;
use skep_proto::os_error;
use std::path::PathBuf;

/// `skep version`
#[derive(Args)]
pub(super) struct Version {
    /// table or json
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// `skep completions`
#[derive(Args)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

/// `skep man`
#[derive(Args)]
pub(super) struct Man {
    /// Where the pages go; made if it is not there
    dir: PathBuf,
}

pub(super) fn version(top: &GlobalArgs, args: &Version) -> CliResult {
    top.nothing()?;
    let version = env!("CARGO_PKG_VERSION");
    match args.format.as_deref() {
        None | Some("table") => show::say(&format!("skep {version}")),
        Some("json") => {
            let level = skep_proto::FEATURE_LEVEL;
            show::say_json(&json!({"version": version, "feature_level": level}))
        }
        Some(other) => Err(CliError::usage(format!("format {other:?} is unknown here"))
            .hint("choose table or json")),
    }
}

pub(super) fn completions(top: &GlobalArgs, args: &Completions) -> CliResult {
    top.nothing()?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(&Cli::command()), "skep", &mut script);
    show::write_raw(&[&script])
}

/// The command without what its help does not show: it is there to be refused with advice, and is
/// not to be offered.
fn visible(command: &Command) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let commands = command.get_subcommands().filter(|one| !one.is_hide_set());
    Command::new(kept(command.get_name()))
        .about(about)
        .visible_aliases(command.get_visible_aliases().map(kept).collect::<Vec<_>>())
        .args(args.cloned())
        .subcommands(commands.map(visible))
}

/// The parser takes only names that last as long as the program, which ends after this.
fn kept(name: &str) -> &'static str {
    name.to_owned().leak()
}

pub(super) fn man(top: &GlobalArgs, args: &Man) -> CliResult {
    top.nothing()?;
    let failed = |error: std::io::Error| {
        CliError::refused(format!(
            "the manual cannot be written to {}: {}",
            args.dir.display(),
            os_error::message(&error)
        ))
        .caused_by(error)
    };
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(command: &Command, path: &str, found: &mut Vec<String>) {
        let args = command.get_arguments().filter(|arg| arg.is_hide_set());
        found.extend(args.map(|arg| format!("{path} {}", arg.get_id())));
        for one in command.get_subcommands() {
            let path = format!("{path} {}", one.get_name());
            if one.is_hide_set() {
                found.push(path.clone());
            }
            hidden(one, &path, found);
        }
    }

    #[test]
    fn completions_offer_nothing_that_is_hidden() {
        let mut all = Vec::new();
        hidden(&Cli::command(), "skep", &mut all);
        assert!(all.iter().any(|path| path == "skep ps"), "{all:?}");
        let mut left = Vec::new();
        hidden(&visible(&Cli::command()), "skep", &mut left);
        assert_eq!(left, Vec::<String>::new());
        let mut script = Vec::new();
        let shell = clap_complete::Shell::Bash;
        clap_complete::generate(shell, &mut visible(&Cli::command()), "skep", &mut script);
        let script = String::from_utf8(script).expect("text");
        assert!(script.contains("skep__service__create") || script.contains("create"), "{script}");
        assert!(!script.contains("promote") && !script.contains("swarm"), "{script}");
    }
}
