//! Renews this node's certificate, long before it ends, and as soon as it is to say another role.
//!
//! It is asked for over a connection of its own: the one of the session may not come to be while
//! the certificate has ended. Managers are asked one after the other until one renews it.

use super::{config::ManagerEndpoint, credentials::NodeCredentials, dial, status::AgentStatus};
use crate::wall;
use skep_proto::{
    Timestamp,
    v1::{NodeRole, RenewRequest, dispatcher_client::DispatcherClient},
};
use skep_trust::{KeyError, RenewalDelay, ValidAt, Validity};
use std::time::Duration;
use thiserror::Error;
use tokio::{sync::watch, time};
use tokio_util::task::AbortOnDropHandle;

/// Between looks at the clock, and longest pause between tries once the certificate has ended: a
/// clock that was set is seen by then, and so is a manager that has come back.
const RENEWAL_LOOK_PERIOD: Duration = Duration::from_secs(60);
/// Shortest pause between two renewals for the same role: the cluster may not give a role yet that
/// it has told of.
const RENEWAL_PERIOD_MIN: Duration = Duration::from_secs(60);
/// A manager that has not answered by then is left, and the next one is asked.
const RENEWAL_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Error)]
enum RenewalError {
    #[error(transparent)]
    Dial(#[from] dial::DialError),
    #[error("{}", .0.message())]
    Refused(#[from] tonic::Status),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Certificate(#[from] super::credentials::CertificateRefused),
    #[error("the manager does not answer")]
    NoAnswer(#[from] tokio::time::error::Elapsed),
}

/// Renews until dropped.
pub(super) fn start(
    credentials: NodeCredentials,
    mut status: watch::Receiver<AgentStatus>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut certificate = credentials.certificate();
        let mut delay = RenewalDelay::default();
        let mut due = None;
        loop {
            let issued = certificate.wait_for(Option::is_some).await;
            let read = issued.ok().and_then(|issued| {
                issued.as_ref().map(|issued| (issued.read.validity, issued.read.role))
            });
            let Some((validity, role)) = read else { return };
            // Once for each certificate: a failure does not move it.
            let at = match due {
                Some((of, at)) if of == validity => at,
                Some(_) | None => validity.renewal_at(dice()),
            };
            due = Some((validity, at));
            tokio::select! {
                () = wait_until(at, validity) => {}
                () = until_role(&mut status, |wanted| wanted != role) => {}
            }
            let asked_for = status.borrow().membership.map_or(role, |membership| membership.role);
            let pause = match renew_anywhere(targets(&status), &credentials).await {
                Ok(()) => {
                    delay.reset();
                    // Clocks that are far apart make each certificate due at once.
                    RENEWAL_PERIOD_MIN
                }
                Err(error) => after_failure(&mut delay, validity, &error),
            };
            tokio::select! {
                () = time::sleep(pause) => {}
                () = until_role(&mut status, |wanted| wanted != asked_for) => {}
            }
        }
    }))
}

/// Until the cluster has told of a role that is meant; for ever where the agent ends before.
async fn until_role(
    status: &mut watch::Receiver<AgentStatus>,
    is_meant: impl Fn(NodeRole) -> bool,
) {
    let is_told = |status: &AgentStatus| status.membership.is_some_and(|told| is_meant(told.role));
    let ended = status.wait_for(is_told).await.is_err();
    if ended {
        std::future::pending().await
    }
}

/// All managers: the one of the session first, and those at the end that could not be reached.
fn targets(status: &watch::Receiver<AgentStatus>) -> Vec<ManagerEndpoint> {
    let mut managers = status.borrow().managers.clone();
    managers.sort_by_key(|manager| (!manager.attached, !manager.problem.is_empty()));
    managers.into_iter().map(|manager| manager.endpoint).collect()
}

/// How long to wait before the next try.
fn after_failure(delay: &mut RenewalDelay, validity: Validity, error: &RenewalError) -> Duration {
    let pause = Duration::from_nanos(delay.after_failure(dice()));
    let pause = match validity.at(Timestamp(wall::now_ns())) {
        ValidAt::Valid => pause,
        ValidAt::NotYet | ValidAt::Expired => pause.min(RENEWAL_LOOK_PERIOD),
    };
    tracing::warn!(
        %error, ends = %validity.not_after,
        "this node's certificate is not renewed; trying again in {} s", pause.as_secs()
    );
    pause
}

/// By the wall clock, since that is what certificates are read by. One of a clock that was ahead is
/// due at once.
async fn wait_until(due: Timestamp, validity: Validity) {
    loop {
        let now = Timestamp(wall::now_ns());
        let left = Duration::from_nanos(due.since(now));
        if left.is_zero() || validity.at(now) == ValidAt::NotYet {
            return;
        }
        time::sleep(left.min(RENEWAL_LOOK_PERIOD)).await;
    }
}

/// Asks these until one of them renews it. The error is that of the first one, which was the
/// likeliest to do it.
async fn renew_anywhere(
    targets: Vec<ManagerEndpoint>,
    credentials: &NodeCredentials,
) -> Result<(), RenewalError> {
    let mut first = None;
    for target in targets {
        match renew(&target, credentials).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::debug!(manager = %target, %error, "this manager renews no certificate");
                first.get_or_insert(error);
            }
        }
    }
    // There is always the endpoint that the agent was started with.
    first.map_or(Ok(()), Err)
}

async fn renew(
    target: &ManagerEndpoint,
    credentials: &NodeCredentials,
) -> Result<(), RenewalError> {
    let asking = async {
        let channel = dial::connect(target, credentials).await?;
        let request = RenewRequest { request: credentials.request()? };
        let certified = DispatcherClient::new(channel).renew(request).await?.into_inner();
        credentials.take(&certified)?;
        tracing::info!(until = %Timestamp(certified.not_after_at), "this node's certificate is renewed");
        Ok(())
    };
    time::timeout(RENEWAL_LIMIT, asking).await?
}

/// Without randomness the moment is the earliest one.
fn dice() -> u64 {
    getrandom::u64().unwrap_or_default()
}
