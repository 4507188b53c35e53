//! Instances that share the indexing: who reads what.

use std::collections::BTreeSet;
use std::time::Instant;

use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, Membership, Share};
use redrive::model::names::TopicPartition;

use super::{bus, place};
use crate::harness::kafka::{PATIENCE, shared, unique};

struct Instance {
    bus: KafkaBus,
    membership: Box<dyn Membership>,
    share: BTreeSet<TopicPartition>,
}

impl Instance {
    async fn join(group: &str, name: &str, topics: &[&str]) -> Self {
        let bus = bus();
        let mut membership = bus.join(group, name).await.expect("a member");
        membership.set_topics(topics.iter().map(|t| (*t).into()).collect()).await.expect("a member");
        Self { bus, membership, share: BTreeSet::new() }
    }
}

/// Waits until the shares of all instances are what is wanted.
async fn until(instances: &mut [&mut Instance], wanted: impl Fn(&[&BTreeSet<TopicPartition>]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shares: Vec<&BTreeSet<TopicPartition>> = instances.iter().map(|i| &i.share).collect();
        if wanted(&shares) {
            return;
        }
        assert!(Instant::now() < deadline, "still {shares:?}");
        for instance in instances.iter_mut() {
            let change = tokio::time::timeout(std::time::Duration::from_millis(100), instance.membership.changed()).await;
            if let Ok(share) = change {
                instance.share = match share.expect("a member") {
                    Share::Some(partitions) => partitions,
                    Share::All => panic!("a member has a part"),
                };
            }
        }
    }
}

#[tokio::test]
async fn two_instances_share_the_partitions_and_one_takes_over_from_the_other() {
    let kafka = shared();
    let (letters, more) = (kafka.topic("shared.DLT", 4, &[]).await, kafka.topic("more.DLT", 2, &[]).await);
    let group = unique("redrive-index");
    let all: BTreeSet<TopicPartition> = (0..4).map(|p| place(&letters, p)).collect();

    let mut one = Instance::join(&group, "instance-one", &[&letters]).await;
    until(&mut [&mut one], |s| *s[0] == all).await;
    let mut two = Instance::join(&group, "instance-two", &[&letters]).await;
    until(&mut [&mut one, &mut two], |s| s[0].len() == 2 && s[1].len() == 2 && s[0].union(s[1]).count() == 4).await;

    let described = one.bus.describe_groups(&[group.as_str().into()]).await.unwrap();
    let clients: BTreeSet<String> = described[0].members.as_ref().unwrap().iter().map(|m| m.client_id.clone()).collect();
    assert_eq!(clients, ["instance-one", "instance-two"].map(str::to_owned).into(), "members are known by their client id");
    assert!(one.bus.list_groups().await.unwrap().iter().all(|g| g.name.as_str() != group), "our own groups are hidden");

    // A new topic is shared too.
    for instance in [&mut one, &mut two] {
        instance.membership.set_topics(vec![letters.as_str().into(), more.as_str().into()]).await.unwrap();
    }
    until(&mut [&mut one, &mut two], |s| s[0].union(s[1]).count() == 6 && s[0].len() == 3 && s[1].len() == 3).await;

    // Leaving hands over at once, long before the session would end.
    let left = Instant::now();
    drop(two);
    until(&mut [&mut one], |s| s[0].len() == 6).await;
    assert!(left.elapsed() < PATIENCE);
    one.membership.set_topics(vec![]).await.unwrap();
    until(&mut [&mut one], |s| s[0].is_empty()).await;
}

/// The test starts itself a second time as the process that is frozen.
#[tokio::test]
async fn a_frozen_process_loses_its_share_after_the_session() {
    const NAME: &str = "bus::membership::a_frozen_process_loses_its_share_after_the_session";
    if let Ok(settings) = std::env::var("REDRIVE_TEST_MEMBER") {
        return be_a_member(&settings).await;
    }
    let kafka = shared();
    let topic = kafka.topic("frozen.DLT", 4, &[]).await;
    let group = unique("redrive-index");
    let mut other = std::process::Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env("REDRIVE_TEST_MEMBER", format!("{} {group} {topic}", kafka.bootstrap()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut one = Instance::join(&group, "awake", &[&topic]).await;
    until(&mut [&mut one], |s| s[0].len() == 2).await;

    let signal = |name: &str| std::process::Command::new("kill").args([name, &other.id().to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    let frozen = Instant::now();
    until(&mut [&mut one], |s| s[0].len() == 4).await;
    assert!(frozen.elapsed().as_secs() >= 5, "not before its session ended: {:?}", frozen.elapsed());
    // It wakes up and finds that it owns nothing until it has joined again.
    assert!(signal("-CONT").success());
    until(&mut [&mut one], |s| s[0].len() == 2).await;
    other.kill().unwrap();
    other.wait().unwrap();
}

async fn be_a_member(text: &str) {
    let [bootstrap, group, topic] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("three words") };
    let bus = KafkaBus::connect(super::settings(bootstrap, &[])).expect("a bus");
    let mut membership = bus.join(group, "frozen").await.expect("a member");
    membership.set_topics(vec![topic.into()]).await.expect("a subscription");
    loop {
        membership.changed().await.expect("a share");
    }
}
