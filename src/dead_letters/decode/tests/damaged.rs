//! Bytes that nobody should have written.

use proptest::prelude::*;

use super::{Written, decode, group_of, record};
use crate::dead_letters::conventions::table::TABLE;
use crate::dead_letters::decode::{Decoder, MAX_STACK_TRACE_BYTES};
use crate::dead_letters::fingerprint::{fingerprint, frames, normalise};
use crate::model::Header;

#[test]
fn a_malformed_number_is_said_and_the_rest_still_decodes() {
    let failure = decode(
        "orders.DLT",
        &[
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-partition", b"\x00\x01\x02"),
            ("kafka_dlt-original-offset", b"\0\0\0\0\0\0\0\x09"),
            ("kafka_dlt-original-timestamp", b""),
        ],
    );
    assert_eq!(failure.origin.partition, None);
    assert_eq!(failure.origin.offset, Some(9));
    assert_eq!(
        failure.problem.as_deref(),
        Some("header kafka_dlt-original-partition (3 bytes) is not a number; header kafka_dlt-original-timestamp (0 bytes) is not a time")
    );
}

#[test]
fn a_partition_beyond_all_partitions_is_said() {
    let failure = decode("dlq", &[("__connect.errors.topic", b"orders"), ("__connect.errors.partition", b"99999999999")]);
    assert_eq!(failure.problem.as_deref(), Some("header __connect.errors.partition (11 bytes) is not a partition"));
}

#[test]
fn what_headers_claim_is_kept_exactly() {
    let topic = "<script>\0\u{1b}[31m".repeat(60_000);
    let failure = decode("dlq", &[("__connect.errors.topic", topic.as_bytes()), ("__connect.errors.connector.name", b"a\0b\xff")]);
    assert_eq!(failure.origin.topic.unwrap().as_str(), topic);
    assert_eq!(failure.consumer_group.unwrap().as_str(), "connect-a\0b\u{fffd}");
}

#[test]
fn huge_stack_traces_are_cut_and_that_is_said() {
    let stack = "\u{e9}".repeat(MAX_STACK_TRACE_BYTES) + "x";
    let failure = decode("dlq", &[("__connect.errors.topic", b"orders"), ("__connect.errors.exception.stacktrace", stack.as_bytes())]);
    assert_eq!(failure.stack_trace.unwrap().len(), MAX_STACK_TRACE_BYTES);
    assert!(failure.problem.unwrap().contains("only the first 262144 were read"));
}

fn header_name() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static str> = TABLE.iter().flat_map(|row| row.rules.iter().map(|rule| rule.header)).collect();
    prop_oneof![
        8 => proptest::sample::select(known).prop_map(|name| name.as_bytes().to_vec()),
        1 => Just(b"traceparent".to_vec()),
        1 => Just(b"b3".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

fn stack_like() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("\tat shop.Orders.place(Orders.java:12)".to_owned()),
        Just("Caused by: a.B: c".to_owned()),
        Just("\tSuppressed: a.B".to_owned()),
        Just("\t... 99999999999 more".to_owned()),
        Just("   at Shop.Orders.<Place>d__3.MoveNext() in /x/Orders.cs:line 4".to_owned()),
        Just(" ---> System.Exception: x".to_owned()),
        Just("   --- End of inner exception stack trace ---".to_owned()),
        Just("Traceback (most recent call last):".to_owned()),
        Just("  File \"/app/a.py\", line 3, in f".to_owned()),
        Just("goroutine 1 [running]:".to_owned()),
        Just("main.f(0x1)\n\t/app/a.go:3 +0x1".to_owned()),
        Just("    at f (/app/a.js:1:2)".to_owned()),
        Just("stack backtrace:\n   0: a::b\n             at ./src/a.rs:1:2".to_owned()),
        "\\PC{0,40}",
    ];
    proptest::collection::vec(line, 0..20).prop_map(|lines| lines.join("\n"))
}

