//! GATE-5, agreement: the answer to a command and the log say the same, and what was accepted is
//! what was asked.

use super::{Check, Checker, CommittedRecord, meaning::meaning};
use crate::simulator::world::{SimulatedWorld, happening::Occurrence};
use skep_gateway::turn::Answer;
use skep_projections::View;
use skep_proto::{
    Id, Revision, event,
    v1::{Command, NodeAvailability, NodeState, RefusalCode, command::Action, event::Kind},
};
use std::collections::BTreeMap;

/// Views that are kept to judge answers which changed nothing.
const VIEWS_MAX: usize = 4_000;

/// What each command did, and what was true when it was answered.
#[derive(Default)]
pub(super) struct Answers {
    /// Command → revision of its first record, newest revision of that entry, object.
    effects: BTreeMap<u64, (Revision, Revision, Id)>,
    /// Command → what its first answer warned of.
    warnings: BTreeMap<u64, Vec<String>>,
    /// The view after each entry.
    views: BTreeMap<Revision, View>,
    /// The step in which the newest tenure began.
    tenure_step: usize,
}

impl Checker for Answers {
    fn name(&self) -> &'static str {
        "GATE-5"
    }

    fn on_record(&mut self, seen: &CommittedRecord<'_>, world: &SimulatedWorld) -> Check {
        let previous = seen.before.position().revision;
        self.views.insert(previous, seen.before.clone());
        while self.views.len() > VIEWS_MAX {
            self.views.pop_first();
        }
        let Some(id) = seen.record.command else { return Ok(()) };
        let asked = world.people.of(id.number);
        let asked = asked.ok_or_else(|| format!("nobody sent command {}", id.number))?;
        let object = event::objects(seen.kind).next().unwrap_or(Id::NONE);
        self.effects.entry(id.number).or_insert((seen.revision, seen.entry_end, object));
        if says_what_was_asked(&asked.command, seen.kind, seen.before) {
            return Ok(());
        }
        let name = event::name(seen.kind);
        Err(format!(
            "command {} became {name} at {}, which it did not ask for",
            id.number, seen.revision
        ))
    }

    fn on_happening(&mut self, happening: &Occurrence, world: &SimulatedWorld) -> Check {
        if matches!(happening, Occurrence::TenureBegan) {
            self.tenure_step = world.steps;
        }
        let Occurrence::Answered { number, answer, committed, .. } = happening else {
            return Ok(());
        };
        if let Some(manager) = &world.manager {
            let view = &manager.committed;
            self.views.insert(view.position().revision, view.clone());
        }
        let effect = self.effects.get(number).copied();
        match answer {
            // What a failed log had kept all the same is found right after.
            Answer::Unknown(why) if self.is_known(*number, world) => Err(format!(
                "command {number} is in the log, and its fate is called unknown: {why}"
            )),
            Answer::Unknown(_) => Ok(()),
            // Stamps are given by managers that have begun, and few are used.
            Answer::Refused(refusal) if refusal.code == RefusalCode::Expired => {
                Err(format!("command {number} was called too old: {}", refusal.message))
            }
            Answer::Refused(_) => Ok(()),
            Answer::Accepted { revision, through, object, changed: true, warnings } => {
                let first = self.warnings.entry(*number).or_insert_with(|| warnings.clone());
                if first != warnings {
                    return Err(format!(
                        "command {number} was warned of {first:?}, and then of {warnings:?}"
                    ));
                }
                let (at, end, of) = effect.ok_or_else(|| {
                    format!("command {number} was accepted and is not in the log")
                })?;
                // One that was sent again hears of its first time, and of all that followed until
                // now.
                let right = at == *revision && (of.is_none() || of == *object) && *through >= end;
                let told = format!("{revision} to {through} about {object}");
                if right && *through <= *committed {
                    return Ok(());
                }
                Err(format!(
                    "command {number} was told {told}; the log has {at} to {end} about {of}"
                ))
            }
            Answer::Accepted { revision, changed: false, .. } => {
                let asked = world.people.of(*number).map(|asked| &asked.command);
                let view = self.views.get(revision);
                match (asked, view) {
                    (Some(asked), Some(view)) if !is_so(asked, view) => Err(format!(
                        "command {number} was told that nothing had to change at {revision}"
                    )),
                    (Some(_) | None, Some(_) | None) => Ok(()),
                }
            }
        }
    }

    fn at_end(&mut self, world: &SimulatedWorld) -> Check {
        for (number, asked) in world.people.all() {
            if asked.certain && !matches!(asked.told, Some(Answer::Accepted { .. })) {
                return Err(format!(
                    "command {number} cannot be refused, and was told {:?}",
                    asked.told
                ));
            }
            let refused =
                matches!(&asked.told, Some(Answer::Refused(r)) if r.code != RefusalCode::Exhausted);
            if let (true, Some((at, ..))) = (refused, self.effects.get(&number)) {
                return Err(format!("command {number} was refused, but took effect at {at}"));
            }
        }
        Ok(())
    }
}

