//! Passwords: argon2id with OWASP's parameters, on blocking threads, a few at a time.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OnceCell, Semaphore};

/// OWASP's password storage cheat sheet, argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes computed at a time: each takes a core for tens of milliseconds and 19 MiB. Others wait.
const AT_A_TIME: usize = 2;

/// Shortest password (NIST SP 800-63B).
pub const MIN_PASSWORD_CHARS: usize = 8;
/// Longest password: longer ones cost time and add nothing.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// Fewer than [`MIN_PASSWORD_CHARS`].
    #[error("a password has at least 8 characters")]
    Short,
    /// More than [`MAX_PASSWORD_BYTES`].
    #[error("a password has at most 1,024 bytes")]
    Long,
}

/// Checks a password that somebody chooses.
pub(super) fn check(password: &str) -> Result<(), PasswordProblem> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordProblem::Long);
    }
    if password.chars().count() < MIN_PASSWORD_CHARS { Err(PasswordProblem::Short) } else { Ok(()) }
}

/// Hashes and verifies passwords with bounded concurrency.
#[derive(Debug)]
pub(super) struct Hasher {
    slots: Arc<Semaphore>,
    /// Hash of a password nobody has: what an unknown name is verified against, so that it takes as long as a known one.
    nobody: OnceCell<String>,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(AT_A_TIME)), nobody: OnceCell::new() }
    }

    /// The PHC string of a password, with a fresh salt.
    pub(super) async fn hash(&self, password: &str) -> String {
        let password = password.to_owned();
        self.on_blocking_thread(move || hash_now(&password)).await
    }

    /// Whether a password belongs to a PHC string; `None` stands for a user who does not exist and takes as long.
    pub(super) async fn verify(&self, password: &str, hash: Option<String>) -> bool {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.nobody.get_or_init(|| self.hash("nobody has this password")).await.clone(),
        };
        let password = password.to_owned();
        let right = self.on_blocking_thread(move || verify_now(&password, &hash)).await;
        right && known
    }

    async fn on_blocking_thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(slot);
            result
        });
        done.await.expect("hashing does not panic, and blocking tasks are not aborted while the runtime lives")
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(password: &str) -> String {
    argon2().hash_password(password.as_bytes()).expect("any password below the length limit can be hashed").to_string()
}

fn verify_now(password: &str, hash: &str) -> bool {
    match PasswordHash::new(hash) {
        Ok(parsed) => argon2().verify_password(password.as_bytes(), &parsed).is_ok(),
        Err(error) => {
            tracing::error!(%error, "a stored password hash cannot be read");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Hasher, PasswordProblem, check};

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_only() {
        let hasher = Hasher::new();
        let hash = hasher.hash("correct horse").await;
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hasher.hash("correct horse").await, "every hash has its own salt");
        assert!(hasher.verify("correct horse", Some(hash.clone())).await);
        assert!(!hasher.verify("correct hors", Some(hash)).await);
    }

    #[tokio::test]
    async fn nobody_logs_in_as_somebody_who_does_not_exist() {
        let hasher = Hasher::new();
        assert!(!hasher.verify("nobody has this password", None).await);
        assert!(!hasher.verify("x", Some("not a hash".to_owned())).await);
    }

    #[test]
    fn length_is_the_only_rule() {
        assert_eq!(check("1234567"), Err(PasswordProblem::Short));
        assert_eq!(check("pässwört"), Ok(()));
        assert_eq!(check(&"x".repeat(1025)), Err(PasswordProblem::Long));
    }
}
