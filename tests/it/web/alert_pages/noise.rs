//! A night's noise: the rule that fired most is found, tried otherwise, and saved; and where a rule may be late, its editor says so.

use axum::http::StatusCode;
use redrive::store::alerts::rules::NewRule;

use super::{MINUTE, Scene, entry, form, terms, text};

/// Two hours of last night: every twenty minutes the group was behind for two, and once for ten.
async fn night(scene: &mut Scene) {
    let quiet =
        NewRule { name: "A quiet rule".to_owned(), enabled: true, terms: redrive::model::alert::Terms { threshold: 1e6, ..terms() } };
    scene.site.store.add_alert_rule(&quiet, &entry(scene.now)).await.expect("added");
    for minute in 0..120_u32 {
        let at = scene.now.minus(MINUTE * (480 - minute));
        let long = if minute / 20 == 3 { 10 } else { 2 };
        scene.sample(at, if minute % 20 < long { 400.0 } else { 5.0 }).await;
        scene.evaluator.look(&scene.site.store, None, true, at).await.expect("a look");
    }
}

/// Where these texts begin, in the order in which they stand.
fn are_in_order(page: &str, names: [&str; 2]) -> bool {
    let at = names.map(|name| page.find(name).unwrap_or_else(|| panic!("{name}: {page}")));
    at[0] < at[1]
}

#[tokio::test]
async fn the_rule_that_made_a_nights_noise_is_found_tried_with_a_longer_wait_and_saved() {
    let mut scene = Scene::new().await;
    night(&mut scene).await;
    let editor = format!("/alert-rules/{}", scene.rule);

    // By the list of rules,
    let rules = scene.page("/alert-rules").await;
    assert!(are_in_order(&rules, [">A quiet rule<", ">Group lags<"]), "nothing fires now: by name");
    assert!(rules.contains(r#"<a href="/alert-rules?sort=fired">Fired, 7 d</a>"#), "{rules}");
    let rules = scene.page("/alert-rules?sort=fired").await;
    assert!(are_in_order(&rules, [">Group lags<", ">A quiet rule<"]), "{rules}");
    assert!(rules.contains(r#"aria-sort="descending"><a href="/alert-rules?sort=fired">Fired, 7 d"#), "{rules}");
    assert!(rules.contains(r#"data-label="Fired, 7 d">6<"#) && rules.contains(&format!("href=\"{editor}\"")), "{rules}");
    assert!(rules.contains("hx-get=\"/alert-rules?sort=fired&#38;order="), "the order stays while the list fetches itself: {rules}");
    assert!(are_in_order(&scene.page("/alert-rules?sort=last_fired").await, [">Group lags<", ">A quiet rule<"]));
    assert!(are_in_order(&scene.page("/alert-rules?sort=rule").await, [">A quiet rule<", ">Group lags<"]));
    assert_eq!(scene.get("/alert-rules?sort=noise", &scene.viewer).await.status, StatusCode::UNPROCESSABLE_ENTITY);

    // or by the first page and the alerts of the rule.
    let read = scene.now.minus(MINUTE * 60 * 48).as_millis();
    scene.site.run(&format!("update buses set first_read_at = {read}")).await;
    let overview = scene.page("/?range=7d").await;
    let alerts = format!("/alerts?rule={}&", scene.rule);
    assert!(overview.contains("Alerts by rule") && overview.contains(&alerts), "{overview}");
    let alerts = scene.page(&format!("{alerts}range=30d")).await;
    assert!(alerts.contains(&format!("<a href=\"{editor}\" title=\"See the rule, try it otherwise\">")), "{alerts}");
    let gone = scene.page("/alerts?rule=9999").await;
    assert!(text(&gone).contains("Rule rule 9999") && !gone.contains("/alert-rules/9999"), "{gone}");

    // What was short is kept back by a longer wait.
    let tried = [("act", "try"), ("range", "24h"), ("for", "5m")];
    let tried = scene.site.post(&editor).by(&scene.admin).form(&form(&tried)).send().await;
    let said = text(&tried.text);
    assert!(said.contains("It would have fired once") && said.contains("The rule as saved would have fired 6 times"), "{said}");
    let saved = scene.site.post(&editor).by(&scene.admin).form(&form(&[("act", "save"), ("for", "5m")])).send().await;
    assert_eq!((saved.status, saved.header("location")), (StatusCode::SEE_OTHER, editor.as_str()));
    let rule = scene.site.store.find_alert_rule(scene.rule).await.expect("readable").expect("is there");
    assert_eq!(rule.terms.for_ms, 300_000);
}

#[tokio::test]
async fn where_a_long_window_makes_a_rule_late_its_editor_says_so() {
    let scene = Scene::new().await;
    let note = "Long windows are read less often: 1h every 5 s, 6h every 30 s, 12h and more every minute.";
    for (figure, is_late) in
        [("records_lost", true), ("spans_error_ratio", true), ("dead_letters_per_minute", false), ("dead_letters_open", false)]
    {
        let page = text(&scene.page(&format!("/alert-rules/new?figure={figure}")).await);
        assert_eq!(page.contains(note), is_late, "{figure}: {page}");
    }
}
