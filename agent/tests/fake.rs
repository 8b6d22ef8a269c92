//! The fake runtime keeps the contract that the real ones keep.

#![allow(clippy::unwrap_used, reason = "what goes wrong here shall stop it")]

use futures::{FutureExt, future::BoxFuture};
use skep_agent::runtime::{
    Runtime, Workload,
    conformance::{Program, TestedRuntime},
    fake::FakeEngine,
};
use skep_proto::{
    Timestamp,
    v1::{ContainerSpec, TaskSpec, task_spec},
};
use std::sync::Arc;

struct Fake(FakeEngine);

impl TestedRuntime for Fake {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Runtime>> {
        async { Arc::new(self.0.runtime()) as Arc<dyn Runtime> }.boxed()
    }

    fn workload(&self, program: &Program) -> Workload {
        let (image, args) = match program {
            Program::Run => ("run".into(), Vec::new()),
            Program::Exit(code) => (format!("exit:{code}"), Vec::new()),
            Program::Signal(signal) => (format!("signal:{signal}"), Vec::new()),
            Program::Stubborn => ("stubborn".into(), Vec::new()),
            Program::Print(lines) => ("print,exit:0".into(), lines.clone()),
            Program::PrintAndRun(lines) => ("print,run".into(), lines.clone()),
            Program::Missing => ("nothing-of-that-name".into(), Vec::new()),
        };
        let container = ContainerSpec { image, args, ..ContainerSpec::default() };
        let runtime = Some(task_spec::Runtime::Container(container));
        Workload { spec: TaskSpec { runtime, ..TaskSpec::default() }.into(), ..Workload::default() }
    }
}

skep_agent::conformance_tests!(Fake(FakeEngine::new(Timestamp(1_700_000_000_000_000_000))));
