//! `/buses`: the configured buses, how fresh what we know of them is, and what each cannot do.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::Error;
use super::super::extract::Viewer;
use crate::model::bus::Capability;
use crate::model::{BusState, Timestamp};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The configured buses.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct BusList {
    items: Vec<Bus>,
    /// Always null: all of them are answered.
    next_cursor: Option<String>,
}

/// Lists the configured buses, by id.
#[utoipa::path(get, path = "/buses", tag = "buses", responses((status = 200, body = BusList)))]
async fn list(_: Viewer, State(state): State<WebState>) -> Result<Json<BusList>, Error> {
    let items = state.store().list_buses().await?.into_iter().map(Into::into).collect();
    Ok(Json(BusList { items, next_cursor: None }))
}

/// A configured bus.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct Bus {
    /// Its id.
    id: String,
    /// Its kind: `kafka`.
    kind: &'static str,
    /// `reachable`, `unreachable`, or `unknown` while it was never read.
    state: &'static str,
    /// The cluster's own id, where it tells one.
    cluster_id: Option<String>,
    /// Brokers seen at the last successful read.
    brokers: u32,
    /// When metadata and offsets were last read with success.
    #[schema(value_type = Option<String>, format = DateTime)]
    sampled_at: Option<Timestamp>,
    /// Why the last try failed.
    error: Option<String>,
    /// Since when it has been failing.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// What it can do for us, and why not.
    capabilities: Vec<BusCapability>,
}

/// Something a bus may or may not be able (or allow us) to do.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct BusCapability {
    /// What: `list_groups`, `describe_groups`, `delete_records`, `transactions`, `read_configs`, `random_read`,
    /// `offsets_for_times`, `topic_ids`.
    capability: &'static str,
    /// Whether it is there, as far as has been found out.
    available: bool,
    /// Why it is not, in words.
    reason: Option<String>,
}

impl From<BusState> for Bus {
    fn from(bus: BusState) -> Self {
        let state = match (&bus.error, bus.sampled_at) {
            (Some(_), _) => "unreachable",
            (None, Some(_)) => "reachable",
            (None, None) => "unknown",
        };
        let capability = |&capability: &Capability| {
            let reason = bus.capabilities.reason_against(capability).map(str::to_owned);
            BusCapability { capability: capability.as_str(), available: reason.is_none(), reason }
        };
        let capabilities = Capability::ALL.iter().map(capability).collect();
        Self {
            id: bus.id.to_string(),
            kind: bus.kind.as_str(),
            state,
            cluster_id: bus.cluster_id,
            brokers: bus.brokers,
            sampled_at: bus.sampled_at,
            error: bus.error,
            failing_since: bus.failing_since,
            capabilities,
        }
    }
}
