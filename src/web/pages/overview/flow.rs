//! What flows over the buses: throughput, lag, how long messages take and which fail; the busiest and the worst topics and consumer
//! groups. Nothing is read group by group: those that are shown are found from sums of all that are kept in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::latency::{self, Latency};
use crate::model::figure::{Figure, Labels};
use crate::model::happening::Happening;
use crate::model::lag::GroupStatus;
use crate::model::{BusId, GroupName, TopicName};
use crate::store::consumer_groups::ConsumerGroupSummary;
use crate::store::failure_groups::Buckets;
use crate::store::happenings::About;
use crate::store::{Store, StoreError};
use crate::web::pages::span_figures::ELSEWHERE;
use crate::web::view::freshness::Freshness;
use crate::web::view::lines::{LineChart, Named, Unit, spark};
use crate::web::view::marks::{Marked, Marks};

mod letters;
mod rows;
mod series;
mod spans;

use letters::Letters;
use rows::needs;
use rows::{GroupFacts, ROWS};
pub(in crate::web) use rows::{GroupRow, TopicRow};
use series::{Lag, Values, added, growth, just_before, largest, largest_buses, leading, mean, mean_of_sum, most, named, peak};
pub(in crate::web) use spans::Share;
use spans::Shares;

/// Figures of the buses over the range.
#[derive(Debug)]
pub(in crate::web) struct Flow {
    /// Throughput, lag of the groups with the most, and, where spans come, how long messages take and how many spans fail.
    pub(in crate::web) drawn: Vec<Drawn>,
    /// What happened meanwhile.
    pub(in crate::web) marks: Marks,
    /// Topics with the most messages.
    pub(in crate::web) busiest_topics: Vec<TopicRow>,
    /// Topics with the most failures.
    pub(in crate::web) worst_topics: Vec<TopicRow>,
    /// Consumer groups that read the most messages.
    pub(in crate::web) busiest_groups: Vec<GroupRow>,
    /// Consumer groups, those that need somebody first.
    pub(in crate::web) worst_groups: Vec<GroupRow>,
    /// All groups that need somebody, for what needs attention.
    pub(in crate::web) troubled: Vec<ConsumerGroupSummary>,
    /// Groups whose status is unknown although their bus answers, those with the most to read first.
    pub(in crate::web) untold: Vec<ConsumerGroupSummary>,
    /// Living groups.
    pub(in crate::web) all_groups: u64,
    /// What is left to read now, of all groups of which that is known, and of how many it is not: those of a silent bus too.
    pub(in crate::web) lag: (Option<u64>, u64),
    /// Dead letters of the range that name consumer groups which are not listed.
    pub(in crate::web) unlisted: u64,
    /// Mean messages per second over the range, and over the time before.
    pub(in crate::web) rate: (Option<f64>, Option<f64>),
    /// How long messages took, and how many spans failed.
    pub(in crate::web) latency: Latency,
}

/// Lines over the range, before they are laid out.
#[derive(Debug, Clone)]
pub(in crate::web) struct Drawn {
    pub(in crate::web) id: &'static str,
    pub(in crate::web) title: &'static str,
    pub(in crate::web) unit: Unit,
    pub(in crate::web) lines: Vec<Named>,
}

impl Drawn {
    /// The drawing, with its marks.
    pub(in crate::web) fn chart(self, buckets: Buckets, marks: &[Marked]) -> LineChart {
        let mut chart = LineChart::new(self.id, self.title, self.unit, buckets, self.lines, marks);
        if self.unit == Unit::Ratio {
            chart.note.push_str(ELSEWHERE);
        }
        chart
    }
}

/// What is read of one bus.
#[derive(Debug)]
struct OfBus<'a> {
    id: BusId,
    freshness: &'a Freshness,
    written: Vec<Values>,
    written_before: Vec<Values>,
    topics: BTreeMap<TopicName, Values>,
    lags: BTreeMap<GroupName, Lag>,
    reads: BTreeMap<GroupName, Values>,
    groups: Vec<ConsumerGroupSummary>,
    shares: Shares,
}

