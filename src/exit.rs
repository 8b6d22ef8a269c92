//! How a process ends while some of its threads still run.
//!
//! The C library's `exit` runs the destructors of all libraries first. RocksDB's threads then find
//! their locks destroyed and abort the process, so that a daemon which was told twice to stop would
//! end by a signal instead of its exit code.

use std::io::{self, Write};

/// Ends the process now, without any destructor. What was written to both outputs is out.
#[expect(unsafe_code, reason = "_exit has no safe wrapper")]
pub(crate) fn at_once(code: u8) -> ! {
    // Nobody is left to tell that an output cannot be written.
    drop(io::stdout().flush());
    drop(io::stderr().flush());
    // SAFETY: `_exit` has no precondition; it takes the process away and does not return.
    unsafe { nix::libc::_exit(i32::from(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const AS_CHILD: &str = "SKEP_TEST_ENDS_AT_ONCE";

    extern "C" fn abort() {
        std::process::abort();
    }

    /// The test runs itself a second time, as the process that ends.
    #[test]
    #[expect(unsafe_code, reason = "atexit has no safe wrapper")]
    fn no_destructor_runs_and_what_was_written_is_out() {
        if std::env::var_os(AS_CHILD).is_some() {
            // SAFETY: the function takes nothing, returns nothing and does not unwind.
            assert_eq!(unsafe { nix::libc::atexit(abort) }, 0);
            drop(io::stdout().write_all(b"half a line"));
            at_once(7);
        }
        let name = "exit::tests::no_destructor_runs_and_what_was_written_is_out";
        let child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["--exact", name, "--nocapture"])
            .env(AS_CHILD, "1")
            .output()
            .expect("it runs");
        assert_eq!(child.status.code(), Some(7), "{child:?}");
        assert!(child.stdout.ends_with(b"half a line"), "{child:?}");
    }
}
