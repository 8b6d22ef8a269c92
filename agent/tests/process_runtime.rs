//! The process runtime with real processes under real shims: the suite that all runtimes pass, and
//! what only processes and shims can go through.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]

#[path = "process_runtime/remains.rs"]
mod remains;
#[path = "process_runtime/surroundings.rs"]
mod surroundings;

use futures::{StreamExt, future::BoxFuture};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use skep_agent::runtime::{
    FoundState, LogItem, LogQuery, Runtime, RuntimeError, Workload,
    conformance::{Program, TestedRuntime},
    process::{ProcessRuntime, ShimProgram},
};
use skep_proto::{
    Id,
    v1::{
        ContainerSpec, EndCause, Feature, ResourceRequirements, Resources, TaskSpec,
        task_spec::Runtime as Kind,
    },
};
use std::{fs, future::Future, path::PathBuf, process::Command, sync::Arc, time::Duration};

/// A state folder whose tasks are ended when the test is over, however it went.
struct ProcessNode {
    dir: tempfile::TempDir,
}

impl ProcessNode {
    fn new() -> ProcessNode {
        ProcessNode { dir: tempfile::tempdir().unwrap() }
    }

    fn runtime(&self) -> ProcessRuntime {
        let shim =
            ShimProgram { file: env!("CARGO_BIN_EXE_skep-shim").into(), arguments: Vec::new() };
        ProcessRuntime::open(self.dir.path(), shim).unwrap()
    }

    fn folder(&self, task: Id) -> PathBuf {
        self.dir.path().join("tasks").join(task.to_string())
    }

    /// The shims of this node's tasks, by the folder that each names.
    fn shims(&self) -> Vec<i32> {
        let ours = self.dir.path().to_string_lossy().into_owned();
        let pids = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(b"skep\0") && String::from_utf8_lossy(&line).contains(&ours)
        })
        .collect()
    }
}

impl Drop for ProcessNode {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.dir.path().join("tasks")).into_iter().flatten().flatten() {
            if let Some(pid) = running_pid(&entry.path()) {
                signal(-pid, "KILL");
            }
        }
    }
}

impl TestedRuntime for ProcessNode {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Runtime>> {
        Box::pin(async { Arc::new(self.runtime()) as Arc<dyn Runtime> })
    }

    fn workload(&self, program: &Program) -> Workload {
        match program {
            Program::Run => shell("exec sleep 1000"),
            Program::Exit(code) => shell(&format!("exit {code}")),
            Program::Signal(signal) => shell(&format!("kill -{signal} $$")),
            // By a signal that nobody takes notice of: a trap would take a moment to be set.
            Program::Stubborn => with(ContainerSpec {
                stop_signal: "SIGWINCH".into(),
                ..shell_spec("exec sleep 1000")
            }),
            Program::Print(lines) => shell(&print(lines)),
            Program::PrintAndRun(lines) => shell(&format!("{}exec sleep 1000", print(lines))),
            Program::Missing => program_named("no-such-program-anywhere", &[]),
        }
    }
}

fn print(lines: &[String]) -> String {
    let line = |text: &String| match text.strip_prefix('!') {
        Some(_) => format!("echo '{text}' >&2; "),
        None => format!("echo '{text}'; "),
    };
    lines.iter().map(line).collect()
}

fn program_named(image: &str, args: &[&str]) -> Workload {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let container = ContainerSpec { image: image.into(), args, ..ContainerSpec::default() };
    with(container)
}

fn with(container: ContainerSpec) -> Workload {
    let spec = TaskSpec { runtime: Some(Kind::Container(container)), ..TaskSpec::default() };
    Workload {
        task_id: own_id(7),
        node_id: own_id(8),
        service_name: "web".into(),
        slot: 1,
        spec: spec.into(),
        ..Workload::default()
    }
}

/// An id of this test alone: processes of a task are known by it on the whole machine.
fn own_id(number: u128) -> Id {
    thread_local!(static OWN: u64 = getrandom::u64().unwrap());
    Id(u128::from(OWN.with(|own| *own)) << 32 | number)
}

fn shell(script: &str) -> Workload {
    program_named("sh", &["-c", script])
}

fn shell_spec(script: &str) -> ContainerSpec {
    ContainerSpec {
        image: "sh".into(),
        args: vec!["-c".into(), script.into()],
        ..ContainerSpec::default()
    }
}

fn signal(pid: i32, name: &str) {
    let _ = Command::new("kill").args(["-s", name, "--", &pid.to_string()]).status();
}

