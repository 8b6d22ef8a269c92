//! The doors: connections are taken, it is found out who is at their other ends, and each is served
//! as a task of its own.

use super::{
    ConnectionRouter, RequestRouter, connection,
    secured::{self, DoorConfig, HandshakeError, Secured},
};
use crate::{clock, connections::ConnectionLimiter, door, peer::PeerOrigin};
use futures::{FutureExt, StreamExt};
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
    pub network: mpsc::Receiver<door::OpenPort>,
    /// What is shown to those who speak TLS.
    pub door: DoorConfig,
    /// Hears of connections that do not begin.
    pub watch: door::DoorWatch,
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
        let serving = serve_connection(stream, origin, router, door, stop.clone());
        connections.spawn(serving.map(drop));
    };
    let mut incoming = Box::pin(incoming);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(Ok(stream)) = incoming.next() => {
                let origin = PeerOrigin::Local(stream.connect_info());
                spawn(stream, origin);
            }
            Some(port) = listeners.network.recv() => {
                let limiter = listeners.network_limiter.clone();
                let (router, watch) = (router.clone(), listeners.watch.clone());
                let (door, stop) = (door.clone(), stop.clone());
                connections.spawn(take_machines(router, limiter, port, (door, watch), stop));
            }
        }
    }
    // Who connects from now on is served by what the machine becomes next.
    drop(incoming);
    connections.close();
    connections.wait().await;
}

/// Takes the network's connections until `stop`, or until the port moves, and then waits for those
/// that are there.
async fn take_machines(
    router: RequestRouter,
    limiter: ConnectionLimiter,
    port: door::OpenPort,
    (door, watch): (DoorConfig, door::DoorWatch),
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let mut incoming = Box::pin(limiter.network(port.listener));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            () = port.moved.cancelled() => break,
            Some(Ok(stream)) = incoming.next() => stream,
        };
        let address = stream.connect_info();
        let origin = PeerOrigin::Network(address);
        let (router, door, watch) = (router.clone(), door.clone(), watch.clone());
        let serving = serve_connection(stream, origin, router, door, stop.clone());
        connections.spawn(async move {
            if let Err(error) = serving.await
                && error.is_of_the_other_end()
            {
                let from = address.ip().to_canonical().to_string();
                watch.turned_away(&from, &error.to_string(), clock::wall());
            }
        });
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
) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let secured = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        secured = secured::secure(stream, origin.clone(), door) => secured,
    };
    if let Err(error) = &secured {
        tracing::debug!(?origin, %error, "a connection did not begin");
    }
    match secured? {
        Secured::Clear(stream, peer) => {
            let streams = connection::STREAMS_PER_CONNECTION_MAX;
            connection::serve(stream, streams, ConnectionRouter { router, peer }, stop).await;
        }
        Secured::Tls(stream, peer) if peer.certificate().is_some() => {
            let streams = NODE_STREAMS_MAX;
            connection::serve(stream, streams, ConnectionRouter { router, peer }, stop).await;
        }
        Secured::Tls(stream, peer) => {
            let router = ConnectionRouter { router, peer };
            let serving = connection::serve(stream, STRANGER_STREAMS_MAX, router, stop);
            if timeout(STRANGER_LIMIT, serving).await.is_err() {
                tracing::debug!(?origin, "a connection without a certificate lasted too long");
            }
        }
    }
    Ok(())
}
