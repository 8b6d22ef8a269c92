//! etcd, from the distribution, as the rival: puts of 256 bytes, alone or a hundred in a
//! transaction.

use super::{
    encoded::{EncodedCodec, EncodedTemplate},
    load::LoadAnswer,
    server::{Server, Servers},
};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use prost::Message;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

/// Looks for the member that leads, at most.
const LEADER_LOOKS: usize = 100;
/// Connections that callers share, as on our side.
const CONNECTIONS: usize = 16;

/// `etcdserverpb.PutRequest`, as much of it as is used.
#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}
/// `etcdserverpb.RequestOp`
#[derive(Clone, PartialEq, prost::Message)]
struct TxnOp {
    #[prost(message, optional, tag = "2")]
    put: Option<Put>,
}
/// `etcdserverpb.TxnRequest`
#[derive(Clone, PartialEq, prost::Message)]
struct Txn {
    #[prost(message, repeated, tag = "2")]
    success: Vec<TxnOp>,
}
/// `etcdserverpb.RangeRequest`
#[derive(Clone, PartialEq, prost::Message)]
struct EtcdRange {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bool, tag = "7")]
    serializable: bool,
}
/// `etcdserverpb.StatusResponse`, as much of it as is used.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct EtcdStatus {
    #[prost(message, optional, tag = "1")]
    header: Option<EtcdHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}
/// `etcdserverpb.ResponseHeader`
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct EtcdHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}
/// Any answer: only that it came matters.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct EtcdReply {}

/// A running etcd and the ways to it.
pub struct Etcd {
    /// The processes.
    pub server: Servers,
    channels: Vec<Channel>,
    /// A transaction of each caller.
    hundreds: Mutex<BTreeMap<usize, Arc<EncodedTemplate>>>,
}

impl Etcd {
    /// Starts so many members on loopback with their data below a folder: the first one listens at
    /// this port, each other one two further. Members talk in the clear. The one that leads is
    /// asked.
    pub async fn start(dir: &Path, port: u16, members: usize) -> Result<Etcd> {
        let ports = || (0..members).map(|member| (member, port + 2 * member as u16));
        let cluster: Vec<String> =
            ports().map(|(n, port)| format!("{n}={}", url(port + 1))).collect();
        let cluster = cluster.join(",");
        let servers =
            ports().map(|(n, port)| member(dir, n, port, &cluster)).collect::<Result<_>>()?;
        let client = url(leader(ports().map(|(_, port)| port)).await?);
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(connect(&client).await?);
        }
        let etcd = Etcd { server: Servers(servers), channels, hundreds: Mutex::default() };
        etcd.put(0, 0).await.context("the first put")?;
        Ok(etcd)
    }

    /// One put.
    pub fn put(
        &self,
        caller: usize,
        turn: u64,
    ) -> impl Future<Output = Result<LoadAnswer>> + Send + use<> {
        let (channel, put) = (self.channel(caller), put(caller, turn));
        async move {
            call(channel, "/etcdserverpb.KV/Put", put.encode_to_vec()).await?;
            Ok(LoadAnswer::together(1))
        }
    }

    /// A look at a key that is not there, in memory: as near to nothing as a call comes.
    pub fn look(&self, caller: usize) -> impl Future<Output = Result<LoadAnswer>> + Send + use<> {
        let channel = self.channel(caller);
        async move {
            let look = EtcdRange { key: Bytes::from_static(b"nothing"), serializable: true };
            call(channel, "/etcdserverpb.KV/Range", look.encode_to_vec()).await?;
            Ok(LoadAnswer::together(1))
        }
    }

    /// A hundred puts in one transaction.
    pub fn hundred(
        &self,
        caller: usize,
        turn: u64,
    ) -> impl Future<Output = Result<LoadAnswer>> + Send + use<> {
        let channel = self.channel(caller);
        let template = self.template(caller);
        async move {
            let mut transaction = Vec::new();
            template?.write(turn, &mut transaction);
            call(channel, "/etcdserverpb.KV/Txn", transaction).await?;
            Ok(LoadAnswer::together(100))
        }
    }

    fn template(&self, caller: usize) -> Result<Arc<EncodedTemplate>> {
        let mut hundreds = self.hundreds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hundreds.get(&caller) {
            return Ok(known.clone());
        }
        let operation = |index, turn| TxnOp { put: Some(put(caller * 100 + index, turn)) };
        let template = Arc::new(EncodedTemplate::new(|turn| Txn {
            success: (0..100).map(|index| operation(index, turn)).collect(),
        })?);
        hundreds.insert(caller, template.clone());
        Ok(template)
    }

    fn channel(&self, caller: usize) -> Channel {
        self.channels[caller % self.channels.len()].clone()
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Starts one member.
fn member(dir: &Path, number: usize, port: u16, cluster: &str) -> Result<Server> {
    let (client, peer) = (url(port), url(port + 1));
    let arguments = [
        ("--name", number.to_string()),
        ("--data-dir", dir.join(format!("etcd{number}")).display().to_string()),
        ("--listen-client-urls", client.clone()),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer.clone()),
        ("--initial-advertise-peer-urls", peer),
        ("--initial-cluster", cluster.to_owned()),
        ("--quota-backend-bytes", (8u64 << 30).to_string()),
        ("--log-level", "error".to_owned()),
    ];
    let arguments: Vec<String> =
        arguments.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
    Server::start(Path::new("etcd"), &arguments, &dir.join(format!("etcd{number}.log")))
}

/// The port of the member that leads.
async fn leader(ports: impl Iterator<Item = u16> + Clone) -> Result<u16> {
    for _ in 0..LEADER_LOOKS {
        for port in ports.clone() {
            let channel = connect(&url(port)).await?;
            let mut client = Grpc::new(channel);
            client.ready().await?;
            let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Status");
            let request = tonic::Request::new(Vec::new().into());
            let codec = EncodedCodec::<EtcdStatus>::default();
            let status = client.unary(request, path, codec).await?.into_inner();
            let own = status.header.map_or(0, |header| header.member_id);
            if own != 0 && own == status.leader {
                return Ok(port);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("etcd elects nobody")
}

fn put(caller: usize, turn: u64) -> Put {
    let value = super::value(caller, turn).into_bytes().into();
    Put { key: format!("node/{caller}/label").into_bytes().into(), value }
}

async fn connect(address: &str) -> Result<Channel> {
    let mut tries = 0;
    loop {
        match Channel::from_shared(address.to_owned())?.tcp_nodelay(true).connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if tries > 100 => {
                return Err(error).context("etcd does not answer; is etcd-server installed?");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        tries += 1;
    }
}

async fn call(channel: Channel, path: &'static str, message: Vec<u8>) -> Result<()> {
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let (request, path) = (tonic::Request::new(message.into()), PathAndQuery::from_static(path));
    client.unary(request, path, EncodedCodec::<EtcdReply>::default()).await?;
    Ok(())
}
