//! The key that opens a manager's keys after a restart, where the cluster is locked.
//!
//! It has the form of Swarm's: `SWMKEY-1-` and 32 bytes in base 64. Like a join token it is written
//! down nowhere: it is made from the authority's key and a salt that the cluster's records hold. So
//! every unlocked manager knows it, and a new salt makes a new one. Whoever has the authority's key
//! gains nothing by computing it.

use crate::{
    CertificateAuthority,
    cipher::{KEY_LEN, SealingKey},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use std::{fmt, str::FromStr};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

const PREFIX: &str = "SWMKEY-1-";
/// 32 bytes in base 64, without padding.
const TEXT_CHARS: usize = 43;
/// Separates this hash from any other one over the authority's key.
const UNLOCK_DOMAIN: &[u8] = b"skep unlock key 1";

/// What an unlock key was made with. It is no secret, and says which key opens a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockSalt(pub [u8; 16]);

/// Opens a manager's keys. Never shown by `Debug`.
#[derive(Clone)]
pub struct UnlockKey(SealingKey);

/// Why a text is no unlock key. The message never repeats the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("this is not an unlock key, which has the form SWMKEY-1-<43 characters of base 64>")]
pub struct NoUnlockKey;

impl UnlockKey {
    /// What seals and opens files.
    pub fn sealing(&self) -> &SealingKey {
        &self.0
    }

    /// The whole key, for people.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", STANDARD_NO_PAD.encode(&self.0.0[..])))
    }
}

impl CertificateAuthority {
    /// The unlock key of the cluster with this salt.
    pub fn unlock_key(&self, salt: LockSalt) -> UnlockKey {
        UnlockKey(SealingKey::new(self.derive(UNLOCK_DOMAIN, &[&salt.0])))
    }
}

impl PartialEq for UnlockKey {
    fn eq(&self, other: &UnlockKey) -> bool {
        self.0.0.ct_eq(&other.0.0[..]).into()
    }
}

impl Eq for UnlockKey {}

impl FromStr for UnlockKey {
    type Err = NoUnlockKey;

    /// White space around it is ignored, since a file ends in a line end.
    fn from_str(text: &str) -> Result<UnlockKey, NoUnlockKey> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(NoUnlockKey)?;
        if encoded.len() != TEXT_CHARS {
            return Err(NoUnlockKey);
        }
        let bytes = Zeroizing::new(STANDARD_NO_PAD.decode(encoded).map_err(|_| NoUnlockKey)?);
        let bytes: [u8; KEY_LEN] = bytes[..].try_into().map_err(|_| NoUnlockKey)?;
        Ok(UnlockKey(SealingKey::new(bytes)))
    }
}

impl fmt::Debug for UnlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnlockKey(..)")
    }
}

impl fmt::Display for LockSalt {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LockSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LockSalt {
    type Err = NoUnlockKey;

    fn from_str(text: &str) -> Result<LockSalt, NoUnlockKey> {
        let number = u128::from_str_radix(text, 16).map_err(|_| NoUnlockKey)?;
        (text.len() == 32).then_some(LockSalt(number.to_be_bytes())).ok_or(NoUnlockKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::Timestamp;

    #[test]
    fn an_unlock_key_is_that_of_the_authority_and_the_salt_and_reads_as_it_was_shown() {
        let founded = || CertificateAuthority::found(Timestamp(1 << 60)).unwrap();
        let (one, other) = (founded(), founded());
        let salts = [1, 2].map(|byte| LockSalt([byte; 16]));
        let key = one.unlock_key(salts[0]);
        assert_eq!(key, one.unlock_key(salts[0]));
        assert_ne!(key, one.unlock_key(salts[1]));
        assert_ne!(key, other.unlock_key(salts[0]));
        let text = key.to_text();
        assert!(text.starts_with("SWMKEY-1-") && text.len() == 52, "as Swarm's");
        assert_eq!(format!(" {}\n", *text).parse(), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "UnlockKey(..)");
        for wrong in ["", "SWMKEY-1-", &text[1..], &text[..51], &format!("{}=", *text)] {
            assert_eq!(wrong.parse::<UnlockKey>(), Err(NoUnlockKey), "{wrong}");
        }
        assert_eq!(salts[0].to_string().parse(), Ok(salts[0]));
        assert!("+1".repeat(16).parse::<LockSalt>().is_err());
        assert!("01".parse::<LockSalt>().is_err());
    }
}
