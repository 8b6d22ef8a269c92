//! Who listens on a socket: a manager, something else, or somebody who does not answer.
//!
//! Both sides of an HTTP/2 connection begin with a frame of settings. So the opening is sent and
//! the first bytes of the answer are looked at; whatever else comes is another program, whose
//! socket was named by mistake.

use crate::cli::fail::CliError;
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// The opening of HTTP/2, and a frame of settings that sets nothing.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// The header of a frame: three bytes of length, the kind, flags, and a stream.
const FRAME_HEADER_BYTES: usize = 9;
/// The kind of a frame of settings.
const SETTINGS: u8 = 4;
/// How long the listener may take to answer. A manager that does not is overloaded or stopped by a
/// debugger.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Why no manager is behind a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeFailure {
    /// Something answers, in another language.
    Stranger,
    /// The connection was closed without an answer.
    Closed,
    /// Nothing came in time.
    Silent,
}

/// Looks who is there.
pub async fn probe(mut stream: UnixStream) -> Result<(), ProbeFailure> {
    let mut begin = [0; FRAME_HEADER_BYTES];
    let talk = async {
        // A listener that has gone already may still have answered.
        drop(stream.write_all(OPENING).await);
        let mut read = 0;
        while read < begin.len() {
            match stream.read(&mut begin[read..]).await {
                Ok(0) | Err(_) => break,
                Ok(more) => read += more,
            }
        }
        read
    };
    let read = timeout(ANSWER_MAX, talk).await.map_err(|_| ProbeFailure::Silent)?;
    judge(&begin[..read])
}

/// What the first bytes of an answer mean.
fn judge(begin: &[u8]) -> Result<(), ProbeFailure> {
    match begin {
        [] => Err(ProbeFailure::Closed),
        [_, _, _, SETTINGS, _, 0, 0, 0, 0] => Ok(()),
        _ => Err(ProbeFailure::Stranger),
    }
}

impl ProbeFailure {
    /// In words.
    pub fn told(self, path: &Path) -> CliError {
        let shown = path.display();
        match self {
            ProbeFailure::Stranger => CliError::unreachable(format!(
                "no manager at unix://{shown}: another program listens there"
            ))
            .hint("name the manager's socket with --host or SKEP_HOST"),
            ProbeFailure::Closed => CliError::unreachable(format!(
                "the manager at unix://{shown} closed the connection without an answer"
            ))
            .hint("it may be stopping, or have too many connections; try again in a moment"),
            ProbeFailure::Silent => CliError::unreachable(format!(
                "the manager at unix://{shown} does not answer: nothing came within {} s",
                ANSWER_MAX.as_secs()
            ))
            .hint("it may have too many connections, or be stopped; its log tells more"),
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
}
