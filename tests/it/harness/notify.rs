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
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The key of the tests.
pub(crate) fn vault() -> Vault {
    Vault::of(&[7; 32])
}

/// What posts, with a short deadline.
pub(crate) fn deliveries(store: &Store, config: &Config, changes: &Changes, life: &Lifecycle) -> Deliveries {
    let guard = Guard::new(config.notifications.allow_addresses.clone(), Arc::new(SystemLookup));
    let courier = Courier::new(guard.clone(), Duration::from_secs(2)).expect("a client can be made");
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
    planned: VecDeque<Answer>,
    requests: Vec<Request>,
    connections: usize,
    written: usize,
}

impl Receiver {
    /// Answers with what is planned, and then always with 200.
    pub(crate) async fn start(planned: Vec<Answer>) -> Self {
        Self::listen(planned, None).await
    }

    /// Behind TLS; answers always with 200.
    pub(crate) async fn behind_tls(acceptor: TlsAcceptor) -> Self {
        Self::listen(Vec::new(), Some(acceptor)).await
    }

    #[expect(clippy::disallowed_methods, reason = "a server of the test's own, outside of what is tested")]
    async fn listen(planned: Vec<Answer>, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State { planned: planned.into(), ..State::default() }));
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
    while let Some(request) = read(&mut stream).await {
        let answer = {
            let mut state = state.lock().unwrap();
            state.requests.push(request);
            state.planned.pop_front().unwrap_or_else(|| Answer::Status(200, "", "ok".to_owned()))
        };
        if !answer_with(&mut stream, answer, &state).await {
            return;
        }
    }
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

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
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
    Some(Request { line, headers, body: String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned() })
}
