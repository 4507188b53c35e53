//! Who was told of an alert, on its page.

use redrive::model::alert::Alert;
use redrive::model::notification::{Notification, NotifiedAlert, NotifiedStatus, Reason};
use redrive::model::receiver::{ReceiverId, ReceiverKind};
use redrive::store::receivers::SealedReceiver;

use super::{Scene, entry, text};

async fn receiver(scene: &Scene) -> ReceiverId {
    let key = scene.site.store.claim_sealing_key("test").await.expect("a key is claimed");
    let sealed = SealedReceiver { name: "pager", kind: ReceiverKind::Webhook, host: "192.0.2.1", sealed: b"nothing", key_id: &key };
    scene.site.store.add_receiver(sealed, &entry(scene.now)).await.expect("the receiver is kept").id
}

async fn tell(scene: &Scene, alert: &Alert, fingerprint: &str, to: ReceiverId) {
    let told = NotifiedAlert {
        fingerprint: fingerprint.to_owned(),
        status: NotifiedStatus::Firing,
        rule: alert.details.rule.clone(),
        severity: alert.details.severity,
        labels: alert.labels.clone(),
        value: alert.standing.last_value,
        threshold: alert.details.threshold,
        unit: String::new(),
        summary: format!("told of {fingerprint}"),
        started_at: alert.standing.started_at.expect("it fires"),
        ended_at: None,
        url: String::new(),
        runbook_url: None,
        owner: None,
    };
    let new = Notification {
        group_key: fingerprint.to_owned(),
        reason: Reason::First,
        at: scene.now,
        group_labels: std::collections::BTreeMap::new(),
        alerts: vec![told],
    };
    assert_eq!(scene.site.store.enqueue(&new, &[to], scene.now).await.expect("written").len(), 1);
}

#[tokio::test]
async fn who_was_told_is_known_however_much_else_was_told_since() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let path = format!("/alerts/{}", alert.number);
    assert!(text(&scene.page(&path).await).contains("Its rule names no receiver"));
    let pager = receiver(&scene).await;
    tell(&scene, &alert, &alert.fingerprint, pager).await;
    for number in 0..210 {
        tell(&scene, &alert, &format!("{number:016x}"), pager).await;
    }
    let page = text(&scene.page(&path).await);
    assert!(page.contains(&format!("told of {}", alert.fingerprint)), "{page}");
    assert!(!page.contains("told of 00000000000000"), "and of nothing else: {page}");
}
