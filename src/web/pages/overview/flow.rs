//! What flows over the buses: throughput, the consumer groups that are behind, the busiest topics; and, over a week and more, how that
//! compares with the time before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::latency;
use crate::model::figure::{Figure, Labels};
use crate::model::lag::GroupStatus;
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::consumer_groups::ConsumerGroupSummary;
use crate::store::failure_groups::Buckets;
use crate::store::happenings::About;
use crate::store::{Store, StoreError};
use crate::web::pages::consumer_group::history::{query, series};
use crate::web::view::address::segment;
use crate::web::view::freshness::Freshness;
use crate::web::view::group::{self, GroupState};
use crate::web::view::lines::{LineChart, MOST, Named, Unit, added_up, decimal, numbers, spark};
use crate::web::view::marks::Marks;

/// Rows of a short list.
const ROWS: usize = 6;
/// Series that are read step by step to find those with the most in the range itself, which may cut its first hour.
const CANDIDATES: usize = 24;

/// Figures of the buses over the range.
#[derive(Debug)]
pub(in crate::web) struct Flow {
    /// Throughput, lag of the groups with the most, and, where spans come, how long messages take and how many spans fail.
    pub(in crate::web) charts: Vec<LineChart>,
    /// What happened meanwhile.
    pub(in crate::web) marks: Marks,
    /// Topics with the most messages.
    pub(in crate::web) topics: Vec<TopicRow>,
    /// Consumer groups, those that need somebody first.
    pub(in crate::web) groups: Vec<GroupRow>,
    /// All groups that need somebody, for what needs attention.
    pub(in crate::web) troubled: Vec<ConsumerGroupSummary>,
    /// Living groups.
    pub(in crate::web) all_groups: u64,
    /// Mean messages per second over the range, and over the time before.
    pub(in crate::web) rate: (Option<f64>, Option<f64>),
}

/// A busy topic.
#[derive(Debug)]
pub(in crate::web) struct TopicRow {
    pub(in crate::web) bus: String,
    pub(in crate::web) name: String,
    pub(in crate::web) href: String,
    pub(in crate::web) rate: String,
    pub(in crate::web) spark: String,
}

/// A consumer group.
#[derive(Debug)]
pub(in crate::web) struct GroupRow {
    pub(in crate::web) bus: String,
    pub(in crate::web) name: String,
    pub(in crate::web) href: String,
    pub(in crate::web) status: GroupState,
    /// Whether its figures are old ones.
    pub(in crate::web) stale: bool,
    pub(in crate::web) evidence: String,
    pub(in crate::web) lag: Option<u64>,
    pub(in crate::web) time_lag: String,
    pub(in crate::web) spark: String,
}

type Values = Vec<Option<f64>>;

