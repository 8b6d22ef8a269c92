//! Join tokens: what a machine needs to know to become a node.
//!
//! A token has the form of Swarm's, so that people and scripts that know it know ours:
//! `SWMTKN-1-<digest of the root certificate>-<secret>`. The digest lets the machine recognise the
//! cluster's manager before it sends the secret; the secret lets the manager recognise the machine
//! and says which role it gets. Both are numbers in base 36, padded with zeros at the left. PURE.

use std::{fmt, str::FromStr};
use subtle::ConstantTimeEq;
use thiserror::Error;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "SWMTKN";
const VERSION: &str = "1";
/// The version that Docker gives to the tokens of clusters in FIPS mode.
const FIPS_VERSION: &str = "2";
/// Digits of the root certificate's digest: enough for 256 bits.
const DIGEST_CHARS: usize = 50;
/// Digits of the secret: enough for 128 bits.
const SECRET_CHARS: usize = 25;

/// What a machine needs to know to become a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinToken {
    /// SHA-256 of the PEM text of the cluster's root certificate.
    pub root_digest: [u8; 32],
    /// What the manager recognises. Each role has its own.
    pub secret: TokenSecret,
}

/// The secret part of a join token: 128 bits that are compared in constant time and never shown by
/// `Debug`.
#[derive(Clone)]
pub struct TokenSecret([u8; 16]);

/// A field of a join token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenField {
    /// The digest of the root certificate.
    RootDigest,
    /// The secret.
    Secret,
}

/// Why a text is not a join token. The message never repeats the text, which may be a secret.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TokenError {
    /// It has another form.
    #[error("this is not a join token, which has the form SWMTKN-1-<digest>-<secret>")]
    NotAToken,
    /// It is the token of a cluster in FIPS mode.
    #[error(
        "this join token is of version 2, for clusters in FIPS mode, which skep does not have; \
         a token of version 1 is needed"
    )]
    Fips,
    /// It has a version that this program does not know.
    #[error("this join token is of an unknown version; a token of version 1 is needed")]
    UnknownVersion,
    /// A field lacks characters or has too many, as after an incomplete copy.
    #[error("the {field} of this join token has {chars} characters instead of {expected}")]
    FieldLength {
        /// Which field.
        field: TokenField,
        /// Characters that it has.
        chars: usize,
        /// Characters that it must have.
        expected: usize,
    },
    /// A field has a character that is no digit of base 36.
    #[error(
        "the {field} of this join token has the character {character:?}; it consists of 0-9 and a-z"
    )]
    FieldDigit {
        /// Which field.
        field: TokenField,
        /// The first such character.
        character: char,
    },
    /// A field is a number of more bits than it may have.
    #[error("the {field} of this join token is too large a number")]
    FieldTooLarge {
        /// Which field.
        field: TokenField,
    },
}

impl TokenSecret {
    /// The secret of these bytes.
    pub fn new(bytes: [u8; 16]) -> TokenSecret {
        TokenSecret(bytes)
    }
}

impl PartialEq for TokenSecret {
    /// Takes the same time wherever the first difference is, so that nobody finds a secret byte by
    /// byte by measuring answers.
    fn eq(&self, other: &TokenSecret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenSecret {}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

impl fmt::Display for TokenField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenField::RootDigest => "digest",
            TokenField::Secret => "secret",
        })
    }
}

impl fmt::Display for JoinToken {
    /// The whole token, with its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = encode(&self.root_digest, DIGEST_CHARS);
        let secret = encode(&self.secret.0, SECRET_CHARS);
        write!(f, "{PREFIX}-{VERSION}-{digest}-{secret}")
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    /// Reads a token. White space around it is ignored, since a file ends in a line end.
    fn from_str(text: &str) -> Result<JoinToken, TokenError> {
        let mut fields = text.trim().split('-');
        if fields.next() != Some(PREFIX) {
            return Err(TokenError::NotAToken);
        }
        match fields.next() {
            Some(VERSION) => {}
            Some(FIPS_VERSION) => return Err(TokenError::Fips),
            Some(version) if is_number(version) => return Err(TokenError::UnknownVersion),
            Some(_) | None => return Err(TokenError::NotAToken),
        }
        let (Some(digest), Some(secret), None) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(TokenError::NotAToken);
        };
        Ok(JoinToken {
            root_digest: decode(digest, TokenField::RootDigest, DIGEST_CHARS)?,
            secret: TokenSecret(decode(secret, TokenField::Secret, SECRET_CHARS)?),
        })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The bytes as one big-endian number in base 36, with zeros at the left up to this length.
fn encode(bytes: &[u8], chars: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; chars];
    for digit in digits.iter_mut().rev() {
        // Long division by 36: the quotient stays in `number`, the remainder is the next digit.
        let remainder = number.iter_mut().fold(0u16, |remainder, byte| {
            let dividend = remainder << 8 | u16::from(*byte);
            *byte = (dividend / 36) as u8;
            dividend % 36
        });
        *digit = DIGITS[usize::from(remainder)];
    }
    digits.into_iter().map(char::from).collect()
}

