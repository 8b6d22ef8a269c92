//! Answers that end with the manager, and that say so.
//!
//! Followers and waiting commands have answers that may never end by themselves. When the manager
//! stops they are ended with the status UNAVAILABLE and [`STOPPING_HEADER`], so that a client can
//! tell a manager that goes from a connection that broke.

use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body, codegen::http};

/// Stands in the metadata of each answer that ended because the manager is stopping.
pub(super) const STOPPING_HEADER: &str = "skep-stopping";

/// Something that an answer holds until it has been sent: put into its extensions.
#[derive(Clone)]
pub(super) struct HeldPermit(
    #[allow(dead_code, reason = "it is given back when it is dropped")] Arc<OwnedSemaphorePermit>,
);

impl HeldPermit {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> HeldPermit {
        HeldPermit(Arc::new(permit))
    }
}

/// The status of answers that end with the manager.
pub(super) fn stopping() -> Status {
    let mut status = Status::unavailable("the manager is stopping");
    status.metadata_mut().insert(STOPPING_HEADER, tonic::metadata::MetadataValue::from_static("1"));
    status
}

/// The answer of a call, or that the manager is stopping, whichever comes first.
pub(super) async fn until<E>(
    end: CancellationToken,
    call: impl Future<Output = Result<http::Response<Body>, E>>,
) -> Result<http::Response<Body>, E> {
    let mut response = tokio::select! {
        biased;
        response = call => response?,
        () = end.cancelled() => return Ok(stopping().into_http()),
    };
    let held = response.extensions_mut().remove::<HeldPermit>();
    Ok(response
        .map(|body| Body::new(EndingBody { body, end: ManagerEnd::Token(end), done: false, held })))
}

/// The manager's end.
enum ManagerEnd {
    /// Most answers never wait for it.
    Token(CancellationToken),
    Awaited(Pin<Box<WaitForCancellationFutureOwned>>),
}

impl ManagerEnd {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let ManagerEnd::Token(token) = self {
            *self = ManagerEnd::Awaited(Box::pin(token.clone().cancelled_owned()));
        }
        match self {
            ManagerEnd::Token(_) => Poll::Pending,
            ManagerEnd::Awaited(end) => end.as_mut().poll(context),
        }
    }
}

/// A body that ends with the manager.
struct EndingBody {
    body: Body,
    end: ManagerEnd,
    done: bool,
    held: Option<HeldPermit>,
}

impl HttpBody for EndingBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        if self.done {
            return Poll::Ready(None);
        }
        // What is ready is sent: only an answer that would wait is ended.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if frame.is_none() {
                (self.done, self.held) = (true, None);
            }
            return Poll::Ready(frame);
        }
        if self.end.poll(cx).is_pending() {
            return Poll::Pending;
        }
        (self.done, self.held) = (true, None);
        let mut trailers = http::HeaderMap::new();
        // The message and its header are valid: both are constants.
        stopping().add_header(&mut trailers).ok();
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
