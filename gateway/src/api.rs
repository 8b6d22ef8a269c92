//! The gRPC services: protocols in, commands out. Translation only.

pub mod control;
pub mod dispatcher;
mod ending;
pub mod history;
pub mod listener;
pub mod logs;
pub mod metrics;
pub mod serve;

#[cfg(test)]
mod stories;
#[cfg(test)]
pub(crate) mod testing;
