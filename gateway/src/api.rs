//! The gRPC services: protocols in, commands out. Translation only.

pub mod control;
pub mod dispatcher;
mod ending;
pub mod enrol;
pub mod history;
pub mod listener;
pub mod logs;
pub mod managers;
pub mod membership;
pub mod metrics;
mod permission;
pub mod serve;

#[cfg(test)]
mod stories;
#[cfg(test)]
pub(crate) mod testing;
