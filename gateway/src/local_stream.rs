//! A local connection whose thread is not woken each time the other end reads.
//!
//! On a local socket every read at one end tells the other that there is room, and the runtime's
//! own stream always listens to that: each answer would wake a thread once more, for nothing. Here
//! room is listened to from the first write that finds none.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    net,
};

/// Bytes that are read at once.
const READ_BYTES_MAX: usize = 64 << 10;

/// One end of a connection to the local socket.
pub struct LocalStream {
    /// None only where it could not be registered again, which ends the connection.
    socket: Option<AsyncFd<UnixStream>>,
    listens: Listens,
    /// Who waits for something to read.
    reader: Option<Waker>,
}

/// What the runtime tells us of the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listens {
    /// That something can be read.
    Read,
    /// That, and that there is room to write again.
    ReadAndWrite,
}

impl LocalStream {
    /// Connects to the socket at this path.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<LocalStream> {
        LocalStream::new(net::UnixStream::connect(path).await?)
    }

    /// Takes over a connection of the runtime's kind.
    pub fn new(stream: net::UnixStream) -> io::Result<LocalStream> {
        let socket = register(stream.into_std()?, Interest::READABLE)?;
        Ok(LocalStream { socket: Some(socket), listens: Listens::Read, reader: None })
    }

    fn socket(&self) -> io::Result<&AsyncFd<UnixStream>> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Writes, or waits until there is room. `write` never blocks.
    fn poll_room(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.listens == Listens::Read {
            match write(self.socket()?.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.listen_for_room()?;
                }
                written => return Poll::Ready(written),
            }
        }
        loop {
            let mut room = ready!(self.socket()?.poll_write_ready(context))?;
            if let Ok(written) = room.try_io(|socket| write(socket.get_ref())) {
                return Poll::Ready(written);
            }
        }
    }

    /// Registers the socket again. A reader that waits is forgotten by that, so it is woken to ask
    /// again.
    fn listen_for_room(&mut self) -> io::Result<()> {
        if let Some(socket) = self.socket.take() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.socket = Some(register(socket.into_inner(), interest)?);
        }
        self.listens = Listens::ReadAndWrite;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Ok(())
    }
}

#[allow(
    deprecated,
    reason = "its unsafe successor wants that the descriptor never changes: that of a stream does not"
)]
fn register(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(stream, interest)
}

impl AsyncRead for LocalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining().min(READ_BYTES_MAX);
        loop {
            let Poll::Ready(ready) = self.socket()?.poll_read_ready(context) else {
                if self.listens == Listens::Read {
                    self.reader = Some(context.waker().clone());
                }
                return Poll::Pending;
            };
            let mut ready = ready?;
            let free = buffer.initialize_unfilled_to(room);
            match ready.try_io(|socket| socket.get_ref().read(free)) {
                Ok(Ok(length)) => {
                    // What did not fill the room has emptied the socket: no second look is needed.
                    if 0 < length && length < room {
                        ready.clear_ready();
                    }
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_room(context, |mut socket| socket.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_room(context, |mut socket| socket.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket()?.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixStream,
    };

    #[tokio::test]
    async fn an_answer_that_finds_no_room_is_written_when_there_is_some_and_reading_goes_on() {
        const BYTES: usize = 8 << 20;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = tokio::io::split(LocalStream::new(ours).unwrap());
        let mut waiting = tokio::spawn(async move {
            let mut word = [0; 5];
            reader.read_exact(&mut word).await.unwrap();
            (word, reader)
        });
        let mut writing = tokio::spawn(async move {
            writer.write_all(&vec![7; BYTES]).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let moment = Duration::from_millis(50);
        assert!(
            tokio::time::timeout(moment, &mut writing).await.is_err(),
            "nobody has read it yet"
        );
        theirs.write_all(b"hello").await.unwrap();
        let (word, mut reader) = (&mut waiting).await.unwrap();
        assert_eq!(&word, b"hello", "who waited to read is not forgotten");
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        assert!(heard.len() == BYTES && heard.iter().all(|byte| *byte == 7));
        writing.await.unwrap();
        drop(theirs);
        assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0, "the end is seen");
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_seen_though_it_came_with_the_last_words() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut ours = LocalStream::new(ours).unwrap();
        theirs.write_all(b"bye").await.unwrap();
        drop(theirs);
        let mut heard = Vec::new();
        ours.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"bye");
    }
}
