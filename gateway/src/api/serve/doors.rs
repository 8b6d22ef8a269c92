//! The doors: connections are taken, it is found out who is at their other ends, and each is served
//! as a task of its own.

use super::{
    ConnectionRouter, RequestRouter, connection,
    secured::{self, DoorConfig, Secured},
};
use crate::{connections::ConnectionLimiter, peer::PeerOrigin};
use futures::StreamExt;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net,
    sync::mpsc,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::server::Connected;

/// Streams that a node may have open at once on a connection: its session, and one for each log
/// that is read. More wait.
const NODE_STREAMS_MAX: u32 = 1_024;
/// The same of who has shown no certificate: enough to join.
const STRANGER_STREAMS_MAX: u32 = 4;
/// A connection of who has shown no certificate is closed after so long: joining takes a moment.
const STRANGER_LIMIT: Duration = Duration::from_secs(30);

/// Where connections come from.
pub struct DoorListeners {
    /// People and agents on this machine.
    pub local: net::UnixListener,
    /// Machines of the network, from when on somebody opens the door.
    pub network: mpsc::Receiver<net::TcpListener>,
    /// What is shown to those who speak TLS.
    pub door: DoorConfig,
    /// How many connections the local socket may have.
    pub local_limiter: ConnectionLimiter,
    /// How many the network's door may have.
    pub network_limiter: ConnectionLimiter,
}

/// Takes connections until `stop`, and then waits for those that are there.
pub(super) async fn take_connections(
    router: RequestRouter,
    mut listeners: DoorListeners,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let incoming = listeners.local_limiter.local(listeners.local);
    let door = listeners.door.clone();
    let spawn = |stream, origin| {
        let (router, door) = (router.clone(), door.clone());
        connections.spawn(serve_connection(stream, origin, router, door, stop.clone()));
    };
    let mut incoming = Box::pin(incoming);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(Ok(stream)) = incoming.next() => {
                let origin = PeerOrigin::Local(stream.connect_info());
                spawn(stream, origin);
            }
            Some(listener) = listeners.network.recv() => {
                let limiter = listeners.network_limiter.clone();
                let router = router.clone();
                connections.spawn(take_machines(router, limiter, listener, door.clone(), stop.clone()));
            }
        }
    }
    // The socket is closed first, so that nobody connects to a manager that has stopped.
    drop(incoming);
    connections.close();
    connections.wait().await;
}

/// Takes the network's connections until `stop`, and then waits for those that are there.
async fn take_machines(
    router: RequestRouter,
    limiter: ConnectionLimiter,
    listener: net::TcpListener,
    door: DoorConfig,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let mut incoming = Box::pin(limiter.network(listener));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            Some(Ok(stream)) = incoming.next() => stream,
        };
        let origin = PeerOrigin::Network(stream.connect_info());
        let (router, door) = (router.clone(), door.clone());
        connections.spawn(serve_connection(stream, origin, router, door, stop.clone()));
    }
    drop(incoming);
    connections.close();
    connections.wait().await;
}

/// One connection from its first byte to its end.
async fn serve_connection<S>(
    stream: S,
    origin: PeerOrigin,
    router: RequestRouter,
    door: DoorConfig,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let secured = tokio::select! {
        () = stop.cancelled() => return,
        secured = secured::secure(stream, origin.clone(), door) => secured,
    };
    match secured {
        Ok(Secured::Clear(stream, peer)) => {
            let streams = connection::STREAMS_PER_CONNECTION_MAX;
            connection::serve(stream, streams, ConnectionRouter { router, peer }, stop).await;
        }
        Ok(Secured::Tls(stream, peer)) if peer.certificate().is_some() => {
            let streams = NODE_STREAMS_MAX;
            connection::serve(stream, streams, ConnectionRouter { router, peer }, stop).await;
        }
        Ok(Secured::Tls(stream, peer)) => {
            let router = ConnectionRouter { router, peer };
            let serving = connection::serve(stream, STRANGER_STREAMS_MAX, router, stop);
            if timeout(STRANGER_LIMIT, serving).await.is_err() {
                tracing::debug!(?origin, "a connection without a certificate lasted too long");
            }
        }
        Err(error) => tracing::debug!(?origin, %error, "a connection did not begin"),
    }
}
