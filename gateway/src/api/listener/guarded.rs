//! A connection that is closed when the other end is silent for too long.
//!
//! A live HTTP/2 connection is never silent for long, since its other end answers the keepalive.

use crate::connections::SilenceLimits;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tonic::transport::server::Connected;

/// Bytes of a greeting: the preface of HTTP/2 has so many, and no request of HTTP/1.1 is shorter.
const GREETING_BYTES: usize = 24;

/// The connection, who is at its other end, what counts it for as long as it lives, and the time by
/// which it must have said something.
pub(in crate::api) struct Guarded<S, I, P> {
    stream: S,
    peer: I,
    received: usize,
    patience: SilenceLimits,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    _connection: P,
}

impl<S, I, P> Guarded<S, I, P> {
    pub(super) fn new(
        stream: S,
        peer: I,
        connection: P,
        patience: SilenceLimits,
    ) -> Guarded<S, I, P> {
        let deadline = Instant::now() + patience.greeting;
        Guarded {
            stream,
            peer,
            received: 0,
            patience,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
            _connection: connection,
        }
    }

    /// Ready when it has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }

    fn heard(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
        if self.received >= GREETING_BYTES {
            self.deadline = Instant::now() + self.patience.silence;
        }
    }
}

impl<S, I: Clone + Send + Sync + 'static, P> Connected for Guarded<S, I, P> {
    type ConnectInfo = I;

    fn connect_info(&self) -> I {
        self.peer.clone()
    }
}

impl<S: AsyncRead + Unpin, I: Unpin, P: Unpin> AsyncRead for Guarded<S, I, P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                self.heard(buf.filled().len() - before);
                Poll::Ready(read)
            }
            // Nothing read is the end of the stream.
            Poll::Pending => self.poll_silence(cx).map(Ok),
        }
    }
}

impl<S: AsyncWrite + Unpin, I: Unpin, P: Unpin> AsyncWrite for Guarded<S, I, P> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
