//! The library of cryptography that TLS uses: ring. This is the only place that names one.

use rustls::crypto::{CryptoProvider, ring};
use std::sync::{Arc, OnceLock};

/// The library of cryptography for all TLS configurations.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider())).clone()
}
