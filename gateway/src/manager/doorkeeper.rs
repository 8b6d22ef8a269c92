//! Keeps what the manager shows at its doors: the authority recorded, its own certificate fresh,
//! and the network's door as an earlier start left it.

use crate::{
    api::serve::DoorConfig,
    authority::{AuthorityProblem, ManagerAuthority},
    clock,
    door::{AuthorityTrouble, DoorAddress, DoorOpener, DoorWatch},
    drive::{Drive, Published},
};
use skep_proto::Id;
use skep_trust::{ValidAt, Validity};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// Pause after a certificate could not be made.
const CERTIFICATE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// Between looks at the own certificate: a clock that was set is seen by then.
const CERTIFICATE_LOOK_PERIOD: Duration = Duration::from_secs(60);

type ShownConfig = watch::Sender<Option<Arc<rustls::ServerConfig>>>;

/// What the doors need to be kept.
pub(super) struct Doorkeeper {
    pub(super) authority: Arc<ManagerAuthority>,
    /// This manager's own node.
    pub(super) manager: Id,
    pub(super) drive: Drive,
    pub(super) opener: DoorOpener,
    pub(super) watch: DoorWatch,
    /// Where a manager listens that has joined others, until the log says it.
    pub(super) joined_at: Option<DoorAddress>,
}

impl Doorkeeper {
    /// Begins; ends with `stop`.
    pub(super) fn start(self, stop: CancellationToken) -> DoorConfig {
        let (shown, watched) = watch::channel(None);
        tokio::spawn(async move {
            let kept = keep(&self.authority, &self.drive, &shown, &self.watch);
            let recorded =
                || DoorAddress::of(self.manager, &self.drive.newest().view).or(self.joined_at);
            let opened = async {
                // Before that the view says of no port that it is open.
                let mut published = self.drive.published();
                let is_founded =
                    |p: &Arc<Published>| self.joined_at.is_some() || !p.view.cluster().id.is_none();
                if published.wait_for(is_founded).await.map(drop).is_ok() {
                    self.opener.keep(recorded).await;
                }
            };
            tokio::select! {
                _ = async { tokio::join!(kept, opened) } => {}
                () = stop.cancelled() => {}
            }
        });
        watched
    }
}

async fn keep(authority: &ManagerAuthority, drive: &Drive, shown: &ShownConfig, watch: &DoorWatch) {
    let mut told = String::new();
    let mut good: Option<Validity> = None;
    loop {
        let now = clock::wall();
        // With these dice: in the middle of its life.
        let is_good = |v: Validity| v.at(now) == ValidAt::Valid && now < v.renewal_at(0);
        if !good.is_some_and(is_good) {
            match renew(authority, drive, shown).await {
                Ok(validity) => {
                    good = Some(validity);
                    watch.authority(None);
                }
                Err(problem) => {
                    let (hint, problem) = (problem.hint(), problem.to_string());
                    let trouble =
                        AuthorityTrouble { message: problem.clone(), hint: hint.to_owned() };
                    watch.authority(Some(trouble));
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
