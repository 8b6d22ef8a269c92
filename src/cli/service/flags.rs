//! Flags that `service create` and `service update` share: each is absent or a wish, so that an
//! update changes what was said and nothing else.

use super::health::HealthFlags;
use crate::cli::{
    parse::{self, ShellWords},
    show,
};
use clap::{Args, ValueEnum};
use skep_proto::v1::{
    ContainerSpec, Placement, ResourceRequirements, Resources, RestartCondition, RestartPolicy,
    TaskSpec, task_spec::Runtime,
};

/// When an ended task is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Condition {
    /// Never
    None,
    /// When it failed
    OnFailure,
    /// Always
    Any,
}

/// Says which variables have no value: neither in the flag nor in this command's environment.
pub(super) fn note_unset(env: &[String]) {
    for name in env.iter().filter(|variable| !variable.contains('=')) {
        show::talk(&format!("note: {name} is not set here, so tasks get no value for it"));
    }
}

/// What a task is like.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct TaskFlags {
    /// User, and group, that the task runs as
    #[arg(short, long, value_name = "NAME|UID[:GROUP]")]
    user: Option<String>,
    /// Folder that the task runs in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Host name that the task sees
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Replaces the image's own entrypoint; read as a shell would: --entrypoint "sh -c 'echo one'"
    #[arg(long, value_name = "COMMAND", value_parser = parse::shell_words, allow_hyphen_values = true)]
    entrypoint: Option<ShellWords>,
    /// Signal that asks a task to end
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Time between asking and killing [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_ns, allow_hyphen_values = true)]
    stop_grace_period: Option<u64>,
    /// Mount the container's root read-only
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    read_only: Option<bool>,
    /// Run an init inside the container, which reaps processes
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    init: Option<bool>,
    /// Give the task a terminal
    #[arg(short, long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tty: Option<bool>,
    /// Most CPUs a task may use
    #[arg(long, value_name = "CPUS", value_parser = parse::cpus, allow_hyphen_values = true)]
    limit_cpu: Option<i64>,
    /// Most memory a task may use
    #[arg(long, value_name = "BYTES", value_parser = parse::memory, allow_hyphen_values = true)]
    limit_memory: Option<i64>,
    /// CPUs that are set aside for a task
    #[arg(long, value_name = "CPUS", value_parser = parse::cpus, allow_hyphen_values = true)]
    reserve_cpu: Option<i64>,
    /// Memory that is set aside for a task
    #[arg(long, value_name = "BYTES", value_parser = parse::memory, allow_hyphen_values = true)]
    reserve_memory: Option<i64>,
    /// When an ended task is replaced [default: any]
    #[arg(long, value_enum, value_name = "none|on-failure|any")]
    restart_condition: Option<Condition>,
    /// Wait before an ended task is replaced [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_ns, allow_hyphen_values = true)]
    restart_delay: Option<u64>,
    /// Give up after so many replacements; 0 never gives up
    #[arg(long, value_name = "COUNT", value_parser = parse::count::<u64>, allow_hyphen_values = true)]
    restart_max_attempts: Option<u64>,
    /// Count attempts within this time only; 0 counts all
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_ns, allow_hyphen_values = true)]
    restart_window: Option<u64>,
    /// Most tasks of the service on one node; 0 is without limit
    #[arg(long, value_name = "COUNT", value_parser = parse::count::<u64>, allow_hyphen_values = true)]
    replicas_max_per_node: Option<u64>,
    #[command(flatten)]
    health: HealthFlags,
}

impl TaskFlags {
    /// Writes what was said into the spec. The error is a wrong usage.
    pub(super) fn apply(&self, task: &mut TaskSpec) -> Result<(), String> {
        self.apply_container(container(task)?)?;
        self.apply_resources(task)?;
        self.apply_restart(task);
        if let Some(most) = self.replicas_max_per_node {
            task.placement.get_or_insert_with(Placement::default).max_replicas_per_node = most;
        }
        Ok(())
    }

    fn apply_container(&self, container: &mut ContainerSpec) -> Result<(), String> {
        set(&mut container.user, &self.user);
        set(&mut container.dir, &self.workdir);
        set(&mut container.hostname, &self.hostname);
        set(&mut container.stop_signal, &self.stop_signal);
        if let Some(entrypoint) = &self.entrypoint {
            container.command.clone_from(&entrypoint.0);
        }
        container.stop_grace_period_ns = self.stop_grace_period.or(container.stop_grace_period_ns);
        container.read_only = self.read_only.unwrap_or(container.read_only);
        container.init = self.init.or(container.init);
        container.tty = self.tty.unwrap_or(container.tty);
        self.health.apply(&mut container.health)
    }

    fn apply_resources(&self, task: &mut TaskSpec) -> Result<(), String> {
        let asked = [self.limit_cpu, self.limit_memory, self.reserve_cpu, self.reserve_memory];
        if asked.iter().all(Option::is_none) {
            return Ok(());
        }
        let resources = task.resources.get_or_insert_with(ResourceRequirements::default);
        amounts(&mut resources.limits, self.limit_cpu, self.limit_memory);
        amounts(&mut resources.reservations, self.reserve_cpu, self.reserve_memory);
        if *resources == ResourceRequirements::default() {
            task.resources = None;
        }
        Ok(())
    }