impl Answers {
    /// Whether what was sent last is in the log, and nothing has failed in between.
    fn is_known(&self, number: u64, world: &SimulatedWorld) -> bool {
        let newest_failure = self.tenure_step.max(world.refused_step);
        let effect = self.effects.get(&number);
        let decided_at = effect.and_then(|(at, ..)| world.disk.decided_at(*at));
        let sent_at = world.people.of(number).map(|asked| asked.sent_at);
        world.steps > newest_failure + 1 && decided_at.is_some() && decided_at >= sent_at
    }
}

/// Whether the event is what the command asks for, made for the version that it names.
fn says_what_was_asked(command: &Command, kind: &Kind, before: &View) -> bool {
    let version_of =
        |id: &[u8]| before.services().by_id(Id::from_bytes(id)).map(|(_, row)| row.version.0);
    match (&command.action, kind) {
        (Some(Action::CreateService(c)), Kind::ServiceCreated(e)) => c.spec == e.spec,
        (Some(Action::UpdateService(c)), Kind::ServiceUpdated(e)) => {
            meaning(c.spec.as_ref()) == meaning(e.spec.as_ref())
                && version_of(&e.service_id) == Some(c.version)
        }
        (Some(Action::UpdateService(c)), Kind::ServiceScaled(e)) => {
            let wanted = c.spec.as_ref().and_then(skep_proto::defaults::replicas);
            wanted == Some(e.replicas) && version_of(&e.service_id) == Some(c.version)
        }
        (Some(Action::ScaleService(c)), Kind::ServiceScaled(e)) => c.replicas == e.replicas,
        (Some(Action::RemoveService(_)), Kind::ServiceRemoved(_)) => true,
        (Some(Action::UpdateCluster(c)), Kind::ClusterUpdated(e)) => {
            c.spec == e.spec && c.version == before.cluster().version.0
        }
        (Some(Action::RemoveNode(c)), Kind::NodeRemoved(e)) => {
            let row = before.nodes().by_id(Id::from_bytes(&e.node_id)).map(|(_, row)| row);
            let may_go = row.is_some_and(|row| c.force || row.state != NodeState::Ready);
            may_go && c.node == Id::from_bytes(&e.node_id).to_string() && c.force == e.force
        }
        (Some(Action::UpdateNode(c)), Kind::NodeUpdated(e)) => {
            let Some((_, row)) = before.nodes().by_id(Id::from_bytes(&e.node_id)) else {
                return false;
            };
            let spec = e.spec.clone().unwrap_or_default();
            let labels = spec.annotations.clone().unwrap_or_default().labels;
            let available = c.availability.is_none_or(|wanted| wanted == spec.availability);
            available
                && row.id.to_string() == c.node
                && (c.version == 0 || c.version == row.version.0)
                && c.label_add.iter().all(|(key, value)| labels.get(key) == Some(value))
                && c.label_rm.iter().all(|key| !labels.contains_key(key))
        }
        (_, Kind::CommandRefused(_)) => true,
        (_, _) => false,
    }
}

/// Whether what a command asks for is so already.
fn is_so(command: &Command, view: &View) -> bool {
    let named = |name: &str| view.service_named(name).and_then(|index| view.services().get(index));
    match &command.action {
        Some(Action::ScaleService(c)) => {
            named(&c.service).is_some_and(|row| row.replicas() == c.replicas)
        }
        Some(Action::UpdateService(c)) => {
            let service = view.services().iter().map(|(_, row)| row);
            service.into_iter().any(|row| {
                row.id.to_string() == c.service
                    && meaning(c.spec.as_ref()) == meaning(Some(&*row.spec))
            })
        }
        Some(Action::CreateService(_) | Action::RemoveService(_) | Action::RemoveNode(_)) => false,
        Some(Action::UpdateNode(c)) => {
            let node =
                view.nodes().iter().map(|(_, row)| row).find(|row| row.id.to_string() == c.node);
            node.is_some_and(|row| {
                let is = NodeAvailability::try_from(row.spec.availability).ok();
                let labels = row.spec.annotations.clone().unwrap_or_default().labels;
                c.availability.is_none_or(|wanted| NodeAvailability::try_from(wanted).ok() == is)
                    && c.label_add.iter().all(|(key, value)| labels.get(key) == Some(value))
                    && c.label_rm.iter().all(|key| !labels.contains_key(key))
            })
        }
        Some(_) | None => true,
    }
}
