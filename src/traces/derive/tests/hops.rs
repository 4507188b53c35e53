//! Ways of several hops, whose spans come in whichever order their exporters send them.

use super::*;

fn sent(trace: u8, id: u8, parent: Option<u8>, start: i64, service: &str) -> Span {
    of(on(span(trace, id, parent, start), Operation::Send, None), service)
}

fn processed(trace: u8, id: u8, parent: Option<u8>, start: i64, service: &str) -> Span {
    of(on(span(trace, id, parent, start), Operation::Process, None), service)
}

/// From the shop to billing, to mailing, to the archive: processed until 16, 41 and 61, first sent at 10.
fn one_trace() -> Vec<Span> {
    vec![
        sent(1, 1, None, 10, "shop"),
        processed(1, 2, Some(1), 15, "billing"),
        of(span(1, 3, Some(2), 15), "billing"),
        sent(1, 4, Some(3), 15, "billing"),
        processed(1, 5, Some(4), 40, "mailing"),
        sent(1, 6, Some(5), 40, "mailing"),
        processed(1, 7, Some(6), 60, "archive"),
    ]
}

/// The same way, where every consumer has a trace of its own.
fn linked_traces() -> Vec<Span> {
    vec![
        sent(1, 1, None, 10, "shop"),
        linked(processed(2, 2, None, 15, "billing"), &[(1, 1)]),
        of(span(2, 3, Some(2), 15), "billing"),
        sent(2, 4, Some(3), 15, "billing"),
        linked(processed(3, 5, None, 40, "mailing"), &[(2, 4)]),
        sent(3, 6, Some(5), 40, "mailing"),
        linked(processed(4, 7, None, 60, "archive"), &[(3, 6)]),
    ]
}

/// Calls for each order of the numbers below `count`.
fn each_order(count: usize, mut call: impl FnMut(&[usize])) {
    let mut order: Vec<usize> = (0..count).collect();
    let mut turns = vec![0; count];
    call(&order);
    let mut at = 0;
    while at < count {
        if turns[at] < at {
            order.swap(if at % 2 == 0 { 0 } else { turns[at] }, at);
            call(&order);
            turns[at] += 1;
            at = 0;
        } else {
            turns[at] = 0;
            at += 1;
        }
    }
}

/// How many ends were measured, and their seconds in all.
fn ends(derivation: &mut Derivation) -> (u64, f64) {
    let whole = durations(&derivation.take_points(), Figure::EndToEndDurationSeconds);
    (whole.count(), whole.sum())
}

fn assert_ends(derivation: &mut Derivation, expected: &[f64], when: &str) {
    let (count, sum) = ends(derivation);
    assert_eq!(count, expected.len() as u64, "{when}");
    assert!((sum - expected.iter().sum::<f64>()).abs() < 1e-6, "{when}: {sum}, not {expected:?}");
}

#[test]
fn end_to_end_begins_at_the_first_sending_in_whichever_order_the_hops_come() {
    for (how, spans) in [("children", one_trace()), ("links", linked_traces())] {
        let mut orders = 0;
        each_order(spans.len(), |order| {
            orders += 1;
            let ordered: Vec<Span> = order.iter().map(|index| spans[*index].clone()).collect();
            for size in [1, 3, 7] {
                let mut derivation = Derivation::default();
                for (number, chunk) in (1..).zip(ordered.chunks(size)) {
                    derivation.take_chunk(number, chunk, at(100 + 5 * number));
                }
                let points = derivation.take_points();
                let (broker, whole) =
                    (durations(&points, Figure::BrokerDurationSeconds), durations(&points, Figure::EndToEndDurationSeconds));
                assert_eq!((broker.count(), whole.count()), (3, 3), "{how}, {size} at a time: {order:?}");
                // Until 16, 41 and 61, each from 10.
                assert!((whole.sum() - 88.0).abs() < 1e-6, "{how}, {size} at a time: {order:?}: {}", whole.sum());
                assert!((broker.sum() - 47.0).abs() < 1e-6, "{how}, {size} at a time: {order:?}: {}", broker.sum());
                assert_eq!(derivation.take_counts().paired, 3, "{how}, {order:?}");
                assert!(derivation.held.is_empty(), "{how}, {order:?}");
            }
        });
        assert_eq!(orders, 5_040);
    }
}

