//! The rows, built-in and configured, arranged for one walk over a record's headers: name -> rules.

use std::collections::HashMap;

use crate::dead_letters::conventions::table::TABLE;
use crate::dead_letters::conventions::{Encoding, Field, Mapping, Newest, Occurrence, Row};
use crate::dead_letters::discovery::glob::Glob;
use crate::model::{Convention, Failure, GroupName, Header, TopicName};

use super::trace::{NAMES, TraceHeader};

/// A row ready for use.
#[derive(Debug, Clone)]
pub(super) struct CompiledRow {
    pub(super) convention: Convention,
    /// Any of these sets of rules, as bits, must be there completely.
    markers: Vec<u64>,
    /// None of these rules may be there.
    unless: u64,
    pub(super) order: Order,
    pub(super) record_timestamp_is_failure_time: bool,
    pub(super) rules: Vec<CompiledRule>,
    pub(super) group_in_topic_name: Option<&'static str>,
    pub(super) may_be_pointer: bool,
    configured: bool,
}

/// Where the newest failure stands; the rule is the one that begins a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    LastSet(usize),
    FirstSet(usize),
    Single,
}

/// A rule ready for use.
#[derive(Debug, Clone)]
pub(super) struct CompiledRule {
    pub(super) header: Box<str>,
    pub(super) field: Option<Field>,
    pub(super) encoding: Encoding,
    occurrence: Occurrence,
    pub(super) only_if: Option<(usize, &'static str, bool)>,
}

/// Every row, and where each header name leads.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    rows: Vec<CompiledRow>,
    names: HashMap<Box<[u8]>, Vec<Target>>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Rule { row: u16, rule: u16 },
    Trace(TraceHeader),
}

#[derive(Debug, Clone, Copy)]
struct Hit {
    row: u16,
    rule: u16,
    header: usize,
}

/// What one record's headers touched.
#[derive(Debug)]
pub(super) struct Hits {
    all: Vec<Hit>,
    matched: Vec<usize>,
    traces: Vec<(TraceHeader, usize)>,
}

/// For each rule of a row, the header that counts.
pub(super) type Resolved = Vec<Option<usize>>;

impl Rows {
    pub(super) fn new(mappings: &[Mapping]) -> Self {
        let configured = mappings.iter().filter(|mapping| !mapping.marker.is_empty()).map(CompiledRow::configured);
        // Configured rows come first: a team that describes its own headers knows better than a built-in row.
        let rows: Vec<CompiledRow> = configured.chain(TABLE.iter().map(CompiledRow::built_in)).collect();
        let mut names: HashMap<Box<[u8]>, Vec<Target>> = HashMap::new();
        for (row, compiled) in rows.iter().enumerate() {
            for (rule, target) in compiled.rules.iter().enumerate() {
                if let (Ok(row), Ok(rule)) = (u16::try_from(row), u16::try_from(rule)) {
                    names.entry(target.header.as_bytes().into()).or_default().push(Target::Rule { row, rule });
                }
            }
        }
        for (name, kind) in NAMES {
            names.entry(name.as_bytes().into()).or_default().push(Target::Trace(*kind));
        }
        Self { rows, names }
    }

    pub(super) fn get(&self, row: usize) -> &CompiledRow {
        &self.rows[row]
    }

    pub(super) fn mapped_headers(&self, convention: &Convention) -> impl Iterator<Item = String> {
        let rows = self.rows.iter().filter(move |row| row.configured && row.convention == *convention);
        rows.flat_map(|row| row.rules.iter().map(|rule| rule.header.to_string()))
    }

    pub(super) fn find(&self, headers: &[Header]) -> Hits {
        let mut hits = Vec::with_capacity(16);
        let mut traces = Vec::new();
        let mut present = vec![0_u64; self.rows.len()];
        for (header, Header { name, .. }) in headers.iter().enumerate() {
            for target in self.names.get(&name[..]).map(Vec::as_slice).unwrap_or_default() {
                match *target {
                    Target::Rule { row, rule } => {
                        present[usize::from(row)] |= bit(usize::from(rule));
                        hits.push(Hit { row, rule, header });
                    }
                    Target::Trace(kind) => traces.push((kind, header)),
                }
            }
        }
        let is_written = |row: &CompiledRow, present: u64| {
            present != 0 && present & row.unless == 0 && row.markers.iter().any(|&marker| marker & !present == 0)
        };
        let matched =
            self.rows.iter().zip(&present).enumerate().filter(|(_, (row, bits))| is_written(row, **bits)).map(|(row, _)| row).collect();
        Hits { all: hits, matched, traces }
    }
}

/// Markers are among the first 64 rules of a row; later rules need no bit.
fn bit(rule: usize) -> u64 {
    u32::try_from(rule).ok().and_then(|rule| 1_u64.checked_shl(rule)).unwrap_or(0)
}

