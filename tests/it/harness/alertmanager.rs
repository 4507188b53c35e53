//! Alertmanager itself, and a program of others that takes its webhooks: both as child processes with folders and ports of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::redrive::{PATIENCE, free_address, http};

/// A child process that is killed when dropped.
#[derive(Debug)]
struct Program {
    name: &'static str,
    child: Child,
    folder: TempDir,
}

impl Program {
    /// Starts it with a configuration file in a new folder.
    fn start(name: &'static str, config: &str, arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("redrive-alertmanager-").tempdir().expect("a scratch folder");
        std::fs::write(folder.path().join("config.yml"), config).expect("the scratch folder can be written");
        let log = std::fs::File::create(folder.path().join("log")).expect("the scratch folder can be written");
        // setpriv becomes the program, which then dies with the thread that started it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", name])
            .args(arguments(folder.path()))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn()
            .expect("setpriv (util-linux) can be started");
        Self { name, child, folder }
    }

    /// Asks until the answer is yes.
    async fn until(&mut self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                panic!("{} (Debian's package has the same name) ended with {status}\n{}", self.name, log());
            }
            assert!(begun.elapsed() < PATIENCE, "{}: still not: {what}\n{}", self.name, log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running Alertmanager.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    program: Program,
    address: SocketAddr,
    prefix: &'static str,
}

impl Alertmanager {
    /// Groups by bus, and posts what begins and ends at once to this webhook. `prefix` is where it lives on its host, such as `/am`.
    pub(crate) async fn start(webhook: &str, prefix: &'static str) -> Self {
        let address = free_address();
        let config = format!(
            "route:\n  receiver: witness\n  group_by: [bus]\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1h\n\
             receivers:\n  - name: witness\n    webhook_configs:\n      - url: {webhook}\n        send_resolved: true\n"
        );
        let program = Program::start("prometheus-alertmanager", &config, |folder| {
            vec![
                format!("--config.file={}", folder.join("config.yml").display()),
                format!("--storage.path={}", folder.join("data").display()),
                format!("--web.listen-address={address}"),
                format!("--web.external-url=http://{address}{prefix}"),
                "--cluster.listen-address=".to_owned(),
            ]
        });
        let mut started = Self { program, address, prefix };
        let ready = started.url("/-/ready");
        started.program.until("it is ready", async || http().get(&ready).send().await.is_ok_and(|answer| answer.status() == 200)).await;
        started
    }

    /// An address of it; `path` begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.address, self.prefix)
    }

    /// The alerts that are not over for it, by its API.
    pub(crate) async fn alerts(&self) -> Vec<Value> {
        let answer = http().get(self.url("/api/v2/alerts")).send().await.expect("it answers");
        answer.json::<Vec<Value>>().await.expect("a list")
    }

    /// Waits until its alerts are as they should be.
    pub(crate) async fn until_alerts(&mut self, what: &str, hold: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let url = self.url("/api/v2/alerts");
        let mut seen = Vec::new();
        let ask = async || {
            seen = http().get(&url).send().await.expect("it answers").json::<Vec<Value>>().await.expect("a list");
            hold(&seen)
        };
        self.program.until(what, ask).await;
        seen
    }

    /// Silences everything with this label, from now on for an hour.
    pub(crate) async fn silence(&self, label: &str, value: &str) {
        let now = redrive::model::Timestamp::now();
        let silence = json!({
            "matchers": [{ "name": label, "value": value, "isRegex": false, "isEqual": true }],
            "startsAt": now.to_rfc3339(),
            "endsAt": now.plus(Duration::from_hours(1)).to_rfc3339(),
            "createdBy": "ann",
            "comment": "known",
        });
        let answer = http().post(self.url("/api/v2/silences")).json(&silence).send().await.expect("it answers");
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap_or_default());
    }
}

/// alertmanager-irc-relay, which reads Alertmanager's webhooks with Alertmanager's own types and says them on IRC; with an IRC server
/// that hears it.
#[derive(Debug)]
pub(crate) struct IrcRelay {
    program: Program,
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl IrcRelay {
    /// Says one line for each webhook, made by a template of Go over the whole body.
    pub(crate) async fn start(template: &str) -> Self {
        let (irc, heard) = irc_server().await;
        let address = free_address();
        let config = format!(
            "http_host: {}\nhttp_port: {}\nirc_host: {}\nirc_port: {}\nirc_use_ssl: no\nirc_nickname: redrive\nirc_realname: redrive\n\
             irc_channels:\n  - name: \"#alerts\"\nmsg_once_per_alert_group: yes\nuse_privmsg: yes\nmsg_template: '{template}'\n",
            address.ip(),
            address.port(),
            irc.ip(),
            irc.port(),
        );
        let program = Program::start("alertmanager-irc-relay", &config, |folder| {
            vec!["-config".to_owned(), folder.join("config.yml").display().to_string()]
        });
        let mut started = Self { program, address, heard: Arc::clone(&heard) };
        let has_joined = || heard.lock().unwrap().iter().any(|line| line.starts_with("JOIN #alerts"));
        started.program.until("it is in its channel", async || has_joined() && TcpStream::connect(address).await.is_ok()).await;
        started
    }

    /// Where webhooks for its channel are posted to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/alerts", self.address)
    }

    /// Waits until it has said so many lines in its channel.
    pub(crate) async fn until_said(&mut self, count: usize) -> Vec<String> {
        let heard = Arc::clone(&self.heard);
        let said = || -> Vec<String> {
            let heard = heard.lock().unwrap();
            heard.iter().filter_map(|line| line.strip_prefix("PRIVMSG #alerts :")).map(str::to_owned).collect()
        };
        self.program.until("it has said so", async || said().len() >= count).await;
        said()
    }
}

/// As much of an IRC server as one client needs. Answers where it listens and what it hears, line by line.
#[expect(clippy::disallowed_methods, reason = "a server of the test's own, outside of what is tested")]
async fn irc_server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&lines)));
        }
    });
    (address, heard)
}

async fn converse(stream: TcpStream, heard: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut nick) = (String::new(), String::new());
    while stream.read_line(&mut line).await.is_ok_and(|count| count > 0) {
        let text = line.trim_end().to_owned();
        line.clear();
        let (command, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let answer = match command {
            "NICK" => {
                rest.trim().clone_into(&mut nick);
                String::new()
            }
            "USER" => format!(":irc.test 001 {nick} :Welcome\r\n"),
            "JOIN" => format!(":{nick}!redrive@irc.test JOIN :{}\r\n", rest.trim()),
            "PING" => format!(":irc.test PONG irc.test {rest}\r\n"),
            _ => String::new(),
        };
        heard.lock().unwrap().push(text);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
