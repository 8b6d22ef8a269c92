//! The manager: its services, and the turn behind them.
//!
//! Protocols come in, commands go to the turn; what the turn decided is committed, then shown.
//! `admit` and `turn` are pure: they see a view, a time and entropy, and return data. So is the
//! state machine in `drive::core`, which says when a turn is taken and when an answer is given; the
//! rest of `drive` is the thin shell around it.

pub mod admit;
pub mod api;
pub mod authority;
pub mod clock;
pub mod connections;
pub mod doctor;
pub mod door;
pub mod drive;
pub mod forwarded;
pub mod history;
pub mod hub;
pub mod local_stream;
pub mod logs;
pub mod manager;
pub mod members;
pub mod metrics;
pub mod offline;
pub mod peer;
pub mod peers;
pub mod pulls;
pub mod reads;
pub mod resolve;
pub mod sessions;
pub mod show;
pub mod turn;
