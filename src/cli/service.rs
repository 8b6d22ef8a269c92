//! Services: what people want run.

mod create;
mod flags;
mod health;
mod patience;
mod pretty;
mod progress;
mod scale;
mod unsupported;
mod update;
mod verdict;
mod wait;

use super::{
    absent::{Absent, Docker},
    args::{ChangeArgs, GlobalArgs, InspectStyle, ListStyle, ReadArgs},
    connect::{self, ManagerClient},
    fail::CliResult,
    logs, parse,
    show::{CellCut, Inspection, TableField, TableLayout, TableRow, Truncation, short_id},
    task,
};
use clap::{Args, Subcommand};
use skep_proto::{
    Id, defaults, json,
    v1::{self, Service, command::Action, service_mode::Mode},
};

/// `skep service …`
#[derive(Subcommand)]
pub(super) enum ServiceCommand {
    /// Create a service and wait until it runs
    Create(Box<create::Create>),
    /// List services
    #[command(visible_alias = "list")]
    Ls(ServiceLs),
    /// List the tasks of services, ended ones too
    Ps(ServicePs),
    /// Show everything about services
    Inspect(ServiceInspect),
    /// Change a service and wait until the change runs
    Update(Box<update::ServiceUpdate>),
    /// Change how many tasks services have, and wait until they run
    Scale(scale::Scale),
    /// Remove services and stop their tasks
    #[command(visible_alias = "remove")]
    Rm(ServiceRm),
    /// Show what a service's tasks have written
    Logs(logs::ServiceLogs),
    #[command(hide = true)]
    Rollback(Absent),
}

/// `skep service ls`
#[derive(Args)]
pub(super) struct ServiceLs {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: ListStyle,
}

/// `skep service ps`
#[derive(Args)]
pub(super) struct ServicePs {
    /// Services by name, id or the beginning of an id
    #[arg(value_name = "SERVICE", required = true, value_parser = parse::reference)]
    services: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: ListStyle,
}

/// `skep service inspect`
#[derive(Args)]
pub(super) struct ServiceInspect {
    /// Services by name, id or the beginning of an id
    #[arg(value_name = "SERVICE", required = true, value_parser = parse::reference)]
    services: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    style: InspectStyle,
}

