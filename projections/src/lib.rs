//! The cluster at one revision: a fold of all records up to it. Pure.
//!
//! `View::apply` is total: a committed record never panics and has nothing left to choose. It
//! answers with a [`Delta`] that names what changed, so that everything downstream costs what the
//! change costs. A view is cloned in O(1) and shares its structure with the clone: readers hold one
//! while the writer goes on.

pub mod apply;
pub mod audit;
pub mod causes;
pub mod classes;
pub mod cluster;
mod count;
pub mod delta;
pub mod digest;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
mod ids;
pub mod node;
mod rebuild;
pub mod removed;
pub mod service;
mod slab;
pub mod snapshot;
pub mod stamps;
pub mod table;
pub mod task;
pub mod trust;
pub mod view;

pub use apply::{Stamp, Unknown};
pub use delta::Delta;
pub use node::{NodeIdx, NodeRow};
pub use service::{ServiceIdx, ServiceRow};
pub use task::{TaskIdx, TaskRow};
pub use view::View;
