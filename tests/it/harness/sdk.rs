//! Programs in other languages, as services have them: under OpenTelemetry's SDKs and the instrumentations of their clients of Kafka.
//!
//! The programs lie in `tests/it/traces/sdk/programs`; what they run with comes from `deploy/dev/sdk.sh fetch` (into `target/sdk`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::kafka::spawn_for_life;

/// How long a program may take on a slow machine; they give up themselves a little earlier.
const PATIENCE: Duration = Duration::from_secs(100);

/// A program in Python.
pub(crate) fn python(name: &str) -> Command {
    let mut command = tied(&lib().join("python/bin/python"));
    // Nothing is written beside the source.
    command.arg("-B").arg(programs().join(name).with_extension("py"));
    command
}

/// A program in JavaScript.
pub(crate) fn node(name: &str) -> Command {
    let mut command = tied(Path::new("node"));
    command.env("NODE_PATH", lib().join("node/node_modules")).arg(programs().join(name).with_extension("js"));
    command
}

/// A program in Java that [`compile`] has compiled, under the agent.
pub(crate) fn java(name: &str, classes: &Path) -> Command {
    let mut command = tied(Path::new("java"));
    let agent = lib().join("java/opentelemetry-javaagent.jar");
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"])
        .arg(format!("-javaagent:{}", agent.display()))
        .args(["-cp", &format!("{}:{}", classes.display(), jars()), name])
        .envs([("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")]);
    command
}

/// Compiles a program in Java into a folder.
pub(crate) fn compile(name: &str, classes: &Path) {
    let done = Command::new("javac")
        .args(["--release", "17", "-cp", &jars(), "-d"])
        .arg(classes)
        .arg(programs().join(name).with_extension("java"))
        .output()
        .expect("javac is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Runs a program to its end and gives what it printed.
///
/// # Panics
/// With what it complained about, when it fails or does not end in time.
pub(crate) async fn run(mut command: Command) -> String {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("{command:?}");
    let child = spawn_for_life(command);
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("{shown} does not end"));
    let output = output.expect("no panic").expect("a child can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{shown} failed:\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Killed with the test process.
fn tied(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/traces/sdk/programs")
}

fn jars() -> String {
    lib().join("java/*").display().to_string()
}

/// The folder of everything the programs need, fetched if it is missing.
fn lib() -> &'static Path {
    static LIB: OnceLock<PathBuf> = OnceLock::new();
    LIB.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dev/sdk.sh");
        let output = Command::new(&script).arg("fetch").stderr(Stdio::inherit()).output().expect("deploy/dev/sdk.sh runs");
        assert!(output.status.success(), "deploy/dev/sdk.sh fetch failed; python3 with venv, npm and Maven are needed for these tests");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).lines().last().expect("it prints the folder"))
    })
}
