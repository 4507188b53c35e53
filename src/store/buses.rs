//! State of the buses as last sampled, for every instance and page.

use super::error::contradiction;
use super::indexing::text_list;
use super::rows::clean;
use super::{Store, StoreError};
use std::collections::BTreeMap;

use crate::model::{BusId, BusKind, BusState, Capabilities, Capability, Timestamp};

statements! {
    const ADD = "insert into buses (bus, kind, configured, brokers, capabilities) values ($1, $2, true, 0, '{}') \
        on conflict (bus) do update set kind = excluded.kind, configured = true";
    const UNCONFIGURE = "update buses set configured = false where configured and bus not in (select value from json_each(cast($1 as text)))";
    const LIST = "select bus, kind, cluster_id, sampled_at, error, failing_since, brokers, capabilities, addresses, untracked_groups \
        from buses where configured order by bus";
    const FIND = "select bus, kind, cluster_id, sampled_at, error, failing_since, brokers, capabilities, addresses, untracked_groups from buses where bus = $1";
    const CLAIM = "update buses set cluster_id = $2 where bus = $1 and cluster_id is null";
    const CLAIMED = "select cluster_id from buses where bus = $1";
    const REACHED = "update buses set sampled_at = $2, error = null, failing_since = null, brokers = $3, capabilities = $4, \
        cluster_id = coalesce(cluster_id, $5), addresses = $6, untracked_groups = $7 where bus = $1";
    const FAILED = "update buses set error = $2, failing_since = coalesce(failing_since, $3) where bus = $1";
}

/// A sweep's verdict on a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepResult {
    /// Metadata and offsets were read.
    Reached {
        /// The cluster's id, where it tells one.
        cluster_id: Option<String>,
        /// Brokers seen.
        brokers: u32,
        /// Their addresses.
        addresses: Vec<String>,
        /// Consumer groups beyond those that are watched.
        untracked_groups: u64,
        /// What it cannot do.
        capabilities: Capabilities,
    },
    /// It failed, in words.
    Failed(String),
}

impl Store {
    /// Makes sure that a row stands for each configured bus, and marks the others as no longer configured.
    pub async fn register_buses(&self, buses: &[(BusId, BusKind)]) -> Result<(), StoreError> {
        let names: Vec<&str> = buses.iter().map(|(bus, _)| bus.as_str()).collect();
        let names = text_list(&names);
        in_transaction!(self, |tx| {
            for (bus, kind) in buses {
                sqlx::query(ADD).bind(bus.as_str()).bind(kind.code()).execute(&mut *tx).await?;
            }
            sqlx::query(UNCONFIGURE).bind(&names).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// The configured buses, by id.
    pub async fn list_buses(&self) -> Result<Vec<BusState>, StoreError> {
        let rows: Vec<BusRow> = read!(self, |pool| sqlx::query_as(LIST).fetch_all(pool).await?)?;
        rows.into_iter().map(BusRow::into_state).collect()
    }

    /// One bus.
    pub async fn find_bus(&self, bus: &BusId) -> Result<Option<BusState>, StoreError> {
        let row: Option<BusRow> = read!(self, |pool| sqlx::query_as(FIND).bind(clean(bus.as_str())).fetch_optional(pool).await?)?;
        row.map(BusRow::into_state).transpose()
    }

    /// Stores the cluster's id the first time; `Err(other)` inside `Ok` when another cluster's id is stored already, which must be refused.
    pub async fn claim_cluster(&self, bus: &BusId, cluster_id: &str) -> Result<Result<(), String>, StoreError> {
        write_one!(self, |pool| sqlx::query(CLAIM).bind(bus.as_str()).bind(clean(cluster_id)).execute(pool).await.map(|_| ()))?;
        let row: Option<(Option<String>,)> = returned!(self, sqlx::query_as(CLAIMED).bind(bus.as_str()))?;
        let stored = row.and_then(|(stored,)| stored).ok_or_else(|| contradiction(format!("bus {bus}")))?;
        Ok(if stored == clean(cluster_id) { Ok(()) } else { Err(stored) })
    }

    /// Stores how a sweep ended; `failing_since` is kept over consecutive failures.
    pub async fn record_sweep(&self, bus: &BusId, result: &SweepResult, now: Timestamp) -> Result<(), StoreError> {
        let now = now.as_millis();
        match result {
            SweepResult::Reached { cluster_id, brokers, addresses, untracked_groups, capabilities } => {
                let capabilities = capabilities_to_json(capabilities);
                let addresses = text_list(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
                let (brokers, cluster_id) = (i32::try_from(*brokers).unwrap_or(i32::MAX), cluster_id.as_deref().map(clean));
                write_one!(self, |pool| sqlx::query(REACHED)
                    .bind(bus.as_str())
                    .bind(now)
                    .bind(brokers)
                    .bind(&capabilities)
                    .bind(cluster_id)
                    .bind(&addresses)
                    .bind(i64::try_from(*untracked_groups).unwrap_or(i64::MAX))
                    .execute(pool)
                    .await
                    .map(|_| ()))?;
            }
            SweepResult::Failed(reason) => {
                write_one!(self, |pool| sqlx::query(FAILED)
                    .bind(bus.as_str())
                    .bind(clean(reason))
                    .bind(now)
                    .execute(pool)
                    .await
                    .map(|_| ()))?;
            }
        }
        Ok(())
    }
}

#[derive(sqlx::FromRow)]
struct BusRow {
    bus: String,
    kind: i16,
    cluster_id: Option<String>,
    sampled_at: Option<i64>,
    error: Option<String>,
    failing_since: Option<i64>,
    brokers: i32,
    capabilities: String,
    addresses: String,
    untracked_groups: i64,
}

impl BusRow {
    fn into_state(self) -> Result<BusState, StoreError> {
        let kind = BusKind::from_code(self.kind).ok_or_else(|| contradiction(format!("bus kind {}", self.kind)))?;
        Ok(BusState {
            id: BusId::new(self.bus),
            kind,
            cluster_id: self.cluster_id,
            sampled_at: self.sampled_at.map(Timestamp::from_millis),
            error: self.error,
            failing_since: self.failing_since.map(Timestamp::from_millis),
            brokers: self.brokers.unsigned_abs(),
            capabilities: capabilities_from_json(&self.capabilities)?,
            addresses: serde_json::from_str(&self.addresses).map_err(|error| contradiction(format!("addresses of brokers: {error}")))?,
            untracked_groups: self.untracked_groups.unsigned_abs(),
        })
    }
}

/// Reasons by the capability's word.
fn capabilities_to_json(capabilities: &Capabilities) -> String {
    let words: BTreeMap<&str, &str> = capabilities.unavailable.iter().map(|(what, why)| (what.as_str(), why.as_str())).collect();
    serde_json::to_string(&words).expect("a map of strings is JSON")
}

fn capabilities_from_json(text: &str) -> Result<Capabilities, StoreError> {
    let words: BTreeMap<String, String> = serde_json::from_str(text).map_err(|error| contradiction(format!("capabilities: {error}")))?;
    let unavailable = words.into_iter().filter_map(|(what, why)| Some((what.parse::<Capability>().ok()?, why))).collect();
    Ok(Capabilities { unavailable })
}
