//! The local socket of a machine that is no manager: it answers what its own daemon can answer, and
//! says of everything else where that is answered.

use super::{connection, secured, within_limits};
use crate::{admit::Refusal, api, connections::ConnectionLimiter, peer, reads};
use futures::StreamExt;
use hyper::{Request, Response, body::Incoming};
use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};
use tokio::{net, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, body::Body, service::Routes, transport::server::Connected};
use tower::Service as _;

/// What the socket serves.
pub struct LocalServices {
    /// The calls that this machine's own daemon answers.
    pub routes: Routes,
    /// The answer to the calls of managers, as the machine is now.
    pub no_manager: Box<dyn Fn() -> Refusal + Send + Sync>,
}

/// The router of one connection.
struct LocalRouter {
    services: Arc<LocalServices>,
    peer: peer::ConnectionPeer,
    end: CancellationToken,
}

impl hyper::service::Service<Request<Incoming>> for LocalRouter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() == "/metrics" {
            return Box::pin(std::future::ready(Ok(no_metrics())));
        }
        if let Some(refused) = self.refusal(request.uri().path()) {
            return Box::pin(std::future::ready(Ok(refused.into_http())));
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer.clone());
        let mut routes = self.services.routes.clone();
        let end = self.end.clone();
        Box::pin(api::ending::until(end, async move { routes.call(request).await }))
    }
}

impl LocalRouter {
    /// The answer to a call that nobody answers here.
    fn refusal(&self, path: &str) -> Option<Status> {
        match api::permission::at_no_manager(path, &self.peer) {
            Err(denied) => Some(denied.status()),
            Ok(api::permission::AnsweredBy::Managers) => {
                Some(reads::status(&(self.services.no_manager)()))
            }
            Ok(api::permission::AnsweredBy::EveryDaemon) => None,
        }
    }
}

/// Those who look at metrics speak no gRPC.
fn no_metrics() -> Response<Body> {
    let told = "this machine is no manager, and has no metrics\n".to_owned();
    let mut answer = Response::new(Body::new(told));
    *answer.status_mut() = hyper::StatusCode::NOT_FOUND;
    answer
}

/// Serves until `stop`. What is asked then has a moment to be answered.
pub async fn serve_local(
    listener: net::UnixListener,
    limiter: ConnectionLimiter,
    services: LocalServices,
    stop: CancellationToken,
) {
    let end = CancellationToken::new();
    let serving = take_connections(listener, limiter, services, (stop.clone(), end.clone()));
    within_limits(serving, stop, end).await;
}

/// Takes connections until `stop`, and then waits for those that are there; `end` ends their calls.
async fn take_connections(
    listener: net::UnixListener,
    limiter: ConnectionLimiter,
    services: LocalServices,
    (stop, end): (CancellationToken, CancellationToken),
) {
    let (services, connections) = (Arc::new(services), TaskTracker::new());
    let mut incoming = Box::pin(limiter.local(listener));
    loop {
        let stream = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(Ok(stream)) = incoming.next() => stream,
        };
        let (services, stop, end) = (services.clone(), stop.clone(), end.clone());
        connections.spawn(async move {
            let origin = peer::PeerOrigin::Local(stream.connect_info());
            // There is nothing to show to agents.
            let no_door = watch::channel(None).1;
            let secured = tokio::select! {
                () = stop.cancelled() => return,
                secured = secured::secure(stream, origin, no_door) => secured,
            };
            match secured {
                Ok(secured::Secured::Clear(stream, peer)) => {
                    let router = LocalRouter { services, peer, end };
                    let streams = connection::STREAMS_PER_CONNECTION_MAX;
                    connection::serve(stream, streams, router, stop).await;
                }
                Ok(secured::Secured::Tls(..)) => {}
                Err(error) => tracing::debug!(%error, "a connection did not begin"),
            }
        });
    }
    drop(incoming);
    connections.close();
    connections.wait().await;
}

#[cfg(test)]
mod tests;
