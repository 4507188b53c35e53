//! Dead letters as a shop writes them, and as somebody writes them who wants a browser to run their script.

use crate::harness::kafka::Outgoing;

/// What attackers write into whatever they can reach.
pub(super) const ATTACKS: [&str; 12] = [
    "<script>window.attacked=1</script>",
    "\"><img src=x onerror=window.attacked=1>",
    "'><svg onload=alert(1)>",
    "</title><script>document.title='attacked'</script>",
    "</pre></textarea><iframe srcdoc=\"<script>parent.attacked=1</script>\"></iframe>",
    "<div hx-get=/logout hx-trigger=load hx-on:load=alert(1)>",
    "javascript:window.attacked=1",
    "<a href=javascript:alert(1) autofocus onfocus=alert(1)>",
    "<meta http-equiv=refresh content=0;url=https://attacker.example/>",
    "{{constructor.constructor('window.attacked=1')()}}${window.attacked=1}",
    "<style>*{display:none}</style><base href=https://attacker.example/>",
    "\u{202e}gnp.exe\u{0}\u{1b}[31m\u{2028}<img src=x onerror=alert(1)>",
];

const STACK: &str = "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed\n\
    \tat org.springframework.kafka.listener.KafkaMessageListenerContainer.invoke(KafkaMessageListenerContainer.java:2968)\n\
    Caused by: java.net.SocketTimeoutException: carrier timed out\n\
    \tat com.acme.shipping.CarrierClient.book(CarrierClient.java:88)\n\
    \tat com.acme.shipping.LabelListener.onMessage(LabelListener.java:37)\n";

/// The failures of an ordinary day: carriers that time out, and one bad token.
pub(super) fn ordinary(topic: &str, orders: &str) -> Vec<Outgoing> {
    let timeouts = (0..20).map(|n| {
        let value = format!("{{\"orderId\": \"ord-{n}\", \"lines\": [{{\"sku\": \"A-1\", \"count\": {n}}}]}}");
        let failure = Failure { class: "java.net.SocketTimeoutException", message: "carrier timed out", stack: STACK };
        failure.on(topic, orders, "shipping-service", n).key(format!("ord-{n}")).value(value)
    });
    let tokens = (20..25).map(|n| {
        let stack = "java.lang.IllegalStateException: token expired\n\tat com.acme.payments.Tokens.check(Tokens.java:12)\n";
        let failure = Failure { class: "java.lang.IllegalStateException", message: "token expired", stack };
        failure.on(topic, orders, "payment-service", n).key(format!("ord-{n}")).value(vec![0, 159, 146, 150])
    });
    timeouts.chain(tokens).collect()
}

/// Each attack in every place that a producer fills: key, value, header name and value, claimed topic and group, exception.
pub(super) fn hostile(topic: &str) -> Vec<Outgoing> {
    let one = |(n, &attack): (usize, &&str)| {
        let stack = format!("{attack}: {attack}\n\tat {attack}.run({attack}.java:1)\n");
        let failure = Failure { class: attack, message: attack, stack: &stack };
        let name: String = attack.chars().filter(|c| *c != '\0').collect();
        failure.on(topic, attack, attack, n).key(attack).value(format!("{{\"{n}\": {}}}", serde_json::json!(attack))).header(name, attack)
    };
    ATTACKS.iter().enumerate().map(one).collect()
}

struct Failure<'a> {
    class: &'a str,
    message: &'a str,
    stack: &'a str,
}

impl Failure<'_> {
    /// As Spring Kafka writes it.
    fn on(&self, topic: &str, origin: &str, group: &str, number: usize) -> Outgoing {
        let offset = i64::try_from(number).expect("a small number");
        Outgoing::to(topic)
            .partition(0)
            .header("kafka_dlt-original-topic", origin)
            .header("kafka_dlt-original-partition", 0_i32.to_be_bytes())
            .header("kafka_dlt-original-offset", offset.to_be_bytes())
            .header("kafka_dlt-original-consumer-group", group)
            .header("kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException")
            .header("kafka_dlt-exception-cause-fqcn", self.class)
            .header("kafka_dlt-exception-message", self.message)
            .header("kafka_dlt-exception-stacktrace", self.stack)
    }
}
