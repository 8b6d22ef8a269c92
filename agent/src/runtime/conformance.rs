//! What every runtime must do, as one suite that all of them run.
//!
//! A [`TestedRuntime`] says how to open a runtime over an engine that outlives it, and how its
//! programs are written; the cases know nothing else of it. `conformance_tests!(expression)` makes
//! one test of each case.
//!
//! The waits here are limits at which a case fails, never times that it counts on.

use super::{
    FoundState, FoundTask, LogItem, LogLine, LogQuery, LogStream, Prepared, Runtime, RuntimeError,
    Started, TaskEnd, Workload,
};
use futures::{StreamExt, future::BoxFuture};
use skep_proto::{
    Id, Timestamp,
    v1::{EndCause, LogSource},
};
use std::{fmt::Debug, sync::Arc, time::Duration};

/// What a case wants run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Program {
    /// Runs until it gets its stop signal, then ends at once.
    Run,
    /// Ends by itself with this code.
    Exit(i32),
    /// Ends itself by this signal.
    Signal(i32),
    /// Takes no notice of its stop signal.
    Stubborn,
    /// Writes these lines, those that begin with `!` to the standard error, and ends with 0.
    Print(Vec<String>),
    /// Writes these lines as [`Program::Print`] does, and then runs until it is stopped.
    PrintAndRun(Vec<String>),
    /// No image or program of that name exists.
    Missing,
}

/// A runtime to be tried.
pub trait TestedRuntime: Send + Sync {
    /// A new runtime over the same engine, as an agent that was started again would have it.
    fn open(&self) -> BoxFuture<'_, Arc<dyn Runtime>>;
    /// How the program is written for this runtime. Task, node and names are filled in by the case.
    fn workload(&self, program: &Program) -> Workload;
}

/// Longest that one step of a case may take; then the case fails.
const CASE_LIMIT: Duration = Duration::from_secs(60);
/// The grace of stops in these cases: long enough that no program is killed for being slow.
const CASE_GRACE_LIMIT: Duration = Duration::from_secs(30);

/// Makes one test of each case. The expression is evaluated once a test, gives a
/// [`TestedRuntime`], and may await.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!($subject;
            a_whole_life_from_prepared_to_removed, exit_codes_are_told, a_death_by_signal_is_told,
            stopping_is_gentle_first, what_takes_no_notice_is_killed_after_the_grace,
            every_step_may_be_repeated,
            what_does_not_exist_is_rejected, steps_on_nothing_say_gone, what_runs_outlives_the_runtime,
            an_end_that_nobody_watched_is_told_later, what_was_stopped_before_it_began_never_begins,
            a_node_sees_only_its_own, removing_ends_what_runs,
            output_is_kept_in_order, output_is_cut_by_tail_and_time,
            output_is_followed_to_the_end, output_is_gone_when_the_task_is);
    };
    ($subject:expr; $($case:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let subject = $subject;
            $crate::runtime::conformance::$case(&subject).await;
        })+
    };
}

/// A task of one case, on one runtime.
struct Trial {
    runtime: Arc<dyn Runtime>,
    workload: Workload,
}

impl Trial {
    async fn new(subject: &dyn TestedRuntime, program: &Program) -> Trial {
        let mut workload = subject.workload(program);
        workload.task_id = fresh_id();
        workload.node_id = fresh_id();
        workload.service_id = fresh_id();
        workload.node_name = "trial-node".into();
        workload.service_name = "trial".into();
        workload.slot = 1;
        Trial { runtime: subject.open().await, workload }
    }

    async fn started(subject: &dyn TestedRuntime, program: &Program) -> Trial {
        let trial = Trial::new(subject, program).await;
        trial.prepare().await.expect("prepared");
        trial.start().await.expect("started");
        trial
    }

    /// The agent dies and comes back.
    async fn reopen(self, subject: &dyn TestedRuntime) -> Trial {
        let Trial { runtime, workload } = self;
        drop(runtime);
        Trial { runtime: subject.open().await, workload }
    }

