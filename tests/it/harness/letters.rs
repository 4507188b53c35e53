//! A store with dead letters of all kinds, and the pages over it, without a bus: for tests of pages and API.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use redrive::access::Access;
use redrive::app::CHECKS;
use redrive::config::Config;
use redrive::dead_letters::decode::Decoder;
use redrive::dead_letters::fingerprint::fingerprint;
use redrive::lifecycle::Lifecycle;
use redrive::lifecycle::changes::Changes;
use redrive::model::access::Actor;
use redrive::model::bus::{BusKind, Capabilities, TopicRole};
use redrive::model::dead_letter::NewDeadLetter;
use redrive::model::{BusId, FailedAtSource, Header, Record, Role, Timestamp};
use redrive::operations::Operations;
use redrive::operations::policy::Policies;
use redrive::operations::replay::{ReplayParts, Replays};
use redrive::store::buses::SweepResult;
use redrive::store::indexing::{Advance, IndexBatch, IndexOutcome, PartitionPosition};
use redrive::store::topics::{SeenOffsets, SeenTopic};
use redrive::store::{Store, StoreSettings};
use redrive::telemetry::Metrics;
use redrive::web::{WebParts, WebState, router};
use tempfile::TempDir;
use tower::ServiceExt;

/// One partition per topic is enough here.
const PARTITION: i32 = 0;

/// A store in a folder of its own, with what was seeded.
pub(crate) struct Seeded {
    pub(crate) store: Store,
    pub(crate) now: Timestamp,
    pub(crate) lifecycle: Lifecycle,
    config: String,
    topics: HashMap<(BusId, String), Position>,
    seen: HashMap<BusId, Vec<SeenTopic>>,
    operations: Operations,
    folder: Arc<TempDir>,
}

struct Position {
    partition_id: i64,
    next: i64,
}

/// A record that failed, on its way into the store.
pub(crate) struct Failing {
    topic: &'static str,
    headers: Vec<Header>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    ago: Duration,
    custody_problem: Option<String>,
    backlog: bool,
}

impl Failing {
    /// A record on a dead-letter topic, without any header.
    pub(crate) fn on(topic: &'static str) -> Self {
        Self {
            topic,
            headers: Vec::new(),
            key: Some(Bytes::from_static(b"ord-7841")),
            value: Some(Bytes::from_static(b"{\"orderId\":\"7841\",\"amount\":84.90}")),
            ago: Duration::from_secs(60),
            custody_problem: None,
            backlog: false,
        }
    }

