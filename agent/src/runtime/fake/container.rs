//! One fake container: a small state machine and some lines.

use super::{Ended, Found, FoundState, Proof, RuntimeError, Script, Started};
use crate::runtime::LogLine;
use bytes::Bytes;
use skep_proto::{Id, Timestamp, v1::LogSource};

#[derive(Debug)]
enum Stage {
    Created,
    /// Stopped before it began.
    Forbidden,
    Running(Started),
    Ended(Started, Ended),
}

#[derive(Debug)]
pub(super) struct Container {
    node: Id,
    script: Script,
    args: Vec<String>,
    stage: Stage,
    pub(super) lines: Vec<LogLine>,
}

impl Container {
    pub(super) fn new(node: Id, script: Script, args: Vec<String>) -> Container {
        Container { node, script, args, stage: Stage::Created, lines: Vec::new() }
    }

    pub(super) fn node(&self) -> Id {
        self.node
    }

    pub(super) fn script(&self) -> Script {
        self.script
    }

    pub(super) fn is_created(&self) -> bool {
        matches!(self.stage, Stage::Created)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        match &self.stage {
            Stage::Ended(_, ended) => Some(ended.clone()),
            Stage::Created | Stage::Forbidden | Stage::Running(_) => None,
        }
    }

    /// It may not be started any more.
    pub(super) fn forbid(&mut self) {
        if self.is_created() {
            self.stage = Stage::Forbidden;
        }
    }

    pub(super) fn start(&mut self, task: Id, now: Timestamp) -> Result<Started, RuntimeError> {
        match &self.stage {
            Stage::Running(started) | Stage::Ended(started, _) => return Ok(started.clone()),
            Stage::Forbidden => {
                return Err(RuntimeError::Failed("it was stopped before it began".into()));
            }
            Stage::Created if self.script.fails_start => {
                return Err(RuntimeError::Failed("the fake engine cannot start it".into()));
            }
            Stage::Created => {}
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
        self.stage = Stage::Running(started.clone());
        Ok(started)
    }

    pub(super) fn end(&mut self, ended: Ended) {
        if let Stage::Running(started) = &self.stage {
            self.stage = Stage::Ended(started.clone(), ended);
        }
    }

    pub(super) fn found(&self, task_id: Id) -> Found {
        let state = match &self.stage {
            Stage::Created | Stage::Forbidden => FoundState::Created,
            Stage::Running(started) => FoundState::Running(started.clone()),
            Stage::Ended(started, ended) => FoundState::Ended(started.clone(), ended.clone()),
        };
        Found { task_id, image_digest: String::new(), proof: Proof::Recorded, state }
    }
}
