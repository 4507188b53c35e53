//! Where the two engines differ. Statements are the same text on both; what cannot be said in the common subset is here, and two
//! functions that SQLite has built in (`hex`, `json_each` over a list) are made by PostgreSQL's first migration.

use sqlx::{PgPool, SqlitePool};

pub(super) mod bulk;

/// The open engine.
pub(super) enum Db {
    /// One file: many readers, and a writer pool of exactly one connection.
    Sqlite {
        /// Read-only connections.
        read: SqlitePool,
        /// The one writer.
        write: SqlitePool,
    },
    /// A server, shared by several instances.
    Postgres(PgPool),
}

impl Db {
    /// The engine's name on screens.
    pub(super) const fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// Runs one body for whichever engine is open, under the deadline for reads; `$pool` is the concrete pool inside.
macro_rules! read {
    ($store:expr, |$pool:ident| $body:expr) => {{
        let inner = &$store.inner;
        let work = async {
            Ok::<_, $crate::store::StoreError>(match &inner.db {
                $crate::store::dialect::Db::Sqlite { read: $pool, .. } => $body,
                $crate::store::dialect::Db::Postgres($pool) => $body,
            })
        };
        match tokio::time::timeout(inner.read_timeout, work).await {
            Ok(result) => result,
            Err(_) => Err($crate::store::StoreError::Unavailable(format!("no answer within {:?}", inner.read_timeout))),
        }
    }};
}

/// Runs one body inside a transaction of whichever engine is open and commits; `$tx` is the concrete connection. Leaving the body
/// early rolls back.
macro_rules! in_transaction {
    ($store:expr, |$tx:ident| $body:expr) => {{
        match &$store.inner.db {
            $crate::store::dialect::Db::Sqlite { write, .. } => {
                let mut transaction = $store.inner.begin(write, "other").await?;
                let $tx = &mut *transaction;
                let result = $body;
                transaction.commit().await?;
                result
            }
            $crate::store::dialect::Db::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                let $tx = &mut *transaction;
                let result = $body;
                transaction.commit().await?;
                result
            }
        }
    }};
}

/// Runs one statement that stands for itself on the writer; one that returns rows is `returned!`'s.
macro_rules! write_one {
    ($store:expr, |$pool:ident| $body:expr) => {
        match &$store.inner.db {
            $crate::store::dialect::Db::Sqlite { write: $pool, .. } => $body,
            $crate::store::dialect::Db::Postgres($pool) => $body,
        }
    };
}

/// Runs one statement that stands for itself on the writer, and answers how many rows it touched.
macro_rules! touched {
    ($store:expr, $query:expr) => {
        write_one!($store, |pool| $query.execute(pool).await.map(|done| done.rows_affected()))?
    };
}

/// Runs one statement that stands for itself and returns at most one row. Read to its end: SQLite commits such a statement after its
/// last row, and a commit that fails (a full disk) would go unseen by whoever stopped at the row.
macro_rules! returned {
    ($store:expr, $query:expr) => {
        write_one!($store, |pool| $query.fetch_all(pool).await.map(|rows| rows.into_iter().next()))
    };
}

/// Declares the statements of a file, and lists them for the test that prepares each on both engines.
macro_rules! statements {
    ($($(#[$doc:meta])* const $name:ident = $text:expr;)+) => {
        $($(#[$doc])* pub(in crate::store) const $name: &str = $text;)+
        /// Every statement of this file.
        pub(in crate::store) const STATEMENTS: &[(&str, &str)] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),+];
    };
}

/// Writes functions once for both engines, in the modules `on_sqlite` and `on_postgres`;
/// `Connection` is the engine's own.
macro_rules! engines {
    ($($functions:item)+) => {
        pub(in crate::store) mod on_sqlite {
            use super::*;
            use sqlx::SqliteConnection as Connection;
            $($functions)+
        }
        pub(in crate::store) mod on_postgres {
            use super::*;
            use sqlx::PgConnection as Connection;
            $($functions)+
        }
    };
}

/// Runs a function that [`engines`] made in this file, inside a transaction of the open engine, and commits.
macro_rules! write_on {
    ($store:expr, $function:ident ( $($argument:expr),* )) => {
        match &$store.inner.db {
            $crate::store::dialect::Db::Sqlite { write, .. } => {
                let mut transaction = $store.inner.begin(write, "other").await?;
                let result = on_sqlite::$function(&mut transaction, $($argument),*).await?;
                transaction.commit().await?;
                result
            }
            $crate::store::dialect::Db::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                let result = on_postgres::$function(&mut transaction, $($argument),*).await?;
                transaction.commit().await?;
                result
            }
        }
    };
}
