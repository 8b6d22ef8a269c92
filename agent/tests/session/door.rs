//! The stub's doors: people's way in the clear, and agents' way over TLS, on one socket; agents'
//! way over the network; and its own certificate authority.

use nix::sys::socket::{MsgFlags, recv};
use skep_proto::{Id, Timestamp, v1};
use skep_trust::{CertificateAuthority, CertificateRequest, NodeKey, NodeName, Validity};
use std::{io, os::fd::AsRawFd, path::Path, pin::Pin, sync::Arc, task, time::SystemTime};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpListener, UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::Connected;

/// The node that each agent becomes.
const NODE: Id = Id(77);
/// The stub's cluster.
const CLUSTER: Id = Id(500);
/// How long its certificates are valid.
const LIFE_NS: u64 = 3_600_000_000_000;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp(u64::try_from(since.as_nanos()).expect("before 2554"))
}

/// The authority of the stub of a folder, the same at each start.
pub(super) fn authority(folder: &Path) -> Arc<CertificateAuthority> {
    let files = skep_trust::CertificateFolder::new(folder.join("authority"));
    let known = files.read_authority().expect("it is readable");
    Arc::new(known.unwrap_or_else(|| {
        let founded = CertificateAuthority::found(now()).expect("it is founded");
        files.write_authority(&founded).expect("room for it");
        founded
    }))
}

/// What a node gets for its request.
pub(super) fn certify(
    authority: &CertificateAuthority,
    request: &[u8],
    role: v1::NodeRole,
) -> v1::Certified {
    let request = CertificateRequest::parse(request).expect("a request");
    let name = NodeName { node: NODE, role, cluster: CLUSTER };
    let validity = Validity::from(now(), LIFE_NS);
    let certificate = authority.issue(&request, &name, validity, [1; 16]).expect("it is issued");
    v1::Certified {
        node_id: NODE.to_bytes(),
        cluster_id: CLUSTER.to_bytes(),
        certificate: certificate.to_vec().into(),
        root_certificate: authority.root().der().to_vec().into(),
        ..v1::Certified::default()
    }
}

/// What a manager shows.
fn acceptor(authority: &CertificateAuthority) -> TlsAcceptor {
    let key = NodeKey::generate().expect("a key");
    let request = CertificateRequest::parse(&key.request().expect("signed")).expect("whole");
    let name = NodeName { node: Id(1), role: v1::NodeRole::Manager, cluster: CLUSTER };
    let validity = Validity::from(now(), LIFE_NS);
    let certificate = authority.issue(&request, &name, validity, [2; 16]).expect("it is issued");
    skep_trust::server_config(&key, certificate, authority.root()).expect("they fit").into()
}

/// The connections of a port, after their handshakes: agents alone.
pub(super) fn network_connections(
    listener: TcpListener,
    authority: &CertificateAuthority,
) -> mpsc::Receiver<io::Result<StubConnection>> {
    let acceptor = acceptor(authority);
    let (send, receive) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.expect("a connection").0,
                () = send.closed() => return,
            };
            let (send, acceptor) = (send.clone(), acceptor.clone());
            tokio::spawn(async move {
                if let Ok(tls) = acceptor.accept(stream).await {
                    // The test may have ended.
                    let _ = send.send(Ok(StubConnection(Box::new(tls)))).await;
                }
            });
        }
    });
    receive
}

/// The connections of a socket, after their handshakes.
pub(super) fn connections(
    listener: UnixListener,
    authority: &CertificateAuthority,
) -> mpsc::Receiver<io::Result<StubConnection>> {
    let acceptor = acceptor(authority);
    let (send, receive) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if send.is_closed() {
                return;
            }
            let (send, acceptor) = (send.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Some(first) = first_byte(&stream).await else { return };
                let stream: Box<dyn StubWire> = match first {
                    22 => match acceptor.accept(stream).await {
                        Ok(tls) => Box::new(tls),
                        Err(_) => return,
                    },
                    _ => Box::new(stream),
                };
                // The test may have ended.
                let _ = send.send(Ok(StubConnection(stream))).await;
            });
        }
    });
    receive
}

/// Looks at it and leaves it where it is.
async fn first_byte(stream: &UnixStream) -> Option<u8> {
    loop {
        stream.readable().await.ok()?;
        let mut first = [0];
        let looked = stream.try_io(Interest::READABLE, || {
            let flags = MsgFlags::MSG_PEEK;
            Ok(recv(stream.as_raw_fd(), &mut first, flags)?)
        });
        match looked {
            Ok(0) => return None,
            Ok(_) => return Some(first[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

trait StubWire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> StubWire for S {}

/// One connection, protected or not.
pub(super) struct StubConnection(Box<dyn StubWire>);

impl Connected for StubConnection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for StubConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for StubConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> task::Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