    async fn prepare(&self) -> Result<Prepared, RuntimeError> {
        soon("prepare", self.runtime.prepare(&self.workload, &|_| {})).await
    }
    async fn start(&self) -> Result<Started, RuntimeError> {
        soon("start", self.runtime.start(&self.workload)).await
    }
    async fn ready(&self) -> Result<(), RuntimeError> {
        soon("ready", self.runtime.ready(&self.workload)).await
    }
    async fn wait(&self) -> Result<TaskEnd, RuntimeError> {
        soon("wait", self.runtime.wait(&self.workload)).await
    }
    async fn stop(&self, grace: Duration) -> Result<(), RuntimeError> {
        soon("stop", self.runtime.stop(self.workload.task_id, grace)).await
    }
    async fn remove(&self) {
        soon("remove", self.runtime.remove(self.workload.task_id)).await.expect("removed");
    }
    async fn list(&self) -> Vec<FoundTask> {
        soon("list", self.runtime.list(self.workload.node_id)).await.expect("listed")
    }
    async fn only_one(&self) -> FoundState {
        let mut found = self.list().await;
        assert_eq!(found.iter().map(|f| f.task_id).collect::<Vec<_>>(), [self.workload.task_id]);
        found.remove(0).state
    }
    async fn lines(&self, query: LogQuery) -> Result<Vec<LogLine>, RuntimeError> {
        let stream = soon("logs", self.runtime.logs(self.workload.task_id, query)).await?;
        let items = soon("lines", stream.collect::<Vec<_>>()).await;
        let lines = items.into_iter().map(|item| match item? {
            LogItem::Line(line) => Ok(line),
            LogItem::Lost(lines) => panic!("{lines:?} lines are lost"),
        });
        lines.collect()
    }
    /// Follows what the program writes; its first line is "up".
    async fn hears_up(&self) -> LogStream {
        let query = LogQuery { follow: true, ..LogQuery::default() };
        let stream = soon("logs", self.runtime.logs(self.workload.task_id, query)).await;
        let mut stream = stream.expect("a stream");
        let first = soon("first line", stream.next()).await.expect("a line").expect("readable");
        assert!(matches!(&first, LogItem::Line(line) if line.text.as_ref() == b"up"), "{first:?}");
        stream
    }

