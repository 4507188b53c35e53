use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const CHECKS: &Checks = &crate::app::CHECKS;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Problems> {
    Config::parse(Some("redrive.toml".to_owned()), text, env(environment), CHECKS)
}

fn problems(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load(text, environment).expect_err("has problems").0.iter().map(ToString::to_string).collect()
}

#[test]
fn without_a_file_everything_is_local_and_no_bus_is_watched() {
    let config = Config::load(None, [], CHECKS).unwrap();
    assert_eq!(config.http.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.store.url, "sqlite:redrive.db");
    assert_eq!(config.custody.max_record_bytes, 8 << 20);
    assert_eq!(config.retention.dead_letters, Duration::from_hours(24 * 90));
    assert_eq!(config.retention.store_max_bytes, None);
    assert_eq!(config.auth.mode, AuthMode::Password);
    assert_eq!(config.buses, []);
}

#[test]
fn the_documented_defaults_are_the_ones_in_the_code() {
    let documented = Config::load(None, [], CHECKS).unwrap();
    let value = Value::from(figment::value::Dict::new());
    let reading = Reading::new(Figment::new(), None, BTreeMap::new());
    let coded = Config::read(&reading, &value, CHECKS);
    assert_eq!(reading.into_problems(), []);
    assert_eq!(documented, coded);
}

#[test]
fn the_commented_example_of_a_bus_is_valid() {
    let start = DEFAULTS.find("# [[bus]]").expect("the example");
    let example = DEFAULTS[start..]
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')))
        .fold(String::new(), |text, line| text + line + "\n")
        .replace("\"sasl.password_file\" = ", "\"sasl.password\" = ");
    let config = load(&example, &[]).unwrap();
    let bus = &config.buses[0];
    assert_eq!(bus.client["security.protocol"], "SASL_SSL");
    assert_eq!(bus.dead_letters.mappings[0].fields.len(), 2);
    assert_eq!(bus.dead_letters.mappings[0].topics[0].consumer_group.as_deref(), Some("$1-service"));
    assert_eq!(bus.otlp_topics.len(), 1);
}

