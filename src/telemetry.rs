//! Our own logs, traces and metrics. The only room that names the OpenTelemetry SDK and the Prometheus library.
//!
//! Payloads, keys, header values, tokens and secrets never come here.

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{LogFormat, TelemetryConfig};

pub mod figures;
pub mod metrics;
mod replayed;

pub use metrics::Metrics;
pub use replayed::{Replayed, traceparent};

/// How long the last spans may take to leave at the end.
const FLUSH_DEADLINE: Duration = Duration::from_secs(2);

/// Why telemetry could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The environment's `REDRIVE_LOG` or the configuration's filter is not one.
    #[error("the log filter {0:?} is none: {1}")]
    Filter(String, String),
    /// The environment's `REDRIVE_LOG_FORMAT` is none.
    #[error("REDRIVE_LOG_FORMAT={0:?} should be text, json or auto")]
    Format(String),
    /// The collector's address is not one.
    #[error("own traces cannot be sent to {0}: {1}")]
    Collector(String, String),
    /// Logging has begun before.
    #[error("logging had begun before: {0}")]
    Twice(String),
}

/// Ends telemetry in order: what is still held goes out.
#[derive(Debug, Default)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// What the environment says about telemetry; it wins over the configuration.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// `REDRIVE_LOG`.
    pub log: Option<String>,
    /// `REDRIVE_LOG_FORMAT`.
    pub log_format: Option<String>,
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub traces_endpoint: Option<String>,
}

impl Wishes {
    /// Reads the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            log: variable("REDRIVE_LOG"),
            log_format: variable("REDRIVE_LOG_FORMAT"),
            traces_endpoint: variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT")),
        }
    }
}

/// Begins logging to standard error and, where a collector is named, sending traces. Needs a running tokio runtime.
pub fn init(config: &TelemetryConfig, wishes: &Wishes) -> Result<Telemetry, TelemetryError> {
    let filter = wishes.log.as_deref().unwrap_or(&config.log);
    let filter = filter.parse::<EnvFilter>().map_err(|error| TelemetryError::Filter(filter.to_owned(), error.to_string()))?;
    let format = match &wishes.log_format {
        Some(format) => LogFormat::parse(format).ok_or_else(|| TelemetryError::Format(format.clone()))?,
        None => config.log_format,
    };
    let endpoint = wishes.traces_endpoint.as_ref().or(config.traces_endpoint.as_ref());
    let traces = endpoint.map(|endpoint| provider(endpoint)).transpose()?;
    let spans = traces.as_ref().map(|provider| {
        // Only our own spans: those of the exporter's transport would beget spans for ever.
        let ours = Targets::new().with_target("redrive", LevelFilter::INFO);
        tracing_opentelemetry::layer().with_tracer(provider.tracer("redrive")).with_filter(ours)
    });
    let started = Registry::default().with(logs(format).with_filter(filter)).with(spans).try_init();
    started.map_err(|error| TelemetryError::Twice(error.to_string()))?;
    if let Some(provider) = &traces {
        replayed::begin(provider.tracer("redrive"));
    }
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Sends what is still held; blocks for at most two seconds.
    pub fn end(self) {
        if let Some(traces) = self.traces
            && let Err(error) = traces.shutdown_with_timeout(FLUSH_DEADLINE)
        {
            tracing::warn!(%error, "the last spans did not leave");
        }
    }
}

fn logs(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Auto if !terminal => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Text | LogFormat::Auto => lines.with_ansi(terminal).boxed(),
    }
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    if !endpoint.starts_with("http://") {
        return Err(TelemetryError::Collector(endpoint.to_owned(), "the address must begin with http://".to_owned()));
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| TelemetryError::Collector(endpoint.to_owned(), error.to_string()))?;
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_service_name("redrive").with_attribute(version).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
