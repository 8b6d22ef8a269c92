//! Answers that end by themselves, and answers that end with the manager.

use super::*;
use bytes::Bytes;
use std::{convert::Infallible, future, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// Gives a few bytes, then nothing for ever.
struct EndlessBody(bool);

impl HttpBody for EndlessBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::take(&mut self.0) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"line")))));
        }
        Poll::Pending
    }
}

async fn frame(body: &mut Body) -> Option<Frame<Bytes>> {
    let next = future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
    timeout(PATIENCE, next).await.expect("it ends").map(|frame| frame.expect("no error"))
}

async fn answer(end: &CancellationToken, response: http::Response<Body>) -> http::Response<Body> {
    until(end.clone(), future::ready(Ok::<_, Infallible>(response))).await.expect("it answers")
}

#[tokio::test]
async fn a_follower_gets_what_is_there_and_then_the_word_that_the_manager_stops() {
    let end = CancellationToken::new();
    let mut body =
        answer(&end, http::Response::new(Body::new(EndlessBody(true)))).await.into_body();
    end.cancel();
    assert_eq!(
        frame(&mut body).await.and_then(|frame| frame.into_data().ok()).as_deref(),
        Some(&b"line"[..])
    );
    let trailers =
        frame(&mut body).await.and_then(|frame| frame.into_trailers().ok()).expect("trailers");
    let status = Status::from_header_map(&trailers).expect("a status");
    assert_eq!(
        (status.code(), status.message()),
        (tonic::Code::Unavailable, "the manager is stopping")
    );
    assert!(trailers.contains_key(STOPPING_HEADER));
    assert!(frame(&mut body).await.is_none(), "nothing follows");
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn a_call_that_waits_is_answered_when_the_manager_stops() {
    let end = CancellationToken::new();
    let waiting = until(end.clone(), future::pending::<Result<http::Response<Body>, Infallible>>());
    end.cancel();
    let response = timeout(PATIENCE, waiting).await.expect("it is answered").expect("it answers");
    let status = Status::from_header_map(response.headers()).expect("a status");
    assert_eq!(status.code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn what_an_answer_holds_is_given_back_when_it_was_sent_or_dropped() {
    let end = CancellationToken::new();
    let semaphore = Arc::new(Semaphore::new(1));
    let held =
        || HeldPermit::new(semaphore.clone().try_acquire_owned().expect("it was given back"));
    for read in [true, false] {
        let mut response = http::Response::new(Body::new(EndlessBody(true)));
        response.extensions_mut().insert(held());
        let mut body = answer(&end, response).await.into_body();
        assert_eq!(semaphore.available_permits(), 0);
        if read {
            frame(&mut body).await;
            end.cancel();
            frame(&mut body).await;
            assert_eq!(semaphore.available_permits(), 1, "given back with the last frame");
        }
        drop(body);
        assert_eq!(semaphore.available_permits(), 1);
    }
}
