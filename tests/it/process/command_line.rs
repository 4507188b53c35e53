//! `check-config`, `migrate`, `user` and `token`.

use std::process::Command;

use super::said;
use crate::harness::redrive::{Setup, free_address, http};

#[test]
fn check_config_reports_every_problem_at_once_and_no_secret() {
    let tables = "[custody]\nmax_record_bytes = \"much\"\n[otlp]\ntoken = \"hunter2-token\"\ntokn = \"hunter2-typo\"\n";
    let lines = "client = { \"group.id\" = \"mine\", \"sasl.password\" = \"hunter2-sasl\", \"no.such.property\" = \"x\" }";
    let redrive = Setup::new().tables(tables).bus_with("prod", "kafka", lines).environment("REDRIVE__HTTP__LISTEN", "everywhere").prepare();
    let output = redrive.command(&["check-config"], "");
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    let file = redrive.config_file().display().to_string();
    for part in [
        "the configuration has 6 problems:",
        "environment variable REDRIVE__HTTP__LISTEN: http.listen = \"everywhere\" should be an address with port",
        &format!("{file}: custody.max_record_bytes = \"much\" should be a size"),
        &format!("{file}: otlp.tokn = *** is no key of Redrive; did you mean \"token\"?"),
        &format!("{file}: bus[0].bootstrap_servers = \"kafka\" should be host:port"),
        &format!("{file}: bus[0].client.\"group.id\" = \"mine\" is refused"),
        &format!("{file}: bus[0].client.\"no.such.property\" = \"x\" is refused"),
    ] {
        assert!(err.contains(part), "{part}\nin\n{err}");
    }
    assert!(!err.contains("hunter2") && !out.contains("hunter2"), "{out}{err}");
}

#[test]
fn check_config_tells_what_would_be_used_and_with_connect_whether_it_answers() {
    let nobody = free_address();
    let redrive = Setup::new().bus("prod", &nobody.to_string()).prepare();
    let (out, err) = said(&redrive.command(&["check-config"], ""));
    assert!(out.contains("has no problems") && out.contains("bus prod (kafka)") && err.is_empty(), "{out}{err}");

    let output = redrive.command(&["check-config", "--connect"], "");
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("store: answers (sqlite"), "{out}");
    assert!(out.contains("bus prod: FAILED") && err.contains("1 connection failed"), "{out}{err}");
}

#[tokio::test]
async fn users_are_kept_beside_a_running_serve() {
    let redrive = Setup::new().start().await;
    redrive.add_user("mara", "admin", "correct horse battery");
    let (out, _) = said(&redrive.command(&["user", "list"], ""));
    assert_eq!(out, "mara\tadmin\tnever logged in\n");

    let login = |password: &str| {
        let body = serde_json::json!({ "username": "mara", "password": password });
        http().post(redrive.url("/api/v1/login")).json(&body).send()
    };
    assert!(login("correct horse battery").await.unwrap().status().is_success());
    let output = redrive.command(&["user", "password", "mara", "--password-stdin"], "another long password\n");
    assert!(output.status.success(), "{:?}", said(&output));
    assert!(login("another long password").await.unwrap().status().is_success());
    assert_eq!(login("correct horse battery").await.unwrap().status(), 401);

    let refused = redrive.command(&["user", "delete", "mara"], "");
    let (_, err) = said(&refused);
    assert!(!refused.status.success() && err.contains("last administrator"), "{err}");
    redrive.add_user("sven", "viewer", "yet another password");
    for command in [["user", "disable", "sven"], ["user", "enable", "sven"], ["user", "delete", "sven"]] {
        let output = redrive.command(&command, "");
        assert!(output.status.success(), "{command:?}: {:?}", said(&output));
    }
    let (_, err) = said(&redrive.command(&["user", "disable", "sven"], ""));
    assert!(err.contains("there is no user sven"), "{err}");
}

#[tokio::test]
async fn a_token_is_printed_alone_and_ends_when_it_is_revoked() {
    let redrive = Setup::new().start().await;
    let output = redrive.command(&["token", "create", "--name", "ci", "--role", "viewer", "--expires", "90d"], "");
    let (out, err) = said(&output);
    let token = out.trim_end();
    assert!(output.status.success() && err.is_empty(), "{err}");
    assert!(token.len() > 40 && !token.contains(char::is_whitespace), "only the token: {out:?}");

    let ask = || http().get(redrive.url("/api/v1/audit")).bearer_auth(token).send();
    assert_eq!(ask().await.unwrap().status(), 200);
    let (listed, _) = said(&redrive.command(&["token", "list"], ""));
    assert!(listed.contains("ci\tviewer\tby cli\tuntil ") && !listed.contains(token), "{listed}");
    let output = redrive.command(&["token", "revoke", "ci"], "");
    assert!(output.status.success(), "{:?}", said(&output));
    assert_eq!(ask().await.unwrap().status(), 401);

    let wrong = redrive.command(&["token", "create", "--name", "ci", "--role", "emperor"], "");
    assert_eq!(wrong.status.code(), Some(2), "{:?}", said(&wrong));
    assert!(!redrive.log().contains(token));
}

#[test]
fn a_password_must_come_on_standard_input() {
    let redrive = Setup::new().prepare();
    let without = redrive.command(&["user", "add", "mara", "--role", "admin"], "");
    assert_eq!(without.status.code(), Some(2));
    let empty = redrive.command(&["user", "add", "mara", "--role", "admin", "--password-stdin"], "");
    assert_eq!(empty.status.code(), Some(1), "{:?}", said(&empty));
}

#[test]
fn migrate_tells_what_it_did() {
    let redrive = Setup::new().prepare();
    let (out, err) = said(&redrive.command(&["migrate"], ""));
    assert!(out.contains("was brought up to date: 1"), "{out}{err}");
    let (out, err) = said(&redrive.command(&["migrate"], ""));
    assert!(out.contains("was up to date"), "{out}{err}");
}

#[test]
fn without_a_command_the_commands_are_listed() {
    let output = Command::new(env!("CARGO_BIN_EXE_redrive")).output().unwrap();
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(2));
    for command in ["serve", "demo", "migrate", "check-config", "user", "token"] {
        assert!(err.contains(command), "{command} in {err}");
    }
}
