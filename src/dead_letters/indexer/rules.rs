//! From a bus's configuration to the rules of its sampler and indexer.

use std::sync::Arc;

use super::work::{BusWork, Periods, Signals};
use crate::bus::Bus;
use crate::config::bus::{BusConfig, MappingConfig};
use crate::dead_letters::conventions::mapping::{MappedField, Mapping, TopicRule};
use crate::dead_letters::decode::Decoder;
use crate::dead_letters::discovery::Discovery;
use crate::dead_letters::fingerprint::fingerprint;

/// The configuration says something that the decoder or the discovery does not understand. `check-config` reports it before.
#[derive(Debug, Clone, thiserror::Error)]
#[error("bus {bus}, dead_letters: {reason}")]
pub struct InvalidRules {
    bus: String,
    reason: String,
}

impl BusWork {
    /// What sampler and indexer need for a configured bus. Records above `max_record_bytes` are stored without content.
    ///
    /// # Errors
    /// When a pattern, field or encoding is not known.
    pub fn new(bus: Arc<dyn Bus>, config: &BusConfig, max_record_bytes: u64) -> Result<Self, InvalidRules> {
        let wrong = |reason: String| InvalidRules { bus: config.id.to_string(), reason };
        let rules = &config.dead_letters;
        let discovery = Discovery::new(&rules.patterns, &rules.topics, &rules.exclude).map_err(|error| wrong(error.to_string()))?;
        let (decoder, packages) = (decoder(config)?, rules.application_packages.clone());
        Ok(Self {
            bus,
            decode: Box::new(move |record, topic| {
                let failure = decoder.decode(record, topic);
                let parts = fingerprint(&failure, topic, &packages);
                (failure, parts)
            }),
            role: Box::new(move |topic, topic_config| discovery.role(topic, topic_config)),
            consumer_groups: config.consumer_groups.clone(),
            id_prefix: config.id_prefix.clone(),
            max_record_bytes: usize::try_from(max_record_bytes).unwrap_or(usize::MAX),
            periods: Periods::default(),
            signals: Signals::default(),
        })
    }
}

/// The decoder of a configured bus.
///
/// # Errors
/// When a pattern, field or encoding of its mappings is not known.
pub fn decoder(config: &BusConfig) -> Result<Decoder, InvalidRules> {
    let wrong = |reason: String| InvalidRules { bus: config.id.to_string(), reason };
    let mappings = config.dead_letters.mappings.iter().map(mapping).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    match Decoder::problems(&mappings).first() {
        Some(problem) => Err(wrong(problem.to_string())),
        None => Ok(Decoder::new(&mappings)),
    }
}

fn mapping(config: &MappingConfig) -> Result<Mapping, String> {
    let fields = config.fields.iter().map(|source| {
        let field = source.field.parse().map_err(|error| format!("mapping {}, {}: {error}", config.name, source.header))?;
        let encoding = source.encoding.parse().map_err(|error| format!("mapping {}, {}: {error}", config.name, source.header))?;
        Ok((source.header.clone(), MappedField { field, encoding }))
    });
    let topics = config.topics.iter().map(|rule| TopicRule {
        topic: rule.topic.clone(),
        origin_topic: rule.origin_topic.as_ref().map(ToString::to_string),
        consumer_group: rule.consumer_group.clone(),
    });
    Ok(Mapping {
        name: config.name.clone(),
        marker: config.marker.clone(),
        fields: fields.collect::<Result<_, String>>()?,
        topics: topics.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::{MappingConfig, mapping};
    use crate::config::bus::{FieldSource, TopicRule};

    fn config(field: &str, encoding: &str) -> MappingConfig {
        let fields = vec![FieldSource { header: "x-error".into(), field: field.into(), encoding: encoding.into() }];
        let rule = TopicRule { topic: "failed.*".into(), origin_topic: Some("$1".into()), consumer_group: None };
        MappingConfig { name: "ours".into(), marker: "x-error".into(), fields, topics: vec![rule] }
    }

    #[test]
    fn a_configured_mapping_becomes_one_of_the_decoder_and_unknown_words_are_refused() {
        for (field, encoding) in [("origin_topic", "auto"), ("origin_offset", "int64"), ("message", "text"), ("failed_at", "epoch_millis")]
        {
            let mapping = mapping(&config(field, encoding)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(mapping.topics[0].origin_topic.as_deref(), Some("$1"));
        }
        assert!(mapping(&config("colour", "text")).is_err());
        assert!(mapping(&config("message", "morse")).is_err());
    }
}