    fn apply_restart(&self, task: &mut TaskSpec) {
        let said = self.restart_condition.is_some()
            || self.restart_delay.is_some()
            || self.restart_max_attempts.is_some()
            || self.restart_window.is_some();
        if !said {
            return;
        }
        let policy = task.restart.get_or_insert_with(RestartPolicy::default);
        if let Some(condition) = self.restart_condition {
            policy.set_condition(match condition {
                Condition::None => RestartCondition::None,
                Condition::OnFailure => RestartCondition::OnFailure,
                Condition::Any => RestartCondition::Any,
            });
        }
        policy.delay_ns = self.restart_delay.or(policy.delay_ns);
        policy.max_attempts = self.restart_max_attempts.unwrap_or(policy.max_attempts);
        policy.window_ns = self.restart_window.unwrap_or(policy.window_ns);
    }
}

/// The container of a task spec, made if there is none.
pub(super) fn container(task: &mut TaskSpec) -> Result<&mut ContainerSpec, String> {
    match task.runtime.get_or_insert_with(|| Runtime::Container(ContainerSpec::default())) {
        Runtime::Container(container) => Ok(container),
        Runtime::Generic(_) | Runtime::Attachment(_) => {
            Err("the service does not run containers".into())
        }
    }
}

fn amounts(resources: &mut Option<Resources>, cpus: Option<i64>, memory: Option<i64>) {
    if cpus.is_none() && memory.is_none() {
        return;
    }
    let amounts = resources.get_or_insert_with(Resources::default);
    amounts.nano_cpus = cpus.unwrap_or(amounts.nano_cpus);
    amounts.memory_bytes = memory.unwrap_or(amounts.memory_bytes);
    if *amounts == Resources::default() {
        *resources = None;
    }
}

fn set(field: &mut String, wish: &Option<String>) {
    if let Some(wish) = wish {
        field.clone_from(wish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use skep_proto::defaults;

    #[derive(Parser)]
    struct TaskLine {
        #[command(flatten)]
        task: TaskFlags,
    }

    fn change(task: &mut TaskSpec, flags: &str) {
        let line = ["skep"].into_iter().chain(flags.split_whitespace());
        let flags = TaskLine::try_parse_from(line).expect("a good command line").task;
        flags.apply(task).expect("it can be done");
    }

    #[test]
    fn each_flag_changes_what_it_names_and_no_other_does() {
        let mut task = TaskSpec::default();
        change(
            &mut task,
            "--user app --workdir /srv --hostname h --entrypoint run --stop-signal SIGINT \
             --stop-grace-period 5s --read-only --init --tty --restart-condition on-failure \
             --restart-delay 1s --restart-max-attempts 3 --restart-window 9s \
             --replicas-max-per-node 2 --limit-cpu 2 --reserve-cpu 1 --reserve-memory 64m",
        );
        change(&mut task, "--restart-delay 2s --health-retries 4");
        let container = defaults::container(&task).expect("a container").clone();
        assert_eq!((container.user.as_str(), container.dir.as_str()), ("app", "/srv"));
        assert_eq!((container.hostname.as_str(), container.stop_signal.as_str()), ("h", "SIGINT"));
        assert_eq!(container.command, ["run"]);
        assert_eq!(container.stop_grace_period_ns, Some(5_000_000_000));
        assert_eq!((container.read_only, container.init, container.tty), (true, Some(true), true));
        assert_eq!(container.health.map(|check| check.retries), Some(4));
        let restart = task.restart.expect("a policy");
        assert_eq!(restart.condition(), RestartCondition::OnFailure);
        assert_eq!((restart.delay_ns, restart.max_attempts), (Some(2_000_000_000), 3));
        assert_eq!(restart.window_ns, 9_000_000_000);
        assert_eq!(task.placement.map(|placement| placement.max_replicas_per_node), Some(2));
        let resources = task.resources.expect("resources");
        let amounts = |resources: Option<Resources>| {
            resources.map(|resources| (resources.nano_cpus, resources.memory_bytes))
        };
        assert_eq!(amounts(resources.limits), Some((2_000_000_000, 0)));
        assert_eq!(amounts(resources.reservations), Some((1_000_000_000, 64 << 20)));
    }

    #[test]
    fn amounts_that_are_taken_back_leave_nothing_behind() {
        let mut task = TaskSpec::default();
        change(&mut task, "--limit-cpu 2 --reserve-memory 64m");
        change(&mut task, "--limit-cpu 0");
        let resources = task.resources.clone().expect("a reservation");
        assert_eq!((resources.limits, resources.reservations.is_some()), (None, true));
        change(&mut task, "--reserve-memory 0");
        assert_eq!(task.resources, None);
    }
}
