//! Stories about the bounds of the service for people.

use super::*;
use crate::api::testing::LiveCluster;
use skep_proto::v1::control_server::Control as _;
use tonic::Code;

fn refused(status: &Status) -> (Code, &str, String) {
    let refused: v1::Refused = prost::Message::decode(status.details()).unwrap();
    (status.code(), status.message(), refused.hint)
}

#[test]
fn a_command_and_a_list_are_refused_above_their_bounds_with_both_numbers() {
    assert_eq!(too_large(COMMAND_BYTES_MAX), None);
    let refusal = too_large(2 << 20).unwrap();
    assert_eq!(refusal.message, "the command has 2MiB; at most 1.5MiB are taken");
    assert_eq!(too_long(REPLY_BYTES_MAX), None);
    let refusal = too_long(300 << 20).unwrap();
    assert_eq!(refusal.message, "the list has 300MiB; at most 256MiB are answered");
    let refusal = too_long(REPLY_BYTES_MAX + 1).unwrap();
    let message = "the list has 268435457 bytes; at most 268435456 are answered";
    assert_eq!(refusal.message, message);
    assert!(refusal.hint.contains("--filter"), "{}", refusal.hint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_finds_no_room_is_refused_after_a_while() {
    let running = LiveCluster::start().await;
    let mut service = ControlService::new(running.drive.clone(), running.reads.clone());
    service.list_wait = Duration::from_millis(10);
    let all = service.lists.clone().acquire_many_owned(LISTS_MAX as u32).await.unwrap();
    let error = service.list_nodes(Request::new(v1::ListRequest::default())).await.unwrap_err();
    let (code, message, hint) = refused(&error);
    assert_eq!(
        (code, message),
        (Code::Unavailable, "8 lists are being sent, and none has finished in time")
    );
    assert!(hint.starts_with("try again"), "{hint}");
    drop(all);
    let reply = service.list_nodes(Request::new(v1::ListRequest::default())).await.unwrap();
    assert_eq!(service.lists.available_permits(), LISTS_MAX - 1, "held until it has been sent");
    drop(reply);
    assert_eq!(service.lists.available_permits(), LISTS_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_credentials_asks_nothing() {
    let running = LiveCluster::start().await;
    let service = ControlService::new(running.drive.clone(), running.reads.clone());
    let error = service.submit(Request::new(v1::Command::default())).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unauthenticated, "the connection has no credentials")
    );
}
