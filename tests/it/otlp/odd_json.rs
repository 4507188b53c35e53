//! JSON as libraries of many languages write it, legal and not, over the wire. The decoder's own tests hold the finer cases.

use reqwest::{Client, StatusCode};

use super::receivers::Receivers;

/// A span with these fields beside its ids and start.
fn body(fields: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[]}},"scopeSpans":[{{"scope":{{}},"spans":[{{
        "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","startTimeUnixNano":1544712660000000000{fields}}}]}}]}}]}}"#
    )
}

async fn status(receivers: &Receivers, body: String) -> (StatusCode, String) {
    let request = Client::new().post(receivers.url()).header("content-type", "application/json").body(body);
    let response = request.send().await.expect("is answered");
    (response.status(), response.text().await.expect("is text"))
}

#[tokio::test]
async fn legal_and_odd_json_is_kept_to_the_last_span() {
    let receivers = Receivers::start().await;
    let legal = [
        r#","attributes":null,"events":null,"links":null,"parentSpanId":null,"status":null"#,
        r#","attributes":[{"key":"a","value":{"arrayValue":{}}},{"key":"b","value":{"kvlistValue":{}}}]"#,
        r#","attributes":[{"key":"a","value":{"doubleValue":"NaN"}},{"key":"b","value":{"doubleValue":"-Infinity"}}]"#,
        r#","attributes":[{"key":"a","value":{"intValue":"7"}},{"key":"b","value":{"intValue":7}},{"key":"c"},{"key":"d","value":null}]"#,
        r#","attributes":[{"key":"a","value":{"bytesValue":"aGk"}}],"parentSpanId":"EEE19B7EC3C1B173""#,
        r#","endTimeUnixNano":"1544712661000000000","unknownField":{"deep":[{"er":null}]},"name":"\ud83d""#,
        r#","endTimeUnixNano":"1","kind":42,"status":{"code":0}"#,
    ];
    for fields in legal {
        assert_eq!(status(&receivers, body(fields)).await, (StatusCode::OK, "{}".to_owned()), "{fields}");
    }
    assert_eq!(receivers.intake.spans().len(), legal.len());
}

#[tokio::test]
async fn illegal_json_is_a_bad_request_that_says_where() {
    let receivers = Receivers::start().await;
    for fields in [
        r#","kind":"SPAN_KIND_SERVER""#,
        r#","status":{"code":"STATUS_CODE_ERROR"}"#,
        r#","parentSpanId":"7uGbfsPBsXM=""#,
        r#","attributes":{"a":1}"#,
        r#","attributes":[{"key":"a","value":"bare"}]"#,
        r#","attributes":[{"key":"a","value":{"doubleValue":NaN}}]"#,
        ",",
    ] {
        let (status, body) = status(&receivers, body(fields)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{fields}: {body}");
        let body: serde_json::Value = serde_json::from_str(&body).expect("is JSON");
        assert_eq!(body["code"], 3);
        assert!(body["message"].as_str().unwrap().contains("line "), "{body}");
        assert_eq!(body["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
    }
    assert!(receivers.intake.spans().is_empty());
}
