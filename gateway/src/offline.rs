//! A stopped manager's history, through the same gRPC services as a running one's.
//!
//! The folder is opened without a lock and without changing a byte; client and services talk
//! through a pipe in memory. So every read has one implementation for both, and commands are
//! refused because the manager is stopped.

mod cipher;

pub use cipher::cipher;

use crate::{
    admit::Refusal,
    api::{control::REPLY_BYTES_MAX, history::HistoryService},
    history, reads,
};
use futures::{Stream, stream};
use hyper_util::rt::TokioIo;
use skep_log::{HistoryReader, OpenHistoryError};
use skep_projections::View;
use skep_proto::{Id, Revision, v1};
use std::{fs, future, io, path::Path, pin::Pin, sync::Mutex};
use thiserror::Error;
use tokio::io::{DuplexStream, duplex};
use tonic::{Request, Response, Status, Streaming, transport};
use tower::service_fn;

/// Bytes in the pipe; a writer waits at it.
const PIPE_BYTES_MAX: usize = 1 << 20;

/// Why a stopped manager's history is not served.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenHistoryError),
    /// Its keys do not open.
    #[error(transparent)]
    Keys(#[from] skep_trust::FolderError),
    /// The unlock key is another one.
    #[error("the unlock key is not the one that this manager was locked with")]
    OtherKey,
    /// It opens, but its newest state cannot be rebuilt.
    #[error("the state of the manager in {dir} cannot be rebuilt: {source}")]
    Rebuild {
        /// The manager's folder.
        dir: String,
        /// What is wrong.
        source: history::PastError,
    },
    /// The pipe does not connect.
    #[error("the reader does not start: {0}")]
    Pipe(#[from] tonic::transport::Error),
    /// The work was broken off.
    #[error("the reader was interrupted: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

impl OfflineError {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            OfflineError::Open(error) => error.hint(),
            OfflineError::Rebuild { source, .. } => source.hint(),
            OfflineError::Keys(skep_trust::FolderError::Locked { .. }) => {
                Some("the manager is locked: give its unlock key with --unlock-key-file")
            }
            OfflineError::OtherKey => Some(
                "the key that was the newest one while this manager last ran unlocked is needed",
            ),
            OfflineError::Keys(_) | OfflineError::Pipe(_) | OfflineError::Ended(_) => None,
        }
    }
}

/// Opens the history in a manager's state folder, and serves its reads to the channel that is
/// returned until that is dropped.
/// `unlock_key` opens one whose cluster is locked.
pub async fn channel(
    dir: &Path,
    unlock_key: Option<skep_trust::UnlockKey>,
) -> Result<transport::Channel, OfflineError> {
    let dir = dir.to_owned();
    let reads = tokio::task::spawn_blocking(move || open(&dir, unlock_key.as_ref())).await??;
    serve(reads).await
}

fn open(
    dir: &Path,
    unlock_key: Option<&skep_trust::UnlockKey>,
) -> Result<reads::Reads, OfflineError> {
    let log = dir.join("log");
    let cipher = cipher(dir, unlock_key)?;
    let past = history::Past::new(HistoryReader::open_read_only(&log, cipher)?);
    let newest = past.newest().revision;
    let view = match newest {
        Revision::ZERO => View::default(),
        newest => past
            .view_at(newest)
            .map_err(|source| OfflineError::Rebuild { dir: dir.display().to_string(), source })?,
    };
    // A folder without the file is shown without the manager's own id.
    let node =
        fs::read_to_string(dir.join("manager-id")).ok().and_then(|text| Id::parse(text.trim()));
    Ok(reads::Reads::still(past, view, bytes_in(&log), node.unwrap_or(Id::NONE)))
}

/// What a folder and its folders take.
fn bytes_in(dir: &Path) -> u64 {
    let Ok(files) = fs::read_dir(dir) else { return 0 };
    let sizes = files.flatten().map(|file| match file.metadata() {
        Ok(meta) if meta.is_dir() => bytes_in(&file.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

async fn serve(reads: reads::Reads) -> Result<transport::Channel, OfflineError> {
    let (client, server) = duplex(PIPE_BYTES_MAX);
    let control = v1::control_server::ControlServer::new(Stopped { reads: reads.clone() })
        .max_encoding_message_size(REPLY_BYTES_MAX);
    let history = v1::history_server::HistoryServer::new(HistoryService::new(reads))
        .max_encoding_message_size(REPLY_BYTES_MAX);
    let services = transport::Server::builder().add_service(control).add_service(history);
    let incoming = stream::iter([Ok::<_, io::Error>(server)]);
    tokio::spawn(async move {
        if let Err(error) = services.serve_with_incoming(incoming).await {
            tracing::warn!(%error, "the reader of a stopped manager ended");
        }
    });
    let client = Mutex::new(Some(client));
    let connect = service_fn(move |_| {
        let taken = client.lock().ok().and_then(|mut client| client.take());
        future::ready(
            taken
                .map(TokioIo::<DuplexStream>::new)
                .ok_or_else(|| io::Error::other("the pipe is in use")),
        )
    });
    Ok(transport::Endpoint::from_static("http://stopped.invalid")
        .connect_with_connector(connect)
        .await?)
}

/// The service for people, of a manager that does not run.
struct Stopped {
    reads: reads::Reads,
}

fn stopped() -> Status {
    reads::status(
        &Refusal::precondition(reads::STOPPED)
            .hint("commands need a running manager: start `skep daemon`"),
    )
}

type StoppedReplies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl v1::control_server::Control for Stopped {
    async fn greet(
        &self,
        _request: Request<v1::GreetRequest>,
    ) -> Result<Response<v1::GreetReply>, Status> {
        Ok(Response::new(v1::GreetReply {
            stamp: 0,
            given_revision: 0,
            lineage: 0,
            version: env!("CARGO_PKG_VERSION").into(),
            cluster_id: self.reads.newest().cluster().id.to_bytes(),
        }))
    }

    async fn submit(
        &self,
        _request: Request<v1::Command>,
    ) -> Result<Response<v1::CommandReply>, Status> {
        Err(stopped())
    }

    type SubmitStreamStream = StoppedReplies<v1::CommandReplies>;

    async fn submit_stream(
        &self,
        _request: Request<Streaming<v1::Commands>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        Err(stopped())
    }

    async fn list_nodes(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::NodeList>, Status> {
        self.reads.list_nodes(request.into_inner()).await
    }

    async fn list_services(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ServiceList>, Status> {
        self.reads.list_services(request.into_inner()).await
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::TaskList>, Status> {
        self.reads.list_tasks(request.into_inner()).await
    }

    async fn list_strays(
        &self,
        request: Request<v1::ListStraysRequest>,
    ) -> Result<Response<v1::StrayList>, Status> {
        self.reads.list_strays(request.into_inner()).await
    }

    async fn get_cluster(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::Cluster>, Status> {
        self.reads.get_cluster(request.into_inner()).await
    }

    async fn status(
        &self,
        _request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusReply>, Status> {
        self.reads.status().await.map(Response::new)
    }

    type WatchServiceStream = StoppedReplies<v1::WatchServiceReply>;

    /// The last state once: nothing will change it.
    async fn watch_service(
        &self,
        request: Request<v1::WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let watch = self.reads.watch_service(request.into_inner()).await?;
        Ok(Response::new(Box::pin(futures::StreamExt::take(watch, 1))))
    }
}

#[cfg(test)]
mod tests;
