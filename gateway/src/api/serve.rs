//! All services of one manager: gRPC, and `/metrics` beside it, on the local socket and, where it
//! is open, on the door to the network. Who may call what is said by one table.

mod connection;
mod doors;
mod local;
mod prefixed;
mod secured;

pub use doors::DoorListeners;
pub use local::{LocalServices, serve_local};
pub use secured::DoorConfig;

use super::{
    control, dispatcher::DispatcherService, ending, history::HistoryService, logs::LogsService,
    managers::ManagersService, membership::MembershipService, permission,
};
use crate::{clock, connections::ConnectionLimiter, drive::Drive, peer::ConnectionPeer, peers};
use axum::{Router, routing::get};
use hyper::{Request, Response, body::Incoming};
use skep_proto::v1;
use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{net, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService, service::Routes, transport};
use tower::Service as _;

/// Largest message from an agent: a report of everything it runs.
const AGENT_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// When the manager stops, answers have so long to end by themselves.
const ANSWERS_END_LIMIT: Duration = Duration::from_secs(1);
/// After that, connections have so long to close; those that have not are left.
const CONNECTIONS_CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The gRPC services of a manager, and what `/metrics` answers.
pub struct GrpcServices {
    /// Commands and reads.
    pub control: control::ControlService,
    /// The past.
    pub history: HistoryService,
    /// What tasks print.
    pub logs: LogsService,
    /// Agents.
    pub dispatcher: DispatcherService,
    /// How machines join.
    pub membership: MembershipService,
    /// Other managers.
    pub managers: ManagersService,
    /// What the daemon answers whatever its machine is.
    pub local: Routes,
    /// Whose nodes count.
    pub drive: Drive,
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Commands go straight to their service. All else goes through a router's table, which would cost
/// each command some microseconds more.
#[derive(Clone)]
struct RequestRouter {
    control: v1::control_server::ControlServer<control::ControlService>,
    others: Routes,
    drive: Drive,
    end: CancellationToken,
}

/// The router of one connection: its requests say who is at the other end.
struct ConnectionRouter {
    router: RequestRouter,
    peer: ConnectionPeer,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl hyper::service::Service<Request<Incoming>> for ConnectionRouter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        if let Some(denied) = self.denial(request.uri().path()) {
            return Box::pin(std::future::ready(Ok(denied)));
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer.clone());
        let end = self.router.end.clone();
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        match path.split_once('/') {
            Some((v1::control_server::ControlServer::<control::ControlService>::NAME, _)) => {
                Box::pin(ending::until(end, self.router.control.clone().call(request)))
            }
            _ => Box::pin(ending::until(end, self.router.others.clone().call(request))),
        }
    }
}

impl ConnectionRouter {
    /// The answer to a call that this other end may not make.
    fn denial(&self, path: &str) -> Option<Response<Body>> {
        let view = &self.router.drive.newest().view;
        let denied = permission::may(path, &self.peer, view, clock::wall()).err()?;
        tracing::debug!(path, error = %denied, "a call is refused");
        Some(denied.status().into_http())
    }
}

impl GrpcServices {
    fn router(self, end: CancellationToken) -> RequestRouter {
        let dispatcher = v1::dispatcher_server::DispatcherServer::new(self.dispatcher)
            .max_decoding_message_size(AGENT_MESSAGE_BYTES_MAX);
        let managers = v1::managers_server::ManagersServer::new(self.managers)
            .max_decoding_message_size(peers::PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(peers::PEER_MESSAGE_BYTES_MAX);
        let grpc = self
            .local
            .add_service(v1::history_server::HistoryServer::new(self.history))
            .add_service(v1::logs_server::LogsServer::new(self.logs))
            .add_service(v1::membership_server::MembershipServer::new(self.membership))
            .add_service(managers)
            .add_service(dispatcher);
        RequestRouter {
            control: v1::control_server::ControlServer::new(self.control)
                .max_decoding_message_size(control::GRPC_MESSAGE_BYTES_MAX),
            others: Routes::from(grpc.into_axum_router().merge(metrics_page(self.metrics)))
                .prepare(),
            drive: self.drive,
            end,
        }
    }

    /// Serves until `stop`. What is asked then has a moment to be answered; what goes on after that
    /// is ended with the status that the manager is stopping.
    pub async fn serve(self, listeners: DoorListeners, stop: CancellationToken) {
        let end = CancellationToken::new();
        let serving = doors::take_connections(self.router(end.clone()), listeners, stop.clone());
        within_limits(serving, stop, end).await;
    }
}

/// Serves, and after `stop` for no longer than answers and connections have to end.
async fn within_limits(serving: impl Future, stop: CancellationToken, end: CancellationToken) {
    let late = async {
        stop.cancelled().await;
        sleep(ANSWERS_END_LIMIT).await;
        end.cancel();
        sleep(CONNECTIONS_CLOSE_LIMIT).await;
    };
    tokio::select! {
        _ = serving => {}
        () = late => {}
    }
}

fn server() -> transport::Server {
    transport::Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(connection::KEEPALIVE_PERIOD))
        .http2_max_header_list_size(connection::HEADER_BYTES_MAX)
}

/// `/metrics` alone.
pub fn metrics_page(metrics: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    Router::new().route("/metrics", get(move || async move { metrics() }))
}

/// Serves `/metrics` on TCP, where the operator asked for it.
pub async fn serve_metrics(
    limiter: ConnectionLimiter,
    listener: net::TcpListener,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    stop: CancellationToken,
) -> Result<(), transport::Error> {
    let page = Routes::from(metrics_page(metrics)).prepare();
    let incoming = limiter.network(listener);
    server().serve_with_incoming_shutdown(page, incoming, stop.cancelled_owned()).await
}
