//! Which key of the configuration to look at when a cluster cannot be reached or refuses the login: librdkafka's words say what
//! happened, not what to do about it.

/// Parts of librdkafka's words, and what to look at. The first row that fits speaks.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["certificate verify failed", "certificate could not be verified", "hostname mismatch", "IP address mismatch"],
        "\"ssl.ca.location\" must name a file with the authority that signed the brokers' certificates, and bootstrap_servers must name \
         the brokers as those do",
    ),
    (
        &["certificate required", "bad certificate", "handshake failure", "certificate unknown"],
        "the brokers ask for a certificate: look at \"ssl.certificate.location\" and \"ssl.key.location\"",
    ),
    (&["connecting to a PLAINTEXT broker listener", "wrong version number"], "this port speaks without TLS: look at \"security.protocol\""),
    (&["connecting to a SSL listener"], "this port may want TLS or a login: look at \"security.protocol\""),
    (&["not valid in current SASL state"], "this port asks for no login: look at \"security.protocol\""),
    (
        &["nsupported SASL mechanism", "not enabled by the broker", "SASL mechanism handshake failed", "broker's supported mechanisms"],
        "look at \"sasl.mechanisms\"",
    ),
    (
        &["SASL authentication error", "Authentication failed", "SaslAuthenticateRequest failed"],
        "look at \"sasl.username\" and \"sasl.password\"",
    ),
    (&["SSL handshake", "ssl://"], "look at \"security.protocol\" and the \"ssl...\" properties"),
    (&["Failed to resolve"], "look at bootstrap_servers; a name that is not there comes from the brokers' own advertised.listeners"),
    (
        &["Connection refused", "Connection setup timed out", "No route to host", "Network is unreachable", "Connection timed out"],
        "nobody answers at that address: is the broker running, and does bootstrap_servers name it",
    ),
    (&["Disconnected", "Connection reset"], "the broker hung up: it may want TLS or a login, look at \"security.protocol\""),
    // All that librdkafka says where it had hung up before anything was asked.
    (
        &["Broker transport failure"],
        "the connection broke: is the broker running, and does it want TLS or a login; look at \"security.protocol\"",
    ),
];

/// The words, with what to look at behind them.
pub(super) fn with_advice(words: &str) -> String {
    let fits = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    match ADVICE.iter().find(|(parts, _)| fits(parts)) {
        Some((_, advice)) => format!("{}; {advice}", words.trim_end_matches(['.', ' '])),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_librdkafka_says_leads_to_the_key_to_look_at() {
        let seen = [
            (
                "ssl://kafka:9092: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener?",
                "without TLS: look at \"security.protocol\"",
            ),
            (
                "ssl://kafka:9093: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified, verify that ssl.ca.location is correctly configured",
                "\"ssl.ca.location\" must name",
            ),
            (
                "ssl://kafka:9093: Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: SSL alert number 116",
                "\"ssl.certificate.location\"",
            ),
            (
                "kafka:9093: Disconnected while requesting ApiVersion: might be caused by incorrect security.protocol configuration (connecting to a SSL listener?)",
                "TLS or a login: look at \"security.protocol\"",
            ),
            (
                "sasl_plaintext://kafka:9092: SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL state: broker's supported mechanisms:",
                "asks for no login",
            ),
            (
                "sasl_ssl://kafka:9094: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512",
                "\"sasl.mechanisms\"",
            ),
            (
                "sasl://kafka:9094: SASL authentication error: Authentication failed during authentication due to invalid credentials",
                "\"sasl.username\" and \"sasl.password\"",
            ),
            ("kafka.invalid:9092: Failed to resolve 'kafka.invalid:9092': Name or service not known", "advertised.listeners"),
            ("127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused", "is the broker running"),
        ];
        for (words, advice) in seen {
            let advised = with_advice(words);
            assert!(advised.starts_with(words) && advised[words.len()..].contains(advice), "{advised}");
        }
        assert_eq!(with_advice("something new"), "something new", "nothing is made up");
    }
}
