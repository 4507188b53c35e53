//! Stands between a client and the broker and counts requests by their kind; bytes pass unchanged.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};

/// Requests by API key.
pub(crate) type Counts = BTreeMap<i16, u64>;

/// A running proxy; ends with the process.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    target: Arc<OnceLock<u16>>,
    counts: Arc<Mutex<Counts>>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let proxy = Self { port, target: Arc::default(), counts: Arc::default() };
        let to = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Some(target) = to.target.get() else { continue };
                let Ok(broker) = TcpStream::connect(("127.0.0.1", *target)) else { continue };
                let (counts, back) =
                    (Arc::clone(&to.counts), (broker.try_clone().expect("a handle"), client.try_clone().expect("a handle")));
                let _ = (client.set_nodelay(true), broker.set_nodelay(true));
                std::thread::spawn(move || requests(client, broker, &counts));
                std::thread::spawn(move || copy(back.0, back.1));
            }
        });
        proxy
    }

    /// Where the broker is.
    pub(crate) fn lead_to(&self, port: u16) {
        let _ = self.target.set(port);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().expect("not poisoned").clone()
    }
}

/// Frame by frame: four bytes of length, then two of API key.
fn requests(mut client: TcpStream, mut broker: TcpStream, counts: &Mutex<Counts>) {
    let mut frame = Vec::new();
    loop {
        let mut length = [0_u8; 4];
        if client.read_exact(&mut length).is_err() {
            break;
        }
        frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
        frame[..4].copy_from_slice(&length);
        if client.read_exact(&mut frame[4..]).is_err() {
            break;
        }
        if let Some(key) = frame.get(4..6) {
            *counts.lock().expect("not poisoned").entry(i16::from_be_bytes([key[0], key[1]])).or_default() += 1;
        }
        if broker.write_all(&frame).is_err() {
            break;
        }
    }
    let _ = broker.shutdown(std::net::Shutdown::Both);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// What a kind of request is called.
pub(crate) fn name(key: i16) -> String {
    let known = [
        (1, "Fetch"),
        (2, "ListOffsets"),
        (3, "Metadata"),
        (9, "OffsetFetch"),
        (10, "FindCoordinator"),
        (15, "DescribeGroups"),
        (16, "ListGroups"),
        (18, "ApiVersions"),
        (32, "DescribeConfigs"),
        (60, "DescribeCluster"),
        (69, "ConsumerGroupDescribe"),
        (75, "DescribeTopicPartitions"),
    ];
    known.iter().find(|(number, _)| *number == key).map_or_else(|| format!("key {key}"), |(_, name)| (*name).to_owned())
}
