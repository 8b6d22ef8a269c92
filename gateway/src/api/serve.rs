//! All services of one manager on one local socket: gRPC, and `/metrics` beside it.

use super::{
    control, dispatcher::DispatcherService, ending, history::HistoryService,
    listener::ConnectionLimiter, logs::LogsService,
};
use axum::{Router, routing::get};
use skep_proto::v1;
use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, task, time::Duration};
use tokio::{
    net::{TcpListener, UnixListener},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, codegen::http, server::NamedService, service::Routes, transport::Server};
use tower::Service;

/// Streams one connection may have open at once; more wait.
const STREAMS_PER_CONNECTION_MAX: u32 = 4_096;
/// Largest message from an agent: a report of everything it runs.
const AGENT_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Largest headers of one request; a request with larger ones is refused.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// When the manager stops, answers have so long to end by themselves.
const ANSWERS_END_LIMIT: Duration = Duration::from_secs(1);
/// After that, connections have so long to close; those that have not are left.
const CONNECTIONS_CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// A connection whose other end is silent is asked, and dropped when it does not answer.
const KEEPALIVE_PERIOD: Duration = Duration::from_secs(20);

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
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Commands go straight to their service. All else goes through a router's table, which would cost
/// each command some microseconds more.
#[derive(Clone)]
struct RequestRouter {
    control: v1::control_server::ControlServer<control::ControlService>,
    others: Routes,
    end: CancellationToken,
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl Service<http::Request<Body>> for RequestRouter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        Service::<http::Request<Body>>::poll_ready(&mut self.control, cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        let end = self.end.clone();
        match path.split_once('/') {
            Some((v1::control_server::ControlServer::<control::ControlService>::NAME, _)) => {
                Box::pin(ending::until(end, self.control.call(request)))
            }
            _ => Box::pin(ending::until(end, self.others.call(request))),
        }
    }
}

impl GrpcServices {
    fn router(self, end: CancellationToken) -> RequestRouter {
        let dispatcher = v1::dispatcher_server::DispatcherServer::new(self.dispatcher)
            .max_decoding_message_size(AGENT_MESSAGE_BYTES_MAX);
        let grpc = Routes::new(v1::history_server::HistoryServer::new(self.history))
            .add_service(v1::logs_server::LogsServer::new(self.logs))
            .add_service(dispatcher);
        RequestRouter {
            control: v1::control_server::ControlServer::new(self.control)
                .max_decoding_message_size(control::GRPC_MESSAGE_BYTES_MAX),
            others: Routes::from(grpc.into_axum_router().merge(metrics_page(self.metrics)))
                .prepare(),
            end,
        }
    }

    /// Serves until `stop`. What is asked then has a moment to be answered; what goes on after that
    /// is ended with the status that the manager is stopping.
    pub async fn serve(
        self,
        limiter: ConnectionLimiter,
        listener: UnixListener,
        stop: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let end = CancellationToken::new();
        let serving = server()
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .serve_with_incoming_shutdown(
                self.router(end.clone()),
                limiter.local(listener),
                stop.clone().cancelled_owned(),
            );
        let late = async {
            stop.cancelled().await;
            sleep(ANSWERS_END_LIMIT).await;
            end.cancel();
            sleep(CONNECTIONS_CLOSE_LIMIT).await;
        };
        tokio::select! {
            served = serving => served,
            () = late => Ok(()),
        }
    }
}

fn server() -> Server {
    Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE_PERIOD))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
}

/// `/metrics` alone.
pub fn metrics_page(metrics: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    Router::new().route("/metrics", get(move || async move { metrics() }))
}

/// Serves `/metrics` on TCP, where the operator asked for it.
pub async fn serve_metrics(
    limiter: ConnectionLimiter,
    listener: TcpListener,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let page = Routes::from(metrics_page(metrics)).prepare();
    tokio::select! {
        served = server().serve_with_incoming(page, limiter.network(listener)) => served,
        () = stop.cancelled() => Ok(()),
    }
}
