//! The command line as people and scripts meet it: the real program, run against a manager that
//! says what a story needs. Every text is a snapshot, since texts, JSON and exit codes are
//! promises.
//!
//! `INSTA_UPDATE=always` rewrites the snapshots; look at the difference before it is kept.

mod changes;
mod doors;
mod figures;
mod manager;
mod partings;
mod reads;
mod run;
mod several;
mod terminals;
mod usage;
mod waiting;
