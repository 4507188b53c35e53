//! `[[bus]]`: which message buses are watched, and which of their topics hold dead letters.

use std::collections::BTreeMap;
use std::fmt;

use super::Checks;
use super::problem::Problem;
use super::read::{Reading, Section};
use super::values::is_bootstrap_servers;
use crate::model::{BusId, BusKind, GroupName, TopicName};

pub use super::mapping::{FieldSource, MappingConfig, TopicRule};

/// One bus.
#[derive(Clone, PartialEq, Eq)]
pub struct BusConfig {
    /// Its name in URLs and on the screen.
    pub id: BusId,
    /// Its kind.
    pub kind: BusKind,
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// Prefix of our consumer groups and transactional ids.
    pub id_prefix: String,
    /// librdkafka properties; may hold secrets.
    pub client: BTreeMap<String, String>,
    /// Consumer groups known by name.
    pub consumer_groups: Vec<GroupName>,
    /// Which topics hold dead letters and how they are read.
    pub dead_letters: DeadLettersConfig,
    /// Topics that carry spans.
    pub otlp_topics: Vec<OtlpTopic>,
}

/// Which topics hold dead letters and how they are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLettersConfig {
    /// Name patterns beside the built-in ones.
    pub patterns: Vec<String>,
    /// Topics by full name.
    pub topics: Vec<TopicName>,
    /// Patterns of topics that are none.
    pub exclude: Vec<String>,
    /// What stack trace lines of the team's own code begin with.
    pub application_packages: Vec<String>,
    /// The team's own conventions.
    pub mappings: Vec<MappingConfig>,
}

/// A topic that carries spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpTopic {
    /// Its name.
    pub topic: TopicName,
    /// How the spans are written.
    pub encoding: OtlpEncoding,
}

/// How spans on a topic are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpEncoding {
    /// Found out for each record.
    Auto,
    /// Protobuf.
    Proto,
    /// JSON.
    Json,
}

/// Reads every bus; ids are unique.
pub(super) fn read_all(reading: &Reading, sections: Vec<Section<'_>>, checks: &Checks) -> Vec<BusConfig> {
    let mut buses: Vec<BusConfig> = Vec::new();
    for section in sections {
        let value = section.raw("id");
        let (path, source) = (section.path_of("id"), reading.source(&section.path_of("id"), value));
        let bus = BusConfig::read(section, checks);
        if !bus.id.as_str().is_empty() && buses.iter().any(|other| other.id == bus.id) {
            let expected = "should be another name: an earlier bus has it".to_owned();
            reading.problem(Problem { file: source, key: path, value: Some(format!("{:?}", bus.id.as_str())), expected });
        }
        buses.push(bus);
    }
    buses
}

impl BusConfig {
    fn read(section: Section<'_>, checks: &Checks) -> Self {
        let bus = Self {
            id: BusId::new(section.required("id", "a name of at most 64 letters, digits, \"-\", \"_\" or \".\"", bus_id)),
            kind: section.parsed("kind", "\"kafka\"", BusKind::Kafka, |text| text.parse().ok()),
            bootstrap_servers: section
                .required("bootstrap_servers", "host:port, comma separated", |text| is_bootstrap_servers(text).then(|| text.to_owned())),
            id_prefix: section.parsed(
                "id_prefix",
                "at least one of the letters, digits, \"-\", \"_\" or \".\"",
                "redrive-".to_owned(),
                bus_id,
            ),
            client: client(&section.section("client"), checks),
            consumer_groups: section.list("consumer_groups", "names of consumer groups", |text| not_empty(text).map(GroupName::new)),
            dead_letters: DeadLettersConfig::read(section.section("dead_letters"), checks),
            otlp_topics: section.sections("otlp_topics").into_iter().map(OtlpTopic::read).collect(),
        };
        section.finish();
        bus
    }
}

impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusConfig")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("id_prefix", &self.id_prefix)
            .field("client", &self.client.keys().collect::<Vec<_>>())
            .field("consumer_groups", &self.consumer_groups)
            .field("dead_letters", &self.dead_letters)
            .field("otlp_topics", &self.otlp_topics)
            .finish()
    }
}

impl DeadLettersConfig {
    fn read(section: Section<'_>, checks: &Checks) -> Self {
        let names = "names or patterns, where \"*\" stands for any characters";
        let text = |text: &str| not_empty(text).map(str::to_owned);
        let pattern = |text: &str| (checks.pattern)(text).is_ok().then(|| text.to_owned());
        let read = Self {
            patterns: section.list("patterns", names, pattern),
            topics: section.list("topics", "names of topics", |text| not_empty(text).map(TopicName::new)),
            exclude: section.list("exclude", names, pattern),
            application_packages: section.list("application_packages", "beginnings of stack trace lines such as \"com.example.\"", text),
            mappings: section.sections("mapping").into_iter().map(|mapping| MappingConfig::read(mapping, checks)).collect(),
        };
        section.finish();
        read
    }
}

impl OtlpTopic {
    fn read(section: Section<'_>) -> Self {
        let read = Self {
            topic: TopicName::new(section.required("topic", "the name of a topic", |text| not_empty(text).map(str::to_owned))),
            encoding: section.parsed("encoding", "\"auto\", \"otlp_proto\" or \"otlp_json\"", OtlpEncoding::Auto, |text| match text {
                "auto" => Some(OtlpEncoding::Auto),
                "otlp_proto" => Some(OtlpEncoding::Proto),
                "otlp_json" => Some(OtlpEncoding::Json),
                _ => None,
            }),
        };
        section.finish();
        read
    }
}

/// Client properties with secrets read from their files; each refused one is a problem.
fn client(section: &Section<'_>, checks: &Checks) -> BTreeMap<String, String> {
    let properties = section.free_texts();
    for (key, reason) in (checks.client)(&properties) {
        let file_key = format!("{key}_file");
        let written = if section.raw(&key).is_some() { &key } else { &file_key };
        section.problem(written, section.raw(written), reason);
    }
    properties
}

fn bus_id(text: &str) -> Option<String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && text.chars().any(|c| c != '.');
    (plain && text.len() <= 64).then(|| text.to_owned())
}

pub(super) fn not_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
