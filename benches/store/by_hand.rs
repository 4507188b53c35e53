//! The baseline: one plain table with one index, bytes as they are, as a team would write it in an afternoon.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::{Connection, SqliteConnection};

use crate::letters::Feed;
use crate::measure::{Times, times};
use crate::report::per_second;
use crate::{BATCH, Outcome};

const LETTERS: usize = 100_000;

/// What plain statements take on a table of so many dead letters.
pub(crate) struct ByHand {
    /// Insertions per second.
    pub(crate) inserted: f64,
    /// Bytes of the file per dead letter.
    pub(crate) bytes_each: u64,
    /// The newest fifty.
    pub(crate) list: Times,
    /// Numbers by exception class, with the first and last time.
    pub(crate) groups: Times,
    /// Numbers by half-hour.
    pub(crate) arrivals: Times,
    /// One row.
    pub(crate) one: Times,
    /// `like` over all values and headers, without a match.
    pub(crate) search: Duration,
}

impl ByHand {
    /// Names the size of the table beside a figure.
    pub(crate) fn of(figure: &Times) -> String {
        format!("{} (of {}k)", figure.short(), LETTERS / 1_000)
    }
}

/// Fills the table and asks it.
pub(crate) async fn measure(path: &Path) -> Outcome<ByHand> {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let table = "create table letters (id integer primary key, topic text, part integer, pos bigint, failed_at bigint, class text, \
        message text, key blob, value blob, headers blob, unique (part, pos))";
    sqlx::query(table).execute(&mut connection).await?;
    sqlx::query("create index letters_by_time on letters (failed_at)").execute(&mut connection).await?;
    let inserted = per_second(LETTERS, fill(&mut connection).await?);
    let bytes_each = std::fs::metadata(path)?.len() / LETTERS as u64;
    let list = "select id, topic, part, pos, failed_at, class, message, key from letters order by failed_at desc limit 50";
    let groups = "select class, count(*), min(failed_at), max(failed_at) from letters group by class";
    let arrivals = "select failed_at / 1800000 as bucket, count(*) from letters group by bucket";
    let began = Instant::now();
    let search = "select count(*) from letters where value like '%zanzibar%' or headers like '%zanzibar%'";
    sqlx::query(search).fetch_all(&mut connection).await?;
    let search = began.elapsed();
    Ok(ByHand {
        inserted,
        bytes_each,
        list: ask(&mut connection, list).await?,
        groups: ask(&mut connection, groups).await?,
        arrivals: ask(&mut connection, arrivals).await?,
        one: ask(&mut connection, "select * from letters where id = 50000").await?,
        search,
    })
}

async fn ask(connection: &mut SqliteConnection, statement: &'static str) -> Outcome<Times> {
    let mut spent = Vec::new();
    let began = Instant::now();
    while spent.len() < 100 && began.elapsed() < Duration::from_secs(2) {
        let began = Instant::now();
        sqlx::query(statement).fetch_all(&mut *connection).await?;
        spent.push(began.elapsed());
    }
    Ok(times(spent))
}

async fn fill(connection: &mut SqliteConnection) -> Outcome<Duration> {
    let mut feed = Feed::new(vec![1, 2, 3, 4]);
    let mut spent = Duration::ZERO;
    for _ in 0..LETTERS / BATCH {
        let batch = feed.batch(BATCH);
        let began = Instant::now();
        let mut tx = connection.begin().await?;
        for some in batch.letters.chunks(500) {
            let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(
                "insert into letters (topic, part, pos, failed_at, class, message, key, value, headers) ",
            );
            query.push_values(some, |mut row, (partition, letter)| {
                let headers = letter.record.headers.iter();
                let headers: Vec<u8> =
                    headers.flat_map(|header| header.name.iter().chain(header.value.iter().flatten()).copied()).collect();
                row.push_bind("orders.DLT")
                    .push_bind(*partition)
                    .push_bind(letter.record.offset)
                    .push_bind(letter.failed_at.as_millis())
                    .push_bind(letter.failure.exception_class.clone())
                    .push_bind(letter.failure.message.clone())
                    .push_bind(letter.record.key.as_deref().map(<[u8]>::to_vec))
                    .push_bind(letter.record.value.as_deref().map(<[u8]>::to_vec))
                    .push_bind(headers);
            });
            query.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        spent += began.elapsed();
    }
    Ok(spent)
}
