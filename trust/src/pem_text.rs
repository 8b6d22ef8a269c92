//! PEM as this crate writes it: lines of 64 characters that end in `\n`, the last one included.
//!
//! The form is fixed, because the digest in a join token is that of the text and not of the bytes.

use pem::{EncodeConfig, LineEnding, Pem};

/// What stands in the first line of a certificate's text.
pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
/// What stands in the first line of a private key's text.
pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";

/// The text of these DER bytes.
pub(crate) fn encode(tag: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF).set_line_wrap(64);
    pem::encode_config(&Pem::new(tag, der), config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_fixed() {
        assert_eq!(
            encode(CERTIFICATE, &[0; 50]),
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\nAAA=\n-----END CERTIFICATE-----\n",
                "A".repeat(64)
            )
        );
    }
}
