//! The shim: one small process beside each task's program, which outlives the agent.
//!
//! It starts the program in a process group of its own, writes its output to files of bounded size,
//! takes orders from the `control` FIFO, and writes down how the program ended. Being the reaper of
//! all that the program leaves behind, it ends the task as a container ends: when the program has
//! ended, whatever it started is killed.
//!
//! It is one thread around `poll`, without async and without `unsafe`: everything the program needs
//! between fork and exec that the standard library does not offer is done by a second stage of the
//! same binary ([`launch`]).
//!
//! ```text
//!   stdin   control FIFO, opened for reading and writing, so that it never ends
//!   stdout  alive FIFO's writing end, held and never written
//!   stderr  read by the agent until the program runs: `started PID` or `failed WHY`, then nothing
//! ```

mod inherited;
pub(crate) mod launch;
mod orders;
mod output;
mod program;

use super::{boot, cgroup, folder, notes};
use crate::wall;
use nix::{
    errno, poll,
    sys::{signal, signalfd, wait},
    unistd,
};
pub(crate) use orders::ShimOrder;
use std::{
    ffi::OsString,
    fs, io,
    os::fd::AsFd,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// How long killed processes may take to be gone; one that hangs in the kernel longer is left
/// behind, and the end of the task says so.
const KILLED_GONE_LIMIT: Duration = Duration::from_secs(10);

/// The shim's own program: `FOLDER`, or `launch FOLDER` for the second stage. Called before
/// anything else in `main`, from a process that has one thread: it closes every open file but the
/// three standard ones.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match inherited::close_all().and_then(|()| stage(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("failed {error}"));
            ExitCode::FAILURE
        }
    }
}

fn stage(args: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(word), Some(folder)) if word == "launch" => {
            launch::launch(&folder::Folder::new(PathBuf::from(folder)))
        }
        (Some(folder), None) => run(&folder::Folder::new(PathBuf::from(folder))),
        (Some(_) | None, _) => {
            Err(io::Error::other("the shim is started by the agent, not by hand"))
        }
    }
}

/// Says something to the agent that waits for the start; it may be gone.
fn tell(line: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "{}", line.replace('\n', " "));
}

fn run(folder: &folder::Folder) -> io::Result<()> {
    // What the agent's threads block or ignore is none of the program's business.
    signal::SigSet::empty().thread_set_mask()?;
    nix::unistd::setsid()?;
    nix::sys::prctl::set_child_subreaper(true)?;
    let _ = nix::sys::prctl::set_name(c"skep-shim");
    nix::unistd::chdir("/")?;
    let plan = match folder.plan()? {
        folder::NoteFile::Read(plan) => plan,
        folder::NoteFile::Absent => return Err(io::Error::other("the task's plan is gone")),
        folder::NoteFile::Damaged(message) => return Err(io::Error::other(message)),
    };
    let mut draft = folder.draft_ending()?;
    match Shim::start(folder, &plan) {
        Ok(mut shim) => {
            let ending = shim.follow()?;
            folder.write_ended(&mut draft, &ending)
        }
        Err(error) => {
            cgroup::remove(&plan.groups);
            let message = error.to_string();
            let ending = notes::ProcessEnding {
                cause: notes::Cause::NotStarted,
                error: cut(&message),
                at: wall::now_ns(),
                ..notes::ProcessEnding::default()
            };
            folder.write_ended(&mut draft, &ending)?;
            Err(io::Error::other(message))
        }
    }
}

fn cut(message: &str) -> String {
    message.chars().take(folder::ERROR_CHARS_MAX).collect()
}

struct Shim<'a> {
    plan: &'a notes::ProcessPlan,
    leader: unistd::Pid,
    signals: signalfd::SignalFd,
    control: io::Stdin,
    output: output::ProgramOutput,
    stop: Stop,
}

/// How far the ending has got, and who wanted it.
#[derive(Default)]
struct Stop {
    asked: bool,
    outside: bool,
    kill_at: Option<Instant>,
    sent_kill: bool,
}

/// Who asked for a stop.
#[derive(Clone, Copy)]
enum StopOrigin {
    Agent,
    Outside,
}

/// What became of the processes that a program left behind.
#[derive(Clone, Copy)]
enum Leftovers {
    Gone,
    /// Some hang in the kernel.
    Hanging,
}

