//! What a spec means where it leaves something out: the defaults that are documented. An update
//! that means what was there changes nothing, however it is written.

use skep_proto::{
    defaults,
    v1::{RestartPolicy, ServiceSpec, UpdateConfig, task_spec::Runtime},
};

/// The spec with each default written out, and each part that is left out written as empty.
pub(super) fn meaning(spec: Option<&ServiceSpec>) -> ServiceSpec {
    let mut spec = spec.cloned().unwrap_or_default();
    let monitor_ns = Some(defaults::monitor_ns(&spec));
    spec.update = Some(UpdateConfig { monitor_ns, ..spec.update.unwrap_or_default() });
    spec.endpoint = Some(spec.endpoint.unwrap_or_default());
    spec.annotations = Some(spec.annotations.unwrap_or_default());
    if let Some(task) = &mut spec.task {
        let restart = defaults::restart(task);
        task.restart = Some(RestartPolicy {
            condition: restart.condition as i32,
            delay_ns: Some(restart.delay_ns),
            max_attempts: restart.max_attempts,
            window_ns: restart.window_ns,
        });
        task.placement = Some(task.placement.take().unwrap_or_default());
        let mut resources = task.resources.take().unwrap_or_default();
        resources.limits = Some(resources.limits.unwrap_or_default());
        resources.reservations = Some(resources.reservations.unwrap_or_default());
        task.resources = Some(resources);
        if let Some(Runtime::Container(container)) = &mut task.runtime {
            container.stop_grace_period_ns = Some(defaults::stop_grace_ns(container));
        }
    }
    spec
}
