//! One real Apache Kafka for the whole test process, and further ones with their own properties. A broker dies with the process.
//!
//! `let kafka = harness::kafka::shared();` then `kafka.topic("orders", 3, &[])` for a topic of one's own, `kafka.produce(..)` and so
//! on. The jars come from `deploy/dev/kafka.sh fetch` (into `target/kafka`, or `$REDRIVE_KAFKA_LIB`).

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

// With their paths, so that benchmarks can load this file too.
#[path = "kafka/acts.rs"]
mod acts;
#[path = "kafka/groups.rs"]
mod groups;
#[path = "kafka/native.rs"]
pub(crate) mod native;

pub(crate) use acts::{OpenTransaction, Outgoing};
pub(crate) use groups::Member;

/// How long anything may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// What a broker is started with.
#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    /// More lines of server.properties; they win over ours.
    pub properties: Vec<(String, String)>,
    /// Users (name, password) of a second listener with SASL/PLAIN, on which ACLs are enforced.
    pub sasl_users: Vec<(String, String)>,
}

/// A running broker; killed when dropped.
#[derive(Debug)]
pub(crate) struct Kafka {
    folder: TempDir,
    port: u16,
    sasl_port: u16,
    child: Mutex<Option<Child>>,
}

/// The broker that all tests of this process share. Use topics and groups with names of your own ([`unique`]).
pub(crate) fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(|| Kafka::start(&Options::default()))
}

/// A name nobody else uses in this process: `stem-<process>-<number>`.
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    format!("{stem}-{}-{}", std::process::id(), NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

impl Kafka {
    /// Starts a broker of one's own and waits until it answers.
    pub(crate) fn start(options: &Options) -> Self {
        let mut tries = 0;
        loop {
            tries += 1;
            let (port, controller_port, sasl_port) = free_ports();
            let folder = TempDir::new().expect("a scratch folder");
            std::fs::write(folder.path().join("server.properties"), properties(folder.path(), port, controller_port, sasl_port, options))
                .expect("writing server.properties");
            format_storage(folder.path());
            let kafka = Self { folder, port, sasl_port, child: Mutex::new(None) };
            match kafka.launch() {
                Ok(()) => return kafka,
                // Somebody may have taken one of the ports between our look and the start.
                Err(_) if tries < 3 => {}
                Err(log) => panic!("Kafka did not start; the end of its log:\n{log}"),
            }
        }
    }

    /// `host:port` of the listener without login.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of the SASL listener; only with [`Options::sasl_users`].
    pub(crate) fn sasl_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.sasl_port)
    }

    /// A client configuration that reaches this broker.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    /// Kills the broker at once, as a power cut would.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().expect("not poisoned").take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again after [`Self::kill`], with the same data and ports.
    pub(crate) fn start_again(&self) {
        if let Err(log) = self.launch() {
            panic!("Kafka did not start again; the end of its log:\n{log}");
        }
    }

    /// Freezes it (SIGSTOP): connections stay open, nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
        let id = self.child.lock().expect("not poisoned").as_ref().expect("the broker runs").id();
        let begun = std::time::Instant::now();
        // The signal is sent before the last thread has come to a stop.
        while !std::fs::read_to_string(format!("/proc/{id}/status")).expect("it lives").contains("State:\tT") {
            assert!(begun.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.lock().expect("not poisoned").as_ref().expect("the broker runs").id();
        let done = Command::new("kill").args([format!("-{name}"), id.to_string()]).status().expect("kill runs");
        assert!(done.success(), "kill -{name} failed");
    }

    fn launch(&self) -> Result<(), String> {
        let log = std::fs::File::create(self.folder.path().join("broker.log")).expect("a log file");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(lib().join("*"))
            .arg("kafka.Kafka")
            .arg(self.folder.path().join("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        *self.child.lock().expect("not poisoned") = Some(spawn_for_life(command));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.lock().expect("not poisoned").as_mut().and_then(|c| c.try_wait().ok().flatten()).is_some() {
                return Err(self.log_end());
            }
            if self.answers() {
                return Ok(());
            }
        }
        Err(self.log_end())
    }

    fn answers(&self) -> bool {
        if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            std::thread::sleep(Duration::from_millis(50));
            return false;
        }
        let mut config = self.client();
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        let consumer: BaseConsumer = config.create().expect("a client");
        consumer.fetch_metadata(None, Duration::from_secs(5)).is_ok_and(|m| !m.brokers().is_empty())
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("broker.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a child from a thread that lives as long as the process: the kernel sends the death signal when the *thread* that
/// started the child ends, and the threads of tests end with their test.
pub(super) fn spawn_for_life(command: Command) -> Child {
    type Request = (Command, SyncSender<Child>);
    static STARTER: OnceLock<Mutex<SyncSender<Request>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, receiver) = sync_channel::<Request>(8);
        std::thread::Builder::new()
            .name("child-starter".to_owned())
            .spawn(move || {
                for (mut command, answer) in receiver {
                    let child = command.spawn().expect("setpriv and java are installed");
                    let _ = answer.send(child);
                }
            })
            .expect("a thread");
        Mutex::new(sender)
    });
    let (answer, child) = sync_channel(1);
    starter.lock().expect("not poisoned").send((command, answer)).expect("the starter lives as long as the process");
    child.recv().expect("java starts")
}

