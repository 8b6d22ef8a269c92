//! What is answered to a request that no turn decides. PURE.

use crate::{
    admit::Refusal,
    turn::{self, Answer, Ask},
};
use skep_projections::View;

pub(super) fn stopping() -> Refusal {
    Refusal::exhausted("the manager is stopping").hint("try again in a moment")
}

pub(super) fn safe_mode() -> Refusal {
    Refusal::exhausted("the manager runs in safe mode: it serves reads and accepts nothing")
        .hint("reads go on; see `skep doctor`")
}

/// The answer to a command that has waited too long, and why it had to wait. It may have been sent
/// before under the same id, and have taken effect then.
pub(super) fn waited_too_long<C>(committed: &View, ask: &Ask<C>, why: String) -> Answer {
    turn::done_before(committed, &ask.request, &ask.author).unwrap_or_else(|| {
        let hint = "this time it was not carried out; look at `skep doctor`, and try again";
        Answer::Refused(Refusal::exhausted(why).hint(hint))
    })
}
