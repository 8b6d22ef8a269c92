//! The shim as a program of its own: for the tests of the process runtime, which have no `skep` to
//! be started as, and for programs that embed the agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    skep_agent::runtime::process::shim::main(std::env::args_os().skip(1))
}
