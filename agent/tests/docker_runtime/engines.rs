//! Engines for the tests: real ones, below temporary folders, in network namespaces of their own.
//!
//! Most tests share one. Each runs in a process of its own, so the first starts the engine, and a
//! watcher clears it away when the test runner is gone, whatever became of it. A test that stops or
//! restarts its engine has one for itself.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/engine")
}

fn run(verb: &str, dir: &Path, options: &[&str]) {
    let status = Command::new(script())
        .arg(verb)
        .arg(dir)
        .args(options)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "scripts/engine {verb} {} went wrong", dir.display());
}

/// The address of the engine that the tests of this run share.
#[expect(clippy::zombie_processes, reason = "the watcher outlives this process")]
pub(crate) fn shared() -> String {
    let runner = std::os::unix::process::parent_id();
    let dir = PathBuf::from(format!("/tmp/skep-engine-{runner}"));
    let lock = File::create(format!("/tmp/skep-engine-{runner}.lock")).unwrap();
    lock.lock().unwrap();
    if !dir.join("docker.sock").exists() {
        run("start", &dir, &["--own-network"]);
        let watch = "while kill -0 $1 2>/dev/null; do sleep 0.5; done; $2 stop $3; rm -f $3.lock";
        Command::new("setsid")
            .args(["sh", "-c", watch, "sh", &runner.to_string()])
            .arg(script())
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    }
    address(&dir)
}

fn address(dir: &Path) -> String {
    format!("unix://{}/docker.sock", dir.display())
}

/// An engine of one's own; it is cleared away on drop, after a panic too.
pub(crate) struct OwnEngine {
    dir: PathBuf,
    options: Vec<&'static str>,
}

impl OwnEngine {
    pub(crate) fn start(name: &str, options: &[&'static str]) -> OwnEngine {
        let dir = PathBuf::from(format!("/tmp/skep-engine-{name}-{}", std::process::id()));
        let options = [&["--own-network"], options].concat();
        let engine = OwnEngine { dir, options };
        engine.start_again();
        engine
    }

    pub(crate) fn host(&self) -> String {
        address(&self.dir)
    }

    pub(crate) fn halt(&self) {
        run("halt", &self.dir, &[]);
    }

    pub(crate) fn start_again(&self) {
        run("start", &self.dir, &self.options);
    }

    /// Sends the engine a signal: STOP makes it stand still, CONT lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.dir.join("dockerd.pid")).unwrap();
        let status = Command::new("kill").args([&format!("-{name}"), pid.trim()]).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    /// Sends a signal to the containerd that the engine started for itself; none where it uses one
    /// that others use too.
    pub(crate) fn signal_containerd(&self, name: &str) -> Option<()> {
        let pid = std::fs::read_to_string(self.dir.join("exec/containerd/containerd.pid")).ok()?;
        let status = Command::new("kill").args([&format!("-{name}"), pid.trim()]).status().unwrap();
        status.success().then_some(())
    }

    /// As if it had crashed: nothing of it can be tidied up.
    pub(crate) fn kill(&self) {
        let pid = std::fs::read_to_string(self.dir.join("dockerd.pid")).unwrap();
        Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap();
        while Path::new(&format!("/proc/{}", pid.trim())).exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        // One that stands still would not end.
        if let Ok(pid) = std::fs::read_to_string(self.dir.join("dockerd.pid")) {
            let _ = Command::new("kill").args(["-CONT", pid.trim()]).status();
        }
        self.signal_containerd("CONT");
        let _ = Command::new(script()).arg("stop").arg(&self.dir).status();
    }
}
