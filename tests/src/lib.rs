//! What is tried as a whole: the simulator of whole clusters, and what its tests share.

pub mod duel;
pub mod faults;
pub mod machine;
pub mod simulator;
