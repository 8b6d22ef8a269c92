//! Stories about the bounds of the service for the past.

use super::*;
use crate::api::testing::LiveCluster;
use skep_proto::v1::history_server::History as _;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_the_past_that_finds_no_room_is_refused_after_a_while() {
    let running = LiveCluster::start().await;
    let mut service = HistoryService::new(running.reads.clone());
    service.comparison_wait = Duration::from_millis(10);
    let all = service.comparisons.clone().acquire_many_owned(COMPARISONS_MAX as u32).await.unwrap();
    let diff = || Request::new(v1::DiffRequest::default());
    for error in [
        service.diff(diff()).await.unwrap_err(),
        service.why(Request::new(v1::WhyRequest::default())).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(
            error.message(),
            "4 questions about the past are being answered, and none has finished in time"
        );
    }
    drop(all);
    service.diff(diff()).await.unwrap();
    assert_eq!(service.comparisons.available_permits(), COMPARISONS_MAX, "given back");
}
