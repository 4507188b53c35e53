//! Places where a test can end or freeze the process at an exact moment. Compiled into debug builds only.
//!
//! `REDRIVE_FAILPOINT=indexer.before_commit=3` kills the process (as `kill -9` does) the third time that place is passed.
//! `REDRIVE_FAILPOINT=indexer.before_commit=3:stop` freezes it there (SIGSTOP) until somebody continues it.
//! `REDRIVE_FAILPOINT=job=3:panic` panics there.

/// Passes a failpoint: returns at once unless this very place was named in the environment.
///
/// # Panics
/// When the environment wishes it here.
#[cfg(debug_assertions)]
pub fn pass(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Plan {
        name: String,
        at: u64,
        act: Act,
    }
    enum Act {
        Signal(&'static str),
        Panic,
    }
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let plan = PLAN.get_or_init(|| {
        let text = std::env::var("REDRIVE_FAILPOINT").ok()?;
        let (name, rest) = text.split_once('=')?;
        let (at, act) = match rest.split_once(':') {
            None => (rest, Act::Signal("-KILL")),
            Some((at, "panic")) => (at, Act::Panic),
            Some((at, _)) => (at, Act::Signal("-STOP")),
        };
        Some(Plan { name: name.to_owned(), at: at.parse().ok()?, act })
    });
    if let Some(plan) = plan.as_ref().filter(|p| p.name == name)
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == plan.at
    {
        let Act::Signal(signal) = plan.act else { panic!("failpoint {name}") };
        let killed = std::process::Command::new("kill").args([signal, &std::process::id().to_string()]).status();
        assert!(killed.is_ok(), "failpoints need the kill command");
        // The signal may reach another thread first, which is not always scheduled before this one goes on.
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
}

/// Passes a failpoint: does nothing in release builds.
#[cfg(not(debug_assertions))]
pub const fn pass(_name: &str) {}