/// `skep service rm`
#[derive(Args)]
pub(super) struct ServiceRm {
    /// Services by name, id or the beginning of an id
    #[arg(value_name = "SERVICE", required = true, value_parser = parse::reference)]
    services: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

const SERVICE_TABLE: TableLayout = TableLayout {
    message: "Service",
    fields: &[
        TableField::cut("ID", "ID", CellCut::KeepId(12)),
        TableField::cut("Name", "NAME", CellCut::KeepEnds(8)),
        TableField::whole("Mode", "MODE"),
        TableField::whole("Replicas", "REPLICAS"),
        TableField::cut("Image", "IMAGE", CellCut::KeepEnd(8)),
        TableField::cut("Ports", "PORTS", CellCut::KeepStart(8)),
        TableField::cut("Status", "STATUS", CellCut::KeepCause),
    ],
    filters: &["id", "label", "mode", "name"],
};

pub(super) async fn run(top: &GlobalArgs, command: ServiceCommand) -> CliResult {
    match command {
        ServiceCommand::Create(args) => create::run(top, *args).await,
        ServiceCommand::Ls(args) => ls(top, args).await,
        ServiceCommand::Ps(args) => ps(top, args).await,
        ServiceCommand::Inspect(args) => inspect(top, args).await,
        ServiceCommand::Update(args) => update::run(top, *args).await,
        ServiceCommand::Scale(args) => scale::run(top, args).await,
        ServiceCommand::Rm(args) => rm(top, args).await,
        ServiceCommand::Logs(args) => logs::of_services(top, args).await,
        ServiceCommand::Rollback(_) => Docker::Rollback.refuse(),
    }
}

async fn ls(top: &GlobalArgs, args: ServiceLs) -> CliResult {
    let (look, filters) = (SERVICE_TABLE.look(&args.style)?, SERVICE_TABLE.filters(&args.style)?);
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let asked = v1::ListRequest { moment, filters, ..v1::ListRequest::default() };
    let services = manager.control().list_services(asked).await?.into_inner().services;
    let rows: Vec<TableRow> =
        services.iter().map(|service| row(service, args.style.truncation())).collect();
    SERVICE_TABLE.print(&look, &rows)
}

async fn ps(top: &GlobalArgs, args: ServicePs) -> CliResult {
    let (look, filters) =
        (task::TASK_TABLE.look(&args.style)?, task::TASK_TABLE.filters(&args.style)?);
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let services = find(&manager, moment, args.services).await?;
    let ids = services.iter().map(|service| id_of(service).to_string()).collect();
    let list = task::of(&manager, moment, filters, "service", ids).await?;
    task::TASK_TABLE.print(&look, &task::rows(&list, args.style.truncation()))
}

async fn inspect(top: &GlobalArgs, args: ServiceInspect) -> CliResult {
    let look = Inspection::look(&args.style, &SERVICE_TABLE)?;
    let (manager, moment) = ManagerClient::for_read(top, &args.read).await?;
    let services = find(&manager, moment, args.services).await?;
    let rows: Vec<TableRow> =
        services.iter().map(|service| row(service, Truncation::Full)).collect();
    look.print(&rows, |at| pretty::pretty(&services[at]))
}

async fn rm(top: &GlobalArgs, args: ServiceRm) -> CliResult {
    let manager = ManagerClient::connect(&top.host(&args.change.host)?).await?;
    each_is_there(&manager, &args.services).await?;
    let mut submitter = manager.submitter(args.change.reason.as_deref()).await?;
    let action = |index: usize| {
        Action::RemoveService(v1::RemoveService { service: args.services[index].clone() })
    };
    submitter.each(&args.services, action).await
}

/// The services of these names; one that is not there is the manager's error.
async fn find(
    manager: &ManagerClient,
    moment: Option<v1::Moment>,
    objects: Vec<String>,
) -> CliResult<Vec<Service>> {
    let asked = v1::ListRequest { moment, objects, ..v1::ListRequest::default() };
    Ok(manager.control().list_services(asked).await?.into_inner().services)
}

/// Refuses a list of services of which one is not there or is named twice, before the others are
/// touched. One alone is left to the manager.
async fn each_is_there(manager: &ManagerClient, names: &[String]) -> CliResult {
    if names.len() < 2 {
        return Ok(());
    }
    let found = find(manager, None, names.to_vec()).await;
    let found = found.map_err(|failure| failure.and("nothing was changed"))?;
    connect::once_each("service", names, found.iter().map(|service| &service.id))
}

fn id_of(service: &Service) -> Id {
    Id::from_bytes(&service.id)
}

fn name_of(service: &Service) -> &str {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.annotations.as_ref())
        .map_or("", |annotations| annotations.name.as_str())
}

/// Why a service is not as it should be; nothing where it is.
fn trouble(service: &Service) -> String {
    let status = service.status.unwrap_or_default();
    if !service.parked.is_empty() {
        return format!("parked: {}", service.parked);
    }
    if let Some(rollout) =
        service.rollout.as_ref().filter(|one| one.state() == v1::RolloutState::Paused)
    {
        return format!("update paused: {}", rollout.message);
    }
    if let Some(blocked) = &service.blocked {
        return format!("blocked: {}", blocked.message);
    }
    match (status.running_tasks, status.desired_tasks) {
        (0, 1) => "its task does not run".to_owned(),
        (0, wanted) if wanted > 0 => format!("none of its {wanted} tasks runs"),
        _ => String::new(),
    }
}

/// The spec's image, and what else runs while a roll-out is not complete.
fn image_cell(image: &str, service: &Service) -> String {
    match &service.older_images[..] {
        [] => image.to_owned(),
        older => format!("{image} (still runs {})", older.join(", ")),
    }
}

