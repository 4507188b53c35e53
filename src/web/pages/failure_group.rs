pub(super) fn routes() -> super::super::router::Routes {
    super::super::router::Routes::new()
}
