//! A machine's process: manager and agent, or an agent alone, started and stopped as its standing
//! changes.
//!
//! The first start fixes what a machine is, unless it waits to be told; a restart resumes it.
//! Stopping the process stops no task: what runs is adopted by the next one.

mod advice;
mod durable;
mod hangup;
mod holder;
mod joined;
mod key_files;
mod left;
mod lifecycle;
mod local;
mod machine;
mod node;
mod promoted;
mod settings;
mod socket;
mod start;
mod state;
mod telemetry;

pub(crate) use advice::Advice;
pub(crate) use holder::holder_of;
pub(crate) use settings::{
    AgentSettings, DaemonMode, DaemonSettings, Founding, JoinSettings, NodeSettings,
};
pub(crate) use socket::in_place_of_socket;
pub(crate) use state::file_in_place_of;

use anyhow::{Context, Result};
use machine::MachineDaemon;
use skep_gateway::manager;
use skep_log::{AcceptLoss, Recovered};
use skep_proto::v1::LocalNode;
use skep_trust::{KeyLock, UnlockKey};
use state::StateDir;
use std::{future::Future, path::Path, time::Duration};
use telemetry::Telemetry;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// A daemon that has not ended so long after it was asked to ends at once.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Exit code of one that ended at once.
const ENDED_AT_ONCE: u8 = 1;

/// `skep daemon`: a machine that is a manager with its own agent, a worker, or waits to become one.
pub(crate) fn run(settings: DaemonSettings) -> Result<()> {
    undumpable().context("the daemon's memory")?;
    let state = StateDir::hold(&settings.state_dir)?;
    on_runtime(settings.node.otlp_endpoint.clone(), async move |stop| {
        left::finish(&state)?;
        let (first, problem) = start::first_role(&state, &settings)?;
        let socket = settings.listen_control.clone();
        let listener = socket::bind(&socket)?.into_std()?;
        let (service, inbox) = local::service(LocalNode {
            hostname: settings.node.hostname.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            state_dir: state.path().display().to_string(),
            ..LocalNode::default()
        });
        inbox.state.send_modify(|local| local.problem = problem);
        let availability = settings.node.availability;
        let port = start::port(&state, &settings)?;
        let lock = KeyLock::default();
        let machine =
            MachineDaemon { state, settings, availability, port, inbox, service, listener, lock };
        let ended = machine.run(first, stop).await;
        // The socket is a promise that somebody answers.
        drop(std::fs::remove_file(&socket));
        ended
    })
}

/// The daemon's memory holds keys that its disk does not: no dump of it is written, and nobody but
/// root looks into it. What it starts is not bound by that.
fn undumpable() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(false)
}

/// `skep agent`: a worker alone.
pub(crate) fn run_agent(settings: AgentSettings) -> Result<()> {
    let state = StateDir::hold(&settings.state_dir)?;
    on_runtime(settings.node.otlp_endpoint.clone(), async move |stop| {
        left::finish(&state)?;
        let runtime = node::runtime(&state, &settings.node)?;
        let (endpoint, join_token) = (settings.manager, settings.join_token);
        let manager =
            node::FollowedEndpoint { endpoint, join_token, follows: node::FollowedProcess::Other };
        let own = (runtime, KeyLock::default());
        node::agent(&state, &settings.node, manager, own)?.run(stop).await?;
        Ok(())
    })
}

/// Cuts the history in a state folder where it stops being readable.
pub(crate) fn recover(
    state_dir: &Path,
    loss: AcceptLoss,
    unlock_key: Option<&UnlockKey>,
) -> Result<Recovered> {
    let state = StateDir::hold_of_manager(state_dir)?;
    left::finish(&state)?;
    let cipher = skep_gateway::offline::cipher(state.path(), unlock_key)
        .map_err(|error| Advice::new(error.to_string(), error.hint().unwrap_or_default()))?;
    Ok(manager::recover(state.path(), loss, cipher)?)
}

/// Why a daemon that was asked to stop ends at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EndAtOnce {
    /// Somebody asked a second time.
    AskedAgain,
    /// Stopping took longer than it may.
    TooLong,
}

/// Cancels `stop` when somebody asks for it; resolves when the daemon must not wait any longer.
async fn stop_when_asked(
    mut asked: mpsc::Receiver<()>,
    stop: &CancellationToken,
    limit: Duration,
) -> EndAtOnce {
    asked.recv().await;
    tracing::info!("stopping; tasks go on");
    stop.cancel();
    match timeout(limit, asked.recv()).await {
        Ok(_) => EndAtOnce::AskedAgain,
        Err(_) => EndAtOnce::TooLong,
    }
}

/// Threads for the runtime's tasks, at least: one may be waiting for the disk.
const WORKERS_MIN: usize = 2;

/// Runs until the work ends or a signal asks to; ending takes what has begun to its end.
fn on_runtime<W, F>(otlp_endpoint: Option<String>, work: W) -> Result<()>
where
    W: FnOnce(CancellationToken) -> F,
    F: Future<Output = Result<()>>,
{
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(WORKERS_MIN))
        .enable_all()
        .build()
        .context("the async runtime")?;
    let ended = runtime.block_on(async {
        let telemetry = Telemetry::start(otlp_endpoint.as_deref())?;
        let stop = CancellationToken::new();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hangup = match hangup::is_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        let (ask, asked) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    Some(()) = hangup::next(&mut hangup) => {}
                }
                // A request that still waits to be read is enough.
                let _ = ask.try_send(());
            }
        });
        let signalled = stop.clone();
        tokio::spawn(async move {
            match stop_when_asked(asked, &signalled, STOP_LIMIT).await {
                EndAtOnce::AskedAgain => tracing::warn!("asked again: ending at once; tasks go on"),
                EndAtOnce::TooLong => {
                    tracing::warn!("stopping takes too long: ending at once; tasks go on");
                }
            }
            // Everything that was acknowledged is on the disk; a restart recovers as after a crash.
            crate::exit::at_once(ENDED_AT_ONCE);
        });
        let ended = work(stop).await;
        drop(telemetry);
        ended
    });
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_dump_is_written_of_a_daemons_memory() {
        assert_eq!(nix::sys::prctl::get_dumpable(), Ok(true));
        undumpable().unwrap();
        assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
        nix::sys::prctl::set_dumpable(true).unwrap();
    }

    #[tokio::test]
    async fn a_second_signal_ends_the_daemon_at_once() {
        let (ask, asked) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let ending = tokio::spawn({
            let stop = stop.clone();
            async move { stop_when_asked(asked, &stop, Duration::from_secs(600)).await }
        });
        assert!(!stop.is_cancelled(), "nobody asked yet");
        ask.send(()).await.unwrap();
        stop.cancelled().await;
        assert!(!ending.is_finished(), "it may stop in order first");
        ask.send(()).await.unwrap();
        assert_eq!(ending.await.unwrap(), EndAtOnce::AskedAgain);
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_come_to_its_end_ends_at_once() {
        let (ask, asked) = mpsc::channel(1);
        let stop = CancellationToken::new();
        ask.send(()).await.unwrap();
        let ending = stop_when_asked(asked, &stop, Duration::from_millis(10)).await;
        assert_eq!(ending, EndAtOnce::TooLong);
        assert!(stop.is_cancelled());
    }
}
