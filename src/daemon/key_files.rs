//! The keys of a manager on this machine's disk. Where its cluster is locked they are sealed, and
//! the manager waits at its start until somebody gives the unlock key.

use super::{node, state::StateDir};
use anyhow::{Context, Result};
use skep_gateway::{admit::Refusal, authority::DiskKeys};
use skep_trust::{
    CertificateFolder, DataKeyFile, FolderError, KeyLock, LockSalt, UnlockKey, ValueCipher, cipher,
};
use std::sync::Arc;

/// The key files of a manager, and what opens them.
pub(super) struct KeyFiles {
    lock: KeyLock,
    authority: CertificateFolder,
    node: CertificateFolder,
    data: DataKeyFile,
}

impl KeyFiles {
    pub(super) fn of(state: &StateDir, lock: &KeyLock) -> KeyFiles {
        let folder = |path| CertificateFolder::new(path).with_lock(lock.clone());
        KeyFiles {
            lock: lock.clone(),
            authority: folder(state.path().join("certificates")),
            node: folder(node::certificates(state)),
            data: DataKeyFile::of(state.path().join("log"), lock.clone()),
        }
    }

    /// Opens what needs nobody's help: from the authority's key all unlock keys follow. Some where
    /// an unlock key is needed.
    pub(super) fn open(&self) -> Result<Option<LockSalt>, FolderError> {
        self.authority.remove_leftovers()?;
        self.node.remove_leftovers()?;
        self.data.remove_leftover()?;
        let authority = match self.authority.read_authority() {
            Err(FolderError::Locked { salt, .. }) => return Ok(Some(salt)),
            found => found?,
        };
        let Some(authority) = authority else { return self.open_without_authority() };
        let wanted = self.authority.authority_sealed_with()?;
        self.lock.seal_with(wanted, &authority);
        // A crash may have come between the files.
        let (node, data) = (self.node.node_sealed_with()?, self.data.sealed_with()?);
        for salt in [node, data].into_iter().flatten() {
            self.lock.know(salt, authority.unlock_key(salt));
        }
        // Without these there is no log: better said now than when the log opens.
        self.data.read()?;
        if (node, data) != (wanted, wanted)
            && let Err(error) = self.seal_alike()
        {
            // They open all the same, and are written again when the lock changes.
            tracing::warn!("the key files of this manager are not sealed alike: {error}");
        }
        Ok(None)
    }

    /// Of a manager that lost the authority's key, or has none yet: it gets it from another one.
    fn open_without_authority(&self) -> Result<Option<LockSalt>, FolderError> {
        for read in [self.data.read().map(drop), self.node.read_node_key().map(drop)] {
            match read {
                Err(FolderError::Locked { salt, .. }) => return Ok(Some(salt)),
                read => read?,
            }
        }
        // Not with a key of another cluster that this process was part of.
        self.lock.write_with(self.data.sealed_with()?);
        Ok(None)
    }

    fn seal_alike(&self) -> Result<(), FolderError> {
        self.node.write_key_anew()?;
        self.data.read()?.map_or(Ok(()), |keys| self.data.write(&keys))
    }

    /// Opens them with the unlock key that somebody has given.
    pub(super) fn unlock(&self, key: &UnlockKey) -> Result<(), Refusal> {
        let failed = |error: FolderError| Refusal::precondition(error.to_string());
        // Without the authority's key they may have been sealed with several.
        while let Some(salt) = self.open().map_err(failed)? {
            let tried = KeyLock::default();
            tried.know(salt, key.clone());
            match self.with_lock(&tried).open() {
                Err(FolderError::NotOpened { .. }) => return Err(other_key()),
                opened => drop(opened.map_err(failed)?),
            }
            self.lock.know(salt, key.clone());
        }
        Ok(())
    }

    fn with_lock(&self, lock: &KeyLock) -> KeyFiles {
        let with = |folder: &CertificateFolder| folder.clone().with_lock(lock.clone());
        let (authority, node) = (with(&self.authority), with(&self.node));
        KeyFiles { authority, node, data: self.data.with_lock(lock.clone()), lock: lock.clone() }
    }

    /// For the manager that starts now. Its log gets keys if it has none.
    pub(super) fn for_manager(self) -> Result<DiskKeys> {
        let keys = self.data.read_or_make()?;
        let session = cipher::random()?;
        let cipher = ValueCipher::new(keys, session).context("the keys of the log")?;
        let KeyFiles { lock, authority, node, data } = self;
        Ok(DiskKeys { lock, authority, node, data, cipher: Arc::new(cipher) })
    }

    /// The node is no manager any more: its key lies in the clear, as every worker's.
    pub(super) fn clear_node_key(&self) -> Result<(), FolderError> {
        if let Some(authority) = self.authority.read_authority()? {
            self.lock.seal_with(None, &authority);
        }
        self.node.write_key_anew()
    }
}

