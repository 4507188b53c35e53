//! The shop's services: what each reads, what it does with a message, and how it gives up.

use std::time::Duration;

use super::faults::{self, Fault};
use super::incident;
use super::orders::Order;
use super::styles::Style;
use super::topics::{NOTIFICATIONS, ORDERS, PAYMENTS, PAYMENTS_RETRY, SHIPMENTS};

/// One service, that is, one consumer group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// Name of its task.
    pub(super) task: &'static str,
    pub(super) group: &'static str,
    pub(super) topic: &'static str,
    /// Where it gives messages up, and how it writes them.
    pub(super) dead_letters: &'static str,
    pub(super) style: Style,
    /// Listener method or connector, as its framework names it.
    pub(super) listener: &'static str,
    /// Where a message waits for a second try, and for how long.
    pub(super) retry: Option<(&'static str, Duration)>,
    /// The group that dead letters name, when it is not the reader's own.
    pub(super) told_group: &'static str,
    /// Time one message takes.
    pub(super) pace: Duration,
    pub(super) work: fn(&Task<'_>) -> Outcome,
}

/// A message being worked on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) value: &'a [u8],
    /// `None`: it cannot be read.
    pub(super) order: Option<&'a Order>,
    pub(super) open_for: Duration,
    /// Chance of this message, from 0 to 999; the same at every try.
    pub(super) chance: u64,
    /// Whether this is not the first try.
    pub(super) again: bool,
    /// Whether the payment service can do without a card token by now.
    pub(super) fixed: bool,
}

/// Topics the order goes on to, or what went wrong.
pub(super) type Outcome = Result<&'static [&'static str], Fault>;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Every service.
pub(super) static SERVICES: &[Service] = &[
    Service {
        task: "demo: order-service",
        group: "order-service",
        topic: ORDERS,
        dead_letters: "shop.orders-dlt",
        style: Style::SpringKafka,
        listener: "public void shop.orders.OrderListener.onOrder(org.apache.kafka.clients.consumer.ConsumerRecord<java.lang.String, byte[]>)",
        retry: None,
        told_group: "order-service",
        pace: ms(3),
        work: check_order,
    },
    Service {
        task: "demo: payment-service",
        group: "payment-service",
        topic: PAYMENTS,
        dead_letters: "shop.payments-dlt",
        style: Style::SpringRetry,
        listener: "",
        retry: Some((PAYMENTS_RETRY, Duration::from_secs(2))),
        told_group: "payment-service",
        pace: ms(8),
        work: charge,
    },
    Service {
        task: "demo: payment-service retries",
        group: "payment-service-retry-2000",
        topic: PAYMENTS_RETRY,
        dead_letters: "shop.payments-dlt",
        style: Style::SpringRetry,
        listener: "",
        retry: None,
        told_group: "payment-service",
        pace: ms(8),
        work: charge,
    },
    Service {
        task: "demo: shipping-service",
        group: "shipping-service",
        topic: SHIPMENTS,
        dead_letters: "dead-letter-topic-shop.shipments",
        style: Style::SmallRye,
        listener: "",
        retry: None,
        told_group: "shipping-service",
        pace: ms(12),
        work: ship,
    },
    Service {
        task: "demo: billing-service",
        group: "billing-service",
        topic: SHIPMENTS,
        dead_letters: "error.shop.shipments.billing-service",
        style: Style::SpringCloudStream,
        listener: "",
        retry: None,
        told_group: "billing-service",
        pace: ms(4),
        work: invoice,
    },
    Service {
        task: "demo: notification-service",
        group: "notification-service",
        topic: NOTIFICATIONS,
        dead_letters: "shop.notifications.dlq",
        style: Style::Wolverine,
        listener: "",
        retry: None,
        told_group: "notification-service",
        pace: ms(15),
        work: notify,
    },
    Service {
        task: "demo: fraud-scoring",
        group: "fraud-scoring",
        topic: PAYMENTS,
        dead_letters: "shop.fraud-scoring-dlq",
        style: Style::Streams,
        listener: "",
        retry: None,
        told_group: "fraud-scoring",
        pace: ms(2),
        work: score,
    },
    Service {
        task: "demo: warehouse connector",
        group: "connect-shop-warehouse-sink",
        topic: ORDERS,
        dead_letters: "dlq-shop-warehouse-sink",
        style: Style::Connect,
        listener: "shop-warehouse-sink",
        retry: None,
        told_group: "connect-shop-warehouse-sink",
        pace: ms(40),
        work: store,
    },
];

fn check_order(task: &Task<'_>) -> Outcome {
    let Some(order) = task.order else { return Err(faults::unreadable_order(task.value.len())) };
    if order.sku.starts_with("SKU-9") {
        return Err(faults::unknown_sku(&order.sku));
    }
    Ok(&[PAYMENTS])
}

fn charge(task: &Task<'_>) -> Outcome {
    let Some(order) = task.order else { return Ok(&[]) };
    match order.card_token.as_deref() {
        None if !task.fixed => Err(faults::no_token()),
        Some("tok_declined") => Err(faults::card_declined(&order.id)),
        Some(_) if task.chance < 12 && !task.again => Err(faults::acquirer_slow(5_000 + task.chance)),
        Some(_) | None => Ok(&[SHIPMENTS]),
    }
}

fn ship(task: &Task<'_>) -> Outcome {
    let Some(order) = task.order else { return Ok(&[]) };
    if order.postal_code == "99999" {
        return Err(faults::no_route(&order.postal_code));
    }
    if order.carrier == "northwind" && task.chance < incident::carrier_timeouts(task.open_for) {
        return Err(faults::carrier_timeout(&order.carrier, 10_000 + task.chance));
    }
    Ok(&[NOTIFICATIONS])
}

fn invoice(task: &Task<'_>) -> Outcome {
    let Some(order) = task.order else { return Ok(&[]) };
    if order.country == "XK" {
        return Err(faults::no_tax_rate(&order.country));
    }
    if order.carrier == "northwind" && task.chance < incident::carrier_timeouts(task.open_for) / 4 {
        return Err(faults::no_card_on_invoice(&order.id));
    }
    Ok(&[])
}

fn notify(task: &Task<'_>) -> Outcome {
    let Some(order) = task.order else { return Ok(&[]) };
    if !order.email.contains('@') {
        return Err(faults::bad_address());
    }
    if task.chance < 4 {
        return Err(faults::greylisted());
    }
    Ok(&[])
}

fn score(task: &Task<'_>) -> Outcome {
    let Some(order) = task.order else { return Ok(&[]) };
    if order.customer_id == 7 { Err(faults::no_features(order.customer_id)) } else { Ok(&[]) }
}

fn store(task: &Task<'_>) -> Outcome {
    let Some(order) = task.order else { return Err(faults::broken_json(task.value.len())) };
    if order.email.len() > 24 && task.chance < 5 { Err(faults::value_too_long(order.email.len())) } else { Ok(&[]) }
}
