//! What somebody asks for next: mostly something sensible, sometimes something that must be
//! refused.

use super::specs;
use crate::simulator::dice::Dice;
use skep_projections::{NodeRow, ServiceRow, View};
use skep_proto::{
    time::SECOND_NS,
    v1::{
        CreateService, NodeAvailability, NodeRole, RemoveNode, RemoveService, ScaleService,
        UpdateCluster, UpdateNode, UpdateService, command::Action,
    },
};
use std::collections::BTreeMap;

/// Names in use: few, so that commands meet.
const NAMES: [&str; 4] = ["web", "db", "cache", "queue"];

/// The next thing that is asked for, by somebody who sees this view.
pub fn next(view: &View, dice: &mut Dice) -> Vec<Action> {
    let services: Vec<&ServiceRow> =
        view.services().iter().map(|(_, row)| row).filter(|row| !row.removed).collect();
    let known = pick(&services, dice).copied();
    match (dice.below(16), known) {
        (0..=2, _) | (_, None) => vec![create(dice)],
        (3..=5, Some(service)) => vec![scale(service, dice)],
        (6..=8, Some(service)) => vec![update(service, dice)],
        (9, Some(service)) => {
            // Two people change the same service at once; or one changes it twice.
            let first = update(service, dice);
            vec![first, update(service, dice)]
        }
        (10, Some(service)) => {
            vec![Action::RemoveService(RemoveService { service: service.name().to_owned() })]
        }
        (11, _) => vec![remove_node(view, dice)],
        (12, _) if dice.once_in(3) => vec![update_cluster(view, dice)],
        (13, _) if dice.once_in(3) => vec![senseless(dice)],
        (_, Some(_)) => vec![update_node(view, dice)],
    }
}

fn pick<'a, T>(things: &'a [T], dice: &mut Dice) -> Option<&'a T> {
    things.get(dice.below(things.len() as u64) as usize)
}

fn name(dice: &mut Dice) -> &'static str {
    NAMES[dice.below(NAMES.len() as u64) as usize]
}

fn create(dice: &mut Dice) -> Action {
    let name = name(dice);
    Action::CreateService(Box::new(CreateService { spec: Some(specs::spec(name, dice)) }))
}

fn scale(service: &ServiceRow, dice: &mut Dice) -> Action {
    let replicas = if dice.once_in(8) { 9 } else { dice.below(6) };
    Action::ScaleService(ScaleService { service: service.name().to_owned(), replicas })
}

fn update(service: &ServiceRow, dice: &mut Dice) -> Action {
    // Somebody who read the service a while ago.
    let late = dice.once_in(8);
    Action::UpdateService(Box::new(UpdateService {
        service: service.id.to_string(),
        version: service.version.0 - u64::from(late),
        spec: Some(specs::changed(&service.spec, dice)),
    }))
}

fn workers(view: &View) -> Vec<&NodeRow> {
    let nodes = view.nodes().iter().map(|(_, node)| node);
    nodes.filter(|node| !node.removed && node.spec.desired_role() == NodeRole::Worker).collect()
}

fn update_node(view: &View, dice: &mut Dice) -> Action {
    let workers = workers(view);
    let Some(node) = pick(&workers, dice) else { return senseless(dice) };
    let mut update = UpdateNode { node: node.id.to_string(), ..UpdateNode::default() };
    if dice.once_in(3) {
        update.version = node.version.0 - u64::from(dice.once_in(6));
    }
    match dice.below(3) {
        0 => {
            let (key, value) =
                [("zone", "a"), ("zone", "b"), ("disk", "ssd")][dice.below(3) as usize];
            update.label_add = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        }
        1 if dice.once_in(2) => update.label_rm = vec!["zone".into()],
        _ => {
            let all = [
                NodeAvailability::Active,
                NodeAvailability::Active,
                NodeAvailability::Pause,
                NodeAvailability::Drain,
            ];
            update.availability = Some(all[dice.below(4) as usize] as i32);
        }
    }
    Action::UpdateNode(update)
}

fn remove_node(view: &View, dice: &mut Dice) -> Action {
    let workers = workers(view);
    let node = pick(&workers, dice).map(|node| node.id.to_string()).unwrap_or_default();
    Action::RemoveNode(RemoveNode { node, force: dice.once_in(3) })
}

fn update_cluster(view: &View, dice: &mut Dice) -> Action {
    let cluster = view.cluster();
    let mut spec = (*cluster.spec).clone();
    spec.task_history_limit = Some(1 + dice.below(5) as i64);
    if dice.once_in(2) {
        let periods = [None, Some(SECOND_NS), Some(2 * SECOND_NS)];
        spec.heartbeat_period_ns = periods[dice.below(3) as usize];
    }
    // Now and then somebody who read it before the last change.
    let version = cluster.version.0 - u64::from(dice.once_in(4));
    let update = UpdateCluster { version, spec: Some(spec) };
    Action::UpdateCluster(Box::new(update))
}

/// Something that must be refused.
fn senseless(dice: &mut Dice) -> Action {
    match dice.below(3) {
        0 => Action::RemoveService(RemoveService { service: "nobody".into() }),
        1 => {
            let mut spec = specs::spec("-bad-", dice);
            spec.mode = None;
            Action::CreateService(Box::new(CreateService { spec: Some(spec) }))
        }
        _ => Action::ScaleService(ScaleService {
            service: name(dice).into(),
            replicas: u64::MAX / 2,
        }),
    }
}
