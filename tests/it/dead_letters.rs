//! Indexing dead letters: from a real Kafka into both stores, exactly once, through every accident we can think of.
//!
//! The producer keeps a ledger of what it wrote; custody is compared with it by content hash. `REDRIVE_SOAK=5` does everything on five
//! times as much.

mod corpus;
mod denied;
mod exactly_once;
mod facts;
mod ledger;
mod refused;
mod scene;
mod sharing;
mod strangers;
mod trouble;

/// How much more than usual is asked for.
fn soak() -> usize {
    std::env::var("REDRIVE_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Lines of a bus's section that make exactly the topics of this pattern dead-letter topics, whatever other tests have on the broker.
fn only_topics(pattern: &str) -> String {
    let others = r#"["*dlt*", "*DLT*", "*dlq*", "*DLQ*", "*dead*", "*Dead*", "*poison*", "error.*"]"#;
    format!("[bus.dead_letters]\npatterns = [\"{pattern}\"]\nexclude = {others}\n")
}
