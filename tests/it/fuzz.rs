//! Bytes from outside, damaged at random: whatever takes them must not panic, must not take memory or time without an end, and must
//! say what is wrong.
//!
//! Each test runs in a process of its own with a limit on memory, so that a decoder that overflows its stack or asks for gigabytes ends
//! that process and is named. All tests together take `REDRIVE_FUZZ_SECONDS` (20). Damage is drawn from `REDRIVE_FUZZ_SEED` (1): the
//! same seed draws the same damage. A failure names its seed and shows the input, made as small as possible.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestError, TestRng, TestRunner};

mod answers;
mod cursors;
mod letters;
mod mutation;
mod one_span;
mod otlp;
mod settings;

use mutation::Corpus;

/// Tests that share the seconds.
const TESTS: u32 = 10;
/// Inputs drawn from one seed.
const ROUND: u32 = 32;
/// One input of some kilobytes may take so long on the slowest machine.
const SLOW: Duration = Duration::from_secs(10);
/// Bytes of data that a process may have; it begins with some hundred megabytes.
const MEMORY: u64 = 2 << 30;
/// Set in the process that does the work: where it notes what it is given.
const CHILD: &str = "REDRIVE_TEST_FUZZ";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a whole number")))
}

/// Runs the work in a process of its own; `name` is the test's.
fn alone(name: &str, work: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return work();
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let output = Command::new("prlimit")
        .args([&format!("--data={MEMORY}"), "--core=0", "--", "setpriv", "--pdeathsig", "KILL", "--"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("prlimit and setpriv (util-linux) can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        // Else the name is no test's.
        let done = said.lines().find_map(|line| line.find("fuzzed ").map(|at| &line[at..]));
        println!("{}", done.expect("it says what it has done"));
        return;
    }
    let last = std::fs::read(folder.path().join("input")).unwrap_or_default();
    panic!("{name} ended with {}\n{said}\nits last input was {}", output.status, last.escape_ascii());
}

/// Gives damaged entries of a corpus to a check, until this test's share of the time is over. Undamaged ones come first.
fn storm(corpus: &Corpus, check: impl Fn(&[u8]) -> TestCaseResult) {
    let note = PathBuf::from(std::env::var_os(CHILD).expect("is the process that does the work")).join("input");
    let watched = |bytes: Vec<u8>| {
        std::fs::write(&note, &bytes).expect("a scratch file");
        let begun = Instant::now();
        check(&bytes)?;
        proptest::prop_assert!(begun.elapsed() < SLOW, "it took {:?}", begun.elapsed());
        Ok(())
    };
    for entry in corpus.entries() {
        watched(entry.clone()).unwrap_or_else(|error| panic!("{error}; undamaged: {}", entry.escape_ascii()));
    }
    let share = Duration::from_secs(number("REDRIVE_FUZZ_SECONDS").unwrap_or(20)) / TESTS;
    let (first, begun) = (number("REDRIVE_FUZZ_SEED").unwrap_or(1), Instant::now());
    let mut seed = first;
    while begun.elapsed() < share {
        let config = Config { cases: ROUND, failure_persistence: None, max_shrink_iters: 1_000, ..Config::default() };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        match runner.run(&corpus.damaged(), watched) {
            Ok(()) => {}
            Err(TestError::Fail(reason, bytes)) => {
                panic!("again with REDRIVE_FUZZ_SEED={seed}: {reason}\ninput: {}", bytes.escape_ascii());
            }
            Err(TestError::Abort(reason)) => panic!("again with REDRIVE_FUZZ_SEED={seed}: {reason}"),
        }
        seed += 1;
    }
    println!("fuzzed {} inputs from seed {first} on", (seed - first) * u64::from(ROUND) + corpus.entries().len() as u64);
}
