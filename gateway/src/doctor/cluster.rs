//! Questions that the view answers. PURE.

use super::{ok, problem, warning};
use crate::{admit, drive::NO_LEADER, history::verdict};
use skep_projections::View;
use skep_proto::{
    Id, author,
    condition::{self, Effect},
    counted,
    v1::{ConditionKind, Finding, NodeState, RuntimeKind},
    verb,
};
use std::collections::BTreeMap;

/// Failures in a row of one slot that make a crash loop.
const CRASH_LOOP_FAILURES_MIN: u32 = 3;
/// Findings of one kind that are listed; the others are counted.
const TOLD_MAX: usize = 20;

/// Objects that a reconciler failed on.
pub(super) fn parked(view: &View) -> Vec<Finding> {
    let parked = view.all_parked().map(|(id, parked)| {
        let service = view.services().find(id).and_then(|index| view.services().get(index));
        let name = service.map_or_else(|| id.to_string(), |service| service.name().to_owned());
        let by = author::reconciler_name(parked.reconciler());
        problem(
            &name,
            format!("{by} failed on it and no longer works on it: {}", parked.message),
            "change it, or `skep unpark` it, to have it tried again; please report the failure",
        )
    });
    bounded(parked, "objects are parked")
}

/// Tasks that agents have from a history that was lost.
pub(super) fn strays(view: &View) -> Vec<Finding> {
    let strays = view.strays().map(|(id, stray)| {
        let node = view.nodes().by_id(Id::from_bytes(&stray.node_id));
        let on = node.map_or("?", |(_, row)| row.hostname());
        warning(
            &format!("task {id}"),
            format!("it runs on {on}, and history does not know it"),
            "its records were lost when the log was cut; `skep stray rm` ends it",
        )
    });
    bounded(strays, "tasks are unknown to history")
}

/// Records that contradicted the view.
pub(super) fn set_aside(view: &View) -> Vec<Finding> {
    let newest = view.newest_set_aside().map_or_else(String::new, |newest| {
        format!("; the newest is record {}: {}", newest.revision, newest.why)
    });
    match view.set_aside() {
        0 => Vec::new(),
        n => vec![warning(
            "view",
            format!(
                "{} contradicted the view and {} set aside, alike on every manager{newest}",
                counted(n, "record"),
                verb(n, "was", "were"),
            ),
            "the cluster goes on; please report it with the output of `skep log --all`",
        )],
    }
}

/// Whether the view's indexes are what its rows say: each is recomputed.
pub(super) fn faults(view: &View) -> Vec<Finding> {
    let faults = view.faults().into_iter().map(|fault| {
        problem(
            "view",
            fault,
            "restart the daemon, which recomputes it; please report it with the state folder",
        )
    });
    bounded(faults, "faults of the view")
}

/// Services whose tasks find no node.
pub(super) fn blocked(view: &View) -> Vec<Finding> {
    let blocked =
        view.services().iter().filter(|(_, row)| !row.removed).filter_map(|(index, row)| {
            let blocked = row.blocked.as_ref()?;
            let pending = view.pending_of(index).count();
            (pending > 0).then(|| {
                let hint = format!("`skep why {}` tells what each filter refused", row.name());
                warning(
                    row.name(),
                    match pending {
                        1 => format!("1 task has no node: {}", blocked.message),
                        n => format!("{n} tasks have no node: {}", blocked.message),
                    },
                    &hint,
                )
            })
        });
    bounded(blocked, "services are blocked")
}

/// Slots whose tasks end again and again.
pub(super) fn crash_loops(view: &View) -> Vec<Finding> {
    let loops = view.services().iter().filter(|(_, row)| !row.removed).filter_map(|(index, _)| {
        let live = view
            .tasks_of(index)
            .filter(|(_, row)| row.is_live() && row.attempt >= CRASH_LOOP_FAILURES_MIN);
        let (_, worst) = live.max_by_key(|(_, row)| row.attempt)?;
        let name = view.task_name(worst);
        let hint = format!(
            "`skep why {name}` and its logs tell more; the wait between attempts grows to 5 minutes"
        );
        Some(warning(
            &name,
            format!("has failed {} in a row", counted(worst.attempt, "time")),
            &hint,
        ))
    });
    bounded(loops, "services fail again and again")
}