impl Flow {
    pub(in crate::web) async fn load(store: &Store, buses: &[Freshness], buckets: Buckets) -> Result<Self, StoreError> {
        let ids: Vec<BusId> = buses.iter().map(|freshness| BusId::from(freshness.bus.as_str())).collect();
        let letters = Letters::load(store, &ids, buckets).await?;
        let (read, happened, latency) = tokio::try_join!(
            read_all(store, buses, &ids, buckets, &letters),
            happened(store, &ids, buckets),
            latency::load(store, &ids, buckets),
        )?;
        let mut worst_topics = worst_topics(&read, &letters);
        let names: Vec<(BusId, TopicName)> = worst_topics.iter().map(|row| (row.bus.clone(), row.name.clone())).collect();
        for (row, counts) in worst_topics.iter_mut().zip(letters.over_time(store, &names, buckets).await?) {
            row.bars = crate::web::view::chart::spark(&counts, None);
        }
        let mut drawn = drawn(&read);
        drawn.extend(latency.drawn.iter().cloned());
        let (worst_groups, busiest_groups, troubled) = groups(&read, &letters);
        let all: Vec<&ConsumerGroupSummary> = read.iter().flat_map(|bus| &bus.groups).collect();
        let answering = read.iter().filter(|bus| !bus.freshness.is_past());
        let known: Vec<u64> = answering.flat_map(|bus| &bus.groups).filter_map(|group| group.lag_messages).collect();
        let listed: BTreeSet<(&BusId, &GroupName)> = all.iter().map(|group| (&group.bus, &group.name)).collect();
        Ok(Self {
            drawn,
            marks: Marks::of(&happened, buckets),
            busiest_topics: busiest_topics(&read, &letters),
            worst_topics,
            busiest_groups,
            worst_groups,
            troubled,
            untold: untold(&read),
            all_groups: all.len() as u64,
            lag: ((!known.is_empty()).then(|| known.iter().sum()), (all.len() - known.len()) as u64),
            unlisted: letters.unlisted(&listed),
            rate: (
                mean_of_sum(read.iter().flat_map(|bus| &bus.written), buckets),
                mean_of_sum(read.iter().flat_map(|bus| &bus.written_before), buckets),
            ),
            latency,
        })
    }
}

async fn read_all<'a>(
    store: &Store,
    buses: &'a [Freshness],
    ids: &[BusId],
    buckets: Buckets,
    letters: &Letters,
) -> Result<Vec<OfBus<'a>>, StoreError> {
    let mut read = Vec::with_capacity(ids.len());
    for (freshness, bus) in buses.iter().zip(ids) {
        read.push(OfBus::load(store, bus, freshness, buckets, letters).await?);
    }
    Ok(read)
}

/// In order of time.
async fn happened(store: &Store, buses: &[BusId], buckets: Buckets) -> Result<Vec<Happening>, StoreError> {
    let mut happened = Vec::new();
    for bus in buses {
        happened.extend(store.list_happenings(bus, About::Bus, buckets.from, buckets.to).await?);
    }
    happened.sort_by_key(|happening| happening.at);
    Ok(happened)
}

