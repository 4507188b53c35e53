//! Who did what.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::{Error, Layout, Section, WebState, filters};
use crate::model::{AuditEntry, PageRequest, Timestamp};
use crate::store::audit::AuditFilter;

pub(super) fn routes() -> Routes {
    Routes::new().get("/audit", audit)
}

#[derive(Template)]
#[template(path = "audit/audit.html", blocks = ["entries"])]
struct AuditPage {
    layout: Layout,
    items: Vec<AuditEntry>,
}

impl Page for AuditPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "entries").then(|| part(&self.as_entries(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn audit(_: Viewer, State(state): State<WebState>, layout: Layout, partial: Partial) -> Result<Response, Error> {
    let page = state.store().list_audit(&AuditFilter::default(), &PageRequest::first(50)).await?;
    render(&AuditPage { layout: layout.titled(Section::Audit, "Audit"), items: page.items }, &partial)
}
