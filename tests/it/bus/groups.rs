//! Consumer groups of both protocols.

use redrive::bus::Bus;

use super::{bus, place};
use crate::harness::kafka::{Outgoing, shared, unique};

#[tokio::test]
async fn groups_of_both_protocols_are_listed_and_described_with_their_offsets() {
    let kafka = shared();
    let topic = kafka.topic("groups", 2, &[]).await;
    kafka.produce(&[Outgoing::to(&topic).partition(0).value("a"), Outgoing::to(&topic).partition(0).value("b")]).await;
    let (classic, modern, empty) = (unique("classic"), unique("modern"), unique("empty"));
    kafka.commit(&empty, &[(&topic, 0, 1), (&topic, 1, 0)]).await;
    let _classic = kafka.member(&classic, "classic", &[&topic], "app-1").await;
    let _modern = kafka.member(&modern, "consumer", &[&topic], "app-2").await;

    let bus = bus();
    let listed = bus.list_groups().await.unwrap();
    let kind = |group: &str| listed.iter().find(|g| g.name.as_str() == group).map(|g| (g.kind.as_str(), g.state.as_str()));
    assert_eq!(kind(&classic), Some(("classic", "Stable")));
    assert_eq!(kind(&modern), Some(("consumer", "Stable")));
    assert_eq!(kind(&empty), Some(("classic", "Empty")));

    let asked = [classic.as_str().into(), modern.as_str().into(), empty.as_str().into(), unique("missing").as_str().into()];
    let described = bus.describe_groups(&asked).await.unwrap();
    let members = |n: usize| described.iter().find(|d| d.listing.name == asked[n]).unwrap().members.clone();
    for (n, client_id) in [(0, "app-1"), (1, "app-2")] {
        let members = members(n).unwrap();
        assert_eq!((members.len(), members[0].client_id.as_str()), (1, client_id));
        assert_eq!(members[0].assignment, [(topic.as_str().into(), vec![0, 1])]);
    }
    assert_eq!(members(2), Ok(vec![]));

    let mut offsets = bus.committed_offsets(&asked[2]).await.unwrap();
    offsets.sort();
    assert_eq!(offsets, [(place(&topic, 0), 1), (place(&topic, 1), 0)]);
    assert_eq!(bus.committed_offsets(&asked[0]).await.unwrap(), [], "a member that has not committed");
}
