//! What the agent may order a shim: one line each, short enough that a FIFO never tears or mixes
//! them.

use nix::errno::Errno;
use std::{io, os::fd::AsFd, time::Duration};

/// More than all orders that can wait in the FIFO at a time that matter: what does not fit is read
/// at the next look.
const ORDERS_BYTES_MAX: usize = 4096;

/// One order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ShimOrder {
    /// Ask the program to end, and kill it after `grace`.
    Stop {
        /// From now.
        grace: Duration,
    },
}

impl ShimOrder {
    /// The line as it is written.
    pub(crate) fn line(self) -> String {
        match self {
            ShimOrder::Stop { grace } => format!("stop {}\n", grace.as_millis()),
        }
    }

    fn parse(line: &str) -> Option<ShimOrder> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "stop" => Some(ShimOrder::Stop { grace: Duration::from_millis(rest.parse().ok()?) }),
            // An order of a newer agent: this shim cannot follow it.
            _ => None,
        }
    }
}

/// All orders that wait. Called when there is something to read, and reads once: so it never
/// blocks.
pub(super) fn read(control: &io::Stdin) -> Vec<ShimOrder> {
    let mut bytes = [0; ORDERS_BYTES_MAX];
    match nix::unistd::read(control.as_fd(), &mut bytes) {
        Ok(count) => {
            String::from_utf8_lossy(&bytes[..count]).lines().filter_map(ShimOrder::parse).collect()
        }
        Err(Errno::EAGAIN | Errno::EINTR) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_as_it_was_written_and_others_are_passed_over() {
        let stop = ShimOrder::Stop { grace: Duration::from_millis(1500) };
        assert_eq!(ShimOrder::parse(stop.line().trim_end()), Some(stop));
        assert_eq!(ShimOrder::parse("dance 3"), None);
        assert_eq!(ShimOrder::parse("stop soon"), None);
    }
}