fn other_key() -> Refusal {
    let message =
        "this manager could not be unlocked: the key is not the one that it was locked with";
    Refusal::precondition(message).hint(
        "`skep cluster unlock-key` on a manager that is unlocked shows the newest key; one that was \
         away when that was rotated needs the key of before",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_proto::Timestamp;
    use skep_trust::{CertificateAuthority, NodeKey};
    use std::{fs, path::Path};

    /// Those of a manager, in the order in which they are sealed.
    const FILES: [&str; 3] =
        ["log/keys", "agent/certificates/swarm-node.key", "certificates/swarm-root-ca.key"];

    fn manager() -> (tempfile::TempDir, CertificateAuthority) {
        let dir = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::found(Timestamp(1 << 60)).unwrap();
        let keys = files(dir.path());
        keys.authority.write_authority(&authority).unwrap();
        keys.node.write_key(&NodeKey::generate().unwrap()).unwrap();
        drop(keys.for_manager().unwrap());
        (dir, authority)
    }

    fn files(dir: &Path) -> KeyFiles {
        let state = StateDir::hold(dir).unwrap();
        KeyFiles::of(&state, &KeyLock::default())
    }

    fn texts(dir: &Path) -> [String; 3] {
        FILES.map(|name| fs::read_to_string(dir.join(name)).unwrap())
    }

    /// Opened with this key if need be: all three can be read, and are sealed alike.
    fn opens(dir: &Path, key: &UnlockKey) -> DiskKeys {
        let keys = files(dir);
        if keys.open().unwrap().is_some() {
            keys.unlock(key).unwrap();
        }
        let salts = [
            keys.data.sealed_with().unwrap(),
            keys.node.node_sealed_with().unwrap(),
            keys.authority.authority_sealed_with().unwrap(),
        ];
        assert_eq!(salts, [keys.lock.writes(); 3]);
        assert!(keys.node.read_node().unwrap().is_some());
        keys.for_manager().unwrap()
    }

    #[test]
    fn a_crash_between_the_key_files_leaves_nothing_that_cannot_be_opened() {
        let (dir, authority) = manager();
        let salts = [None, Some(LockSalt([1; 16])), Some(LockSalt([2; 16])), None];
        let key = |salt: Option<LockSalt>| authority.unlock_key(salt.unwrap_or(LockSalt([9; 16])));
        for step in salts.windows(2) {
            let [from, to] = step else { unreachable!("windows of two") };
            let before = texts(dir.path());
            opens(dir.path(), &key(*from)).seal(&authority, *to).unwrap();
            let after = texts(dir.path());
            let order = if to.is_none() { [2, 0, 1] } else { [0, 1, 2] };
            for written in 0..=3 {
                for (place, file) in order.iter().enumerate() {
                    let text = if place < written { &after[*file] } else { &before[*file] };
                    fs::write(dir.path().join(FILES[*file]), text).unwrap();
                }
                // Whose key opens the authority's opens all.
                let salt = if written == 3 || (to.is_none() && written > 0) { to } else { from };
                drop(opens(dir.path(), &key(*salt)));
                assert_eq!(files(dir.path()).open().unwrap(), *salt);
            }
            for (file, text) in FILES.iter().zip(&after) {
                fs::write(dir.path().join(file), text).unwrap();
            }
        }
    }

    #[test]
    fn a_locked_manager_is_opened_by_its_key_alone() {
        let (dir, authority) = manager();
        let salt = LockSalt([1; 16]);
        files(dir.path()).for_manager().unwrap().seal(&authority, Some(salt)).unwrap();
        let all = texts(dir.path()).concat();
        assert!(!all.contains("PRIVATE KEY") && !all.contains("data keys"), "{all}");
        let leftover = dir.path().join(format!("{}.new", FILES[2]));
        fs::write(&leftover, "in the clear").unwrap();
        let keys = files(dir.path());
        assert_eq!(keys.open().unwrap(), Some(salt));
        let refusal = keys.unlock(&authority.unlock_key(LockSalt([2; 16]))).unwrap_err();
        let told =
            "this manager could not be unlocked: the key is not the one that it was locked with";
        assert_eq!(refusal.message, told);
        assert_eq!(keys.open().unwrap(), Some(salt), "it is still locked");
        keys.unlock(&authority.unlock_key(salt)).unwrap();
        assert_eq!(keys.open().unwrap(), None);
        assert_eq!(keys.lock.writes(), Some(salt), "and sealed at its next start");
        assert!(!leftover.exists());
    }

    #[test]
    fn a_new_key_seals_entries_once_the_cluster_is_locked() {
        let (dir, authority) = manager();
        let keys = files(dir.path()).for_manager().unwrap();
        let shown = |keys: &DiskKeys| format!("{:?}", keys.cipher.keys()).split(", ").count();
        assert_eq!(shown(&keys), 1);
        for (salt, expected) in [(Some(1), 2), (Some(2), 2), (None, 2), (Some(3), 3)] {
            keys.seal(&authority, salt.map(|byte| LockSalt([byte; 16]))).unwrap();
            assert_eq!(shown(&keys), expected);
        }
    }

    #[test]
    fn a_write_that_fails_leaves_what_opens_and_the_next_try_takes_a_new_key() {
        let (dir, authority) = manager();
        for (file, name) in FILES.iter().enumerate() {
            for salt in [Some(LockSalt([file as u8 + 1; 16])), None] {
                let keys = opens(dir.path(), &authority.unlock_key(LockSalt([9; 16])));
                let before = keys.cipher.keys();
                // No file is written where a folder stands in its way.
                let blocked = dir.path().join(format!("{name}.new"));
                fs::create_dir(&blocked).unwrap();
                assert!(keys.seal(&authority, salt).is_err(), "{name} {salt:?}");
                fs::remove_dir(&blocked).unwrap();
                if let Some(salt) = files(dir.path()).open().unwrap() {
                    files(dir.path()).unlock(&authority.unlock_key(salt)).unwrap();
                }
                keys.seal(&authority, salt).unwrap();
                let is_new = keys.cipher.keys() != before;
                assert_eq!(is_new, salt.is_some(), "{name} {salt:?}");
                let all = texts(dir.path()).concat();
                assert_eq!(all.contains("PRIVATE KEY"), salt.is_none(), "{all}");
                keys.seal(&authority, None).unwrap();
            }
        }
    }

    #[test]
    fn what_else_is_wrong_is_not_taken_for_another_key() {
        let (dir, authority) = manager();
        let (salt, root) = (LockSalt([1; 16]), dir.path().join("certificates/swarm-root-ca.crt"));
        files(dir.path()).for_manager().unwrap().seal(&authority, Some(salt)).unwrap();
        let (key, other) = (authority.unlock_key(salt), authority.unlock_key(LockSalt([2; 16])));
        let (text, sealed) = (fs::read_to_string(&root).unwrap(), texts(dir.path()));
        fs::write(&root, "cut").unwrap();
        let told = files(dir.path()).unlock(&key).unwrap_err().message;
        assert!(told.contains("swarm-root-ca.crt: damaged"), "{told}");
        fs::write(&root, text).unwrap();
        fs::write(dir.path().join(FILES[0]), "cut").unwrap();
        let keys = files(dir.path());
        for key in [&key, &other] {
            let told = keys.unlock(key).unwrap_err().message;
            assert!(
                told.contains("log/keys: damaged") || told.contains("is not the one"),
                "{told}"
            );
        }
        fs::write(dir.path().join(FILES[0]), &sealed[0]).unwrap();
        let renamed = sealed[2].replace(&salt.to_string(), &LockSalt([3; 16]).to_string());
        fs::write(dir.path().join(FILES[2]), renamed).unwrap();
        let keys = files(dir.path());
        assert!(keys.unlock(&key).unwrap_err().message.contains("is not the one"));
        assert_eq!(texts(dir.path())[0], sealed[0], "nothing was written");
    }

    #[test]
    fn a_manager_that_lost_the_authoritys_key_is_unlocked_all_the_same() {
        let (dir, authority) = manager();
        let salt = LockSalt([1; 16]);
        files(dir.path()).for_manager().unwrap().seal(&authority, Some(salt)).unwrap();
        fs::remove_file(dir.path().join(FILES[2])).unwrap();
        let keys = files(dir.path());
        assert_eq!(keys.open().unwrap(), Some(salt));
        assert!(keys.unlock(&authority.unlock_key(LockSalt([2; 16]))).is_err());
        keys.unlock(&authority.unlock_key(salt)).unwrap();
        assert_eq!((keys.open().unwrap(), keys.lock.writes()), (None, Some(salt)));
        assert!(keys.for_manager().is_ok());
    }

    #[test]
    fn a_machine_without_a_cluster_seals_nothing_with_the_key_of_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::found(Timestamp(1 << 60)).unwrap();
        let keys = files(dir.path());
        keys.lock.seal_with(Some(LockSalt([1; 16])), &authority);
        assert_eq!(keys.open().unwrap(), None);
        keys.node.write_key(&NodeKey::generate().unwrap()).unwrap();
        assert_eq!(keys.node.node_sealed_with().unwrap(), None);
    }

    #[test]
    fn a_node_that_is_no_manager_any_more_has_its_key_in_the_clear() {
        let (dir, authority) = manager();
        files(dir.path()).for_manager().unwrap().seal(&authority, Some(LockSalt([1; 16]))).unwrap();
        let keys = files(dir.path());
        keys.unlock(&authority.unlock_key(LockSalt([1; 16]))).unwrap();
        keys.clear_node_key().unwrap();
        assert_eq!(keys.node.node_sealed_with().unwrap(), None);
        assert!(files(dir.path()).node.read_node().unwrap().is_some());
    }
}
