//! Senders: each sends its next request when the one before was answered, and again when it was told to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use crate::traffic::Traffic;

/// Requests that lie ready.
const READY: usize = 32;

/// Sends everything; how many requests had to be sent again.
pub(crate) async fn all(client: &reqwest::Client, url: &str, traffic: Traffic, size: usize, senders: usize) -> usize {
    let (ready, requests) = mpsc::channel::<Bytes>(READY);
    let making = tokio::task::spawn_blocking(move || {
        for (body, _) in traffic.requests(size) {
            ready.blocking_send(body).expect("senders wait for more");
        }
    });
    let (requests, again) = (Arc::new(Mutex::new(requests)), Arc::new(AtomicUsize::new(0)));
    let sending: Vec<_> = (0..senders)
        .map(|_| {
            let (client, url, requests, again) = (client.clone(), url.to_owned(), Arc::clone(&requests), Arc::clone(&again));
            async move {
                loop {
                    let next = requests.lock().await.recv().await;
                    let Some(body) = next else { break };
                    while !taken(&client, &url, &body).await {
                        again.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        })
        .collect();
    futures::future::join_all(sending).await;
    making.await.expect("no panic");
    again.load(Ordering::Relaxed)
}

async fn taken(client: &reqwest::Client, url: &str, body: &Bytes) -> bool {
    let request = client.post(url).header("content-type", "application/x-protobuf").body(body.clone());
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.bytes().await.expect("a body");
    assert!(status.is_success() || status == reqwest::StatusCode::SERVICE_UNAVAILABLE, "{status}: {text:?}");
    assert!(!status.is_success() || text.is_empty(), "everything is taken: {text:?}");
    status.is_success()
}
