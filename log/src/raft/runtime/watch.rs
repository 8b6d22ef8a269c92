//! A value that tasks watch. Tokio's own wakes those who wait in an order that it draws, which no
//! seed reaches; this one wakes them in the order in which they came.

use openraft::{
    OptionalSend, OptionalSync,
    async_runtime::watch::{self, RecvError, SendError},
};
use std::{
    collections::BTreeMap,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

/// The kind of watch that raft uses.
pub(crate) struct RaftWatch;

struct Watched<T> {
    value: RwLock<Versioned<T>>,
    waiting: Mutex<Waiting>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

struct Versioned<T> {
    value: T,
    version: u64,
}

#[derive(Default)]
struct Waiting {
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

/// Changes the value.
pub(crate) struct WatchSender<T>(Arc<Watched<T>>);

/// Sees the value.
pub(crate) struct WatchReceiver<T> {
    watched: Arc<Watched<T>>,
    seen: u64,
}

/// The value, which nobody changes meanwhile.
pub(crate) struct WatchRef<'a, T>(RwLockReadGuard<'a, Versioned<T>>);

impl<T> Deref for WatchRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Watched<T> {
    fn read(&self) -> RwLockReadGuard<'_, Versioned<T>> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self) -> u64 {
        self.read().version
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut self.waiting().wakers);
        wakers.into_values().for_each(Waker::wake);
    }

    fn receiver(self: &Arc<Watched<T>>, seen: u64) -> WatchReceiver<T> {
        self.receivers.fetch_add(1, SeqCst);
        WatchReceiver { watched: self.clone(), seen }
    }
}

impl watch::Watch for RaftWatch {
    type Sender<T: OptionalSend + OptionalSync> = WatchSender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = WatchReceiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = WatchRef<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (WatchSender<T>, WatchReceiver<T>) {
        let watched = Arc::new(Watched {
            value: RwLock::new(Versioned { value: init, version: 0 }),
            waiting: Mutex::default(),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
        });
        let receiver = watched.receiver(0);
        (WatchSender(watched), receiver)
    }
}

impl<T> Clone for WatchSender<T> {
    fn clone(&self) -> WatchSender<T> {
        self.0.senders.fetch_add(1, SeqCst);
        WatchSender(self.0.clone())
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, SeqCst) == 1 {
            self.0.wake_all();
        }
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchSender<RaftWatch, T> for WatchSender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.receivers.load(SeqCst) == 0 {
            return Err(SendError(value));
        }
        self.send_if_modified(|current| {
            *current = value;
            true
        });
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let mut current = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        if !modify(&mut current.value) {
            return false;
        }
        current.version += 1;
        drop(current);
        self.0.wake_all();
        true
    }

    fn borrow_watched(&self) -> WatchRef<'_, T> {
        WatchRef(self.0.read())
    }

    fn subscribe(&self) -> WatchReceiver<T> {
        self.0.receiver(self.0.version())
    }
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> WatchReceiver<T> {
        self.watched.receiver(self.seen)
    }
}

impl<T> Drop for WatchReceiver<T> {
    fn drop(&mut self) {
        self.watched.receivers.fetch_sub(1, SeqCst);
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchReceiver<RaftWatch, T> for WatchReceiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        WatchChange { receiver: self, waits: None }.await
    }

    fn borrow_watched(&self) -> WatchRef<'_, T> {
        WatchRef(self.watched.read())
    }

    fn borrow_and_update(&mut self) -> WatchRef<'_, T> {
        let now = self.watched.read();
        self.seen = now.version;
        WatchRef(now)
    }
}

/// Waits until the value is one that the receiver has not seen.
struct WatchChange<'a, T> {
    receiver: &'a mut WatchReceiver<T>,
    /// The number under which its waker is kept.
    waits: Option<u64>,
}

impl<T> WatchChange<'_, T> {
    fn forget(&mut self) {
        if let Some(number) = self.waits.take() {
            self.receiver.watched.waiting().wakers.remove(&number);
        }
    }

    fn wait(&mut self, waker: &Waker) {
        self.forget();
        let mut waiting = self.receiver.watched.waiting();
        waiting.next += 1;
        let number = waiting.next;
        waiting.wakers.insert(number, waker.clone());
        drop(waiting);
        self.waits = Some(number);
    }

    fn answer(&mut self) -> Option<Result<(), RecvError>> {
        // Who sends and then drops its end must be heard first.
        let senders = self.receiver.watched.senders.load(SeqCst);
        let version = self.receiver.watched.version();
        if version != self.receiver.seen {
            self.receiver.seen = version;
            return Some(Ok(()));
        }
        (senders == 0).then_some(Err(RecvError(())))
    }
}

impl<T> Future for WatchChange<'_, T> {
    type Output = Result<(), RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(answer) = self.answer() {
            return Poll::Ready(answer);
        }
        self.wait(context.waker());
        // It may have changed before the waker was kept.
        match self.answer() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for WatchChange<'_, T> {
    fn drop(&mut self) {
        self.forget();
    }
}
