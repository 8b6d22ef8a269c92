//! The command line: one file a command family.
//!
//! Data goes to the standard output, talk to the standard error. Arguments are read and checked
//! before the first connection. The exit code is 0 when it was done, 1 when it was refused or
//! failed, 2 when what was asked for is wrong by itself, 3 when no manager answers.

mod about;
mod absent;
mod args;
mod cluster;
mod connect;
mod fail;
mod history;
mod logs;
mod node;
mod parse;
mod processes;
mod service;
mod show;
mod status;
mod stderr;
mod stray;
mod style;
mod synopsis;
mod task;
mod unlock_key;
mod unpark;
mod usage;
mod verify;

use absent::{Absent, Docker};
use args::{GlobalArgs, ReadArgs};
use clap::{Parser, Subcommand};
use fail::CliResult;
use std::{process::ExitCode, time::Duration};

/// A container orchestrator that remembers everything
///
/// Services run as tasks on nodes; every command, decision and observation is kept, so that each
/// change can be audited and each past moment revisited.
#[derive(Parser)]
#[command(name = "skep", version, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 wrong input, 3 no manager answers, or it is unknown whether it was done."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    top: ReadArgs,
    #[command(subcommand)]
    command: TopCommand,
}

#[derive(Subcommand)]
enum TopCommand {
    /// Run this machine as a node: manager and worker in one
    Daemon(processes::DaemonArgs),
    /// Run a further worker: on the manager's machine, or on another one
    Agent(processes::AgentArgs),
    /// Let other machines join this cluster
    #[command(subcommand, arg_required_else_help = true, visible_alias = "swarm")]
    Cluster(cluster::ClusterCommand),
    /// Show and change nodes
    #[command(subcommand, arg_required_else_help = true)]
    Node(node::NodeCommand),
    /// Create, change and show services
    #[command(subcommand, arg_required_else_help = true)]
    Service(service::ServiceCommand),
    /// Show tasks and their output
    #[command(subcommand, arg_required_else_help = true)]
    Task(task::TaskCommand),
    /// Show what happened, oldest first
    Log(history::log::LogArgs),
    /// Show what changed between two moments
    Diff(history::diff::Diff),
    /// Explain why a task, a service or a node is as it is
    Why(history::why::Why),
    /// Recompute the chain of all entries, replay them, and compare the result with the records
    Verify(verify::Verify),
    /// Find problems of the manager and its cluster, and say what to do
    Doctor(status::Doctor),
    /// Work again on an object that was parked when a reconciler failed on it
    Unpark(unpark::Unpark),
    /// List and end tasks that run although the history does not know them
    #[command(subcommand, arg_required_else_help = true)]
    Stray(stray::StrayCommand),
    /// Show the manager and its cluster in figures
    Status(status::StatusArgs),
    /// Cut off damaged history of a stopped manager
    Recover(processes::RecoverArgs),
    /// Show the version
    Version(about::Version),
    /// Write the completions of a shell to the standard output
    Completions(about::Completions),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(about::Manual),
    #[command(hide = true)]
    Ps(Absent),
    #[command(hide = true)]
    Logs(Absent),
    #[command(hide = true)]
    Stats(Absent),
    #[command(hide = true)]
    Events(Absent),
    #[command(hide = true)]
    Stack(Absent),
    #[command(hide = true)]
    Secret(Absent),
    #[command(hide = true)]
    Config(Absent),
    #[command(hide = true)]
    Network(Absent),
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::tell(error),
    };
    let stays = matches!(cli.command, TopCommand::Daemon(_) | TopCommand::Agent(_));
    let code = run(cli).map_or_else(|failure| failure.tell(), |()| 0);
    // Threads of the daemon may still use its database.
    if stays { crate::exit::at_once(code) } else { ExitCode::from(code) }
}

/// The process that stands between a task and the daemon.
pub(crate) fn shim() -> ExitCode {
    skep_agent::runtime::process::shim::main(std::env::args_os().skip(2))
}

fn run(cli: Cli) -> CliResult {
    let top = GlobalArgs(cli.top);
    match cli.command {
        TopCommand::Daemon(args) => processes::daemon(&top, args),
        TopCommand::Agent(args) => processes::agent(&top, args),
        TopCommand::Recover(args) => processes::recover(&top, args),
        TopCommand::Version(args) => about::version(&top, &args),
        TopCommand::Completions(args) => about::completions(&top, &args),
        TopCommand::Man(args) => about::man(&top, &args),
        TopCommand::Cluster(command) => wait_for(cluster::run(&top, command)),
        TopCommand::Node(command) => wait_for(node::run(&top, command)),
        TopCommand::Service(command) => wait_for(service::run(&top, command)),
        TopCommand::Task(command) => wait_for(task::run(&top, command)),
        TopCommand::Log(args) => wait_for(history::log::run(&top, args)),
        TopCommand::Diff(args) => wait_for(history::diff::run(&top, args)),
        TopCommand::Why(args) => wait_for(history::why::run(&top, args)),
        TopCommand::Verify(args) => wait_for(verify::run(&top, args)),
        TopCommand::Doctor(args) => wait_for(status::doctor(&top, args)),
        TopCommand::Unpark(args) => wait_for(unpark::run(&top, args)),
        TopCommand::Stray(command) => wait_for(stray::run(&top, command)),
        TopCommand::Status(args) => wait_for(status::status(&top, args)),
        TopCommand::Ps(_) => Docker::Ps.refuse(),
        TopCommand::Logs(_) => Docker::Logs.refuse(),
        TopCommand::Stats(_) => Docker::Stats.refuse(),
        TopCommand::Events(_) => Docker::Events.refuse(),
        TopCommand::Stack(_) => Docker::Stack.refuse(),
        TopCommand::Secret(_) => Docker::Secret.refuse(),
        TopCommand::Config(_) => Docker::Config.refuse(),
        TopCommand::Network(_) => Docker::Network.refuse(),
    }
}

/// How long the end of a command waits for threads that are still reading. A disk that gives
/// nothing for longer than this does not hold up the command.
const THREADS_END_LIMIT: Duration = Duration::from_secs(10);

/// One thread is enough for somebody who waits; a stopped manager's folder is served on a second.
///
/// Whatever still reads that folder has ended when this returns: the database must be closed before
/// the process ends, or its threads find their locks destroyed and abort.
fn wait_for<T>(work: impl Future<Output = CliResult<T>>) -> CliResult<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS_END_LIMIT);
    outcome
}

/// Now, by this machine's clock: for what the person at it says and names, never for anything that
/// is recorded.
fn now() -> skep_proto::Timestamp {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    skep_proto::Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The log's time when an answer was made: ages are counted back from it, since the log's clock
/// need not agree with this machine's. A manager that does not say it leaves only this machine's.
fn log_now(answered_at: u64) -> skep_proto::Timestamp {
    if answered_at == 0 { now() } else { skep_proto::Timestamp(answered_at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    #[test]
    fn a_command_ends_after_what_reads_for_it() {
        static READ: AtomicBool = AtomicBool::new(false);
        let outcome = wait_for(async {
            tokio::task::spawn_blocking(|| {
                std::thread::sleep(Duration::from_millis(200));
                READ.store(true, SeqCst);
            });
            Ok(())
        });
        assert!(outcome.is_ok() && READ.load(SeqCst), "the reader had not ended");
    }
}