impl Flow {
    pub(in crate::web) async fn load(store: &Store, buses: &[Freshness], buckets: Buckets) -> Result<Self, StoreError> {
        let mut flow = Self {
            charts: Vec::new(),
            marks: Marks::default(),
            topics: Vec::new(),
            groups: Vec::new(),
            troubled: Vec::new(),
            all_groups: 0,
            rate: (None, None),
        };
        let (mut per_bus, mut topics, mut lags, mut summaries) = (Vec::new(), Vec::new(), HashMap::new(), Vec::new());
        let mut before = Vec::new();
        for freshness in buses {
            let bus = &BusId::from(freshness.bus.as_str());
            let of_bus = all(store, Figure::BusMessagesPerSecond, bus, buckets).await?;
            per_bus.extend(of_bus.into_iter().map(|(_, values)| Named::new(bus.as_str(), values)));
            before.extend(all(store, Figure::BusMessagesPerSecond, bus, just_before(buckets)).await?.into_iter().map(|(_, values)| values));
            let of_topics = leading(store, Figure::TopicMessagesPerSecond, bus, buckets, |labels| labels.topic.clone(), &[]).await?;
            topics.extend(of_topics.into_iter().filter_map(|(labels, values)| Some((bus.clone(), labels.topic?, values))));
            let listed = store.list_consumer_groups(bus, None, None).await?;
            let shown = shown(&listed);
            let group = |labels: &Labels| labels.consumer_group.clone();
            for (labels, values) in leading(store, Figure::ConsumerGroupLagMessages, bus, buckets, group, &shown).await? {
                if let Some(group) = labels.consumer_group {
                    lags.entry((bus.clone(), group)).or_insert_with(Vec::new).push(values);
                }
            }
            summaries.extend(listed.into_iter().map(|group| (group, freshness)));
        }
        let lags: HashMap<(BusId, GroupName), Values> =
            lags.into_iter().map(|(key, all)| (key, added_up(&all, buckets.count as usize))).collect();
        flow.rate = (mean_of_sum(per_bus.iter().map(|named| &named.values), buckets), mean_of_sum(before.iter(), buckets));
        let several = buses.len() > 1;
        let mut happened = Vec::new();
        for freshness in buses {
            let bus = BusId::from(freshness.bus.as_str());
            happened.extend(store.list_happenings(&bus, About::Bus, buckets.from, buckets.to).await?);
        }
        happened.sort_by_key(|happening| happening.at);
        flow.marks = Marks::of(&happened, buckets);
        let marks = &flow.marks.shown;
        flow.charts = vec![
            LineChart::new("throughput", "Messages written", Unit::PerSecond, buckets, largest(per_bus), marks),
            LineChart::new("most-lag", "Consumer groups with the most lag", Unit::Messages, buckets, most_lag(&lags, several), marks),
        ];
        let shown: Vec<BusId> = buses.iter().map(|freshness| BusId::from(freshness.bus.as_str())).collect();
        flow.charts.extend(latency::charts(store, &shown, buckets, &flow.marks.shown).await?);
        flow.topics = busiest(topics);
        flow.all_groups = summaries.len() as u64;
        flow.place(summaries, &lags);
        Ok(flow)
    }

    fn place(&mut self, mut summaries: Vec<(ConsumerGroupSummary, &Freshness)>, lags: &HashMap<(BusId, GroupName), Values>) {
        summaries.retain(|(group, _)| !group.standing.parked);
        summaries.sort_by(|(a, _), (b, _)| worst_first(a, b));
        let listed = summaries.iter().filter(|(group, _)| worth_a_row(group)).take(ROWS);
        self.groups = listed.map(|(group, freshness)| row(group, freshness, lags)).collect();
        // What a group did when its bus was last read says nothing about now; that the bus does not answer is said already.
        summaries.retain(|(group, freshness)| needs(group).is_some() && !freshness.is_past());
        self.troubled = summaries.into_iter().map(|(group, _)| group).collect();
    }
}

/// The status when somebody should look.
pub(super) fn needs(group: &ConsumerGroupSummary) -> Option<GroupStatus> {
    Some(group.standing.status).filter(|status| status.needs_attention() && *status != GroupStatus::NoCommit && !group.standing.parked)
}

fn row(group: &ConsumerGroupSummary, freshness: &Freshness, lags: &HashMap<(BusId, GroupName), Values>) -> GroupRow {
    GroupRow {
        bus: group.bus.to_string(),
        name: group.name.to_string(),
        href: format!("/buses/{}/consumer-groups/{}", segment(group.bus.as_str()), segment(group.name.as_str())),
        status: group::status_at(group.standing.status, false, freshness),
        stale: freshness.is_stale(),
        evidence: group.standing.evidence.clone(),
        lag: group.lag_messages,
        time_lag: group.time_lag.map_or_else(String::new, group::time_lag),
        spark: lags.get(&(group.bus.clone(), group.name.clone())).map_or_else(String::new, |values| spark(values)),
    }
}

async fn all(store: &Store, figure: Figure, bus: &BusId, buckets: Buckets) -> Result<Vec<(Labels, Values)>, StoreError> {
    let found = series(store, figure, Labels::bus(bus), buckets).await?;
    Ok(found
        .into_iter()
        .map(|series| {
            let values = numbers(figure, &series, 0.5);
            (series.labels, values)
        })
        .collect())
}

