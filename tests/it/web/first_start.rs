//! The first administrator.

use axum::http::StatusCode;
use redrive::model::Role;

use super::site::{PASSWORD, Site};

#[tokio::test]
async fn the_code_of_the_first_start_makes_one_administrator() {
    let site = Site::new().await;
    let code = site.access.begin_first_start().await.expect("the store answers").expect("nobody is there yet");
    assert_eq!(site.get("/").send().await.header("location"), "/login");
    assert_eq!(site.get("/login").send().await.header("location"), "/first-start");
    assert!(site.get("/first-start").send().await.text.contains("Make the administrator"));
    let post = async |code: &str, name: &str, password: &str| {
        site.post("/first-start").form(&[("code", code), ("username", name), ("password", password)]).send().await
    };
    let wrong = post("guess", "mara", PASSWORD).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("not the code") && !wrong.text.contains(code.expose()), "{}", wrong.text);
    let short = post(code.expose(), "mara", "short").await;
    assert!(short.text.contains("at least 8 characters") && short.text.contains("value=\"mara\""), "the code is not used up by a mistake");
    let made = post(code.expose(), "mara", PASSWORD).await;
    assert_eq!((made.status, made.header("location")), (StatusCode::SEE_OTHER, "/"));
    let session = made.session().expect("the administrator is logged in");
    assert_eq!(site.get("/settings/users").by(&session).send().await.status, StatusCode::OK);
    assert_eq!(post(code.expose(), "eve", PASSWORD).await.status, StatusCode::NOT_FOUND, "the code ends with its use");
    assert_eq!(site.get("/first-start").send().await.header("location"), "/login");
    assert!(site.access.begin_first_start().await.expect("the store answers").is_none());
}

#[tokio::test]
async fn there_is_no_code_where_somebody_is_or_nobody_logs_in() {
    let site = Site::new().await;
    site.add_user("mara", Role::Admin).await;
    assert!(site.access.begin_first_start().await.expect("the store answers").is_none());
    let open = Site::with("[auth]\nmode = \"none\"").await;
    assert!(open.access.begin_first_start().await.expect("the store answers").is_none());
}

#[tokio::test]
async fn guessing_the_code_waits() {
    let site = Site::new().await;
    site.access.begin_first_start().await.expect("the store answers");
    for _ in 0..10 {
        let answer = site.post("/first-start").form(&[("code", "guess"), ("username", "eve"), ("password", PASSWORD)]).send().await;
        assert!(answer.text.contains("not the code"));
    }
    let answer = site.post("/first-start").form(&[("code", "guess"), ("username", "eve"), ("password", PASSWORD)]).send().await;
    assert!(answer.text.contains("Too many tries"), "{}", answer.text);
}

#[tokio::test]
async fn the_sample_for_a_first_bus_can_be_copied_and_used_as_it_stands() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    let page = site.get("/").by(&mara).send().await;
    let block = page.text.split("id=\"step-config\">").nth(1).and_then(|rest| rest.split("</pre>").next()).expect("a sample");
    let sample: String = block.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text).collect();
    let sample = sample.replace("&#34;", "\"").replace("&quot;", "\"");
    let parsed = |text: &str| redrive::config::Config::parse(None, text, [], &redrive::app::CHECKS);
    assert_eq!(parsed(&sample).expect("it is a configuration").buses.len(), 1, "{sample}");
    let password = tempfile::NamedTempFile::new().expect("a scratch file");
    std::fs::write(password.path(), "a secret\n").expect("written");
    // The certificate is the reader's own; everything else can be used with its marks taken away.
    let secured: Vec<&str> =
        sample.lines().filter(|line| !line.contains("ssl.ca.location")).map(|line| line.trim_start_matches("# ")).collect();
    let secured = secured.join("\n").replace("/run/secrets/kafka-password", &password.path().display().to_string());
    let problems = parsed(&secured).map_err(|problems| problems.to_string());
    assert_eq!(problems.map(|config| config.buses[0].client["sasl.mechanisms"].clone()).as_deref(), Ok("SCRAM-SHA-512"), "{secured}");
}
