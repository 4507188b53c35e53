//! Two installations on one bus with the same id, because one store is a restored copy of the other: each says that it sees only a part.

use super::super::harness::kafka;
use super::super::harness::postgres;
use super::super::harness::redrive::{Redrive, Setup, http};
use super::corpus::letters;
use super::scene::Scene;

const CODE: &str = "stranger_in_index_group";

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_copy_of_the_store_that_is_served_too_is_an_error_on_the_first_page_and_in_readiness() {
    let (kafka, topic, database) = (kafka::shared(), kafka::unique("copied-lost"), postgres::database().await);
    kafka.create_topic(&topic, 2, &[]).await;
    kafka.produce(&letters(&topic, 2, 0, 100)).await;
    let section = super::only_topics(&topic);
    let prepare =
        |url: &str| -> Redrive { Setup::new().without_login().store(url).bus_with("prod", &kafka.bootstrap(), &section).prepare() };
    let mut first = prepare(database.url());
    let migrated = first.command(&["migrate"], "");
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let copy = database.copy().await;

    first.start().await;
    let mut scene = Scene::of(first, database.url().to_owned()).await;
    scene.until_stored(100).await;
    assert_eq!(scene.readiness().await, (true, vec![]));

    let mut second = prepare(copy.url());
    second.start().await;
    scene.until("readiness names the stranger", async |scene| scene.readiness().await == (false, vec![CODE.to_owned()])).await;
    let page = http().get(scene.redrive.url("/")).send().await.expect("it answers").text().await.expect("a page");
    assert!(page.contains("This instance is not ready") && page.contains("are not registered in this store"), "{page}");
    let ready = http().get(second.url("/health/ready")).send().await.expect("it answers").text().await.expect("a body");
    assert!(ready.contains(CODE), "the copy says it too: {ready}");

    assert!(second.stop().await.success());
    scene.until("it is ready again", async |scene| scene.readiness().await.0).await;
    assert!(scene.redrive.stop().await.success());
}