    /// As Spring Kafka writes it.
    pub(crate) fn spring(topic: &'static str, group: &str, class: &str, message: &str) -> Self {
        let origin = topic.trim_end_matches("-dlt");
        let stack = format!(
            "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener method threw exception\n\
             \tat org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.decorateException(KafkaMessageListenerContainer.java:2968)\n\
             \tat org.springframework.kafka.listener.KafkaMessageListenerContainer$ListenerConsumer.doInvokeOnMessage(KafkaMessageListenerContainer.java:2896)\n\
             \tat java.base/java.lang.Thread.run(Thread.java:840)\n\
             Caused by: {class}: {message}\n\
             \tat com.acme.payments.CardTokenizer.tokenize(CardTokenizer.java:88)\n\
             \tat com.acme.payments.AuthoriseHandler.authorise(AuthoriseHandler.java:54)\n\
             \tat com.acme.payments.PaymentListener.onMessage(PaymentListener.java:37)\n\
             \tat java.base/java.lang.reflect.Method.invoke(Method.java:580)\n\
             \tat org.springframework.messaging.handler.invocation.InvocableHandlerMethod.doInvoke(InvocableHandlerMethod.java:169)\n\
             \t... 12 more\n"
        );
        Self::on(topic)
            .header("content-type", "application/json")
            .header("traceparent", "00-8c1f0b6e4d2a97f35be1c0447a91d2e6-51c9a0be77d3f204-01")
            .header("kafka_dlt-original-topic", origin.to_owned())
            .header("kafka_dlt-original-partition", 7_i32.to_be_bytes().to_vec())
            .header("kafka_dlt-original-offset", 1_182_734_i64.to_be_bytes().to_vec())
            .header("kafka_dlt-original-consumer-group", group.to_owned())
            .header("kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException")
            .header("kafka_dlt-exception-cause-fqcn", class.to_owned())
            .header("kafka_dlt-exception-message", message.to_owned())
            .header("kafka_dlt-exception-stacktrace", stack)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    pub(crate) fn raw_header(mut self, name: &'static [u8], value: Option<&'static [u8]>) -> Self {
        self.headers.push(Header { name: Bytes::from_static(name), value: value.map(Bytes::from_static) });
        self
    }

    pub(crate) fn key(mut self, key: Option<impl Into<Bytes>>) -> Self {
        self.key = key.map(Into::into);
        self
    }

    pub(crate) fn value(mut self, value: Option<impl Into<Bytes>>) -> Self {
        self.value = value.map(Into::into);
        self
    }

    pub(crate) fn ago(mut self, seconds: u64) -> Self {
        self.ago = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn without_custody(mut self, problem: &str) -> Self {
        self.custody_problem = Some(problem.to_owned());
        self
    }

    pub(crate) fn backlog(mut self) -> Self {
        self.backlog = true;
        self
    }
}

impl Seeded {
    /// An empty store; no bus.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("redrive-letters-").tempdir().expect("a scratch folder can be made");
        let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
        let settings = StoreSettings { url, max_bytes: None, read_timeout: Duration::from_secs(20) };
        let store = Store::open(&settings).await.expect("a new store can be opened");
        Self {
            store,
            now: Timestamp::now(),
            lifecycle: Lifecycle::new(),
            config: String::new(),
            topics: HashMap::new(),
            seen: HashMap::new(),
            operations: Operations::new(HashMap::new()),
            folder: Arc::new(folder),
        }
    }

    /// Adds a bus that was just read, with these dead-letter topics.
    pub(crate) async fn bus(mut self, id: &str, topics: &[&str]) -> Self {
        let bus = BusId::from(id);
        let section = format!("[[bus]]\nid = \"{id}\"\nkind = \"kafka\"\nbootstrap_servers = \"127.0.0.1:9\"\n");
        self.config.push_str(&section);
        let topic = |name: &&str| SeenTopic {
            topic: (*name).into(),
            topic_id: Some(format!("{id}-{name}-1")),
            role: TopicRole::DeadLetter,
            internal: false,
            replication_factor: 3,
            compacted: false,
            config: BTreeMap::new(),
            partitions: [(PARTITION, Some(1))].into(),
        };
        self.seen.insert(bus.clone(), topics.iter().map(topic).collect());
        let buses: Vec<_> = self.seen.keys().map(|bus| (bus.clone(), BusKind::Kafka)).collect();
        self.store.register_buses(&buses).await.expect("the harness works");
        self.reached(id).await;
        let stored = self.store.record_topics(&bus, &self.seen[&bus], self.now).await.expect("the harness works");
        for topic in stored {
            let partition = &topic.partitions[0];
            let offsets = SeenOffsets { partition_id: partition.id, log_start: 0, end: 1_000_000, last_stable: None };
            self.store.record_offsets(&[offsets], self.now).await.expect("the harness works");
            let start = PartitionPosition { partition_id: partition.id, next: 0, backlog_below: 0, caught_up_at: None };
            self.store.start_positions(&[start]).await.expect("the harness works");
            let name = topic.generation.topic.to_string();
            self.topics.insert((bus.clone(), name), Position { partition_id: partition.id, next: 0 });
        }
        self
    }

    /// Acts of people reach these buses.
    pub(crate) fn acting_on(mut self, operations: Operations) -> Self {
        self.operations = operations;
        self
    }

    /// Goes on with purges, as the job of that name does.
    pub(crate) async fn purge(&self) {
        let purges =
            redrive::operations::purge::Purges::new(self.operations.clone(), self.store.clone(), Changes::new(), self.lifecycle.clone());
        purges.go_on(Timestamp::now()).await.expect("the store answers");
    }

    /// The bus answers now.
    pub(crate) async fn reached(&self, id: &str) {
        self.reached_ago(id, 0).await;
    }

    /// The bus has answered so many seconds ago.
    pub(crate) async fn reached_ago(&self, id: &str, seconds: u64) {
        let reached = SweepResult::Reached {
            cluster_id: Some(format!("cluster-{id}")),
            brokers: 3,
            addresses: Vec::new(),
            untracked_groups: 0,
            capabilities: Capabilities::default(),
        };
        self.store.record_sweep(&id.into(), &reached, self.now.minus(Duration::from_secs(seconds))).await.expect("the harness works");
    }

    /// The bus has stopped to answer.
    pub(crate) async fn unreachable(&self, id: &str, error: &str) {
        self.store.record_sweep(&id.into(), &SweepResult::Failed(error.to_owned()), self.now).await.expect("the harness works");
    }

    /// The broker now keeps only what lies at or above this offset.
    pub(crate) async fn log_start(&self, bus: &str, topic: &str, log_start: i64) {
        let partition_id = self.topics[&(BusId::from(bus), topic.to_owned())].partition_id;
        let offsets = SeenOffsets { partition_id, log_start, end: 1_000_000, last_stable: None };
        self.store.record_offsets(&[offsets], self.now).await.expect("the harness works");
    }

    /// Records that were gone before they were read.
    pub(crate) async fn gap(&mut self, bus: &str, topic: &str, records: i64) {
        let position = self.topics.get_mut(&(BusId::from(bus), topic.to_owned())).expect("a seeded topic");
        let (from, to) = (position.next, position.next + records);
        let advance = Advance { partition_id: position.partition_id, expected: from, next: to, gap: Some((from, to)) };
        position.next = to;
        let batch = IndexBatch { bus: bus.into(), advances: vec![advance], letters: Vec::new() };
        self.store.record_index_batch(batch, self.now).await.expect("the harness works");
    }

    /// Indexes dead letters of one bus as the indexer does; their ids follow in order.
    pub(crate) async fn index(&mut self, bus: &str, failing: Vec<Failing>) {
        let decoder = Decoder::new(&[]);
        let mut advances: BTreeMap<i64, Advance> = BTreeMap::new();
        let mut letters = Vec::new();
        for one in failing {
            let position = self.topics.get_mut(&(BusId::from(bus), one.topic.to_owned())).expect("a seeded topic");
            let failed_at = self.now.minus(one.ago);
            let record = Record {
                topic: one.topic.into(),
                partition: PARTITION,
                offset: position.next,
                timestamp: Some(failed_at),
                timestamp_kind: None,
                key: one.key,
                value: one.value,
                headers: one.headers,
            };
            let failure = decoder.decode(&record, &one.topic.into());
            let letter = NewDeadLetter {
                fingerprint: fingerprint(&failure, &one.topic.into(), &[]),
                failure,
                record,
                failed_at,
                failed_at_source: FailedAtSource::Record,
                arrived_at: failed_at,
                backlog: one.backlog,
                resolved: None,
                custody_problem: one.custody_problem,
            };
            let expected = position.next;
            position.next += 1;
            let advance = advances.entry(position.partition_id);
            advance.and_modify(|advance| advance.next += 1).or_insert(Advance {
                partition_id: position.partition_id,
                expected,
                next: expected + 1,
                gap: None,
            });
            letters.push((position.partition_id, letter));
        }
        let batch = IndexBatch { bus: bus.into(), advances: advances.into_values().collect(), letters };
        let outcome = self.store.record_index_batch(batch, self.now).await.expect("the harness works");
        assert!(matches!(outcome, IndexOutcome::Written(_)), "{outcome:?}");
    }

    /// The pages and the API over this store, without login.
    pub(crate) fn app(&self) -> App {
        self.app_with("[auth]\nmode = \"none\"\n")
    }

    /// The same with login by password, and a token of this role that the requests carry.
    pub(crate) async fn app_as(&self, role: Role) -> App {
        let mut app = self.app_with("");
        let actor = Actor { name: "cli".to_owned(), address: None };
        let token = app.access.add_token(&actor, &format!("test-{role}"), role, None, self.now).await.expect("a token can be made");
        app.token = Some(token.secret.expose().to_owned());
        app
    }

    fn app_with(&self, auth: &str) -> App {
        let state = self.state(auth);
        App { access: state.access().clone(), router: router(&state), token: None, _folder: Arc::clone(&self.folder) }
    }

    /// What the pages are made of.
    pub(crate) fn state(&self, auth: &str) -> WebState {
        let text = format!("{auth}{}", self.config);
        let config = Config::parse(None, &text, [], &CHECKS).expect("the test's configuration is right");
        let changes = Changes::new();
        let replays = without_buses(&self.store, &changes, &self.lifecycle);
        WebState::new(WebParts {
            policies: Policies::new(self.store.clone(), replays.clone(), changes.clone()),
            deliveries: super::notify::deliveries(&self.store, &config, &changes, &self.lifecycle),
            store: self.store.clone(),
            access: Access::new(self.store.clone(), config.auth.mode, changes.clone()),
            operations: self.operations.clone(),
            replays,
            demo: None,
            changes,
            config: Arc::new(config),
            metrics: Metrics::new(),
            lifecycle: self.lifecycle.clone(),
        })
    }
}

/// Replays on a store without any bus: enough for pages.
pub(crate) fn without_buses(store: &Store, changes: &Changes, life: &Lifecycle) -> Replays {
    Replays::new(ReplayParts {
        store: store.clone(),
        buses: HashMap::new(),
        changes: changes.clone(),
        life: life.clone(),
        holder: "test".into(),
        shared: false,
    })
}

/// Pages and API, asked in memory.
pub(crate) struct App {
    router: Router,
    access: Access,
    token: Option<String>,
    /// The store's folder, which must outlive the requests.
    _folder: Arc<TempDir>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl App {
    /// Asks for a page or for JSON.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(path)).await
    }

