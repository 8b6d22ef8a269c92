//! The doors: protocols in, commands out. Translation only.

pub mod control;
pub mod dispatcher;
pub mod door;
mod ending;
pub mod history;
pub mod logs;
pub mod metrics;
pub mod reads;
pub mod serve;

#[cfg(test)]
mod stories;
#[cfg(test)]
pub(crate) mod testing;
