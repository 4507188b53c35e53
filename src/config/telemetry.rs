//! `[telemetry]`: our own logs and traces.

use super::read::Section;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// Parses `auto`, `text` or `json`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Our own logs and traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// How logs are written.
    pub log_format: LogFormat,
    /// What is logged, as a filter.
    pub log: String,
    /// Collector of our own traces, OTLP over gRPC.
    pub traces_endpoint: Option<String>,
}

impl TelemetryConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let read = Self {
            log_format: section.parsed("log_format", "\"auto\", \"text\" or \"json\"", LogFormat::Auto, LogFormat::parse),
            log: section.parsed("log", "a filter such as \"info\" or \"info,redrive::bus=debug\"", "info".to_owned(), |text| {
                text.parse::<tracing_subscriber::filter::Targets>().is_ok().then(|| text.to_owned())
            }),
            traces_endpoint: section.parsed("traces_endpoint", "a URL such as \"http://127.0.0.1:4317\", or empty", None, |text| {
                let url = text.strip_prefix("http://").is_some_and(|host| !host.is_empty());
                if text.is_empty() { Some(None) } else { url.then(|| Some(text.to_owned())) }
            }),
        };
        section.finish();
        read
    }
}
