//! Nodes of a running manager: they join, and connect with what they have.

use super::LiveCluster;
use hyper_util::rt::TokioIo;
use skep_proto::v1;
use skep_trust::{CertificateDer, ManagerExpectation, NodeKey, RootCertificate, client_config};
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

impl LiveCluster {
    /// A connection of a node that has just joined.
    pub(in crate::api) async fn connect_node(&self) -> Channel {
        let (key, certified) = self.join().await;
        let config = tls(&key, &certified);
        let path = self.socket();
        let connect = tower::service_fn(move |_| {
            let (path, tls) = (path.clone(), TlsConnector::from(config.clone()));
            async move {
                let stream = UnixStream::connect(path).await?;
                let name = "swarm-manager".try_into().unwrap();
                tls.connect(name, stream).await.map(TokioIo::new)
            }
        });
        Endpoint::from_static("http://skep.invalid").connect_with_connector(connect).await.unwrap()
    }

    /// A node that joins through the local socket.
    pub(in crate::api) async fn join(&self) -> (NodeKey, v1::Certified) {
        let key = NodeKey::generate().unwrap();
        let description = Some(skep_projections::fixture::node_description("n1"));
        let request = key.request().unwrap().into();
        let join = v1::Join { request, description, ..v1::Join::default() };
        let mut dispatcher = v1::dispatcher_client::DispatcherClient::new(self.connect().await);
        let answer = dispatcher.join(join).await.unwrap().into_inner();
        let Some(v1::to_agent::Message::Certified(certified)) = answer.message else {
            panic!("{answer:?}")
        };
        (key, certified)
    }
}

/// What a node shows, and whom it believes.
pub(in crate::api) fn tls(key: &NodeKey, certified: &v1::Certified) -> Arc<rustls::ClientConfig> {
    let der = |bytes: &bytes::Bytes| CertificateDer::from(bytes.to_vec());
    let root = RootCertificate::from_der(der(&certified.root_certificate)).unwrap();
    let expect = ManagerExpectation::Root { root, cluster: None };
    client_config(Some((key, der(&certified.certificate))), expect).unwrap()
}

/// A connection through the door to the network.
pub(in crate::api) async fn enter(
    door: std::net::SocketAddr,
    config: Arc<rustls::ClientConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let connect = tower::service_fn(move |_| {
        let tls = TlsConnector::from(config.clone());
        async move {
            let stream = tokio::net::TcpStream::connect(door).await?;
            let name = "swarm-manager".try_into().unwrap();
            tls.connect(name, stream).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://skep.invalid").connect_with_connector(connect).await
}