fn row(service: &Service, truncation: Truncation) -> TableRow {
    let id = id_of(service).to_string();
    let spec = service.spec.clone().unwrap_or_default();
    let status = service.status.unwrap_or_default();
    let mode = match spec.mode.as_ref().and_then(|mode| mode.mode.as_ref()) {
        None => "",
        Some(Mode::Replicated(_)) => "replicated",
        Some(Mode::Global(_)) => "global",
        Some(Mode::ReplicatedJob(_)) => "replicated job",
        Some(Mode::GlobalJob(_)) => "global job",
    };
    let container = spec.task.as_ref().and_then(defaults::container);
    let ports = spec.endpoint.as_ref().map_or(&[][..], |endpoint| &endpoint.ports);
    TableRow {
        cells: vec![
            short_id(&id, truncation),
            name_of(service).to_owned(),
            mode.to_owned(),
            format!("{}/{}", status.running_tasks, status.desired_tasks),
            container.map_or_else(String::new, |container| image_cell(&container.image, service)),
            task::port_list(ports),
            trouble(service),
        ],
        mark: "",
        json: json::render(service),
        id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::{
        Annotations, ContainerSpec, PlacementBlocked, RolloutStatus, ServiceMode, ServiceSpec,
        ServiceStatus, TaskSpec, task_spec::Runtime,
    };

    #[test]
    fn the_first_thing_that_is_wrong_with_a_service_is_told() {
        let message = "no room".to_owned();
        let mut service = Service {
            parked: "a panic".into(),
            rollout: Some(RolloutStatus {
                state: v1::RolloutState::Paused.into(),
                message: "web.1 failed".into(),
                ..RolloutStatus::default()
            }),
            blocked: Some(PlacementBlocked { message, ..PlacementBlocked::default() }),
            ..Service::default()
        };
        assert_eq!(trouble(&service), "parked: a panic");
        service.parked.clear();
        assert_eq!(trouble(&service), "update paused: web.1 failed");
        service.rollout.get_or_insert_default().state = v1::RolloutState::Updating.into();
        assert_eq!(trouble(&service), "blocked: no room");
        service.blocked = None;
        let told = [(0, 0), (0, 1), (0, 4), (1, 4)].map(|(running_tasks, desired_tasks)| {
            service.status = Some(ServiceStatus { running_tasks, desired_tasks });
            trouble(&service)
        });
        assert_eq!(told, ["", "its task does not run", "none of its 4 tasks runs", ""]);
    }

    #[test]
    fn each_mode_has_its_word_and_a_roll_out_names_the_images_that_still_run() {
        let modes = [
            (Mode::Replicated(v1::Replicated { replicas: 1 }), "replicated"),
            (Mode::Global(v1::Global::default()), "global"),
            (Mode::ReplicatedJob(v1::ReplicatedJob::default()), "replicated job"),
            (Mode::GlobalJob(v1::GlobalJob::default()), "global job"),
        ];
        let container = ContainerSpec { image: "web:2".into(), ..ContainerSpec::default() };
        let task =
            Some(TaskSpec { runtime: Some(Runtime::Container(container)), ..TaskSpec::default() });
        for (mode, word) in modes {
            let spec = ServiceSpec {
                annotations: Some(Annotations { name: "web".into(), ..Annotations::default() }),
                task: task.clone(),
                mode: Some(ServiceMode { mode: Some(mode) }),
                ..ServiceSpec::default()
            };
            let service = Service {
                spec: Some(spec),
                status: Some(ServiceStatus { running_tasks: 1, desired_tasks: 2 }),
                older_images: vec!["web:0".into(), "web:1".into()],
                ..Service::default()
            };
            let shown = row(&service, Truncation::Full).cells[1..].join("|");
            assert_eq!(shown, format!("web|{word}|1/2|web:2 (still runs web:0, web:1)||"));
        }
        let empty = row(&Service::default(), Truncation::Full).cells[1..].join("|");
        assert_eq!(empty, "||0/0|||");
        assert_eq!(image_cell("web:2", &Service::default()), "web:2");
    }
}
