//! Plants the semantic faults of `tests/faults` into a copy of the repository: `faults plant ROOT
//! COPY`, `faults names ROOT`.
//!
//! The environment variable `SKEP_FAULT` names the fault that is switched on in the program that is
//! built from the copy. The copy is thrown away afterwards.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::{Result, bail};
use skep_tests::faults;
use std::{env, path::Path};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["names", root] => {
            faults::all(Path::new(root))?.iter().for_each(|fault| println!("{}", fault.name));
        }
        ["plant", root, copy] => {
            let planted = faults::plant(&faults::all(Path::new(root))?, Path::new(root));
            if !planted.unplaced.is_empty() {
                bail!("faults that can't be planted: {}", planted.unplaced.join("; "));
            }
            planted.write(Path::new(copy))?;
        }
        _ => bail!("faults plant ROOT COPY, or faults names ROOT"),
    }
    Ok(())
}
