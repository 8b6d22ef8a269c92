//! The program about itself: version, completions, manual pages. None of them asks a manager.

use super::{
    Cli,
    args::GlobalArgs,
    fail::{CliError, CliResult},
    show,
    synopsis::with_synopses,
};
use crate::daemon::file_in_place_of;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use serde_json::json;
use skep_proto::os_error;
use std::path::{Path, PathBuf};

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
pub(super) struct Manual {
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

pub(super) fn man(top: &GlobalArgs, args: &Manual) -> CliResult {
    top.nothing()?;
    let failed = |error: std::io::Error| {
        CliError::refused(format!(
            "the manual cannot be written to {}: {}",
            args.dir.display(),
            os_error::message(&error)
        ))
        .caused_by(error)
    };
    if let Some(file) = file_in_place_of(&args.dir) {
        let (dir, file) = (args.dir.display(), file.display());
        return Err(CliError::usage(format!("the manual's folder {dir}: {file} is not a folder"))
            .hint("name a folder, or one to be made"));
    }
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    pages(&with_synopses(command), &args.dir).map_err(failed)
}

/// A page for the command, and one for each below it that its help shows.
fn pages(command: &Command, dir: &Path) -> std::io::Result<()> {
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    shown.into_iter().try_for_each(|one| pages(one, dir))?;
    let source = concat!("skep ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).source(source).manual("skep").generate_to(dir).map(drop)
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
        assert!(script.contains("promote") && !script.contains("stats"), "{script}");
    }
}
