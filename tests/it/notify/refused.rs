//! Receivers that cannot even be saved.

use redrive::alerts::receivers::{ReceiverError, ReceiverTerms};
use redrive::model::Timestamp;
use redrive::model::receiver::{Endpoint, ReceiverKind, Secret, Smtp, SmtpTls};

use super::{Scene, actor};

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_refused_when_sent_cannot_be_saved() {
    let scene = Scene::new().await;
    let refused = async |kind: ReceiverKind, endpoint: Endpoint| {
        let terms = ReceiverTerms { name: "x".to_owned(), kind, endpoint, remove: Vec::new() };
        match scene.deliveries.receivers().add(terms, &actor(), Timestamp::now()).await {
            Err(ReceiverError::Invalid(problem)) => problem.field,
            other => panic!("{other:?}"),
        }
    };
    let url = |text: &str| Endpoint { url: Some(Secret::new(text)), ..Endpoint::default() };
    for text in
        ["http://10.0.0.1/", "https://[::ffff:169.254.169.254]/", "https://8.8.8.8:22/", "ftp://example.com/", "https://u:p@example.com/"]
    {
        assert_eq!(refused(ReceiverKind::Webhook, url(text)).await, "url", "{text}");
    }
    let smtp = Smtp {
        host: "192.168.1.1".to_owned(),
        port: 25,
        tls: SmtpTls::None,
        username: None,
        password: None,
        from: "redrive@example.com".to_owned(),
        to: vec!["ann@example.com".to_owned()],
    };
    let mail = |smtp: Smtp| Endpoint { smtp: Some(smtp), ..Endpoint::default() };
    assert_eq!(refused(ReceiverKind::Email, mail(smtp.clone())).await, "smtp.host");
    assert_eq!(refused(ReceiverKind::Email, mail(Smtp { host: "3232235777".to_owned(), ..smtp.clone() })).await, "smtp.host");
    assert_eq!(refused(ReceiverKind::Email, mail(Smtp { host: "127.0.0.1".to_owned(), to: Vec::new(), ..smtp })).await, "smtp.to");
    assert_eq!(refused(ReceiverKind::Pagerduty, Endpoint::default()).await, "routing_key");
    assert_eq!(refused(ReceiverKind::Slack, Endpoint::default()).await, "url");
    assert_eq!(refused(ReceiverKind::Alertmanager, url("http://127.0.0.1:9093/")).await, "url");
    let signed = Endpoint { secret: Some(Secret::new("whsec_short")), ..url("http://127.0.0.1:9/") };
    assert_eq!(refused(ReceiverKind::Webhook, signed).await, "secret");
}
