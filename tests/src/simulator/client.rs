//! People: they ask for things, and ask again under the same id when nobody knows what became of it.

use super::dice::Dice;
use skep_gateway::turn::Answer;
use skep_proto::{
    Revision,
    v1::{
        Annotations, Command, CommandId, ContainerSpec, CreateService, NodeAvailability, RemoveService,
        Replicated, RestartPolicy, ScaleService, ServiceMode, ServiceSpec, TaskSpec, UpdateNode,
        UpdateService, command::Action, service_mode::Mode, task_spec::Runtime,
    },
};
use std::collections::BTreeMap;

/// Names in use: few, so that commands meet.
const NAMES: [&str; 4] = ["web", "db", "cache", "queue"];
/// Programs: most run on, some end well, badly or cannot be had.
const IMAGES: [&str; 6] = ["run", "run", "run", "exit:0", "exit:3", "fail-pull"];

/// What somebody asked and what they heard.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The command, to be sent again as it is.
    pub command: Command,
    /// What they were told.
    pub told: Option<Revision>,
}

/// Everybody who asks.
#[derive(Default)]
pub struct Clients {
    asked: BTreeMap<u64, Asked>,
    next: u64,
    /// How many commands were acknowledged.
    pub acknowledged: usize,
}

impl Clients {
    /// A new command.
    pub fn ask(&mut self, dice: &mut Dice, versions: impl Fn(&str) -> u64, nodes: &[String]) -> Command {
        self.next += 1;
        // One stamp a hundred commands, as a connection would have.
        let id = CommandId { stamp: 1 + self.next / 100, number: self.next };
        let action = Some(action(dice, versions, nodes));
        let command = Command { id: Some(id), reason: String::new(), trace: None, action };
        self.asked.insert(self.next, Asked { command: command.clone(), told: None });
        command
    }

    /// Somebody hears what became of it. A command whose fate is unknown is to be sent again.
    pub fn hear(&mut self, number: u64, answer: &Answer) -> Option<Command> {
        match answer {
            Answer::Accepted { revision, changed, .. } => {
                self.acknowledged += 1;
                if let Some(asked) = self.asked.get_mut(&number) {
                    asked.told = changed.then_some(*revision);
                }
                None
            }
            Answer::Refused(_) => None,
            Answer::Unknown(_) => self.asked.get(&number).map(|asked| asked.command.clone()),
        }
    }

    /// What was acknowledged as changing something: command number, revision.
    pub fn told(&self) -> impl Iterator<Item = (u64, Revision)> + '_ {
        self.asked.iter().filter_map(|(number, asked)| Some((*number, asked.told?)))
    }

    /// A command that was asked before, for those who lost its answer.
    pub fn again(&self, number: u64) -> Option<Command> {
        self.asked.get(&number).map(|asked| asked.command.clone())
    }
}

fn action(dice: &mut Dice, versions: impl Fn(&str) -> u64, nodes: &[String]) -> Action {
    let name = NAMES[dice.below(NAMES.len() as u64) as usize];
    let node = || nodes.first().cloned().unwrap_or_default();
    match dice.below(10) {
        0..=2 => Action::CreateService(Box::new(CreateService { spec: Some(spec(name, dice)) })),
        3..=5 => Action::ScaleService(ScaleService { service: name.into(), replicas: dice.below(6) }),
        6 => Action::UpdateService(Box::new(UpdateService {
            service: name.into(),
            version: versions(name),
            spec: Some(spec(name, dice)),
        })),
        7 => Action::RemoveService(RemoveService { service: name.into() }),
        _ => {
            let pick = dice.below(nodes.len().max(1) as u64) as usize;
            let availability = [NodeAvailability::Active, NodeAvailability::Active, NodeAvailability::Drain];
            Action::UpdateNode(UpdateNode {
                node: nodes.get(pick).cloned().unwrap_or_else(node),
                availability: Some(availability[dice.below(3) as usize] as i32),
                ..UpdateNode::default()
            })
        }
    }
}

/// What heals: everything that never ends well becomes something that runs.
pub fn healthy_spec(name: &str, replicas: u64) -> ServiceSpec {
    build(name, "run", replicas, 1)
}

fn spec(name: &str, dice: &mut Dice) -> ServiceSpec {
    let image = IMAGES[dice.below(IMAGES.len() as u64) as usize];
    build(name, image, dice.below(5), dice.below(1_000))
}

fn build(name: &str, image: &str, replicas: u64, tag: u64) -> ServiceSpec {
    let container =
        ContainerSpec { image: image.into(), env: vec![format!("TAG={tag}")], ..ContainerSpec::default() };
    let restart = RestartPolicy { delay_ns: Some(1_000_000_000), ..RestartPolicy::default() };
    ServiceSpec {
        annotations: Some(Annotations { name: name.into(), ..Annotations::default() }),
        task: Some(TaskSpec {
            runtime: Some(Runtime::Container(container)),
            restart: Some(restart),
            ..TaskSpec::default()
        }),
        mode: Some(ServiceMode { mode: Some(Mode::Replicated(Replicated { replicas })) }),
        ..ServiceSpec::default()
    }
}
