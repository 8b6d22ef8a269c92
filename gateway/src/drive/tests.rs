//! The drive on a real log.

use super::*;
use crate::{api::testing::LiveCluster, history::testing::alice};
use skep_projections::fixture::service_spec;
use skep_proto::v1::{Command, CreateService, command::Action};

fn create(number: u32) -> Request {
    let spec = Some(service_spec(&format!("web-{number}")));
    let action = Some(Action::CreateService(Box::new(CreateService { spec })));
    Request::Command(Command { action, ..Command::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_command_is_committed_by_the_thread_that_asks() {
    let running = LiveCluster::start().await;
    // Now and then something else is under way, or the disk was slow the last time.
    for number in 0..200 {
        let mut answer = running.drive.submit(alice(), create(number), 100);
        let now = answer.try_recv();
        match now {
            Ok(Answer::Accepted { .. }) => return,
            Ok(other) => panic!("{other:?}"),
            Err(_) => drop(answer.await.unwrap()),
        }
    }
    panic!("other threads were needed each time");
}
