//! Whether two specs mean the same, though they are written differently. PURE.
//!
//! Tasks are replaced when the spec that they run changes, and specs are compared field by field
//! from the record on. So a part of a new spec that means what the old one meant (a default that is
//! written out, an empty message, variables in another order) is recorded as it was written before:
//! an update that changes nothing restarts nothing. What an engine or an image decides is no
//! default of this kind: no `init` is not the same as `init: false`, and no health check is not the
//! same as the check `NONE`.

use skep_proto::{
    defaults,
    v1::{
        ContainerSpec, EndpointSpec, HealthCheck, Placement, ResourceRequirements, Resources,
        RestartPolicy, ServiceSpec, TaskSpec, UpdateConfig, task_spec::Runtime,
    },
};

/// The new spec, with each part that means what it meant before as it was written before.
pub(super) fn as_written_before(old: &ServiceSpec, new: &ServiceSpec) -> ServiceSpec {
    let mut spec = new.clone();
    if old.task.as_ref().map(task) == new.task.as_ref().map(task) {
        spec.task.clone_from(&old.task);
    }
    if endpoint(old.endpoint.as_ref()) == endpoint(new.endpoint.as_ref()) {
        spec.endpoint.clone_from(&old.endpoint);
    }
    if update(old.update.as_ref()) == update(new.update.as_ref()) {
        spec.update = old.update;
    }
    if old.annotations.clone().unwrap_or_default() == new.annotations.clone().unwrap_or_default() {
        spec.annotations.clone_from(&old.annotations);
    }
    spec
}

/// A task spec in its one way of writing.
fn task(spec: &TaskSpec) -> TaskSpec {
    let mut spec = spec.clone();
    let restart = defaults::restart(&spec);
    spec.restart = Some(RestartPolicy {
        condition: restart.condition as i32,
        delay_ns: Some(restart.delay_ns),
        max_attempts: restart.max_attempts,
        window_ns: restart.window_ns,
    });
    spec.resources = spec.resources.take().map(resources).filter(|known| !is_empty(known));
    spec.placement = spec.placement.take().map(placement).filter(|known| !is_empty(known));
    if let Some(Runtime::Container(known)) = &mut spec.runtime {
        container(known);
    }
    spec
}

/// Variables, mounts and groups are sets: engines do not look at their order.
fn container(spec: &mut ContainerSpec) {
    spec.stop_grace_period_ns = Some(defaults::stop_grace_ns(spec));
    spec.health = spec.health.take().filter(|check| *check != HealthCheck::default());
    let name = |variable: &String| variable.split('=').next().unwrap_or_default().to_owned();
    spec.env.sort_by_key(name);
    spec.mounts.sort_by(|a, b| a.target.cmp(&b.target));
}

fn resources(spec: ResourceRequirements) -> ResourceRequirements {
    let wanted = |amounts: Option<Resources>| amounts.filter(|known| !is_empty(known));
    ResourceRequirements {
        limits: wanted(spec.limits),
        reservations: wanted(spec.reservations),
        ..spec
    }
}

/// All constraints must be met, in whatever order.
fn placement(mut spec: Placement) -> Placement {
    spec.constraints.sort();
    spec.constraints.dedup();
    spec
}

fn endpoint(spec: Option<&EndpointSpec>) -> EndpointSpec {
    let mut spec = spec.cloned().unwrap_or_default();
    spec.ports.sort_by_key(|port| (port.target_port, port.protocol, port.published_port));
    spec
}

fn update(spec: Option<&UpdateConfig>) -> UpdateConfig {
    let spec = spec.copied().unwrap_or_default();
    UpdateConfig {
        monitor_ns: Some(spec.monitor_ns.unwrap_or(defaults::UPDATE_MONITOR_PERIOD_NS)),
        ..spec
    }
}