#[test]
fn a_batch_began_with_the_first_of_its_messages_whichever_is_known_first() {
    let spans = [
        sent(1, 1, None, 10, "shop"),
        sent(2, 1, None, 12, "shop"),
        linked(processed(3, 2, None, 15, "billing"), &[(1, 1), (2, 1)]),
        sent(3, 4, Some(2), 15, "billing"),
        processed(3, 5, Some(4), 40, "mailing"),
    ];
    each_order(spans.len(), |order| {
        let mut derivation = Derivation::default();
        for (number, index) in (1..).zip(order) {
            derivation.take_chunk(number, &spans[*index..=*index], at(100 + number));
        }
        assert_ends(&mut derivation, &[6.0, 4.0, 31.0], &format!("{order:?}"));
    });
}

#[test]
fn where_a_hop_before_never_comes_what_is_known_counts_after_a_minute() {
    let way = one_trace();
    for silent in [false, true] {
        let mut derivation = Derivation::default();
        // The shop sends no spans.
        derivation.take_chunk(1, &way[1..5], at(100));
        assert_eq!(
            durations(&derivation.take_points(), Figure::BrokerDurationSeconds).count(),
            1,
            "the time in the broker is known at once"
        );
        derivation.take_chunk::<Span>(2, &[], at(159));
        assert_ends(&mut derivation, &[], "it may still come");
        if silent {
            derivation.release_held(at(160));
        } else {
            derivation.take_chunk::<Span>(3, &[], at(160));
        }
        assert_ends(&mut derivation, &[26.0], "from billing's sending");
        derivation.take_chunk(4, &way[..1], at(161));
        assert_ends(&mut derivation, &[6.0], "nothing counts twice");
    }
}

#[test]
fn of_too_many_that_are_held_the_oldest_waits_no_more() {
    let mut derivation = Derivation { held: Held::new(2), ..Derivation::default() };
    for trace in 1..=5 {
        let [billed, sends, mailed] = [
            processed(trace, 2, Some(1), 15, "billing"),
            sent(trace, 4, Some(2), 15, "billing"),
            processed(trace, 5, Some(4), 40, "mailing"),
        ];
        derivation.take_chunk(i64::from(trace), &[billed, sends, mailed], at(100));
    }
    assert_ends(&mut derivation, &[26.0; 3], "from what is known");
    let shop: Vec<Span> = (1..=5).map(|trace| sent(trace, 1, None, 10, "shop")).collect();
    derivation.take_chunk(6, &shop, at(101));
    assert_ends(&mut derivation, &[6.0, 6.0, 6.0, 6.0, 6.0, 31.0, 31.0], "the newest were held");
    assert!(derivation.held.is_empty());
}

#[test]
fn a_hop_that_is_found_in_the_store_is_one_of_the_way() {
    let way = linked_traces();
    let noted = |index: usize| NotedSpan::of(&way[index]).expect("it touched a message");
    // Billing's work is remembered, its sending is not: mailing is far behind.
    let mut derivation = Derivation::default();
    derivation.take_chunk(1, &[way[1].clone(), way[2].clone(), way[4].clone()], at(100));
    let unknown = derivation.take_unknown();
    assert_eq!(unknown.len(), 2);
    derivation.pair_with(&unknown[1], &noted(3));
    assert_ends(&mut derivation, &[], "billing's message waits for its producer");
    // That one is found in the store, too, or comes.
    derivation.pair_with(&unknown[0], &noted(0));
    assert_ends(&mut derivation, &[6.0, 31.0], "found");
    let mut derivation = Derivation::default();
    derivation.take_chunk(1, &[way[1].clone(), way[2].clone(), way[4].clone()], at(100));
    let unknown = derivation.take_unknown();
    derivation.pair_with(&unknown[1], &noted(3));
    derivation.take_chunk(2, &way[..1], at(110));
    assert_ends(&mut derivation, &[6.0, 31.0], "it came");
    // What is older than all that is remembered does not come any more.
    let mut derivation = Derivation::default();
    derivation.take_chunk(1, &way[4..5], at(100));
    let unknown = derivation.take_unknown();
    derivation.pair_with(&unknown[0], &noted(3));
    assert_ends(&mut derivation, &[26.0], "from billing's sending");
}

#[test]
fn who_goes_on_after_another_measures_what_that_one_held() {
    let way = one_trace();
    for (framed_at, expected) in [(at(120), [6.0, 31.0].as_slice()), (at(161), &[6.0])] {
        let mut derivation = Derivation::default();
        derivation.take_chunk(1, &way[1..5], at(100));
        // They are in the frames of then, and so is what had waited for long enough when the last was taken.
        drop(derivation.take_points());
        derivation.release_held(framed_at);
        drop(derivation.take_points());
        derivation.was_counted();
        derivation.take_chunk(2, &way[..1], at(130));
        assert_ends(&mut derivation, expected, &format!("{framed_at:?}"));
    }
}