/// Series of those that lead over the whole hours of the range, and of those named: a page shows few of thousands.
async fn leading<K: Ord + Clone + Send + Sync>(
    store: &Store,
    figure: Figure,
    bus: &BusId,
    buckets: Buckets,
    key: impl Fn(&Labels) -> Option<K> + Send + Sync,
    named: &[K],
) -> Result<Vec<(Labels, Values)>, StoreError> {
    let mut sizes: BTreeMap<K, f64> = BTreeMap::new();
    for (key, total) in store.read_totals(figure, bus, buckets.from, &key).await? {
        *sizes.entry(key).or_default() += total.value(0.5).unwrap_or_default();
    }
    let mut sizes: Vec<(K, f64)> = sizes.into_iter().filter(|(_, size)| *size > 0.0).collect();
    sizes.sort_by(|(a, some), (b, other)| other.total_cmp(some).then_with(|| a.cmp(b)));
    let wanted: BTreeSet<K> = sizes.into_iter().take(CANDIDATES).map(|(key, _)| key).chain(named.iter().cloned()).collect();
    let query = query(figure, Labels::bus(bus), buckets);
    let found = store.read_series_where(&query, |labels| key(labels).is_some_and(|key| wanted.contains(&key))).await?;
    Ok(found
        .into_iter()
        .map(|series| {
            let values = numbers(figure, &series, 0.5);
            (series.labels, values)
        })
        .collect())
}

/// Groups that the page lists, whatever their lag was.
fn shown(listed: &[ConsumerGroupSummary]) -> Vec<GroupName> {
    let mut groups: Vec<&ConsumerGroupSummary> = listed.iter().filter(|group| worth_a_row(group)).collect();
    groups.sort_by(|a, b| worst_first(a, b));
    groups.into_iter().take(ROWS).map(|group| group.name.clone()).collect()
}

fn worth_a_row(group: &ConsumerGroupSummary) -> bool {
    !group.standing.parked && (group.lag_messages > Some(0) || needs(group).is_some())
}

fn worst_first(a: &ConsumerGroupSummary, b: &ConsumerGroupSummary) -> std::cmp::Ordering {
    let key = |group: &ConsumerGroupSummary| (needs(group), group.lag_messages.unwrap_or(0));
    key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
}

fn just_before(buckets: Buckets) -> Buckets {
    let length = buckets.to.as_millis() - buckets.from.as_millis();
    Buckets { from: Timestamp::from_millis(buckets.from.as_millis() - length), to: buckets.from, count: buckets.count }
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    #[expect(clippy::cast_precision_loss, reason = "steps of a drawing")]
    let count = known.len() as f64;
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / count)
}

fn mean_of_sum<'a>(all: impl Iterator<Item = &'a Values>, buckets: Buckets) -> Option<f64> {
    let all: Vec<Values> = all.cloned().collect();
    mean(&added_up(&all, buckets.count as usize))
}

fn peak(values: &[Option<f64>]) -> f64 {
    values.iter().flatten().copied().fold(0.0, f64::max)
}

fn largest(mut named: Vec<Named>) -> Vec<Named> {
    named.sort_by(|a, b| peak(&b.values).total_cmp(&peak(&a.values)).then_with(|| a.label.cmp(&b.label)));
    named.truncate(MOST);
    // By name, so that a line keeps its colour while their numbers change.
    named.sort_by(|a, b| a.label.cmp(&b.label));
    named
}

fn most_lag(lags: &HashMap<(BusId, GroupName), Values>, several: bool) -> Vec<Named> {
    let named = lags
        .iter()
        .filter(|(_, values)| peak(values) > 0.0)
        .map(|((bus, group), values)| Named::new(if several { format!("{bus} / {group}") } else { group.to_string() }, values.clone()));
    largest(named.collect())
}

fn busiest(topics: Vec<(BusId, TopicName, Values)>) -> Vec<TopicRow> {
    let mut rated: Vec<(f64, BusId, TopicName, Values)> = topics
        .into_iter()
        .filter_map(|(bus, topic, values)| mean(&values).filter(|rate| *rate > 0.0).map(|rate| (rate, bus, topic, values)))
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.2.cmp(&b.2)));
    let row = |(rate, bus, topic, values): (f64, BusId, TopicName, Values)| TopicRow {
        href: format!("/buses/{}/topics/{}", segment(bus.as_str()), segment(topic.as_str())),
        bus: bus.to_string(),
        name: topic.to_string(),
        rate: decimal(rate),
        spark: spark(&values),
    };
    rated.into_iter().take(ROWS).map(row).collect()
}
