use proptest::prelude::*;

use super::*;
use crate::model::alert::Severity;
use crate::model::figure::Figure;
use crate::model::receiver::ReceiverId;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000)
}

fn details(receivers: &[i64], group_by: &[GroupBy]) -> Details {
    Details {
        rule: "Lag".to_owned(),
        figure: Figure::ConsumerGroupLagMessages,
        quantile: None,
        severity: Severity::Error,
        threshold: 1.0,
        unit: "messages".to_owned(),
        summary: String::new(),
        runbook_url: None,
        owner: None,
        receivers: receivers.iter().copied().map(ReceiverId).collect(),
        group_by: group_by.to_vec(),
        group_wait_ms: 30_000,
        group_interval_ms: 300_000,
        repeat_interval_ms: 14_400_000,
    }
}

fn group() -> Group {
    group_of(1, &details(&[1], &[GroupBy::Rule]), &BTreeMap::new())
}

fn firing(number: i64) -> Member {
    Member {
        fingerprint: number.to_string(),
        firing: true,
        acknowledged: false,
        muted: false,
        urgent: false,
        wait_ms: 30_000,
        interval_ms: 300_000,
        repeat_ms: 14_400_000,
    }
}

fn critical(number: i64) -> Member {
    Member { urgent: true, wait_ms: 0, ..firing(number) }
}

fn over(number: i64) -> Member {
    Member { firing: false, ..firing(number) }
}

fn numbered(alerts: Vec<(String, NotifiedStatus)>) -> Vec<(i64, NotifiedStatus)> {
    alerts.into_iter().map(|(fingerprint, status)| (fingerprint.parse().expect("is a number"), status)).collect()
}

type ToldThen = (i64, Reason, Vec<(i64, NotifiedStatus)>);

/// Runs looks of (second, members) and says what was told when.
fn run(looks: &[(i64, &[Member])]) -> Vec<ToldThen> {
    let (mut group, mut told) = (group(), Vec::new());
    for (second, members) in looks {
        told.extend(group.decide(members, at(*second)).into_iter().map(|telling| (*second, telling.reason, numbered(telling.alerts))));
    }
    told
}

