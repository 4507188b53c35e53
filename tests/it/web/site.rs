//! A Redrive without buses, and people who use it.

use std::sync::Arc;

use super::super::harness::letters::without_buses;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use redrive::access::Access;
use redrive::config::Config;
use redrive::lifecycle::Lifecycle;
use redrive::lifecycle::changes::Changes;
use redrive::model::{Actor, Role, Timestamp};
use redrive::operations::Operations;
use redrive::operations::policy::Policies;
use redrive::store::{Store, StoreSettings};
use redrive::telemetry::Metrics;
use redrive::web::{self, WebParts, WebState};
use sqlx::Connection as _;
use tower::ServiceExt;

/// Password of everybody in these tests.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A running web without a network.
pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) store: Store,
    pub(crate) access: Access,
    pub(crate) changes: Changes,
    pub(crate) lifecycle: Lifecycle,
    folder: tempfile::TempDir,
}

impl Site {
    /// With the default configuration.
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With this configuration.
    pub(crate) async fn with(toml: &str) -> Self {
        Self::build(toml, Operations::new(std::collections::HashMap::new())).await
    }

    /// With these acts on buses.
    pub(crate) async fn with_operations(operations: Operations) -> Self {
        Self::build("", operations).await
    }

    async fn build(toml: &str, operations: Operations) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let config = Config::parse(None, toml, [], &redrive::app::CHECKS).expect("the test's configuration is right");
        let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
        let settings = StoreSettings { url, max_bytes: None, read_timeout: std::time::Duration::from_secs(30) };
        let store = Store::open(&settings).await.expect("a store in a scratch folder opens");
        let (changes, lifecycle) = (Changes::new(), Lifecycle::new());
        let access = Access::new(store.clone(), config.auth.mode, changes.clone());
        store.claim_sealing_key(super::super::harness::notify::vault().key_id()).await.expect("the key is known");
        let replays = without_buses(&store, &changes, &lifecycle);
        let state = WebState::new(WebParts {
            policies: Policies::new(store.clone(), replays.clone(), changes.clone()),
            deliveries: super::super::harness::notify::deliveries(&store, &config, &changes, &lifecycle),
            store: store.clone(),
            access: access.clone(),
            operations,
            replays,
            demo: None,
            changes: changes.clone(),
            config: Arc::new(config),
            metrics: Metrics::new(),
            lifecycle: lifecycle.clone(),
        });
        Self { router: web::router(&state), store, access, changes, lifecycle, folder }
    }

    /// Runs statements as somebody who is not Redrive.
    pub(crate) async fn run(&self, statements: &str) {
        let url = format!("sqlite:{}", self.folder.path().join("redrive.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("connected");
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(statements).execute(&mut connection).await.expect("the statements are done");
        connection.close().await.expect("closed");
    }

    /// Adds a user and answers the cookie of a session.
    pub(crate) async fn person(&self, name: &str, role: Role) -> String {
        self.add_user(name, role).await;
        self.log_in(name).await
    }

    /// Adds a user.
    pub(crate) async fn add_user(&self, name: &str, role: Role) -> i64 {
        let cli = Actor { name: "cli".to_owned(), address: None };
        self.access.add_user(&cli, name, PASSWORD, role, Timestamp::now()).await.expect("the user is added").id
    }

    /// The cookie of a new session.
    pub(crate) async fn log_in(&self, name: &str) -> String {
        let login = self.access.log_in(name, PASSWORD, None, None, Timestamp::now()).await.expect("name and password are right");
        format!("redrive_session={}", login.session.expose())
    }

    /// A token.
    pub(crate) async fn token(&self, name: &str, role: Role) -> String {
        let cli = Actor { name: "cli".to_owned(), address: None };
        let made = self.access.add_token(&cli, name, role, None, Timestamp::now()).await.expect("the token is made");
        made.secret.expose().to_owned()
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:8080");
        Call { site: self, request, body: Body::empty() }
    }

    /// Entries of the audit, newest first: action, target, result.
    pub(crate) async fn audit(&self) -> Vec<(String, String, String)> {
        let page = self.store.list_audit(&redrive::store::audit::AuditFilter::default(), &redrive::model::PageRequest::first(100)).await;
        page.expect("the audit is read").items.into_iter().map(|entry| (entry.action, entry.target, entry.result)).collect()
    }
}

/// A request under way.
pub(crate) struct Call<'a> {
    site: &'a Site,
    request: axum::http::request::Builder,
    body: Body,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With the cookie of a session.
    pub(crate) fn by(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
    }

    /// With a token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let query = web::address::query(fields.iter().copied());
        self.body = Body::from(query.trim_start_matches('?').to_owned());
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    pub(crate) fn json(self, body: impl std::fmt::Display) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer as it begins, its body unread.
    pub(crate) async fn begin(self) -> axum::response::Response {
        let mut request = self.request.body(self.body).expect("the request is well formed");
        request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::from(([192, 0, 2, 7], 40_000))));
        self.site.router.clone().oneshot(request).await.expect("the router always answers")
    }

    /// The whole answer.
    pub(crate) async fn send(self) -> Answer {
        let (head, body) = self.begin().await.into_parts();
        let bytes = axum::body::to_bytes(body, 16 * 1024 * 1024).await.expect("the body ends");
        Answer { status: head.status, headers: head.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text))
    }

    /// The problem's code, after a look at its shape.
    pub(crate) fn problem(&self) -> (u16, String, Option<String>) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert!(!problem["title"].as_str().unwrap_or_default().is_empty() && !problem["detail"].as_str().unwrap_or_default().is_empty());
        let text = |name: &str| problem[name].as_str().map(str::to_owned);
        (self.status.as_u16(), text("code").expect("every problem has a code"), text("field"))
    }

    /// The session that the answer sets.
    pub(crate) fn session(&self) -> Option<String> {
        let cookies = self.headers.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
        cookies
            .filter_map(|cookie| cookie.split(';').next())
            .find(|pair| pair.contains("session=") && !pair.ends_with('='))
            .map(str::to_owned)
    }
}