    /// Asks for a part of a page, as its script does.
    pub(crate) async fn part(&self, path: &str, id: &str) -> Answer {
        let mut request = self.request(path);
        request.headers_mut().insert("hx-request", "true".parse().expect("the harness works"));
        request.headers_mut().insert("hx-target", id.parse().expect("the harness works"));
        self.send(request).await
    }

    /// Asks with one more header.
    pub(crate) async fn get_with(&self, path: &str, name: header::HeaderName, value: &str) -> Answer {
        let mut request = self.request(path);
        request.headers_mut().insert(name, value.parse().expect("the harness works"));
        self.send(request).await
    }

    /// Sends JSON.
    pub(crate) async fn post_json(&self, path: &str, body: serde_json::Value) -> Answer {
        self.send(self.post(path, "application/json", body.to_string())).await
    }

    /// Sends a form, as a browser does without script.
    pub(crate) async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let query = redrive::web::address::query(fields.iter().copied());
        self.send(self.post(path, "application/x-www-form-urlencoded", query.trim_start_matches('?').to_owned())).await
    }

    /// What a redirect leads to, with the cookies that it set.
    pub(crate) async fn follow(&self, answer: &Answer) -> Answer {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text().chars().take(1_500).collect::<String>());
        let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        self.get_with(answer.header("location"), header::COOKIE, &cookie).await
    }

    fn post(&self, path: &str, kind: &str, body: String) -> Request<Body> {
        let mut request = self.request(path);
        *request.method_mut() = axum::http::Method::POST;
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().expect("the harness works"));
        *request.body_mut() = Body::from(body);
        request
    }

    fn request(&self, path: &str) -> Request<Body> {
        let mut request = Request::get(path).header(header::HOST, "localhost:8080");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Body::empty()).expect("a test's path is a path")
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router always answers");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("pages and JSON are UTF-8")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A page that was answered, as text.
    pub(crate) fn page(&self) -> &str {
        let main = self.text().split("<main").nth(1).unwrap_or(self.text());
        assert_eq!(self.status, StatusCode::OK, "{}", main.chars().take(1_500).collect::<String>());
        self.text()
    }

    /// The text of a page without its tags, spaces joined: what a person reads.
    pub(crate) fn words(&self) -> String {
        let mut words = String::new();
        let mut in_tag = false;
        for c in self.page().chars() {
            match c {
                '<' => in_tag = true,
                '>' => {
                    in_tag = false;
                    words.push(' ');
                }
                c if !in_tag => words.push(c),
                _ => {}
            }
        }
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// One header of the answer.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
