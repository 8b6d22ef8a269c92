//! Stories about a manager whose log does not answer, or does not work: people can still look.

use super::*;
use crate::{drive::DiskTrial, reads::stale::STALE_HEADER};
use futures::Stream;
use prost::Message as _;
use skep_log::ModelDisk;
use skep_proto::v1::{
    command::Action, control_client::ControlClient, history_client::HistoryClient,
    membership_client::MembershipClient,
};
use std::time::Instant;
use tonic::metadata::MetadataMap;

/// The longest that a read may take.
const READ_MAX: Duration = Duration::from_secs(2);

/// What the metadata of an answer say.
fn stale(metadata: &MetadataMap) -> Option<v1::StaleRead> {
    let value = metadata.get_bin(STALE_HEADER)?.to_bytes().unwrap();
    Some(v1::StaleRead::decode(value).unwrap())
}

/// Sends a command whose entry the log does not confirm, and waits until the log has it. The
/// command has a connection of its own, as each run of the command line has: where it is alone, the
/// thread that serves its connection writes its entry, and waits with it for the disk.
async fn leave_in_flight(running: &LiveCluster) -> impl Future + use<> {
    let mut control = ControlClient::new(running.connect().await);
    let create = v1::CreateService { spec: Some(skep_projections::fixture::service_spec("late")) };
    let command = v1::Command {
        action: Some(Action::CreateService(Box::new(create))),
        ..v1::Command::default()
    };
    let sent: tokio::task::JoinHandle<Result<tonic::Response<v1::CommandReply>, Status>> =
        tokio::spawn(async move { control.submit(command).await });
    while running.drive.unconfirmed_ns() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sent
}

/// Every kind of read; says of each how it is named, what it says of itself, and how long it took.
async fn reads(channel: &Channel) -> Vec<(&'static str, Option<v1::StaleRead>, Duration)> {
    let mut control = ControlClient::new(channel.clone());
    let mut history = HistoryClient::new(channel.clone());
    let mut told = Vec::new();
    macro_rules! read {
        ($name:literal, $call:expr) => {
            let began = Instant::now();
            let answer = timeout(SOON, $call).await.expect("it is answered").unwrap();
            told.push(($name, stale(answer.metadata()), began.elapsed()));
        };
    }
    read!("nodes", control.list_nodes(v1::ListRequest::default()));
    read!("services", control.list_services(v1::ListRequest::default()));
    read!("tasks", control.list_tasks(v1::ListRequest::default()));
    read!("strays", control.list_strays(v1::ListStraysRequest::default()));
    read!("cluster", control.get_cluster(v1::GetRequest::default()));
    read!("why", history.why(v1::WhyRequest { object: "web".into(), moment: None }));
    let first = v1::Moment { moment: Some(v1::moment::Moment::Revision(1)) };
    let asked = v1::DiffRequest { from: Some(first), to: None };
    read!("diff", history.diff(asked));
    told
}

async fn problems(channel: &Channel) -> Vec<String> {
    let mut history = HistoryClient::new(channel.clone());
    let asked = history.doctor(v1::DoctorRequest {});
    let findings = timeout(SOON, asked).await.expect("it is answered").unwrap().into_inner();
    let problems =
        findings.findings.into_iter().filter(|found| found.severity() == v1::Severity::Problem);
    problems.map(|v1::Finding { subject, message, .. }| format!("{subject}: {message}")).collect()
}

