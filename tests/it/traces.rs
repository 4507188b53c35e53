//! From services' spans to pages: received, found, joined with the dead letter they led to.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::kafka::{self, Outgoing, unique};
use crate::harness::redrive::{Redrive, Setup, http};
use crate::replay::scene::{section, spring};

mod sdk;
mod two_buses;

const PATIENCE: Duration = Duration::from_secs(60);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const LETTER_TRACE: &str = "1bf7651916cd43dd8448eb211c80319d";
const SENT: &str = "00000000000000a1";
const PROCESSED: &str = "00000000000000b2";

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

/// What an exporter posts: one service's spans.
fn export(service: &str, spans: &[Value]) -> Value {
    json!({"resourceSpans": [{"resource": {"attributes": [text("service.name", service)]}, "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}]})
}

fn nanos(seconds_ago: i64, millis: i64) -> String {
    let now = redrive::model::Timestamp::now().as_millis();
    ((now - seconds_ago * 1_000 + millis) * 1_000_000).to_string()
}

/// The Java agent with its default names: sent at once, processed two seconds later, failed.
fn spans(topic: &str, group: &str) -> (Value, Value) {
    let sent = json!({
        "traceId": TRACE, "spanId": SENT, "name": format!("{topic} publish"), "kind": 4,
        "startTimeUnixNano": nanos(20, 0), "endTimeUnixNano": nanos(20, 5),
        "attributes": [
            text("messaging.system", "kafka"), text("messaging.operation", "publish"), text("messaging.destination.name", topic),
            text("messaging.destination.partition.id", "0"), number("messaging.kafka.message.offset", 7),
        ],
    });
    let processed = json!({
        "traceId": TRACE, "spanId": PROCESSED, "parentSpanId": SENT, "name": format!("{topic} process"), "kind": 5,
        "startTimeUnixNano": nanos(18, 0), "endTimeUnixNano": nanos(18, 250),
        "attributes": [
            text("messaging.system", "kafka"), text("messaging.operation", "process"), text("messaging.destination.name", topic),
            text("messaging.destination.partition.id", "0"), number("messaging.kafka.message.offset", 7),
            text("messaging.kafka.consumer.group", group),
        ],
        "status": {"code": 2},
        "events": [{"timeUnixNano": nanos(18, 200), "name": "exception", "attributes": [
            text("exception.type", "com.example.CardDeclined"), text("exception.message", "card <b>declined</b>"),
        ]}],
    });
    (sent, processed)
}

async fn post(redrive: &Redrive, body: &Value) {
    let answer = http().post(redrive.spans_url()).json(body).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.expect("JSON"), json!({}), "nothing was rejected");
}

async fn get(redrive: &Redrive, path: &str) -> Value {
    let answer = http().get(redrive.url(path)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

async fn page(redrive: &Redrive, path: &str) -> String {
    let answer = http().get(redrive.url(path)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a page")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_leads_to_its_spans_and_back() {
    let kafka = kafka::shared();
    let topic = kafka.topic(&unique("orders"), 1, &[]).await;
    let dead_letters = kafka.topic(&format!("{topic}-failed"), 1, &[]).await;
    let (group, lines) = (format!("{topic}-billing"), section(&[&dead_letters]));
    let redrive = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &lines).start().await;
    let (sent, processed) = spans(&topic, &group);
    // The halves come from two services, the consumer's first.
    post(&redrive, &export("billing", &[processed])).await;
    post(&redrive, &export("shop", std::slice::from_ref(&sent))).await;
    // Its exporter did not hear the answer.
    post(&redrive, &export("shop", &[sent])).await;
    let letter = Outgoing::to(dead_letters.as_str()).partition(0).key("k").value("{}");
    let letter = spring(letter, &topic, 0, 7, &group).header("traceparent", format!("00-{LETTER_TRACE}-00000000000000c3-03"));
    kafka.produce(&[letter]).await;

    let failed = format!("/api/v1/traces?outcome=failed&topic={topic}");
    redrive
        .wait_until("the failed trace is found", PATIENCE, async || {
            get(&redrive, &failed).await["items"].as_array().is_some_and(|items| items.len() == 1)
        })
        .await;
    let found = get(&redrive, &failed).await;
    assert_eq!((found["items"][0]["trace_id"].as_str(), &found["items"][0]["services"]), (Some(TRACE), &json!(["billing", "shop"])));
    let well = get(&redrive, &format!("/api/v1/traces?outcome=ok&topic={topic}")).await;
    assert_eq!(well["items"], json!([]), "its sender's span went well, and the trace did not");
    let trace = get(&redrive, &format!("/api/v1/traces/{TRACE}")).await;
    assert_eq!(trace["spans"].as_array().map(Vec::len), Some(2), "what came twice is there once: {trace}");
    assert_eq!(trace["spans"][1]["messaging"]["consumer_group"], json!(group));
    let critical = trace["spans"].as_array().expect("spans").iter().map(|span| span["critical_seconds"].clone());
    assert_eq!(critical.collect::<Vec<_>>(), [json!(0.005), json!(0.25)], "the end waited for both");

    let list = format!("/api/v1/dead-letters?bus=prod&topic={dead_letters}");
    redrive
        .wait_until("the dead letter is indexed", PATIENCE, async || {
            get(&redrive, &list).await["items"].as_array().is_some_and(|items| items.len() == 1)
        })
        .await;
    let id = get(&redrive, &list).await["items"][0]["id"].as_str().expect("an id").to_owned();
    let expected = ["sent", "in_topic", "processed", "dead_lettered"];
    for path in [format!("/api/v1/journeys?dead_letter={id}"), format!("/api/v1/journeys?bus=prod&topic={topic}&partition=0&offset=7")] {
        let journey = get(&redrive, &path).await;
        let steps = journey["steps"].as_array().expect("steps");
        let kinds: Vec<&str> = steps.iter().filter_map(|step| step["kind"].as_str()).collect();
        assert_eq!(kinds, expected, "{path}: {journey}");
        assert_eq!((steps[2]["failed"].as_bool(), steps[2]["span_id"].as_str()), (Some(true), Some(PROCESSED)), "{journey}");
        assert_eq!(steps[3]["dead_letter_id"], json!(id));
    }
    let drawn = page(&redrive, &format!("/journeys?dead_letter={id}")).await;
    assert!(drawn.contains("dead-lettered") && drawn.contains(&format!("/traces/{TRACE}?span={PROCESSED}")), "the way to the failing span");
    let whole = page(&redrive, &format!("/traces/{TRACE}?span={PROCESSED}")).await;
    assert!(whole.contains("card &#60;b&#62;declined") || whole.contains("card &lt;b&gt;declined"), "what the exception says is text");
    assert!(whole.contains(&format!("The longest wait was before {topic} process of billing")), "two seconds lie between them");
    assert_eq!(whole.matches("class=\"critical\"").count(), 2, "both are underlined");
    assert!(page(&redrive, &format!("/dead-letters/{id}")).await.contains(&format!("/journeys?dead_letter={id}")));
    assert!(page(&redrive, "/traces").await.contains(TRACE));

    measured_and_kept(&redrive, &topic, &group).await;
}

/// The durations of both halves, paired once; and the trace stays beyond the time of all spans.
async fn measured_and_kept(redrive: &Redrive, topic: &str, group: &str) {
    let series = format!("/api/v1/series?figure=broker_duration_seconds&bus=prod&topic={topic}&quantile=0.5");
    redrive
        .wait_until("the pair is measured", PATIENCE, async || !get(redrive, &series).await["series"].as_array().is_some_and(Vec::is_empty))
        .await;
    let measured = get(redrive, &series).await;
    assert_eq!(measured["series"][0]["labels"]["consumer_group"], json!(group), "{measured}");
    // Failed, so kept beyond the time of all spans; and a person may keep it too.
    let pinned = http().post(redrive.url(&format!("/api/v1/traces/{TRACE}/pin"))).send().await.expect("an answer");
    assert_eq!(pinned.status(), 204);
    redrive
        .wait_until("it is kept", PATIENCE, async || {
            let kept = get(redrive, &format!("/api/v1/traces/{TRACE}")).await["kept"].clone();
            ["failed", "pinned"].iter().all(|reason| kept.as_array().is_some_and(|kept| kept.contains(&json!(reason))))
        })
        .await;
    assert_eq!(get(redrive, "/api/v1/audit?action=trace").await["items"][0]["action"], "trace.pin");
    // A consumer's span of which nothing tells who sent the message.
    let (_, mut alone) = spans(topic, group);
    alone["traceId"] = json!("2cf7651916cd43dd8448eb211c80319e");
    for part in ["parentSpanId", "attributes"] {
        alone.as_object_mut().expect("an object").remove(part);
    }
    alone["attributes"] = json!([text("messaging.system", "kafka"), text("messaging.operation", "process")]);
    post(redrive, &export("billing", &[alone])).await;
    let is_said = async || {
        let losses = get(redrive, "/api/v1/traces?limit=1").await["losses"].clone();
        losses.as_array().expect("a list").iter().any(|loss| loss["what"] == "unpaired" && loss["spans"] == 1)
    };
    redrive.wait_until("it is said that its way was not measured", PATIENCE, is_said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_or_read_is_said() {
    let redrive = Setup::new().without_login().start().await;
    let cases = [
        ("/api/v1/traces/xyz", 404),
        ("/api/v1/traces/0af7651916cd43dd8448eb211c80319c", 404),
        ("/api/v1/traces?operation=fly", 422),
        ("/api/v1/traces?at_least=soon", 422),
        ("/api/v1/traces?outcome=maybe", 422),
        ("/api/v1/traces?outcome=ok", 200),
        ("/traces?outcome=&service=", 200),
        ("/api/v1/traces?nonsense=1", 422),
        ("/api/v1/journeys", 422),
        ("/api/v1/journeys?trace_id=1", 422),
        ("/api/v1/journeys?topic=orders&bus=prod&partition=0", 422),
        ("/api/v1/journeys?dead_letter=1", 404),
        ("/journeys?dead_letter=1", 404),
        ("/traces/0af7651916cd43dd8448eb211c80319c", 404),
        ("/traces?q=nonsense", 422),
        ("/traces", 200),
    ];
    for (path, status) in cases {
        let answer = http().get(redrive.url(path)).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
    }
    let empty = page(&redrive, "/traces").await;
    assert!(empty.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "a newcomer is told what to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_receiver_everything_else_goes_on() {
    let mut redrive = Setup::new().without_login().tables("[otlp]\ngrpc_listen = \"\"\nhttp_listen = \"\"\n").start().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    redrive.assert_running();
    assert!(page(&redrive, "/traces").await.contains("No span was received"));
    assert!(redrive.stop().await.success(), "{}", redrive.log());
}
