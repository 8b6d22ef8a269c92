//! The socket of a machine that is no manager, over real connections.

use super::*;
use crate::{connections::of_local_socket, local_stream::LocalStream};
use hyper_util::rt::TokioIo;
use skep_proto::v1::{StatusRequest, control_client::ControlClient};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, transport::Endpoint};

/// A socket, served; what ends it, and when it has.
fn serve(
    folder: &tempfile::TempDir,
) -> (std::path::PathBuf, CancellationToken, tokio::task::JoinHandle<()>) {
    let (socket, stop) = (folder.path().join("s"), CancellationToken::new());
    let listener = net::UnixListener::bind(&socket).unwrap();
    let no_manager = Box::new(|| Refusal::precondition("this node is a worker"));
    let services = LocalServices { routes: Routes::default(), no_manager };
    let serving = tokio::spawn(serve_local(listener, of_local_socket(), services, stop.clone()));
    (socket, stop, serving)
}

#[tokio::test]
async fn calls_of_managers_hear_what_the_machine_is_and_unknown_ones_that_there_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, ..) = serve(&folder);
    let connect = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { LocalStream::connect(socket).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://skep.invalid");
    let channel = endpoint.connect_with_connector(connect).await.unwrap();
    let refused = ControlClient::new(channel).status(StatusRequest {}).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::FailedPrecondition, "this node is a worker")
    );
}

#[tokio::test]
async fn who_looks_for_metrics_is_told_that_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, ..) = serve(&folder);
    let mut scraper = net::UnixStream::connect(&socket).await.unwrap();
    scraper
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut heard = String::new();
    scraper.read_to_string(&mut heard).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 404") && heard.contains("no manager"), "{heard}");
}

#[tokio::test]
async fn agents_are_closed_and_nobody_keeps_the_socket_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, stop, serving) = serve(&folder);
    let mut agent = net::UnixStream::connect(&socket).await.unwrap();
    agent.write_all(&[22, 3, 1, 0, 1, 0]).await.unwrap();
    let heard = agent.read(&mut [0; 8]).await;
    assert!(matches!(heard, Ok(0) | Err(_)), "there is nothing to show to it: {heard:?}");
    // One that never says a word, and one that stops in the middle of HTTP/2.
    let _silent = net::UnixStream::connect(&socket).await.unwrap();
    let mut stuck = net::UnixStream::connect(&socket).await.unwrap();
    stuck.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stuck.read_exact(&mut [0; 9]).await.unwrap();
    let begun = Instant::now();
    stop.cancel();
    serving.await.unwrap();
    let limits = super::super::ANSWERS_END_LIMIT + super::super::CONNECTIONS_CLOSE_LIMIT;
    assert!(begun.elapsed() < limits + Duration::from_secs(5));
}
