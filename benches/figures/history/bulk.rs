//! Rows of figures straight into the file, many at a time and without waiting for the disk.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

/// Rows of one statement.
const ROWS: usize = 100;
/// Statements of one transaction, about.
const STATEMENTS: usize = 2_000;

/// The file's only writer.
pub(super) struct Bulk {
    connection: SqliteConnection,
    statements: usize,
}

impl Bulk {
    pub(super) async fn open(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .pragma("cache_size", "-1500000");
        let mut connection = SqliteConnection::connect_with(&options).await.expect("the file");
        connection.execute("begin").await.expect("alone");
        Self { connection, statements: 0 }
    }

    pub(super) async fn close(mut self) {
        self.connection.execute("commit").await.expect("written");
        self.connection.close().await.expect("closed");
    }

    /// Ids of all series, in the order in which they were made.
    pub(super) async fn series(&mut self) -> Vec<i64> {
        let rows: Vec<(i64,)> = sqlx::query_as("select id from series order by id").fetch_all(&mut self.connection).await.expect("read");
        rows.into_iter().map(|(id,)| id).collect()
    }

    pub(super) async fn forget_frames(&mut self) {
        self.connection.execute("delete from figure_frames").await.expect("deleted");
    }

    pub(super) async fn minutes<'a>(&mut self, hour: i64, rows: impl Iterator<Item = (i64, &'a [u8])>) {
        self.insert("insert into figure_minutes (series_id, hour, buckets) ", hour, rows.collect()).await;
    }

    pub(super) async fn hours<'a>(&mut self, day: i64, rows: impl Iterator<Item = (i64, &'a [u8])>) {
        self.insert("insert into figure_hours (series_id, day, buckets) ", day, rows.collect()).await;
    }

    async fn insert(&mut self, head: &str, number: i64, rows: Vec<(i64, &[u8])>) {
        for some in rows.chunks(ROWS) {
            let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(head);
            query.push_values(some, |mut row, (id, buckets)| {
                row.push_bind(*id).push_bind(number).push_bind(*buckets);
            });
            query.build().execute(&mut self.connection).await.expect("inserted");
            self.ran().await;
        }
    }

    pub(super) async fn frame(&mut self, source: &str, at: i64, covers_ms: i64, rolled: bool, points: &[u8]) {
        sqlx::query("insert into figure_frames (source, taken_at, covers_ms, rolled, points) values ($1, $2, $3, $4, $5)")
            .bind(source)
            .bind(at)
            .bind(covers_ms)
            .bind(rolled)
            .bind(points)
            .execute(&mut self.connection)
            .await
            .expect("inserted");
        self.ran().await;
    }

    pub(super) async fn snapshot(&mut self, source: &str, at: i64, state: &[u8]) {
        sqlx::query("insert into figure_snapshots (source, taken_at, state) values ($1, $2, $3)")
            .bind(source)
            .bind(at)
            .bind(state)
            .execute(&mut self.connection)
            .await
            .expect("inserted");
        self.ran().await;
    }

    /// The newest frame, and the hour before which everything is rolled up.
    pub(super) async fn reached(&mut self, source: &str, at: i64, until: i64) {
        let moved = sqlx::query("update figure_sources set taken_at = $2 where source = $1").bind(source).bind(at);
        moved.execute(&mut self.connection).await.expect("updated");
        let rolled = sqlx::query("update figure_rollup set until_hour = $1").bind(until);
        rolled.execute(&mut self.connection).await.expect("updated");
    }

    async fn ran(&mut self) {
        self.statements += 1;
        if self.statements.is_multiple_of(STATEMENTS) {
            self.connection.execute("commit; begin").await.expect("written");
        }
    }
}

/// A connection beside the store's own.
pub(super) async fn reading(file: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file).read_only(true)).await.expect("the file")
}

/// Minutes of an hour, by series.
pub(super) async fn minutes_of(reading: &mut SqliteConnection, hour: i64) -> Vec<(i64, Vec<u8>)> {
    let query = sqlx::query_as("select series_id, buckets from figure_minutes where hour = $1 order by series_id").bind(hour);
    query.fetch_all(reading).await.expect("read")
}

/// Hours of a day, by series.
pub(super) async fn hours_of(reading: &mut SqliteConnection, day: i64) -> Vec<(i64, Vec<u8>)> {
    let query = sqlx::query_as("select series_id, buckets from figure_hours where day = $1 order by series_id").bind(day);
    query.fetch_all(reading).await.expect("read")
}

/// Says of a bus that nobody looks at, twice a second, that it was just read; until it is dropped.
pub(crate) struct Answering(tokio::task::JoinHandle<()>);

impl Answering {
    pub(crate) async fn of(file: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
        let mut connection = SqliteConnection::connect_with(&options).await.expect("the file");
        #[expect(clippy::disallowed_methods, reason = "stands for a sampler, and is no task of the house")]
        Self(tokio::spawn(async move {
            loop {
                let now = redrive::model::Timestamp::now().as_millis();
                for said in
                    ["update buses set sampled_at = $1, error = null, failing_since = null", "update consumer_groups set sampled_at = $1"]
                {
                    sqlx::query(said).bind(now).execute(&mut connection).await.expect("updated");
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Bytes in each table, without what pages lose.
pub(crate) async fn bytes_of(file: &Path) -> String {
    let mut reading = reading(file).await;
    let mut words = Vec::new();
    for (name, statement) in [
        ("frames", "select cast(coalesce(sum(length(points)), 0) as integer) from figure_frames"),
        ("minutes", "select cast(coalesce(sum(length(buckets)), 0) as integer) from figure_minutes"),
        ("hours", "select cast(coalesce(sum(length(buckets)), 0) as integer) from figure_hours"),
        ("ends", "select cast(coalesce(sum(length(state)), 0) as integer) from figure_snapshots"),
    ] {
        let (bytes,): (i64,) = sqlx::query_as(statement).fetch_one(&mut reading).await.expect("read");
        words.push(format!("{name} {}", bytes / 1_000_000));
    }
    words.join(", ")
}
