//! Pages of alerts, rules and silences: what is on them, who may act, and what a form says when something is wrong.

use std::time::Duration;

use axum::http::StatusCode;
use redrive::alerts::evaluation::Evaluator;
use redrive::metrics::bucket::Point;
use redrive::model::alert::{Acknowledgement, Alert, AlertState, Comparison, Label, Severity, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::group_event::{GroupEvent, GroupEventKind};
use redrive::model::{Actor, AuditEntry, BusKind, Role, Timestamp};
use redrive::store::alerts::history::{AlertCounts, OverFilter};
use redrive::store::alerts::rules::NewRule;
use redrive::store::figures::NewFrame;

use super::site::{Answer, Site};

mod buses;
mod explained;
mod noise;
mod told;
mod tried;
mod watched;

const MINUTE: Duration = Duration::from_mins(1);

/// An operator's and an administrator's session, a rule, and `billing` that lags since 20 minutes.
struct Scene {
    site: Site,
    viewer: String,
    operator: String,
    admin: String,
    rule: i64,
    now: Timestamp,
    evaluator: Evaluator,
}

fn terms() -> Terms {
    Terms {
        by: vec![Label::Bus, Label::ConsumerGroup],
        severity: Severity::Critical,
        summary: "{consumer_group} is {value} behind".to_owned(),
        runbook_url: Some("https://runbooks.example/lag".to_owned()),
        ..redrive::alerts::defaults::usual(Figure::ConsumerGroupLagMessages, Comparison::Above, 100.0)
    }
}

fn entry(now: Timestamp) -> AuditEntry {
    let actor = Actor { name: "user:mara".to_owned(), address: None };
    AuditEntry {
        id: 0,
        at: now,
        actor,
        action: "alert_rules.add".to_owned(),
        target: String::new(),
        count: None,
        result: "done".to_owned(),
    }
}

impl Scene {
    async fn new() -> Self {
        let site = Site::new().await;
        let viewer = site.person("vi", Role::Viewer).await;
        let operator = site.person("sam", Role::Operator).await;
        let admin = site.person("mara", Role::Admin).await;
        site.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
        let now = Timestamp::now();
        let rule = NewRule { name: "Group lags".to_owned(), enabled: true, terms: terms() };
        let rule = site.store.add_alert_rule(&rule, &entry(now)).await.expect("added").number;
        Self { site, viewer, operator, admin, rule, now, evaluator: Evaluator::new("") }
    }

    /// A look of the sampler: how far `billing` is behind.
    async fn sample(&self, at: Timestamp, lag: f64) {
        let after = self.site.store.figure_source("bus:prod").await.expect("readable").map(|(at, _)| at);
        let labels = Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&"billing".into());
        let points = vec![(SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }, Point::Level(lag))];
        let frame = NewFrame { source: "bus:prod", after, taken_at: at, points, state: None, snapshot: false };
        assert!(self.site.store.add_frame(frame).await.expect("it is written"));
    }

    /// The group is behind now, and the rule has looked.
    async fn fire(&mut self) -> Alert {
        for (minutes, lag) in [(30, 3.0), (25, 2.0), (2, 90.0), (1, 400.0), (0, 420.0)] {
            self.sample(self.now.minus(MINUTE * minutes), lag).await;
        }
        self.evaluator.look(&self.site.store, None, true, self.now).await.expect("a look");
        self.alert().await
    }

    async fn alert(&self) -> Alert {
        let living = self.site.store.list_living_alerts().await.expect("readable");
        living.into_iter().find(|alert| alert.standing.state != AlertState::Inactive).expect("an alert fires")
    }

    async fn get(&self, path: &str, who: &str) -> Answer {
        self.site.get(path).by(who).send().await
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path, &self.admin).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }
}

