//! A machine that speaks the agents' protocol by hand: it joins, connects with what it has, and
//! says what a test or a benchmark wants said.

use anyhow::{Context, Result, bail};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use skep_proto::v1::{self, dispatcher_client::DispatcherClient, to_agent};
use skep_trust::{
    CertificateDer, JoinToken, ManagerExpectation, NodeKey, RootCertificate, client_config,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// Where a manager is found.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Its socket on this machine.
    Local(PathBuf),
    /// Its door to the network.
    Door(SocketAddr),
}

/// A machine's key, and the certificate that the cluster gave it.
pub struct TestMachine {
    /// Its key.
    pub key: NodeKey,
    /// What the cluster said.
    pub certified: v1::Certified,
}

/// Asks for a certificate; the answer is the manager's, whatever it is.
pub async fn ask_to_join(
    channel: Channel,
    key: &NodeKey,
    description: v1::NodeDescription,
    token: &str,
) -> Result<v1::ToAgent> {
    let join = v1::Join {
        request: key.request()?.into(),
        token: token.to_owned(),
        description: Some(description),
        ..v1::Join::default()
    };
    Ok(DispatcherClient::new(channel).join(join).await?.into_inner())
}

impl TestMachine {
    /// Joins through the manager's own socket, in the clear.
    pub async fn join(socket: &Path, description: v1::NodeDescription) -> Result<TestMachine> {
        let channel = channel(&Destination::Local(socket.to_owned()), None).await?;
        TestMachine::join_over(channel, description, "").await
    }

    /// Joins over this connection.
    pub async fn join_over(
        channel: Channel,
        description: v1::NodeDescription,
        token: &str,
    ) -> Result<TestMachine> {
        let key = NodeKey::generate()?;
        let answer = ask_to_join(channel, &key, description, token).await?;
        match answer.message {
            Some(to_agent::Message::Certified(certified)) => Ok(TestMachine { key, certified }),
            other => bail!("no certificate, but {other:?}"),
        }
    }

    /// The configuration of a connection that shows its certificate.
    pub fn tls(&self) -> Result<Arc<ClientConfig>> {
        let der = |bytes: &bytes::Bytes| CertificateDer::from(bytes.to_vec());
        let root = RootCertificate::from_der(der(&self.certified.root_certificate))?;
        let expect = ManagerExpectation::Root { root, cluster: None };
        let shown = Some((&self.key, der(&self.certified.certificate)));
        Ok(client_config(shown, expect)?)
    }

    /// A connection with its certificate.
    pub async fn connect(&self, destination: &Destination) -> Result<Channel> {
        channel(destination, Some(self.tls()?)).await
    }
}

/// The configuration of a machine that has a join token and no certificate.
pub fn stranger(token: &JoinToken) -> Result<Arc<ClientConfig>> {
    let expect = ManagerExpectation::Pinned { digest: token.root_digest, learned: Arc::default() };
    Ok(client_config(None, expect)?)
}

/// A connection, in the clear where no configuration is given.
pub async fn channel(
    destination: &Destination,
    config: Option<Arc<ClientConfig>>,
) -> Result<Channel> {
    let destination = destination.clone();
    let connector = tower::service_fn(move |_| {
        let (destination, config) = (destination.clone(), config.clone());
        async move {
            let stream: Box<dyn MachineWire> = match destination {
                Destination::Local(path) => Box::new(UnixStream::connect(path).await?),
                Destination::Door(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
            };
            let Some(config) = config else {
                return Ok::<_, std::io::Error>(TokioIo::new(stream));
            };
            let name = "swarm-manager".try_into().map_err(std::io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Ok(TokioIo::new(Box::new(stream) as Box<dyn MachineWire>))
        }
    });
    let endpoint = Endpoint::from_static("http://manager");
    endpoint.connect_with_connector(connector).await.context("no connection to the manager")
}

/// What a connection is made of.
trait MachineWire: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> MachineWire for S {}
