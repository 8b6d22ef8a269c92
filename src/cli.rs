//! The command line: one file a command family.
//!
//! Data goes to the standard output, talk to the standard error. Arguments are read and checked before the first
//! connection. The exit code is 0 when it was done, 1 when it was refused or failed, 2 when the command line is
//! wrong, 3 when no manager can be reached.

mod about;
mod args;
mod connect;
mod fail;
mod history;
mod logs;
mod node;
mod parse;
pub mod processes;
mod release;
mod service;
mod show;
mod status;
mod task;
mod verify;

use args::{Read, Top};
use clap::{Parser, Subcommand};
use fail::Outcome;
use std::process::ExitCode;

/// A container orchestrator that remembers everything
///
/// Services run as tasks on nodes; every command, decision and observation is kept, so that each change can be
/// audited and each past moment revisited.
#[derive(Parser)]
#[command(name = "skep", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no manager reachable.")]
pub struct Cli {
    #[command(flatten)]
    top: Read,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run this machine as a node: manager and worker in one
    Daemon(processes::DaemonArgs),
    /// Run a further local worker
    Agent(processes::AgentArgs),
    /// Look at nodes and change them
    #[command(subcommand, arg_required_else_help = true)]
    Node(node::Command),
    /// Run services and look after them
    #[command(subcommand, arg_required_else_help = true)]
    Service(service::Command),
    /// Look at tasks
    #[command(subcommand, arg_required_else_help = true)]
    Task(task::Command),
    /// Show what happened, oldest first
    Log(history::log::Log),
    /// Show what changed between two moments
    Diff(history::diff::Diff),
    /// Say why a task, a service or a node is as it is
    Why(history::why::Why),
    /// Recompute the chain of all entries and replay them, and compare with what was recorded
    Verify(verify::Verify),
    /// Look for trouble
    Doctor(status::Doctor),
    /// Work again on an object that was parked when a reconciler failed on it
    Release(release::Release),
    /// Show how the cluster is
    Status(status::Status),
    /// Cut off damaged history of a stopped manager
    Recover(processes::RecoverArgs),
    /// Show the version
    Version(about::Version),
    /// Write the completions of a shell to the standard output
    Completions(about::Completions),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(about::Man),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to the standard output with code 0, everything else is wrong usage.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

/// The process that stands between a task and the daemon.
pub fn shim() -> ExitCode {
    skep_agent::runtime::process::shim::main(std::env::args_os().skip(2))
}

fn run(cli: Cli) -> Outcome<ExitCode> {
    let top = Top(cli.top);
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        Command::Daemon(args) => processes::daemon(&top, args),
        Command::Agent(args) => processes::agent(&top, args),
        Command::Recover(args) => processes::recover(&top, args),
        Command::Version(args) => about::version(&top, &args).map(done),
        Command::Completions(args) => about::completions(&top, &args).map(done),
        Command::Man(args) => about::man(&top, &args).map(done),
        Command::Node(command) => wait_for(node::run(&top, command)).map(done),
        Command::Service(command) => wait_for(service::run(&top, command)).map(done),
        Command::Task(command) => wait_for(task::run(&top, command)).map(done),
        Command::Log(args) => wait_for(history::log::run(&top, args)).map(done),
        Command::Diff(args) => wait_for(history::diff::run(&top, args)).map(done),
        Command::Why(args) => wait_for(history::why::run(&top, args)).map(done),
        Command::Verify(args) => wait_for(verify::run(&top, args)).map(done),
        Command::Doctor(args) => wait_for(status::doctor(&top, args)).map(done),
        Command::Release(args) => wait_for(release::run(&top, args)).map(done),
        Command::Status(args) => wait_for(status::status(&top, args)).map(done),
    }
}

/// One thread is enough for somebody who waits; a stopped manager's folder is served on a second.
fn wait_for<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

/// Now, by this machine's clock: for "so long ago", never for anything that is recorded.
fn now() -> skep_proto::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    skep_proto::Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
