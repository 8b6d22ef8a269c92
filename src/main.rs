//! `skep`: one program that is node, manager, agent and command line.
//!
//! The shim of a process task is this program too, under a hidden name. It must stay small and must
//! not start threads before it forks, so it is looked for before anything else is done.

mod allocator;
mod cli;
mod daemon;
mod exit;
mod untrusted;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == "shim") {
        return cli::shim();
    }
    cli::main()
}
