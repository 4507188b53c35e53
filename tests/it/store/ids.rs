//! Ids that are named outside are given once, and a store of the version that did not see to it keeps all that it holds.

use std::time::Duration;

use redrive::model::Timestamp;
use redrive::store::{Store, StoreSettings};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tempfile::TempDir;

use super::{World, on_both_engines};
use crate::harness::postgres;

/// Tables with ids that are named outside and rows that can be removed, with a row; `{n}` makes it another one.
const ROWS: [(&str, &str); 6] = [
    (
        "receivers",
        "(name, kind, host, sealed, failing_since, gone_at, delivered_at, created_by, created_at, changed_at) \
         values ('hook {n}', 0, 'example.com', {bytes}, 1, 2, 3, 'user:ann', 4, 5)",
    ),
    (
        "alert_rules",
        "(name, enabled, terms, created_by, created_at, changed_at) \
         values ('Rule {n}', true, '{\"receivers\": [1, 6]}', 'user:ann', 1, 2)",
    ),
    (
        "alerts",
        "(rule_id, fingerprint, state, severity, bus, topic, consumer_group, labels, standing, details, started_at, resolved_at, \
         silenced_by, inhibited_by, acknowledged_by, acknowledged_at, acknowledged_note, acknowledged_until, first_acknowledged_at) \
         values (8, 'f{n}', 2, 1, 'prod', 'orders', 'billing', '{}', '{}', '{}', 1, 2, 9, 10, 'ann', 3, 'mine', 4, 5)",
    ),
    ("silences", "(matchers, comment, starts_at, ends_at, created_by, created_at) values ('[]', 'Move {n}', 1, 2, 'user:ann', 3)"),
    (
        "replay_policies",
        "(name, enabled, terms, watch_from, opened, open_until, gave_up_at, state_text, counted_from, judged, created_by, created_at, \
         changed_at) values ('Policy {n}', true, '{}', 1, 2, 3, 4, 'well', 5, 6, 'user:ann', 7, 8)",
    ),
    (
        "users",
        "(username, username_key, password_hash, role, created_at, last_login_at, disabled_at) \
         values ('Ann {n}', 'ann {n}', 'hash', 2, 1, 2, 3)",
    ),
];

fn row(table: &str, values: &str, number: i64, postgres: bool) -> String {
    let bytes = if postgres { "'\\x0102'" } else { "x'0102'" };
    format!("insert into {table} {}", values.replace("{n}", &number.to_string()).replace("{bytes}", bytes))
}

async fn what_was_removed_leaves_its_id_to_nobody(world: World) {
    for (table, values) in ROWS {
        let newest = format!("select max(id) from {table}");
        for number in 1..=2 {
            world.run(&row(table, values, number, world.is_postgres())).await;
        }
        let removed = world.number(&newest).await;
        world.run(&format!("delete from {table} where id = {removed}")).await;
        world.run(&row(table, values, 3, world.is_postgres())).await;
        assert!(world.number(&newest).await > removed, "{table} gives {removed} to another");
    }
    let fresh = world.store.installation().await.expect("known");
    assert_eq!((fresh.marked_since, fresh.id), (Timestamp::from_millis(0), world.store.installation_id().await.expect("an id")));
}

on_both_engines! {
    what_was_removed_leaves_its_id_to_nobody
}

/// The migrations before ids were given once, in a folder of their own.
fn before(engine: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for entry in std::fs::read_dir(format!("{}/migrations/{engine}", env!("CARGO_MANIFEST_DIR"))).expect("migrations") {
        let entry = entry.expect("a migration");
        if entry.file_name().to_string_lossy().as_ref() < "0033" {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
        }
    }
    folder
}

/// Two rows of each table, a session, and a delivery to a receiver that was removed.
fn data(postgres: bool) -> String {
    let rows = ROWS.iter().flat_map(|(table, values)| (1..=2).map(|number| row(table, values, number, postgres)));
    let bytes = if postgres { "'\\x0a'" } else { "x'0a'" };
    let others = [
        format!("insert into sessions (secret_hash, user_id, created_at, last_seen_at) values ({bytes}, 2, 1, 2)"),
        "insert into deliveries (id, receiver_id, receiver_name, kind, subject, reason, status, title, alerts, notification, state, \
         created_at, next_at, give_up_at, attempts, epoch, uncertain) \
         values ('0198', 5, 'gone', 0, 's', 'first', 'firing', 't', 0, '{}', 4, 1, 1, 1, 0, 0, false)"
            .to_owned(),
    ];
    rows.chain(others).map(|statement| statement + ";").collect()
}

fn settings(url: &str) -> StoreSettings {
    StoreSettings { url: url.to_owned(), max_bytes: None, read_timeout: Duration::from_mins(1) }
}