/// The text of a page without its marks.
fn text(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => {
                inside = true;
                text.push(' ');
            }
            '>' => inside = false,
            _ if !inside => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn where_nothing_fires_the_list_says_what_watches() {
    let mut scene = Scene::new().await;
    scene.evaluator.look(&scene.site.store, None, true, scene.now).await.expect("a look");
    let page = text(&scene.page("/alerts").await);
    assert!(page.contains("Nothing fires. ") && !page.contains("looked at"), "{page}");
    assert!(page.contains("Nothing ended in this time"), "{page}");
    let rules = text(&scene.page("/alert-rules").await);
    assert!(rules.contains("1 rule is switched on, none fires."), "{rules}");
    assert!(rules.contains("None of them tells a receiver"), "{rules}");
    assert!(rules.contains("above 100 messages"), "{rules}");
    assert!(text(&scene.page("/silences").await).contains("Nothing is silenced."));
}

#[tokio::test]
async fn an_alert_that_fires_is_on_the_list_in_the_title_and_on_the_first_page() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let list = scene.page("/alerts").await;
    let said = text(&list);
    for part in ["1 alert fires.", "1 firing", "Critical", "Group lags", "billing", "420 messages", "above 100 messages", "shows here only"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(list.contains("<title>(1) Alerts - Redrive</title>"), "the tab says how many fire");
    assert!(list.contains(r#"data-firing="1""#));
    assert!(list.contains(&format!("/silences/new?alert={}", alert.number)));
    let shell = scene.page("/shell?section=alerts").await;
    assert!(shell.contains(r#"<span class="side-count" data-tone="bad" title="1 firing">1</span>"#), "{shell}");
    let overview = text(&scene.page("/").await);
    assert!(overview.contains("Alert: Group lags") && overview.contains("billing is 420 messages behind; nobody has it yet"), "{overview}");
    let found = text(&scene.page("/find?q=group%20lags").await);
    assert!(found.contains("billing, firing") && found.contains("Rule, above 100 messages"), "{found}");
}

#[tokio::test]
async fn a_firing_alert_is_marked_on_bars_and_on_drawings_of_traces() {
    let mut scene = Scene::new().await;
    scene.fire().await;
    let mark = "<title>Alert: Group lags (billing)</title>";
    let overview = scene.page("/").await;
    let bars = overview.split("id=\"arrivals\"").nth(1).and_then(|rest| rest.split("</section>").next()).expect("the bars");
    assert!(bars.contains(mark) && bars.contains("class=\"mark\""), "{bars}");
    let traces = scene.page("/traces").await;
    assert!(text(&traces).contains("What happened meanwhile") && text(&traces).contains("Alert: Group lags (billing)"), "{traces}");
    for narrowed in ["/traces?consumer_group=billing", "/traces?bus=prod"] {
        assert!(text(&scene.page(narrowed).await).contains("Alert: Group lags (billing)"), "{narrowed}");
    }
    assert!(!text(&scene.page("/traces?consumer_group=other&topic=elsewhere").await).contains("Alert: Group lags"), "it is about another");
}

#[tokio::test]
async fn the_badge_follows_at_once_when_an_alert_changes() {
    let mut scene = Scene::new().await;
    assert!(scene.page("/shell?section=alerts").await.contains(r#"data-firing="0""#));
    scene.fire().await;
    scene.site.changes.publish(redrive::lifecycle::changes::Noun::Alerts);
    assert!(scene.page("/shell?section=alerts").await.contains(r#"data-firing="1""#), "what the frame keeps is given up");
}

#[tokio::test]
async fn one_alert_says_what_since_when_how_bad_what_changed_before_and_where_to_look() {
    let mut scene = Scene::new().await;
    let began = scene.now.minus(MINUTE * 4);
    let event = GroupEvent {
        at: began,
        kind: GroupEventKind::OffsetsSet,
        group: "billing".into(),
        topic: None,
        detail: "to the beginning".to_owned(),
    };
    scene.site.store.add_group_events(&"prod".into(), &[event]).await.expect("added");
    let alert = scene.fire().await;
    let page = scene.page(&format!("/alerts/{}", alert.number)).await;
    let said = text(&page);
    for part in [
        "billing is 420 messages behind",
        "Nobody has it yet.",
        "420 messages above 100 messages",
        "Offsets of billing set by hand: to the beginning",
        "4 min before",
        "See consumer group",
        "Runbook",
        "Its rule names no receiver",
        "It never fired before",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(page.contains("class=\"limit\"") && page.contains("class=\"fire\""), "the drawing shows the threshold and when it fires");
    assert!(page.contains("/buses/prod/consumer-groups/billing?from="), "the way to the cause is one click");
    let part =
        scene.site.get(&format!("/alerts/{}", alert.number)).by(&scene.viewer).header("hx-request", "true").header("hx-target", "head");
    let part = part.send().await.text;
    assert!(part.trim_start().starts_with("<div id=\"head\"") && !part.contains("<html"), "{part}");
    assert_eq!(scene.get("/alerts/9999", &scene.viewer).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_operator_takes_note_and_a_viewer_does_not() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let act = format!("/alerts/{}/acknowledge", alert.number);
    let viewer = scene.get(&format!("/alerts/{}", alert.number), &scene.viewer).await.text;
    assert!(viewer.contains("needs the role operator") && !viewer.contains(&act));
    assert_eq!(scene.site.post(&act).by(&scene.viewer).form(&[]).send().await.status, StatusCode::FORBIDDEN);
    let wrong = scene.site.post(&act).by(&scene.operator).form(&[("note", "mine"), ("until", "soon")]).send().await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("id=\"until-error\"") && wrong.text.contains(">mine</textarea>"), "what was typed stays");
    let done = scene
        .site
        .post(&act)
        .by(&scene.operator)
        .form(&[("note", "mine"), ("until", "2h"), ("back", "/alerts?severity=critical")])
        .send()
        .await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/alerts?severity=critical"));
    let said = text(&scene.page(&format!("/alerts/{}", alert.number)).await);
    assert!(said.contains("sam has it since") && said.contains("mine"), "{said}");
    let list = text(&scene.page("/alerts").await);
    assert!(list.contains("1 alert fires and is acknowledged.") && list.contains("acknowledged by sam"), "{list}");
    let back = format!("/alerts/{}/take-back", alert.number);
    for _ in 0..2 {
        assert_eq!(
            scene.site.post(&back).by(&scene.operator).form(&[]).send().await.status,
            StatusCode::SEE_OTHER,
            "a second time does no harm"
        );
    }
    assert!(scene.alert().await.acknowledgement.is_none());
}

#[tokio::test]
async fn what_somebody_looks_at_stays_where_it_is() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let live = format!("/alerts?order={}__", alert.number);
    scene.sample(scene.now.plus(MINUTE), 5.0).await;
    scene.evaluator.look(&scene.site.store, None, true, scene.now.plus(MINUTE)).await.expect("a look");
    let said = text(&scene.page(&live).await);
    assert!(said.contains("1 resolved") && said.contains("Group lags"), "it is over, and its row is still there: {said}");
    let fresh = text(&scene.page("/alerts").await);
    assert!(fresh.contains("Nothing fires") && fresh.contains("Resolved in the last 24 h"), "{fresh}");
    scene.sample(scene.now.plus(MINUTE * 9), 500.0).await;
    scene.evaluator.look(&scene.site.store, None, true, scene.now.plus(MINUTE * 9)).await.expect("a look");
    let again = text(&scene.page(&live).await);
    assert!(again.contains("Show 1 newer"), "what is new waits behind a link: {again}");
    assert_eq!(scene.get("/alerts?order=x", &scene.viewer).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let over = scene.site.store.list_over_alerts(&OverFilter::default(), &redrive::model::PageRequest::first(10)).await.expect("readable");
    assert_eq!(over.items.iter().map(|alert| alert.number).collect::<Vec<_>>(), [alert.number]);
}

/// A form as the page of a rule would send it.
fn form<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("name", "Group lags"),
        ("figure", "consumer_group_lag_messages"),
        ("by", "consumer_group"),
        ("comparison", ">"),
        ("threshold", "100"),
        ("clear_threshold", ""),
        ("window", "5m"),
        ("for", "0s"),
        ("keep_firing_for", "0s"),
        ("no_data", "keep"),
        ("no_data_after", "5m"),
        ("severity", "error"),
        ("summary", ""),
        ("runbook_url", ""),
        ("owner", ""),
        ("labels", ""),
        ("group_by", "rule"),
        ("group_wait", "30s"),
        ("group_interval", "5m"),
        ("repeat_interval", "4h"),
        ("enabled", "true"),
    ];
    let kept = usual.into_iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes.iter().copied()).collect()
}

#[tokio::test]
async fn a_rule_is_tried_before_it_is_saved_beside_the_saved_one() {
    let mut scene = Scene::new().await;
    scene.fire().await;
    let path = format!("/alert-rules/{}", scene.rule);
    let tried = scene
        .site
        .post(&path)
        .by(&scene.admin)
        .form(&form(&[("act", "try"), ("range", "24h"), ("threshold", "50"), ("for", "1m")]))
        .send()
        .await;
    assert_eq!(tried.status, StatusCode::OK);
    let said = text(&tried.text);
    assert!(said.contains("It would have fired once"), "{said}");
    assert!(said.contains("The rule as saved would have fired 1 time"), "{said}");
    assert!(said.contains("Edited, not saved. Nothing changes for 1 alert that fires until you save."), "{said}");
    assert!(tried.text.contains("name=\"threshold\" aria-label=\"Threshold\" autocomplete=\"off\" value=\"50\""), "what was typed stays");
    assert!(tried.text.contains("fires above 50 messages for 1 min"), "the drawing names the threshold");
    assert!(tried.text.contains("class=\"fire-beside\"") && said.contains("The rule as saved would have."), "both are drawn");
    assert!(said.contains("Looked at coarsely, every 1m: each look has the worst value"), "{said}");
    let month = scene.site.post(&path).by(&scene.admin).form(&form(&[("act", "try"), ("range", "30d")])).send().await;
    assert!(text(&month.text).contains("Looked at coarsely, every 1h"), "{}", text(&month.text));
    let rule = scene.site.store.find_alert_rule(scene.rule).await.expect("readable").expect("is there");
    assert!((rule.terms.threshold - 100.0).abs() < f64::EPSILON, "nothing was saved");
    let quiet = scene.site.post(&path).by(&scene.admin).form(&form(&[("act", "try"), ("threshold", "5000")])).send().await;
    assert!(text(&quiet.text).contains("It would not have fired. 1 alert was watched."), "{}", text(&quiet.text));
    let saved = scene.site.post(&path).by(&scene.admin).form(&form(&[("act", "save"), ("threshold", "5000")])).send().await;
    assert_eq!((saved.status, saved.header("location")), (StatusCode::SEE_OTHER, path.as_str()));
    let page = text(&scene.page(&path).await);
    assert!(page.contains("mara changed it") && page.contains("What it did"), "{page}");
    let viewer = scene.get(&path, &scene.viewer).await.text;
    assert!(viewer.contains("Changing a rule needs the role admin") && !viewer.contains("name=\"threshold\""));
    assert_eq!(scene.site.post(&path).by(&scene.operator).form(&form(&[])).send().await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_rule_is_said_at_its_field_at_once() {
    let scene = Scene::new().await;
    let wrong = form(&[
        ("act", "save"),
        ("name", " "),
        ("threshold", "many"),
        ("for", "soon"),
        ("filter_topic", "{a"),
        ("summary", "{nothing}"),
        ("runbook_url", "runbooks.example"),
        ("receivers", "77"),
        ("labels", "team"),
        ("repeat_interval", "1s"),
    ]);
    let answer = scene.site.post("/alert-rules").by(&scene.admin).form(&wrong).send().await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for field in ["name", "threshold", "for", "filter_topic", "summary", "runbook_url", "receivers", "labels", "repeat_interval"] {
        assert!(answer.text.contains(&format!("id=\"{field}-error\"")), "{field}: {}", text(&answer.text));
    }
    assert!(answer.text.contains("value=\"runbooks.example\""), "what was typed stays");
    assert_eq!(scene.site.store.list_alert_rules().await.expect("readable").len(), 1, "nothing was saved");
    let figure =
        scene.site.post("/alert-rules").by(&scene.admin).form(&form(&[("act", "figure"), ("figure", "spans_error_ratio")])).send().await;
    assert_eq!(figure.status, StatusCode::OK);
    assert!(
        figure.text.contains("name=\"filter_service\"") && figure.text.contains("Error budget of a goal"),
        "the fields are those of the figure"
    );
    let added = scene.site.post("/alert-rules").by(&scene.admin).form(&form(&[("act", "save"), ("name", "Other")])).send().await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", text(&added.text));
    let path = added.header("location").to_owned();
    for (act, said) in [("switch", "Off"), ("delete", "")] {
        let done = scene.site.post(&format!("{path}/{act}")).by(&scene.admin).form(&[("enabled", "false")]).send().await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{act}");
        if !said.is_empty() {
            assert!(text(&scene.page(&path).await).contains("Switched off: nothing is watched."));
        }
    }
    assert_eq!(scene.get(&path, &scene.viewer).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_silence_begins_with_an_alert_shows_what_it_covers_and_ends() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let new = scene.get(&format!("/silences/new?alert={}", alert.number), &scene.operator).await.text;
    let said = text(&new);
    assert!(said.contains("It covers the one alert that is active now.") && said.contains("Silence 1 alert"), "{said}");
    assert!(new.contains("value=\"consumer_group\"") && new.contains("value=\"billing\""));
    let lines = [("label0", "consumer_group"), ("operator0", "="), ("value0", "billing"), ("label1", ""), ("value1", "")];
    let with = |more: &[(&'static str, &'static str)]| -> Vec<(&'static str, &'static str)> { lines.iter().chain(more).copied().collect() };
    let nothing =
        scene.site.post("/silences").by(&scene.operator).form(&with(&[("act", "save"), ("length", "2h"), ("comment", " ")])).send().await;
    assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(nothing.text.contains("id=\"comment-error\""), "{}", text(&nothing.text));
    let everything = [("act", "preview"), ("label0", "x"), ("operator0", "!="), ("value0", "y")];
    let refused = scene.site.post("/silences").by(&scene.operator).form(&everything).send().await;
    assert!(refused.text.contains("id=\"matchers-error\""), "{}", text(&refused.text));
    let broken = [("act", "preview"), ("label0", "topic"), ("operator0", "=~"), ("value0", "(")];
    let refused = scene.site.post("/silences").by(&scene.operator).form(&broken).send().await;
    assert!(text(&refused.text).contains("Is no regular expression"), "{}", text(&refused.text));
    let done = scene
        .site
        .post("/silences")
        .by(&scene.operator)
        .form(&with(&[("act", "save"), ("length", "2h"), ("comment", "deploy")]))
        .send()
        .await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/silences"));
    scene.evaluator.look(&scene.site.store, None, true, scene.now.plus(Duration::from_secs(1))).await.expect("a look");
    let list = text(&scene.page("/silences").await);
    assert!(
        list.contains("1 silence is in force. 1 alert goes on without telling anybody.") && list.contains("consumer group is billing"),
        "{list}"
    );
    let alerts = scene.page("/alerts").await;
    assert!(text(&alerts).contains("1 silenced") && alerts.contains("<title>Alerts - Redrive</title>"), "what is silenced rings nowhere");
    let page = text(&scene.page(&format!("/alerts/{}", alert.number)).await);
    assert!(page.contains("Nobody is told: a silence covers it."), "{page}");
    assert_eq!(scene.site.post("/silences/1/end").by(&scene.viewer).form(&[]).send().await.status, StatusCode::FORBIDDEN);
    assert_eq!(scene.site.post("/silences/1/end").by(&scene.operator).form(&[]).send().await.status, StatusCode::SEE_OTHER);
    assert!(text(&scene.page("/silences").await).contains("Nothing is silenced."));
}

#[tokio::test]
async fn counts_know_the_bus_and_times_of_rules_are_on_the_managers_page() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let store = &scene.site.store;
    let one = AlertCounts { active: 1, firing: 1, grave: 1, rules: 1, silences: 0, receivers: 0 };
    assert_eq!(store.count_alerts(None, scene.now).await.expect("readable"), one);
    assert_eq!(store.count_alerts(Some(&"prod".into()), scene.now).await.expect("readable"), one);
    let other = store.count_alerts(Some(&"test".into()), scene.now).await.expect("readable");
    assert_eq!((other.active, other.firing), (0, 0));
    let note = Acknowledgement { by: "user:sam".to_owned(), at: scene.now.plus(MINUTE * 3), note: String::new(), expires_at: None };
    assert!(store.acknowledge_alert(alert.number, &note, &entry(scene.now)).await.expect("written"));
    let fired = store.last_fired().await.expect("readable");
    assert_eq!(fired.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), [scene.rule]);
    let changes = store.list_alert_rule_changes(scene.rule, 10).await.expect("readable");
    assert_eq!(changes.len(), 1, "{changes:?}");
}
