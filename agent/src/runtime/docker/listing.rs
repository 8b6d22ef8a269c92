//! Listings of an engine's containers: the regular one, which finds what events did not tell, and
//! the one that an agent asks for at its start.

use super::{
    DockerRuntime, KnownContainer, comparison, container,
    creation::{CreationState, Creations},
    engine::{Engine, within},
    ledger, mapping,
    records::ContainerRecords,
    removal,
    sightings::EngineSightings,
};
use crate::runtime::{FoundState, FoundTask, Proof, RuntimeError};
use bollard::{models, query_parameters::ListContainersOptions};
use futures::{StreamExt, stream};
use skep_proto::Id;
use std::{collections, sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// Containers looked at side by side when a node's are listed.
const LOOKS_AT_ONCE_MAX: usize = 8;
/// Longest that a look at one container may take while a node's are listed: one that hangs is found
/// as unreadable, and the others go on.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Lists the containers whenever a listing is due, wakes who watches what has ended, removes what
/// is left of removed tasks, and stops what runs after its task's end. Never ends.
pub(super) async fn keep_listing(
    engine: &Arc<Engine>,
    seen: &Arc<EngineSightings>,
    records: &Arc<ContainerRecords>,
    creations: &Creations,
) {
    let mut stops: collections::BTreeMap<Id, JoinHandle<()>> = collections::BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(seen.instant(seen.list_at())) => {}
            () = seen.hinted() => continue,
        }
        let began = seen.now();
        let ended = records.read(ledger::ContainerLedger::ended);
        match rows(engine, mapping::LABEL_TASK_ID.to_owned()).await {
            Ok(rows) => {
                seen.on_compared(&records.read(|ledger| comparison::compare(ledger, &rows)));
                seen.on_listed(&rows, began);
                stops.retain(|_, stop| !stop.is_finished());
                for (task, container) in records.read(|ledger| ledger.revived(&rows, &ended)) {
                    let stop = || tokio::spawn(removal::stop(Arc::clone(engine), task, container));
                    stops.entry(task).or_insert_with(stop);
                }
                for (task, container) in records.sweep(&rows) {
                    // One that is being created is removed when that is over.
                    if creations.state(task) == CreationState::Settled {
                        tokio::spawn(removal::clear(Arc::clone(engine), task, container));
                    }
                }
            }
            // One item that cannot be read spoils the whole answer, and each container can be asked
            // for.
            Err(RuntimeError::Failed(_)) => seen.on_unlisted(began, ""),
            Err(error) => seen.on_unlisted(began, &error.to_string()),
        }
    }
}

/// The containers that match a label, as far as they name a task.
async fn rows(
    engine: &Engine,
    label: String,
) -> Result<Vec<ledger::ListedContainer>, RuntimeError> {
    let client = engine.client().await?;
    let filters = collections::HashMap::from([("label".to_owned(), vec![label])]);
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    let all =
        within(client.list_containers(Some(options))).await.map_err(|error| engine.say(&error))?;
    Ok(all.into_iter().filter_map(row).collect())
}

fn row(listed: models::ContainerSummary) -> Option<ledger::ListedContainer> {
    let labels = listed.labels.unwrap_or_default();
    let is_unhealthy = listed.status.is_some_and(|status| status.contains("(unhealthy)"));
    let phase = match listed.state {
        Some(models::ContainerSummaryStateEnum::RUNNING) if is_unhealthy => {
            ledger::ListedPhase::Unhealthy
        }
        Some(models::ContainerSummaryStateEnum::RUNNING) => ledger::ListedPhase::Running,
        Some(models::ContainerSummaryStateEnum::PAUSED) => ledger::ListedPhase::Paused,
        Some(
            models::ContainerSummaryStateEnum::EMPTY
            | models::ContainerSummaryStateEnum::CREATED
            | models::ContainerSummaryStateEnum::RESTARTING
            | models::ContainerSummaryStateEnum::EXITED
            | models::ContainerSummaryStateEnum::REMOVING
            | models::ContainerSummaryStateEnum::DEAD
            | models::ContainerSummaryStateEnum::STOPPING,
        )
        | None => ledger::ListedPhase::NotRunning,
    };
    let names = listed.names.unwrap_or_default();
    Some(ledger::ListedContainer {
        id: listed.id?,
        names: names.iter().map(|name| name.trim_start_matches('/').to_owned()).collect(),
        task: container::task_of(&labels)?,
        node: labels.get(mapping::LABEL_NODE_ID).and_then(|id| Id::parse(id)).unwrap_or(Id::NONE),
        phase,
    })
}

