//! Pages and API. The only room that names the web framework and the template engine.
//!
//! # How to add a page
//!
//! 1. *Struct and template.* `web/pages/topics.rs` holds the page structs and handlers, `templates/topics/topics.html` extends
//!    `layout/base.html`, which needs a field `layout: Layout`. Each part that is swapped alone is one askama block with one element
//!    whose id is the block's name; list the blocks in the template attribute and in [`render::Page::part`].
//!
//!    ```ignore
//!    use crate::web::{Layout, Section, WebState, filters};
//!    use crate::web::extract::{Partial, Query, Viewer};
//!    use crate::web::render::{Page, part, render};
//!
//!    #[derive(askama::Template)]
//!    #[template(path = "topics/topics.html", blocks = ["topics"])]
//!    struct TopicsPage { layout: Layout, rows: Vec<TopicRow> }
//!
//!    impl Page for TopicsPage {
//!        fn now(&self) -> Timestamp { self.layout.now }
//!        fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
//!            (id == "topics").then(|| part(&self.as_topics(), now))
//!        }
//!    }
//!
//!    async fn topics(_: Viewer, State(state): State<WebState>, layout: Layout, partial: Partial, Query(query): Query<TopicsQuery>)
//!        -> Result<Response, Error>
//!    {
//!        let rows = state.store().list_topics(...).await?;
//!        render(&TopicsPage { layout: layout.titled(Section::Topics, "Topics"), rows }, &partial)
//!    }
//!    ```
//!
//! 2. *Route.* `pub(super) fn routes() -> Routes { Routes::new().get("/topics", topics) }`, named in [`pages::routes`]. For the API:
//!    `pub(super) fn routes() -> OpenApiRouter<WebState>` with `#[utoipa::path(...)]` handlers, named in [`api::routes`]; paths there
//!    are relative to `/api/v1`.
//! 3. *Permission.* The handler takes [`extract::Viewer`], [`extract::Operator`] or [`extract::Admin`]. A test lists every route and
//!    fails for one that answers without a login.
//! 4. *Live.* `hx-get="" hx-trigger="live:topics from:body" hx-target="this" hx-swap="morph:outerHTML"` on the element: the page's
//!    one event stream fires `live:dead_letters`, `live:buses`, `live:topics`, `live:consumer_groups` and `live:audit` on the body,
//!    at most every two seconds, never in a hidden tab, and not while live updates are paused. `slow:dead_letters` and so on come
//!    at most every ten, for figures. A part that holds focus, a selection or an open menu is not swapped until it is let go.
//!    Lists do not swap rows: they fetch a `#newer` that says "Show 3 newer" (see `pages/audit.rs`).
//! 5. *Times, numbers, foreign text* go through [`filters`]: `{{ row.at|ago }}`, `{{ n|thousands }}`, `{{ "inbox"|icon }}`, and
//!    `{{ row.topic|visible }}` for whatever came from outside.
//! 6. *Script.* `static/app.js` acts on marks, so pages need none of their own: `data-copy="text"` or `data-copy-from="id"` on a
//!    button copies; `data-shortcut="e"` claims a key and an entry of the palette; a `data-selection` around a table keeps
//!    `.pick` boxes, `data-select-all`, `data-selected-count`, `data-when-selected` and `data-when-unselected` in step;
//!    `data-dismiss`, `data-close` and `data-open="id"` close and open.
//! 7. *Test.* `tests/it/web/...`: the router by `oneshot`, with a store.
//!
//! Addresses: lists are `/failure-groups`, `/dead-letters`, `/topics`, `/consumer-groups`, with `?bus=` for one bus; one thing is
//! `/buses/{bus}/topics/{topic}` and so on, `/dead-letters/{id}`.
//!
//! # Layers, from the outside
//!
//! request context and log line, security headers and cache policy, compression, presentation of errors, panics, deadline, host
//! check (only without login), CSRF, body limit, routes. See `router.rs`.

use std::sync::Arc;

use crate::access::Access;
use crate::alerts::delivery::Deliveries;
use crate::alerts::keeping::Alerts;
use crate::alerts::trials::Trials;
use crate::config::Config;
use crate::config::values::PublicUrl;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::changes::Changes;
use crate::lifecycle::inbox::Inbox;
use crate::lifecycle::switch::Switch;
use crate::operations::Operations;
use crate::operations::policy::Policies;
use crate::operations::replay::Replays;
use crate::store::Store;
use crate::telemetry::Metrics;

