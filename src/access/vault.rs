//! Secrets at rest: sealed with the key of `[secrets] key_file`, which is made at the first start and never leaves its file.
//!
//! XChaCha20-Poly1305 with a random nonce for each sealing. What is sealed begins with a version, so that another way can follow.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use crate::store::{Store, StoreError};

/// What sealed bytes begin with.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Why secrets cannot be kept, or not be read.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file cannot be read or made.
    #[error("the key {path} (secrets.key_file) cannot be {what}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `made`.
        what: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The file holds something else.
    #[error("{0} (secrets.key_file) is no key of Redrive: 32 bytes in base64 were expected")]
    NotAKey(PathBuf),
    /// The key that sealed the store's secrets is not there.
    #[error(
        "the key {path} (secrets.key_file) is lost, and the store holds secrets of {count} receivers that it sealed. Bring the file back from \
         a copy or from another instance; or remove those receivers by `redrive forget-secrets`, and enter them again"
    )]
    Lost {
        /// Where it was looked for.
        path: PathBuf,
        /// Receivers.
        count: u64,
    },
    /// The key is not the one that sealed the store's secrets.
    #[error(
        "the key {path} (secrets.key_file) is not the one that sealed the secrets of {count} receivers in this store. Every instance needs the \
         same key: bring the right file back, or remove those receivers by `redrive forget-secrets`, and enter them again"
    )]
    Different {
        /// Where it lies.
        path: PathBuf,
        /// Receivers.
        count: u64,
    },
    /// Sealed bytes were damaged, or sealed by another key.
    #[error("a sealed secret cannot be opened: it was damaged, or sealed by another key")]
    Damaged,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Seals and opens secrets. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    cipher: Arc<XChaCha20Poly1305>,
    key_id: Arc<str>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads the key, or makes it when nothing was sealed by another one.
    pub async fn open(path: &Path, store: &Store) -> Result<Self, VaultError> {
        let key = match read(path)? {
            Some(key) => key,
            None if store.find_sealing_key().await?.is_some() && store.count_sealed().await? > 0 => {
                return Err(VaultError::Lost { path: path.to_owned(), count: store.count_sealed().await? });
            }
            None => make(path)?,
        };
        let vault = Self::of(&key);
        if store.claim_sealing_key(&vault.key_id).await? != *vault.key_id {
            return Err(VaultError::Different { path: path.to_owned(), count: store.count_sealed().await? });
        }
        Ok(vault)
    }

    /// A vault of this key, whoever keeps it.
    #[must_use]
    pub fn of(key: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(b"redrive key 1").chain_update(key).finalize();
        Self { cipher: Arc::new(XChaCha20Poly1305::new(key.into())), key_id: STANDARD.encode(&digest[..12]).into() }
    }

    /// The key's fingerprint, which tells nothing of the key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Seals bytes. `about` says what they are; the same is needed to open them.
    #[must_use]
    pub fn seal(&self, about: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes, or no secret can be kept at all");
        let payload = Payload { msg: plain, aad: about.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).expect("a text of kilobytes is within the cipher's limit");
        [&[VERSION], nonce.as_slice(), &sealed].concat()
    }

    /// Opens what was sealed.
    pub fn unseal(&self, about: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (version, rest) = sealed.split_first().ok_or(VaultError::Damaged)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::Damaged)?;
        if *version != VERSION {
            return Err(VaultError::Damaged);
        }
        let payload = Payload { msg: sealed, aad: about.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| VaultError::Damaged)
    }
}

/// The key; `None` when there is no file.
fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, VaultError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
            bytes.map(Some).ok_or_else(|| VaultError::NotAKey(path.to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(VaultError::NotAKey(path.to_owned())),
        Err(error) => Err(VaultError::File { path: path.to_owned(), what: "read", reason: error.to_string() }),
    }
}

/// Makes a key that only this user reads. Written beside and linked into place, so that a crash leaves no half of one, and of two
/// instances that start at once both read the same.
fn make(path: &Path) -> Result<[u8; KEY_BYTES], VaultError> {
    let failed = |error: std::io::Error| VaultError::File { path: path.to_owned(), what: "made", reason: error.to_string() };
    let mut key = [0_u8; KEY_BYTES];
    getrandom::fill(&mut key).expect("the operating system gives random bytes, or no secret can be kept at all");
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
    let written = file.write_all(format!("{}\n", STANDARD.encode(key)).as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&beside, path));
    let _ = std::fs::remove_file(&beside);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    read(path)?.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_sealed_opens_only_with_its_key_its_purpose_and_undamaged() {
        let vault = Vault::of(&[7; KEY_BYTES]);
        let sealed = vault.seal("receiver", b"whsec_secret");
        assert_eq!(vault.unseal("receiver", &sealed).unwrap(), b"whsec_secret");
        assert!(!sealed.windows(6).any(|part| part == b"secret") && sealed != vault.seal("receiver", b"whsec_secret"));
        assert!(vault.unseal("other", &sealed).is_err());
        assert!(Vault::of(&[8; KEY_BYTES]).unseal("receiver", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(vault.unseal("receiver", &damaged).is_err(), "byte {at}");
            assert!(vault.unseal("receiver", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(!format!("{vault:?}").contains("7, 7"));
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = std::env::temp_dir().join(format!("redrive-key-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("redrive.key");
        let key = make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((read(&path).unwrap(), make(&path).unwrap()), (Some(key), key), "whoever comes second reads the first one's");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::write(&path, "not a key").unwrap();
        assert!(matches!(read(&path), Err(VaultError::NotAKey(_))));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
