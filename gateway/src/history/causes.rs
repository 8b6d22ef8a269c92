//! What a record answers, and what that answered, back to a person or the world outside.

use super::{FoundRecord, Past, PastError};
use skep_proto::Revision;
use std::collections::BTreeMap;

/// Records of one explanation; beyond it the older part is left out.
pub const CHAIN_MAX: usize = 64;

/// The records behind these, newest first, themselves included. A cause that lies behind its answer
/// is damage and is not followed.
pub fn chain(past: &Past, starts: &[Revision]) -> Result<Vec<FoundRecord>, PastError> {
    let mut found: BTreeMap<Revision, FoundRecord> = BTreeMap::new();
    let mut entry = None;
    for start in starts {
        let mut next = *start;
        while next > Revision::ZERO && found.len() < CHAIN_MAX && !found.contains_key(&next) {
            let Some(told) = past.record_in(next, entry.take())? else { break };
            entry = Some(told.entry.clone());
            let cause = Revision(told.record.cause);
            found.insert(next, told);
            next = if cause < next { cause } else { Revision::ZERO };
        }
    }
    Ok(found.into_values().rev().collect())
}
