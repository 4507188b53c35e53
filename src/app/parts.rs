//! From the configuration and an open store to running tasks.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{demo, first_start, watching};
use crate::access::{Access, Vault};
use crate::alerts::delivery::{Deliveries, DeliveryParts};
use crate::alerts::notify::courier::{self, Courier};
use crate::alerts::notify::guard::{Guard, SystemLookup};
use crate::alerts::receivers::Receivers;
use crate::config::Config;
use crate::demo::DemoBus;
use crate::jobs;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::changes::Changes;
use crate::operations::Operations;
use crate::operations::policy::Policies;
use crate::operations::replay::{ReplayParts, Replays};
use crate::otlp::{self, SharedIntake, StoreIntake};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::web::{self, DemoControls, WebParts, WebState};

/// Starts everything; returns as soon as it runs. Nothing here waits for a bus.
pub(super) async fn start(
    config: Config,
    lifecycle: &Lifecycle,
    store: Store,
    listener: TcpListener,
    shop: Option<&DemoBus>,
) -> anyhow::Result<()> {
    let context = jobs::Context {
        store: store.clone(),
        changes: Changes::new(),
        life: lifecycle.clone(),
        metrics: Metrics::new(),
        instance: jobs::Instance::new(&config.store.url),
    };
    store.tell_waits(context.metrics.clone());
    let listeners = otlp::listen(&config.otlp).await?;
    let buses = watching::connect_all(&config)?;
    let access = Access::new(store.clone(), config.auth.mode, context.changes.clone());
    first_start::announce(&access, &config).await.context("looking for users")?;
    let replays = Replays::new(ReplayParts {
        store: store.clone(),
        buses: watching::replay_buses(&config, &buses)?,
        changes: context.changes.clone(),
        life: lifecycle.clone(),
        holder: Arc::clone(&context.instance.client_id),
        shared: context.instance.shared,
    });
    let policies = Policies::new(store.clone(), replays.clone(), context.changes.clone());
    let deliveries = deliveries(&config, &context).await?;
    if let Some(shop) = shop {
        demo::tell_shop(deliveries.receivers(), &context.store, shop).await.context("the shop's receiver cannot be added")?;
    }
    let config = Arc::new(config);
    let state = WebState::new(WebParts {
        store,
        access,
        operations: Operations::new(buses.clone()),
        replays: replays.clone(),
        policies: policies.clone(),
        deliveries: deliveries.clone(),
        demo: shop.map(|shop| DemoControls { fixed: shop.fixed.clone(), inbox: shop.receiver.inbox.clone() }),
        changes: context.changes.clone(),
        config: Arc::clone(&config),
        metrics: context.metrics.clone(),
        lifecycle: lifecycle.clone(),
    });
    lifecycle.spawn("web", web::serve(listener, state));
    let intake: SharedIntake = Arc::new(StoreIntake::spawn(context.store.clone(), lifecycle));
    listeners.serve(Arc::clone(&intake), context.metrics.clone(), lifecycle);
    watching::start(&config, &context, &buses, policies, deliveries).await?;
    watching::read_spans(&config, &context, &buses, intake);
    replays.spawn();
    Ok(())
}

/// What brings notifications to their receivers.
async fn deliveries(config: &Config, context: &jobs::Context) -> anyhow::Result<Deliveries> {
    let vault = Vault::open(&config.secrets.key_file, &context.store).await?;
    let guard = Guard::new(config.notifications.allow_addresses.clone(), Arc::new(SystemLookup));
    let courier = Courier::new(guard.clone(), courier::DEADLINE).context("preparing the client for notifications")?;
    let receivers = Receivers::new(context.store.clone(), vault, guard, context.changes.clone());
    Ok(Deliveries::new(DeliveryParts {
        store: context.store.clone(),
        receivers,
        courier,
        changes: context.changes.clone(),
        life: context.life.clone(),
        external_url: config.http.public_url.as_ref().map(ToString::to_string).unwrap_or_default(),
        shared: context.instance.shared,
    }))
}
