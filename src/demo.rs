//! The simulated shop of `redrive demo`: services with real producers and consumer groups that fail the way real ones do and write
//! dead letters in the styles of seven frameworks. It is a client of the bus like any other: Redrive learns of it from the bus alone.
//!
//! The bus is librdkafka's in-process cluster, or a Kafka that somebody names. What the shop does: the storefront writes orders;
//! the order service checks them and asks for payment; the payment service charges and asks for shipping; shipping, billing,
//! notifications, fraud scoring and a warehouse connector work on what comes. About half a minute after the start the storefront
//! rolls out a wallet whose orders have no card token, and what follows spreads from service to service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::lifecycle::Lifecycle;
use crate::lifecycle::switch::Switch;
use crate::model::Timestamp;

mod cluster;
mod faults;
mod history;
mod incident;
mod orders;
mod outlet;
mod random;
mod receiver;
mod services;
mod spans;
mod storefront;
mod styles;
mod topics;
mod traces;
mod worker;

pub use receiver::DemoReceiver;

/// The bus the shop runs on. The in-process cluster ends when this is dropped.
#[derive(Debug)]
pub struct DemoBus {
    /// Where Redrive connects to.
    pub bootstrap_servers: String,
    /// Whether it is the in-process cluster, which lacks some operations, keeps nothing, and ends with the process.
    pub in_process: bool,
    /// The shop's consumer groups, for a bus that cannot list them.
    pub consumer_groups: Vec<&'static str>,
    /// Whether the fix of the payment service is deployed.
    pub fixed: Switch,
    /// Where the shop is told of alerts.
    pub receiver: DemoReceiver,
    _cluster: Option<cluster::InProcess>,
}

/// What all parts of the shop share.
#[derive(Clone)]
struct Shop {
    bootstrap_servers: String,
    outlet: outlet::Outlet,
    spans: Arc<spans::Spans>,
    opened_at: Timestamp,
    fixed: Switch,
}

impl Shop {
    /// How long the shop has been open.
    fn open_for(&self) -> Duration {
        self.opened_at.age_at(Timestamp::now())
    }
}

/// Starts the shop: on the in-process cluster, or on the Kafka at `bus` (`host:port`). Returns when its topics are there and the
/// failures of its past are written; everything else goes on in tasks of `lifecycle`. Its services send their spans to `spans_to`.
///
/// # Errors
/// When the cluster cannot be started, or the named Kafka does not answer or refuses to create topics.
pub async fn start(lifecycle: &Lifecycle, bus: Option<String>, spans_to: Option<&str>) -> anyhow::Result<DemoBus> {
    let (bootstrap_servers, cluster) = if let Some(servers) = bus {
        topics::create(&servers).await.with_context(|| format!("the topics of the demo cannot be created on {servers}"))?;
        (servers, None)
    } else {
        let cluster = cluster::InProcess::start().await.context("the in-process cluster does not start")?;
        (cluster.bootstrap_servers().to_owned(), Some(cluster))
    };
    let (outlet, fixed) = (outlet::Outlet::new(&bootstrap_servers)?, Switch::default());
    let spans = Arc::new(spans::Spans::start(spans_to)?);
    let shop =
        Arc::new(Shop { bootstrap_servers: bootstrap_servers.clone(), outlet, spans, opened_at: Timestamp::now(), fixed: fixed.clone() });
    history::write(&shop).await.context("the failures of the demo's past cannot be written")?;
    for service in services::SERVICES {
        lifecycle.spawn(service.task, worker::run(Arc::clone(&shop), service, lifecycle.soft().clone()));
    }
    lifecycle.spawn("demo: storefront", storefront::run(shop, lifecycle.soft().clone()));
    let receiver = DemoReceiver::start(lifecycle).await.context("the demo's receiver cannot listen")?;
    let consumer_groups = services::SERVICES.iter().map(|service| service.group).collect();
    Ok(DemoBus { bootstrap_servers, in_process: cluster.is_some(), consumer_groups, fixed, receiver, _cluster: cluster })
}