impl<'a> OfBus<'a> {
    async fn load(store: &Store, bus: &BusId, freshness: &'a Freshness, buckets: Buckets, letters: &Letters) -> Result<Self, StoreError> {
        let of_topic = |labels: &Labels| labels.topic.clone();
        let of_group = |labels: &Labels| labels.consumer_group.clone();
        let groups = store.list_consumer_groups(bus, None, None).await?;
        let mut names = spans::failing(store, bus, buckets).await?;
        names.topics.extend(Letters::most(&letters.topics, bus, ROWS));
        names.groups.extend(Letters::most(&letters.groups, bus, ROWS));
        names.groups.extend(behind(&groups));
        let lag = (Figure::ConsumerGroupLagMessages, bus, buckets);
        let mut lags = leading(store, lag, of_group, names.groups.clone(), &[most, growth]).await?;
        // Any of those may be among the worst, so what is told beside their lag must be read of all of them.
        names.groups.extend(lags.keys().cloned());
        let topics = added(leading(store, (Figure::TopicMessagesPerSecond, bus, buckets), of_topic, names.topics.clone(), &[most]).await?);
        let reads = (Figure::ConsumerGroupMessagesPerSecond, bus, buckets);
        let reads = added(leading(store, reads, of_group, names.groups.clone(), &[most]).await?);
        names.topics.extend(busiest(&topics).into_iter().map(|(_, name)| name.clone()));
        let more: BTreeSet<GroupName> = busiest(&reads).into_iter().map(|(_, name)| name.clone()).collect();
        let more: BTreeSet<GroupName> = more.difference(&names.groups).cloned().collect();
        if !more.is_empty() {
            lags.extend(named(store, lag, of_group, &more).await?);
            names.groups.extend(more);
        }
        let shares = spans::count(store, bus, buckets, &names).await?;
        Ok(Self {
            written: series::all(store, Figure::BusMessagesPerSecond, bus, buckets).await?,
            written_before: series::all(store, Figure::BusMessagesPerSecond, bus, just_before(buckets)).await?,
            lags: lags.into_iter().map(|(group, series)| (group, Lag::of(&series))).collect(),
            id: bus.clone(),
            freshness,
            topics,
            reads,
            groups,
            shares,
        })
    }

    fn facts(&'a self, group: &'a ConsumerGroupSummary, letters: &Letters) -> GroupFacts<'a> {
        GroupFacts {
            summary: group,
            freshness: self.freshness,
            lag: self.lags.get(&group.name).map(|lag| &lag.highest),
            grew: self.lags.get(&group.name).and_then(Lag::grew),
            rate: self.reads.get(&group.name).and_then(|values| mean(values)),
            dead_letters: letters.of_group(&self.id, &group.name),
            spans: self.shares.groups.get(&group.name).copied(),
        }
    }

    fn topic(&self, name: &TopicName, letters: &Letters) -> TopicRow {
        let values = self.topics.get(name);
        TopicRow {
            rate: values.and_then(|values| mean(values)),
            spark: values.map_or_else(String::new, |values| spark(values)),
            dead_letters: letters.of_topic(&self.id, name),
            held: letters.held(&self.id, name),
            spans: self.shares.topics.get(name).copied(),
            ..TopicRow::new(self.id.clone(), name.clone())
        }
    }
}

/// Groups whose lag is read whatever it was: those that need somebody, and those with the most left to read.
fn behind(listed: &[ConsumerGroupSummary]) -> Vec<GroupName> {
    let mut groups: Vec<&ConsumerGroupSummary> =
        listed.iter().filter(|group| !group.standing.parked && (group.lag_messages > Some(0) || needs(group).is_some())).collect();
    groups.sort_by(|a, b| (needs(b), b.lag_messages).cmp(&(needs(a), a.lag_messages)).then_with(|| a.name.cmp(&b.name)));
    groups.into_iter().take(ROWS).map(|group| group.name.clone()).collect()
}

/// Names with their mean, the highest first.
fn busiest<K: Ord>(of: &BTreeMap<K, Values>) -> Vec<(f64, &K)> {
    let rated = of.iter().filter_map(|(name, values)| mean(values).filter(|rate| *rate > 0.0).map(|rate| (rate, name)));
    let mut rated: Vec<(f64, &K)> = rated.collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    rated.truncate(ROWS);
    rated
}

