//! TLS at the doors: whether a connection begins with it, and whose certificate it shows.
//!
//! The network's door takes nothing else. On the local socket people speak in the clear, because
//! the kernel vouches for them, and agents speak TLS, because their certificate says which node
//! they are. The first byte tells them apart: no request of HTTP begins with it.

use super::prefixed::Prefixed;
use crate::peer::{ConnectionPeer, PeerChannel, PeerOrigin};
use rustls::ServerConfig;
use skep_trust::{NodeCertificate, disbelief_of};
use std::{io, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A handshake that takes longer is broken off.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// The first byte of TLS: a record of the handshake.
const TLS_FIRST_BYTE: u8 = 22;

/// What this manager shows at its doors; none before the cluster's authority is recorded.
pub type DoorConfig = watch::Receiver<Option<Arc<ServerConfig>>>;

/// A connection of which it is known who is at the other end.
pub(super) enum Secured<S> {
    Clear(Prefixed<S>, ConnectionPeer),
    Tls(Box<TlsStream<Prefixed<S>>>, ConnectionPeer),
}

/// Why a connection does not begin.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error("it ended before it said anything")]
    Silent,
    #[error("the other end does not speak TLS")]
    Clear,
    #[error("the handshake took too long")]
    TooLong,
    #[error("there is no certificate to show yet")]
    NoCertificate,
    #[error("{}", disbelief_of(.0).unwrap_or_else(|| .0.to_string()))]
    Io(#[from] io::Error),
    #[error("the other end's certificate: {0}")]
    Certificate(#[from] skep_trust::CertificateError),
}

impl HandshakeError {
    /// Whether somebody came who cannot be let in. Who only looks whether the port is open, and
    /// what is this manager's own fault, does not count.
    pub(super) fn is_of_the_other_end(&self) -> bool {
        match self {
            HandshakeError::Clear | HandshakeError::Certificate(_) => true,
            HandshakeError::Io(error) => error.kind() == io::ErrorKind::InvalidData,
            HandshakeError::Silent | HandshakeError::TooLong | HandshakeError::NoCertificate => {
                false
            }
        }
    }
}

/// Finds out who is at the other end.
pub(super) async fn secure<S>(
    stream: S,
    origin: PeerOrigin,
    door: DoorConfig,
) -> Result<Secured<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (first, stream) = Prefixed::begin(stream).await?.ok_or(HandshakeError::Silent)?;
    match (first, &origin) {
        (TLS_FIRST_BYTE, _) => {
            let shaken = timeout(HANDSHAKE_LIMIT, shake_hands(stream, origin, door)).await;
            shaken.map_err(|_| HandshakeError::TooLong)?
        }
        (_, PeerOrigin::Local(_)) => {
            Ok(Secured::Clear(stream, ConnectionPeer { origin, channel: PeerChannel::Clear }))
        }
        (_, PeerOrigin::Network(_)) => Err(HandshakeError::Clear),
    }
}

async fn shake_hands<S>(
    stream: Prefixed<S>,
    origin: PeerOrigin,
    mut door: DoorConfig,
) -> Result<Secured<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = door.wait_for(Option::is_some).await.ok().and_then(|config| config.clone());
    let config = config.ok_or(HandshakeError::NoCertificate)?;
    let tls = TlsAcceptor::from(config).accept(stream).await?;
    let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.map(|der| NodeCertificate::read(der).map(Box::new)).transpose()?;
    let peer = ConnectionPeer { origin, channel: PeerChannel::Tls(certificate) };
    Ok(Secured::Tls(Box::new(tls), peer))
}
