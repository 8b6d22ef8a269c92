//! What a turn draws from. PURE.
//!
//! Ids come from a seed that the entry names, so that the turn can be repeated. Salts come from
//! another one, which is written nowhere: a salt that could be computed would not hide the text
//! that is erased with it.

use sha2::{Digest as _, Sha256};
use skep_proto::{event, v1::Record};

/// Bytes of a salt.
const SALT_BYTES: usize = 16;

/// Random bytes for one turn; none may ever be used twice.
#[derive(Clone, Copy)]
pub struct Seeds {
    /// For new ids.
    pub ids: [u8; 32],
    /// For salts.
    pub salts: [u8; 32],
}

impl Seeds {
    /// Both from random bytes.
    pub fn from_random(bytes: [u8; 64]) -> Seeds {
        let (mut ids, mut salts) = ([0; 32], [0; 32]);
        ids.copy_from_slice(&bytes[..32]);
        salts.copy_from_slice(&bytes[32..]);
        Seeds { ids, salts }
    }
}

/// A stream of salts.
pub(super) struct Salts {
    seed: [u8; 32],
    blocks: u64,
    /// The second half of the newest block.
    spare: Option<[u8; SALT_BYTES]>,
}

impl Salts {
    pub(super) fn new(seed: [u8; 32]) -> Salts {
        Salts { seed, blocks: 0, spare: None }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> [u8; SALT_BYTES] {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        self.blocks += 1;
        let block = Sha256::new().chain_update(self.seed).chain_update(self.blocks.to_be_bytes());
        let block: [u8; 2 * SALT_BYTES] = block.finalize().into();
        let (mut salt, mut spare) = ([0; SALT_BYTES], [0; SALT_BYTES]);
        salt.copy_from_slice(&block[..SALT_BYTES]);
        spare.copy_from_slice(&block[SALT_BYTES..]);
        self.spare = Some(spare);
        salt
    }
}

/// Whether a record holds text that somebody may want erased one day.
pub(super) fn holds_free_text(record: &Record) -> bool {
    let kind = record.event.as_ref().and_then(|event| event.kind.as_ref());
    !record.reason.is_empty()
        || !record.warnings.is_empty()
        || kind.is_some_and(event::holds_free_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::v1::{ServiceCreated, TenureBegun, event::Kind};
    use std::collections::BTreeSet;

    #[test]
    fn text_stands_in_the_event_in_the_reason_or_in_a_warning() {
        let of = |kind| Record { event: Some(event::event(kind)), ..Record::default() };
        let plain = || of(Kind::TenureBegun(TenureBegun::default()));
        assert!(!holds_free_text(&plain()), "it says nothing that could be erased");
        assert!(holds_free_text(&of(Kind::ServiceCreated(Box::<ServiceCreated>::default()))));
        assert!(holds_free_text(&Record { reason: "a test".into(), ..plain() }));
        assert!(holds_free_text(&Record { warnings: vec!["mind the gap".into()], ..plain() }));
    }

    #[test]
    fn no_salt_comes_twice_and_none_follows_from_the_seed_that_is_recorded() {
        let seeds = Seeds::from_random(std::array::from_fn(|at| at as u8));
        assert_eq!((seeds.ids[0], seeds.ids[31], seeds.salts[0], seeds.salts[31]), (0, 31, 32, 63));
        let (mut salts, mut others) = (Salts::new(seeds.salts), Salts::new(seeds.ids));
        let drawn: BTreeSet<_> = (0..5).flat_map(|_| [salts.next(), others.next()]).collect();
        assert_eq!(drawn.len(), 10);
    }
}
