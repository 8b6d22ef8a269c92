//! `skep cluster unlock` and `skep cluster unlock-key`.

use crate::cli::{
    args::{ChangeArgs, GlobalArgs, Host},
    connect::ManagerClient,
    fail::{CliError, CliResult},
    show, unlock_key,
};
use clap::Args;
use skep_proto::v1::{RotateUnlockKey, UnlockKeyRequest, UnlockManager, command::Action};
use std::path::PathBuf;

const NO_KEY: &str = "no unlock key is set: managers of this cluster start without one";

/// `skep cluster unlock`
#[derive(Args)]
pub(in crate::cli) struct UnlockArgs {
    /// A file with the key [default: it is read from the standard input]
    #[arg(long, value_name = "FILE")]
    unlock_key_file: Option<PathBuf>,
    #[command(flatten)]
    host: Host,
}

/// `skep cluster unlock-key`
#[derive(Args)]
pub(in crate::cli) struct UnlockKeyArgs {
    /// Make a new key first; managers that run take it at once
    #[arg(long)]
    rotate: bool,
    /// Show the key alone
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn unlock(top: &GlobalArgs, args: UnlockArgs) -> CliResult {
    let daemon = ManagerClient::connect(&top.daemon(&args.host)?).await?;
    let key = match &args.unlock_key_file {
        Some(path) => unlock_key::in_file(path)?,
        None => unlock_key::typed()?,
    };
    let key = key.to_text().to_string();
    daemon.local().unlock(UnlockManager { key }).await?;
    show::say("This manager was unlocked.")
}

pub(super) async fn unlock_key(top: &GlobalArgs, args: UnlockKeyArgs) -> CliResult {
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    if args.rotate {
        let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
        submitter.submit(Action::RotateUnlockKey(RotateUnlockKey {})).await?;
        if !args.quiet {
            show::say("Successfully rotated manager unlock key.\n")?;
        }
    }
    if args.quiet {
        return match key(&manager).await? {
            key if key.is_empty() => Err(CliError::refused(NO_KEY)),
            key => show::say(&key),
        };
    }
    show_key(&manager).await
}

async fn key(manager: &ManagerClient) -> CliResult<String> {
    Ok(manager.membership().unlock_key(UnlockKeyRequest {}).await?.into_inner().key)
}

/// Shows the key, and what it is for.
pub(super) async fn show_key(manager: &ManagerClient) -> CliResult {
    let key = key(manager).await?;
    if key.is_empty() {
        show::talk(NO_KEY);
        return Ok(());
    }
    show::say(&format!(
        "To unlock a manager after it restarts, run `skep cluster unlock` there and give this\nkey:\n\n    \
         {key}\n\nKeep it in a password manager: without it no manager can be started again."
    ))
}
