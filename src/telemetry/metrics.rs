//! What Redrive counts about itself. One field per metric: its name with the prefix `redrive_` is the metric's, its doc comment
//! the help text. Labels are bounded: buses, routes and kinds, never names that records claim.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const WAITS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];
const RECORDS: &[f64] = &[1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0];

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident $([$($label:literal),+])? $(in $buckets:ident)?,)+) => {
        /// The collectors. Cheap to clone.
        #[derive(Debug, Clone)]
        pub struct Metrics {
            registry: Arc<Registry>,
            $($(#[doc = $help])+ pub $name: $kind,)+
        }

        impl Metrics {
            /// Collectors at zero, registered once.
            #[must_use]
            pub fn new() -> Self {
                let registry = Registry::new();
                $(
                    let $name = <$kind as Make>::make(
                        concat!("redrive_", stringify!($name)),
                        concat!($($help),+).trim(),
                        &[$($($label),+)?],
                        metrics!(@buckets $($buckets)?),
                    );
                    registry.register(Box::new($name.clone())).expect("every field has another name");
                )+
                Self { registry: Arc::new(registry), $($name,)+ }
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

metrics! {
    /// Always 1; the label tells the version.
    build_info: IntGaugeVec["version"],
    /// HTTP requests answered, by route as written in the router.
    http_requests_total: IntCounterVec["method", "route", "status"],
    /// Time to the answer's head.
    http_request_duration_seconds: HistogramVec["route"] in SECONDS,
    /// Event streams open at present.
    http_event_streams: IntGauge,
    /// Logins refused: wrong name or password, disabled, or too many tries.
    login_failures_total: IntCounter,
    /// Dead letters written to the store.
    indexer_dead_letters_total: IntCounterVec["bus"],
    /// Batches committed to the store, empty ones that only move positions included.
    indexer_batches_total: IntCounterVec["bus"],
    /// Records in a batch.
    indexer_batch_records: HistogramVec["bus"] in RECORDS,
    /// Time to write a batch, commit included.
    indexer_commit_duration_seconds: HistogramVec["bus"] in SECONDS,
    /// Batches dropped because another instance or a new topic generation had taken over.
    indexer_superseded_total: IntCounterVec["bus"],
    /// Records that retention removed before they were read, at most.
    indexer_gap_offsets_total: IntCounterVec["bus"],
    /// Failed tries to read or write while indexing, each followed by another try.
    indexer_errors_total: IntCounterVec["bus"],
    /// Unix time of the last complete sweep over a bus's offsets.
    sampler_last_sweep_timestamp_seconds: IntGaugeVec["bus"],
    /// Time of one sweep over a bus.
    sampler_sweep_duration_seconds: HistogramVec["bus"] in SECONDS,
    /// Sweeps that failed.
    sampler_errors_total: IntCounterVec["bus"],
    /// Partitions of which the bus told where their log had come to some time ago, as an alert rule's threshold needed it.
    sampler_time_lookups_total: IntCounterVec["bus"],
    /// The same that were not told: too many for one sweep, too slow, or refused. Lag in time is as precise as samples there.
    sampler_time_lookups_skipped_total: IntCounterVec["bus"],
    /// Consumer groups that are there and not tracked, as there are too many or they could never be read.
    sampler_untracked_groups: IntGaugeVec["bus"],
    /// Requests with spans, by how they ended.
    otlp_requests_total: IntCounterVec["protocol", "result"],
    /// Spans that arrived, by whether they were kept.
    otlp_spans_total: IntCounterVec["result"],
    /// Spans counted into figures.
    traces_spans_total: IntCounter,
    /// Spans that had come before and were not counted again.
    traces_repeated_spans_total: IntCounter,
    /// How far back repeated spans are known: ten minutes, less where there are more than two million.
    traces_repeats_known_seconds: IntGauge,
    /// Messages whose producer and consumer were paired.
    traces_paired_total: IntCounter,
    /// Deliveries given up without their producer's span: their time in the broker and end to end is not in the figures.
    traces_unpaired_total: IntCounter,
    /// Pairs whose clocks differ: taken before it was sent.
    traces_skewed_total: IntCounter,
    /// Runs of background jobs, by how they ended.
    job_runs_total: IntCounterVec["job", "result"],
    /// Errors of the store, by kind.
    store_errors_total: IntCounterVec["kind"],
    /// Time a transaction waited for SQLite's one writer.
    store_writer_wait_seconds: HistogramVec["by"] in WAITS,
    /// Bytes in the store.
    store_used_bytes: IntGauge,
    /// Rows that retention removed.
    retention_removed_total: IntCounterVec["noun"],
    /// Time a search of one step took.
    search_step_duration_seconds: Histogram in SECONDS,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics in Prometheus text format, with this process's memory and files as they are now.
    #[must_use]
    pub fn encode(&self) -> String {
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let mut text = Vec::new();
        // Writing to memory fails only for a metric without a name, which `new` rules out.
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        let mut text = String::from_utf8(text).unwrap_or_default();
        if let Err(error) = encoded {
            tracing::error!(%error, "metrics could not be written");
        }
        for (name, help, value) in process_values() {
            text.extend(["# HELP ", name, " ", help, "\n# TYPE ", name, " gauge\n", name, " ", &value.to_string(), "\n"]);
        }
        text
    }
}

/// Resident memory of this process in bytes, where the system tells it.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Figures under the names that every Prometheus client library gives them.
fn process_values() -> Vec<(&'static str, &'static str, u64)> {
    let files = std::fs::read_dir("/proc/self/fd").ok().and_then(|folder| u64::try_from(folder.count()).ok());
    let memory = resident_bytes().map(|bytes| ("process_resident_memory_bytes", "Resident memory size in bytes.", bytes));
    let files = files.map(|count| ("process_open_fds", "Number of open file descriptors.", count));
    memory.into_iter().chain(files).collect()
}

/// Makes a collector from its description.
trait Make: Collector + Sized {
    fn make(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Self;
}

macro_rules! make {
    ($($kind:ident: |$opts:ident, $labels:ident, $buckets:ident| $make:expr;)+) => {
        $(impl Make for $kind {
            fn make(name: &str, help: &str, $labels: &[&str], $buckets: &[f64]) -> Self {
                let $opts = Opts::new(name, help);
                $make.expect("names and labels are those of the table above")
            }
        })+
    };
}

make! {
    IntCounter: |opts, _labels, _buckets| Self::with_opts(opts);
    IntCounterVec: |opts, labels, _buckets| Self::new(opts, labels);
    IntGauge: |opts, _labels, _buckets| Self::with_opts(opts);
    IntGaugeVec: |opts, labels, _buckets| Self::new(opts, labels);
    Histogram: |opts, _labels, buckets| Self::with_opts(histogram(opts, buckets));
    HistogramVec: |opts, labels, buckets| Self::new(histogram(opts, buckets), labels);
}

fn histogram(opts: Opts, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts { common_opts: Opts { const_labels: HashMap::new(), ..opts }, buckets: buckets.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_tells_names_help_labels_and_the_process() {
        let metrics = Metrics::new();
        metrics.indexer_dead_letters_total.with_label_values(&["prod"]).inc_by(3);
        metrics.http_request_duration_seconds.with_label_values(&["/"]).observe(0.02);
        let text = metrics.encode();
        for line in [
            "# HELP redrive_indexer_dead_letters_total Dead letters written to the store.",
            "redrive_indexer_dead_letters_total{bus=\"prod\"} 3",
            "redrive_http_request_duration_seconds_bucket{route=\"/\",le=\"0.025\"} 1",
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
