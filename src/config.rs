//! Configuration: layered load (defaults, file, environment) into [`Config`], or every problem at once.
//!
//! `config/default.toml` is the documentation and the first layer. Nothing here opens a connection; files are read only for
//! secrets (`*_file`). What other rooms know about values (which client properties exist) comes in as functions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Value;

pub mod access;
pub mod bus;
mod environment;
pub mod http;
pub mod mapping;
pub mod otlp;
mod problem;
mod read;
pub mod store;
pub mod telemetry;
#[cfg(test)]
mod tests;
pub mod values;

pub use access::{AllowedAddress, AuthConfig, AuthMode, NotificationsConfig, SecretsConfig};
pub use bus::BusConfig;
pub use http::HttpConfig;
pub use otlp::OtlpConfig;
pub use problem::{Problem, Problems};
pub use store::{CustodyConfig, RetentionConfig, StoreConfig};
pub use telemetry::{LogFormat, TelemetryConfig};

use read::{Reading, Section};

/// The first layer and the documentation of every key.
pub const DEFAULTS: &str = include_str!("config/default.toml");

/// A property and why it cannot be used.
pub type Refused = (String, String);

/// What other rooms know about values. Each answers with the rest of a sentence that says what is wrong (`is not known to this build`).
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// Looks at a bus's client properties: answers each refused one with why.
    pub client: fn(&BTreeMap<String, String>) -> Vec<Refused>,
    /// Looks at a pattern of topic names.
    pub pattern: fn(&str) -> Result<(), String>,
    /// Looks at the name of a decoder's field.
    pub field: fn(&str) -> Result<(), String>,
    /// Looks at the name of a decoder's encoding.
    pub encoding: fn(&str) -> Result<(), String>,
}

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where pages and API are served.
    pub http: HttpConfig,
    /// Where services send spans.
    pub otlp: OtlpConfig,
    /// Which database.
    pub store: StoreConfig,
    /// Our own copies of records.
    pub custody: CustodyConfig,
    /// How long what is kept.
    pub retention: RetentionConfig,
    /// Who may come in.
    pub auth: AuthConfig,
    /// The key that protects secrets.
    pub secrets: SecretsConfig,
    /// Where notifications may go.
    pub notifications: NotificationsConfig,
    /// Our own logs and traces.
    pub telemetry: TelemetryConfig,
    /// The buses.
    pub buses: Vec<BusConfig>,
}

impl Config {
    /// Loads the defaults, then a file, then the environment's `REDRIVE__*`.
    pub fn load(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>, checks: &Checks) -> Result<Self, Problems> {
        let text = file.map(read_file).transpose()?;
        Self::parse(file.map(|path| path.display().to_string()), text.as_deref().unwrap_or(""), environment, checks)
    }

    /// Reads a configuration that is already in memory; `file` is what problems call it.
    pub fn parse(
        file: Option<String>,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        checks: &Checks,
    ) -> Result<Self, Problems> {
        let name = file.clone().unwrap_or_else(|| "configuration".to_owned());
        if let Err(error) = Figment::from(Toml::string(text)).find_value("") {
            let expected = format!("is not TOML: {}", without_snippet(&error.to_string()));
            return Err(Problems(vec![Problem { file: name, key: String::new(), value: None, expected }]));
        }
        let layers = Figment::from(Toml::string(DEFAULTS)).merge(Layer(text));
        let mut merged = layers.find_value("").unwrap_or_else(|_| Value::from(figment::value::Dict::new()));
        let (variables, problems) = environment::apply(&mut merged, environment);
        let reading = Reading::new(layers, file, variables);
        for problem in problems {
            reading.problem(problem);
        }
        let config = Self::read(&reading, &merged, checks);
        match reading.into_problems() {
            problems if problems.is_empty() => Ok(config),
            problems => Err(Problems(problems)),
        }
    }

    fn read(reading: &Reading, merged: &Value, checks: &Checks) -> Self {
        let root = Section::root(reading, merged);
        let config = Self {
            http: HttpConfig::read(root.section("http")),
            otlp: OtlpConfig::read(root.section("otlp")),
            store: StoreConfig::read(root.section("store")),
            custody: CustodyConfig::read(root.section("custody")),
            retention: RetentionConfig::read(root.section("retention")),
            auth: AuthConfig::read(root.section("auth")),
            secrets: SecretsConfig::read(root.section("secrets")),
            notifications: NotificationsConfig::read(root.section("notifications")),
            telemetry: TelemetryConfig::read(root.section("telemetry")),
            buses: bus::read_all(reading, root.sections("bus"), checks),
        };
        config.check_login(&root);
        root.finish();
        config
    }

    /// Without login, nobody but this machine may reach us.
    fn check_login(&self, root: &Section<'_>) {
        if self.auth.mode != AuthMode::None {
            return;
        }
        let listens = [
            ("http", "listen", Some(self.http.listen)),
            ("otlp", "grpc_listen", self.otlp.grpc_listen),
            ("otlp", "http_listen", self.otlp.http_listen),
        ];
        let reachable = |(table, key, address): (_, _, Option<SocketAddr>)| {
            address.filter(|address| !address.ip().to_canonical().is_loopback()).map(|address| (table, key, address))
        };
        for (table, key, address) in listens.into_iter().filter_map(reachable) {
            let section = root.section(table);
            section.problem(
                key,
                section.raw(key),
                format!("should be a loopback address, as auth.mode is \"none\" (port {} stays)", address.port()),
            );
        }
    }
}

/// The text of a file as a layer that figment knows as a file, so that its values can be told from the defaults.
struct Layer<'a>(&'a str);

impl figment::Provider for Layer<'_> {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named("file").source(figment::Source::File("configuration".into()))
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, figment::value::Dict>, figment::Error> {
        Toml::string(self.0).data()
    }
}

fn read_file(path: &Path) -> Result<String, Problems> {
    std::fs::read_to_string(path).map_err(|error| {
        let expected = format!("cannot be read: {error}");
        Problems(vec![Problem { file: path.display().to_string(), key: String::new(), value: None, expected }])
    })
}

/// A parser's error without the lines it quotes, which may hold a secret.
fn without_snippet(error: &str) -> String {
    let quoted = |line: &&str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    error.lines().map(str::trim).filter(|line| !line.is_empty() && !quoted(line)).collect::<Vec<_>>().join(": ")
}