impl CompiledRow {
    fn built_in(row: &'static Row) -> Self {
        let mut rules: Vec<CompiledRule> = Vec::new();
        for rule in row.rules {
            rules.push(CompiledRule {
                header: rule.header.into(),
                field: rule.field,
                encoding: rule.encoding,
                occurrence: rule.occurrence,
                only_if: None,
            });
        }
        let mut index = |header: &str| {
            rules.iter().position(|rule| &*rule.header == header).unwrap_or_else(|| {
                rules.push(CompiledRule::watched(header));
                rules.len() - 1
            })
        };
        let markers = row.markers.iter().map(|set| set.iter().fold(0, |bits, header| bits | bit(index(header)))).collect();
        let unless = row.unless.iter().fold(0, |bits, header| bits | bit(index(header)));
        let order = match row.newest {
            Newest::LastSet { begins } => Order::LastSet(index(begins)),
            Newest::FirstSet { begins } => Order::FirstSet(index(begins)),
            Newest::Single => Order::Single,
        };
        let conditions: Vec<_> =
            row.rules.iter().map(|rule| rule.only_if.map(|(header, text, equal)| (index(header), text, equal))).collect();
        for (rule, condition) in rules.iter_mut().zip(conditions) {
            rule.only_if = condition;
        }
        Self {
            convention: Convention::built_in(row.slug),
            markers,
            unless,
            order,
            record_timestamp_is_failure_time: row.record_timestamp_is_failure_time,
            rules,
            group_in_topic_name: row.group_in_topic_name,
            may_be_pointer: row.may_be_pointer,
            configured: false,
        }
    }

    fn configured(mapping: &Mapping) -> Self {
        let mut rules = vec![CompiledRule::watched(&mapping.marker)];
        rules.extend(mapping.fields.iter().map(|(header, mapped)| CompiledRule {
            header: header.as_str().into(),
            field: Some(mapped.field),
            encoding: mapped.encoding,
            occurrence: Occurrence::Last,
            only_if: None,
        }));
        Self {
            convention: Convention::named(mapping.name.clone()),
            markers: vec![bit(0)],
            unless: 0,
            order: Order::Single,
            record_timestamp_is_failure_time: true,
            rules,
            group_in_topic_name: None,
            may_be_pointer: false,
            configured: true,
        }
    }
}

impl CompiledRule {
    /// A header whose presence matters but which tells nothing.
    fn watched(header: &str) -> Self {
        Self { header: header.into(), field: None, encoding: Encoding::Bytes, occurrence: Occurrence::Last, only_if: None }
    }
}

impl Hits {
    pub(super) fn matched(&self) -> impl Iterator<Item = usize> {
        self.matched.iter().copied()
    }

    pub(super) fn traces(&self) -> &[(TraceHeader, usize)] {
        &self.traces
    }

    /// For each rule of a matched row, the occurrence that counts.
    pub(super) fn resolve(&self, row: usize, compiled: &CompiledRow) -> Resolved {
        let mine = || self.all.iter().filter(|hit| usize::from(hit.row) == row);
        let (from, until) = match compiled.order {
            Order::LastSet(begins) => (mine().rfind(|hit| usize::from(hit.rule) == begins).map_or(0, |hit| hit.header), usize::MAX),
            Order::FirstSet(begins) => {
                (0, mine().filter(|hit| usize::from(hit.rule) == begins).nth(1).map_or(usize::MAX, |hit| hit.header))
            }
            Order::Single => (0, usize::MAX),
        };
        let newest_is_first = matches!(compiled.order, Order::FirstSet(_));
        let mut resolved: Resolved = vec![None; compiled.rules.len()];
        for hit in mine() {
            let rule = usize::from(hit.rule);
            let (inside, keep_first) = match compiled.rules[rule].occurrence {
                Occurrence::NewestSet => (hit.header >= from && hit.header < until, newest_is_first),
                Occurrence::First => (true, true),
                Occurrence::Last => (true, false),
            };
            if inside && (resolved[rule].is_none() || !keep_first) {
                resolved[rule] = Some(hit.header);
            }
        }
        resolved
    }
}

/// What names of dead-letter topics tell, from the configuration.
#[derive(Debug, Clone)]
pub(super) struct TopicRules(Vec<(Glob, Option<String>, Option<String>)>);

impl TopicRules {
    pub(super) fn new(mappings: &[Mapping]) -> Self {
        let rules = mappings.iter().flat_map(|mapping| &mapping.topics);
        Self(
            rules.filter_map(|rule| Some((Glob::new(&rule.topic).ok()?, rule.origin_topic.clone(), rule.consumer_group.clone()))).collect(),
        )
    }

    /// Fills origin topic and consumer group where no header told them; the first rule that fits counts.
    pub(super) fn fill(&self, failure: &mut Failure, dead_letter_topic: &TopicName) {
        if failure.origin.topic.is_some() && failure.consumer_group.is_some() {
            return;
        }
        let name = dead_letter_topic.as_str();
        let Some((stars, (_, topic, group))) = self.0.iter().find_map(|rule| Some((rule.0.captures(name)?, rule))) else { return };
        if failure.origin.topic.is_none() {
            failure.origin.topic = topic.as_deref().map(|template| TopicName::new(filled(template, &stars)));
        }
        if let (None, Some(template)) = (&failure.consumer_group, group) {
            failure.consumer_group = Some(GroupName::new(filled(template, &stars)));
            failure.consumer_group_inferred = true;
        }
    }
}

/// `$1` to `$9` are what the stars stood for.
fn filled(template: &str, stars: &[&str]) -> String {
    let mut parts = template.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let star = part.chars().next().and_then(|c| c.to_digit(10)).and_then(|n| stars.get(usize::try_from(n).ok()?.checked_sub(1)?));
        let rest = if star.is_some() { &part[1..] } else { part };
        text.push_str(star.unwrap_or(&"$"));
        text.push_str(rest);
    }
    text
}
