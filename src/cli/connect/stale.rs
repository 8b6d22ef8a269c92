//! Answers that may lack the newest records say so in their metadata: it becomes a warning on the
//! standard error, once a command. The answer itself is shown as any other.

use crate::cli::show::{duration_text, talk};
use prost::Message;
use skep_proto::v1::StaleRead;
use std::{
    pin::Pin,
    sync::{Arc, atomic},
    task::{Context, Poll},
};
use tonic::{
    body::Body,
    codegen::{Service, http},
    metadata::MetadataMap,
    transport::Channel,
};

/// Where such an answer says so: an encoded [`StaleRead`].
const STALE_HEADER: &str = "skep-stale-bin";

/// A channel that looks at each answer's metadata.
#[derive(Clone)]
pub(crate) struct WarningChannel {
    channel: Channel,
    has_warned: Arc<atomic::AtomicBool>,
}

impl WarningChannel {
    pub(super) fn new(channel: Channel) -> WarningChannel {
        WarningChannel { channel, has_warned: Arc::default() }
    }
}

impl Service<http::Request<Body>> for WarningChannel {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.channel, context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let has_warned = self.has_warned.clone();
        let answer = Service::call(&mut self.channel, request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(warning) = warning(answer.headers())
                && !has_warned.swap(true, atomic::Ordering::Relaxed)
            {
                talk(&warning);
            }
            Ok(answer)
        })
    }
}

/// What to tell people of an answer with these headers. One that does not decode is of a newer
/// manager.
fn warning(headers: &http::HeaderMap) -> Option<String> {
    let metadata = MetadataMap::from_headers(headers.clone());
    let value = metadata.get_bin(STALE_HEADER)?.to_bytes().ok()?;
    let StaleRead { revision, why, for_ns } = StaleRead::decode(value).ok()?;
    let since = duration_text(for_ns);
    Some(format!("warning: {why}; this is the state at revision {revision}, as of {since} ago"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::MetadataValue;

    #[test]
    fn an_answer_that_may_be_old_is_told_with_its_revision_and_its_age() {
        let mut metadata = MetadataMap::new();
        assert_eq!(warning(&metadata.clone().into_headers()), None);
        let stale = StaleRead {
            revision: 21,
            why: "the log does not answer".into(),
            for_ns: 44_500_000_000,
        };
        metadata.insert_bin(STALE_HEADER, MetadataValue::from_bytes(&stale.encode_to_vec()));
        assert_eq!(
            warning(&metadata.into_headers()).as_deref(),
            Some(
                "warning: the log does not answer; this is the state at revision 21, as of 44 seconds ago"
            )
        );
    }
}
