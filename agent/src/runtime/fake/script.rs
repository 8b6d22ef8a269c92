//! What a fake image does, read from its name. PURE, so that a simulation can act it out in its own
//! time.
//!
//! An image is a list of instructions with commas between: `run` · `exit:N` · `signal:N` · `oom`
//! (these end at once; with `after:MS` later) · `print` (each argument is a line; one that begins
//! with `!` goes to the standard error) · `stubborn` (takes no notice of its stop signal) ·
//! `stop:MS` (needs so long to stop) · `health:MS` (healthy after so long) · `unhealthy:MS` (given
//! up after so long) · `pull:MS` (so long to pull) · `fail-pull` · `fail-start` · `busy:N` (the
//! first N tries to prepare find the engine away). A registry, path or tag is not looked at:
//! `library/run:latest` is `run`. Anything else is no image.

/// How it ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SelfEnd {
    /// After its start, in milliseconds.
    pub after_ms: u64,
    /// Its exit code.
    pub exit_code: i32,
    /// The signal it dies of; 0 for none.
    pub signal: i32,
    /// Killed for its use of memory.
    pub out_of_memory: bool,
}

/// What one fake image does. All times are in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FakeScript {
    /// How long the pull takes.
    pub pull_ms: u64,
    /// The pull ends in a refusal.
    pub fails_pull: bool,
    /// Tries to prepare that find the engine away, before one succeeds.
    pub busy: u32,
    /// The start goes wrong.
    pub fails_start: bool,
    /// Until it is healthy.
    pub healthy_ms: u64,
    /// Until its health check gives it up.
    pub unhealthy_ms: Option<u64>,
    /// It ends by itself.
    pub ends: Option<SelfEnd>,
    /// Between its stop signal and its end.
    pub stop_ms: u64,
    /// It takes no notice of its stop signal.
    pub stubborn: bool,
    /// It writes its arguments as lines when it starts.
    pub prints: bool,
}

impl FakeScript {
    /// Reads an image's name; none when there is no such image.
    pub fn parse(image: &str) -> Option<FakeScript> {
        let name = image.rsplit('/').next().unwrap_or_default();
        let name = name.strip_suffix(":latest").unwrap_or(name);
        let mut script = FakeScript::default();
        let mut after_ms = 0;
        for word in name.split(',') {
            let (verb, number) = match word.split_once(':') {
                Some((verb, number)) => (verb, Some(number.parse::<u64>().ok()?)),
                None => (word, None),
            };
            let end = |exit_code, signal| SelfEnd {
                after_ms: 0,
                exit_code,
                signal,
                out_of_memory: false,
            };
            match (verb, number) {
                ("run", None) => {}
                ("exit", Some(code)) => script.ends = Some(end(i32::try_from(code).ok()?, 0)),
                ("signal", Some(signal)) => {
                    let signal =
                        i32::try_from(signal).ok().filter(|signal| (1..65).contains(signal))?;
                    script.ends = Some(end(128 + signal, signal));
                }
                ("oom", None) => script.ends = Some(SelfEnd { out_of_memory: true, ..end(137, 9) }),
                ("after", Some(ms)) => after_ms = ms,
                ("print", None) => script.prints = true,
                ("stubborn", None) => script.stubborn = true,
                ("stop", Some(ms)) => script.stop_ms = ms,
                ("health", Some(ms)) => script.healthy_ms = ms,
                ("unhealthy", Some(ms)) => script.unhealthy_ms = Some(ms),
                ("pull", Some(ms)) => script.pull_ms = ms,
                ("fail-pull", None) => script.fails_pull = true,
                ("fail-start", None) => script.fails_start = true,
                ("busy", Some(tries)) => script.busy = u32::try_from(tries).ok()?,
                _ => return None,
            }
        }
        if let Some(end) = &mut script.ends {
            end.after_ms = after_ms;
        }
        Some(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_order() {
        let script = FakeScript::parse("after:50,exit:3,pull:7").expect("an image");
        assert_eq!(
            (script.pull_ms, script.ends.map(|e| (e.after_ms, e.exit_code))),
            (7, Some((50, 3)))
        );
        assert_eq!(
            FakeScript::parse("registry.example/team/run:latest"),
            Some(FakeScript::default())
        );
        assert_eq!(
            FakeScript::parse("signal:9").and_then(|s| s.ends).map(|e| (e.exit_code, e.signal)),
            Some((137, 9))
        );
    }

    #[test]
    fn what_is_no_script_is_no_image() {
        for image in ["", "nginx", "exit", "exit:x", "run:1", "signal:0", "signal:99", "run,,run"] {
            assert_eq!(FakeScript::parse(image), None, "{image:?}");
        }
    }
}