fn is_empty<T: Default + PartialEq>(message: &T) -> bool {
    *message == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::service_spec;
    use skep_proto::v1::{Mount, PortConfig};

    fn spec(
        change: impl FnOnce(&mut ServiceSpec, &mut TaskSpec, &mut ContainerSpec),
    ) -> ServiceSpec {
        let mut spec = service_spec("web");
        let mut task = spec.task.take().unwrap_or_default();
        let mut container = defaults::container(&task).cloned().unwrap_or_default();
        change(&mut spec, &mut task, &mut container);
        task.runtime = Some(Runtime::Container(container));
        ServiceSpec { task: Some(task), ..spec }
    }

    /// Writes the new spec as the old one where it means the same, and answers whether it does.
    fn is_same(old: &ServiceSpec, new: &ServiceSpec) -> bool {
        as_written_before(old, new) == *old && as_written_before(new, old) == *new
    }

    #[test]
    fn a_default_that_is_written_out_means_the_same_and_another_value_does_not() {
        let plain = spec(|_, _, _| {});
        let delay = |seconds: u64| {
            spec(|_, task, _| {
                let delay_ns = Some(seconds * 1_000_000_000);
                task.restart = Some(RestartPolicy { delay_ns, ..RestartPolicy::default() });
            })
        };
        let grace = |seconds: u64| {
            spec(|_, _, container| container.stop_grace_period_ns = Some(seconds * 1_000_000_000))
        };
        let monitor = |seconds: u64| {
            spec(|spec, _, _| {
                let monitor_ns = Some(seconds * 1_000_000_000);
                spec.update = Some(UpdateConfig { monitor_ns, ..UpdateConfig::default() });
            })
        };
        assert!(is_same(&plain, &delay(5)) && !is_same(&plain, &delay(6)));
        assert!(is_same(&plain, &grace(10)) && !is_same(&plain, &grace(9)));
        assert!(is_same(&plain, &monitor(5)) && !is_same(&plain, &monitor(6)));
    }

    #[test]
    fn an_empty_message_means_the_same_as_none() {
        let empty = spec(|spec, task, container| {
            spec.endpoint = Some(EndpointSpec::default());
            task.restart = Some(RestartPolicy::default());
            task.placement = Some(Placement::default());
            let none = Some(Resources::default());
            let resources =
                ResourceRequirements { limits: none, ..ResourceRequirements::default() };
            task.resources = Some(resources);
            container.health = Some(HealthCheck::default());
        });
        assert!(is_same(&spec(|_, _, _| {}), &empty));
    }

    #[test]
    fn the_order_of_a_set_means_nothing_and_that_of_arguments_does() {
        let ordered = |order: [usize; 2]| {
            spec(|spec, task, container| {
                let port =
                    |at: usize| PortConfig { target_port: [80, 81][at], ..PortConfig::default() };
                let mount =
                    |at: usize| Mount { target: ["/a", "/b"][at].into(), ..Mount::default() };
                let ports = order.map(port).to_vec();
                spec.endpoint = Some(EndpointSpec { ports, ..EndpointSpec::default() });
                container.env = order.map(|at| ["A=1", "B=2"][at].to_owned()).to_vec();
                container.mounts = order.map(mount).to_vec();
                let constraints = order.map(|at| ["node.id==a", "node.id==b"][at].into()).to_vec();
                task.placement = Some(Placement { constraints, ..Placement::default() });
            })
        };
        assert!(is_same(&ordered([0, 1]), &ordered([1, 0])));
        let arguments = |args: [&str; 2]| {
            spec(|_, _, container| container.args = args.map(str::to_owned).to_vec())
        };
        assert!(!is_same(&arguments(["a", "b"]), &arguments(["b", "a"])));
        let twice = |env: [&str; 2]| {
            spec(|_, _, container| container.env = env.map(str::to_owned).to_vec())
        };
        assert!(!is_same(&twice(["A=1", "A=2"]), &twice(["A=2", "A=1"])), "the last one counts");
    }

    #[test]
    fn what_an_engine_or_an_image_decides_is_no_default() {
        let plain = spec(|_, _, _| {});
        let no_init = spec(|_, _, container| container.init = Some(false));
        let no_check = spec(|_, _, container| {
            let test = vec!["NONE".into()];
            container.health = Some(HealthCheck { test, ..HealthCheck::default() });
        });
        assert!(!is_same(&plain, &no_init) && !is_same(&plain, &no_check));
    }

    #[test]
    fn a_part_that_changed_leaves_the_others_as_they_were_written() {
        let old = spec(|_, _, _| {});
        let new = spec(|spec, task, _| {
            spec.endpoint = Some(EndpointSpec::default());
            task.force_update = 1;
        });
        let written = as_written_before(&old, &new);
        assert_eq!((written.endpoint, written.task), (old.endpoint, new.task));
    }
}
