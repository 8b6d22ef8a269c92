//! One connection and all its calls, as one task.
//!
//! A task for each call would be woken for each answer, and each answer would wake the connection,
//! which would write it alone. Polled together, answers that are ready together leave in one write,
//! and a call costs no task.

use futures::{FutureExt, StreamExt, stream::FuturesUnordered, task::AtomicWaker};
use hyper::{Request, Response, body::Incoming, rt::Executor, service::Service};
use hyper_util::{rt, server::conn::auto};
use std::{
    convert::Infallible,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, atomic},
    task::{Context, Poll, Wake},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

/// Streams one connection may have open at once; more wait.
pub(super) const STREAMS_PER_CONNECTION_MAX: u32 = 4_096;
/// Largest headers of one request; a request with larger ones is refused.
pub(super) const HEADER_BYTES_MAX: u32 = 16 << 10;
/// A connection whose other end is silent is asked, and dropped when it does not answer.
pub(super) const KEEPALIVE_PERIOD: Duration = Duration::from_secs(20);

/// So often a connection and its calls are polled before other tasks have their turn.
const CONNECTION_ROUNDS_MAX: u32 = 16;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the calls that the connection's protocol begins.
#[derive(Clone, Default)]
struct BegunCalls(Arc<Mutex<Vec<Call>>>);

impl<F> Executor<F> for BegunCalls
where
    F: Future + Send + 'static,
{
    fn execute(&self, call: F) {
        // A call that panics ends alone: its stream is reset when it is dropped.
        let call = AssertUnwindSafe(call).catch_unwind().map(drop);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(call));
    }
}

impl BegunCalls {
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The calls of one connection that are not answered yet.
#[derive(Default)]
struct OpenCalls {
    begun: BegunCalls,
    open: FuturesUnordered<Call>,
}

impl OpenCalls {
    /// Goes on with all calls that can; says whether any of them began or ended.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let before = self.open.len();
        self.open.extend(self.begun.take());
        let mut moved = self.open.len() > before;
        while let Poll::Ready(Some(())) = self.open.poll_next_unpin(context) {
            moved = true;
        }
        moved
    }
}

/// Wakes the connection's task, unless it is just being polled: an answer wakes the connection that
/// writes it, and a task that wakes itself makes the runtime wake another thread.
#[derive(Default)]
struct ConnectionWaker {
    is_polled: atomic::AtomicBool,
    again: atomic::AtomicBool,
    task: AtomicWaker,
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<ConnectionWaker>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<ConnectionWaker>) {
        self.again.store(true, atomic::Ordering::SeqCst);
        if !self.is_polled.load(atomic::Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl ConnectionWaker {
    /// Polls until nothing is ready any more, or until others should have their turn.
    fn poll<T>(
        self: &Arc<ConnectionWaker>,
        outer: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.task.register(outer.waker());
        self.is_polled.store(true, atomic::Ordering::SeqCst);
        let waker = self.clone().into();
        for _ in 0..CONNECTION_ROUNDS_MAX {
            self.again.store(false, atomic::Ordering::SeqCst);
            let polled = poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                return polled;
            }
            if !self.again.load(atomic::Ordering::SeqCst) {
                break;
            }
        }
        self.is_polled.store(false, atomic::Ordering::SeqCst);
        if self.again.load(atomic::Ordering::SeqCst) {
            self.task.wake();
        }
        Poll::Pending
    }
}

/// Serves a connection with so many streams at once until its other end closes it, or, after
/// `stop`, until its calls have ended.
pub(super) async fn serve<I, S>(stream: I, streams: u32, service: S, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send,
    S::Future: Send + 'static,
{
    let mut calls = OpenCalls::default();
    let builder = builder(calls.begun.clone(), streams);
    let mut connection = pin!(builder.serve_connection(rt::TokioIo::new(stream), service));
    let mut stopped = pin!(stop.cancelled().fuse());
    let waker = Arc::new(ConnectionWaker::default());
    let mut poll = |context: &mut Context<'_>| {
        if stopped.as_mut().poll(context).is_ready() {
            connection.as_mut().graceful_shutdown();
        }
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            if !calls.poll(context) {
                return Poll::Pending;
            }
        }
    };
    let ended = poll_fn(|context| waker.poll(context, &mut poll));
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection ended");
    }
}

fn builder(calls: BegunCalls, streams: u32) -> auto::Builder<BegunCalls> {
    let mut builder = auto::Builder::new(calls);
    builder
        .http2()
        .timer(rt::TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE_PERIOD);
    // Without a timer, headers of HTTP/1 that never end would be waited for.
    builder.http1().timer(rt::TokioTimer::new());
    builder
}

#[cfg(test)]
mod tests;
