//! Sweeps of a bus in memory, parts of which do not answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::{Context, Sampler, Trouble};
use crate::bus::{
    Bus, BusError, GroupDescription, GroupListing, Membership, Metadata, PartitionOffsets, ReadFrom, ReadRecords, Reader, TopicMetadata,
};
use crate::dead_letters::indexer::{BusWork, Instance, Periods, Signals};
use crate::lifecycle::Lifecycle;
use crate::lifecycle::changes::Changes;
use crate::model::bus::{ConsumerGroup, GroupMember, TopicRole};
use crate::model::names::TopicPartition;
use crate::model::{BusId, BusKind, Capabilities, GroupName, TopicName};
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

    async fn group(&self, name: &str) -> ConsumerGroup {
        self.store.find_consumer_group(&"prod".into(), &name.into()).await.expect("an answer").expect("is there")
    }
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
