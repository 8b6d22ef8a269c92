//! The program has one place that writes to its standard streams: there they are kept from
//! panicking when nobody reads them, and there text of others is made safe for a terminal.

use super::{files, none};

/// The files that may name a stream: the command line's output and messages, and the daemon's log.
const DOORS: [&str; 4] =
    ["src/cli/show/tell.rs", "src/cli/stderr.rs", "src/daemon/telemetry.rs", "src/exit.rs"];

#[test]
fn only_the_doors_name_a_standard_stream() {
    let mut found = Vec::new();
    for page in files("rs").iter().filter(|page| page.path.starts_with("src/") && !page.is_test) {
        for (number, line) in page.code().iter().enumerate() {
            // The parser's own question is no stream.
            let code = line.split("//").next().unwrap_or_default().replace("use_stderr()", "");
            let names = ["stdout()", "stderr()", "print!", "println!"]
                .iter()
                .any(|name| code.contains(name));
            if names && !DOORS.contains(&page.path.as_str()) {
                found.push(format!(
                    "{}:{}: say it through show::say or show::talk",
                    page.path,
                    number + 1
                ));
            }
        }
    }
    none(found);
}
