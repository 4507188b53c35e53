//! Secrets of receivers: at rest, in the API, in the log, and when the key is lost.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::SECRET;
use crate::harness::notify::{Answer, Receiver};
use crate::harness::redrive::{PATIENCE, Setup};

const PATH: &str = "/services/T000/B000/very-secret-path";

async fn body(answer: reqwest::Response) -> Value {
    serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_given_back_logged_or_stored_in_the_clear() {
    let echo = Answer::Status(404, "", format!("no such hook: {PATH}"));
    let receiver = Receiver::start(vec![echo]).await;
    let redrive = Setup::new().tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]").start().await;
    let admin = redrive.client("admin");
    let new = json!({ "name": "hook", "kind": "webhook", "url": receiver.url(PATH), "secret": SECRET,
        "headers": [{ "name": "authorization", "value": "Bearer token-of-a-gateway" }] });
    let added = admin.post(redrive.url("/api/v1/receivers")).json(&new).send().await.unwrap();
    assert_eq!(added.status(), 201);
    let added = body(added).await;
    let id = added["id"].as_str().unwrap().to_owned();
    assert_eq!((&added["host"], &added["flagged"]), (&json!("127.0.0.1"), &json!(false)));
    let tested = body(admin.post(redrive.url(&format!("/api/v1/receivers/{id}/test"))).send().await.unwrap()).await;
    assert_eq!((&tested["state"], &tested["last_status"]), (&json!("given_up"), &json!(404)));
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(receiver.requests()[0].headers["authorization"], "Bearer token-of-a-gateway");
    let delivery = tested["id"].as_str().unwrap();
    let mut seen = tested.to_string() + &added.to_string();
    for path in
        ["/api/v1/receivers", "/api/v1/deliveries", "/receivers", &format!("/receivers/{id}"), &format!("/deliveries/{delivery}"), "/audit"]
    {
        let answer = admin.get(redrive.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        seen += &answer.text().await.unwrap();
    }
    for secret in ["very-secret-path", &SECRET[6..], "token-of-a-gateway"] {
        assert!(!seen.contains(secret), "{secret} is in an answer");
        assert!(!redrive.log().contains(secret), "{secret} is in the log");
        for entry in std::fs::read_dir(redrive.folder()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is on the disk");
        }
    }
    let mode = std::fs::metadata(redrive.folder().join("redrive.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_different_key_is_refused_in_words_and_there_is_a_way_out() {
    let mut redrive = Setup::new().tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]").start().await;
    let admin = redrive.client("admin");
    let new = json!({ "name": "hook", "kind": "slack", "url": "http://127.0.0.1:9/x" });
    assert_eq!(admin.post(redrive.url("/api/v1/receivers")).json(&new).send().await.unwrap().status(), 201);
    redrive.stop().await;
    let key = redrive.folder().join("redrive.key");
    let saved = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    redrive.spawn();
    assert!(!redrive.wait_for_exit(PATIENCE).await.success());
    assert!(redrive.log().contains("is lost, and the store holds secrets of 1 receivers"), "{}", redrive.log());
    assert!(!key.exists(), "no new key covers up the loss");
    std::fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    redrive.spawn();
    assert!(!redrive.wait_for_exit(PATIENCE).await.success());
    assert!(redrive.log().contains("is not the one that sealed the secrets of 1 receivers"), "{}", redrive.log());
    std::fs::write(&key, &saved).unwrap();
    redrive.start().await;
    redrive.stop().await;
    std::fs::remove_file(&key).unwrap();
    let output = redrive.command(&["forget-secrets"], "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 receivers were removed"), "{output:?}");
    redrive.start().await;
    assert!(key.exists());
}
