//! One connection over a pipe, with calls that wait until they are told to end.

use super::*;
use skep_proto::v1::{GreetRequest, control_client::ControlClient};
use std::{io, sync::atomic::AtomicUsize, sync::atomic::Ordering::SeqCst};
use tokio::io::{DuplexStream, ReadBuf, duplex};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tonic::{Code, Status, transport::Channel, transport::Endpoint};

/// Longer than anything here takes; reached only by failing.
const SOON: Duration = Duration::from_secs(20);

/// Counts the writes of a connection.
struct CountedWrites(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for CountedWrites {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for CountedWrites {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, SeqCst);
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Answers each call when it is told to; the first one panics then, where it is to.
struct Gate {
    opened: watch::Receiver<bool>,
    begun: Arc<AtomicUsize>,
    panics: bool,
}

impl Service<Request<Incoming>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, _: Request<Incoming>) -> Self::Future {
        let is_first = self.begun.fetch_add(1, SeqCst) == 0;
        let (mut opened, panics) = (self.opened.clone(), self.panics && is_first);
        Box::pin(async move {
            opened.wait_for(|opened| *opened).await.unwrap();
            assert!(!panics, "on purpose");
            Ok(Status::aborted("the gate is open").into_http())
        })
    }
}

struct Served {
    open: watch::Sender<bool>,
    begun: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
    stop: CancellationToken,
    ended: JoinHandle<()>,
    channel: Channel,
}

impl Served {
    async fn start(panics: bool) -> Served {
        let (open, opened) = watch::channel(false);
        let (begun, writes): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let (ours, theirs) = duplex(1 << 20);
        let (stop, gate) =
            (CancellationToken::new(), Gate { opened, begun: begun.clone(), panics });
        let stream = CountedWrites(ours, writes.clone());
        let ended = tokio::spawn(serve(stream, STREAMS_PER_CONNECTION_MAX, gate, stop.clone()));
        let mut theirs = Some(theirs);
        let connect = tower::service_fn(move |_| {
            let theirs = theirs.take().map(rt::TokioIo::new);
            async move { theirs.ok_or_else(|| io::Error::other("one connection is all there is")) }
        });
        let endpoint = Endpoint::from_static("http://skep.invalid");
        let channel = endpoint.connect_with_connector(connect).await.unwrap();
        Served { open, begun, writes, stop, ended, channel }
    }

    /// Begins so many calls.
    async fn calls(&self, count: usize) -> Vec<JoinHandle<Result<(), Status>>> {
        let expected = self.begun.load(SeqCst) + count;
        let calls = (0..count).map(|_| {
            let mut client = ControlClient::new(self.channel.clone());
            tokio::spawn(async move { client.greet(GreetRequest::default()).await.map(drop) })
        });
        let calls = calls.collect();
        while self.begun.load(SeqCst) < expected {
            tokio::task::yield_now().await;
        }
        calls
    }
}

async fn codes(calls: Vec<JoinHandle<Result<(), Status>>>) -> Vec<Code> {
    let mut codes = Vec::new();
    for call in calls {
        let answer = timeout(SOON, call).await.expect("it is answered").unwrap();
        codes.push(answer.unwrap_err().code());
    }
    codes
}

#[tokio::test]
async fn answers_that_are_ready_together_leave_in_one_write() {
    let served = Served::start(false).await;
    let calls = served.calls(64).await;
    let before = served.writes.load(SeqCst);
    served.open.send_replace(true);
    assert_eq!(codes(calls).await, [Code::Aborted; 64]);
    let writes = served.writes.load(SeqCst) - before;
    assert!(writes <= 4, "{writes} writes");
}

/// Counts how often it is woken.
#[derive(Default)]
struct CountedWakes(AtomicUsize);

impl Wake for CountedWakes {
    fn wake(self: Arc<CountedWakes>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_connection_that_is_woken_while_it_is_polled_is_polled_again_and_wakes_nobody() {
    let (waker, wakes) = (Arc::new(ConnectionWaker::default()), Arc::new(CountedWakes::default()));
    let outer = wakes.clone().into();
    let mut outer = Context::from_waker(&outer);
    let (mut polls, mut inner) = (0, None);
    let polled = waker.poll(&mut outer, |context| {
        polls += 1;
        inner = Some(context.waker().clone());
        if polls < 5 {
            context.waker().wake_by_ref();
        }
        Poll::<()>::Pending
    });
    assert_eq!((polled, polls, wakes.0.load(SeqCst)), (Poll::Pending, 5, 0));
    inner.unwrap().wake();
    assert_eq!(wakes.0.load(SeqCst), 1, "between two polls its task is woken");
}

#[test]
fn a_connection_that_is_always_ready_lets_others_have_their_turn() {
    let (waker, wakes) = (Arc::new(ConnectionWaker::default()), Arc::new(CountedWakes::default()));
    let outer = wakes.clone().into();
    let mut polls = 0;
    let polled = waker.poll(&mut Context::from_waker(&outer), |context| {
        polls += 1;
        context.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    assert_eq!((polled, polls, wakes.0.load(SeqCst)), (Poll::Pending, CONNECTION_ROUNDS_MAX, 1));
}

#[tokio::test]
async fn a_call_that_panics_ends_alone() {
    let served = Served::start(true).await;
    let calls = served.calls(3).await;
    served.open.send_replace(true);
    let codes = codes(calls).await;
    assert_ne!(codes[0], Code::Aborted);
    assert_eq!(codes[1..], [Code::Aborted; 2]);
    assert!(!served.ended.is_finished());
}

#[tokio::test]
async fn after_the_stop_a_connection_ends_with_its_last_call() {
    let served = Served::start(false).await;
    let calls = served.calls(1).await;
    served.stop.cancel();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!served.ended.is_finished(), "a call is open");
    served.open.send_replace(true);
    assert_eq!(codes(calls).await, [Code::Aborted]);
    timeout(SOON, served.ended).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn calls_go_with_a_connection_that_breaks() {
    let served = Served::start(false).await;
    let calls = served.calls(2).await;
    assert_eq!(served.open.receiver_count(), 3);
    calls.iter().for_each(JoinHandle::abort);
    drop((calls, served.channel));
    timeout(SOON, served.ended).await.expect("it ends").unwrap();
    assert_eq!(served.open.receiver_count(), 0);
}
