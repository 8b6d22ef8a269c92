//! The way from a manager to the one that leads.

use super::core::ForwardOutcome;
use futures::future::BoxFuture;
use skep_proto::{Position, Timestamp, v1::ForwardedRequests};

/// What the manager that leads says of its history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaderIndex {
    /// Up to where it was committed when it was asked.
    pub position: Position,
    /// The time that a record written then would have had.
    pub at: Timestamp,
}

/// The way to the manager that leads, as far as this one knows who that is.
pub trait LeaderLink: Send + Sync + 'static {
    /// Has it decide these.
    fn forward(&self, message: ForwardedRequests) -> BoxFuture<'static, ForwardOutcome>;

    /// Up to where history was committed when this was called, as a leader says that a majority
    /// has confirmed since; or why nobody knows.
    fn read_index(&self) -> BoxFuture<'static, Result<LeaderIndex, String>>;
}

/// The link of a manager that has no others.
pub struct NoLeaderLink;

impl LeaderLink for NoLeaderLink {
    fn forward(&self, _: ForwardedRequests) -> BoxFuture<'static, ForwardOutcome> {
        let alone = "this manager knows no other one".to_owned();
        Box::pin(std::future::ready(ForwardOutcome::NotTaken(alone)))
    }

    fn read_index(&self) -> BoxFuture<'static, Result<LeaderIndex, String>> {
        Box::pin(std::future::ready(Err("this manager knows no other one".to_owned())))
    }
}
