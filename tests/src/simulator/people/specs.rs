//! Services as people describe them: some fit everywhere, some nowhere, and some end by themselves.

use crate::simulator::{agent::NODE_CPUS, dice::Dice};
use skep_proto::{
    time::SECOND_NS,
    v1::{
        Annotations, ContainerSpec, EndpointSpec, Placement, PortConfig, PublishMode, Replicated,
        ResourceRequirements, Resources, RestartCondition, RestartPolicy, ServiceMode, ServiceSpec,
        TaskSpec, UpdateConfig, service_mode::Mode, task_spec::Runtime,
    },
};

/// Programs: most run on, some end well, badly or cannot be had while things go wrong.
const IMAGES: [&str; 8] = ["run", "run", "run", "run", "run", "exit:0", "exit:3", "fail-pull"];
/// Constraints that somebody may write.
const CONSTRAINTS: [&str; 5] = [
    "node.labels.zone==a",
    "node.labels.zone!=b",
    "node.hostname==node1",
    "node.role==worker",
    "node.labels.disk==ssd",
];

/// A service's description as somebody first writes it.
pub fn spec(name: &str, dice: &mut Dice) -> ServiceSpec {
    let container = ContainerSpec {
        image: IMAGES[dice.below(IMAGES.len() as u64) as usize].into(),
        env: vec![format!("TAG={}", dice.below(1_000))],
        stop_grace_period_ns: grace(dice),
        ..ContainerSpec::default()
    };
    ServiceSpec {
        annotations: Some(Annotations { name: name.into(), ..Annotations::default() }),
        task: Some(TaskSpec {
            runtime: Some(Runtime::Container(container)),
            restart: Some(restart(dice)),
            placement: Some(placement(dice)),
            resources: resources(dice),
            ..TaskSpec::default()
        }),
        mode: Some(ServiceMode {
            mode: Some(Mode::Replicated(Replicated { replicas: dice.below(5) })),
        }),
        endpoint: endpoint(dice),
        update: update(dice),
        ..ServiceSpec::default()
    }
}

fn update(dice: &mut Dice) -> Option<UpdateConfig> {
    let monitor_ns = [Some(0), Some(SECOND_NS), Some(20 * SECOND_NS)][dice.below(3) as usize];
    dice.once_in(3).then(|| UpdateConfig { monitor_ns, ..UpdateConfig::default() })
}

fn placement(dice: &mut Dice) -> Placement {
    let max_replicas_per_node = if dice.once_in(6) { 1 + dice.below(2) } else { 0 };
    Placement { constraints: constraints(dice), max_replicas_per_node, ..Placement::default() }
}

/// The same service, changed as people change things: the program, where it may run, or something
/// beside.
pub fn changed(old: &ServiceSpec, dice: &mut Dice) -> ServiceSpec {
    let mut new = old.clone();
    let Some(task) = &mut new.task else { return new };
    match dice.below(9) {
        8 => new.update = update(dice),
        0 => {
            task.placement = Some(placement(dice));
        }
        1 => task.resources = resources(dice),
        2 => task.restart = Some(restart(dice)),
        3 => task.force_update += 1,
        4 => new.endpoint = endpoint(dice),
        _ => {
            if let Some(Runtime::Container(container)) = &mut task.runtime {
                container.image = IMAGES[dice.below(IMAGES.len() as u64) as usize].into();
                container.env = vec![format!("TAG={}", dice.below(1_000))];
                container.stop_grace_period_ns = grace(dice);
            }
        }
    }
    new
}

/// The same service with a program that runs on, anywhere, and is restarted whenever it ends.
pub fn healthy(old: &ServiceSpec) -> ServiceSpec {
    let mut new = old.clone();
    new.endpoint = None;
    new.update = None;
    let Some(task) = &mut new.task else { return new };
    let delay_ns = Some(SECOND_NS);
    task.restart = Some(RestartPolicy { delay_ns, ..RestartPolicy::default() });
    task.placement = None;
    task.resources = None;
    task.force_update += 1;
    if let Some(Runtime::Container(container)) = &mut task.runtime {
        container.image = "run".into();
        container.stop_grace_period_ns = None;
    }
    new
}

fn grace(dice: &mut Dice) -> Option<u64> {
    match dice.below(8) {
        0..=3 => None,
        4..=6 => Some(dice.below(15) * SECOND_NS),
        _ => Some(40 * SECOND_NS),
    }
}

fn restart(dice: &mut Dice) -> RestartPolicy {
    let condition = match dice.below(6) {
        0 => RestartCondition::None,
        1 => RestartCondition::OnFailure,
        _ => RestartCondition::Any,
    };
    RestartPolicy {
        condition: condition as i32,
        delay_ns: [None, Some(0), Some(SECOND_NS), Some(4 * SECOND_NS)][dice.below(4) as usize],
        max_attempts: if dice.once_in(5) { 1 + dice.below(3) } else { 0 },
        window_ns: if dice.once_in(8) { 60 * SECOND_NS } else { 0 },
    }
}

fn constraints(dice: &mut Dice) -> Vec<String> {
    let written = CONSTRAINTS[dice.below(CONSTRAINTS.len() as u64) as usize];
    if dice.once_in(3) { vec![written.to_owned()] } else { Vec::new() }
}

fn resources(dice: &mut Dice) -> Option<ResourceRequirements> {
    let reserved = Resources {
        nano_cpus: dice.below(NODE_CPUS as u64) as i64 * 1_000_000_000,
        memory_bytes: (dice.below(3) as i64) << 30,
        generic: Vec::new(),
    };
    dice.once_in(3).then(|| ResourceRequirements {
        reservations: Some(reserved),
        ..ResourceRequirements::default()
    })
}

fn endpoint(dice: &mut Dice) -> Option<EndpointSpec> {
    let port = PortConfig {
        target_port: 80,
        published_port: 8_080 + dice.below(2) as u32,
        publish_mode: PublishMode::Host as i32,
        ..PortConfig::default()
    };
    dice.once_in(6).then(|| EndpointSpec { ports: vec![port], ..EndpointSpec::default() })
}
