//! Reads of the newest state or of a past one: the functions behind the services.
//!
//! A live manager answers from its committed view, by default after asking the log whether that is
//! the newest; a stopped one from the view that its history ends with. Everything else is the same
//! for both, which is why both stand here.

pub(crate) mod stale;
mod watch;

use crate::{admit::Refusal, clock::wall, connections, door, drive, history, pulls::Pulls, show};
use prost::Message;
use skep_log::Health;
use skep_projections::View;
use skep_proto::{
    Id, Revision, Timestamp, os_error,
    v1::{
        Cluster, GetRequest, ListRequest, ListStraysRequest, Moment, NodeList, NodeState,
        RefusalCode, ServiceList, StatusReply, StrayList, TaskList, moment,
    },
};
use std::{fmt::Display, sync::Arc, time::Duration};
use tokio::task::spawn_blocking;
use tonic::{Code, Response, Status};

/// What a stopped manager answers to commands, and to those who ask whether it takes any.
pub const STOPPED: &str = "this manager is stopped";

/// A read that is to see a revision waits so long for it to be committed; then it is refused.
const REVISION_WAIT_LIMIT: Duration = Duration::from_secs(10);

/// Where the newest state comes from.
#[derive(Clone)]
enum ViewSource {
    Live(drive::Drive),
    /// A stopped manager's last view, and what its log takes on the disk.
    Still(Arc<drive::Published>, u64),
}

/// The reads of one manager.
#[derive(Clone)]
pub struct Reads {
    source: ViewSource,
    limiter: Option<connections::ConnectionLimiter>,
    watch: Option<door::DoorWatch>,
    past: history::Past,
    pulls: Arc<Pulls>,
    node: Id,
    started_at: Timestamp,
    revision_wait: Duration,
}

impl Reads {
    /// Of a running manager.
    pub fn live(
        drive: drive::Drive,
        pulls: Arc<Pulls>,
        node: Id,
        limiter: connections::ConnectionLimiter,
    ) -> Reads {
        let past = history::Past::new(drive.log().history());
        Reads {
            source: ViewSource::Live(drive),
            limiter: Some(limiter),
            watch: None,
            past,
            pulls,
            node,
            started_at: wall(),
            revision_wait: REVISION_WAIT_LIMIT,
        }
    }

    /// Of a stopped manager, whose history ends with this view.
    pub fn still(past: history::Past, view: View, log_bytes: u64, node: Id) -> Reads {
        let published = drive::Published { view, delta: Arc::default() };
        Reads {
            source: ViewSource::Still(Arc::new(published), log_bytes),
            limiter: None,
            watch: None,
            past,
            pulls: Arc::default(),
            node,
            started_at: Timestamp::NEVER,
            revision_wait: REVISION_WAIT_LIMIT,
        }
    }

    /// The same of a manager that knows how it stands with the way in for other machines.
    pub fn with_door_watch(self, watch: door::DoorWatch) -> Reads {
        Reads { watch: Some(watch), ..self }
    }

    /// How it stands with the way in for other machines, where the manager runs.
    pub fn door_watch(&self) -> Option<&door::DoorWatch> {
        self.watch.as_ref()
    }

    /// The same with another time to wait for a revision.
    #[cfg(test)]
    pub(crate) fn with_revision_wait(self, revision_wait: Duration) -> Reads {
        Reads { revision_wait, ..self }
    }

    /// The past.
    pub fn past(&self) -> &history::Past {
        &self.past
    }

    /// The turn and its log, of a running manager.
    pub fn drive(&self) -> Option<&drive::Drive> {
        match &self.source {
            ViewSource::Live(drive) => Some(drive),
            ViewSource::Still(..) => None,
        }
    }

    /// Bounds the connections of people and agents, where the manager runs.
    pub fn limiter(&self) -> Option<&connections::ConnectionLimiter> {
        self.limiter.as_ref()
    }

    /// The node of this manager.
    pub fn node(&self) -> Id {
        self.node
    }

    /// The newest committed view.
    pub fn newest(&self) -> View {
        match &self.source {
            ViewSource::Live(drive) => drive.newest().view.clone(),
            ViewSource::Still(published, _) => published.view.clone(),
        }
    }

    /// The time now as the log has it: "so long ago" is counted back from here, since the log's
    /// time passes as a stopwatch does, while the wall clock may have been set. Of a stopped
    /// manager only the newest record's time is known, and the wall clock's where that is later.
    pub fn log_time(&self) -> Timestamp {
        match &self.source {
            ViewSource::Live(drive) => drive.log_time(),
            ViewSource::Still(published, _) => published.view.at().max(wall()),
        }
    }

