//! The real binary as a child process: its own folder, port, store and log. Killed when dropped, and with the test process.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a slow machine may take for anything that should take moments.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How long a start waits for a store of which more is known than that it is being opened: some tests start without one that can be.
const OPENING: Duration = Duration::from_secs(5);
/// How long one question at its start waits for an answer.
const SOON: Duration = Duration::from_secs(2);

/// The HTTP client of the whole test process: a new one reads all authorities of the system first, which takes longer than most
/// requests do. It keeps no connection, as each lives in the runtime of the test that has opened it, and waits for no answer for ever,
/// as a process that is frozen gives none.
pub(crate) fn http() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| reqwest::Client::builder().pool_max_idle_per_host(0).timeout(PATIENCE).build().expect("a client can be built"))
}

const BINARY: &str = env!("CARGO_BIN_EXE_redrive");

/// What a process is started with.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    store_url: Option<String>,
    without_login: bool,
    buses: String,
    extra: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A new store in a new folder, login by password, no bus.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Another store than a new SQLite file.
    #[must_use]
    pub(crate) fn store(mut self, url: &str) -> Self {
        self.store_url = Some(url.to_owned());
        self
    }

    /// No login, as on a laptop.
    #[must_use]
    pub(crate) fn without_login(mut self) -> Self {
        self.without_login = true;
        self
    }

    /// Adds a Kafka bus.
    #[must_use]
    pub(crate) fn bus(self, id: &str, bootstrap_servers: &str) -> Self {
        self.bus_with(id, bootstrap_servers, "")
    }

    /// Adds a Kafka bus with more lines of its section, such as `id_prefix = "x-"` or a `[bus.dead_letters]` table.
    #[must_use]
    pub(crate) fn bus_with(mut self, id: &str, bootstrap_servers: &str, lines: &str) -> Self {
        let _ = write!(self.buses, "[[bus]]\nid = \"{id}\"\nkind = \"kafka\"\nbootstrap_servers = \"{bootstrap_servers}\"\n{lines}\n");
        self
    }

    /// Adds whole tables to the configuration, such as `[custody]`; not `[http]`, `[store]`, `[secrets]`, `[auth]` or buses.
    #[must_use]
    pub(crate) fn tables(mut self, toml: &str) -> Self {
        let _ = writeln!(self.extra, "{toml}");
        self
    }

    /// Sets a variable of the child's environment: `REDRIVE__...` overrides a key, `REDRIVE_FAILPOINT` names a failpoint.
    #[must_use]
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the configuration without starting anything.
    #[must_use]
    pub(crate) fn prepare(self) -> Redrive {
        let folder = tempfile::Builder::new().prefix("redrive-test-").tempdir().expect("a scratch folder can be made");
        let address = free_address();
        let path = folder.path();
        let store = self.store_url.unwrap_or_else(|| format!("sqlite:{}", path.join("redrive.db").display()));
        let mode = if self.without_login { "none" } else { "password" };
        let key = path.join("redrive.key");
        let spans = free_address();
        // Many run side by side: the usual ports are nobody's.
        let otlp = format!("[otlp]\ngrpc_listen = \"\"\nhttp_listen = \"{spans}\"\n");
        let otlp = if self.extra.contains("[otlp]") { String::new() } else { otlp };
        let text = format!(
            "[http]\nlisten = \"{address}\"\n[store]\nurl = \"{store}\"\n[secrets]\nkey_file = \"{}\"\n[auth]\nmode = \"{mode}\"\n{}\n{}\n{otlp}",
            key.display(),
            self.extra,
            self.buses
        );
        std::fs::write(path.join("redrive.toml"), text).expect("the scratch folder can be written");
        File::create(path.join("redrive.log")).expect("the scratch folder can be written");
        Redrive { folder, address, spans, environment: self.environment, child: Mutex::new(None) }
    }

    /// Starts `serve` and waits until it listens.
    pub(crate) async fn start(self) -> Redrive {
        let mut redrive = self.prepare();
        redrive.start().await;
        redrive
    }
}

/// A running (or stopped) Redrive.
#[derive(Debug)]
pub(crate) struct Redrive {
    folder: TempDir,
    address: SocketAddr,
    /// Where it takes OTLP over HTTP.
    spans: SocketAddr,
    environment: Vec<(String, String)>,
    child: Mutex<Option<Child>>,
}

