//! The browser harness itself: it must notice what the journeys rely on it to notice.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::harness::browser::{Browser, Script};

/// Serves one page with a strict policy to everybody who asks, from a thread that ends with the test process.
fn serve(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection arrives");
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Security-Policy: default-src 'none'; img-src data:\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_violation_of_the_policy_is_a_complaint_and_its_script_does_not_run() {
    let browser = Browser::open(Script::On).await;
    browser.goto(&serve("<title>calm</title><script>document.title = 'ran'</script><p>hello")).await;
    assert_eq!(browser.title().await, "calm");
    assert_eq!(browser.text().await, "hello");
    let complaints = browser.complaints().await;
    assert!(complaints.iter().any(|c| c.contains("Content Security Policy")), "{complaints:?}");
}

#[tokio::test]
async fn a_browser_without_script_shows_what_is_meant_for_it() {
    let browser = Browser::open(Script::Off).await;
    browser.goto("data:text/html,<title>calm</title><script>document.title='ran'</script><noscript>no script</noscript>").await;
    assert_eq!(browser.title().await, "calm");
    assert_eq!(browser.text().await, "no script");
    assert_eq!(browser.evaluate("return 1 + 1").await, 2);
}

#[tokio::test]
#[should_panic(expected = "scrolls sideways")]
async fn a_page_wider_than_the_window_is_noticed() {
    let browser = Browser::open(Script::On).await;
    browser.resize(390, 844).await;
    browser.goto("data:text/html,<meta name=viewport content='width=device-width'><svg width=400 height=10></svg>").await;
    browser.assert_fits().await;
}
