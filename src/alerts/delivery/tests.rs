//! What attempts mean.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::model::notification::{Notification, Reason};

const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn delivery(attempts: u32, reason: Reason) -> Delivery {
    let notification = Notification { group_key: String::new(), reason, at: START, group_labels: BTreeMap::new(), alerts: Vec::new() };
    Delivery {
        number: 1,
        id: "0198".to_owned(),
        receiver: ReceiverId(1),
        receiver_name: "on call".to_owned(),
        kind: ReceiverKind::Slack,
        notification,
        title: String::new(),
        state: DeliveryState::Sending,
        created_at: START,
        next_at: START,
        give_up_at: START.plus(ladder::DEADLINE),
        attempts,
        epoch: 1,
        uncertain: false,
        had_by: Vec::new(),
        ended_at: None,
        last_at: None,
        last_status: None,
        last_error: None,
    }
}

fn outcome(verdict: Verdict) -> Outcome {
    let error = (verdict != Verdict::Delivered).then(|| "503 Service Unavailable".to_owned());
    Outcome {
        verdict,
        status: Some(503),
        answer: Some(String::new()),
        error,
        retry_after: None,
        had_by: Vec::new(),
        took: Duration::from_millis(7),
    }
}

fn judged(delivery: &Delivery, outcome: &Outcome, at: Timestamp) -> Marked {
    judge(delivery, outcome, at, at, 0.5)
}

#[test]
fn what_arrived_has_ended_and_what_failed_climbs_the_ladder() {
    let arrived = judged(&delivery(3, Reason::First), &outcome(Verdict::Delivered), START);
    assert_eq!((arrived.state, arrived.attempt.number, arrived.attempt.error), (DeliveryState::Delivered, 4, None));
    for (attempts, seconds) in [(0, 5), (1, 15), (2, 45), (3, 120), (4, 300), (5, 900), (6, 3_600), (20, 3_600)] {
        let failed = judged(&delivery(attempts, Reason::First), &outcome(Verdict::Failed), START);
        assert_eq!((failed.state, failed.next_at), (DeliveryState::Failed, START.plus(Duration::from_secs(seconds))), "{attempts}");
        assert_eq!(failed.attempt.next_at, Some(failed.next_at));
    }
    let asked = Outcome { retry_after: Some(Duration::from_mins(10)), ..outcome(Verdict::Failed) };
    assert_eq!(judged(&delivery(0, Reason::First), &asked, START).next_at, START.plus(Duration::from_mins(10)));
}

#[test]
fn after_a_day_it_is_given_up_and_said() {
    let late = START.plus(Duration::from_hours(23) + Duration::from_mins(30));
    let given_up = judged(&delivery(25, Reason::First), &outcome(Verdict::Failed), late);
    assert_eq!((given_up.state, given_up.attempt.next_at), (DeliveryState::GivenUp, None));
    assert!(given_up.attempt.error.unwrap().contains("within a day"));
    let in_time = START.plus(Duration::from_hours(22));
    assert_eq!(judged(&delivery(25, Reason::First), &outcome(Verdict::Failed), in_time).state, DeliveryState::Failed);
}

#[test]
fn only_an_attempt_without_an_answer_makes_a_repeat_possible() {
    for (verdict, uncertain) in [(Verdict::Failed, false), (Verdict::Unknown, true), (Verdict::Gone, false)] {
        assert_eq!(judged(&delivery(0, Reason::First), &outcome(verdict), START).uncertain, uncertain, "{verdict:?}");
    }
    let before = Delivery { uncertain: true, ..delivery(1, Reason::First) };
    assert!(judged(&before, &outcome(Verdict::Failed), START).uncertain, "it stays so");
    assert!(judged(&before, &outcome(Verdict::Gone), START).gone);
}

#[test]
fn a_test_is_tried_once() {
    assert_eq!(judged(&delivery(0, Reason::Test), &outcome(Verdict::Failed), START).state, DeliveryState::GivenUp);
}
