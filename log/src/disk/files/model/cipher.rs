//! What a log writes on a model is sealed too, with a key that everybody knows.

use super::ModelDisk;
use crate::disk::files::{Files, sealed::SealedFiles};
use skep_trust::{DataKeys, ValueCipher};
use std::sync::Arc;

const KNOWN_KEYS: &str = "skep data keys 1\n1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

/// The cipher of models.
pub(crate) fn known_cipher() -> Arc<ValueCipher> {
    let keys = DataKeys::parse(KNOWN_KEYS).expect("these are keys");
    Arc::new(ValueCipher::new(keys, [0; 16]).expect("there is one"))
}

impl ModelDisk {
    /// The disk as a log sees it.
    pub(crate) fn sealed(&self) -> Arc<dyn Files> {
        SealedFiles::over(Arc::new(self.clone()), Some(known_cipher()))
    }
}
