//! Sweeps of a bus in memory, parts of which do not answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::groups::LookedGroup;
use super::{Context, Sampler, Trouble, lag};
use crate::bus::{
    Bus, BusError, GroupDescription, GroupListing, Membership, Metadata, PartitionOffsets, ReadFrom, ReadRecords, Reader, TopicMetadata,
};
use crate::dead_letters::indexer::{BusWork, Instance, Periods, Signals};
use crate::lifecycle::Lifecycle;
use crate::lifecycle::changes::Changes;
use crate::model::bus::{ConsumerGroup, GroupMember, PartitionState, TopicGeneration, TopicRole};
use crate::model::figure::Figure;
use crate::model::lag::GroupStatus;
use crate::model::names::TopicPartition;
use crate::model::{BusId, BusKind, Capabilities, GroupName, Timestamp, TopicName};
use crate::store::topics::StoredTopic;
use crate::store::{Store, StoreSettings};
use crate::telemetry::metrics::Metrics;

/// Between two sweeps: three of them are the time after which nothing is known.
const FULL: Duration = Duration::from_millis(400);

/// A group as the bus has it.
struct Held {
    state: &'static str,
    members: Vec<GroupMember>,
    committed: Vec<(i32, i64)>,
    fails: Option<BusError>,
}

/// One topic, `orders`.
#[derive(Default)]
struct Parts {
    /// Offsets by partition; one without has no leader.
    partitions: BTreeMap<i32, Option<PartitionOffsets>>,
    groups: BTreeMap<&'static str, Held>,
    /// Nobody answers any more what is asked about groups, nor whether he is there.
    gone: bool,
    /// Groups cannot be listed now.
    unlisted: bool,
    /// How often somebody asked for committed offsets.
    asked: usize,
}

struct PartsBus {
    id: BusId,
    parts: Mutex<Parts>,
}

impl PartsBus {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().expect("no test panics while it holds the lock")
    }
}

fn silence<T>() -> Result<T, BusError> {
    Err(BusError::Unreachable("broker 1: timed out".to_owned()))
}

fn absent<T>() -> Result<T, BusError> {
    Err(BusError::Unsupported("not part of this test".to_owned()))
}

fn place(partition: i32) -> TopicPartition {
    TopicPartition { topic: "orders".into(), partition }
}