/// Reads what [`encode`] wrote.
fn decode<const BYTES: usize>(
    text: &str,
    field: TokenField,
    expected: usize,
) -> Result<[u8; BYTES], TokenError> {
    let chars = text.chars().count();
    if chars != expected {
        return Err(TokenError::FieldLength { field, chars, expected });
    }
    let mut number = [0u8; BYTES];
    for character in text.chars() {
        let digit = DIGITS
            .iter()
            .position(|digit| char::from(*digit) == character)
            .ok_or(TokenError::FieldDigit { field, character })?;
        // The number times 36 plus the digit, byte by byte from the right.
        let carry = number.iter_mut().rev().fold(digit, |carry, byte| {
            let sum = usize::from(*byte) * 36 + carry;
            *byte = (sum % 256) as u8;
            sum / 256
        });
        if carry > 0 {
            return Err(TokenError::FieldTooLarge { field });
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Computed with Python from the bytes 00..1f and f0..ff.
    const KNOWN: &str = "SWMTKN-1-0004kt6yh5gguqfu8e93hara9xtyf5l309wcar43f213wip34v-\
                         e9iu3aoa8zrrwge4k3lo707wf";

    fn known() -> JoinToken {
        JoinToken {
            root_digest: std::array::from_fn(|at| at as u8),
            secret: TokenSecret(std::array::from_fn(|at| 0xf0 + at as u8)),
        }
    }

    #[test]
    fn the_text_is_that_of_swarm() {
        assert_eq!(known().to_string(), KNOWN);
        assert_eq!(format!(" {KNOWN}\n").parse(), Ok(known()));
    }

    #[test]
    fn the_secret_counts_and_is_not_shown() {
        let mut other = known();
        other.secret.0[15] ^= 1;
        assert_ne!(known(), other);
        assert!(format!("{:?}", known()).contains("TokenSecret(..)"), "{:?}", known());
    }

    #[test]
    fn other_texts_are_refused_with_what_is_wrong() {
        let field = TokenField::Secret;
        let highest_digest = "6dp5qcb22im238nr3wvp0ic7q99w035jmy2iw7i6n43d37jtof";
        let highest = format!("SWMTKN-1-{highest_digest}-f5lxx1zz5pnorynqglhzmsp33");
        let top: JoinToken = highest.parse().unwrap();
        assert_eq!((top.root_digest, top.secret.0), ([0xff; 32], [0xff; 16]));
        let cases = [
            ("", TokenError::NotAToken),
            ("SWMTKN", TokenError::NotAToken),
            ("SWMTKN-x-1-2", TokenError::NotAToken),
            ("SWMTKN--1-2", TokenError::NotAToken),
            ("token-1-0-0", TokenError::NotAToken),
            (&format!("{KNOWN}-0"), TokenError::NotAToken),
            (&KNOWN[..40], TokenError::NotAToken),
            (&KNOWN.replace("-1-", "-2-"), TokenError::Fips),
            (&KNOWN.replace("-1-", "-3-"), TokenError::UnknownVersion),
            (&KNOWN[..KNOWN.len() - 1], TokenError::FieldLength { field, chars: 24, expected: 25 }),
            (&KNOWN.replace("wf", "wF"), TokenError::FieldDigit { field, character: 'F' }),
            (&highest.replace("sp33", "sp34"), TokenError::FieldTooLarge { field }),
            (
                &highest.replace("tof", "tog"),
                TokenError::FieldTooLarge { field: TokenField::RootDigest },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<JoinToken>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn messages_name_the_field() {
        let error = "SWMTKN-1-0-0".parse::<JoinToken>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the digest of this join token has 1 characters instead of 50"
        );
        let error = KNOWN.replace("wf", "w_").parse::<JoinToken>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the secret of this join token has the character '_'; it consists of 0-9 and a-z"
        );
    }

    proptest! {
        #[test]
        fn tokens_round_trip(root_digest: [u8; 32], secret: [u8; 16]) {
            let token = JoinToken { root_digest, secret: TokenSecret(secret) };
            let text = token.to_string();
            prop_assert_eq!(text.len(), 9 + DIGEST_CHARS + 1 + SECRET_CHARS);
            prop_assert_eq!(text.parse(), Ok(token));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(SWMTKN-1-)?.{0,90}") {
            let _ = text.parse::<JoinToken>();
        }
    }
}
