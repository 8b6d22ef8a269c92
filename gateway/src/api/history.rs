//! The gRPC service for the past: the log, differences, reasons, entries as stored, and how the
//! manager is.
//!
//! Streams are read from the disk where that may block, into a short queue; when the caller goes,
//! the queue closes and the reading ends.

#[cfg(test)]
mod tests;

use crate::{
    admit::Refusal,
    doctor,
    drive::{DiskTrial, ReadView},
    history::{PastError, select::Selection, tell::RecordFeed, why},
    reads::{Reads, blocking, failure, in_the_future, past_status, stale, status},
};
use futures::Stream;
use skep_log::Subscription;
use skep_projections::View;
use skep_proto::{Revision, v1};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{sync, task::spawn_blocking, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

/// Records or entries waiting for one reader; at it the reading of the disk waits.
const QUEUE_MAX: usize = 256;

/// Streams that are read at once: each may hold a thread while its caller is slow. More are
/// refused.
const READERS_MAX: usize = 64;
/// Differences and reasons that are worked out at once: each holds one or two views of the past in
/// memory. More wait.
const COMPARISONS_MAX: usize = 4;
/// A difference or a reason that has waited so long for others is refused.
const COMPARISON_WAIT_MAX: Duration = Duration::from_secs(30);

/// The service.
#[derive(Clone)]
pub struct HistoryService {
    reads: Reads,
    readers: Arc<sync::Semaphore>,
    comparisons: Arc<sync::Semaphore>,
    comparison_wait: Duration,
}

type HistoryReplies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type RecordSender = sync::mpsc::Sender<Result<v1::LogRecord, Status>>;

impl HistoryService {
    /// Behind it the reads of a running or a stopped manager.
    pub fn new(reads: Reads) -> HistoryService {
        HistoryService {
            reads,
            readers: Arc::new(sync::Semaphore::new(READERS_MAX)),
            comparisons: Arc::new(sync::Semaphore::new(COMPARISONS_MAX)),
            comparison_wait: COMPARISON_WAIT_MAX,
        }
    }

    async fn comparison(&self) -> Result<sync::OwnedSemaphorePermit, Status> {
        let permit = timeout(self.comparison_wait, self.comparisons.clone().acquire_owned());
        permit.await.ok().and_then(Result::ok).ok_or_else(|| {
            let refusal = Refusal::exhausted(format!(
                "{COMPARISONS_MAX} questions about the past are being answered, and none has finished in time"
            ));
            status(&refusal.hint("try again in a moment"))
        })
    }

    fn reader(&self) -> Result<sync::OwnedSemaphorePermit, Status> {
        self.readers.clone().try_acquire_owned().map_err(|_| {
            let refusal =
                Refusal::exhausted(format!("{READERS_MAX} readers of history are served already"));
            status(&refusal.hint("try again when one of them has finished"))
        })
    }
}

#[tonic::async_trait]
impl v1::history_server::History for HistoryService {
    type LogStream = HistoryReplies<v1::LogRecord>;

    async fn log(
        &self,
        request: Request<v1::LogRequest>,
    ) -> Result<Response<Self::LogStream>, Status> {
        let request = request.into_inner();
        let reader = self.reader()?;
        let past = self.reads.past().clone();
        let newest = past.newest().revision;
        let from = Revision(request.from_revision.max(1));
        let to = match request.to_revision {
            0 => Revision(u64::MAX),
            to => Revision(to),
        };
        if from > to || (from > newest.next() && !request.follow) {
            return Err(past_status(&no_such_range(from, to, newest)));
        }
        let view = self.reads.newest();
        let (follow, tail) = (request.follow, usize::try_from(request.tail).unwrap_or(usize::MAX));
        let now = view.clone();
        let teller = blocking(move || {
            let selection = Selection::of(&request, &past, &now)?;
            Ok(RecordFeed::new(past, &now, selection))
        })
        .await?;
        let subscription = match (follow && newest < to, self.reads.drive()) {
            (true, Some(drive)) => Some(drive.log().subscribe(newest.next().max(from))),
            (true, None) | (false, _) => None,
        };
        let (out, stream) = sync::mpsc::channel(QUEUE_MAX);
        let range = Range { from, to, newest, tail };
        tokio::spawn(async move {
            tell(teller, view, range, subscription, out).await;
            drop(reader);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn diff(
        &self,
        request: Request<v1::DiffRequest>,
    ) -> Result<Response<v1::DiffReply>, Status> {
        let request = request.into_inner();
        let permit = self.comparison().await?;
        let from = self.reads.view(request.from).await?;
        let to = self.reads.view(request.to).await?;
        let stale = to.stale.or(from.stale);
        let reply = blocking(move || {
            let _held = permit;
            Ok(v1::DiffReply {
                from_revision: from.view.position().revision.0,
                to_revision: to.view.position().revision.0,
                changes: skep_projections::audit::diff(&from.view, &to.view),
            })
        });
        reply.await.map(|reply| stale::response(reply, stale))
    }

    async fn why(
        &self,
        request: Request<v1::WhyRequest>,
    ) -> Result<Response<v1::WhyReply>, Status> {
        let request = request.into_inner();
        let permit = self.comparison().await?;
        let ReadView { view, stale } = self.reads.view(request.moment).await?;
        let past = self.reads.past().clone();
        let reply = blocking(move || {
            let _held = permit;
            let reply = why::why(&past, &view, &request.object);
            reply.map_err(|error| match request.moment.and_then(|moment| moment.moment) {
                Some(_) => error.at(view.position().revision),
                None => error,
            })
        });
        reply.await.map(|reply| stale::response(reply, stale))
    }

    type EntriesStream = HistoryReplies<v1::StoredEntry>;

    async fn entries(
        &self,
        request: Request<v1::EntriesRequest>,
    ) -> Result<Response<Self::EntriesStream>, Status> {
        let v1::EntriesRequest { from_revision, to_revision } = request.into_inner();
        let past = self.reads.past().clone();
        let newest = past.newest().revision.0;
        let to = if to_revision == 0 { newest } else { to_revision };
        if from_revision > to {
            return Err(past_status(&no_such_range(
                Revision(from_revision),
                Revision(to),
                Revision(newest),
            )));
        }
        let (out, stream) = sync::mpsc::channel(QUEUE_MAX);
        let reader = self.reader()?;
        spawn_blocking(move || {
            let _reader = reader;
            for entry in past.history().entries(Revision(from_revision.max(1))) {
                let (stored, last) = match entry {
                    Ok(entry) if entry.first().0 > to => return,
                    Ok(entry) => {
                        (Ok(v1::StoredEntry { entry: entry.bytes().clone() }), entry.last().0 >= to)
                    }
                    Err(error) => (Err(past_status(&error.into())), true),
                };
                if out.blocking_send(stored).is_err() || last {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn doctor(
        &self,
        _request: Request<v1::DoctorRequest>,
    ) -> Result<Response<v1::DoctorReply>, Status> {
        let trial = match self.reads.drive() {
            Some(drive) => drive.try_disk().await,
            None => DiskTrial::NotAsked,
        };
        let reads = self.reads.clone();
        let findings = blocking(move || doctor::examine(&reads, &trial)).await?;
        Ok(Response::new(v1::DoctorReply { findings }))
    }
}

fn no_such_range(from: Revision, to: Revision, newest: Revision) -> PastError {
    if from <= to {
        return in_the_future(from, newest).into();
    }
    Refusal::invalid(format!("{from} to {to} is not a range of revisions"))
        .hint(format!("history ends at revision {newest}"))
        .into()
}

/// Which records are sent: the first and the last, the newest one at the time of the call, and how
/// many of those up to it.
struct Range {
    from: Revision,
    to: Revision,
    newest: Revision,
    tail: usize,
}

/// Sends the records that there are, then those that come.
async fn tell(
    mut teller: RecordFeed,
    view: View,
    range: Range,
    subscription: Option<Subscription>,
    out: RecordSender,
) {
    let Range { from, to, newest, tail } = range;
    let told = out.clone();
    let past = spawn_blocking(move || {
        let ended = teller.tell(&view, from, to.min(newest), tail, |record| {
            told.blocking_send(Ok(record)).is_ok()
        });
        (teller, ended)
    });
    let teller = match past.await {
        Ok((teller, Ok(()))) => teller,
        // A reader that has gone does not get the error, and needs none.
        Ok((_, Err(error))) => return drop(out.send(Err(past_status(&error))).await),
        Err(error) => return drop(out.send(Err(failure(Code::Internal, &error))).await),
    };
    if let Some(subscription) = subscription {
        follow(teller, subscription, from, to, out).await;
    }
}

async fn follow(
    mut teller: RecordFeed,
    mut subscription: Subscription,
    from: Revision,
    to: Revision,
    out: RecordSender,
) {
    loop {
        let entry = tokio::select! {
            entry = subscription.next() => entry,
            () = out.closed() => return,
        };
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return drop(out.send(Err(failure(Code::Unavailable, &error))).await),
        };
        let told = out.clone();
        // Names are looked up on the disk.
        let step = spawn_blocking(move || {
            let more = teller
                .tell_entry(&entry, from, to, |record| told.blocking_send(Ok(record)).is_ok());
            (teller, more)
        });
        match step.await {
            Ok((back, Ok(true))) => teller = back,
            Ok((_, Ok(false))) => return,
            Ok((_, Err(error))) => return drop(out.send(Err(past_status(&error))).await),
            Err(error) => return drop(out.send(Err(failure(Code::Internal, &error))).await),
        }
    }
}
