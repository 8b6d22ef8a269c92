//! Encryption of what lies on a disk: AES-256-GCM.
//!
//! Each text is bound to a context, which says what it is and where it stands. So nobody who can
//! write on the disk puts one sealed text in the place of another.

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// A key that seals few texts, each under a random nonce: files, not rows.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey(pub(crate) Zeroizing<[u8; KEY_LEN]>);

/// The system gives no random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// This many random bytes.
pub fn random<const LEN: usize>() -> Result<[u8; LEN], NoRandomness> {
    let mut bytes = [0; LEN];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

impl SealingKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; KEY_LEN]) -> SealingKey {
        SealingKey(Zeroizing::new(bytes))
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.0[..]).ok().map(LessSafeKey::new)
    }

    /// The nonce, then the sealed text with its tag.
    pub fn seal(&self, context: &[u8], text: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = text.to_vec();
        let cipher = self.cipher().ok_or(NoRandomness)?;
        let (nonce_in, context) = (Nonce::assume_unique_for_key(nonce), Aad::from(context));
        cipher
            .seal_in_place_append_tag(nonce_in, context, &mut sealed)
            .map_err(|_| NoRandomness)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The text; none where it was sealed with another key or for another context, or was altered.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.cipher()?.open_in_place(nonce, Aad::from(context), &mut text).ok()?;
        let bytes = opened.len();
        text.truncate(bytes);
        Some(text)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_opened_with_its_key_in_its_context_and_unaltered() {
        let key = SealingKey::new([7; KEY_LEN]);
        let sealed = key.seal(b"node key", b"text").unwrap();
        assert_ne!(
            sealed,
            key.seal(b"node key", b"text").unwrap(),
            "each under a nonce of its own"
        );
        assert_eq!(
            key.open(b"node key", &sealed).as_deref().map(|text| &text[..]),
            Some(&b"text"[..])
        );
        assert_eq!(key.open(b"data keys", &sealed), None);
        assert_eq!(SealingKey::new([8; KEY_LEN]).open(b"node key", &sealed), None);
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(key.open(b"node key", &altered), None, "byte {at}");
            assert_eq!(key.open(b"node key", &sealed[..at]), None, "cut at {at}");
        }
    }
}
