//! The cluster's own settings: `skep cluster update`, the same flags of `init`, and `inspect`.

use super::unlocking;
use crate::cli::{
    args::{ChangeArgs, GlobalArgs, InspectStyle, ReadArgs},
    connect::{EditTries, ManagerClient, Submitter},
    fail::{CliError, CliResult},
    parse,
    show::{self, Inspection, TableField, TableLayout, TableRow, duration_text, local_time, pairs},
};
use clap::Args;
use skep_proto::{
    Id, defaults, json,
    v1::{Cluster, ClusterSpec, GetRequest, RefusalCode, UpdateCluster, command::Action},
};
use std::time::Duration;

/// Settings that are given; the others stay as they are.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct SettingsArgs {
    /// How long certificates of nodes are valid, 1h at least [default: 2160h, which is 90 days]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    cert_expiry: Option<Duration>,
    /// How often agents say that they live [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    dispatcher_heartbeat: Option<Duration>,
    /// Ended tasks kept for each slot; -1 keeps all [default: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    task_history_limit: Option<i64>,
    /// Lock managers: one that is started again needs the unlock key [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    autolock: Option<bool>,
}

impl SettingsArgs {
    fn is_empty(&self) -> bool {
        *self
            == SettingsArgs {
                cert_expiry: None,
                dispatcher_heartbeat: None,
                task_history_limit: None,
                autolock: None,
            }
    }

    fn change(&self, spec: &mut ClusterSpec) {
        let ns = |given: Duration| u64::try_from(given.as_nanos()).unwrap_or(u64::MAX);
        if let Some(expiry) = self.cert_expiry {
            spec.node_certificate_expiry_ns = Some(ns(expiry));
        }
        if let Some(period) = self.dispatcher_heartbeat {
            spec.heartbeat_period_ns = Some(ns(period));
        }
        if let Some(limit) = self.task_history_limit {
            spec.task_history_limit = Some(limit);
        }
        if let Some(autolock) = self.autolock {
            spec.auto_lock = autolock;
        }
    }

    /// Whether managers are to be locked from now on.
    pub(super) fn locks(&self) -> bool {
        self.autolock == Some(true)
    }

    /// The settings of a cluster that begins with these.
    pub(super) fn of_new_cluster(&self) -> ClusterSpec {
        let mut spec = ClusterSpec::default();
        self.change(&mut spec);
        spec
    }

    /// Changes what is given, and nothing else, however many others change settings meanwhile.
    pub(super) async fn apply(
        &self,
        manager: &ManagerClient,
        submitter: &mut Submitter,
    ) -> CliResult {
        let mut tries = EditTries::begin(None);
        while !self.is_empty() {
            let cluster = manager.control().get_cluster(GetRequest::default()).await?.into_inner();
            let version = cluster.meta.as_ref().map_or(0, |meta| meta.version);
            let mut spec = cluster.spec.unwrap_or_default();
            self.change(&mut spec);
            let update = UpdateCluster { version, spec: Some(spec) };
            match submitter.submit(Action::UpdateCluster(Box::new(update))).await {
                Ok(_) => break,
                Err(failure) if failure.code() == RefusalCode::OutOfSequence => {
                    tries.pause(failure).await?;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}

/// `skep cluster update`
#[derive(Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn update(top: &GlobalArgs, args: UpdateArgs) -> CliResult {
    if args.settings.is_empty() {
        return Err(CliError::usage("nothing is to be changed")
            .hint("`skep cluster update --help` lists the settings"));
    }
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
    args.settings.apply(&manager, &mut submitter).await?;
    show::say("Cluster updated.")?;
    match args.settings.locks() {
        true => unlocking::show_key(&manager).await,
        false => Ok(()),
    }
}

/// `skep cluster inspect`
#[derive(Args)]
pub(in crate::cli) struct InspectArgs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: InspectStyle,
}

const CLUSTER_LAYOUT: TableLayout =
    TableLayout { message: "Cluster", fields: &[TableField::unlisted("ID")], filters: &[] };

pub(super) async fn inspect(top: &GlobalArgs, args: InspectArgs) -> CliResult {
    let look = Inspection::look(&args.style, &CLUSTER_LAYOUT)?;
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let asked = GetRequest { moment };
    let cluster = manager.control().get_cluster(asked).await?.into_inner();
    let (id, json) = (Id::from_bytes(&cluster.id).to_string(), json::render(&cluster));
    match look {
        // There is one cluster, and no list around it.
        Inspection::Json => show::say_json(&json),
        Inspection::Pretty | Inspection::Template(_) => {
            let row = TableRow { cells: vec![id.clone()], mark: "", json, id };
            look.print(&[row], |_| pretty(&cluster))
        }
    }
}

fn pretty(cluster: &Cluster) -> String {
    let meta = cluster.meta.unwrap_or_default();
    let spec = cluster.spec.clone().unwrap_or_default();
    let history = match spec.task_history_limit.unwrap_or(defaults::TASK_HISTORY_LIMIT) {
        ..0 => "all".to_owned(),
        limit => limit.to_string(),
    };
    pairs(&[
        ("ID", Id::from_bytes(&cluster.id).to_string()),
        ("Created at", local_time(meta.created_at)),
        ("Changed at", local_time(meta.updated_at)),
        ("Feature level", cluster.feature_level.to_string()),
        ("Heartbeat", duration_text(defaults::heartbeat_period_ns(&spec)).to_lowercase()),
        ("Certificates for", duration_text(defaults::certificate_expiry_ns(&spec)).to_lowercase()),
        ("Ended tasks kept", history),
        ("Managers locked", if spec.auto_lock { "yes" } else { "no" }.to_owned()),
    ])
}
