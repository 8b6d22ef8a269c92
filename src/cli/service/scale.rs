//! `skep service scale`

use super::{
    each_is_there, find, id_of,
    wait::{self, WaitArgs},
};
use crate::cli::{
    args::{ChangeArgs, GlobalArgs},
    connect::{self, Failures, ManagerClient},
    fail::CliResult,
    parse, show,
};
use clap::Args;
use skep_proto::v1::{Accepted, ScaleService, command::Action};

/// `skep service scale`
#[derive(Args)]
pub(crate) struct Scale {
    /// Services, each with its new number of tasks
    #[arg(value_name = "SERVICE=REPLICAS", required = true, value_parser = parse::scale)]
    wishes: Vec<(String, u64)>,
    #[command(flatten)]
    waiting: WaitArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(top: &GlobalArgs, args: Scale) -> CliResult {
    let names: Vec<String> = args.wishes.iter().map(|(name, _)| name.clone()).collect();
    connect::once_each("service", &names, &names)?;
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    each_is_there(&manager, &names).await?;
    let clock = args.waiting.begin();
    let mut submitter =
        manager.submitter(args.change.reason.as_deref()).await?.within(args.waiting.limit());
    let mut failures = Failures::default();
    let mut scaled: Vec<(String, Accepted)> = Vec::new();
    for (index, (service, replicas)) in args.wishes.into_iter().enumerate() {
        let action = Action::ScaleService(ScaleService { service: service.clone(), replicas });
        match submitter.submit(action).await {
            Ok(accepted) => {
                failures.note(show::say(&format!("{service} scaled to {replicas}")));
                scaled.push((service, accepted));
            }
            Err(failure) if failure.is_unreachable() => {
                return failures.give_up(failure, &names[index + 1..]);
            }
            Err(failure) => failures.note(Err(failure)),
        }
    }
    for (service, accepted) in scaled {
        let id = match find(&manager, None, vec![service.clone()]).await?.first() {
            Some(service) => id_of(service).to_string(),
            None => continue,
        };
        failures.note(
            wait::until_it_runs(&manager, (&id, &service), &accepted, &args.waiting, clock).await,
        );
    }
    failures.end()
}
