//! First signal: softly and 0. Second signal: now and not 0. A dead task: with its reason and not 0.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::redrive::{PATIENCE, Redrive, Setup};

#[tokio::test]
async fn the_first_signal_ends_event_streams_and_the_process_orderly() {
    for signal in ["TERM", "INT"] {
        let mut redrive = Setup::new().without_login().start().await;
        let mut stream = open_stream(&redrive).await;
        redrive.signal(signal);
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the event stream ends");
        let status = redrive.wait_for_exit(PATIENCE).await;
        assert_eq!(status.code(), Some(0), "{}", redrive.log());
    }
}

#[tokio::test]
async fn the_second_signal_ends_what_is_still_running() {
    let mut redrive = Setup::new().without_login().start().await;
    open_stream(&redrive).await;
    // A request whose body never comes keeps the web server waiting.
    let mut request = TcpStream::connect(redrive.address()).await.expect("it listens");
    let head = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        redrive.address()
    );
    request.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    redrive.signal("TERM");
    redrive.wait_until("the first signal is heard", PATIENCE, async || redrive.log().contains("finishing what is held")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(redrive.exit_status().is_none(), "the request is still held\n{}", redrive.log());
    redrive.signal("TERM");
    let status = redrive.wait_for_exit(PATIENCE).await;
    assert_eq!(status.code(), Some(1), "{}", redrive.log());
    assert!(redrive.log().contains("a second signal (SIGTERM) ended what was still running"), "{}", redrive.log());
}

#[tokio::test]
async fn a_task_that_dies_ends_the_process_with_its_reason() {
    let mut redrive = Setup::new().without_login().environment("REDRIVE_FAILPOINT", "job=3:panic").prepare();
    redrive.spawn();
    let status = redrive.wait_for_exit(PATIENCE).await;
    assert_eq!(status.code(), Some(1), "{}", redrive.log());
    let log = redrive.log();
    assert!(log.contains("died: ") && log.contains("failpoint job"), "{log}");
}

/// An event stream that has begun.
async fn open_stream(redrive: &Redrive) -> TcpStream {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut stream = TcpStream::connect(redrive.address()).await.expect("it listens");
        let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", redrive.address());
        stream.write_all(head.as_bytes()).await.expect("it reads");
        let mut begun = vec![0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut begun)).await.expect("an answer in time").expect("an answer");
        let text = String::from_utf8_lossy(&begun[..read]).into_owned();
        if text.starts_with("HTTP/1.1 200") {
            return stream;
        }
        assert!(std::time::Instant::now() < deadline, "{text}\n{}", redrive.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
