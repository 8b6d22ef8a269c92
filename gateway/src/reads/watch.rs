//! A service as it changes: sent at once, and again whenever something of it looks different.
//!
//! A slow watcher sees the newest state and skips those between. So the state that was sent last is
//! compared with the present one, by a fingerprint over the rows; deltas play no part.

use super::{Reads, ViewSource, in_the_future, status};
use crate::{drive::Published, resolve, show};
use futures::{Stream, stream};
use skep_projections::View;
use skep_proto::{Id, Revision, v1};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch::{Receiver, Sender},
    time::timeout,
};
use tonic::Status;

/// While images are pulled, which no record tells, it is looked at so often.
const PULLS_PERIOD: Duration = Duration::from_millis(500);

struct ServiceWatch {
    published: Receiver<Arc<Published>>,
    reads: Reads,
    /// Of a stopped manager: kept so that the receiver stays open for the first look.
    _still: Option<Sender<Arc<Published>>>,
    service: Id,
    sent: Option<u64>,
    done: bool,
}

impl Reads {
    /// Follows a service until it is removed, or the caller goes.
    pub async fn watch_service(
        &self,
        request: v1::WatchServiceRequest,
    ) -> Result<
        impl Stream<Item = Result<v1::WatchServiceReply, Status>> + Send + 'static + use<>,
        Status,
    > {
        let (mut published, still) = match &self.source {
            ViewSource::Live(drive) => (drive.published(), None),
            ViewSource::Still(newest, _) => {
                let sender = Sender::new(newest.clone());
                (sender.subscribe(), Some(sender))
            }
        };
        let after = Revision(request.after_revision);
        let view = match &still {
            Some(_) => self.newest(),
            None => {
                let reached = published.wait_for(|p| p.view.position().revision >= after);
                let reached = match timeout(self.revision_wait, reached).await {
                    Ok(reached) => reached.map(|p| p.view.clone()),
                    Err(_) => {
                        let newest = self.newest().position().revision;
                        return Err(status(&in_the_future(after, newest)));
                    }
                };
                reached.map_err(|_| Status::unavailable("the manager is stopping"))?
            }
        };
        let index =
            resolve::service(&view, &request.service).map_err(|error| status(&error.into()))?;
        let service = view.services().get(index).map_or(Id::NONE, |row| row.id);
        let watch = ServiceWatch {
            published,
            reads: self.clone(),
            _still: still,
            service,
            sent: None,
            done: false,
        };
        Ok(stream::unfold(watch, |mut watch| async move {
            watch.next().await.map(|reply| (Ok(reply), watch))
        }))
    }
}

impl ServiceWatch {
    async fn next(&mut self) -> Option<v1::WatchServiceReply> {
        loop {
            if self.done {
                return None;
            }
            let view = self.published.borrow_and_update().view.clone();
            let look = self.look(&view);
            let Some((fingerprint, pulling)) = look else {
                self.done = true;
                return Some(v1::WatchServiceReply {
                    revision: view.position().revision.0,
                    removed: true,
                    ..v1::WatchServiceReply::default()
                });
            };
            if self.sent != Some(fingerprint) {
                self.sent = Some(fingerprint);
                return Some(self.shown(&view));
            }
            let changed = if pulling {
                timeout(PULLS_PERIOD, self.published.changed()).await.unwrap_or(Ok(()))
            } else {
                self.published.changed().await
            };
            if changed.is_err() {
                return None;
            }
        }
    }

    /// What the service looks like, and whether it pulls; none when it is gone.
    fn look(&self, view: &View) -> Option<(u64, bool)> {
        let index = view.services().find(self.service)?;
        let row = view.services().get(index).filter(|row| !row.removed)?;
        let mut hasher = DefaultHasher::new();
        (row.last_revision, row.running_tasks, row.live_tasks, row.tasks).hash(&mut hasher);
        view.parked(self.service).is_some().hash(&mut hasher);
        let mut pulling = false;
        for (_, task) in view.tasks_of(index) {
            (task.id, task.node, task.state_since.0, task.desired_revision).hash(&mut hasher);
            task.detail.as_ref().map(Arc::as_ptr).hash(&mut hasher);
            if task.state == v1::TaskState::Preparing {
                pulling = true;
                self.reads
                    .pulls
                    .of(task.id)
                    .map(|pull| (pull.done_bytes, pull.message))
                    .hash(&mut hasher);
            }
        }
        Some((hasher.finish(), pulling))
    }

    fn shown(&self, view: &View) -> v1::WatchServiceReply {
        let index = view.services().find(self.service);
        let service = index.and_then(|index| view.services().get(index));
        let tasks = index.map(|index| show::list::tasks_of(view, index)).unwrap_or_default();
        let pulls: Vec<v1::PullProgress> = tasks
            .iter()
            .filter(|task| {
                task.status
                    .as_ref()
                    .is_some_and(|status| status.state() == v1::TaskState::Preparing)
            })
            .filter_map(|task| self.reads.pulls.of(Id::from_bytes(&task.id)))
            .collect();
        v1::WatchServiceReply {
            service: service.map(|row| show::service(view, row)),
            tasks,
            revision: view.position().revision.0,
            removed: false,
            pulls,
            answered_at: self.reads.log_time().0,
        }
    }
}
