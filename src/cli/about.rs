//! The program about itself: version, completions, manual pages. None of them asks a manager.

use super::{
    Cli,
    args::Top,
    fail::{CliError, CliResult, reason},
    show,
};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;
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

pub(super) fn version(top: &Top, args: &Version) -> CliResult {
    top.nothing()?;
    let version = env!("CARGO_PKG_VERSION");
    match args.format.as_deref() {
        None | Some("table") => show::say(&format!("skep {version}")),
        Some("json") => {
            let level = skep_proto::FEATURE_LEVEL;
            show::say_json(&json!({"version": version, "feature_level": level}))
        }
        Some(other) => Err(CliError::usage(format!("format {other:?} is unknown here"))
            .hint("there are table and json")),
    }
}

pub(super) fn completions(top: &Top, args: &Completions) -> CliResult {
    top.nothing()?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skep", &mut script);
    show::write_raw(&[&script])
}

pub(super) fn man(top: &Top, args: &Man) -> CliResult {
    top.nothing()?;
    let failed = |error: std::io::Error| {
        CliError::refused(format!(
            "the manual cannot be written to {}: {}",
            args.dir.display(),
            reason(&error)
        ))
        .caused_by(error)
    };
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(failed)
}
