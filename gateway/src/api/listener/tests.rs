//! The listener with real sockets. All of a test's connections are of its own process, so they meet
//! the bound of the manager's own agent.

use super::*;
use crate::connections::{ConnectionLimits, SilenceLimits};
use futures::StreamExt as _;
use std::pin::pin;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

const OWN: usize = 8;

fn listen() -> (TempDir, UnixListener, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (folder, listener, path)
}

fn limiter() -> ConnectionLimiter {
    ConnectionLimiter::new("story", ConnectionLimits { all: 4, process: 2 })
}

#[tokio::test]
async fn one_too_many_is_told_so_and_closed_and_the_next_gets_in_when_there_is_room() {
    let (_folder, listener, path) = listen();
    let limiter = limiter();
    let mut incoming = pin!(limiter.clone().local(listener));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..OWN {
        ours.push(UnixStream::connect(&path).await.unwrap());
        theirs.push(incoming.next().await.unwrap().unwrap());
    }
    assert_eq!((limiter.look(), limiter.is_refusing()), ((8, 4, 0), false));
    let mut refused = UnixStream::connect(&path).await.unwrap();
    let accepting = tokio::spawn({
        let mut told = Vec::new();
        async move {
            refused.read_to_end(&mut told).await.unwrap();
            told
        }
    });
    // The listener looks at it when the next one is waited for.
    assert!(tokio::time::timeout(Duration::from_millis(200), incoming.next()).await.is_err());
    let told = accepting.await.unwrap();
    assert!(told.starts_with(&[0, 0, 0, 4]), "settings come first: {told:?}");
    assert!(
        String::from_utf8_lossy(&told).contains("too many connections; its limit is 4"),
        "{told:?}"
    );
    assert_eq!((limiter.look(), limiter.is_refusing()), ((8, 4, 1), true));
    drop(theirs.pop());
    drop(theirs.pop());
    let _next = UnixStream::connect(&path).await.unwrap();
    assert!(incoming.next().await.unwrap().is_ok());
}

/// Long enough for a machine that is busy, as far as a test can know that.
const GREETING: Duration = Duration::from_millis(300);
const SILENCE: Duration = Duration::from_millis(900);

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_and_one_that_spoke_has_longer() {
    let (_folder, listener, path) = listen();
    let silence = SilenceLimits { greeting: GREETING, silence: SILENCE };
    let mut incoming = pin!(limiter().with_silence(silence).local(listener));
    let _silent = UnixStream::connect(&path).await.unwrap();
    let mut mute = incoming.next().await.unwrap().unwrap();
    let begun = Instant::now();
    assert_eq!(mute.read(&mut [0; 64]).await.unwrap(), 0, "its end");
    assert!(begun.elapsed() >= GREETING - Duration::from_millis(50));

    let mut halting = UnixStream::connect(&path).await.unwrap();
    halting.write_all(b"PRI").await.unwrap();
    let mut short = incoming.next().await.unwrap().unwrap();
    let begun = Instant::now();
    assert_eq!(short.read(&mut [0; 64]).await.unwrap(), 3);
    assert_eq!(short.read(&mut [0; 64]).await.unwrap(), 0, "three bytes are no greeting");
    assert!(begun.elapsed() < SILENCE, "so it has no longer than one that is mute");

    let mut speaking = UnixStream::connect(&path).await.unwrap();
    speaking.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut heard = incoming.next().await.unwrap().unwrap();
    assert_eq!(heard.read(&mut [0; 64]).await.unwrap(), 24);
    let begun = Instant::now();
    assert_eq!(heard.read(&mut [0; 64]).await.unwrap(), 0);
    assert!(begun.elapsed() >= SILENCE - Duration::from_millis(50));
}

#[tokio::test]
async fn an_error_of_accepting_is_waited_out() {
    let limiter = limiter();
    let mut accepting = Accepting::default();
    let full = || Err::<(), _>(io::Error::from_raw_os_error(24));
    let begun = Instant::now();
    assert_eq!(accepting.judge(&limiter, full()).await, None);
    assert!(begun.elapsed() >= ACCEPT_DELAY);
    assert!(accepting == Accepting::Fails);
    let gone = Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionAborted));
    assert_eq!(accepting.judge(&limiter, gone).await, None);
    assert!(accepting == Accepting::Fails, "one that went away says nothing about the others");
    assert_eq!(accepting.judge(&limiter, Ok(())).await, Some(()));
    assert!(accepting == Accepting::Works);
}
