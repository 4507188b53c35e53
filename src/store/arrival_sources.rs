//! Where the arrivals of a time came from: origin topic and consumer group of each facet, for lists of the worst.

use std::collections::{HashMap, HashSet};

use super::arrivals::Buckets;
use super::indexing::{id_list, text_list};
use super::rows::{clean, text};
use super::{Store, StoreError};
use crate::model::{BusId, GroupName, TopicName};

statements! {
    const FEW = "select count(*) from (select 1 from facets limit cast($1 as bigint)) as few";
    // The hours of a facet lie together: of a few facets that is added up without sorting what came meanwhile.
    const OF_EACH = "select f.id, (select cast(sum(a.letters) as bigint) from arrival_hours a where a.facet_id = f.id \
        and a.hour >= $1 and a.hour < $2) from facets f";
    // An index knows all of it.
    const BY_FACET = "select facet_id, cast(sum(letters) as bigint) from arrival_hours where hour >= $1 and hour < $2 group by facet_id";
    // So that facets of other buses are left out before any are cut off.
    const OF_BUSES = "select id from facets where bus_id in (select b.id from buses b where b.bus in \
        (select value from json_each(cast($1 as text))))";
    const NAMES = "select f.id, b.bus, f.topic, f.origin_topic, f.consumer_group from facets f join buses b on b.id = f.bus_id \
        where f.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
}

/// Up to so many facets are asked one by one: where most of them are silent that costs some milliseconds.
const FEW_FACETS: i64 = 2_000;

/// Facets that are named, those with the most arrivals; what is beyond them is too little to lead any list.
const MOST: usize = 5_000;

/// Arrivals of one facet, without backlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivalSource {
    /// Our id of the facet, for [`Store::list_arrivals_of`].
    pub facet: i64,
    /// Bus.
    pub bus: BusId,
    /// The dead-letter topic.
    pub topic: TopicName,
    /// Where they came from, where that is known.
    pub origin_topic: Option<TopicName>,
    /// The consumer group that failed, where that is known.
    pub consumer_group: Option<GroupName>,
    /// How many.
    pub letters: u64,
}

type NameRow = (i64, String, String, Option<Vec<u8>>, Option<Vec<u8>>);

impl Store {
    /// Arrivals of a time on these buses (none means all) by facet, most first; facets without any are left out.
    pub async fn list_arrival_sources(&self, buses: &[BusId], buckets: Buckets) -> Result<Vec<ArrivalSource>, StoreError> {
        let once = Buckets { count: 1, ..buckets };
        let mut sums: HashMap<i64, i64> = HashMap::new();
        if let Some((first, hours)) = once.whole_hours() {
            sums = self.arrivals_of_hours(first, first.saturating_add(hours)).await?;
        } else {
            for (facet, _, letters) in self.arrivals_by_facet(None, once).await? {
                *sums.entry(facet).or_default() += letters;
            }
        }
        if !buses.is_empty() {
            let names: Vec<String> = buses.iter().map(|bus| clean(bus.as_str())).collect();
            let names = text_list(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(OF_BUSES).bind(&names).fetch_all(pool).await?)?;
            let shown: HashSet<i64> = rows.into_iter().map(|(id,)| id).collect();
            sums.retain(|facet, _| shown.contains(facet));
        }
        let mut most: Vec<(i64, i64)> = sums.into_iter().filter(|(_, letters)| *letters > 0).collect();
        most.sort_unstable_by_key(|(facet, letters)| (std::cmp::Reverse(*letters), *facet));
        most.truncate(MOST);
        if most.is_empty() {
            return Ok(Vec::new());
        }
        let ids = id_list(&most.iter().map(|(facet, _)| *facet).collect::<Vec<_>>());
        let rows: Vec<NameRow> = read!(self, |pool| sqlx::query_as(NAMES).bind(&ids).fetch_all(pool).await?)?;
        let mut names: HashMap<i64, NameRow> = rows.into_iter().map(|row| (row.0, row)).collect();
        let source = |(facet, letters): (i64, i64)| {
            let (_, bus, topic, origin, group) = names.remove(&facet)?;
            Some(ArrivalSource {
                facet,
                bus: BusId::new(bus),
                topic: TopicName::new(topic),
                origin_topic: origin.map(|origin| TopicName::new(text(origin))),
                consumer_group: group.map(|group| GroupName::new(text(group))),
                letters: letters.unsigned_abs(),
            })
        };
        Ok(most.into_iter().filter_map(source).collect())
    }

    /// Arrivals in the hours from `first` to before `end`, by facet; those without any may be left out.
    pub(super) async fn arrivals_of_hours(&self, first: i64, end: i64) -> Result<HashMap<i64, i64>, StoreError> {
        let (facets,): (i64,) = read!(self, |pool| sqlx::query_as(FEW).bind(FEW_FACETS + 1).fetch_one(pool).await?)?;
        if facets > FEW_FACETS {
            let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(BY_FACET).bind(first).bind(end).fetch_all(pool).await?)?;
            return Ok(rows.into_iter().collect());
        }
        let rows: Vec<(i64, Option<i64>)> = read!(self, |pool| sqlx::query_as(OF_EACH).bind(first).bind(end).fetch_all(pool).await?)?;
        Ok(rows.into_iter().filter_map(|(facet, letters)| Some((facet, letters?))).collect())
    }

    /// Arrivals of some facets over time: facet, number of the bucket, how many.
    pub async fn list_arrivals_of(&self, facets: &[i64], buckets: Buckets) -> Result<Vec<(i64, usize, u64)>, StoreError> {
        if facets.is_empty() {
            return Ok(Vec::new());
        }
        let last = buckets.count.saturating_sub(1) as usize;
        let place = |bucket: i64| usize::try_from(bucket).unwrap_or(0).min(last);
        let rows = self.arrivals_by_facet(Some(facets), buckets).await?;
        Ok(rows.into_iter().map(|(facet, bucket, letters)| (facet, place(bucket), letters.unsigned_abs())).collect())
    }
}