/// The next record of a followed log.
async fn next_summary(
    log: &mut (impl Stream<Item = Result<v1::LogRecord, Status>> + Unpin),
) -> String {
    timeout(SOON, log.next()).await.expect("it comes").unwrap().unwrap().summary
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_hangs_every_read_is_answered_in_time_and_says_what_it_shows() {
    let disk = ModelDisk::default();
    let running = LiveCluster::start_on(&disk).await;
    let channel = running.open(GreetingLimits::default()).await;
    running.create("web").await;
    let newest = running.reads.newest().position().revision.0;
    let following =
        v1::LogRequest { follow: true, objects: vec!["web".into()], ..v1::LogRequest::default() };
    let mut history = HistoryClient::new(channel.clone());
    let mut log = history.log(following).await.unwrap().into_inner();
    assert_eq!(next_summary(&mut log).await, "service web created: 1 × app");
    assert!(reads(&channel).await.iter().all(|(_, stale, _)| stale.is_none()));

    disk.hang();
    let waiting = leave_in_flight(&running).await;
    for (name, stale, took) in reads(&channel).await {
        let stale = stale.unwrap_or_else(|| panic!("{name} says that it may be old"));
        assert_eq!((stale.revision, stale.why.as_str()), (newest, "the log does not answer"));
        assert!(stale.for_ns > 0, "{name}");
        assert!(took < READ_MAX, "{name} took {took:?}");
    }
    let told = problems(&channel).await;
    assert!(
        told.iter().any(|told| told.starts_with("log: has not confirmed an entry for ")),
        "{told:?}"
    );
    let status = ControlClient::new(channel.clone()).status(v1::StatusRequest {}).await.unwrap();
    assert_eq!(status.into_inner().revision, newest);
    let mut membership = MembershipClient::new(channel.clone());
    let asked = membership.unlock_key(v1::UnlockKeyRequest {});
    let shown = timeout(SOON, asked).await.expect("it is answered").unwrap();
    assert!(stale(shown.metadata()).is_some(), "the key may have been rotated meanwhile");

    disk.heal();
    timeout(SOON, waiting).await.expect("the command is answered");
    let answered = async {
        while reads(&channel).await.iter().any(|(_, stale, _)| stale.is_some()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, answered).await.expect("reads are confirmed again");
    assert_eq!(problems(&channel).await, [""; 0]);
    running.scale("web", 2).await;
    while next_summary(&mut log).await != "service web scaled to 2" {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_is_found_before_anybody_writes() {
    let disk = ModelDisk::default();
    let running = LiveCluster::start_on(&disk).await;
    let channel = running.open(GreetingLimits::default()).await;
    running.create("web").await;
    assert_eq!(running.drive.try_disk().await, DiskTrial::Taken);
    disk.hang();
    let first = running.drive.try_disk().await;
    assert_eq!(first, DiskTrial::Unanswered(crate::drive::CONFIRM_READ_NS_MAX));
    let told = problems(&channel).await;
    assert!(told[0].starts_with("disk: has not taken a small file for "), "{told:?}");
    disk.heal();
    let healed = async {
        while running.drive.try_disk().await != DiskTrial::Taken {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, healed).await.expect("the disk is asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_has_failed_reads_say_why_they_may_be_old() {
    let disk = ModelDisk::default();
    let running = LiveCluster::start_on(&disk).await;
    let channel = running.open(GreetingLimits::default()).await;
    running.create("web").await;
    let newest = running.reads.newest().position().revision.0;
    disk.refuse();
    let create = v1::CreateService { spec: Some(skep_projections::fixture::service_spec("late")) };
    let command = v1::Command {
        action: Some(Action::CreateService(Box::new(create))),
        ..v1::Command::default()
    };
    let reply = ControlClient::new(channel.clone()).submit(command).await.unwrap().into_inner();
    assert!(matches!(reply.outcome, Some(v1::command_reply::Outcome::Unknown(_))), "{reply:?}");
    let mut leadership = running.drive.log().leadership();
    let failed = leadership.wait_for(|now| now.health != skep_log::Health::Ok);
    timeout(SOON, failed).await.expect("the log fails").unwrap();
    for (name, stale, took) in reads(&channel).await {
        let stale = stale.unwrap_or_else(|| panic!("{name} says that it may be old"));
        assert_eq!(stale.revision, newest, "{name}");
        assert!(stale.why.contains("the disk takes nothing"), "{name}: {}", stale.why);
        assert!(took < READ_MAX, "{name} took {took:?}");
    }
    let told = problems(&channel).await;
    assert_eq!(
        told.iter().filter(|told| told.contains("the disk takes nothing")).count(),
        2,
        "{told:?}"
    );
    disk.heal();
    let answered = async {
        while reads(&channel).await.iter().any(|(_, stale, _)| stale.is_some()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, answered).await.expect("reads are confirmed again");
}
