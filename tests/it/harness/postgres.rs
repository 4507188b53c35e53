//! One real PostgreSQL for the whole test process, in a folder of its own. It dies with the process; its folder, of some gigabytes, goes
//! when the next one starts.
//!
//! `let database = harness::postgres::database().await;` gives a new, empty database; `database.url()` is what `[store] url` takes.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::kafka::{PATIENCE, spawn_for_life, unique};

/// PostgreSQL refuses to run as root; this user comes with its Debian package.
const USER: &str = "postgres";

/// How folders are named, and the file in them that is locked while they are used.
const PREFIX: &str = "redrive-postgres-";
const MARK: &str = "in-use";

/// The running server.
#[derive(Debug)]
struct Server {
    _folder: TempDir,
    /// Locked as long as this process lives.
    _mark: std::fs::File,
    _child: Child,
    port: u16,
}

/// A database of one's own.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    url: String,
}

/// A new database.
pub(crate) async fn database() -> Database {
    let server = tokio::task::spawn_blocking(shared).await.expect("no panic");
    let name = unique("test").replace('-', "_");
    let database = Database { url: format!("postgres://redrive@127.0.0.1:{}/{name}", server.port), name };
    database.administer(format!("create database {}", database.name)).await;
    database
}

impl Database {
    /// What `[store] url` takes.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes it refuse writes, or take them again.
    pub(crate) async fn set_read_only(&self, read_only: bool) {
        let value = if read_only { "on" } else { "off" };
        self.administer(format!("alter database {} set default_transaction_read_only = {value}", self.name)).await;
        self.disconnect().await;
    }

    /// Makes it refuse connections, or take them again.
    pub(crate) async fn set_reachable(&self, reachable: bool) {
        self.administer(format!("alter database {} with allow_connections {reachable}", self.name)).await;
        self.disconnect().await;
    }

    /// Another database with the same content, as a restored backup. Nobody may be connected to this one.
    pub(crate) async fn copy(&self) -> Self {
        let name = unique("copy").replace('-', "_");
        let server = self.url.rsplit_once('/').expect("a url has a path").0;
        let copy = Self { url: format!("{server}/{name}"), name };
        self.administer(format!("create database {} template {}", copy.name, self.name)).await;
        copy
    }

    /// Runs one statement in it and gives the rows as text, columns separated by `|`.
    pub(crate) async fn query(&self, statement: &str) -> String {
        psql(self.url.clone(), statement.to_owned()).await
    }

    async fn disconnect(&self) {
        self.administer(format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'", self.name)).await;
    }

    async fn administer(&self, statement: String) {
        let server = self.url.rsplit_once('/').expect("a url has a path").0;
        psql(format!("{server}/postgres"), statement).await;
    }
}

async fn psql(url: String, statement: String) -> String {
    let run = move || {
        let output = Command::new(program("psql")).args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", &statement, &url]).output();
        let output = output.expect("psql can be started");
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(start)
}

/// Removes folders of processes that are gone.
fn tidy() {
    let folders = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for folder in folders.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let is_left = std::fs::File::open(folder.path().join(MARK)).is_ok_and(|mark| mark.try_lock().is_ok());
        if is_left && let Err(error) = std::fs::remove_dir_all(folder.path()) {
            eprintln!("{} stays: {error}", folder.path().display());
        }
    }
}

fn start() -> Server {
    tidy();
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a scratch folder");
    let mark = std::fs::File::create(folder.path().join(MARK)).expect("a file");
    mark.lock().expect("nobody else knows it");
    let data = folder.path().join("data");
    let root = is_root();
    if root {
        let (user, group) = (id("-u"), id("-g"));
        chown(folder.path(), Some(user), Some(group)).expect("root may give folders away");
    }
    let init = as_user(root, &program("initdb"))
        .args(["-A", "trust", "-U", "redrive", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .output();
    succeeded("initdb", &init.expect("initdb can be started"));
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port();
    let mut command = as_user(root, &program("postgres"));
    command.arg("-D").arg(&data).arg("-k").arg(folder.path());
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        // A test that kills the server itself would need these; none does, and the disk is shared.
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=64MB".to_owned(),
    ] {
        command.arg("-c").arg(setting);
    }
    let log = std::fs::File::create(folder.path().join("server.log")).expect("a log file");
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    let child = spawn_for_life(command);
    wait_until_ready(port, folder.path());
    Server { _folder: folder, _mark: mark, _child: child, port }
}

fn wait_until_ready(port: u16, folder: &Path) {
    let deadline = Instant::now() + PATIENCE;
    let asked = || Command::new(program("pg_isready")).args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status();
    while !asked().expect("pg_isready can be started").success() {
        let log = || std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "PostgreSQL did not start:\n{}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A command that runs as a user PostgreSQL accepts, and dies with this process.
fn as_user(root: bool, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if root {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    succeeded("id", &Command::new("id").arg("-u").output().expect("id can be started")) == "0"
}

fn id(which: &str) -> u32 {
    let text = succeeded("id", &Command::new("id").args([which, USER]).output().expect("id can be started"));
    text.parse().expect("a number")
}

fn succeeded(what: &str, output: &Output) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A program of PostgreSQL: of the newest version where Debian puts them, else from the path.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path()))).max();
    newest.map_or_else(|| PathBuf::from(name), |(_, folder)| folder.join("bin").join(name))
}
