//! A stream whose first byte has been looked at already.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// A stream, and the byte that was read ahead of its reader.
pub(super) struct Prefixed<S> {
    first: Option<u8>,
    stream: S,
}

impl<S: AsyncRead + Unpin> Prefixed<S> {
    /// Waits for the first byte. None where the stream ends before it.
    pub(super) async fn begin(mut stream: S) -> io::Result<Option<(u8, Prefixed<S>)>> {
        let mut first = [0];
        if stream.read(&mut first).await? == 0 {
            return Ok(None);
        }
        Ok(Some((first[0], Prefixed { first: Some(first[0]), stream })))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn the_first_byte_is_read_twice_and_no_other() {
        let (mut theirs, ours) = duplex(64);
        theirs.write_all(b"hello").await.unwrap();
        let (first, mut stream) = Prefixed::begin(ours).await.unwrap().unwrap();
        assert_eq!(first, b'h');
        stream.write_all(b"answer").await.unwrap();
        drop(theirs.shutdown().await);
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
        let mut answered = [0; 6];
        theirs.read_exact(&mut answered).await.unwrap();
        assert_eq!(&answered, b"answer");
    }

    #[tokio::test]
    async fn a_stream_that_says_nothing_has_no_first_byte() {
        let (theirs, ours) = duplex(64);
        drop(theirs);
        assert!(Prefixed::begin(ours).await.unwrap().is_none());
    }
}
