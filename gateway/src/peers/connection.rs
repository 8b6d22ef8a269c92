//! A connection to one other manager: TLS with both certificates, and the right node at the other
//! end.

use super::fate;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use skep_proto::{Id, os_error};
use skep_trust::{
    CertificateFolder, FolderError, IssuedFiles, ManagerExpectation, NodeCertificate, NodeFiles,
    client_config, disbelief_of, refusal_of,
};
use std::{io, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{net::TcpStream, runtime::Handle, sync::Mutex, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// A manager that has not taken a connection by then does not answer.
const PEER_CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A connection that carries nothing is asked so often, and given up when nobody answers for as
/// long.
const PEER_KEEPALIVE_PERIOD: Duration = Duration::from_secs(2);
/// Bytes of one message that may be under way without an answer.
const PEER_WINDOW_BYTES_MAX: u32 = 4 << 20;

/// Why there is no connection to another manager.
#[derive(Debug, Error)]
pub enum PeerError {
    /// Its port is not known.
    #[error("nobody knows where manager {0} is: its port is closed")]
    NoAddress(Id),
    /// This manager's node has no certificate yet.
    #[error("this manager's own node has no certificate yet")]
    NoCertificate,
    /// The own key or certificate.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// They don't fit together.
    #[error("the certificate of this manager's node: {0}")]
    Tls(#[from] rustls::Error),
    /// Nobody answers there, or somebody who is not believed.
    #[error("{address}: {cause}")]
    Connect {
        /// Where.
        address: String,
        /// What is in the way.
        cause: String,
    },
}

/// The connection to one manager, made when it is needed.
pub(super) struct PeerConnection {
    node: Id,
    certificates: CertificateFolder,
    /// Runs what serves the connection.
    runtime: Handle,
    open: Arc<Mutex<Option<OpenChannel>>>,
}

struct OpenChannel {
    address: String,
    channel: Channel,
}

impl PeerConnection {
    pub(super) fn new(
        node: Id,
        certificates: CertificateFolder,
        runtime: Handle,
    ) -> PeerConnection {
        PeerConnection { node, certificates, runtime, open: Arc::default() }
    }

    /// The open connection, or a new one.
    pub(super) async fn channel(&self, address: &str) -> Result<Channel, PeerError> {
        if address.is_empty() {
            return Err(PeerError::NoAddress(self.node));
        }
        let mut open = self.open.clone().lock_owned().await;
        if let Some(known) = open.as_ref().filter(|known| known.address == address) {
            return Ok(known.channel.clone());
        }
        let (target, expected) = (address.to_owned(), ExpectedPeer::Node(self.node));
        let certificates = self.certificates.clone();
        let making = async move {
            let channel = connect(&target, expected, certificates).await?;
            *open = Some(OpenChannel { address: target, channel: channel.clone() });
            Ok(channel)
        };
        // It goes on without the caller: raft gives up sooner than a handshake over a long way
        // ends. What serves the connection lives where it was made, and raft's own runtime ends
        // with raft.
        self.runtime.spawn(making).await.map_err(|_| PeerError::Connect {
            address: address.to_owned(),
            cause: "the daemon ends".to_owned(),
        })?
    }

    /// A call has failed: where that is the connection's fault, the next call makes another one.
    pub(super) fn note(&self, status: &Status) {
        if fate::is_connection_lost(status)
            && let Ok(mut open) = self.open.try_lock()
        {
            *open = None;
        }
    }
}

/// Which manager is expected at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ExpectedPeer {
    /// The one with this node.
    Node(Id),
    /// Any of the cluster.
    Any,
}

/// Connects with the certificate that lies in this folder.
pub(super) async fn connect(
    address: &str,
    expected: ExpectedPeer,
    certificates: CertificateFolder,
) -> Result<Channel, PeerError> {
    let read = move || certificates.read_node();
    let files = tokio::task::spawn_blocking(read).await.map_err(|_| PeerError::NoCertificate)??;
    let Some(NodeFiles { key, issued: Some(issued) }) = files else {
        return Err(PeerError::NoCertificate);
    };
    let IssuedFiles { certificate, read, root } = issued;
    let manager = ManagerExpectation::Root { root, cluster: Some(read.cluster) };
    let config = client_config(Some((&key, certificate)), manager)?;
    let target = address.to_owned();
    let connector = tower::service_fn(move |_| {
        let (target, config) = (target.clone(), config.clone());
        async move {
            // A channel connects again by itself. Without a limit it would wait for what the
            // kernel sends ever more rarely, long after the other end is back.
            let wire = timeout(PEER_CONNECT_LIMIT, wire(&target, expected, config));
            let late = |_| io::Error::other("it does not answer");
            Ok::<_, io::Error>(TokioIo::new(wire.await.map_err(late)??))
        }
    });
    // The address is not looked at: the connector knows where to go.
    let endpoint = Endpoint::from_static("http://manager")
        .http2_keep_alive_interval(PEER_KEEPALIVE_PERIOD)
        .keep_alive_timeout(PEER_KEEPALIVE_PERIOD)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(PEER_WINDOW_BYTES_MAX)
        .initial_connection_window_size(PEER_WINDOW_BYTES_MAX);
    let failed = |cause: String| PeerError::Connect { address: address.to_owned(), cause };
    match timeout(PEER_CONNECT_LIMIT, endpoint.connect_with_connector(connector)).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(failed(match refusal_of(&error) {
            Some(refused) => refused.to_string(),
            None => disbelief_of(&error).unwrap_or_else(|| root_of(&error)),
        })),
        Err(_) => Err(failed("it does not answer".into())),
    }
}

async fn wire(
    address: &str,
    expected: ExpectedPeer,
    config: Arc<rustls::ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // The name is not looked at: a manager is known by its certificate.
    let name = ServerName::try_from("swarm-manager").map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let shown =
        shown.map(|der| NodeCertificate::read(der)).transpose().map_err(io::Error::other)?;
    match (expected, shown.map(|shown| shown.node)) {
        (ExpectedPeer::Node(node), Some(found)) if node != found => {
            let other = format!("manager {found} answers there, and not manager {node}");
            Err(io::Error::other(other))
        }
        (ExpectedPeer::Node(_) | ExpectedPeer::Any, _) => Ok(stream),
    }
}

/// The innermost reason: what the kernel said, without the layers around it.
fn root_of(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    os_error::plain(&root.to_string())
}
