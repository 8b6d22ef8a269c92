//! Keys on a manager's disk that only an unlock key opens.
//!
//! Where the cluster is locked, three files are sealed: the authority's key, the node's key, and
//! the keys of the log's entries. Each says with which salt its unlock key was made. The
//! authority's key is written last: who opens it can make the unlock keys of the other two,
//! whatever their salts, so a crash in between leaves nothing that can't be opened.

use crate::{
    CertificateAuthority,
    cipher::NoRandomness,
    unlock_key::{LockSalt, UnlockKey},
};
use pem::{EncodeConfig, LineEnding, Pem};
use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};
use zeroize::Zeroizing;

/// What stands in the first line of a sealed text.
const SEALED_TAG: &str = "SKEP SEALED KEY";
const SALT_HEADER: &str = "Lock";

/// What a sealed file holds. It can't take another one's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SealedContent {
    /// The key of the cluster's authority.
    AuthorityKey,
    /// The key of the machine's node.
    NodeKey,
    /// The keys of the log's entries.
    DataKeys,
}

/// The unlock keys that this process knows, and the one with which it seals what it writes. All
/// clones are one.
#[derive(Clone, Default)]
pub struct KeyLock(Arc<RwLock<KnownKeys>>);

#[derive(Default)]
struct KnownKeys {
    keys: BTreeMap<LockSalt, UnlockKey>,
    writes: Option<LockSalt>,
}

/// What reading a text that may be sealed came to.
#[derive(Debug, PartialEq, Eq)]
pub enum SealedText {
    /// The text.
    Opened(Zeroizing<String>),
    /// It is sealed, and its key is not known.
    Locked(LockSalt),
    /// It claims to be sealed, and the key that it names does not open it.
    Damaged,
}

impl SealedContent {
    /// What a sealed text is bound to: what it is, and the salt that it names.
    fn context(self, salt: LockSalt) -> Vec<u8> {
        let what: &[u8] = match self {
            SealedContent::AuthorityKey => b"authority key",
            SealedContent::NodeKey => b"node key",
            SealedContent::DataKeys => b"data keys",
        };
        [what, &salt.0].concat()
    }
}

impl KeyLock {
    fn known(&self) -> std::sync::RwLockReadGuard<'_, KnownKeys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The salt with which texts are sealed now; none where they are written in the clear.
    pub fn writes(&self) -> Option<LockSalt> {
        self.known().writes
    }

    /// From now on this key is known.
    pub fn know(&self, salt: LockSalt, key: UnlockKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).keys.insert(salt, key);
    }

    /// From now on texts are sealed with the key of this salt, if it is known, or written in the
    /// clear.
    pub fn write_with(&self, salt: Option<LockSalt>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.writes = salt.filter(|salt| known.keys.contains_key(salt));
    }

    /// From now on texts are sealed with the authority's key of this salt, or written in the clear.
    pub fn seal_with(&self, salt: Option<LockSalt>, authority: &CertificateAuthority) {
        if let Some(salt) = salt {
            self.know(salt, authority.unlock_key(salt));
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).writes = salt;
    }

    /// The text as it is to be written.
    pub fn close(
        &self,
        content: SealedContent,
        text: &str,
    ) -> Result<Zeroizing<String>, NoRandomness> {
        let known = self.known();
        let with = known.writes.and_then(|salt| Some((salt, known.keys.get(&salt)?)));
        let Some((salt, key)) = with else { return Ok(Zeroizing::new(text.to_owned())) };
        let sealed = key.sealing().seal(&content.context(salt), text.as_bytes())?;
        let mut pem = Pem::new(SEALED_TAG, sealed);
        // A header of letters and digits is always taken.
        pem.headers_mut().add(SALT_HEADER, &salt.to_string()).ok();
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF).set_line_wrap(64);
        Ok(Zeroizing::new(pem::encode_config(&pem, config)))
    }

    /// The text that was written.
    pub fn open(&self, content: SealedContent, written: Zeroizing<String>) -> SealedText {
        let Some(sealed) = sealed(&written) else { return SealedText::Opened(written) };
        let Some((salt, bytes)) = sealed else { return SealedText::Damaged };
        let Some(key) = self.known().keys.get(&salt).cloned() else {
            return SealedText::Locked(salt);
        };
        let text = key.sealing().open(&content.context(salt), &bytes);
        let text = text.and_then(|text| String::from_utf8(text.to_vec()).ok());
        text.map_or(SealedText::Damaged, |text| SealedText::Opened(Zeroizing::new(text)))
    }
}

/// The salt of the unlock key that a text is sealed with; none where it lies in the clear.
pub(crate) fn salt_of(written: &str) -> Option<LockSalt> {
    sealed(written).flatten().map(|(salt, _)| salt)
}

/// The salt and the bytes of a sealed text, if it is one; none inside where it is malformed.
fn sealed(written: &str) -> Option<Option<(LockSalt, Vec<u8>)>> {
    written.starts_with(&format!("-----BEGIN {SEALED_TAG}-----")).then(|| {
        let pem = pem::parse(written).ok()?;
        let salt = LockSalt::from_str(pem.headers().get(SALT_HEADER)?).ok()?;
        Some((salt, pem.into_contents()))
    })
}

impl fmt::Debug for KeyLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLock(writes {:?})", self.writes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::Timestamp;

    #[test]
    fn a_text_is_sealed_with_the_newest_key_and_opened_with_the_one_that_it_names() {
        let authority = CertificateAuthority::found(Timestamp(1 << 60)).unwrap();
        let [one, two] = [1, 2].map(|byte| LockSalt([byte; 16]));
        let lock = KeyLock::default();
        let text = |text: &str| Zeroizing::new(text.to_owned());
        assert_eq!(lock.close(SealedContent::NodeKey, "clear").unwrap(), text("clear"));
        lock.seal_with(Some(one), &authority);
        let first = lock.close(SealedContent::NodeKey, "secret").unwrap();
        assert!(!first.contains("secret") && first.contains(&one.to_string()), "{}", *first);
        lock.seal_with(Some(two), &authority);
        assert_eq!(lock.writes(), Some(two));
        let open = |content, written: &Zeroizing<String>| lock.open(content, written.clone());
        assert_eq!(open(SealedContent::NodeKey, &first), SealedText::Opened(text("secret")));
        assert_eq!(
            open(SealedContent::DataKeys, &first),
            SealedText::Damaged,
            "it is something else"
        );
        assert_eq!(open(SealedContent::NodeKey, &text("clear")), SealedText::Opened(text("clear")));
        let cut = text(&first[..first.len() - 40]);
        assert_eq!(open(SealedContent::NodeKey, &cut), SealedText::Damaged);
        let fresh = KeyLock::default();
        assert_eq!(fresh.open(SealedContent::NodeKey, first.clone()), SealedText::Locked(one));
        fresh.know(one, authority.unlock_key(two));
        assert_eq!(
            fresh.open(SealedContent::NodeKey, first.clone()),
            SealedText::Damaged,
            "another key"
        );
        let other = Zeroizing::new(first.replace(&one.to_string(), &two.to_string()));
        fresh.know(two, authority.unlock_key(one));
        assert_eq!(fresh.open(SealedContent::NodeKey, other), SealedText::Damaged, "another salt");
        fresh.know(one, authority.unlock_key(one));
        assert_eq!(fresh.open(SealedContent::NodeKey, first), SealedText::Opened(text("secret")));
        lock.seal_with(None, &authority);
        assert_eq!(lock.close(SealedContent::NodeKey, "clear").unwrap(), text("clear"));
    }
}
