//! What a container is asked to be. PURE.

use super::{
    super::{Refusal, unsupported},
    accounts, duration, image, labels, mounts, text,
};
use skep_projections::View;
use skep_proto::v1::{ContainerSpec, HealthCheck};

/// The shortest duration of a health check.
const HEALTH_NS_MIN: u64 = 1_000_000;
/// Names of signals that a container may be stopped with.
const SIGNALS: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];
/// The highest number of a signal.
const SIGNAL_MAX: u32 = 64;
/// Real-time signals that may be named, as distances from the first or the last.
const REAL_TIME_MAX: u32 = 30;

pub(super) fn validate(view: &View, c: &ContainerSpec) -> Result<(), Refusal> {
    image::validate(view, &c.image)?;
    c.env.iter().try_for_each(|variable| env(variable))?;
    labels("container", &c.labels)?;
    unsupported::refuse_container(c)?;
    text::no_template("the host name", &c.hostname)?;
    text::hostname(&c.hostname)?;
    c.command.iter().chain(&c.args).try_for_each(|word| text::no_zero("the argument", word))?;
    accounts::validate(view, &c.user)?;
    folder(&c.dir)?;
    signal(&c.stop_signal)?;
    duration("the grace period", c.stop_grace_period_ns.unwrap_or_default())?;
    mounts::validate(view, &c.mounts)?;
    c.health.as_ref().map_or(Ok(()), health)
}

fn env(variable: &str) -> Result<(), Refusal> {
    let name = variable.split_once('=').map_or(variable, |(name, _)| name);
    if name.is_empty() || variable.contains('\0') {
        return Err(Refusal::invalid(format!("{variable:?} is not an environment variable"))
            .hint("write NAME=VALUE"));
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Refusal::invalid(format!(
            "the name of the environment variable {name:?} holds blanks"
        ))
        .hint("write NAME=VALUE"));
    }
    text::no_template(&format!("the environment variable {name}"), variable)
}

fn folder(folder: &str) -> Result<(), Refusal> {
    text::no_zero("the working directory", folder)?;
    if !folder.is_empty() && !folder.starts_with('/') {
        return Err(Refusal::invalid(format!(
            "working directory {folder:?} is not an absolute path"
        ))
        .hint("begin it with '/'"));
    }
    Ok(())
}

fn signal(text: &str) -> Result<(), Refusal> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let is_number = name.parse::<u32>().is_ok_and(|number| (1..=SIGNAL_MAX).contains(&number));
    if text.is_empty() || is_number || SIGNALS.contains(&name) || is_real_time(name) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{text:?} is not a signal"))
        .hint("write a name such as SIGTERM, or a number"))
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-2`.
fn is_real_time(name: &str) -> bool {
    let distance = |rest: &str, sign: char| {
        let number = rest.strip_prefix(sign).and_then(|rest| rest.parse::<u32>().ok());
        rest.is_empty() || number.is_some_and(|number| number <= REAL_TIME_MAX)
    };
    name.strip_prefix("RTMIN").is_some_and(|rest| distance(rest, '+'))
        || name.strip_prefix("RTMAX").is_some_and(|rest| distance(rest, '-'))
}

fn health(health: &HealthCheck) -> Result<(), Refusal> {
    let durations =
        [health.interval_ns, health.timeout_ns, health.start_period_ns, health.start_interval_ns];
    if durations.iter().any(|ns| *ns != 0 && *ns < HEALTH_NS_MIN) {
        return Err(Refusal::invalid("a health check's durations must be 0 or at least 1 ms"));
    }
    durations.iter().try_for_each(|ns| duration("a duration of the health check", *ns))?;
    health.test.iter().try_for_each(|word| text::no_zero("the health check", word))?;
    let parts: Vec<&str> = health.test.iter().map(String::as_str).collect();
    match parts[..] {
        [] | ["NONE"] | ["CMD-SHELL", _] | ["CMD", _, ..] => Ok(()),
        ["NONE", ..] => {
            Err(Refusal::invalid("a health check of NONE takes no arguments")
                .hint("write NONE alone"))
        }
        ["CMD-SHELL", ..] => {
            Err(Refusal::invalid("a health check of CMD-SHELL takes one command line")
                .hint("write the whole line as one argument after CMD-SHELL"))
        }
        ["CMD"] => Err(Refusal::invalid("a health check of CMD names no program")
            .hint("write the program after CMD")),
        [other, ..] => Err(Refusal::invalid(format!("a health check can't begin with {other:?}"))
            .hint("CMD, CMD-SHELL or NONE")),
    }
}