impl Redrive {
    /// Its folder, where the configuration, the store and the log lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("redrive.toml")
    }

    /// `127.0.0.1:PORT`.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes spans over HTTP.
    pub(crate) fn spans_url(&self) -> String {
        format!("http://{}/v1/traces", self.spans)
    }

    /// An address of its web server; `path` begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Process id of the running child.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().expect("not poisoned").as_ref().expect("redrive runs").id()
    }

    /// Replaces a variable for the next start; `None` removes it.
    pub(crate) fn set_environment(&mut self, name: &str, value: Option<&str>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Starts `serve` without waiting for anything.
    pub(crate) fn spawn(&mut self) {
        let child = self.child.get_mut().expect("not poisoned");
        assert!(child.is_none(), "redrive runs already");
        let log = File::options().append(true).open(self.folder.path().join("redrive.log")).expect("the log can be opened");
        // setpriv becomes the binary, which then dies with the thread that started it even when the test process is killed.
        let started = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", BINARY, "serve", "--config"])
            .arg(self.folder.path().join("redrive.toml"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn()
            .expect("setpriv (util-linux) can be started");
        *child = Some(started);
    }

    /// Starts `serve` and waits until it listens; and a while for its store to be open, as far as it can be opened.
    pub(crate) async fn start(&mut self) {
        self.spawn();
        self.wait_until_listening().await;
        let (begun, mut opening) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < opening + OPENING && begun.elapsed() < PATIENCE {
            // A failpoint may freeze it while it is asked.
            let ask = |path: &str| http().get(self.url(path)).timeout(SOON).send();
            let ready = async { ask("/health/ready").await.ok()?.text().await.ok() };
            if ready.await.is_some_and(|reasons| reasons.contains("store_starting")) {
                opening = begun.elapsed();
            }
            let answer = ask("/api/v1/openapi.json").await;
            if answer.is_ok_and(|answer| answer.status() != reqwest::StatusCode::SERVICE_UNAVAILABLE) || self.ended_by_itself().is_some() {
                // Whoever waits for its end hears of it there.
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the web server answers.
    ///
    /// # Panics
    /// With the log, when the process ends before or does not listen in time.
    pub(crate) async fn wait_until_listening(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(response) = http().get(self.url("/health/live")).timeout(SOON).send().await
                && response.status().is_success()
            {
                return;
            }
            if let Some(status) = self.exit_status() {
                panic!("redrive ended at its start with {status}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "redrive does not listen after {PATIENCE:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a condition on a running Redrive holds, asking every 100 ms.
    ///
    /// # Panics
    /// With the log, when it does not within `patience`.
    pub(crate) async fn wait_until<F: AsyncFnMut() -> bool>(&self, what: &str, patience: Duration, mut condition: F) {
        let deadline = Instant::now() + patience;
        while !condition().await {
            self.assert_running();
            assert!(Instant::now() < deadline, "after {patience:?} still not: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends it as an operator would (SIGTERM) and waits for the end.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit(PATIENCE).await
    }

    /// Ends it as a power cut would (SIGKILL).
    pub(crate) async fn kill(&mut self) -> ExitStatus {
        self.signal("KILL");
        self.wait_for_exit(PATIENCE).await
    }

    /// Sends a signal by its short name: `TERM`, `INT`, `KILL`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("the kill command is there").success(), "signal {name} could not be sent");
    }

    /// How the child ended; `None` while it runs. Afterwards it can be started again.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        let child = self.child.get_mut().expect("not poisoned");
        let status = child.as_mut()?.try_wait().expect("a child can be waited for")?;
        *child = None;
        Some(status)
    }

    /// Whether it was started and has not ended.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.exit_status().is_none() && self.child.get_mut().expect("not poisoned").is_some()
    }

    /// Whoever waits for something from a child that has ended would wait in vain.
    ///
    /// # Panics
    /// With how it ended and the log, when it was started and has ended by itself.
    pub(crate) fn assert_running(&self) {
        if let Some(status) = self.ended_by_itself() {
            panic!("redrive has ended by itself: {status}\n{}", self.log());
        }
    }

    fn ended_by_itself(&self) -> Option<ExitStatus> {
        // A panic elsewhere must not hide how the child ended.
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        child.as_mut()?.try_wait().expect("a child can be waited for")
    }

    /// Waits until the child has ended by itself.
    ///
    /// # Panics
    /// With the log, when it has not within `patience`.
    pub(crate) async fn wait_for_exit(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(Instant::now() < deadline, "redrive still runs after {patience:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything logged so far, over all starts.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("redrive.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Runs another subcommand on the same configuration, such as `["user", "add", "mara", "--role", "admin", "--password-stdin"]`.
    pub(crate) fn command(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(BINARY)
            .args(arguments)
            .arg("--config")
            .arg(self.config_file())
            .envs(self.environment.iter().filter(|(name, _)| name != "REDRIVE_FAILPOINT").map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        // A command that reads nothing may have closed its end already; what matters is its output.
        let _ = child.stdin.take().expect("stdin is piped").write_all(stdin.as_bytes());
        child.wait_with_output().expect("a child can be waited for")
    }

    /// Adds a user by the command line.
    pub(crate) fn add_user(&self, name: &str, role: &str, password: &str) {
        let output = self.command(&["user", "add", name, "--role", role, "--password-stdin"], &format!("{password}\n"));
        assert!(output.status.success(), "user add: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes an API token by the command line.
    pub(crate) fn create_token(&self, name: &str, role: &str) -> String {
        let output = self.command(&["token", "create", "--name", name, "--role", role], "");
        assert!(output.status.success(), "token create: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("a token is text");
        text.split_whitespace().last().expect("token create prints the token").to_owned()
    }

    /// An HTTP client that carries a new token of this role.
    pub(crate) fn client(&self, role: &str) -> reqwest::Client {
        let token = self.create_token(&format!("test-{role}"), role);
        let value = format!("Bearer {token}").parse().expect("a token fits into a header");
        let headers = std::iter::once((reqwest::header::AUTHORIZATION, value)).collect();
        reqwest::Client::builder().default_headers(headers).timeout(PATIENCE).build().expect("a client can be built")
    }
}

impl Drop for Redrive {
    fn drop(&mut self) {
        let ended = self.ended_by_itself();
        if let Some(mut child) = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(80).collect();
            let state = ended.map_or_else(|| "it ran".to_owned(), |status| format!("it had ended by itself: {status}"));
            eprintln!("--- end of redrive's log ({state}) ---");
            for line in tail.into_iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// Whether a process was ended by a signal of this number.
pub(crate) fn ended_by_signal(status: ExitStatus, signal: i32) -> bool {
    status.signal() == Some(signal)
}

/// An address on loopback that nobody listens on, nor will by chance: it lies outside the range from which the system gives ports, and
/// no other test has it.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let port = 16_000 + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 16_000;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("below 32,000")));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
