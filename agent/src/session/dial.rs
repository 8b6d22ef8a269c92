//! How a manager is reached: the socket on this machine, or an address of the network, and TLS
//! above it.

use super::{config::ManagerEndpoint, credentials::NodeCredentials};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use skep_trust::{disbelief_of, refusal_of};
use std::{io, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// A connection over the network that carries nothing is asked so often, and is given up when
/// nobody answers: a machine that went away without a word is noticed.
const HALF_OPEN_PERIOD: Duration = Duration::from_secs(5);
/// An end of a connection over the network that has not answered for so long is gone.
const HALF_OPEN_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum DialError {
    /// Nobody answers there.
    #[error("{target}: {message}")]
    Connect { target: String, message: String },
    /// Somebody answers whom this node does not believe.
    #[error("{target}: {message}")]
    Untrusted { target: String, message: String },
}

/// What a connection is made of.
trait ManagerWire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ManagerWire for S {}

/// Connects. In the clear only to the socket on this machine, and only before there is a
/// certificate.
pub(super) async fn connect(
    target: &ManagerEndpoint,
    credentials: &NodeCredentials,
) -> Result<Channel, DialError> {
    let failed = |message: String| DialError::Connect { target: target.to_string(), message };
    let config = credentials.tls().transpose().map_err(|error| failed(error.to_string()))?;
    if config.is_none() && !matches!(target, ManagerEndpoint::Unix(_)) {
        return Err(failed("there is neither a certificate nor a join token (--token)".into()));
    }
    let destination = target.clone();
    let connector = tower::service_fn(move |_| {
        let (target, config) = (destination.clone(), config.clone());
        async move { Ok::<_, io::Error>(TokioIo::new(wire(&target, config).await?)) }
    });
    // The address is not looked at: the connector knows where to go.
    let mut endpoint = Endpoint::from_static("http://manager");
    if let ManagerEndpoint::Network(_) = target {
        endpoint = endpoint
            .http2_keep_alive_interval(HALF_OPEN_PERIOD)
            .keep_alive_timeout(HALF_OPEN_LIMIT)
            .keep_alive_while_idle(true);
    }
    endpoint.connect_with_connector(connector).await.map_err(|error| match refusal_of(&error) {
        Some(refused) => {
            DialError::Untrusted { target: target.to_string(), message: refused.to_string() }
        }
        None => failed(disbelief_of(&error).unwrap_or_else(|| root_of(&error))),
    })
}

async fn wire(
    target: &ManagerEndpoint,
    config: Option<Arc<rustls::ClientConfig>>,
) -> io::Result<Box<dyn ManagerWire>> {
    let stream: Box<dyn ManagerWire> = match target {
        ManagerEndpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
        ManagerEndpoint::Network(address) => {
            let stream = TcpStream::connect(address.as_str()).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    };
    let Some(config) = config else { return Ok(stream) };
    // The name is not looked at: a manager is known by its certificate.
    let name = ServerName::try_from("swarm-manager").map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
}

/// The innermost reason: what the kernel said, without the layers around it.
pub(super) fn root_of(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    system_message(&root.to_string())
}

/// A system's message without the number that the standard library adds, and a plain one for a
/// stream that the other end broke off.
pub(super) fn system_message(text: &str) -> String {
    if text.contains("stream error") || text.contains("connection error") {
        "the other end closed it".to_owned()
    } else {
        skep_proto::os_error::plain(text)
    }
}
