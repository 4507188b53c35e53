//! A team's own convention, from `[[bus.dead_letters.mapping]]`: header -> field, and topic name -> origin and consumer group.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use super::{Encoding, Field};

/// A team's own way of writing failure headers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Its name: the convention of dead letters that have the marker.
    pub name: String,
    /// A record with this header is written in this way. Empty: the mapping only has topic rules.
    #[serde(default)]
    pub marker: String,
    /// What each header holds.
    #[serde(default)]
    pub fields: BTreeMap<String, MappedField>,
    /// What names of dead-letter topics tell. They fill what no header told.
    #[serde(default)]
    pub topics: Vec<TopicRule>,
}

/// What one header holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedField {
    /// The field.
    pub field: Field,
    /// How it is written.
    #[serde(default = "auto")]
    pub encoding: Encoding,
}

/// What a dead-letter topic's name tells about the origin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicRule {
    /// Pattern of the dead-letter topic; `*` stands for any characters.
    pub topic: String,
    /// Topic its records came from; `$1` is what the first `*` stood for.
    #[serde(default)]
    pub origin_topic: Option<String>,
    /// Consumer group that failed, written in the same way; counts as inferred.
    #[serde(default)]
    pub consumer_group: Option<String>,
}

const fn auto() -> Encoding {
    Encoding::Auto
}

/// The word names no field or encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownMappingWord(String);

impl FromStr for Field {
    type Err = UnknownMappingWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let deserializer: StrDeserializer<'_, WordError> = word.into_deserializer();
        Self::deserialize(deserializer).map_err(|error| UnknownMappingWord(error.to_string()))
    }
}

impl FromStr for Encoding {
    type Err = UnknownMappingWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let deserializer: StrDeserializer<'_, WordError> = word.into_deserializer();
        Self::deserialize(deserializer).map_err(|error| UnknownMappingWord(error.to_string()))
    }
}
