//! etcd, from the distribution, one member, as the rival: puts of 256 bytes, alone or a hundred in
//! a transaction.

use super::{
    encoded::{EncodedCodec, EncodedTemplate},
    load::LoadAnswer,
    server::Server,
};
use anyhow::{Context, Result};
use bytes::Bytes;
use prost::Message;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

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
/// Any answer: only that it came matters.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct EtcdReply {}

/// A running etcd and the ways to it.
pub struct Etcd {
    /// The process.
    pub server: Server,
    channels: Vec<Channel>,
    /// A transaction of each caller.
    hundreds: Mutex<BTreeMap<usize, Arc<EncodedTemplate>>>,
}

impl Etcd {
    /// Starts one member on loopback with its data below a folder.
    pub async fn start(dir: &Path, port: u16) -> Result<Etcd> {
        let client = format!("http://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{}", port + 1);
        let arguments = [
            ("--name", "rival".to_owned()),
            ("--data-dir", dir.join("etcd").display().to_string()),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client.clone()),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer.clone()),
            ("--initial-cluster", format!("rival={peer}")),
            ("--quota-backend-bytes", (8u64 << 30).to_string()),
            ("--log-level", "error".to_owned()),
        ];
        let arguments: Vec<String> =
            arguments.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        let server = Server::start(Path::new("etcd"), &arguments, &dir.join("etcd.log"))?;
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(connect(&client).await?);
        }
        let etcd = Etcd { server, channels, hundreds: Mutex::default() };
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
