//! A daemon below a temporary folder, and clients of it. Whatever it started ends with the test.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Longest wait for anything, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder, and the daemon while it runs.
pub(crate) struct Testbed {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
    /// The daemon's flags that say what runs the tasks.
    runtime: Vec<String>,
}

/// Runs commands against a stage's daemon.
#[derive(Clone)]
pub(crate) struct Client(PathBuf);

/// The program beside this one: built by the same command, `make test`.
fn skep() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("skep");
    assert!(path.exists(), "{} is not there; `make test` builds it first", path.display());
    path
}

impl Client {
    /// Exit code, stdout, stderr.
    pub(crate) fn runs(&self, args: &[&str]) -> (i32, String, String) {
        self.runs_or(&[], args)
    }

    /// The same, where these daemons may be asked too.
    pub(crate) fn runs_or(&self, others: &[&Client], args: &[&str]) -> (i32, String, String) {
        let all = std::iter::once(self).chain(others.iter().copied());
        let hosts: Vec<String> = all.map(|one| format!("unix://{}", one.0.display())).collect();
        let done = Command::new(skep())
            .args(args)
            .env("SKEP_HOST", hosts.join(","))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr))
    }
}

impl Testbed {
    /// A daemon that runs tasks as processes.
    pub(crate) fn new() -> Testbed {
        Testbed::with(&["--runtime", "process"])
    }

    /// A daemon that runs tasks as containers of this engine.
    pub(crate) fn on_engine(host: &str) -> Testbed {
        Testbed::with(&["--runtime", "docker", "--docker-host", host])
    }

    fn with(runtime: &[&str]) -> Testbed {
        let runtime = runtime.iter().map(|flag| (*flag).to_owned()).collect();
        Testbed { folder: tempfile::tempdir().unwrap(), daemon: None, runtime }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(crate) fn state_dir(&self) -> String {
        self.folder.path().join("state").display().to_string()
    }

    pub(crate) fn client(&self) -> Client {
        Client(self.socket())
    }

    /// Where everything of it lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the test's own, beside the daemon's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the daemon, and waits until its node is ready, whatever else is wrong with it.
    pub(crate) fn start(&mut self) {
        self.start_as(Command::new(skep()));
    }

    /// The same under a program that becomes the daemon.
    pub(crate) fn start_under(&mut self, program: &[impl AsRef<OsStr>]) {
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]).arg(skep());
        self.start_as(command);
    }

    /// Whether the daemon goes on when its terminal closes.
    pub(crate) fn hangup_is_ignored(&self) -> bool {
        let daemon = self.daemon.as_ref().map_or(0, Child::id);
        assert!(
            Command::new("kill").args(["-HUP", &daemon.to_string()]).status().unwrap().success()
        );
        // One that stops says so before it ends.
        sleep(Duration::from_millis(300));
        self.client().runs(&["node", "ls"]).0 == 0 && !self.log().contains("stopping")
    }

    /// The same under strace, which writes the daemon's syncs into a file.
    pub(crate) fn start_traced(&mut self, syncs: &Path) {
        let mut strace = Command::new("strace");
        strace
            .args(["-D", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"])
            .arg(syncs)
            .arg(skep());
        self.start_as(strace);
    }

    fn start_as(&mut self, mut program: Command) {
        let log = fs::File::create(self.folder.path().join("daemon.log")).unwrap();
        let daemon = program
            .args(["daemon", "--hostname", "self", "--state-dir", &self.state_dir()])
            .args(["--listen-control", &format!("unix://{}", self.socket().display())])
            .args(&self.runtime)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        self.wait("the node is ready", || {
            let (code, out, _) = self.client().runs(&["node", "ls", "--format", "{{.Status}}"]);
            code == 0 && out.to_lowercase().starts_with("ready")
        });
    }

    /// What a command prints; it must succeed.
    pub(crate) fn says(&self, args: &[&str]) -> String {
        let (code, out, err) = self.client().runs(args);
        assert_eq!(code, 0, "skep {args:?}\n{out}\n{err}\n{}", self.log());
        out
    }

    /// Process ids of a service's running tasks.
    pub(crate) fn pids(&self, service: &str) -> Vec<i32> {
        let tasks =
            self.says(&["service", "ps", "-q", "--filter", "desired-state=running", service]);
        let pid = |task: &str| {
            let pid =
                self.says(&["task", "inspect", "--format", "{{.Status.Container.Pid}}", task]);
            pid.trim().parse().unwrap_or_else(|_| panic!("no process id: {pid:?}"))
        };
        let mut pids: Vec<i32> = tasks.lines().map(pid).collect();
        pids.sort_unstable();
        pids
    }

    /// Ids of tasks that history does not know, as `doctor` tells them.
    pub(crate) fn strays(&self) -> Vec<String> {
        let (_, told, _) = self.client().runs(&["doctor"]);
        let unknown = told.lines().filter(|line| line.contains("history does not know it"));
        unknown
            .filter_map(|line| Some(line.split_once("task ")?.1.split_once(':')?.0.to_owned()))
            .collect()
    }

    /// The folder of the log's rows.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("state/log/store")
    }

    /// Replaces one folder by a copy of another.
    pub(crate) fn copy_store(&self, from: &Path, to: &Path) {
        fs::remove_dir_all(to).ok();
        let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(copied.success());
    }

    pub(crate) fn until_gone(&self, pids: &[i32]) {
        self.wait("the processes end", || {
            pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        });
    }

    /// SIGKILL: the process has no time for anything.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self) {
        self.stop_by("-TERM");
    }

    /// Another signal, and waits for the end.
    pub(crate) fn stop_by(&mut self, signal: &str) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let asked = Command::new("kill").arg(signal).arg(daemon.id().to_string()).status().unwrap();
        assert!(asked.success());
        let until = Instant::now() + PATIENCE;
        while daemon.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the daemon does not stop\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until something holds.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}\n{}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("daemon.log")).unwrap_or_default()
    }
}

