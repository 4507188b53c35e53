//! Pages: one module each, with its structs, handlers and routes; its templates have the same names.

use super::router::Routes;

mod audit;
pub(super) mod error;

/// All routes of pages.
pub(super) fn routes() -> Routes {
    Routes::new().and(audit::routes())
}
