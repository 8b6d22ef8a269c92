//! One fake container: a small state machine and some lines.

use super::script::FakeScript;
use crate::runtime::{FoundState, FoundTask, LogLine, Proof, RuntimeError, Started, TaskEnd};
use bytes::Bytes;
use skep_proto::{Id, Timestamp, v1::LogSource};

#[derive(Debug)]
enum FakeStage {
    Created,
    /// Stopped before it began.
    Forbidden,
    Running(Started),
    Ended(Started, TaskEnd),
}

#[derive(Debug)]
pub(super) struct FakeContainer {
    node: Id,
    script: FakeScript,
    args: Vec<String>,
    stage: FakeStage,
    pub(super) lines: Vec<LogLine>,
}

impl FakeContainer {
    pub(super) fn new(node: Id, script: FakeScript, args: Vec<String>) -> FakeContainer {
        FakeContainer { node, script, args, stage: FakeStage::Created, lines: Vec::new() }
    }

    pub(super) fn node(&self) -> Id {
        self.node
    }

    pub(super) fn script(&self) -> FakeScript {
        self.script
    }

    pub(super) fn is_created(&self) -> bool {
        matches!(self.stage, FakeStage::Created)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, FakeStage::Running(_))
    }

    pub(super) fn ended(&self) -> Option<TaskEnd> {
        match &self.stage {
            FakeStage::Ended(_, ended) => Some(ended.clone()),
            FakeStage::Created | FakeStage::Forbidden | FakeStage::Running(_) => None,
        }
    }

    /// It may not be started any more.
    pub(super) fn forbid(&mut self) {
        if self.is_created() {
            self.stage = FakeStage::Forbidden;
        }
    }

    pub(super) fn start(&mut self, task: Id, now: Timestamp) -> Result<Started, RuntimeError> {
        match &self.stage {
            FakeStage::Running(started) | FakeStage::Ended(started, _) => {
                return Ok(started.clone());
            }
            FakeStage::Forbidden => {
                return Err(RuntimeError::Failed("it was stopped before it began".into()));
            }
            FakeStage::Created if self.script.fails_start => {
                return Err(RuntimeError::Failed("the fake engine cannot start it".into()));
            }
            FakeStage::Created => {}
        }
        let pid = i32::try_from(task.0 % 30_000).unwrap_or(0) + 2;
        let started = Started { container_ref: format!("fake-{task}"), pid, ports: Vec::new() };
        if self.script.prints {
            let line = |(n, text): (usize, &String)| LogLine {
                at: now + n as u64,
                source: if text.starts_with('!') { LogSource::Stderr } else { LogSource::Stdout },
                text: Bytes::copy_from_slice(text.as_bytes()),
            };
            self.lines.extend(self.args.iter().enumerate().map(line));
        }
        self.stage = FakeStage::Running(started.clone());
        Ok(started)
    }

    pub(super) fn end(&mut self, ended: TaskEnd) {
        if let FakeStage::Running(started) = &self.stage {
            self.stage = FakeStage::Ended(started.clone(), ended);
        }
    }

    pub(super) fn found(&self, task_id: Id) -> FoundTask {
        let state = match &self.stage {
            FakeStage::Created | FakeStage::Forbidden => FoundState::Created,
            FakeStage::Running(started) => FoundState::Running(started.clone()),
            FakeStage::Ended(started, ended) => FoundState::Ended(started.clone(), ended.clone()),
        };
        FoundTask { task_id, image_digest: String::new(), proof: Proof::Recorded, state }
    }
}