/// Nodes that are not ready.
pub(super) fn nodes(view: &View) -> Vec<Finding> {
    let all = view.nodes().iter().filter(|(_, row)| !row.removed);
    let (ready, away): (Vec<_>, Vec<_>) = all.partition(|(_, row)| row.state == NodeState::Ready);
    let mut findings = bounded(
        away.into_iter().map(|(_, row)| match row.state {
            NodeState::Down => problem(
                row.hostname(),
                verdict::node(view, row),
                "start its agent again, or remove the node; its tasks are placed elsewhere",
            ),
            NodeState::Disconnected | NodeState::Unknown | NodeState::Ready => warning(
                row.hostname(),
                verdict::node(view, row),
                "its containers go on; look whether its agent runs and reaches this manager",
            ),
        }),
        "nodes are not ready",
    );
    let sound = ready.iter().filter(|(_, row)| !row.is_impaired()).count();
    match (ready.len(), sound) {
        _ if !findings.is_empty() => {}
        (0, _) => {
            findings.push(warning("nodes", "there are none", "start an agent: `skep daemon`"));
        }
        // Their conditions are problems of their own.
        (_, 0) => {}
        (all, sound) if all == sound => {
            let message = match all {
                1 => "the only node is ready".to_owned(),
                all => format!("all {all} are ready"),
            };
            findings.push(ok("nodes", message));
        }
        (all, sound) => {
            let verb = verb(sound, "is", "are");
            findings.push(ok("nodes", format!("{sound} of {all} {verb} ready for tasks")));
        }
    }
    findings
}

/// Nodes in a history whose manager is stopped: whether they are up now, nobody knows.
pub(super) fn nodes_then(view: &View, then: &str, hint: &str) -> Finding {
    let all = || view.nodes().iter().filter(|(_, row)| !row.removed);
    let ready = all().filter(|(_, row)| row.state == NodeState::Ready).count();
    let verb = verb(ready, "was", "were");
    warning("nodes", format!("{ready} of {} {verb} ready {then}", all().count()), hint)
}

/// No manager leads, as far as this one knows: what it knows of the nodes is old.
pub(super) fn leaderless(view: &View) -> Vec<Finding> {
    let voters = view.managers().filter(|(_, row)| admit::votes(view, row)).count();
    let needed = admit::majority(voters);
    let message = format!(
        "{NO_LEADER}; nothing is decided until {needed} of {voters} work and reach each other"
    );
    let hint = match view.cluster().spec.auto_lock {
        true => {
            "start the daemons of managers that are away and unlock them with `skep cluster unlock` \
             there, or look at the network between them; running tasks go on meanwhile"
        }
        false => {
            "start the daemons of managers that are away, or look at the network between them; running \
             tasks go on meanwhile"
        }
    };
    let then = format!("as of revision {}", view.position().revision);
    Vec::from([
        problem("managers", message, hint),
        nodes_then(view, &then, "a manager without a leader does not know how they are now"),
    ])
}

/// Whether the managers could lose one more of them. A single one has nobody to lose.
pub(super) fn managers(view: &View) -> Vec<Finding> {
    let voters = view.managers().map(|(_, row)| row).filter(|row| admit::votes(view, row));
    let (up, away): (Vec<_>, Vec<_>) = voters.partition(|row| admit::is_ready(view, row));
    let (ready, all) = (up.len(), up.len() + away.len());
    let majority = admit::majority(all);
    let may_fail = ready.saturating_sub(majority);
    if all < 2 {
        return Vec::new();
    }
    let named = away.iter().map(|row| match admit::is_up(row) {
        true => {
            format!("; node {} does not answer the leader, though its agent does", row.hostname())
        }
        false => format!("; {}", admit::what_is_amiss(view, row)),
    });
    let named: String = named.collect();
    let verb = verb(ready, "is", "are");
    let counts = format!("{ready} of {all} {verb} ready");
    let odd = "promote one more or demote one: an odd number loses none of its votes for nothing";
    let hint = match away.is_empty() {
        true => odd,
        false if view.cluster().spec.auto_lock => {
            "start the daemons of those that are away and unlock them with `skep cluster unlock` there, or \
             demote those that are gone for good"
        }
        false => "start the daemons of those that are away, or demote those that are gone for good",
    };
    let finding = if ready < majority {
        let message = format!("{counts}, and without {majority} nothing is decided{named}");
        problem("managers", message, hint)
    } else if ready == majority {
        let message =
            format!("{counts}, just the majority: one more loss stops the cluster{named}");
        warning("managers", message, hint)
    } else if all.is_multiple_of(2) {
        let fewer = all - 1;
        let message = format!("{counts}; {may_fail} more may fail, as of {fewer}{named}");
        warning("managers", message, hint)
    } else if away.is_empty() {
        ok("managers", format!("all {all} are ready; {may_fail} may fail"))
    } else {
        let message = format!("{counts}; {may_fail} more may fail{named}");
        warning("managers", message, hint)
    };
    Vec::from([finding])
}

/// What agents say is wrong with their nodes.
pub(super) fn conditions(view: &View) -> Vec<Finding> {
    let nodes = view.nodes().iter().filter(|(_, row)| !row.removed && row.state != NodeState::Down);
    let found = nodes.flat_map(|(_, row)| {
        row.conditions.iter().map(|known| {
            let line = condition::line(known);
            match condition::effect(known.kind()) {
                Effect::StopsPlacement => {
                    let message =
                        format!("{line}; the node gets no new tasks, and keeps those that it has");
                    problem(row.hostname(), message, remedy(known.kind()))
                }
                Effect::Shown => warning(row.hostname(), line, remedy(known.kind())),
            }
        })
    });
    bounded(found, "nodes have problems")
}

