//! The second stage of a start: the new process prepares itself, then becomes the program.
//!
//! Control groups, limits, groups and user must be set between fork and exec. Code there may not
//! allocate or lock, which safe Rust cannot promise; a second exec of this binary may do anything.
//! It costs a millisecond. Its standard input is a pipe to the shim, closed by the exec that
//! succeeds: silence means that the program runs.
//!
//! What a program inherits is settled here and nowhere else: nothing of the agent's own
//! environment, limits of open files, OOM score or file mode mask reaches it by accident. Its open
//! files were closed before: see [`inherited`](super::inherited).

use crate::runtime::process::{folder, notes, remains};
use nix::{
    errno,
    sys::{prctl, resource, signal, stat},
    unistd,
};
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::Command,
};

/// Open files of a task for which the spec says nothing: what systemd gives to a service. A task
/// may raise the soft limit up to the hard one.
const OPEN_FILES_SOFT_MAX: u64 = 1024;
/// Up to so many open files a task may raise its own limit. An agent that may have fewer, and is
/// not allowed to raise that, gives its own limit.
const OPEN_FILES_HARD_MAX: u64 = 524_288;
/// File mode mask of every task.
const FILE_MODE_MASK: u32 = 0o022;

/// The arguments before the folder that start a binary at this stage: those that started the shim,
/// and `launch`.
pub(super) fn arguments() -> Vec<OsString> {
    let own: Vec<OsString> = std::env::args_os().skip(1).collect();
    let before = own.len().saturating_sub(1);
    own.into_iter().take(before).chain([OsString::from("launch")]).collect()
}

/// The program with its arguments and environment.
fn program(plan: &notes::ProcessPlan) -> Command {
    let mut command = Command::new(&plan.program);
    command.arg0(&plan.arg0).args(&plan.surroundings.args).env_clear();
    command.envs(&plan.surroundings.env);
    // Last, so that no spec can hide a process of its task.
    command.env(remains::TASK_VARIABLE, &plan.task).env(remains::NODE_VARIABLE, &plan.node);
    command
}

/// The error message of a start that went wrong.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the system's list of errors is open; the others speak for themselves"
)]
pub(super) fn explain(plan: &notes::ProcessPlan, error: &io::Error) -> io::Error {
    let program = plan.program.display();
    let message = match error.kind() {
        io::ErrorKind::NotFound if !plan.dir.is_dir() => {
            format!("there is no folder {} to start {program} in", plan.dir.display())
        }
        io::ErrorKind::NotFound => {
            format!("{program} or the interpreter that it names is not there")
        }
        io::ErrorKind::PermissionDenied => format!("{program} may not be run by this user"),
        _ => format!("{program} cannot be run: {error}"),
    };
    io::Error::new(error.kind(), message)
}

/// Prepares this process and becomes the program; returns only when that went wrong, after telling
/// the shim.
pub(super) fn launch(folder: &folder::Folder) -> io::Result<()> {
    // A copy that closes itself when the program begins; the program's own input is empty.
    let mut writer = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let error = match become_program(folder) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let _ = writer.write_all(error.to_string().as_bytes());
    std::process::exit(127);
}

