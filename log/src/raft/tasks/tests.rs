//! Who runs the tasks when, on real threads.

use super::*;
use std::{
    net::{TcpListener, TcpStream},
    sync::{atomic::AtomicBool, atomic::Ordering::SeqCst, mpsc},
    thread::{self, ThreadId},
};
use tokio::io::AsyncReadExt;

/// Raft's own thread, and its tasks.
struct OwnThread {
    tasks: Arc<RaftTasks>,
    id: ThreadId,
    ends: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl OwnThread {
    fn start() -> OwnThread {
        let (started, start) = mpsc::channel();
        let (ends, end) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let tasks = RaftTasks::new(runtime.handle().clone());
            let _owned = tasks.own();
            started.send((tasks, thread::current().id())).unwrap();
            runtime.block_on(async { drop(end.await) });
        });
        let (tasks, id) = start.recv().unwrap();
        OwnThread { tasks, id, ends: Some(ends), thread: Some(thread) }
    }

    /// A task that says on which thread it runs whenever it is asked.
    fn echo(&self) -> (tokio::sync::mpsc::UnboundedSender<()>, mpsc::Receiver<ThreadId>) {
        let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let (answer, answers) = mpsc::channel();
        self.spawn(async move {
            answer.send(thread::current().id()).unwrap();
            while asked.recv().await.is_some() {
                answer.send(thread::current().id()).unwrap();
            }
        });
        (ask, answers)
    }

    fn spawn<F>(&self, future: F) -> TaskHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (here, before) =
            (CurrentThread { tasks: self.tasks.clone(), thread: Thread::Raft }, HERE.take());
        HERE.replace(Some(here));
        let handle = spawn(future);
        HERE.replace(before);
        handle
    }

    /// Takes the tasks once they are idle.
    fn take(&self) -> CallersRun {
        loop {
            if let Some(taken) = self.tasks.take() {
                return taken;
            }
            thread::yield_now();
        }
    }

    fn end(&mut self) {
        drop(self.ends.take());
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn tasks_run_on_their_own_thread_where_nobody_takes_them() {
    let own = OwnThread::start();
    let (ask, answers) = own.echo();
    assert_eq!(answers.recv().unwrap(), own.id);
    ask.send(()).unwrap();
    assert_eq!(answers.recv().unwrap(), own.id);
}

#[test]
fn a_callers_run_ends_when_the_work_is_done() {
    let own = OwnThread::start();
    let (ask, answers) = own.echo();
    answers.recv().unwrap();
    for _ in 0..1000 {
        let taken = own.take();
        ask.send(()).unwrap();
        assert!(answers.try_recv().is_err(), "nobody else runs what was taken");
        taken.run();
        assert_eq!(answers.try_recv(), Ok(thread::current().id()));
    }
}

#[test]
fn a_run_includes_what_it_makes_ready() {
    let own = OwnThread::start();
    let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel::<u32>();
    let (second, mut second_asked) = tokio::sync::mpsc::unbounded_channel();
    let (done, dones) = mpsc::channel();
    own.spawn(async move {
        while let Some(number) = asked.recv().await {
            second.send(number + 1).unwrap();
        }
    });
    own.spawn(async move {
        while let Some(number) = second_asked.recv().await {
            let done = done.clone();
            drop(spawn(async move { done.send(number + 1).unwrap() }));
        }
    });
    let taken = own.take();
    ask.send(1).unwrap();
    taken.run();
    assert_eq!(dones.try_recv(), Ok(3));
}

#[test]
fn tasks_that_are_taken_are_nobody_elses() {
    let own = OwnThread::start();
    let taken = own.take();
    assert!(own.tasks.take().is_none());
    drop(taken);
    drop(own.take());
}

#[test]
fn what_is_given_back_without_a_run_is_run_by_its_own_thread() {
    let own = OwnThread::start();
    let (ask, answers) = own.echo();
    answers.recv().unwrap();
    let taken = own.take();
    ask.send(()).unwrap();
    drop(taken);
    assert_eq!(answers.recv().unwrap(), own.id);
}

#[test]
fn endless_work_is_handed_over_to_its_own_thread() {
    let own = OwnThread::start();
    let rounds = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = rounds.clone();
    let taken = own.take();
    own.spawn(async move {
        loop {
            counted.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
        }
    });
    taken.run();
    let before = rounds.load(SeqCst);
    while rounds.load(SeqCst) < before + 1000 {
        thread::yield_now();
    }
}

#[test]
fn a_panic_ends_its_task_alone() {
    let own = OwnThread::start();
    let handle = own.spawn(async { panic!("on purpose") });
    let end: Result<(), RaftTaskError> = futures::executor::block_on(handle);
    assert_eq!(end, Err(RaftTaskError::Panicked));
    let handle = own.spawn(async { 7 });
    assert_eq!(futures::executor::block_on(handle), Ok(7));
}

#[test]
fn tasks_go_with_their_own_thread() {
    let mut own = OwnThread::start();
    let handle = own.spawn(std::future::pending::<()>());
    own.end();
    assert_eq!(futures::executor::block_on(handle), Err(RaftTaskError::Dropped));
    assert!(own.tasks.take().is_none());
    let late = own.spawn(async {});
    assert_eq!(futures::executor::block_on(late), Err(RaftTaskError::Dropped));
}

#[test]
fn tasks_that_are_gone_stay_gone_when_somebody_gives_them_back() {
    let mut own = OwnThread::start();
    let taken = own.take();
    own.end();
    drop(taken);
    let late = own.spawn(async {});
    assert_eq!(futures::executor::block_on(late), Err(RaftTaskError::Dropped));
}

#[test]
fn a_caller_writes_one_entry_itself() {
    let own = OwnThread::start();
    let (write, mut writes) = tokio::sync::mpsc::unbounded_channel();
    let (said, may) = mpsc::channel();
    own.spawn(async move {
        while writes.recv().await.is_some() {
            said.send((may_write_here(), may_write_here())).unwrap();
        }
    });
    let taken = own.take();
    write.send(()).unwrap();
    taken.run();
    assert_eq!(may.recv().unwrap(), (true, false));
    write.send(()).unwrap();
    assert_eq!(may.recv().unwrap(), (true, true), "its own thread has nothing else to do");
}

#[test]
fn a_caller_that_hangs_is_helped_though_no_task_becomes_ready() {
    let own = OwnThread::start();
    let callers = tokio::runtime::Runtime::new().unwrap();
    *own.tasks.caller() = Some((Instant::now(), callers.handle().clone()));
    let until = Instant::now() + Duration::from_secs(20);
    while own.tasks.caller().is_some() {
        assert!(Instant::now() < until, "its runtime waits for it in vain");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_runtime_goes_on_while_one_of_its_threads_hangs_in_a_run() {
    let own = OwnThread::start();
    own.spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let callers =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || {
        let ours = TcpStream::connect(address).unwrap();
        let theirs = listener.accept().unwrap().0;
        theirs.set_nonblocking(true).unwrap();
        (ours, theirs)
    };
    let ((mut begin, begins), (mut other, others)) = (connect(), connect());
    let heard = Arc::new(AtomicBool::new(false));
    let (tasks, hear) = (own.tasks.clone(), heard.clone());
    let (hangs, hung) = mpsc::channel();
    callers.spawn(async move {
        let mut others = tokio::net::TcpStream::from_std(others).unwrap();
        others.read_u8().await.unwrap();
        hear.store(true, SeqCst);
    });
    let caller = callers.spawn({
        let heard = heard.clone();
        async move {
            let mut begins = tokio::net::TcpStream::from_std(begins).unwrap();
            begins.read_u8().await.unwrap();
            let taken = loop {
                match tasks.take() {
                    Some(taken) => break taken,
                    None => thread::yield_now(),
                }
            };
            let hang = move || {
                hangs.send(()).unwrap();
                let since = Instant::now();
                while !heard.load(SeqCst) && since.elapsed() < Duration::from_secs(20) {
                    thread::sleep(Duration::from_millis(1));
                }
                heard.load(SeqCst)
            };
            let before = HERE.replace(Some(CurrentThread { tasks, thread: Thread::Raft }));
            let handle = spawn(async move { hang() });
            HERE.replace(before);
            taken.run();
            handle.await.unwrap()
        }
    });
    thread::sleep(Duration::from_millis(50));
    std::io::Write::write_all(&mut begin, &[1]).unwrap();
    hung.recv().unwrap();
    std::io::Write::write_all(&mut other, &[1]).unwrap();
    assert!(callers.block_on(caller).unwrap(), "the other connection was read meanwhile");
}
