//! Health checks: a task takes traffic when its check has passed, and is replaced when it gives up.

use crate::cli::parse;
use clap::Args;
use skep_proto::v1::HealthCheck;

/// The check of a task's health.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct HealthFlags {
    /// Command that checks whether a task is healthy
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between checks
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_ns, allow_hyphen_values = true)]
    health_interval: Option<u64>,
    /// Longest time that a check may take
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_ns, allow_hyphen_values = true)]
    health_timeout: Option<u64>,
    /// Failures in a row that make a task unhealthy
    #[arg(long, value_name = "COUNT", value_parser = parse::count::<u32>, allow_hyphen_values = true)]
    health_retries: Option<u32>,
    /// Time at the start in which failures do not count
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_ns, allow_hyphen_values = true)]
    health_start_period: Option<u64>,
    /// Time between checks at the start
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_ns, allow_hyphen_values = true)]
    health_start_interval: Option<u64>,
    /// Turn off the image's own health check
    #[arg(long)]
    no_healthcheck: bool,
}

impl HealthFlags {
    /// Writes what was said into the check.
    pub(super) fn apply(&self, check: &mut Option<HealthCheck>) -> Result<(), String> {
        let durations = [
            self.health_interval,
            self.health_timeout,
            self.health_start_period,
            self.health_start_interval,
        ];
        let said = self.health_cmd.is_some()
            || self.health_retries.is_some()
            || durations.iter().any(Option::is_some);
        if self.no_healthcheck {
            if said {
                return Err("--no-healthcheck excludes the --health flags".into());
            }
            *check = Some(HealthCheck { test: vec!["NONE".into()], ..HealthCheck::default() });
            return Ok(());
        }
        if !said {
            return Ok(());
        }
        let check = check.get_or_insert_with(HealthCheck::default);
        if let Some(command) = &self.health_cmd {
            check.test = if command.is_empty() {
                Vec::new()
            } else {
                vec!["CMD-SHELL".into(), command.clone()]
            };
        }
        check.interval_ns = self.health_interval.unwrap_or(check.interval_ns);
        check.timeout_ns = self.health_timeout.unwrap_or(check.timeout_ns);
        check.retries = self.health_retries.unwrap_or(check.retries);
        check.start_period_ns = self.health_start_period.unwrap_or(check.start_period_ns);
        check.start_interval_ns = self.health_start_interval.unwrap_or(check.start_interval_ns);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_is_in_the_check() {
        let mut check = None;
        let flags = HealthFlags {
            health_cmd: Some("true".into()),
            health_timeout: Some(2),
            health_retries: Some(3),
            health_start_period: Some(4),
            health_start_interval: Some(5),
            ..HealthFlags::default()
        };
        flags.apply(&mut check).expect("nothing is wrong with it");
        let expected = HealthCheck {
            test: vec!["CMD-SHELL".into(), "true".into()],
            timeout_ns: 2,
            retries: 3,
            start_period_ns: 4,
            start_interval_ns: 5,
            ..HealthCheck::default()
        };
        assert_eq!(check, Some(expected));
        let images_own = HealthFlags { health_cmd: Some(String::new()), ..HealthFlags::default() };
        images_own.apply(&mut check).expect("nothing is wrong with it");
        assert_eq!(check.as_ref().map(|check| check.test.len()), Some(0));
        let none = HealthFlags { no_healthcheck: true, ..HealthFlags::default() };
        none.apply(&mut check).expect("nothing is wrong with it");
        let none = HealthCheck { test: vec!["NONE".into()], ..HealthCheck::default() };
        assert_eq!(check, Some(none));
    }

    #[test]
    fn an_update_changes_what_was_said_and_nothing_else() {
        let mut check = Some(HealthCheck {
            test: vec!["CMD-SHELL".into(), "true".into()],
            retries: 3,
            ..HealthCheck::default()
        });
        let flags = HealthFlags { health_interval: Some(5), ..HealthFlags::default() };
        flags.apply(&mut check).expect("nothing is wrong with it");
        let changed = check.clone().expect("it is still there");
        assert_eq!((changed.retries, changed.interval_ns, changed.test.len()), (3, 5, 2));
        HealthFlags::default().apply(&mut check).expect("nothing was said");
        assert_eq!(check, Some(changed));
        let both = HealthFlags { no_healthcheck: true, ..flags };
        assert!(both.apply(&mut check).is_err());
    }
}