    /// The view that a list is made of: where the request allows it, one that may be stale.
    async fn view_for(&self, request: &ListRequest) -> Result<drive::ReadView, Status> {
        match request.stale && is_now(request.moment.as_ref()) {
            true => Ok(drive::ReadView { view: self.newest(), stale: None }),
            false => self.view(request.moment).await,
        }
    }

    /// The view at a moment. Where there is none, the newest, after the log was asked whether it is
    /// the newest.
    pub async fn view(&self, moment: Option<Moment>) -> Result<drive::ReadView, Status> {
        if is_now(moment.as_ref()) {
            return match &self.source {
                ViewSource::Live(drive) => Ok(drive.read().await),
                ViewSource::Still(..) => Ok(drive::ReadView { view: self.newest(), stale: None }),
            };
        }
        let past = self.past.clone();
        let (newest, now) = (self.newest(), self.log_time());
        blocking(move || match past.revision(moment.as_ref(), now)? {
            Some(revision) if revision != newest.position().revision => past.view_at(revision),
            Some(_) | None => Ok(newest),
        })
        .await
        .map(|view| drive::ReadView { view, stale: None })
    }

    /// The time from which the ages in an answer are counted back: the moment that is asked about,
    /// or now.
    fn answered_at(&self, moment: Option<&Moment>, view: &View) -> Timestamp {
        match moment.and_then(|moment| moment.moment) {
            None => self.log_time(),
            Some(moment::Moment::Revision(_)) => view.at(),
            Some(moment::Moment::TimeAt(at)) => Timestamp(at),
            Some(moment::Moment::AgoNs(ago)) => Timestamp(self.log_time().0.saturating_sub(ago)),
        }
    }

    /// The nodes that are asked for.
    pub async fn list_nodes(&self, request: ListRequest) -> Result<Response<NodeList>, Status> {
        let drive::ReadView { view, stale } = self.view_for(&request).await?;
        let answered_at = self.answered_at(request.moment.as_ref(), &view).0;
        let revision = view.position().revision.0;
        let leaderless = is_now(request.moment.as_ref())
            && self.drive().is_some_and(drive::Drive::is_leaderless);
        let listed = blocking(move || {
            let nodes = show::list::nodes(&view, &request);
            let mut nodes = at_moment(nodes, &request, revision)?;
            if leaderless {
                nodes.iter_mut().for_each(show::without_leader);
            }
            Ok(NodeList { nodes, revision, answered_at })
        });
        Ok(stale::response(listed.await?, stale))
    }

    /// The services that are asked for.
    pub async fn list_services(
        &self,
        request: ListRequest,
    ) -> Result<Response<ServiceList>, Status> {
        let drive::ReadView { view, stale } = self.view_for(&request).await?;
        let answered_at = self.answered_at(request.moment.as_ref(), &view).0;
        let revision = view.position().revision.0;
        let listed = blocking(move || {
            let services = at_moment(show::list::services(&view, &request), &request, revision)?;
            Ok(ServiceList { services, revision, answered_at })
        });
        Ok(stale::response(listed.await?, stale))
    }

    /// The tasks that are asked for.
    pub async fn list_tasks(&self, request: ListRequest) -> Result<Response<TaskList>, Status> {
        let drive::ReadView { view, stale } = self.view_for(&request).await?;
        let answered_at = self.answered_at(request.moment.as_ref(), &view).0;
        let revision = view.position().revision.0;
        let listed = blocking(move || {
            let tasks = show::list::tasks(&view, &request);
            Ok(TaskList { tasks: at_moment(tasks, &request, revision)?, revision, answered_at })
        });
        Ok(stale::response(listed.await?, stale))
    }

    /// Tasks that agents have and history does not know.
    pub async fn list_strays(
        &self,
        request: ListStraysRequest,
    ) -> Result<Response<StrayList>, Status> {
        let drive::ReadView { view, stale } = self.view(request.moment).await?;
        let revision = view.position().revision.0;
        Ok(stale::response(StrayList { strays: show::list::strays(&view), revision }, stale))
    }

    /// The cluster.
    pub async fn get_cluster(&self, request: GetRequest) -> Result<Response<Cluster>, Status> {
        let drive::ReadView { view, stale } = self.view(request.moment).await?;
        Ok(stale::response(show::cluster(&view), stale))
    }