fn remedy(kind: ConditionKind) -> &'static str {
    match kind {
        ConditionKind::EngineUnreachable => {
            "look at the container engine on that node, and restart it if it hangs"
        }
        ConditionKind::TasksUnlisted => {
            "look at the agent's own log on that node: it names what cannot be listed"
        }
        ConditionKind::PullFailing => {
            "look at the image's name, the registry, and the way from that node to it"
        }
        ConditionKind::StateUnwritable => {
            "make room on the disk of that node's state folder, or repair its file system"
        }
        ConditionKind::EngineStuck => {
            "look at containerd on that node, and at the engine's log; restart what hangs"
        }
        ConditionKind::Unspecified => "look at the agent's own log on that node",
    }
}

/// Host names that more than one node has.
pub(super) fn host_names(view: &View) -> Vec<Finding> {
    let mut names: BTreeMap<String, Vec<Id>> = BTreeMap::new();
    for (_, row) in view.nodes().iter().filter(|(_, row)| !row.removed) {
        names.entry(row.hostname().to_lowercase()).or_default().push(row.id);
    }
    let doubles = names.into_iter().filter(|(_, nodes)| nodes.len() > 1).map(|(name, nodes)| {
        let ids: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        warning(
            &name,
            format!("{} nodes have this host name: {}", nodes.len(), ids.join(", ")),
            "commands must name them by id; give each agent another --hostname, and remove nodes that are gone",
        )
    });
    bounded(doubles, "host names are used more than once")
}

/// Roll-outs that stopped because of a failure.
pub(super) fn paused(view: &View) -> Vec<Finding> {
    let paused = view.services().iter().filter(|(_, row)| !row.removed).filter_map(|(_, row)| {
        let message = verdict::paused(row)?;
        let hint = format!(
            "`skep why {}` tells more; `skep service update` begins a new roll-out",
            row.name()
        );
        Some(warning(row.name(), message, &hint))
    });
    bounded(paused, "roll-outs are paused")
}

/// Tasks that run, and of which their node says that something is wrong: a paused container, say.
pub(super) fn hampered(view: &View) -> Vec<Finding> {
    let hampered = view.tasks().iter().filter(|(_, row)| row.is_hampered()).map(|(_, row)| {
        let message = row.detail.as_ref().map_or("", |detail| detail.message.as_str());
        let name = view.task_name(row);
        let hint = format!("look at it on its node; `skep task inspect {name}` tells where it is");
        warning(&name, format!("it runs, but {message}"), &hint)
    });
    bounded(hampered, "tasks run with a problem")
}

/// Services of which nothing runs. Those that wait for a node have a finding already.
pub(super) fn not_running(view: &View) -> Vec<Finding> {
    let idle = view.services().iter().filter(|(_, row)| !row.removed).filter_map(|(index, row)| {
        let wanted = row.replicas();
        let is_blocked = row.blocked.is_some() && view.pending_of(index).count() > 0;
        if wanted == 0 || row.running_tasks > 0 || is_blocked {
            return None;
        }
        let (why, hint) = match verdict::finished(view, index) {
            Some((why, _)) => (
                format!(": {why}"),
                format!("`skep service update --force {}` runs it again", row.name()),
            ),
            None => {
                (String::new(), format!("`skep why {}` tells what its tasks wait for", row.name()))
            }
        };
        let tasks = if wanted == 1 { "its task does not run" } else { "none of its tasks runs" };
        Some(warning(row.name(), format!("{tasks} (0 of {wanted}){why}"), &hint))
    });
    bounded(idle, "services do not run at all")
}

/// Container engines of different versions. Nodes without an engine have none to compare.
pub(super) fn versions(view: &View) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, row) in view.nodes().iter().filter(|(_, row)| !row.removed) {
        let engine = row.description.engine.as_ref().map_or("", |engine| engine.version.as_str());
        if row.description.runtime() == RuntimeKind::Docker && !engine.is_empty() {
            versions.entry(engine).or_default().push(row.hostname());
        }
    }
    if versions.len() < 2 {
        return Vec::new();
    }
    let told = versions.iter().map(|(version, nodes)| format!("{version} on {}", few(nodes)));
    let told: Vec<String> = told.collect();
    vec![warning(
        "engines",
        format!("differ: {}", told.join(", ")),
        "run the same version on all nodes",
    )]
}

fn few(names: &[&str]) -> String {
    match names {
        [.., _] if names.len() > 3 => {
            format!("{} and {} more", names[..3].join(", "), names.len() - 3)
        }
        _ => names.join(", "),
    }
}

/// Many findings of one kind, the first told and the others counted.
pub(super) fn bounded(findings: impl Iterator<Item = Finding>, what: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = findings.collect();
    let more = findings.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        findings.truncate(TOLD_MAX);
        findings.push(warning("more", format!("{more} more {what}"), ""));
    }
    findings
}
