//! Keeps what the manager shows at its doors: the authority recorded, its own certificate fresh,
//! and the network's door as an earlier start left it.

use crate::{
    api::serve::DoorConfig,
    authority::{AuthorityProblem, ManagerAuthority},
    clock,
    door::Door,
    drive::Drive,
};
use skep_trust::{ValidAt, Validity};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// Pause after a certificate could not be made.
const CERTIFICATE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// Between looks at the own certificate: a clock that was set is seen by then.
const CERTIFICATE_LOOK_PERIOD: Duration = Duration::from_secs(60);

type ShownConfig = watch::Sender<Option<Arc<rustls::ServerConfig>>>;

/// Begins; ends with `stop`.
pub(super) fn start(
    authority: Arc<ManagerAuthority>,
    drive: Drive,
    door: Door,
    stop: CancellationToken,
) -> DoorConfig {
    let (shown, watched) = watch::channel(None);
    tokio::spawn(async move {
        let keeping = async {
            tokio::join!(keep(&authority, &drive, &shown), door.reopen());
        };
        tokio::select! {
            () = keeping => {}
            () = stop.cancelled() => {}
        }
    });
    watched
}

async fn keep(authority: &ManagerAuthority, drive: &Drive, shown: &ShownConfig) {
    let mut told = String::new();
    let mut good: Option<Validity> = None;
    loop {
        let now = clock::wall();
        // With these dice: in the middle of its life.
        let is_good = |v: Validity| v.at(now) == ValidAt::Valid && now < v.renewal_at(0);
        if !good.is_some_and(is_good) {
            match renew(authority, drive, shown).await {
                Ok(validity) => good = Some(validity),
                Err(problem) => {
                    let (hint, problem) = (problem.hint(), problem.to_string());
                    if problem != told {
                        tracing::error!(error = %problem, hint, "agents can't be let in");
                        told = problem;
                    }
                    sleep(CERTIFICATE_RETRY_DELAY).await;
                    continue;
                }
            }
        }
        sleep(CERTIFICATE_LOOK_PERIOD).await;
    }
}

/// Shows a new certificate; says how long it is valid.
async fn renew(
    authority: &ManagerAuthority,
    drive: &Drive,
    shown: &ShownConfig,
) -> Result<Validity, AuthorityProblem> {
    authority.record(drive).await?;
    let (config, validity) = authority.door(&drive.newest().view)?;
    shown.send_replace(Some(config));
    Ok(validity)
}