fn header_value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        1 => Just(None),
        3 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Some),
        1 => stack_like().prop_map(|text| Some(text.into_bytes())),
        1 => "-?[0-9]{1,20}".prop_map(|text| Some(text.into_bytes())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(headers in proptest::collection::vec((header_name(), header_value()), 0..40), topic in "\\PC{0,30}") {
        let mut letter = record(&[]);
        letter.headers = headers.into_iter().map(|(name, value)| Header { name: name.into(), value: value.map(Into::into) }).collect();
        let decoder = Decoder::new(&[]);
        let failure = decoder.decode(&letter, &topic.as_str().into());
        let carried = decoder.carried(&letter.headers, &topic.as_str().into());
        prop_assert_eq!((&carried.matched, &carried.original_key, &carried.original_value), (&failure.matched, &failure.original_key, &failure.original_value));
        let parts = fingerprint(&failure, &topic.as_str().into(), &["shop.".to_owned()]);
        prop_assert_eq!(&parts, &fingerprint(&failure, &topic.as_str().into(), &["shop.".to_owned()]));
        prop_assert!(parts.title.chars().count() <= 161);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(stack in stack_like(), message in "\\PC{0,300}") {
        for exception in frames::parse(&stack, &[]).exceptions {
            let folded = exception.folded();
            let frames: usize = folded.iter().map(|fold| match fold {
                frames::Fold::Application(_) => 1,
                frames::Fold::Libraries { frames, .. } => frames.len(),
            }).sum();
            prop_assert_eq!(frames, exception.frames.len());
        }
        prop_assert!(normalise::normalise(&message).len() <= 8 * message.len() + 3);
        prop_assert!(normalise::normalise(&stack).len() <= 8 * stack.len() + 3);
    }

    #[test]
    fn lines_ids_and_times_do_not_split_a_failure_group(line in 1_u32..9_999, id in any::<u128>(), at in 1_u64..4_000_000_000_000) {
        let stack = format!(
            "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed\n\
             \tat org.springframework.kafka.listener.Container$Consumer.run(Container.java:{line})\n\
             Caused by: shop.NoStock: order {id} at {at}\n\
             \tat shop.Stock.lambda$reserve${}(Stock.java:{line})\n\
             \tat shop.Orders$$Lambda/0x{at:x}.run(Unknown Source)\n\
             \tat shop.Orders$1.place(Orders.java:{})\n", line % 7, line + 1);
        let group = |stack: &str, message: &str| {
            let headers: [Written<'_>; 4] = [
                ("kafka_dlt-original-topic", b"orders"),
                ("kafka_dlt-original-consumer-group", b"orders-service"),
                ("kafka_dlt-exception-stacktrace", stack.as_bytes()),
                ("kafka_dlt-exception-message", message.as_bytes()),
            ];
            group_of(&decode("orders.DLT", &headers))
        };
        let calm = "Caused by: shop.NoStock: order 1\n\tat shop.Stock.lambda$reserve$0(Stock.java:1)\n\tat shop.Orders$2.place(Orders.java:2)\n";
        prop_assert_eq!(group(&stack, ""), group(calm, ""));
        prop_assert_ne!(group(&stack, ""), group(&stack.replace("Caused by: shop.NoStock", "Caused by: shop.OutOfStock"), ""));
        prop_assert_ne!(group(&stack, ""), group(&stack.replace("shop.Stock.", "shop.Shelf."), ""));
        let uuid = uuid::Uuid::from_u128(id);
        prop_assert_eq!(
            group("", &format!("order {id} ({uuid}) timed out after {at} ms")),
            group("", "order 7 (9f8b1c2e-58b7-4d5f-9a6e-0a4f3a1d2b7c) timed out after 30000 ms")
        );
        prop_assert_ne!(group("", &format!("order {id} timed out")), group("", &format!("order {id} was refused")));
    }
}