    async fn texts(&self, query: LogQuery) -> Vec<String> {
        let lines = self.lines(query).await.expect("lines");
        lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(CASE_LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {CASE_LIMIT:?}"),
    }
}

fn fresh_id() -> Id {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel has randomness");
    Id(u128::from_be_bytes(bytes))
}

fn gone<T: Debug>(result: Result<T, RuntimeError>) {
    assert_eq!(result.expect_err("nothing is there"), RuntimeError::Gone);
}

fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A task is listed in the state of its last step, from its preparation to its removal.
pub async fn a_whole_life_from_prepared_to_removed(subject: &dyn TestedRuntime) {
    let trial = Trial::new(subject, &Program::Run).await;
    assert!(trial.list().await.is_empty());
    trial.prepare().await.expect("prepared");
    assert_eq!(trial.only_one().await, FoundState::Created);
    let started = trial.start().await.expect("started");
    assert!(!started.container_ref.is_empty(), "people must be able to find it");
    trial.ready().await.expect("no health check: at once");
    assert!(
        matches!(trial.only_one().await, FoundState::Running(s) if s.container_ref == started.container_ref)
    );
    trial.stop(CASE_GRACE_LIMIT).await.expect("stopped");
    let ended = trial.wait().await.expect("ended");
    assert_eq!(ended.cause, EndCause::Asked, "{ended:?}");
    assert!(ended.at > Timestamp::NEVER);
    assert!(
        matches!(trial.only_one().await, FoundState::Ended(_, end) if end.exit_code == ended.exit_code)
    );
    gone(trial.ready().await);
    trial.remove().await;
    assert!(trial.list().await.is_empty());
}

/// The end of a task has the exit code of its program.
pub async fn exit_codes_are_told(subject: &dyn TestedRuntime) {
    for code in [0, 3, 125] {
        let trial = Trial::started(subject, &Program::Exit(code)).await;
        let ended = trial.wait().await.expect("ended");
        assert_eq!(
            (ended.exit_code, ended.signal, ended.cause),
            (Some(code), 0, EndCause::Itself),
            "{ended:?}"
        );
        assert!(!ended.out_of_memory);
        assert_eq!(trial.wait().await.expect("asked again").exit_code, Some(code));
        trial.remove().await;
    }
}

/// The end of a task has the signal that ended its program. An engine that reports only an exit
/// code may leave the signal at 0.
pub async fn a_death_by_signal_is_told(subject: &dyn TestedRuntime) {
    let trial = Trial::started(subject, &Program::Signal(9)).await;
    let ended = trial.wait().await.expect("ended");
    assert_eq!(ended.exit_code, Some(137), "{ended:?}");
    assert!(ended.signal == 9 || ended.signal == 0, "{ended:?}");
    trial.remove().await;
}

/// A stop sends the stop signal first: a program that ends on it is not killed.
pub async fn stopping_is_gentle_first(subject: &dyn TestedRuntime) {
    let trial = Trial::started(subject, &Program::PrintAndRun(lines(&["up"]))).await;
    // Before that it may not listen to its stop signal yet.
    drop(trial.hears_up().await);
    trial.stop(CASE_GRACE_LIMIT).await.expect("stopped");
    let ended = trial.wait().await.expect("ended");
    assert_ne!(ended.exit_code, Some(137), "it would have ended by itself: {ended:?}");
    trial.remove().await;
}

/// A program that ignores its stop signal is killed after the grace period.
pub async fn what_takes_no_notice_is_killed_after_the_grace(subject: &dyn TestedRuntime) {
    let trial = Trial::started(subject, &Program::Stubborn).await;
    trial.stop(Duration::from_millis(300)).await.expect("stopped");
    let ended = trial.wait().await.expect("ended");
    assert_eq!((ended.exit_code, ended.cause), (Some(137), EndCause::Asked), "{ended:?}");
    trial.remove().await;
}

/// Each step can be called again and then has the same outcome: an agent repeats the steps whose
/// outcome it does not know.
pub async fn every_step_may_be_repeated(subject: &dyn TestedRuntime) {
    let trial = Trial::new(subject, &Program::Run).await;
    let first = trial.prepare().await.expect("prepared");
    assert_eq!(trial.prepare().await.expect("prepared again"), first);
    let first = trial.start().await.expect("started");
    let again = trial.start().await.expect("started again");
    assert_eq!(
        (first.container_ref, first.pid),
        (again.container_ref, again.pid),
        "not a second one"
    );
    trial.prepare().await.expect("prepared while it runs");
    trial.stop(CASE_GRACE_LIMIT).await.expect("stopped");
    trial.stop(CASE_GRACE_LIMIT).await.expect("stopped again");
    trial.start().await.expect("started what has ended: it is not run again");
    assert!(matches!(trial.only_one().await, FoundState::Ended(..)));
    trial.remove().await;
    trial.remove().await;
    trial.stop(CASE_GRACE_LIMIT).await.expect("stopped what is gone");
}

/// An image or program that does not exist is an error of the task, not of the node.
pub async fn what_does_not_exist_is_rejected(subject: &dyn TestedRuntime) {
    let trial = Trial::new(subject, &Program::Missing).await;
    let error = trial.prepare().await.expect_err("there is no such thing");
    let is_told = match &error {
        RuntimeError::Rejected(text) => !text.is_empty(),
        RuntimeError::PullFailed { image, reason } => !image.is_empty() && !reason.is_empty(),
        RuntimeError::Unreachable(_) | RuntimeError::Failed(_) | RuntimeError::Gone => false,
    };
    assert!(is_told, "{error:?}");
    trial.remove().await;
}

/// A step of a task that was never prepared fails with the error that it is gone.
pub async fn steps_on_nothing_say_gone(subject: &dyn TestedRuntime) {
    let trial = Trial::new(subject, &Program::Run).await;
    gone(trial.start().await);
    gone(trial.ready().await);
    gone(trial.wait().await);
    gone(trial.lines(LogQuery::default()).await);
    trial.stop(CASE_GRACE_LIMIT).await.expect("nothing to stop");
    trial.remove().await;
}

/// A program goes on running while no agent is there, and the next runtime finds it.
pub async fn what_runs_outlives_the_runtime(subject: &dyn TestedRuntime) {
    let trial = Trial::new(subject, &Program::Run).await;
    trial.prepare().await.expect("prepared");
    let started = trial.start().await.expect("started");
    let trial = trial.reopen(subject).await;
    match trial.only_one().await {
        FoundState::Running(found) => {
            assert_eq!(
                (found.container_ref, found.pid),
                (started.container_ref.clone(), started.pid)
            );
        }
        other @ (FoundState::Created | FoundState::Ended(..) | FoundState::Unreadable(_)) => {
            panic!("{other:?}")
        }
    }
    assert_eq!(trial.start().await.expect("it runs").container_ref, started.container_ref);
    trial.ready().await.expect("ready");
    trial.stop(CASE_GRACE_LIMIT).await.expect("stopped");
    let trial = trial.reopen(subject).await;
    assert_eq!(trial.wait().await.expect("ended").cause, EndCause::Asked);
    trial.remove().await;
}

/// An end that came while no agent was there has its exit code all the same.
pub async fn an_end_that_nobody_watched_is_told_later(subject: &dyn TestedRuntime) {
    let trial = Trial::started(subject, &Program::Exit(3)).await.reopen(subject).await;
    let ended = trial.wait().await.expect("ended");
    assert_eq!((ended.exit_code, ended.cause), (Some(3), EndCause::Itself), "{ended:?}");
    let trial = trial.reopen(subject).await;
    match trial.only_one().await {
        FoundState::Ended(_, found) => assert_eq!(found.exit_code, Some(3)),
        other @ (FoundState::Created | FoundState::Running(_) | FoundState::Unreadable(_)) => {
            panic!("{other:?}")
        }
    }
    trial.remove().await;
}

/// A task that was stopped before its start cannot be started.
pub async fn what_was_stopped_before_it_began_never_begins(subject: &dyn TestedRuntime) {
    let trial = Trial::new(subject, &Program::Run).await;
    trial.prepare().await.expect("prepared");
    trial.stop(CASE_GRACE_LIMIT).await.expect("stopped");
    assert!(trial.start().await.is_err(), "a start that comes late");
    assert!(trial.list().await.iter().all(|found| !matches!(found.state, FoundState::Running(_))));
    trial.remove().await;
}

/// A listing of a node holds only tasks of that node.
pub async fn a_node_sees_only_its_own(subject: &dyn TestedRuntime) {
    let one = Trial::started(subject, &Program::Run).await;
    let two = Trial::started(subject, &Program::Run).await;
    assert!(matches!(one.only_one().await, FoundState::Running(_)));
    assert!(matches!(two.only_one().await, FoundState::Running(_)));
    for trial in [one, two] {
        trial.remove().await;
    }
}

/// Removing a task kills its program.
pub async fn removing_ends_what_runs(subject: &dyn TestedRuntime) {
    let trial = Trial::started(subject, &Program::Stubborn).await;
    trial.remove().await;
    assert!(trial.list().await.is_empty());
    gone(trial.wait().await);
}

/// Lines come back in the order in which they were written, each with its stream.
pub async fn output_is_kept_in_order(subject: &dyn TestedRuntime) {
    let written = lines(&["one", "two", "three"]);
    let trial = Trial::started(subject, &Program::Print(written.clone())).await;
    trial.wait().await.expect("ended");
    let found = trial.lines(LogQuery::default()).await.expect("lines");
    let texts: Vec<_> =
        found.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect();
    assert_eq!(texts, written);
    assert!(
        found.iter().all(|line| line.source == LogSource::Stdout && line.at > Timestamp::NEVER)
    );
    assert!(found.is_sorted_by_key(|line| line.at));
    trial.remove().await;
    let trial =
        Trial::started(subject, &Program::Print(lines(&["to people", "!to the operator"]))).await;
    trial.wait().await.expect("ended");
    let only = |stdout: bool| LogQuery { stdout, stderr: !stdout, ..LogQuery::default() };
    assert_eq!(trial.texts(only(true)).await, ["to people"]);
    assert_eq!(trial.texts(only(false)).await, ["!to the operator"]);
    trial.remove().await;
}

/// `tail` and `since` select the newest lines and those after a time.
pub async fn output_is_cut_by_tail_and_time(subject: &dyn TestedRuntime) {
    let trial = Trial::started(subject, &Program::Print(lines(&["a", "b", "c", "d"]))).await;
    trial.wait().await.expect("ended");
    let tail = |tail| LogQuery { tail: Some(tail), ..LogQuery::default() };
    assert_eq!(trial.texts(tail(2)).await, ["c", "d"]);
    assert_eq!(trial.texts(tail(0)).await, [""; 0]);
    assert_eq!(trial.texts(tail(9)).await, ["a", "b", "c", "d"]);
    let last = trial.lines(LogQuery::default()).await.expect("lines")[3].at;
    let since = LogQuery { since: last, ..LogQuery::default() };
    assert_eq!(trial.texts(since).await.last().map(String::as_str), Some("d"));
    let later = LogQuery { since: last + 1, ..LogQuery::default() };
    assert_eq!(trial.texts(later).await, [""; 0]);
    let until = LogQuery { until: last, ..LogQuery::default() };
    assert!(!trial.texts(until).await.contains(&"d".to_owned()));
    trial.remove().await;
}

/// A follower gets the lines that come later, and its stream ends with the task.
pub async fn output_is_followed_to_the_end(subject: &dyn TestedRuntime) {
    let trial = Trial::started(subject, &Program::PrintAndRun(lines(&["up"]))).await;
    let mut stream = trial.hears_up().await;
    trial.stop(CASE_GRACE_LIMIT).await.expect("stopped");
    while let Some(line) = soon("the stream's end", stream.next()).await {
        line.expect("readable");
    }
    trial.remove().await;
}

/// After the removal of a task none of its output is left.
pub async fn output_is_gone_when_the_task_is(subject: &dyn TestedRuntime) {
    let trial = Trial::started(subject, &Program::Print(lines(&["secret"]))).await;
    trial.wait().await.expect("ended");
    trial.remove().await;
    gone(trial.lines(LogQuery::default()).await);
}