impl DockerRuntime {
    /// All containers of this node's tasks: those recorded here, and those known by name alone.
    pub(super) async fn found(&self, node: Id) -> Result<Vec<FoundTask>, RuntimeError> {
        let wanted = self.candidates(node).await?;
        let looks = stream::iter(wanted).map(|(task_id, id, proof)| async move {
            let looked = tokio::time::timeout(LOOK_LIMIT, self.look(&id)).await;
            match looked {
                Ok(Ok(Some(found))) => Some(self.describe_found(task_id, found, proof).await),
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some(unreadable(task_id, proof, error.to_string())),
                Err(_) => Some(unreadable(task_id, proof, self.engine.silence(LOOK_LIMIT))),
            }
        });
        let found: Vec<Option<FoundTask>> =
            looks.buffer_unordered(LOOKS_AT_ONCE_MAX).collect().await;
        let mut found: Vec<FoundTask> = found.into_iter().flatten().collect();
        found.sort_by_key(|found| found.task_id);
        Ok(found)
    }

    /// Containers that are to be looked at: task, id or name, and what connects the two.
    async fn candidates(&self, node: Id) -> Result<Vec<(Id, String, Proof)>, RuntimeError> {
        let label = format!("{}={node}", mapping::LABEL_NODE_ID);
        let rows = match rows(&self.engine, label).await {
            Ok(rows) => rows,
            // One item that cannot be read spoils the whole answer: then each recorded container is
            // asked for by itself.
            Err(RuntimeError::Failed(reason)) => {
                tracing::warn!("the engine's list of containers cannot be read: {reason}");
                return Ok(self.recorded());
            }
            Err(error) => return Err(error),
        };
        let mut wanted = Vec::new();
        for row in rows {
            let (claim, fate) = self
                .records
                .read(|ledger| (ledger.claim(&row), ledger.entry(row.task).map(|e| e.fate)));
            match claim {
                ledger::Claim::Own if fate == Some(ledger::ContainerFate::Condemned) => {}
                ledger::Claim::Own => wanted.push((row.task, row.id, Proof::Recorded)),
                ledger::Claim::Named => wanted.push((row.task, row.id, Proof::Named)),
                ledger::Claim::Foreign => tracing::warn!(
                    task = %row.task,
                    container = row.id,
                    "container {} carries this node's labels and is not its own: it is left alone",
                    row.name()
                ),
            }
        }
        Ok(wanted)
    }

    fn recorded(&self) -> Vec<(Id, String, Proof)> {
        let kept = |(task, entry): (&Id, &ledger::RecordedContainer)| match entry.fate {
            ledger::ContainerFate::Kept | ledger::ContainerFate::Over => {
                let id = entry.container.clone().unwrap_or_else(|| entry.name.clone());
                (!id.is_empty()).then_some((*task, id, Proof::Recorded))
            }
            ledger::ContainerFate::Condemned => None,
        };
        self.records.read(|ledger| ledger.entries().filter_map(kept).collect())
    }

    async fn describe_found(
        &self,
        task_id: Id,
        found: container::Container,
        proof: Proof,
    ) -> FoundTask {
        let known = KnownContainer { container: found.id.clone(), ..KnownContainer::default() };
        self.known().entry(task_id).or_insert(known);
        if proof == Proof::Recorded {
            // The engine may have created it without being able to say so.
            let _ =
                self.records.change(task_id, |ledger, _| ledger.made(task_id, "", &found.id)).await;
        }
        let image_digest = found.image.clone();
        let state = match found.phase {
            container::Phase::Created => FoundState::Created,
            container::Phase::Running => FoundState::Running(self.note_started(task_id, found)),
            container::Phase::Ended => {
                let ended = self.settled(task_id, &found).await;
                self.note_over(task_id).await;
                FoundState::Ended(found.started, ended)
            }
        };
        FoundTask { task_id, image_digest, proof, state }
    }
}

fn unreadable(task_id: Id, proof: Proof, reason: String) -> FoundTask {
    FoundTask { task_id, image_digest: String::new(), proof, state: FoundState::Unreadable(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_container_is_read_without_slashes_and_one_without_a_task_is_left_out() {
        let labels = |pairs: &[(&str, String)]| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
        };
        let ours = models::ContainerSummary {
            id: Some("c1".into()),
            names: Some(vec!["/web.1".into()]),
            labels: labels(&[(mapping::LABEL_TASK_ID, Id(7).to_string())]),
            state: Some(models::ContainerSummaryStateEnum::RUNNING),
            status: Some("Up 5 seconds (unhealthy)".into()),
            ..models::ContainerSummary::default()
        };
        let expected = ledger::ListedContainer {
            id: "c1".into(),
            names: vec!["web.1".into()],
            task: Id(7),
            node: Id::NONE,
            phase: ledger::ListedPhase::Unhealthy,
        };
        assert_eq!(row(ours.clone()), Some(expected));
        let odd = labels(&[(mapping::LABEL_TASK_ID, "no id".to_owned())]);
        assert_eq!(row(models::ContainerSummary { labels: odd, ..ours.clone() }), None);
        assert_eq!(row(models::ContainerSummary { id: None, ..ours }), None);
    }
}
