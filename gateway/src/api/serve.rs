//! All doors of one manager on one local socket: gRPC, and `/metrics` beside it.

use super::{
    control::{COMMAND_BYTES_MAX, ControlService},
    dispatcher::DispatcherService,
    history::HistoryService,
    logs::LogsService,
};
use crate::peer::PeerStream;
use axum::{Router, routing::get};
use futures::StreamExt;
use skep_proto::v1::{
    control_server::ControlServer, dispatcher_server::DispatcherServer, history_server::HistoryServer,
    logs_server::LogsServer,
};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{body::Body, codegen::http, server::NamedService, service::Routes, transport::Server};
use tower::Service;

/// Streams one connection may have open at once; more wait.
const STREAMS_PER_CONNECTION_MAX: u32 = 4_096;
/// Largest message from an agent: a report of everything it runs.
const AGENT_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// A connection whose other end is silent is asked, and dropped when it does not answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// What answers at the doors.
pub struct Doors {
    /// Commands and reads.
    pub control: ControlService,
    /// The past.
    pub history: HistoryService,

    /// What tasks print.
    pub logs: LogsService,
    /// Agents.
    pub dispatcher: DispatcherService,
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Commands straight to their door, all else by a router's table, which would cost each command some microseconds more.
#[derive(Clone)]
struct Hall {
    control: ControlServer<ControlService>,
    others: Routes,
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl Service<http::Request<Body>> for Hall {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<Body>>::poll_ready(&mut self.control, cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        match path.split_once('/') {
            Some((ControlServer::<ControlService>::NAME, _)) => self.control.call(request),
            _ => Box::pin(self.others.call(request)),
        }
    }
}

impl Doors {
    fn hall(self) -> Hall {
        let dispatcher =
            DispatcherServer::new(self.dispatcher).max_decoding_message_size(AGENT_MESSAGE_BYTES_MAX);
        let grpc = Routes::new(HistoryServer::new(self.history))
            .add_service(LogsServer::new(self.logs))
            .add_service(dispatcher);
        Hall {
            control: ControlServer::new(self.control).max_decoding_message_size(COMMAND_BYTES_MAX),
            others: Routes::from(grpc.into_axum_router().merge(metrics_page(self.metrics))).prepare(),
        }
    }

    /// Serves until `stop`; open streams end with it.
    pub async fn serve(
        self,
        listener: UnixListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        let incoming = UnixListenerStream::new(listener).map(|stream| stream.and_then(PeerStream::new));
        Server::builder()
            .accept_http1(true)
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .serve_with_incoming_shutdown(self.hall(), incoming, stop)
            .await
    }
}

/// `/metrics` alone.
pub fn metrics_page(metrics: Arc<dyn Fn() -> String + Send + Sync>) -> Router {
    Router::new().route("/metrics", get(move || async move { metrics() }))
}

/// Serves `/metrics` on TCP, where the operator asked for it.
pub async fn serve_metrics(
    listener: TcpListener,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, metrics_page(metrics)).with_graceful_shutdown(stop).await
}