impl<'a> Shim<'a> {
    fn start(folder: &folder::Folder, plan: &'a notes::ProcessPlan) -> io::Result<Shim<'a>> {
        cgroup::make(&plan.groups)?;
        // The program starts before this process blocks any signal, since it would inherit that. A
        // child that ends in between is found by the first look in `follow`.
        let started = program::start(folder, plan)?;
        let mut mask = signal::SigSet::empty();
        for signal in [
            signal::Signal::SIGCHLD,
            signal::Signal::SIGTERM,
            signal::Signal::SIGINT,
            signal::Signal::SIGHUP,
        ] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = signalfd::SignalFd::with_flags(
            &mask,
            signalfd::SfdFlags::SFD_NONBLOCK | signalfd::SfdFlags::SFD_CLOEXEC,
        )?;
        let leader = unistd::Pid::from_raw(started.running.pid);
        if let Err(error) = folder.write_running(&started.running) {
            let _ = nix::sys::signal::killpg(leader, signal::Signal::SIGKILL);
            return Err(error);
        }
        tell(&format!("started {leader}"));
        nix::unistd::dup2_stderr(fs::File::options().write(true).open("/dev/null")?)?;
        let output = output::ProgramOutput::open(
            folder,
            plan.log_file_bytes_max,
            started.stdout,
            started.stderr,
        )?;
        Ok(Shim { plan, leader, signals, control: io::stdin(), output, stop: Stop::default() })
    }

    /// Until nothing of the task runs any more.
    fn follow(&mut self) -> io::Result<notes::ProcessEnding> {
        loop {
            if let Some(status) = self.reap()? {
                let left = self.clear_away();
                self.output.finish();
                let ending = self.judge(status, left);
                cgroup::remove(&self.plan.groups);
                return Ok(ending);
            }
            self.wait_for_news()?;
            if self.stop.kill_at.is_some_and(|at| at <= Instant::now()) {
                self.stop.kill_at = None;
                self.stop.sent_kill = true;
                let _ = nix::sys::signal::killpg(self.leader, signal::Signal::SIGKILL);
            }
        }
    }

    fn wait_for_news(&mut self) -> io::Result<()> {
        let timeout = match self.stop.kill_at {
            None => poll::PollTimeout::NONE,
            // A millisecond more than the rest, so that waking up finds the time over.
            Some(at) => poll::PollTimeout::try_from(
                at.saturating_duration_since(Instant::now()) + Duration::from_millis(1),
            )
            .unwrap_or(poll::PollTimeout::MAX),
        };
        let mut waiting = vec![
            poll::PollFd::new(self.signals.as_fd(), poll::PollFlags::POLLIN),
            poll::PollFd::new(self.control.as_fd(), poll::PollFlags::POLLIN),
        ];
        waiting.extend(
            self.output.open_ends().map(|end| poll::PollFd::new(end, poll::PollFlags::POLLIN)),
        );
        match poll::poll(&mut waiting, timeout) {
            Ok(_) | Err(errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let has = |index: usize| {
            waiting.get(index).and_then(poll::PollFd::revents).is_some_and(|seen| !seen.is_empty())
        };
        let (signalled, ordered, spoken) = (has(0), has(1), (2..waiting.len()).any(has));
        drop(waiting);
        if spoken {
            self.output.take();
        }
        if signalled {
            self.take_signals()?;
        }
        if ordered {
            for order in orders::read(&self.control) {
                match order {
                    ShimOrder::Stop { grace } => self.begin_stop(grace, StopOrigin::Agent),
                }
            }
        }
        Ok(())
    }

    fn take_signals(&mut self) -> io::Result<()> {
        while let Some(seen) = self.signals.read_signal()? {
            let number = i32::try_from(seen.ssi_signo).unwrap_or(0);
            // Somebody, perhaps the machine on its way down, asks the shim to end: the task ends
            // with it.
            if number == signal::Signal::SIGTERM as i32 || number == signal::Signal::SIGINT as i32 {
                self.begin_stop(Duration::from_secs(10), StopOrigin::Outside);
            }
        }
        Ok(())
    }

    fn begin_stop(&mut self, grace: Duration, origin: StopOrigin) {
        match origin {
            StopOrigin::Agent => self.stop.asked = true,
            StopOrigin::Outside => self.stop.outside |= !self.stop.asked,
        }
        let kill_at = Instant::now() + grace;
        self.stop.kill_at = Some(self.stop.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
        if let Ok(signal) = signal::Signal::try_from(self.plan.stop_signal) {
            let _ = nix::sys::signal::killpg(self.leader, signal);
        }
    }

    /// Collects dead children. The leader is looked at first without being reaped, so that its
    /// number, which is its group's, stays taken until the group has been killed.
    fn reap(&mut self) -> io::Result<Option<wait::WaitStatus>> {
        let look =
            wait::WaitPidFlag::WEXITED | wait::WaitPidFlag::WNOHANG | wait::WaitPidFlag::WNOWAIT;
        loop {
            let state = wait::waitid(wait::Id::Pid(self.leader), look)?;
            if state != wait::WaitStatus::StillAlive {
                let _ = nix::sys::signal::killpg(self.leader, signal::Signal::SIGKILL);
                let _ = wait::waitpid(self.leader, None);
                return Ok(Some(state));
            }
            match wait::waitpid(None, Some(wait::WaitPidFlag::WNOHANG)) {
                Ok(wait::WaitStatus::StillAlive) => return Ok(None),
                Ok(status) if status.pid() == Some(self.leader) => return Ok(Some(status)),
                Ok(_) => {}
                Err(errno::Errno::ECHILD) => {
                    return Err(io::Error::other(
                        "the program is not a child of the shim any more",
                    ));
                }
                Err(errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Kills what the program left behind, and waits until it is gone.
    fn clear_away(&mut self) -> Leftovers {
        let limit = Instant::now() + KILLED_GONE_LIMIT;
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        loop {
            match wait::waitpid(None, Some(wait::WaitPidFlag::WNOHANG)) {
                Err(errno::Errno::ECHILD) => return Leftovers::Gone,
                Ok(wait::WaitStatus::StillAlive) => {}
                Ok(_) | Err(_) => continue,
            }
            for pid in boot::children_of(me).into_iter().chain(cgroup::processes(&self.plan.groups))
            {
                let _ = signal::kill(unistd::Pid::from_raw(pid), signal::Signal::SIGKILL);
            }
            if Instant::now() > limit {
                return Leftovers::Hanging;
            }
            // A dead child's signal ends this wait; the limit is for one that came before it was
            // looked for.
            let mut waiting = [poll::PollFd::new(self.signals.as_fd(), poll::PollFlags::POLLIN)];
            let _ = poll::poll(&mut waiting, poll::PollTimeout::from(100u8));
            while let Ok(Some(_)) = self.signals.read_signal() {}
            self.output.take();
        }
    }

    fn judge(&self, status: wait::WaitStatus, leftovers: Leftovers) -> notes::ProcessEnding {
        let (exit_code, signal) = match status {
            wait::WaitStatus::Exited(_, code) => (code, 0),
            wait::WaitStatus::Signaled(_, signal, _) => (128 + signal as i32, signal as i32),
            wait::WaitStatus::Stopped(..)
            | wait::WaitStatus::PtraceEvent(..)
            | wait::WaitStatus::PtraceSyscall(_)
            | wait::WaitStatus::Continued(_)
            | wait::WaitStatus::StillAlive => (255, 0),
        };
        let out_of_memory = exit_code != 0 && cgroup::ran_out_of_memory(&self.plan.groups);
        let cause = if self.stop.asked {
            notes::Cause::Asked
        } else if self.stop.outside {
            notes::Cause::StoppedOutside
        } else if signal != 0 && !out_of_memory && is_sent_by_others(signal) {
            notes::Cause::KilledOutside
        } else {
            notes::Cause::Itself
        };
        let error = match leftovers {
            Leftovers::Hanging => {
                "a process that it started hangs in the kernel and is left behind"
            }
            Leftovers::Gone => "",
        };
        notes::ProcessEnding {
            exit_code: Some(exit_code),
            signal,
            out_of_memory,
            cause,
            error: error.into(),
            at: wall::now_ns(),
        }
    }
}

/// Whether a death by this signal means that somebody sent it. The kernel does not say who did; but
/// a program that ends itself exits or faults, and nobody faults for another.
fn is_sent_by_others(signal: i32) -> bool {
    let own = [
        signal::Signal::SIGABRT,
        signal::Signal::SIGALRM,
        signal::Signal::SIGBUS,
        signal::Signal::SIGFPE,
        signal::Signal::SIGILL,
        signal::Signal::SIGPIPE,
        signal::Signal::SIGSEGV,
        signal::Signal::SIGSYS,
        signal::Signal::SIGTRAP,
        signal::Signal::SIGVTALRM,
        signal::Signal::SIGPROF,
        signal::Signal::SIGXCPU,
        signal::Signal::SIGXFSZ,
    ];
    !own.iter().any(|its| *its as i32 == signal)
}
