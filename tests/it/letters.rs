//! Pages and API of dead letters and failure groups, asked as a browser and as a program ask, over a store that holds what a day
//! of failures leaves behind.

use crate::harness::letters::{Failing, Seeded};

mod api;
mod bad_input;
mod discard;
mod export;
mod first_page;
mod hostile;
mod journeys;
mod pages;
mod policies;
mod purge;
mod ranks;
mod trend;

/// A shop on one bus: an incident that began half an hour ago, older trouble, and a letter nobody can decode.
pub(crate) async fn shop() -> Seeded {
    let topics = ["payments.authorise-dlt", "shipping.label-requested-dlt", "email.outbound-dlt", "orders.placed-dlq"];
    let mut shop = Seeded::new().await.bus("prod", &topics).await;
    let mut failing = Vec::new();
    for i in 0..60_u64 {
        let npe = Failing::spring(
            "payments.authorise-dlt",
            "payment-service",
            "java.lang.NullPointerException",
            "Cannot invoke \"CardToken.bin()\" because \"token\" is null",
        );
        failing.push(npe.key(Some(format!("ord-{}", 7841 - i))).ago(12 + i * 30).header("kafka_dlt-original-timestamp", (shop.now.as_millis() - 20_000).to_be_bytes().to_vec())
            .value(Some(format!(r#"{{"orderId":"{}","paymentId":"pay_5Qm1Zt8KcW","customer":{{"id":190233,"email":"mara@example.org"}},"amount":{{"value":"84.90","currency":"EUR"}},"method":"apple_pay","card":{{"network":"visa","last4":"4242","token":null}},"capture":false,"lines":[{{"sku":"A-1","count":2}},{{"sku":"B-9","count":1}}],"requestedAt":"2026-11-24T03:14:02.118Z"}}"#, 7841 - i))));
    }
    for i in 0..25_u64 {
        let timeout = Failing::spring(
            "shipping.label-requested-dlt",
            "shipping-label-service",
            "java.net.SocketTimeoutException",
            &format!("Read timed out after {} ms calling carrier-api", 5000 + i),
        );
        failing.push(timeout.key(Some(format!("shp-{}", 55120 - i))).ago(39 + i * 9_000));
    }
    for i in 0..9_u64 {
        let mail = Failing::spring(
            "email.outbound-dlt",
            "mailer",
            "org.springframework.mail.MailSendException",
            "451 4.7.1 greylisted, try again later",
        );
        failing.push(mail.key(None::<Vec<u8>>).ago(600 + i * 40_000).backlog());
    }
    failing.push(
        Failing::on("orders.placed-dlq")
            .key(Some(&b"\xca\xfe\x00\x01"[..]))
            .value(Some(&b"\x00\x00\x00\x00\x2a\x02bin"[..]))
            .ago(7_200)
            .raw_header(b"caf\xe9", Some(b"x")),
    );
    shop.index("prod", failing).await;
    shop.gap("prod", "email.outbound-dlt", 1_204).await;
    shop
}
