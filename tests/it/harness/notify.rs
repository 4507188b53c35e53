//! Receivers of the tests' own: real HTTP servers that answer as they are told and remember every request; and the parts that post.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redrive::access::Vault;
use redrive::alerts::delivery::{Deliveries, DeliveryParts};
use redrive::alerts::notify::courier::Courier;
use redrive::alerts::notify::guard::{Guard, SystemLookup};
use redrive::alerts::receivers::Receivers;
use redrive::config::Config;
use redrive::lifecycle::Lifecycle;
use redrive::lifecycle::changes::Changes;
use redrive::store::Store;
use standardwebhooks::Webhook;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The key of the tests.
pub(crate) fn vault() -> Vault {
    Vault::of(&[7; 32])
}

/// Longer than a busy machine takes to answer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// What posts.
pub(crate) fn deliveries(store: &Store, config: &Config, changes: &Changes, life: &Lifecycle) -> Deliveries {
    deliveries_within(DEADLINE, store, config, changes, life)
}

/// What posts, each attempt with this deadline.
pub(crate) fn deliveries_within(deadline: Duration, store: &Store, config: &Config, changes: &Changes, life: &Lifecycle) -> Deliveries {
    let guard = Guard::new(config.notifications.allow_addresses.clone(), Arc::new(SystemLookup));
    let courier = Courier::new(guard.clone(), deadline).expect("a client can be made");
    Deliveries::new(DeliveryParts {
        store: store.clone(),
        receivers: Receivers::new(store.clone(), vault(), guard, changes.clone()),
        courier,
        changes: changes.clone(),
        life: life.clone(),
        external_url: "https://redrive.example.com".to_owned(),
        shared: false,
    })
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With a status, headers and a body.
    Status(u16, &'static str, String),
    /// Never: the connection stays open.
    Silence,
    /// The head, one byte a second.
    DripHead,
    /// `200`, and then a byte of the body a second.
    DripBody,
    /// `200`, and 10 MB.
    Huge,
    /// The connection is closed without an answer.
    Hangup,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// First line.
    pub(crate) line: String,
    /// Headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// Body.
    pub(crate) body: String,
    /// Whether it was answered with 2xx, however slowly the rest of the answer came.
    pub(crate) taken: bool,
    /// What is wrong with its signature, by an implementation that is not ours over the bytes that came; where a secret is known.
    pub(crate) forged: Option<String>,
}

impl Request {
    /// The delivery's id.
    pub(crate) fn id(&self) -> &str {
        self.headers.get("webhook-id").map_or("", String::as_str)
    }
}

/// An HTTP server on loopback.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    secret: Option<&'static str>,
    planned: VecDeque<Answer>,
    requests: Vec<Request>,
    connections: usize,
    written: usize,
}

impl Receiver {
    /// Answers with what is planned, and then always with 200.
    pub(crate) async fn start(planned: Vec<Answer>) -> Self {
        Self::listen(State { planned: planned.into(), ..State::default() }, None).await
    }

    /// Answers always with 200 until something is planned, and checks every signature when it comes.
    pub(crate) async fn checking(secret: &'static str) -> Self {
        Self::listen(State { secret: Some(secret), ..State::default() }, None).await
    }

    /// Behind TLS; answers always with 200.
    pub(crate) async fn behind_tls(acceptor: TlsAcceptor) -> Self {
        Self::listen(State::default(), Some(acceptor)).await
    }

    /// On every address of this machine; answers always with 200.
    pub(crate) async fn everywhere() -> Self {
        let listener = TcpListener::bind("[::]:0").await.expect("a machine with IPv6 has a free port");
        Self::serve_on(listener, State::default(), None)
    }

    async fn listen(state: State, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        Self::serve_on(listener, state, acceptor)
    }

    #[expect(clippy::disallowed_methods, reason = "a server of the test's own, outside of what is tested")]
    fn serve_on(listener: TcpListener, state: State, acceptor: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(state));
        let receiver = Self { address, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                state.lock().unwrap().connections += 1;
                let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, state).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        receiver
    }

    /// Answers with this from now on, whatever was planned before, and then with 200.
    pub(crate) fn plan(&self, answers: Vec<Answer>) {
        self.state.lock().unwrap().planned = answers.into();
    }

    /// Its address with a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its address behind TLS, by the name that certificates are for.
    pub(crate) fn secure_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port())
    }

    /// Its port.
    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Bytes of answers that were written so far.
    pub(crate) fn written(&self) -> usize {
        self.state.lock().unwrap().written
    }

    /// How often each id came.
    pub(crate) fn ids(&self) -> BTreeMap<String, usize> {
        let mut ids = BTreeMap::new();
        for request in self.requests() {
            *ids.entry(request.id().to_owned()).or_default() += 1;
        }
        ids
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, state: Arc<Mutex<State>>) {
    while let Some((mut request, body)) = read(&mut stream).await {
        let answer = {
            let mut state = state.lock().unwrap();
            let answer = state.planned.pop_front().unwrap_or_else(|| Answer::Status(200, "", "ok".to_owned()));
            request.taken = matches!(answer, Answer::Status(200..=299, ..) | Answer::DripBody | Answer::Huge);
            request.forged = state.secret.and_then(|secret| verify(secret, &request, &body).err());
            state.requests.push(request);
            answer
        };
        if !answer_with(&mut stream, answer, &state).await {
            return;
        }
    }
}

/// Checks a signature by an implementation that is not ours.
fn verify(secret: &str, request: &Request, body: &[u8]) -> Result<(), String> {
    let mut headers = hyper::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let value = request.headers.get(name).ok_or_else(|| format!("there is no {name}"))?;
        headers.insert(name, value.parse().map_err(|_| format!("{name} is no header's value"))?);
    }
    Webhook::new(secret).and_then(|webhook| webhook.verify(body, &headers)).map_err(|error| error.to_string())
}

/// Writes an answer; `false` when the connection has ended.
async fn answer_with(stream: &mut (impl AsyncWrite + Unpin), answer: Answer, state: &Mutex<State>) -> bool {
    match answer {
        Answer::Status(status, headers, body) => {
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).await.is_ok() && stream.flush().await.is_ok()
        }
        Answer::Silence => {
            tokio::time::sleep(Duration::from_mins(5)).await;
            false
        }
        Answer::Hangup => false,
        Answer::DripHead => {
            drip(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            false
        }
        Answer::DripBody => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            drip(stream, &"x".repeat(100)).await;
            false
        }
        Answer::Huge => {
            let size = 10_000_000;
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").as_bytes()).await;
            let block = [b'y'; 10_000];
            for _ in 0..size / block.len() {
                if stream.write_all(&block).await.is_err() {
                    return false;
                }
                state.lock().unwrap().written += block.len();
            }
            true
        }
    }
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    for byte in text.bytes() {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A request, and the bytes of its body.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<(Request, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16_384];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: BTreeMap<String, String> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < end + 4 + length {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    }
    let body = bytes[end + 4..end + 4 + length].to_vec();
    Some((Request { line, headers, body: String::from_utf8_lossy(&body).into_owned(), taken: false, forged: None }, body))
}
