//! The list of routes and the order of the layers around them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use super::error::Error;
use super::{WebState, api, assets, context, error, health, pages, security};

/// Largest body of a request. Forms and JSON are small; nothing is uploaded.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// After this long the head of an answer must be on its way. Bodies that stream take as long as they need.
const DEADLINE: Duration = Duration::from_secs(30);

/// A route that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// Its method.
    pub method: Method,
    /// Its path, with `{names}`.
    pub path: String,
}

/// Routes of pages. Remembers what it routes, so that a test can ask for every page.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<WebState>,
    list: Vec<RouteInfo>,
}

impl Routes {
    /// No routes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A page.
    #[must_use]
    pub fn get<H: Handler<T, WebState>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add(Method::GET, path, axum::routing::get(handler))
    }

    /// A form.
    #[must_use]
    pub fn post<H: Handler<T, WebState>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add(Method::POST, path, axum::routing::post(handler))
    }

    /// Other routes as well.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self
    }

    fn add(mut self, method: Method, path: &str, handler: MethodRouter<WebState>) -> Self {
        self.router = self.router.route(path, handler);
        self.list.push(RouteInfo { method, path: path.to_owned() });
        self
    }
}

/// The description of the API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Redrive",
        description = "Dead letters of a message bus: what failed, why, and where. Errors are application/problem+json."
    ),
    components(schemas(error::Problem)),
    modifiers(&Schemes),
    security(("token" = []), ("session" = []))
)]
struct ApiDescription;

/// The two ways to say who asks.
struct Schemes;

impl utoipa::Modify for Schemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let session = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("redrive_session")));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", token);
        components.add_security_scheme("session", session);
    }
}

fn api_router() -> OpenApiRouter<WebState> {
    OpenApiRouter::with_openapi(ApiDescription::openapi()).nest("/api/v1", api::routes())
}

fn root_routes() -> Routes {
    Routes::new()
        .get("/health/live", health::live)
        .get("/health/ready", health::ready)
        .get("/metrics", health::metrics)
        .get("/api/v1/openapi.json", api::description)
}

/// The description of the API as JSON.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    api_router().into_openapi()
}

/// Every route: pages, API, health. For tests that ask each of them.
#[must_use]
pub fn route_list() -> Vec<RouteInfo> {
    let mut list = root_routes().and(pages::routes()).list;
    for (path, item) in openapi().paths.paths {
        let methods = [
            (Method::GET, item.get),
            (Method::POST, item.post),
            (Method::PUT, item.put),
            (Method::PATCH, item.patch),
            (Method::DELETE, item.delete),
        ];
        list.extend(
            methods.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| RouteInfo { method, path: path.clone() }),
        );
    }
    list
}

/// Routes with their layers.
///
/// Order, from the outside: context (id, address, log line), headers, compression, presentation of errors, panics, deadline, host,
/// CSRF, body limit. Errors are presented outside of everything that can fail, and inside of what every answer needs.
pub fn router(state: &WebState) -> Router {
    let (api, _) = api_router().split_for_parts();
    let api = api.route_layer(from_fn_with_state(state.clone(), api::unasked::refuse));
    let page_routes = root_routes().and(pages::routes()).router;
    page_routes
        .merge(api)
        .route("/static/{*path}", get(assets::serve))
        .fallback(|| async { Error::NotFound("page") })
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .layer(csrf(state).with_rejection_response(|_| Error::CrossSite.into_response()))
        .layer(from_fn_with_state(state.clone(), security::check_host))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, DEADLINE))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| panicked(&*panic)))
        .layer(from_fn_with_state(state.clone(), error::present))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(state.clone(), security::headers))
        .layer(from_fn_with_state(state.clone(), context::begin))
        .layer(from_fn(not_for_connect))
        .with_state(state.clone())
}

/// Serves until the soft token: then no new requests, streams end, and what is under way is finished, at most until the hard token.
pub async fn serve(listener: TcpListener, state: WebState) -> anyhow::Result<()> {
    let (soft, hard) = (state.lifecycle().soft().clone(), state.lifecycle().hard().clone());
    let service = router(&state).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move { soft.cancelled().await });
    tokio::select! {
        served = async { serving.await } => Ok(served?),
        () = hard.cancelled() => Ok(()),
    }
}

fn csrf(state: &WebState) -> CsrfLayer {
    let layer = CsrfLayer::new();
    let Some(url) = &state.config().http.public_url else { return layer };
    let scheme = if url.is_https() { "https" } else { "http" };
    layer.clone().add_trusted_origin(format!("{scheme}://{}", url.authority())).unwrap_or(layer)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Internal(format!("a handler panicked: {}", text.unwrap_or("without a message"))).into_response()
}

/// Methods that no route knows are answered like any other mistake.
async fn not_for_connect(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    if request.method() == Method::CONNECT || request.method() == Method::TRACE {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    next.run(request).await
}
