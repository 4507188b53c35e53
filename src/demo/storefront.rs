//! The storefront: writes orders, more or fewer by the minute, and now and then one that its old importer cut off.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::orders::Order;
use super::outlet::{Letter, Place};
use super::random::Random;
use super::spans::{STOREFRONT, Working};
use super::styles::Headers;
use super::worker::owned;
use super::{Shop, incident, topics};

/// Between two orders on average.
const PAUSE_MS: u64 = 85;

/// Orders in a thousand that the importer cuts off.
const CUT_OFF: u64 = 4;

pub(super) async fn run(shop: Arc<Shop>, soft: CancellationToken) -> anyhow::Result<()> {
    let mut random = Random::new(shop.opened_at.as_millis().unsigned_abs());
    loop {
        let pause = Duration::from_millis(PAUSE_MS / 3 + random.below(PAUSE_MS * 4 / 3));
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        let order = Order::random(&mut random, incident::orders_without_token(shop.open_for()));
        let written = tokio::select! {
            () = soft.cancelled() => return Ok(()),
            written = place(&shop, &mut random, &order) => written,
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the storefront's order did not arrive; it goes on");
        }
    }
}

async fn place(shop: &Shop, random: &mut Random, order: &Order) -> anyhow::Result<Place> {
    let mut value = order.to_json();
    if random.permille(CUT_OFF) {
        value.truncate(value.len() * 2 / 3);
    }
    write(shop, random, order, topics::ORDERS, &value, None).await
}

/// Writes a message with the headers that every message of the shop has; `at` is for messages of the past.
pub(super) async fn write(
    shop: &Shop,
    random: &mut Random,
    order: &Order,
    topic: &str,
    value: &[u8],
    at: Option<i64>,
) -> anyhow::Result<Place> {
    let mut headers = new_headers(random);
    // What happened before the demo began was told by nobody.
    let sending = if at.is_none() { shop.spans.send(STOREFRONT, topic, &Working::default(), &mut headers) } else { Working::default() };
    let letter =
        Letter { topic, partition: None, key: Some(order.id.as_bytes()), value: Some(value), headers: owned(&headers), timestamp_ms: at };
    let place = shop.outlet.write(letter).await?;
    sending.arrived(place);
    Ok(place)
}

/// Headers of a message that begins a trace.
fn new_headers(random: &mut Random) -> Headers {
    let trace_parent = format!("00-{:016x}{:016x}-{:016x}-01", random.next() | 1, random.next(), random.next() | 1);
    vec![("content-type".to_owned(), Some(b"application/json".to_vec())), ("traceparent".to_owned(), Some(trace_parent.into_bytes()))]
}