fn running_pid(folder: &std::path::Path) -> Option<i32> {
    let note: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("running.json")).ok()?).ok()?;
    i32::try_from(note["pid"].as_i64()?).ok()
}

fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("within a minute")
}

async fn begin(runtime: &ProcessRuntime, work: &Workload) -> i32 {
    soon(runtime.prepare(work, &|_| {})).await.unwrap();
    soon(runtime.start(work)).await.unwrap().pid
}

/// Lines of a task, and in their place how many are lost.
async fn texts(runtime: &ProcessRuntime, work: &Workload, query: LogQuery) -> Vec<String> {
    let text = |item| match item {
        LogItem::Line(line) => String::from_utf8_lossy(&line.text).into_owned(),
        LogItem::Lost(lines) => format!("lost {lines:?}"),
    };
    let items = soon(runtime.logs(work.task_id, query)).await.unwrap();
    soon(items.map(|item| text(item.unwrap())).collect()).await
}

/// Runs to the end and returns what it wrote.
async fn output(node: &ProcessNode, work: &Workload) -> Vec<String> {
    let runtime = node.runtime();
    begin(&runtime, work).await;
    let ended = soon(runtime.wait(work)).await.unwrap();
    let lines = texts(&runtime, work, LogQuery::default()).await;
    assert_eq!(ended.exit_code, Some(0), "{ended:?} {lines:?}");
    lines
}

mod suite {
    skep_agent::conformance_tests!(super::ProcessNode::new());
}

#[tokio::test]
async fn the_program_sees_its_folder_and_an_environment_of_its_own() {
    let work = with(ContainerSpec {
        dir: "/usr".into(),
        env: vec!["A=b c".into()],
        ..shell_spec("pwd; env | sort")
    });
    let lines = output(&ProcessNode::new(), &work).await;
    assert_eq!(lines[0], "/usr");
    assert!(lines.contains(&"A=b c".to_owned()), "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.starts_with("CARGO")),
        "nothing of the agent's: {lines:?}"
    );
}

/// The numbers of a process's open files.
fn files_of(pid: i32) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut numbers: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    numbers.sort();
    numbers
}

