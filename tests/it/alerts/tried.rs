//! A trial says what the rule itself did: of a short time sample by sample, of a long one as far as its steps tell.

use redrive::alerts::history::{Range, SAMPLE_MS, coarse, try_rule};
use redrive::model::Timestamp;
use redrive::model::alert::Terms;

use super::super::store::{World, on_both_engines};
use super::evaluation::{Watch, lag};
use super::scene::{add_rule, alerts_of, receiver};

/// When alerts of a rule fired, and when they ended.
type Fired = Vec<(Option<Timestamp>, Option<Timestamp>)>;

async fn what_comes_and_goes_within_a_minute_is_tried_as_it_was_seen(world: World) {
    let (mut watch, to) = (Watch::new(&world.store).await, receiver(&world.store, "Pager").await);
    let at_once = lag(&[to]);
    let waiting = Terms { for_ms: 30_000, ..at_once.clone() };
    let rules = [add_rule(&watch.store, "At once", at_once.clone()).await, add_rule(&watch.store, "Waiting", waiting.clone()).await];
    let start = watch.now;
    for sample in 0..24_u64 {
        // `shipping` is gone after a while.
        let lags = [("billing", if sample % 2 == 1 { 150.0 } else { 50.0 }), ("shipping", 500.0)];
        watch.later(if sample == 0 { 0 } else { 15 }, &lags[..if sample < 10 { 2 } else { 1 }]).await;
    }
    let end = watch.now.plus(std::time::Duration::from_secs(15));
    let fine = Range { from: start, to: end, step_ms: SAMPLE_MS };
    let by_minute = Range { step_ms: 60_000, ..fine };
    for (rule, terms, times) in [(rules[0], &at_once, 13), (rules[1], &waiting, 1)] {
        let mut seen: Fired = Vec::new();
        for alert in alerts_of(&watch.store, rule).await {
            // A trial looks at a sample when its step is over.
            let later = |at: Option<Timestamp>| at.map(|at| at.plus(std::time::Duration::from_secs(15)));
            if alert.standing.started_at.is_some() {
                seen.push((later(alert.standing.started_at), later(alert.standing.resolved_at)));
            }
        }
        seen.sort_unstable();
        let tried = try_rule(&watch.store, terms, fine).await.expect("recorded history");
        let tried: Fired = tried.episodes.iter().map(|episode| (Some(episode.started_at), episode.ended_at)).collect();
        assert_eq!(tried.len(), times, "{tried:?}");
        assert_eq!(tried, seen);
        assert_eq!(coarse(terms, fine.step_ms), None);
        let minutes = try_rule(&watch.store, terms, by_minute).await.expect("recorded history");
        assert_eq!(minutes.episodes.len(), 2, "each minute is as bad as its worst sample");
        assert!(coarse(terms, by_minute.step_ms).is_some_and(|said| said.contains("worst value")));
    }
}

on_both_engines! {
    what_comes_and_goes_within_a_minute_is_tried_as_it_was_seen
}
