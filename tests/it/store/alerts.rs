//! Alert rules and silences: what was decided comes back, and what is over is forgotten.

use std::time::Duration;

use redrive::alerts::defaults;
use redrive::model::alert::{Comparison, Label, Matcher, MatcherKind, Terms};
use redrive::model::figure::Figure;
use redrive::model::receiver::{ReceiverId, ReceiverKind};
use redrive::model::{Actor, AuditEntry, Timestamp};
use redrive::store::alerts::rules::NewRule;
use redrive::store::alerts::silences::NewSilence;
use redrive::store::audit::AuditFilter;
use redrive::store::receivers::SealedReceiver;

use super::{START, World, on_both_engines};

fn entry(action: &str, now: Timestamp) -> AuditEntry {
    let actor = Actor { name: "user:ann".to_owned(), address: None };
    AuditEntry { id: 0, at: now, actor, action: action.to_owned(), target: "/x".to_owned(), count: None, result: "done".to_owned() }
}

on_both_engines! {
    /// What was decided comes back as it was; each change is seen by whoever looks, even within one moment.
    a_rule_is_kept_changed_switched_and_removed
    /// The rules that everybody starts with are added once, whatever becomes of them.
    the_first_rules_come_once
    /// Rules name a receiver no more that was removed, and whoever looks sees that they have changed.
    rules_do_not_name_a_receiver_that_was_removed
    /// A silence is kept, ended and forgotten.
    a_silence_is_kept_ended_and_forgotten
}

async fn a_rule_is_kept_changed_switched_and_removed(world: World) {
    let store = &world.store;
    let terms = Terms {
        by: vec![Label::Bus],
        filter: [(Label::Topic, "a*".to_owned())].into(),
        clear_threshold: Some(0.5),
        labels: [("team".to_owned(), "pay \u{0}".to_owned())].into(),
        ..defaults::usual(Figure::TopicMessagesPerSecond, Comparison::Below, 0.1)
    };
    let rule = NewRule { name: "Quiet".to_owned(), enabled: true, terms };
    let mut versions = vec![store.alert_rules_version().await.expect("a version")];
    let one = store.add_alert_rule(&rule, &entry("alert_rules.add", START)).await.expect("kept");
    let two = store.add_alert_rule(&rule, &entry("alert_rules.add", START)).await.expect("kept");
    assert_eq!((one.name.as_str(), one.enabled, one.created_by.as_str()), ("Quiet", true, "user:ann"));
    assert_eq!((&one.terms.filter, one.terms.clear_threshold), (&rule.terms.filter, Some(0.5)));
    versions.push(store.alert_rules_version().await.expect("a version"));
    assert!(store.switch_alert_rule(one.number, false, &entry("alert_rules.switch_off", START)).await.expect("kept"));
    versions.push(store.alert_rules_version().await.expect("a version"));
    let other = NewRule { name: "Quieter".to_owned(), enabled: true, terms: Terms { threshold: 0.05, ..rule.terms.clone() } };
    assert!(store.change_alert_rule(two.number, &other, &entry("alert_rules.change", START)).await.expect("kept"));
    versions.push(store.alert_rules_version().await.expect("a version"));
    let two = store.find_alert_rule(two.number).await.expect("readable").expect("it is there");
    assert!((two.terms.threshold - 0.05).abs() < 1e-12 && two.name == "Quieter");
    assert!(store.remove_alert_rule(one.number, &entry("alert_rules.delete", START)).await.expect("kept"));
    versions.push(store.alert_rules_version().await.expect("a version"));
    assert!(!store.remove_alert_rule(one.number, &entry("alert_rules.delete", START)).await.expect("an answer"));
    assert_eq!(store.list_alert_rules().await.expect("readable").len(), 1);
    let different: std::collections::BTreeSet<_> = versions.iter().collect();
    assert_eq!(different.len(), versions.len(), "{versions:?}");
    let audit = store.list_audit(&AuditFilter::default(), &redrive::model::PageRequest::first(10)).await.expect("readable");
    assert_eq!(audit.items.len(), 5, "what did not happen is not in the audit");
}

