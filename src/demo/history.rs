//! What failed before the demo was opened: the shop had been running for days. Orders of the past are written with their own times,
//! then the dead letters that came of them.

use super::faults::{self, Fault};
use super::orders::Order;
use super::outlet::Letter;
use super::random::Random;
use super::services::{SERVICES, Service};
use super::storefront;
use super::styles::{Headers, Source, Style};
use super::worker::owned;
use super::{Shop, topics};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// One failure of the past: the service's group, how long ago at most, how many, and over which span they are spread.
struct Past {
    group: &'static str,
    ago_ms: i64,
    span_ms: i64,
    count: u64,
    fault: fn(&mut Order, &mut Random) -> Fault,
}

/// Everyday failures over two days, and the evening when a mail relay greylisted everybody.
static PAST: &[Past] = &[
    Past { group: "order-service", ago_ms: 50 * HOUR_MS, span_ms: 49 * HOUR_MS, count: 11, fault: unknown_sku },
    Past { group: "payment-service-retry-2000", ago_ms: 47 * HOUR_MS, span_ms: 46 * HOUR_MS, count: 14, fault: card_declined },
    Past { group: "shipping-service", ago_ms: 40 * HOUR_MS, span_ms: 39 * HOUR_MS, count: 6, fault: no_route },
    Past { group: "billing-service", ago_ms: 44 * HOUR_MS, span_ms: 42 * HOUR_MS, count: 5, fault: no_tax_rate },
    Past { group: "notification-service", ago_ms: 29 * HOUR_MS, span_ms: 35 * MINUTE_MS, count: 23, fault: |_, _| faults::greylisted() },
    Past { group: "notification-service", ago_ms: 46 * HOUR_MS, span_ms: 45 * HOUR_MS, count: 5, fault: bad_address },
    Past { group: "fraud-scoring", ago_ms: 30 * HOUR_MS, span_ms: 28 * HOUR_MS, count: 4, fault: no_features },
    Past { group: "connect-shop-warehouse-sink", ago_ms: 45 * HOUR_MS, span_ms: 44 * HOUR_MS, count: 7, fault: cut_off },
];

fn unknown_sku(order: &mut Order, random: &mut Random) -> Fault {
    order.sku = format!("SKU-{}", 9_000 + random.below(99));
    faults::unknown_sku(&order.sku)
}

fn card_declined(order: &mut Order, _: &mut Random) -> Fault {
    order.card_token = Some("tok_declined".to_owned());
    faults::card_declined(&order.id)
}

fn no_route(order: &mut Order, _: &mut Random) -> Fault {
    "99999".clone_into(&mut order.postal_code);
    faults::no_route(&order.postal_code)
}

fn no_tax_rate(order: &mut Order, _: &mut Random) -> Fault {
    "XK".clone_into(&mut order.country);
    faults::no_tax_rate(&order.country)
}

fn bad_address(order: &mut Order, _: &mut Random) -> Fault {
    order.email = order.email.replace('@', ".");
    faults::bad_address()
}

fn no_features(order: &mut Order, _: &mut Random) -> Fault {
    order.customer_id = 7;
    faults::no_features(order.customer_id)
}

/// The importer cut the order off at two thirds.
fn cut_off(order: &mut Order, _: &mut Random) -> Fault {
    faults::broken_json(order.to_json().len() * 2 / 3)
}

/// Writes the past, unless the bus already has one.
pub(super) async fn write(shop: &Shop) -> anyhow::Result<()> {
    let mut random = Random::new(0x5d0_9000 ^ shop.opened_at.as_millis().unsigned_abs());
    let mut letters = Vec::new();
    for past in PAST {
        for _ in 0..past.count {
            let spread = i64::try_from(random.below(past.span_ms.unsigned_abs())).unwrap_or(0);
            letters.push((shop.opened_at.as_millis() - past.ago_ms + spread, past));
        }
    }
    letters.sort_by_key(|(at, _)| *at);
    for (place, (at, past)) in letters.into_iter().enumerate() {
        let written = write_one(shop, &mut random, at, past).await?;
        // The first letter of a topic that was there before tells that this shop has been opened before.
        if place == 0 && written > 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes the message and its dead letter; returns the letter's offset.
async fn write_one(shop: &Shop, random: &mut Random, at: i64, past: &Past) -> anyhow::Result<i64> {
    let Some(service) = SERVICES.iter().find(|service| service.group == past.group) else { return Ok(0) };
    let mut order = Order::random(random, 0);
    let fault = (past.fault)(&mut order, random);
    let source_topic = if service.topic == topics::PAYMENTS_RETRY { topics::PAYMENTS } else { service.topic };
    let mut value = order.to_json();
    if service.style == Style::Connect {
        value.truncate(value.len() * 2 / 3);
    }
    let sent = at - 300 - i64::try_from(random.below(4_000)).unwrap_or(0);
    let place = storefront::write(shop, random, &order, source_topic, &value, Some(sent)).await?;
    let source = Source {
        topic: source_topic,
        partition: place.partition,
        offset: place.offset,
        timestamp_ms: sent,
        group: service.told_group,
        listener: service.listener,
        failed_at_ms: at,
    };
    let mut headers = Headers::new();
    dress(service, &mut headers, &fault, &source);
    let letter = Letter {
        topic: service.dead_letters,
        partition: service.style.keeps_partition().then_some(place.partition),
        key: Some(order.id.as_bytes()),
        value: Some(&value),
        headers: owned(&headers),
        timestamp_ms: Some(if service.style.keeps_timestamp() { sent } else { at }),
    };
    shop.outlet.write(letter).await.map(|place| place.offset)
}

fn dress(service: &Service, headers: &mut Headers, fault: &Fault, source: &Source<'_>) {
    if service.topic == topics::PAYMENTS_RETRY {
        // It was tried once, waited, and was given up at the second try.
        super::styles::spring_retry(headers, fault, source, Some(source.failed_at_ms));
    }
    service.style.dress(headers, fault, source);
}