fn become_program(folder: &folder::Folder) -> io::Result<std::convert::Infallible> {
    let mut plan = match folder.plan()? {
        folder::NoteFile::Read(plan) => plan,
        folder::NoteFile::Absent => return Err(io::Error::other("the task's plan is gone")),
        folder::NoteFile::Damaged(message) => return Err(io::Error::other(message)),
    };
    plan.surroundings = match folder.surroundings()? {
        folder::NoteFile::Read(surroundings) => surroundings,
        folder::NoteFile::Absent => {
            return Err(io::Error::other("the task's program.json is gone"));
        }
        folder::NoteFile::Damaged(message) => return Err(io::Error::other(message)),
    };
    unistd::dup2_stdin(File::open("/dev/null")?)?;
    for group in &plan.groups {
        fs::write(group.path.join("cgroup.procs"), "0").map_err(|error| {
            io::Error::other(format!("cannot enter {}: {error}", group.path.display()))
        })?;
    }
    set_oom_score(plan.oom_score_adj)?;
    limit_open_files()?;
    for limit in &plan.ulimits {
        set_limit(limit)?;
    }
    stat::umask(stat::Mode::from_bits_truncate(FILE_MODE_MASK));
    if let Some(account) = &plan.account {
        change_user(account)?;
    }
    // After the user, since the kernel forgets it when the user changes. When the shim is killed,
    // its program is not left alone.
    prctl::set_pdeathsig(signal::Signal::SIGKILL)?;
    std::env::set_current_dir(&plan.dir).map_err(|error| {
        io::Error::other(format!("cannot enter the folder {}: {error}", plan.dir.display()))
    })?;
    Err(explain(&plan, &program(&plan).exec()))
}

/// The daemon's own score must not protect its tasks. Only what the spec asked for must succeed: an
/// agent that may not go back to 0 has a higher score, and so has the task.
fn set_oom_score(score: i64) -> io::Result<()> {
    match fs::write("/proc/self/oom_score_adj", score.to_string()) {
        Err(error) if score != 0 => {
            Err(io::Error::other(format!("cannot set oom_score_adj {score}: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn limit_open_files() -> io::Result<()> {
    let set = |hard: u64| {
        resource::setrlimit(resource::Resource::RLIMIT_NOFILE, OPEN_FILES_SOFT_MAX.min(hard), hard)
    };
    match set(OPEN_FILES_HARD_MAX) {
        Err(errno::Errno::EPERM) => {
            let (_, own) = resource::getrlimit(resource::Resource::RLIMIT_NOFILE)?;
            Ok(set(own.min(OPEN_FILES_HARD_MAX))?)
        }
        other => Ok(other?),
    }
}

fn change_user(account: &notes::Account) -> io::Result<()> {
    let groups: Vec<unistd::Gid> =
        account.groups.iter().map(|gid| unistd::Gid::from_raw(*gid)).collect();
    unistd::setgroups(&groups)?;
    unistd::setgid(unistd::Gid::from_raw(account.gid))?;
    unistd::setuid(unistd::Uid::from_raw(account.uid))?;
    Ok(())
}

fn set_limit(limit: &notes::ProcessLimit) -> io::Result<()> {
    let resource = resource(&limit.name)
        .ok_or_else(|| io::Error::other(format!("no limit {:?}", limit.name)))?;
    let value = |value: i64| u64::try_from(value).unwrap_or(resource::RLIM_INFINITY);
    resource::setrlimit(resource, value(limit.soft), value(limit.hard)).map_err(|error| {
        io::Error::other(format!("cannot set the limit {}: {}", limit.name, error.desc()))
    })
}

/// The limit of that name, as Docker spells it.
pub(crate) fn resource(name: &str) -> Option<resource::Resource> {
    Some(match name {
        "core" => resource::Resource::RLIMIT_CORE,
        "cpu" => resource::Resource::RLIMIT_CPU,
        "data" => resource::Resource::RLIMIT_DATA,
        "fsize" => resource::Resource::RLIMIT_FSIZE,
        "locks" => resource::Resource::RLIMIT_LOCKS,
        "memlock" => resource::Resource::RLIMIT_MEMLOCK,
        "msgqueue" => resource::Resource::RLIMIT_MSGQUEUE,
        "nice" => resource::Resource::RLIMIT_NICE,
        "nofile" => resource::Resource::RLIMIT_NOFILE,
        "nproc" => resource::Resource::RLIMIT_NPROC,
        "rss" => resource::Resource::RLIMIT_RSS,
        "rtprio" => resource::Resource::RLIMIT_RTPRIO,
        "rttime" => resource::Resource::RLIMIT_RTTIME,
        "sigpending" => resource::Resource::RLIMIT_SIGPENDING,
        "stack" => resource::Resource::RLIMIT_STACK,
        _ => return None,
    })
}