async fn the_first_rules_come_once(world: World) {
    let rules = defaults::rules();
    assert!(world.store.add_first_alert_rules(&rules, &entry("alert_rules.add", START)).await.expect("kept"));
    let kept = world.store.list_alert_rules().await.expect("readable");
    assert_eq!(kept.len(), rules.len());
    assert!(kept.iter().zip(&rules).all(|(kept, rule)| kept.terms == rule.terms && kept.enabled));
    for rule in kept {
        assert!(world.store.remove_alert_rule(rule.number, &entry("alert_rules.delete", START)).await.expect("kept"));
    }
    assert!(!world.beside().await.add_first_alert_rules(&rules, &entry("alert_rules.add", START)).await.expect("an answer"));
    assert_eq!(world.store.list_alert_rules().await.expect("readable").len(), 0);
}

async fn rules_do_not_name_a_receiver_that_was_removed(world: World) {
    let store = &world.store;
    let add = async |name: &str, receivers: &[i64]| {
        let receivers = receivers.iter().map(|id| ReceiverId(*id)).collect();
        let terms = Terms { receivers, ..defaults::usual(Figure::StoreUsedRatio, Comparison::Above, 0.9) };
        let rule = NewRule { name: name.to_owned(), enabled: true, terms };
        store.add_alert_rule(&rule, &entry("alert_rules.add", START)).await.expect("kept").number
    };
    let key = store.claim_sealing_key("test").await.expect("a key is claimed");
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        let sealed = SealedReceiver { name, kind: ReceiverKind::Webhook, host: "192.0.2.1", sealed: b"nothing", key_id: &key };
        ids.push(store.add_receiver(sealed, &entry("receivers.add", START)).await.expect("kept").id.0);
    }
    let rules = [add("both", &ids).await, add("first", &ids[..1]).await, add("second", &ids[1..]).await, add("nobody", &[]).await];
    let damaged = add("damaged", &ids).await;
    world.run(&format!("update alert_rules set terms = 'nothing' where id = {damaged}")).await;
    let named = async || {
        let rules = store.list_alert_rules().await.expect("readable");
        rules.iter().map(|rule| rule.terms.receivers.iter().map(|id| id.0).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let versions = async || store.alert_rules_version().await.expect("a version");
    let before = versions().await;
    assert!(store.remove_receiver(ReceiverId(ids[0]), &entry("receivers.delete", START)).await.expect("removed"));
    assert_eq!(named().await, [vec![ids[1]], vec![], vec![ids[1]], vec![]]);
    assert_ne!(versions().await, before);
    let nobody = store.find_alert_rule(rules[3]).await.expect("readable").expect("it is there");
    assert_eq!(nobody.changed_at, START, "what did not name it stays as it is");
    store.forget_receivers(&entry("receivers.forget", START)).await.expect("forgotten");
    assert_eq!(named().await, [[0_i64; 0]; 4]);
}

async fn a_silence_is_kept_ended_and_forgotten(world: World) {
    let store = &world.store;
    let at = |seconds| START.plus(Duration::from_secs(seconds));
    let matchers = vec![Matcher { label: "topic".to_owned(), operator: MatcherKind::Matches, value: "orders\\..*".to_owned() }];
    let new = NewSilence { matchers: matchers.clone(), comment: "deploy".to_owned(), starts_at: at(10), ends_at: at(100) };
    let kept = store.add_silence(&new, &entry("silences.add", START)).await.expect("kept");
    assert_eq!((&kept.matchers, kept.comment.as_str(), kept.is_active(at(9)), kept.is_active(at(10))), (&matchers, "deploy", false, true));
    let longer = NewSilence { ends_at: at(1_000), ..new };
    assert!(store.change_silence(kept.number, &longer, &entry("silences.change", START)).await.expect("kept"));
    assert_eq!(store.list_silences(at(500)).await.expect("readable").len(), 1);
    assert!(store.end_silence(kept.number, &entry("silences.end", at(200))).await.expect("kept"));
    assert!(!store.end_silence(kept.number, &entry("silences.end", at(300))).await.expect("an answer"), "it has ended");
    assert_eq!(store.list_silences(at(500)).await.expect("readable").len(), 0);
    assert_eq!(store.prune_silences(at(199), 10).await.expect("an answer"), 0);
    assert_eq!(store.prune_silences(at(201), 10).await.expect("an answer"), 1);
}
