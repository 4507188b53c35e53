//! Opening, and stores that cannot be used.

use std::time::Duration;

use redrive::store::indexing::{Advance, IndexBatch};
use redrive::store::{Store, StoreError};
use sqlx::Connection;

use super::letters::letter;
use super::{Ground, START, World, on_both_engines};

async fn an_installation_keeps_its_id_and_migrates_once(world: World) {
    let id = world.store.installation_id().await.expect("an id");
    assert_eq!(id.len(), 16);
    world.store.check().await.expect("can be written");
    let beside = world.beside().await;
    assert_eq!(beside.installation_id().await.expect("an id"), id);
    beside.close().await;
    let usage = world.store.usage().await.expect("usage");
    assert!(usage.used_bytes > 10_000);
    assert_eq!(usage.disk_free_bytes.is_some_and(|free| free > 0), matches!(world.ground, Ground::Folder(_)));
    assert_eq!((usage.dead_letters, usage.oldest), (0, None));
    let World { store, settings, ground } = world;
    store.close().await;
    drop(store);
    assert_eq!(Store::migrate(&settings).await.expect("migrated"), Vec::<i64>::new());
    drop(ground);
}

async fn a_newer_schema_is_refused_in_words(world: World) {
    let add = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', true, ";
    let World { store, settings, ground } = world;
    store.close().await;
    drop(store);
    match &ground {
        Ground::Folder(_) => {
            let mut connection = sqlx::SqliteConnection::connect(&settings.url).await.expect("connected");
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{add} x'00', 0)"))).execute(&mut connection).await.expect("added");
            connection.close().await.expect("closed");
        }
        Ground::Database(database) => drop(database.query(&format!("{add} '\\x00', 0)")).await),
    }
    let refused = Store::open(&settings).await.expect_err("a newer schema");
    assert!(matches!(refused, StoreError::NewerSchema(_)), "{refused}");
    assert!(refused.to_string().contains("newer Redrive"), "{refused}");
}

async fn a_store_that_turns_read_only_says_so_and_keeps_the_position(world: World) {
    let partition = world.dead_letter_topic("prod", "orders.DLT", 1).await[0];
    let batch = || IndexBatch {
        bus: "prod".into(),
        advances: vec![Advance { partition_id: partition, expected: 0, next: 1, gap: None }],
        letters: vec![(partition, letter(0, START))],
    };
    let Ground::Database(database) = &world.ground else {
        let mut other = sqlx::SqliteConnection::connect(&world.settings.url).await.expect("connected");
        sqlx::raw_sql("begin immediate").execute(&mut other).await.expect("locked");
        let held = world.store.record_index_batch(batch(), START).await.expect_err("another writer holds the file");
        assert!(matches!(held, StoreError::Unavailable(_)), "{held}");
        sqlx::raw_sql("rollback").execute(&mut other).await.expect("unlocked");
        assert_eq!(world.store.list_positions(&[partition]).await.expect("positions")[0].next, 0);
        world.store.record_index_batch(batch(), START).await.expect("goes on when it is back");
        return;
    };
    database.set_read_only(true).await;
    let refused = loop {
        // Connections that were cut are found out one by one.
        match world.store.record_index_batch(batch(), START).await {
            Err(StoreError::Unavailable(_)) => {}
            other => break other.expect_err("read-only"),
        }
    };
    assert!(matches!(refused, StoreError::ReadOnly(_)), "{refused}");
    assert!(matches!(world.store.check().await, Err(StoreError::ReadOnly(_))));
    assert_eq!(world.store.list_positions(&[partition]).await.expect("positions")[0].next, 0);
    database.set_read_only(false).await;
    database.set_reachable(false).await;
    let gone = world.store.record_index_batch(batch(), START).await.expect_err("unreachable");
    assert!(matches!(gone, StoreError::Unavailable(_)), "{gone}");
    database.set_reachable(true).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while let Err(error) = world.store.record_index_batch(batch(), START).await {
        assert!(std::time::Instant::now() < deadline, "{error}");
    }
    assert_eq!(world.store.list_positions(&[partition]).await.expect("positions")[0].next, 1);
}

on_both_engines! {
    an_installation_keeps_its_id_and_migrates_once
    a_newer_schema_is_refused_in_words
    a_store_that_turns_read_only_says_so_and_keeps_the_position
}

#[tokio::test]
async fn a_file_that_is_served_is_refused_and_free_when_the_server_is_gone() {
    let world = World::sqlite().await;
    let refused = Store::open(&world.settings).await.expect_err("is served");
    assert!(matches!(&refused, StoreError::InUse(text) if text.contains("redrive.db")), "{refused}");
    let beside = world.beside().await;
    beside.add_user("ada", "hash", redrive::model::Role::Admin, START).await.expect("a command may write");
    assert!(world.store.has_users().await.expect("an answer"));
    beside.close().await;
    world.store.close().await;
    let World { store, settings, ground } = world;
    drop(store);
    // A process that another test is about to start holds what is open here until it has begun.
    let mut again = Store::open(&settings).await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        again = Store::open(&settings).await;
    }
    let again = again.expect("is free");
    assert!(again.has_users().await.expect("an answer"));
    again.close().await;
    drop(ground);
}

#[tokio::test]
async fn a_full_disk_and_a_read_only_file_are_told_apart() {
    let world = World::sqlite().await;
    let mut connection = sqlx::SqliteConnection::connect(&world.settings.url).await.expect("connected");
    sqlx::raw_sql("pragma max_page_count = 1").execute(&mut connection).await.expect("limited");
    let large = "insert into stack_traces (hash, uses, body) values (x'00', 0, zeroblob(1000000))";
    let full = sqlx::raw_sql(large).execute(&mut connection).await.expect_err("no page may be added");
    assert!(matches!(StoreError::from(full), StoreError::Full(_)));
    sqlx::raw_sql("pragma query_only = true").execute(&mut connection).await.expect("limited");
    let refused = sqlx::raw_sql(large).execute(&mut connection).await.expect_err("nothing may be written");
    assert!(matches!(StoreError::from(refused), StoreError::ReadOnly(_)));
}

#[tokio::test]
async fn a_file_that_cannot_be_made_or_is_no_database_is_said() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let settings = |url: String| redrive::store::StoreSettings { url, max_bytes: None, read_timeout: std::time::Duration::from_secs(5) };
    let missing = settings(format!("sqlite:{}/nowhere/redrive.db", folder.path().display()));
    assert!(matches!(Store::open(&missing).await, Err(StoreError::Unavailable(_))));
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "no database at all, but long enough to be looked at ".repeat(100)).expect("written");
    assert!(matches!(Store::open(&settings(format!("sqlite:{}", garbage.display()))).await, Err(StoreError::Broken(_))));
    assert!(matches!(Store::open(&settings("mysql://x".to_owned())).await, Err(StoreError::Broken(_))));
}
