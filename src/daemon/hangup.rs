//! The end of the terminal that a daemon was started in.
//!
//! It stops the daemon in order, as any other wish to stop does. A daemon that was started with
//! `nohup`, or by a program that does the same, is to outlive its terminal.

use tokio::signal::unix::Signal;

/// Bit of SIGHUP in the kernel's masks of signals.
const HANGUP_BIT: u64 = 1;

/// Whether whoever started this process had it ignore the signal.
pub(super) fn is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_it(&status))
}

/// The next one; never where it is ignored.
pub(super) async fn next(hangup: &mut Option<Signal>) -> Option<()> {
    match hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    }
}

fn ignores_it(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_mask_says_whether_the_signal_is_ignored() {
        assert!(ignores_it("Name:\tskep\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!ignores_it("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"));
        assert!(!ignores_it("Name:\tskep\n"));
    }
}