#[test]
fn every_problem_is_reported_at_once_with_file_key_value_and_what_is_right() {
    let text = r#"
        colour = "red"
        [http]
        listen = "8080"
        lissten = "x"
        metrics_public = "maybe"
        trusted_proxies = ["10.0.0.0/8", "proxy"]
        [store]
        url = "mysql://root:hunter2@db/redrive"
        [retention]
        dead_letters = "90 days"
        store_max_bytes = "1MiB"
        [auth]
        mode = "basic"
        [otlp]
        token = { a = 1 }
        [telemetry]
        log = "info,,=x=y"
        [[bus]]
        kind = "rabbitmq"
        bootstrap_servers = "kafka"
        [[bus]]
        id = "prod"
        bootstrap_servers = "kafka:9092"
        [bus.dead_letters]
        patterns = "x"
        [[bus.dead_letters.mapping]]
        name = "ours"
        fields = { "x-error" = "mesage", "x-class" = "exception_class" }
        [[bus]]
        id = "prod"
        bootstrap_servers = "kafka:9092"
    "#;
    let found = problems(text, &[("REDRIVE__CUSTODY__MAX_RECORD_BYTES", "huge"), ("REDRIVE__BUS__7__ID", "far")]);
    let expected = [
        r"environment variable REDRIVE__BUS__7__ID: bus[7].id = *** has the number 7, but the next free one is 3",
        r#"redrive.toml: http.listen = "8080" should be an address with port, such as "127.0.0.1:8080" or "0.0.0.0:8080""#,
        r#"redrive.toml: http.trusted_proxies[1] = "proxy" should be addresses or networks such as "10.0.0.0/8""#,
        r#"redrive.toml: http.metrics_public = "maybe" should be true or false"#,
        r#"redrive.toml: http.lissten = "x" is no key of Redrive; did you mean "listen"?"#,
        r"redrive.toml: otlp.token = *** should be text",
        r#"redrive.toml: store.url = "mysql://root:***@db/redrive" should be "sqlite:PATH" or "postgres://USER@HOST/DATABASE""#,
        r#"environment variable REDRIVE__CUSTODY__MAX_RECORD_BYTES: custody.max_record_bytes = "huge" should be a size such as "8MiB""#,
        r#"redrive.toml: retention.dead_letters = "90 days" should be a duration above zero such as "90d" or "48h""#,
        r#"redrive.toml: retention.store_max_bytes = "1MiB" should be a size such as "20GiB" (at least 64MiB), or empty"#,
        r#"redrive.toml: auth.mode = "basic" should be "password" or "none""#,
        r#"redrive.toml: telemetry.log = "info,,=x=y" should be a filter such as "info" or "info,redrive::bus=debug""#,
        r#"redrive.toml: bus[0].id is missing; it should be a name of at most 64 letters, digits, "-", "_" or ".""#,
        r#"redrive.toml: bus[0].kind = "rabbitmq" should be "kafka""#,
        r#"redrive.toml: bus[0].bootstrap_servers = "kafka" should be host:port, comma separated"#,
        r#"redrive.toml: bus[1].dead_letters.patterns = "x" should be a list of names or patterns, where "*" stands for any characters"#,
        r#"redrive.toml: bus[1].dead_letters.mapping[0].fields.x-error = "mesage" does not name a field: unknown variant `mesage`, expected one of `origin_topic`"#,
        r"redrive.toml: bus[1].dead_letters.mapping[0].marker is missing; it should be the name of a header that only such records have",
        r#"redrive.toml: bus[2].id = "prod" should be another name: an earlier bus has it"#,
        r#"redrive.toml: colour = "red" is no key of Redrive; known here: http, otlp, store, custody, retention, auth, secrets, notifications, telemetry, bus"#,
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn text_that_is_not_toml_says_where() {
    let found = problems("[otlp]\ntoken = \"hunter2\n", &[]);
    assert_eq!(found.len(), 1);
    assert!(!found[0].contains("hunter2"), "{found:?}");
    assert!(found[0].starts_with("redrive.toml: is not TOML: ") && found[0].contains("line 2"), "{found:?}");
}

#[test]
fn a_missing_file_is_a_problem_not_the_defaults() {
    let found = Config::load(Some(Path::new("/nowhere/redrive.toml")), [], CHECKS).expect_err("is missing");
    assert!(found.to_string().contains("/nowhere/redrive.toml: cannot be read"), "{found}");
}

#[test]
fn the_environment_wins_and_reaches_into_lists() {
    let text = "[[bus]]\nid = \"a\"\nbootstrap_servers = \"a:1\"\nclient = { \"sasl.username\" = \"me\" }\n";
    let environment = [
        ("REDRIVE__HTTP__LISTEN", "localhost:9999"),
        ("REDRIVE__HTTP__METRICS_PUBLIC", "true"),
        ("REDRIVE__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
        ("REDRIVE__BUS__0__BOOTSTRAP_SERVERS", "b:2"),
        ("REDRIVE__BUS__0__CLIENT__SASL_PASSWORD", "12345"),
        ("REDRIVE__BUS__1__ID", "c"),
        ("REDRIVE__BUS__1__BOOTSTRAP_SERVERS", "c:3"),
        ("REDRIVE__BUS__1__DEAD_LETTERS__TOPICS", "x,y"),
        ("REDRIVE_LOG", "debug"),
    ];
    let config = load(text, &environment).unwrap();
    assert_eq!(config.http.listen, "127.0.0.1:9999".parse().unwrap());
    assert!(config.http.metrics_public);
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(config.buses[0].bootstrap_servers, "b:2");
    assert_eq!(config.buses[0].client["sasl.password"], "12345");
    assert_eq!(config.buses[0].client["sasl.username"], "me");
    assert_eq!(config.buses[1].id.as_str(), "c");
    assert_eq!(config.buses[1].dead_letters.topics.len(), 2);
}

#[test]
fn secrets_come_from_files_without_their_line_end_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "hunter2\n").unwrap();
    let path = file.display();
    let text = format!(
        "[store]\nurl_file = \"{path}\"\n[otlp]\ntoken_file = \"{path}\"\n[[bus]]\nid = \"a\"\nbootstrap_servers = \"a:1\"\n[bus.client]\n\"sasl.password_file\" = \"{path}\"\n"
    );
    let found = problems(&text, &[]);
    assert_eq!(found.len(), 1, "the store's URL is wrong and only that: {found:?}");
    std::fs::write(&file, "postgres://u:hunter2@h/d\n").unwrap();
    let config = load(&text, &[]).unwrap();
    assert_eq!(config.store.url, "postgres://u:hunter2@h/d");
    assert_eq!(config.otlp.token.as_deref(), Some("postgres://u:hunter2@h/d"));
    assert_eq!(config.buses[0].client["sasl.password"], "postgres://u:hunter2@h/d");
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
}

#[test]
fn a_secret_given_twice_or_from_a_missing_file_is_a_problem() {
    let text = "[otlp]\ntoken = \"hunter2\"\ntoken_file = \"/nowhere/token\"\n[[bus]]\nid = \"a\"\nbootstrap_servers = \"a:1\"\n[bus.client]\n\"sasl.password\" = \"hunter2\"\n\"sasl.password_file\" = \"/nowhere/password\"\n";
    let found = problems(text, &[]).join("\n");
    assert!(found.contains("only one of token and token_file"), "{found}");
    assert!(found.contains("/nowhere/token\" should be a file that can be read"), "{found}");
    assert!(found.contains("/nowhere/password\" should be a file that can be read"), "{found}");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn refused_client_properties_are_problems_that_hide_secrets() {
    fn check(properties: &BTreeMap<String, String>) -> Vec<(String, String)> {
        properties.keys().map(|key| (key.clone(), "is set by Redrive itself".to_owned())).collect()
    }
    let text = "[[bus]]\nid = \"a\"\nbootstrap_servers = \"a:1\"\nclient = { \"acks\" = 0, \"sasl.password\" = \"hunter2\" }\n";
    let found = Config::parse(Some("f".to_owned()), text, [], &Checks { client: check, ..*CHECKS }).expect_err("refused").to_string();
    assert!(found.contains("bus[0].client.acks = 0 is set by Redrive itself"), "{found}");
    assert!(found.contains("bus[0].client.\"sasl.password\" = *** is set"), "{found}");
}

#[test]
fn without_login_every_address_must_be_loopback() {
    let text = "[auth]\nmode = \"none\"\n[http]\nlisten = \"0.0.0.0:80\"\n[otlp]\ngrpc_listen = \"[::]:4317\"\n";
    let found = problems(text, &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("http.listen") && found[0].contains("loopback"), "{found:?}");
    assert!(load("[auth]\nmode = \"none\"\n[http]\nlisten = \"[::1]:80\"\n", &[]).is_ok());
}

#[test]
fn receivers_of_spans_listen_on_loopback_unless_told_otherwise_and_an_empty_address_is_off() {
    let otlp = |text: &str| load(text, &[]).expect("is a configuration").otlp;
    assert_eq!(otlp("").grpc_listen, Some("127.0.0.1:4317".parse().unwrap()));
    assert_eq!(otlp("").http_listen, Some("127.0.0.1:4318".parse().unwrap()));
    let off = otlp("[otlp]\ngrpc_listen = \"\"\nhttp_listen = \"0.0.0.0:4318\"\n");
    assert_eq!((off.grpc_listen, off.http_listen), (None, Some("0.0.0.0:4318".parse().unwrap())));
    let found = problems("[otlp]\ngrpc_listen = \"4317\"\n", &[]);
    assert!(found[0].ends_with("should be an address with port, such as \"127.0.0.1:4317\" or \"0.0.0.0:4317\", or empty"), "{found:?}");
}
