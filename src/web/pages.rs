//! Pages: one module each, with its structs, handlers and routes; its templates have the same names.

use super::router::Routes;

mod audit;
pub(super) mod error;
pub(super) mod login;
mod settings;

/// All routes of pages.
pub(super) fn routes() -> Routes {
    Routes::new().and(login::routes()).and(audit::routes()).and(settings::routes())
}