/// The folder of jars, fetched if it is missing.
fn lib() -> &'static Path {
    static LIB: OnceLock<PathBuf> = OnceLock::new();
    LIB.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dev/kafka.sh");
        let output = Command::new(&script).arg("fetch").stderr(Stdio::inherit()).output().expect("deploy/dev/kafka.sh runs");
        assert!(output.status.success(), "deploy/dev/kafka.sh fetch failed; Java 17 and Maven are needed for these tests");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).lines().last().expect("it prints the folder"))
    })
}

fn free_ports() -> (u16, u16, u16) {
    let listen = || TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let (a, b, c) = (listen(), listen(), listen());
    let port = |l: &TcpListener| l.local_addr().expect("bound").port();
    (port(&a), port(&b), port(&c))
}

fn format_storage(folder: &Path) {
    let output = Command::new("java")
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(lib().join("*"))
        .args(["kafka.tools.StorageTool", "format", "--standalone", "-t", &cluster_id(), "-c"])
        .arg(folder.join("server.properties"))
        .output()
        .expect("java runs");
    assert!(output.status.success(), "formatting failed: {}", String::from_utf8_lossy(&output.stdout));
}

/// Each broker is a cluster of its own.
fn cluster_id() -> String {
    let id = URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4());
    // Kafka's tools would take an id that begins with a dash for an option.
    if id.starts_with('-') { cluster_id() } else { id }
}

fn properties(folder: &Path, port: u16, controller: u16, sasl: u16, options: &Options) -> String {
    let mut text = BASE
        .replace("{port}", &port.to_string())
        .replace("{controller}", &controller.to_string())
        .replace("{logs}", &folder.join("logs").to_string_lossy());
    if !options.sasl_users.is_empty() {
        let users: String = options.sasl_users.iter().fold(String::new(), |mut text, (name, password)| {
            let _ = write!(text, " user_{name}=\"{password}\"");
            text
        });
        let _ = write!(
            text,
            "listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}\n\
             sasl.enabled.mechanisms=PLAIN\n\
             listener.name.sasl_plaintext.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required{users};\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS\n"
        );
    }
    for (key, value) in &options.properties {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

/// One node for tests: nothing waits, little memory, retention and compaction at once when asked for.
const BASE: &str = "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
delete.topic.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
log.retention.ms=-1
log.initial.task.delay.ms=500
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=100
log.cleaner.backoff.ms=300
log.cleaner.min.cleanable.ratio=0.01
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
";
