//! Who listens on a socket: a manager, something else, or a program that does not answer.
//!
//! Both sides of an HTTP/2 connection begin with a greeting: the client with a fixed text, the
//! server with a frame of settings. So the client's text is sent and the first bytes of the answer
//! are looked at; anything but settings comes from another program, whose socket was named by
//! mistake. The transport would only say that something went wrong.
//!
//! A manager with too many connections sends empty settings, and a frame that ends the connection
//! with a message (GOAWAY). The transport would not show that message.
//!
//! The transport then goes on with the same connection. It sends the client's text itself, so that
//! is left out, and it reads what has already been read.

use crate::cli::fail::CliError;
use skep_gateway::local_stream::LocalStream;
use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The header of a frame: three bytes of length, the kind, flags, and a stream.
const FRAME_HEADER_BYTES: usize = 9;
/// The kind of a frame of settings.
const SETTINGS: u8 = 4;
/// The kind of a frame that ends a connection, and where its message begins: after a stream and a
/// code.
const GOAWAY: u8 = 7;
const GOAWAY_MESSAGE_AT: usize = 8;
/// Longest message of a refusal that is read; what is longer is cut.
const REFUSAL_BYTES_MAX: u64 = 1024;
/// How long the listener may take to answer. A manager that does not is overloaded or stopped by a
/// debugger.
const LISTENER_GREETING_LIMIT: Duration = Duration::from_secs(5);

/// Why no manager is behind a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ProbeFailure {
    /// The manager takes no connection now, with its reason.
    Refused(String),
    /// Something answers, in another language.
    Stranger,
    /// The connection was closed without an answer.
    Closed,
    /// Nothing came in time.
    Silent,
}

/// Looks who is there. The connection is the transport's from then on.
pub(super) async fn probe(mut stream: LocalStream) -> Result<GreetedStream, ProbeFailure> {
    let mut begin = [0; FRAME_HEADER_BYTES];
    let talk = async {
        // A listener that has gone already may still have answered.
        drop(stream.write_all(PREFACE).await);
        let mut read = 0;
        while read < begin.len() {
            match stream.read(&mut begin[read..]).await {
                Ok(0) | Err(_) => break,
                Ok(more) => read += more,
            }
        }
        read
    };
    let read = timeout(LISTENER_GREETING_LIMIT, talk).await.map_err(|_| ProbeFailure::Silent)?;
    judge(&begin[..read])?;
    if begin.starts_with(&[0, 0, 0]) {
        return Err(refusal(&mut stream).await);
    }
    Ok(GreetedStream { stream, unread: begin.to_vec(), unsent: PREFACE.len() })
}

/// What a manager that sent empty settings says next. One that serves sends its own settings.
async fn refusal(stream: &mut LocalStream) -> ProbeFailure {
    let mut said = Vec::new();
    let mut limited = stream.take(REFUSAL_BYTES_MAX);
    // What came before the connection broke or fell silent is enough.
    drop(timeout(LISTENER_GREETING_LIMIT, limited.read_to_end(&mut said)).await);
    match said.split_at_checked(FRAME_HEADER_BYTES) {
        Some(([_, _, _, GOAWAY, ..], frame)) => {
            let message = frame.get(GOAWAY_MESSAGE_AT..).unwrap_or_default();
            ProbeFailure::Refused(String::from_utf8_lossy(message).into_owned())
        }
        _ => ProbeFailure::Closed,
    }
}

/// What the first bytes of an answer mean.
fn judge(begin: &[u8]) -> Result<(), ProbeFailure> {
    match begin {
        [] => Err(ProbeFailure::Closed),
        [_, _, _, SETTINGS, _, 0, 0, 0, 0] => Ok(()),
        _ => Err(ProbeFailure::Stranger),
    }
}

/// A connection on which both sides have greeted.
pub(super) struct GreetedStream {
    stream: LocalStream,
    /// What the manager has sent and the transport has not read.
    unread: Vec<u8>,
    /// Bytes of the greeting that the transport still has to write, and that have been sent.
    unsent: usize,
}

impl AsyncRead for GreetedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let taken = self.unread.len().min(into.remaining());
        let rest = self.unread.split_off(taken);
        into.put_slice(&self.unread);
        self.unread = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GreetedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unsent == 0 {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        let skipped = self.unsent.min(bytes.len());
        self.unsent -= skipped;
        Poll::Ready(Ok(skipped))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl ProbeFailure {
    /// The error that people see.
    pub(super) fn told(self, path: &Path) -> CliError {
        let shown = path.display();
        match self {
            ProbeFailure::Refused(message) => CliError::unreachable(message)
                .hint("close some, or raise the daemon's limit of open files; then try again"),
            ProbeFailure::Stranger => CliError::unreachable(format!(
                "no daemon at unix://{shown}: another program listens there"
            ))
            .hint("name the manager's socket with --host or SKEP_HOST"),
            ProbeFailure::Closed => CliError::unreachable(format!(
                "the manager at unix://{shown} closed the connection without an answer"
            ))
            .hint("it may be stopping, or have too many connections; try again in a moment"),
            ProbeFailure::Silent => CliError::unreachable(format!(
                "the manager at unix://{shown} does not answer: nothing came within {} s",
                LISTENER_GREETING_LIMIT.as_secs()
            ))
            .hint("it may have too many connections, or be stopped; see its log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_frame_of_settings_is_a_manager() {
        assert_eq!(judge(b"\x00\x00\x24\x04\x00\x00\x00\x00\x00"), Ok(()));
        assert_eq!(judge(b"HTTP/1.1 "), Err(ProbeFailure::Stranger));
        assert_eq!(judge(b"SSH"), Err(ProbeFailure::Stranger));
        assert_eq!(judge(b""), Err(ProbeFailure::Closed));
        assert_eq!(judge(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00"), Err(ProbeFailure::Stranger));
    }

    #[tokio::test]
    async fn the_message_of_a_manager_that_takes_no_connection_is_told() {
        for (sent, expected) in [
            (
                &b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x10\x07\x00\x00\x00\x00\x00\
                \x00\x00\x00\x00\x00\x00\x00\x0btoo many"[..],
                ProbeFailure::Refused("too many".into()),
            ),
            (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", ProbeFailure::Closed),
        ] {
            let (ours, mut theirs) = tokio::net::UnixStream::pair().expect("a pair of sockets");
            theirs.write_all(sent).await.expect("room for it");
            drop(theirs);
            let failure = probe(LocalStream::new(ours).expect("a socket")).await.err();
            assert_eq!(failure, Some(expected));
        }
    }

    #[tokio::test]
    async fn the_transport_goes_on_where_the_greeting_ended() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().expect("a pair of sockets");
        theirs.write_all(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00more").await.expect("room for it");
        let mut stream = probe(LocalStream::new(ours).expect("a socket")).await.expect("a manager");
        let mut sent = PREFACE.to_vec();
        sent.extend_from_slice(b"first");
        stream.write_all(&sent[..7]).await.expect("it is open");
        stream.write_all(&sent[7..]).await.expect("it is open");
        let mut heard = vec![0; sent.len()];
        theirs.read_exact(&mut heard).await.expect("it is open");
        assert_eq!(heard, sent, "the greeting comes once, and then what follows it");
        let mut read = [0; FRAME_HEADER_BYTES + 4];
        stream.read_exact(&mut read).await.expect("it is open");
        assert_eq!(&read, b"\x00\x00\x06\x04\x00\x00\x00\x00\x00more");
    }
}