fn busiest_topics(read: &[OfBus<'_>], letters: &Letters) -> Vec<TopicRow> {
    let mut rows: Vec<TopicRow> =
        read.iter().flat_map(|bus| busiest(&bus.topics).into_iter().map(|(_, name)| bus.topic(name, letters))).collect();
    rows.sort_by(|a, b| b.rate.unwrap_or_default().total_cmp(&a.rate.unwrap_or_default()).then_with(|| a.name.cmp(&b.name)));
    rows.truncate(ROWS);
    for row in &mut rows {
        row.key = format!("busiest {}", row.href);
    }
    rows
}

fn worst_topics(read: &[OfBus<'_>], letters: &Letters) -> Vec<TopicRow> {
    let of_bus = |bus: &OfBus<'_>| {
        let named: BTreeSet<TopicName> =
            Letters::most(&letters.topics, &bus.id, ROWS).into_iter().chain(bus.shares.topics.keys().cloned()).collect();
        named.iter().map(|name| bus.topic(name, letters)).collect::<Vec<_>>()
    };
    rows::worst_topics(read.iter().flat_map(of_bus).collect())
}

/// The worst and the busiest groups, and all that need somebody.
fn groups(read: &[OfBus<'_>], letters: &Letters) -> (Vec<GroupRow>, Vec<GroupRow>, Vec<ConsumerGroupSummary>) {
    let mut all: Vec<GroupFacts<'_>> = Vec::new();
    for bus in read {
        all.extend(bus.groups.iter().filter(|group| !group.standing.parked).map(|group| bus.facts(group, letters)));
    }
    let mut busiest: Vec<GroupFacts<'_>> = all.iter().filter(|facts| facts.rate > Some(0.0)).copied().collect();
    busiest.sort_by(|a, b| {
        let rate = |facts: &GroupFacts<'_>| facts.rate.unwrap_or_default();
        rate(b).total_cmp(&rate(a)).then_with(|| a.summary.name.cmp(&b.summary.name))
    });
    let reads = |facts: GroupFacts<'_>| {
        let of = read.iter().find(|bus| bus.id == facts.summary.bus).and_then(|bus| bus.reads.get(&facts.summary.name));
        let row = GroupRow::new(facts);
        GroupRow { key: format!("busiest {}", row.href), spark: of.map_or_else(String::new, |values| spark(values)), ..row }
    };
    let busiest = busiest.into_iter().take(ROWS).map(reads).collect();
    all.sort_by(rows::worst_first);
    let worst = all.iter().filter(|facts| rows::is_worth_a_row(facts)).take(ROWS).map(|facts| GroupRow::new(*facts)).collect();
    // What a group did when its bus was last read says nothing about now; that the bus does not answer is said already.
    let troubled = all.iter().filter(|facts| needs(facts.summary).is_some() && !facts.freshness.is_past());
    let mut troubled: Vec<ConsumerGroupSummary> = troubled.map(|facts| facts.summary.clone()).collect();
    troubled.sort_by(|a, b| (needs(b), b.lag_messages).cmp(&(needs(a), a.lag_messages)).then_with(|| a.name.cmp(&b.name)));
    (worst, busiest, troubled)
}

/// Where a bus does not answer, that is said already.
fn untold(read: &[OfBus<'_>]) -> Vec<ConsumerGroupSummary> {
    let is_unknown = |group: &&ConsumerGroupSummary| group.standing.status == GroupStatus::Unknown && !group.standing.parked;
    let answering = read.iter().filter(|bus| !bus.freshness.is_stale());
    let mut untold: Vec<ConsumerGroupSummary> = answering.flat_map(|bus| bus.groups.iter().filter(is_unknown).cloned()).collect();
    untold.sort_by(|a, b| b.lag_messages.cmp(&a.lag_messages).then_with(|| (&a.bus, &a.name).cmp(&(&b.bus, &b.name))));
    untold
}

/// Throughput by bus, and lag of the groups with the most.
fn drawn(read: &[OfBus<'_>]) -> Vec<Drawn> {
    let several = read.len() > 1;
    let written = read.iter().flat_map(|bus| bus.written.iter().map(|values| Named::new(bus.id.as_str(), values.clone()))).collect();
    let lag = |bus: &OfBus<'_>| {
        let behind = bus.lags.iter().filter(|(_, lag)| peak(&lag.highest) > 0.0);
        let named = |(group, lag): (&GroupName, &Lag)| {
            Named::new(if several { format!("{} / {group}", bus.id) } else { group.to_string() }, lag.highest.clone())
        };
        behind.map(named).collect::<Vec<_>>()
    };
    vec![
        Drawn { id: "throughput", title: "Messages written", unit: Unit::PerSecond, lines: largest_buses(written) },
        Drawn {
            id: "most-lag",
            title: "Consumer groups with the most lag",
            unit: Unit::Messages,
            lines: largest(read.iter().flat_map(lag).collect()),
        },
    ]
}