#[async_trait]
impl Bus for PartsBus {
    fn id(&self) -> &BusId {
        &self.id
    }
    fn kind(&self) -> BusKind {
        BusKind::Kafka
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn metadata(&self) -> Result<Metadata, BusError> {
        let topic = TopicMetadata {
            topic: "orders".into(),
            topic_id: None,
            partitions: self.parts().partitions.iter().map(|(number, offsets)| (*number, offsets.map(|_| 1))).collect(),
            replication_factor: 1,
            internal: false,
            error: None,
        };
        Ok(Metadata { cluster_id: None, brokers: vec!["kafka:9092".to_owned()], topics: vec![topic] })
    }
    async fn is_there(&self) -> Result<(), BusError> {
        if self.parts().gone { silence() } else { Ok(()) }
    }
    async fn topic_ids(&self, _: &[TopicName]) -> Result<HashMap<TopicName, Option<String>>, BusError> {
        absent()
    }
    async fn offsets(&self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, PartitionOffsets>, BusError> {
        let parts = self.parts();
        let told = partitions.iter().filter_map(|place| Some((place.clone(), (*parts.partitions.get(&place.partition)?)?)));
        Ok(told.collect())
    }
    async fn topic_configs(&self, _: &[TopicName]) -> Result<HashMap<TopicName, BTreeMap<String, String>>, BusError> {
        absent()
    }
    async fn list_groups(&self) -> Result<Vec<GroupListing>, BusError> {
        let parts = self.parts();
        if parts.unlisted {
            return silence();
        }
        let listing = |(name, held): (&&str, &Held)| listing(name, held);
        Ok(parts.groups.iter().map(listing).collect())
    }
    async fn describe_groups(&self, groups: &[GroupName]) -> Result<Vec<GroupDescription>, BusError> {
        let parts = self.parts();
        if parts.gone {
            return silence();
        }
        let described = groups.iter().filter_map(|name| {
            let held = parts.groups.get(name.as_str())?;
            let silent = matches!(held.fails, Some(BusError::Unreachable(_)));
            let members = held.fails.as_ref().map_or_else(|| Ok(held.members.clone()), |error| Err(error.to_string()));
            Some(GroupDescription { listing: listing(name.as_str(), held), members, silent })
        });
        Ok(described.collect())
    }
    async fn committed_offsets(&self, group: &GroupName) -> Result<Vec<(TopicPartition, i64)>, BusError> {
        let mut parts = self.parts();
        parts.asked += 1;
        let held = &parts.groups[group.as_str()];
        match &held.fails {
            Some(error) => Err(error.clone()),
            None => Ok(held.committed.iter().map(|(partition, at)| (place(*partition), *at)).collect()),
        }
    }
    async fn read(&self, _: &TopicPartition, _: ReadFrom, _: usize) -> Result<ReadRecords, BusError> {
        absent()
    }
    async fn open_reader(&self, _: usize) -> Result<Box<dyn Reader>, BusError> {
        absent()
    }
    async fn join(&self, _: &str, _: &str) -> Result<Box<dyn Membership>, BusError> {
        absent()
    }
}

fn listing(name: &str, held: &Held) -> GroupListing {
    GroupListing { name: name.into(), kind: "classic".to_owned(), state: held.state.to_owned() }
}

fn offsets(log_start: i64, end: i64) -> PartitionOffsets {
    PartitionOffsets { log_start, end, last_stable: Some(end) }
}

/// A group with one member that holds both partitions.
fn held(committed: &[(i32, i64)]) -> Held {
    let member = GroupMember {
        member_id: "m-1".to_owned(),
        instance_id: None,
        client_id: "worker".to_owned(),
        host: "/10.0.0.1".to_owned(),
        assignment: vec![("orders".into(), vec![0, 1])],
    };
    Held { state: "Stable", members: vec![member], committed: committed.to_vec(), fails: None }
}

fn empty(committed: &[(i32, i64)]) -> Held {
    Held { state: "Empty", members: Vec::new(), ..held(committed) }
}

struct Scene {
    bus: Arc<PartsBus>,
    sampler: Sampler,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(groups: impl IntoIterator<Item = (&'static str, Held)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
        let settings = StoreSettings { url: url.clone(), max_bytes: None, read_timeout: Duration::from_mins(1) };
        let store = Store::open(&settings).await.expect("a store");
        store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("a bus");
        let partitions = BTreeMap::from([(0, Some(offsets(0, 100))), (1, Some(offsets(0, 100)))]);
        let parts = Parts { partitions, groups: groups.into_iter().collect(), ..Parts::default() };
        let bus = Arc::new(PartsBus { id: "prod".into(), parts: Mutex::new(parts) });
        let (changes, life, metrics) = (Changes::new(), Lifecycle::new(), Metrics::new());
        let context = Context { store: store.clone(), changes, life, metrics, instance: Instance::new(&url) };
        let work = BusWork {
            bus: Arc::clone(&bus) as Arc<dyn Bus>,
            decode: Box::new(|_, _| unreachable!("nothing is indexed here")),
            role: Box::new(|_, _| TopicRole::Ordinary),
            consumer_groups: Vec::new(),
            id_prefix: "redrive-".to_owned(),
            max_record_bytes: 1_000,
            periods: Periods { full: FULL, ..Periods::default() },
            signals: Signals::default(),
        };
        Self { bus, sampler: Sampler::new(context, Arc::new(work)), store, _folder: folder }
    }

    async fn sweep(&mut self) {
        self.sampler.sweep().await.expect("the bus is there");
    }

    /// Sweeps until what could not be read since before tells nothing any more.
    async fn sweep_until_stale(&mut self) {
        self.sweep().await;
        tokio::time::sleep(FULL * 4).await;
        self.sweep().await;
    }

    async fn group(&self, name: &str) -> ConsumerGroup {
        self.store.find_consumer_group(&"prod".into(), &name.into()).await.expect("an answer").expect("is there")
    }

    /// The lag in messages that the newest frame has of each group.
    async fn sampled_lag(&self) -> BTreeMap<String, f64> {
        let now = Timestamp::now();
        let frames = self.store.newest_frames(now.minus(Duration::from_mins(5)), now).await.expect("frames");
        let levels: HashMap<i64, f64> = self.store.frame_levels(frames["bus:prod"].id).await.expect("levels").into_iter().collect();
        let series = self.store.series_of(Figure::ConsumerGroupLagMessages).await.expect("series");
        let name = |labels: &crate::model::figure::Labels| labels.consumer_group.as_ref().map(ToString::to_string).unwrap_or_default();
        series.iter().filter_map(|(id, labels)| Some((name(labels), *levels.get(id)?))).collect()
    }
}

#[tokio::test]
async fn a_partition_without_a_leader_makes_its_group_unknown_and_not_caught_up() {
    let mut scene = Scene::new([("billing", held(&[(0, 100), (1, 100)]))]).await;
    scene.sweep().await;
    assert_eq!(scene.group("billing").await.standing.status, GroupStatus::CaughtUp);
    assert_eq!(scene.sampled_lag().await, BTreeMap::from([("billing".to_owned(), 0.0)]));
    let read_at = Timestamp::now();

    scene.bus.parts().partitions.insert(1, None);
    scene.sweep_until_stale().await;
    let found = scene.group("billing").await;
    assert_eq!(found.standing.status, GroupStatus::Unknown, "{found:?}");
    assert!(found.standing.evidence.contains("orders/1: the partition has no leader: its offsets cannot be read"), "{found:?}");
    assert!(found.standing.since.is_some_and(|since| since <= read_at), "since it was last read: {found:?}");
    let lags: Vec<_> = found.offsets.iter().map(|offset| (offset.committed, offset.end, offset.lag_messages())).collect();
    assert_eq!(lags, [(Some(100), Some(100), Some(0)), (Some(100), None, None)]);
    assert_eq!(scene.sampled_lag().await, BTreeMap::new(), "nobody knows how much is left");

    scene.bus.parts().partitions.insert(1, Some(offsets(0, 100)));
    scene.sweep().await;
    assert_eq!(scene.group("billing").await.standing.status, GroupStatus::CaughtUp);
}

#[tokio::test]
async fn one_group_whose_coordinator_is_silent_costs_nobody_else_his_sweep() {
    let groups = [("billing", held(&[(0, 100)])), ("audit", empty(&[(0, 100)])), ("shipping", held(&[(0, 90)]))];
    let mut scene = Scene::new(groups).await;
    scene.sweep().await;
    for name in ["audit", "shipping"] {
        scene.bus.parts().groups.get_mut(name).expect("is there").fails = silence::<()>().err();
    }
    scene.bus.parts().partitions.insert(0, Some(offsets(0, 140)));
    scene.sweep().await;
    let bus = scene.store.find_bus(&"prod".into()).await.expect("an answer").expect("is there");
    assert_eq!((bus.error, bus.untracked_groups), (None, 0));
    assert_eq!(scene.group("billing").await.offsets[0].end, Some(140));
    assert_eq!(scene.group("shipping").await.offsets[0].end, Some(100), "what was known of it stays");
    // One of the brokers does not tell its groups either: what is known is looked at.
    scene.bus.parts().unlisted = true;
    scene.bus.parts().partitions.insert(0, Some(offsets(0, 150)));
    scene.sweep().await;
    assert_eq!(scene.group("billing").await.offsets[0].end, Some(150));
}

#[tokio::test]
async fn while_nobody_is_there_not_each_group_is_waited_for() {
    let name = |n: usize| -> &'static str { Box::leak(format!("group-{n:03}").into_boxed_str()) };
    let mut scene = Scene::new((0..90).map(|n| (name(n), Held { fails: silence::<()>().err(), ..empty(&[(0, 1)]) }))).await;
    scene.bus.parts().gone = true;
    let trouble = scene.sampler.sweep().await.expect_err("nobody is there");
    assert!(matches!(trouble, Trouble::Bus(BusError::Unreachable(_))), "{trouble}");
    let asked = scene.bus.parts().asked;
    assert!(asked <= 20, "{asked} of 90 were asked");
}

#[tokio::test]
async fn a_group_that_cannot_be_read_is_unknown_with_the_reason_and_was_last_read_when_it_was() {
    let mut scene = Scene::new([("billing", held(&[(0, 40)])), ("closed", held(&[(0, 70)])), ("secret", held(&[(0, 10)]))]).await;
    let denied = || Some(BusError::Denied("it needs DESCRIBE on the group".to_owned()));
    scene.bus.parts().groups.get_mut("secret").expect("is there").fails = denied();
    scene.sweep().await;
    let untracked = async |scene: &Scene| scene.store.find_bus(&"prod".into()).await.expect("an answer").map(|bus| bus.untracked_groups);
    assert_eq!(untracked(&scene).await, Some(1), "one was never read");
    let read_at = scene.group("closed").await.sampled_at;

    scene.bus.parts().groups.get_mut("closed").expect("is there").fails = denied();
    scene.sweep_until_stale().await;
    let found = scene.group("closed").await;
    assert_eq!((found.standing.status, found.sampled_at, found.members), (GroupStatus::Unknown, read_at, None));
    assert_eq!(found.standing.evidence, "the group cannot be read: not allowed: it needs DESCRIBE on the group");
    assert!(found.standing.since.is_some_and(|since| since > read_at), "since it could not be read");
    assert_eq!((found.offsets[0].committed, found.offsets[0].lag_messages()), (Some(70), None));
    assert!(scene.group("billing").await.sampled_at > read_at);
    let listed = scene.store.list_consumer_groups(&"prod".into(), Some("closed"), None).await.expect("groups");
    assert_eq!((listed[0].standing.status, listed[0].lag_messages), (GroupStatus::Unknown, None), "lists tell the same");
    assert_eq!(scene.sampled_lag().await.into_keys().collect::<Vec<_>>(), ["billing"]);
    assert_eq!(untracked(&scene).await, Some(1), "what was read once is watched");
}

/// A topic whose partitions have these ids.
pub(super) fn topic(partitions: &[i64]) -> StoredTopic {
    let state = |(id, partition): (&i64, i32)| PartitionState {
        id: *id,
        generation_id: 1,
        partition,
        log_start: None,
        end: None,
        last_stable: None,
        next: None,
        had_records: true,
        purged_below: None,
        leader: Some(1),
    };
    let generation = TopicGeneration {
        id: 1,
        bus: "prod".into(),
        topic: "orders".into(),
        topic_id: None,
        role: TopicRole::Ordinary,
        internal: false,
        first_seen_at: Timestamp::from_millis(1_000),
        gone_at: None,
        compacted: false,
        transactional: false,
        config: BTreeMap::new(),
        replication_factor: 1,
    };
    StoredTopic { generation, partitions: partitions.iter().zip(0..).map(state).collect() }
}

/// A sampler's watches, looked at every fifteen seconds.
struct Watched {
    lags: lag::Lags,
    now: Timestamp,
    topics: [StoredTopic; 1],
}

impl Watched {
    fn new() -> Self {
        let topics = [topic(&[1])];
        Self { lags: lag::Lags::default(), now: Timestamp::from_millis(1_000_000_000), topics }
    }

    /// Committed at `at`, which was read just before the end; `None` where that could not be read.
    fn look(&mut self, held: &Held, at: i64, end: Option<PartitionOffsets>) -> lag::Judged {
        self.now = self.now.plus(Duration::from_secs(15));
        let looked = LookedGroup {
            name: "billing".into(),
            kind: "classic".to_owned(),
            state: held.state.to_owned(),
            members: Some(held.members.clone()),
            committed: vec![(place(0), at)],
            at: self.now.minus(Duration::from_millis(5)),
        };
        let offsets = end.into_iter().map(|end| (1, end)).collect();
        self.lags.look(&self.topics, &offsets, looked.at, self.now);
        self.lags.judge(&looked, Duration::from_secs(45), self.now)
    }
}

#[test]
fn what_is_committed_beyond_an_end_that_could_not_be_read_is_counted_when_it_can_be() {
    let mut watched = Watched::new();
    let mut member = held(&[]);
    member.members[0].assignment[0].1 = vec![0];
    watched.look(&member, 90, Some(offsets(0, 100)));
    // The group commits, and the end is the one of before.
    for at in [110, 120, 130] {
        let judged = watched.look(&member, at, None);
        assert_eq!(judged.committed[&TopicName::from("orders")], 0, "{at}");
        assert_ne!(judged.seen.standing.status, GroupStatus::CaughtUp, "{at}");
    }
    let judged = watched.look(&member, 140, None);
    assert_eq!(judged.seen.standing.status, GroupStatus::Unknown);
    assert_eq!(judged.seen.offsets[0].verdict.since, Some(watched.now.minus(Duration::from_mins(1))), "when it was last read");
    assert_eq!(watched.lags.outrun(Duration::from_secs(45), watched.now), [] as [GroupName; 0], "that is said");
    let judged = watched.look(&member, 150, Some(offsets(0, 150)));
    assert_eq!((judged.seen.standing.status, judged.committed[&TopicName::from("orders")]), (GroupStatus::CaughtUp, 60));
}

#[test]
fn a_group_is_looked_at_again_when_an_end_can_no_longer_be_read_and_when_it_can_be() {
    let mut watched = Watched::new();
    watched.look(&held(&[]), 100, Some(offsets(0, 100)));
    let stale = Duration::from_secs(45);
    assert!(watched.lags.outrun(stale, watched.now).is_empty());
    assert_eq!(watched.lags.outrun(stale, watched.now.plus(stale * 2)).len(), 1);
    watched.now = watched.now.plus(stale * 2);
    watched.look(&held(&[]), 100, None);
    assert!(watched.lags.outrun(stale, watched.now).is_empty());
    watched.lags.look(&watched.topics, &HashMap::from([(1, offsets(0, 100))]), watched.now, watched.now);
    assert_eq!(watched.lags.outrun(stale, watched.now).len(), 1);
}

#[test]
fn who_is_set_forward_by_hand_and_who_passes_over_what_is_gone_has_not_read_it() {
    let mut watched = Watched::new();
    let nobody = empty(&[]);
    watched.look(&nobody, 10, Some(offsets(0, 10_000_000)));
    let judged = watched.look(&nobody, 10_000_000, Some(offsets(0, 10_000_000)));
    assert_eq!(judged.committed[&TopicName::from("orders")], 0, "reset to the newest");
    let mut watched = Watched::new();
    let member = held(&[]);
    watched.look(&member, 10, Some(offsets(0, 2_000)));
    watched.look(&member, 10, Some(offsets(1_000, 2_000)));
    let judged = watched.look(&member, 1_200, Some(offsets(1_000, 2_000)));
    assert_eq!(judged.committed[&TopicName::from("orders")], 200, "from where the log began");
}