    /// This manager, its log and its counts. Never asks anybody else.
    pub async fn status(&self) -> Result<StatusReply, Status> {
        let view = self.newest();
        let (first, applied, head) = self.past.history().bounds();
        let nodes = || view.nodes().iter().filter(|(_, row)| !row.removed);
        let mut reply = StatusReply {
            cluster_id: view.cluster().id.to_bytes(),
            node_id: self.node.to_bytes(),
            version: env!("CARGO_PKG_VERSION").into(),
            incarnation: applied.incarnation,
            lineage: view.lineage().0,
            revision: view.position().revision.0,
            head_hash: head.to_bytes(),
            digest: bytes::Bytes::copy_from_slice(&view.digest().0.to_be_bytes()),
            at: view.at().0,
            term: view.tenure().term,
            feature_level: view.level(),
            nodes: count(nodes().count()),
            nodes_ready: count(nodes().filter(|(_, row)| row.state == NodeState::Ready).count()),
            services: count(view.services().iter().filter(|(_, row)| !row.removed).count()),
            tasks: count(view.tasks().len()),
            tasks_running: view.services().iter().map(|(_, row)| row.running_tasks).sum(),
            first_revision: first.0,
            started_at: self.started_at.0,
            ..StatusReply::default()
        };
        match &self.source {
            ViewSource::Live(drive) => {
                let log = drive.log().status().borrow().clone();
                let space = drive.log().space();
                (reply.term, reply.leader) = (log.term, log.leader);
                reply.uptime_ns = drive.clock().uptime().0;
                (reply.log_bytes, reply.free_bytes) = (space.log_bytes, space.free_bytes);
                reply.accepting = match log.health {
                    Health::Ok => drive.accepting(),
                    Health::Failed(message) | Health::Stopped(message) => message,
                };
            }
            ViewSource::Still(_, log_bytes) => {
                reply.log_bytes = *log_bytes;
                reply.accepting = STOPPED.into();
            }
        }
        Ok(reply)
    }
}

/// The refusal of a revision that nothing has reached yet.
pub(crate) fn in_the_future(revision: Revision, newest: Revision) -> Refusal {
    Refusal::not_found(format!("revision {revision} is in the future"))
        .hint(format!("history ends at revision {newest}"))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn is_now(moment: Option<&Moment>) -> bool {
    moment.is_none_or(|moment| moment.moment.is_none())
}

/// What a list came to; one that was asked about the past says of which revision nothing is there.
fn at_moment<T>(
    listed: Result<T, Refusal>,
    request: &ListRequest,
    revision: u64,
) -> Result<T, history::PastError> {
    listed.map_err(|refusal| {
        let error = history::PastError::from(refusal);
        if is_now(request.moment.as_ref()) { error } else { error.at(Revision(revision)) }
    })
}

/// Runs a read that blocks or takes long on a thread of its own, so that other calls go on.
pub(crate) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, history::PastError> + Send + 'static,
) -> Result<T, Status> {
    match spawn_blocking(read).await {
        Ok(answer) => answer.map_err(|error| past_status(&error)),
        Err(error) => Err(failure(Code::Internal, &format!("the read ended early: {error}"))),
    }
}

/// A refusal as gRPC carries an error: the details hold the `Refused` with code and hint.
pub fn status(refusal: &Refusal) -> Status {
    let code = match refusal.code {
        RefusalCode::Unspecified => Code::Unknown,
        RefusalCode::Invalid | RefusalCode::Ambiguous => Code::InvalidArgument,
        RefusalCode::NotFound => Code::NotFound,
        RefusalCode::AlreadyExists => Code::AlreadyExists,
        RefusalCode::OutOfSequence => Code::Aborted,
        RefusalCode::Precondition | RefusalCode::Expired => Code::FailedPrecondition,
        RefusalCode::Unsupported => Code::Unimplemented,
        RefusalCode::Permission => Code::PermissionDenied,
        RefusalCode::Exhausted => Code::Unavailable,
    };
    carried(code, refusal)
}

/// Code, message and details of a refusal.
fn carried(code: Code, refusal: &Refusal) -> Status {
    let refused = refusal.to_message();
    let details = refused.encode_to_vec().into();
    Status::with_details(code, refused.message, details)
}

/// An error of the system or of the log, which nobody refused, as gRPC carries it.
pub(crate) fn failure(code: Code, error: &dyn Display) -> Status {
    Status::new(code, os_error::message(error))
}

/// The same for what the past answers.
pub fn past_status(error: &history::PastError) -> Status {
    match error {
        history::PastError::Refused(refusal) => status(refusal),
        history::PastError::Read(_) | history::PastError::Unfoldable(_) => {
            let refusal = Refusal {
                code: RefusalCode::Unspecified,
                message: error.to_string(),
                hint: error.hint().unwrap_or_default().to_owned(),
            };
            carried(Code::DataLoss, &refusal)
        }
    }
}

#[cfg(test)]
mod tests;
