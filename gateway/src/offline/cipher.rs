//! What opens the log of a stopped manager.

use super::OfflineError;
use skep_trust::{
    CertificateFolder, DataKeyFile, FolderError, KeyLock, UnlockKey, ValueCipher, cipher,
};
use std::{path::Path, sync::Arc};

/// What opens the log in the state folder of a stopped manager; none where nothing is sealed.
pub fn cipher(
    dir: &Path,
    unlock_key: Option<&UnlockKey>,
) -> Result<Option<Arc<ValueCipher>>, OfflineError> {
    let lock = KeyLock::default();
    let file = DataKeyFile::of(dir.join("log"), lock.clone());
    let authority = CertificateFolder::new(dir.join("certificates")).with_lock(lock.clone());
    let salt = file.sealed_with()?;
    if let (Some(salt), Some(key)) = (salt, unlock_key) {
        lock.know(salt, key.clone());
        // A crash may have come between the files: then the key opens the authority's alone.
        if let Some(of_authority) = authority.authority_sealed_with()?.filter(|own| *own != salt) {
            lock.know(of_authority, key.clone());
            if let Ok(Some(authority)) = authority.read_authority() {
                lock.know(salt, authority.unlock_key(salt));
            }
        }
    }
    let keys = match file.read() {
        Err(FolderError::NotOpened { .. }) => return Err(OfflineError::OtherKey),
        read => read?,
    };
    // A recovery writes with it.
    let session = cipher::random().map_err(FolderError::from)?;
    let cipher = keys.and_then(|keys| ValueCipher::new(keys, session).ok());
    Ok(cipher.map(Arc::new))
}
