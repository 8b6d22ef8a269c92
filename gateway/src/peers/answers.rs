//! What the manager that leads has answered to requests that were made here.

use super::{
    connection::PeerConnection,
    fate::{self, CallFate},
};
use crate::{
    drive::{ForwardOutcome, NO_LEADER},
    forwarded,
};
use skep_proto::v1::ForwardedAnswers;
use tonic::{Response, Status};

/// Reads it, and says of the connection whether it broke.
pub(super) fn read_answers(
    answered: Result<Response<ForwardedAnswers>, Status>,
    connection: &PeerConnection,
) -> ForwardOutcome {
    match answered.map(Response::into_inner) {
        Ok(answers) if answers.not_leading => ForwardOutcome::NotTaken(NO_LEADER.into()),
        Ok(answers) => {
            let answers = answers.answers.into_iter().map(forwarded::decode_answer);
            ForwardOutcome::Answered(answers.collect())
        }
        Err(status) => {
            connection.note(&status);
            failed(&status)
        }
    }
}

fn failed(status: &Status) -> ForwardOutcome {
    match fate::of(status) {
        CallFate::NotDone => ForwardOutcome::NotTaken(fate::reason(status)),
        CallFate::MayBeDone => ForwardOutcome::Lost(fate::reason(status)),
    }
}