/// A machine of its own that joins a stage's cluster, as a process below the stage's folder.
pub(crate) struct Worker {
    name: String,
    state: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    daemon: Option<Child>,
}

impl Worker {
    pub(crate) fn new(stage: &Testbed, name: &str) -> Worker {
        let (state, log) = (stage.file(name), stage.file(&format!("{name}.log")));
        let socket = stage.file(&format!("{name}.sock"));
        Worker { name: name.to_owned(), state, socket, log, daemon: None }
    }

    /// Its own daemon.
    pub(crate) fn client(&self) -> Client {
        Client(self.socket.clone())
    }

    /// Where its state lies.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// What its daemon has said since its last start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts its daemon with these flags.
    pub(crate) fn start(&mut self, flags: &[&str]) {
        self.start_as(Command::new(skep()), flags);
    }

    /// The same under a program that becomes the daemon.
    pub(crate) fn start_under(&mut self, program: &[impl AsRef<OsStr>], flags: &[&str]) {
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]).arg(skep());
        self.start_as(command, flags);
    }

    fn start_as(&mut self, mut program: Command, flags: &[&str]) {
        let log = fs::File::create(&self.log).unwrap();
        let daemon = program
            .args(["daemon", "--runtime", "process", "--hostname", &self.name])
            .arg("--state-dir")
            .arg(&self.state)
            .args(["--listen-control", &format!("unix://{}", self.socket.display())])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
    }

    /// The same, of one that ends by itself: its exit code, and what it says.
    pub(crate) fn ends(&mut self, flags: &[&str]) -> (i32, String) {
        self.start(flags);
        let code = self.wait();
        (code, fs::read_to_string(&self.log).unwrap())
    }

    fn wait(&mut self) -> i32 {
        let Some(mut daemon) = self.daemon.take() else { return -1 };
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = daemon.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            if Instant::now() > until {
                daemon.kill().unwrap();
                daemon.wait().unwrap();
                panic!("it does not end\n{}", fs::read_to_string(&self.log).unwrap());
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    /// SIGTERM: its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        let daemon = self.daemon.as_ref().map_or(0, Child::id).to_string();
        assert!(Command::new("kill").args(["-TERM", &daemon]).status().unwrap().success());
        self.wait()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        let services = self.client().runs(&["service", "ls", "-q"]).1;
        for service in services.lines() {
            self.client().runs(&["service", "rm", service]);
        }
        // What a test that failed left running: shims know their task's folder, which lies below
        // ours.
        let mark = self.folder.path().display().to_string();
        self.kill_after_grace(&mark);
        self.kill();
    }
}

impl Testbed {
    /// Gives the tasks a moment to end, then ends their shims and what these started, by id.
    fn kill_after_grace(&self, mark: &str) {
        for _ in 0..100 {
            if shims(mark).is_empty() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        for shim in shims(mark) {
            let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children"))
                .unwrap_or_default();
            for pid in children.split_whitespace().chain([shim.as_str()]) {
                Command::new("kill").args(["-9", pid]).status().ok();
            }
        }
    }
}

fn shims(mark: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|c| c.is_ascii_digit()))
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(" shim ") && line.contains(mark)
        })
        .collect()
}
