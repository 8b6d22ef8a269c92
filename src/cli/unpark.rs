//! `skep unpark`: lets the reconcilers work again on an object that was parked when one of them
//! failed on it.

use super::{
    args::{ChangeArgs, GlobalArgs},
    connect::ManagerClient,
    fail::CliResult,
    parse, show,
};
use clap::Args;
use skep_proto::v1::{ReleaseObject, command::Action};

/// `skep unpark`
#[derive(Args)]
pub(super) struct Unpark {
    /// A service, node or task by name or id, as `skep doctor` names it
    #[arg(value_name = "OBJECT", value_parser = parse::reference)]
    object: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(top: &GlobalArgs, args: Unpark) -> CliResult {
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
    let object = args.object.clone();
    submitter.submit(Action::ReleaseObject(ReleaseObject { object })).await?;
    show::say(&args.object)
}