#[tokio::test]
async fn neither_a_task_nor_its_shim_keeps_a_file_that_was_open_in_the_agent_by_accident() {
    let node = ProcessNode::new();
    let path = node.dir.path().join("lock");
    let lock = fs::File::create(&path).unwrap();
    // As a shell's `exec 9>lock` leaves it.
    let kept_at_exec = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
    nix::fcntl::fcntl(&lock, kept_at_exec).unwrap();
    let runtime = node.runtime();
    let work = shell("exec sleep 1000");
    let program = begin(&runtime, &work).await;
    let shims = node.shims();
    assert_eq!(shims.len(), 1, "{shims:?}");
    for pid in [program, shims[0]] {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let open: Vec<PathBuf> =
            files.filter_map(|file| fs::read_link(file.unwrap().path()).ok()).collect();
        assert!(open.len() >= 3 && !open.contains(&path), "process {pid}: {open:?}");
    }
    // A program that has just begun still reads its libraries.
    let own = async {
        while files_of(program) != ["0", "1", "2"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let had = tokio::time::timeout(Duration::from_secs(10), own).await;
    assert!(had.is_ok(), "a program has its three standard files: {:?}", files_of(program));
}

#[tokio::test]
async fn another_user_runs_it_with_the_groups_asked_for() {
    let spec = ContainerSpec {
        user: "nobody".into(),
        groups: vec!["4242".into()],
        ..shell_spec("id -u; id -G")
    };
    let lines = output(&ProcessNode::new(), &with(spec)).await;
    assert_eq!(lines[0], "65534");
    assert!(
        lines[1].split(' ').any(|gid| gid == "4242") && !lines[1].split(' ').any(|gid| gid == "0"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_program_that_may_not_be_run_fails_at_the_start_with_words() {
    let node = ProcessNode::new();
    let file = node.dir.path().join("script");
    fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    Command::new("chmod").arg("755").arg(&file).status().unwrap();
    let work = program_named(file.to_str().unwrap(), &[]);
    let runtime = node.runtime();
    soon(runtime.prepare(&work, &|_| {})).await.unwrap();
    for _ in 0..2 {
        match soon(runtime.start(&work)).await {
            Err(RuntimeError::Failed(message)) => {
                assert!(message.contains("interpreter"), "{message}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_program_killed_by_a_stranger_is_reported_as_that() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("exec sleep 1000"));
    let pid = begin(&runtime, &work).await;
    signal(pid, "TERM");
    let ended = soon(runtime.wait(&work)).await.unwrap();
    assert_eq!(
        (ended.exit_code, ended.signal, ended.cause),
        (Some(143), 15, EndCause::KilledOutside),
        "{ended:?}"
    );
    assert!(ended.error.contains("SIGTERM"), "{ended:?}");
}

#[tokio::test]
async fn a_program_that_faults_ends_by_itself() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("kill -SEGV $$"));
    begin(&runtime, &work).await;
    let ended = soon(runtime.wait(&work)).await.unwrap();
    assert_eq!((ended.exit_code, ended.cause), (Some(139), EndCause::Itself), "{ended:?}");
}

#[tokio::test]
async fn a_killed_shim_takes_its_program_with_it() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("exec sleep 1000"));
    let pid = begin(&runtime, &work).await;
    let shims = node.shims();
    assert_eq!(shims.len(), 1, "one shim a task");
    signal(shims[0], "KILL");
    let ended = soon(runtime.wait(&work)).await.unwrap();
    assert_eq!((ended.exit_code, ended.cause), (None, EndCause::KilledOutside), "{ended:?}");
    soon(async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_shim_that_is_told_to_end_ends_its_program_and_says_who_it_was() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("exec sleep 1000"));
    begin(&runtime, &work).await;
    signal(node.shims()[0], "TERM");
    let ended = soon(runtime.wait(&work)).await.unwrap();
    assert_eq!((ended.signal, ended.cause), (15, EndCause::StoppedOutside), "{ended:?}");
}

#[tokio::test]
async fn what_the_program_started_ends_with_it() {
    let node = ProcessNode::new();
    // One child stays in the group, the other leaves it and its session; the program ends when both
    // have said who they are.
    let script = "export up=$(mktemp -u); sleep 1000 & echo $!; \
                  setsid sh -c 'echo $$; touch $up; exec sleep 1000' & \
                  until [ -e $up ]; do sleep 0.01; done; rm $up; exit 0";
    let lines = output(&node, &shell(script)).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    for pid in lines {
        assert!(!is_alive(pid.parse().unwrap()), "{pid} outlived its task");
    }
}

#[tokio::test]
async fn after_a_reboot_the_numbers_mean_nothing() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("exec sleep 1000"));
    begin(&runtime, &work).await;
    soon(runtime.stop(work.task_id, Duration::from_secs(20))).await.unwrap();
    // As a machine leaves it that lost its power: the start was written down, the end was not; the
    // number is another's.
    let folder = node.folder(work.task_id);
    fs::remove_file(folder.join("ended.json")).unwrap();
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let note =
        format!(r#"{{"pid":{},"boot":"an earlier one","start_ticks":5,"at":1}}"#, bystander.id());
    fs::write(folder.join("running.json"), note).unwrap();
    let found = soon(node.runtime().list(work.node_id)).await.unwrap();
    assert!(
        matches!(&found[0].state, FoundState::Ended(_, ended) if ended.cause == EndCause::Reboot && ended.exit_code.is_none()),
        "{found:?}"
    );
    assert!(bystander.try_wait().unwrap().is_none(), "nobody else is killed");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn a_folder_removed_by_a_stranger_is_reported_as_that() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("exec sleep 1000"));
    let pid = begin(&runtime, &work).await;
    let waiting = tokio::spawn(async move {
        let work = shell("exec sleep 1000");
        runtime.wait(&work).await
    });
    // One that had not looked yet would find nothing at all.
    tokio::time::sleep(Duration::from_millis(500)).await;
    fs::remove_dir_all(node.folder(work.task_id)).unwrap();
    signal(-pid, "KILL");
    let ended = soon(waiting).await.unwrap().unwrap();
    assert_eq!(ended.cause, EndCause::RemovedOutside, "{ended:?}");
}

#[tokio::test]
async fn output_without_end_takes_bounded_room_and_its_newest_lines_stay() {
    let node = ProcessNode::new();
    let runtime = node.runtime();
    let script = "i=0; while [ $i -lt 13 ]; do head -c 1000000 /dev/zero | tr '\\0' x | fold -w 1000; i=$((i+1)); done; echo; echo last";
    let work = shell(script);
    begin(&runtime, &work).await;
    soon(runtime.wait(&work)).await.unwrap();
    let folder = node.folder(work.task_id);
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
    assert!(size("log") + size("log.1") < 9 << 20, "{} {}", size("log"), size("log.1"));
    assert!(size("log.1") >= 4 << 20);
    let tail = LogQuery { tail: Some(1), ..LogQuery::default() };
    assert_eq!(texts(&runtime, &work, tail).await, ["last"]);
    // Whoever wants all of it is told how much of it is gone.
    let all = texts(&runtime, &work, LogQuery::default()).await;
    // The last thousand of each million has no end of line of its own.
    let written = 13 * 999 + 2;
    assert_eq!(all[0], format!("lost {:?}", Some(written - (all.len() - 1))));
}

#[tokio::test]
async fn two_starts_at_once_make_one_process() {
    let node = ProcessNode::new();
    let (runtime, work) = (node.runtime(), shell("exec sleep 1000"));
    soon(runtime.prepare(&work, &|_| {})).await.unwrap();
    let (one, two) = soon(async { tokio::join!(runtime.start(&work), runtime.start(&work)) }).await;
    assert_eq!(one.unwrap().pid, two.unwrap().pid);
    assert_eq!(node.shims().len(), 1);
}

#[tokio::test]
async fn a_start_that_was_given_up_is_taken_up() {
    // At whatever step: the shim is on its way then or not, and nobody listens to it any more.
    for step in 0..20 {
        let node = ProcessNode::new();
        let (runtime, work) = (node.runtime(), another(step, shell("exec sleep 1000")));
        soon(runtime.prepare(&work, &|_| {})).await.unwrap();
        let given_up = Duration::from_micros(500 * step);
        let _ = tokio::time::timeout(given_up, runtime.start(&work)).await;
        let started = soon(node.runtime().start(&work)).await.unwrap();
        assert!(is_alive(started.pid), "given up after {given_up:?}");
        assert_eq!(node.shims().len(), 1, "given up after {given_up:?}");
    }
}

/// The same as another task: the shim of the one before may still be clearing its control group
/// away.
fn another(number: u64, work: Workload) -> Workload {
    Workload { task_id: own_id(u128::from(number) + 1000), ..work }
}

/// Several runtimes know nothing of each other's starts, as after a start that nobody waits for.
async fn start_from_everywhere(
    node: &ProcessNode,
    work: &Workload,
) -> Vec<Result<i32, RuntimeError>> {
    soon(node.runtime().prepare(work, &|_| {})).await.unwrap();
    let runtimes: Vec<ProcessRuntime> = (0..6).map(|_| node.runtime()).collect();
    let starts = runtimes.iter().map(|runtime| runtime.start(work));
    let started = soon(futures::future::join_all(starts)).await;
    started.into_iter().map(|started| started.map(|started| started.pid)).collect()
}

#[tokio::test]
async fn starts_that_know_nothing_of_each_other_make_one_process() {
    for number in 0..5 {
        let (node, work) = (ProcessNode::new(), another(number, shell("exec sleep 1000")));
        let pids = start_from_everywhere(&node, &work).await;
        assert_eq!(node.shims().len(), 1, "{pids:?}");
        let first = pids[0].as_ref().unwrap();
        assert!(is_alive(*first));
        assert!(pids.iter().all(|pid| pid.as_ref().is_ok_and(|pid| pid == first)), "{pids:?}");
    }
}

#[tokio::test]
async fn a_program_that_has_ended_is_not_run_again_by_a_start_that_comes_late() {
    for number in 0..10 {
        let (node, work) = (ProcessNode::new(), another(number, shell("echo once")));
        // It runs or has ended; which of the two is not asked here.
        drop(start_from_everywhere(&node, &work).await);
        let runtime = node.runtime();
        soon(runtime.wait(&work)).await.unwrap();
        assert_eq!(texts(&runtime, &work, LogQuery::default()).await, ["once"]);
    }
}

#[tokio::test]
async fn limits_hold_where_they_are_offered() {
    let node = ProcessNode::new();
    let runtime = node.runtime();
    if !soon(runtime.describe()).await.unwrap().features.contains(&Feature::Limits) {
        eprintln!("this machine permits no control groups: limits are not offered, and not tried");
        return;
    }
    let mut work = shell("cat /proc/self/cgroup; head -c 200000000 /dev/zero | tail");
    let limits = Resources { memory_bytes: 32 << 20, ..Resources::default() };
    std::sync::Arc::make_mut(&mut work.spec).resources =
        Some(ResourceRequirements { limits: Some(limits), ..ResourceRequirements::default() });
    begin(&runtime, &work).await;
    let ended = soon(runtime.wait(&work)).await.unwrap();
    assert!(ended.out_of_memory, "{ended:?}");
    assert_eq!(ended.cause, EndCause::Itself, "{ended:?}");
    let lines = texts(&runtime, &work, LogQuery::default()).await;
    assert!(
        lines.iter().any(|line| line.contains(&work.task_id.to_string())),
        "it ran in its group"
    );
}