use NotifiedStatus::{Acknowledged, Firing, Resolved};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_group_is_told_of_in_its_time() {
    type Looks<'a> = &'a [(i64, &'a [Member])];
    type Told<'a> = &'a [(i64, Reason, &'a [(i64, NotifiedStatus)])];
    let acked = || Member { acknowledged: true, ..firing(1) };
    let muted = || Member { muted: true, ..firing(1) };
    let table: &[(&str, Looks<'_>, Told<'_>)] = &[
        (
            "the first waits for others",
            &[(0, &[firing(1)]), (29, &[firing(1), firing(2)]), (30, &[firing(1), firing(2)]), (31, &[firing(1), firing(2)])],
            &[(30, Reason::First, &[(1, Firing), (2, Firing)])],
        ),
        ("what is critical does not wait", &[(0, &[critical(1)]), (1, &[critical(1)])], &[(0, Reason::First, &[(1, Firing)])]),
        (
            "later ones keep a distance, and say how the others stand",
            &[(0, &[critical(1)]), (10, &[critical(1), firing(2)]), (299, &[critical(1), firing(2)]), (300, &[critical(1), firing(2)])],
            &[(0, Reason::First, &[(1, Firing)]), (300, Reason::NewAlerts, &[(2, Firing), (1, Firing)])],
        ),
        (
            "what is critical keeps none",
            &[(0, &[critical(1)]), (10, &[critical(1), critical(2)])],
            &[(0, Reason::First, &[(1, Firing)]), (10, Reason::NewAlerts, &[(2, Firing), (1, Firing)])],
        ),
        (
            "some are over, then all",
            &[
                (0, &[critical(1), critical(2)]),
                (10, &[over(1), critical(2)]),
                (300, &[over(1), critical(2)]),
                (310, &[over(2)]),
                (311, &[]),
            ],
            &[
                (0, Reason::First, &[(1, Firing), (2, Firing)]),
                (300, Reason::SomeResolved, &[(1, Resolved), (2, Firing)]),
                (310, Reason::AllResolved, &[(2, Resolved)]),
            ],
        ),
        (
            "what was over before it was told is never told",
            &[(0, &[firing(1)]), (20, &[]), (60, &[firing(2)]), (89, &[firing(2)]), (90, &[firing(2)])],
            &[(90, Reason::First, &[(2, Firing)])],
        ),
        (
            "what flaps is told twice in an interval at most",
            &[(0, &[firing(1)]), (30, &[firing(1)]), (40, &[over(1)]), (50, &[firing(2)]), (339, &[firing(2)]), (340, &[firing(2)])],
            &[(30, Reason::First, &[(1, Firing)]), (40, Reason::AllResolved, &[(1, Resolved)]), (340, Reason::First, &[(2, Firing)])],
        ),
        (
            "what goes on is told again",
            &[(0, &[critical(1)]), (14_399, &[critical(1)]), (14_400, &[critical(1)]), (14_401, &[critical(1)])],
            &[(0, Reason::First, &[(1, Firing)]), (14_400, Reason::Repeat, &[(1, Firing)])],
        ),
        (
            "what somebody has in hand is told once as such and not again, until they have not",
            &[(0, &[firing(1)]), (30, &[firing(1)]), (40, &[acked()]), (41, &[acked()]), (99_999, &[acked()]), (100_000, &[firing(1)])],
            &[
                (30, Reason::First, &[(1, Firing)]),
                (40, Reason::Acknowledged, &[(1, Acknowledged)]),
                (100_000, Reason::Repeat, &[(1, Firing)]),
            ],
        ),
        (
            "what is silent is told when it is no more, and its end is told to whom knew its beginning",
            &[
                (0, &[muted()]),
                (100, &[muted()]),
                (110, &[firing(1)]),
                (140, &[firing(1)]),
                (150, &[muted()]),
                (99_999, &[muted()]),
                (100_000, &[Member { muted: true, ..over(1) }]),
            ],
            &[(140, Reason::First, &[(1, Firing)]), (100_000, Reason::AllResolved, &[(1, Resolved)])],
        ),
        (
            "a clock that goes back delays nothing",
            &[(0, &[critical(1)]), (-90_000, &[critical(1), firing(2)]), (-89_700, &[critical(1), firing(2)])],
            &[(0, Reason::First, &[(1, Firing)]), (-89_700, Reason::NewAlerts, &[(2, Firing), (1, Firing)])],
        ),
    ];
    for (name, looks, expected) in table {
        let expected: Vec<_> = expected.iter().map(|(second, reason, alerts)| (*second, *reason, alerts.to_vec())).collect();
        assert_eq!(run(looks), expected, "{name}");
    }
}

#[test]
fn groups_are_those_with_the_same_receivers_and_labels() {
    let labels = |bus: &str, topic: &str| BTreeMap::from([("bus".to_owned(), bus.to_owned()), ("topic".to_owned(), topic.to_owned())]);
    let by_bus = details(&[2, 1, 2], &[GroupBy::Bus]);
    let one = group_of(1, &by_bus, &labels("prod", "a"));
    assert_eq!(one, group_of(7, &details(&[1, 2], &[GroupBy::Bus]), &labels("prod", "b")));
    assert_eq!(one.labels, BTreeMap::from([("bus".to_owned(), "prod".to_owned())]));
    assert_ne!(one.key, group_of(1, &by_bus, &labels("test", "a")).key);
    assert_ne!(one.key, group_of(1, &details(&[1], &[GroupBy::Bus]), &labels("prod", "a")).key);
    let tricky = |topic: &str| group_of(1, &details(&[1], &[GroupBy::Bus, GroupBy::Topic]), &labels("prod\" topic=\"x", topic)).key;
    assert_ne!(tricky("y"), group_of(1, &details(&[1], &[GroupBy::Bus, GroupBy::Topic]), &labels("prod", "x\" topic=\"y")).key);
    let by_rule = group_of(1, &details(&[1], &[GroupBy::Rule]), &labels("prod", "a"));
    assert_ne!(by_rule.key, group_of(2, &details(&[1], &[GroupBy::Rule]), &labels("prod", "a")).key);
    assert_eq!(by_rule.labels, BTreeMap::from([("rule".to_owned(), "Lag".to_owned())]));
}

proptest! {
    /// Whatever flaps, is silenced and acknowledged, and however the clock leaps: a receiver that follows what it is told never hears
    /// of an end without a beginning, nor of a beginning twice, and in the end knows what fires.
    #[test]
    fn what_receivers_are_told_makes_sense(
        looks in prop::collection::vec((-500_i64..2_000, prop::collection::vec((0_u8..3, any::<bool>(), any::<bool>()), 4)), 1..80),
    ) {
        let (mut group, mut known, mut now) = (group(), BTreeMap::<String, NotifiedStatus>::new(), 0);
        for (pause, states) in looks {
            now += pause;
            let member = |(number, (state, acknowledged, muted)): (usize, &(u8, bool, bool))| {
                let number = i64::try_from(number).unwrap();
                let told = group.told.contains_key(&number.to_string());
                (*state > 0 || told).then_some(Member { acknowledged: *acknowledged, muted: *muted, firing: *state > 0, urgent: *state > 1, ..firing(number) })
            };
            let members: Vec<Member> = states.iter().enumerate().filter_map(member).collect();
            for telling in group.decide(&members, at(now)) {
                prop_assert!(!telling.alerts.is_empty());
                prop_assert_eq!(telling.reason == Reason::First, known.is_empty());
                let told_before = known.clone();
                for (number, status) in telling.alerts {
                    if told_before.get(&number) == Some(&status) && telling.reason != Reason::Repeat {
                        continue;
                    }
                    let before = if status == Resolved { known.remove(&number) } else { known.insert(number, status) };
                    match status {
                        Resolved | Acknowledged if telling.reason != Reason::First && telling.reason != Reason::NewAlerts => prop_assert!(before.is_some()),
                        Firing if telling.reason == Reason::Repeat => prop_assert!(before.is_some()),
                        Resolved => prop_assert!(before.is_some()),
                        _ => prop_assert!(before.is_none()),
                    }
                }
                if telling.reason == Reason::AllResolved {
                    prop_assert!(known.is_empty());
                }
            }
            prop_assert_eq!(known.keys().collect::<Vec<_>>(), group.told.keys().collect::<Vec<_>>());
        }
        let all: Vec<Member> = (0..4).map(firing).collect();
        for pause in [0, 300, 300] {
            now += pause;
            let _ = group.decide(&all, at(now));
        }
        prop_assert_eq!(group.told, (0..4).map(|number| (number.to_string(), Told::Firing)).collect());
    }
}