pub mod address;
mod api;
mod assets;
mod causes;
mod context;
mod cookies;
pub mod error;
pub mod extract;
#[expect(missing_docs, clippy::inline_always, reason = "the filter macro makes types without documentation, and inlines")]
pub mod filters;
mod health;
mod layout;
mod pages;
mod rates;
pub mod render;
mod router;
mod security;
mod sse;
mod starting;
pub mod view;

pub use context::RequestContext;
pub use cookies::Theme;
pub use error::Error;
pub use layout::{Crumb, Layout, Section};
pub use router::{RouteInfo, Routes, openapi, route_list, router, serve};
pub use starting::serve_starting;

/// What a person can do with the simulated shop, and see of it.
#[derive(Debug, Clone)]
pub struct DemoControls {
    /// Deploys the fix of the payment service.
    pub fixed: Switch,
    /// What the shop's receiver of notifications was told.
    pub inbox: Inbox,
}

/// What the web is made of.
#[derive(Debug)]
pub struct WebParts {
    /// What Redrive remembers.
    pub store: Store,
    /// Who may do what.
    pub access: Access,
    /// Explicit acts on a bus.
    pub operations: Operations,
    /// Plans, starts and steers replays.
    pub replays: Replays,
    /// Automatic replay policies.
    pub policies: Policies,
    /// Receivers, and notifications on their way to them.
    pub deliveries: Deliveries,
    /// The simulated shop; only in the demo.
    pub demo: Option<DemoControls>,
    /// What changed, for live pages.
    pub changes: Changes,
    /// The configuration.
    pub config: Arc<Config>,
    /// Our own figures.
    pub metrics: Metrics,
    /// Ends event streams; tells whether this instance is ready.
    pub lifecycle: Lifecycle,
}

/// What handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebState {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: WebParts,
    https: bool,
    cookies: cookies::Cookies,
    shell: layout::ShellCache,
    streams: Arc<sse::StreamCounts>,
    trials: Trials,
}

impl WebState {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: WebParts) -> Self {
        let https = parts.config.http.public_url.as_ref().is_some_and(PublicUrl::is_https);
        let cookies = cookies::Cookies::new(https);
        let shell = layout::ShellCache::new(&parts.changes);
        Self { inner: Arc::new(Inner { parts, https, cookies, shell, streams: Arc::default(), trials: Trials::default() }) }
    }

    /// What Redrive remembers.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    /// Who may do what.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.inner.parts.access
    }

    /// What changed, for live pages.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.inner.parts.changes
    }

    /// The life of the process.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.inner.parts.lifecycle
    }

    /// Explicit acts on a bus.
    #[must_use]
    pub fn operations(&self) -> &Operations {
        &self.inner.parts.operations
    }

    /// Plans, starts and steers replays.
    #[must_use]
    pub fn replays(&self) -> &Replays {
        &self.inner.parts.replays
    }

    /// Automatic replay policies.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.inner.parts.policies
    }

    /// Receivers, and notifications on their way to them.
    #[must_use]
    pub fn deliveries(&self) -> &Deliveries {
        &self.inner.parts.deliveries
    }

    /// Rules, acknowledgements and silences.
    #[must_use]
    pub fn alerts(&self) -> Alerts {
        Alerts::new(self.store().clone(), self.changes().clone())
    }

    /// Rules that are tried.
    #[must_use]
    pub fn trials(&self) -> &Trials {
        &self.inner.trials
    }

    /// The simulated shop; only in the demo.
    fn demo(&self) -> Option<&DemoControls> {
        self.inner.parts.demo.as_ref()
    }

    /// The beginning of addresses that are given away: as configured, else where this instance listens.
    #[must_use]
    pub fn base_url(&self) -> String {
        let http = &self.config().http;
        http.public_url.as_ref().map_or_else(|| format!("http://{}", http.listen), |url| url.to_string().trim_end_matches('/').to_owned())
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.parts.config
    }

    /// Our own figures.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.parts.metrics
    }

    /// Whether people reach us by https.
    fn https(&self) -> bool {
        self.inner.https
    }

    fn streams(&self) -> &Arc<sse::StreamCounts> {
        &self.inner.streams
    }

    fn cookies(&self) -> cookies::Cookies {
        self.inner.cookies
    }
}