/// What began until then was told without the mark.
async fn is_marked_from_now_on(store: &Store) {
    let since = store.installation().await.expect("known").marked_since;
    assert_eq!(since, Timestamp::from_millis(2), "the newest alert began at 1");
}

/// Lines that a query answers.
async fn lines(pool: &SqlitePool, query: &str) -> Vec<String> {
    let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(query.to_owned())).fetch_all(pool).await.expect("lines");
    rows.into_iter().map(|(line,)| line).collect()
}

/// What the tables hold in the columns that they had before, and how they are made: columns, indexes, references.
async fn all_of(pool: &SqlitePool, columns: &[(String, String)]) -> Vec<String> {
    let mut all = Vec::new();
    for (table, columns) in columns {
        all.extend(lines(pool, &format!("select {columns} from {table} order by 1")).await);
        let made = "cid || name || type || \"notnull\" || coalesce(dflt_value, '-') || pk";
        all.extend(lines(pool, &format!("select {made} from pragma_table_info('{table}') where name not in ('had_by')")).await);
        all.extend(
            lines(pool, &format!("select \"table\" || \"from\" || \"to\" || on_delete from pragma_foreign_key_list('{table}')")).await,
        );
        let indexes = format!(
            "select i.name || i.\"unique\" || i.origin || coalesce(m.sql, group_concat(c.name)) from pragma_index_list('{table}') i \
             join pragma_index_info(i.name) c left join sqlite_master m on m.name = i.name group by i.name order by i.name"
        );
        all.extend(lines(pool, &indexes).await);
    }
    all
}

#[tokio::test]
async fn an_older_sqlite_store_keeps_everything_and_gives_no_id_that_is_still_named() {
    let (folder, migrations) = (tempfile::tempdir().expect("a scratch folder"), before("sqlite"));
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    let pool = SqlitePool::connect(&format!("{url}?mode=rwc")).await.expect("a database");
    Migrator::new(migrations.path()).await.expect("migrations").run(&pool).await.expect("an older schema");
    sqlx::raw_sql(AssertSqlSafe(data(false))).execute(&pool).await.expect("inserted");
    let mut columns = Vec::new();
    for table in ROWS.iter().map(|(table, _)| *table).chain(["sessions", "deliveries"]) {
        let names = lines(&pool, &format!("select 'quote(' || name || ')' from pragma_table_info('{table}')")).await;
        columns.push((table.to_owned(), names.join(" || ',' || ")));
    }
    let held = all_of(&pool, &columns).await;
    pool.close().await;

    let store = Store::open(&settings(&url)).await.expect("an older store opens");
    is_marked_from_now_on(&store).await;
    let pool = SqlitePool::connect(&url).await.expect("a database");
    assert_eq!(all_of(&pool, &columns).await, held);
    assert_eq!(lines(&pool, "select \"table\" from pragma_foreign_key_check").await, Vec::<String>::new());
    assert_eq!(lines(&pool, "select * from pragma_integrity_check").await, ["ok"]);
    assert_eq!(lines(&pool, "select name from sqlite_master where name like '%anew' or name like '%aside'").await, Vec::<String>::new());
    // Named by a rule, by alerts, or in use.
    for ((table, values), next) in ROWS.iter().zip([7, 9, 11, 10, 3, 3]) {
        sqlx::raw_sql(AssertSqlSafe(row(table, values, 3, false))).execute(&pool).await.expect("added");
        assert_eq!(lines(&pool, &format!("select cast(max(id) as text) from {table}")).await, [next.to_string()], "{table}");
    }
    pool.close().await;
    store.close().await;
}

#[tokio::test]
async fn an_older_postgresql_store_keeps_everything() {
    let (database, migrations) = (postgres::database().await, before("postgres"));
    let pool = PgPool::connect(database.url()).await.expect("a database");
    Migrator::new(migrations.path()).await.expect("migrations").run(&pool).await.expect("an older schema");
    sqlx::raw_sql(AssertSqlSafe(data(true))).execute(&pool).await.expect("inserted");
    let held = async || {
        let mut all = Vec::new();
        for (table, _) in ROWS {
            let rows: Vec<(String,)> =
                sqlx::query_as(AssertSqlSafe(format!("select t::text from {table} t order by id"))).fetch_all(&pool).await.expect("rows");
            all.extend(rows);
        }
        all
    };
    let before = held().await;
    let store = Store::open(&settings(database.url())).await.expect("an older store opens");
    is_marked_from_now_on(&store).await;
    assert_eq!((held().await, before.len()), (before.clone(), 12));
    store.close().await;
    pool.close().await;
}
