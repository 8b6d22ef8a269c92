//! Renews this node's certificate, long before it ends.
//!
//! It is asked for over a connection of its own: the one of the session may not come to be while
//! the certificate has ended.

use super::{
    config::ManagerEndpoint,
    credentials::NodeCredentials,
    dial::{self, DialError},
};
use crate::wall;
use skep_proto::{
    Timestamp,
    v1::{RenewRequest, dispatcher_client::DispatcherClient},
};
use skep_trust::{KeyError, RenewalDelay, ValidAt, Validity};
use std::time::Duration;
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Between looks at the clock, and longest pause between tries once the certificate has ended: a
/// clock that was set is seen by then, and so is a manager that has come back.
const RENEWAL_LOOK_PERIOD: Duration = Duration::from_secs(60);
/// Shortest pause between two renewals.
const RENEWAL_PERIOD_MIN: Duration = Duration::from_secs(60);
/// A manager that has not answered by then is left.
const RENEWAL_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Error)]
enum RenewalError {
    #[error(transparent)]
    Dial(#[from] DialError),
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
    target: ManagerEndpoint,
    credentials: NodeCredentials,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut certificate = credentials.certificate();
        let mut delay = RenewalDelay::default();
        loop {
            let issued = certificate.wait_for(Option::is_some).await;
            let validity = issued.ok().and_then(|issued| issued.as_ref().map(|i| i.read.validity));
            let Some(validity) = validity else { return };
            let due = validity.renewal_at(dice());
            wait_until(due, validity).await;
            while let Err(error) = renew(&target, &credentials).await {
                let pause = Duration::from_nanos(delay.after_failure(dice()));
                let pause = match validity.at(Timestamp(wall::now_ns())) {
                    ValidAt::Valid => pause,
                    ValidAt::NotYet | ValidAt::Expired => pause.min(RENEWAL_LOOK_PERIOD),
                };
                tracing::warn!(
                    %error, ends = %validity.not_after,
                    "this node's certificate is not renewed; trying again in {} s", pause.as_secs()
                );
                sleep(pause).await;
            }
            delay.reset();
            // Clocks that are far apart make each certificate due at once.
            sleep(RENEWAL_PERIOD_MIN).await;
        }
    }))
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
        sleep(left.min(RENEWAL_LOOK_PERIOD)).await;
    }
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
    timeout(RENEWAL_LIMIT, asking).await?
}

/// Without randomness the moment is the earliest one.
fn dice() -> u64 {
    getrandom::u64().unwrap_or_default()
}
