//! Exception classes that only wrap what really happened. They are never what a person is shown while anything better is known.

/// Full names, sorted.
static WRAPPERS: &[&str] = &[
    "Confluent.Kafka.ConsumeException",
    "System.AggregateException",
    "System.Reflection.TargetInvocationException",
    "System.TypeInitializationException",
    "io.micronaut.configuration.kafka.exceptions.KafkaListenerException",
    "io.micronaut.core.reflect.exception.InvocationException",
    "io.smallrye.mutiny.CompositeException",
    "io.smallrye.reactive.messaging.ProcessingException",
    "jakarta.ejb.EJBException",
    "java.lang.ExceptionInInitializerError",
    "java.lang.reflect.InvocationTargetException",
    "java.lang.reflect.UndeclaredThrowableException",
    "java.security.PrivilegedActionException",
    "java.util.concurrent.CompletionException",
    "java.util.concurrent.ExecutionException",
    "javax.ejb.EJBException",
    "org.apache.camel.CamelExecutionException",
    "org.apache.camel.RuntimeCamelException",
    "org.apache.kafka.streams.errors.StreamsException",
    "org.springframework.core.retry.RetryException",
    "org.springframework.kafka.KafkaException",
    "org.springframework.kafka.listener.BatchListenerFailedException",
    "org.springframework.kafka.listener.ListenerExecutionFailedException",
    "org.springframework.kafka.listener.TimestampedException",
    "org.springframework.messaging.MessageDeliveryException",
    "org.springframework.messaging.MessageHandlingException",
    "org.springframework.messaging.MessagingException",
    "org.springframework.retry.ExhaustedRetryException",
    "org.springframework.retry.RetryException",
    "reactor.core.Exceptions$ReactiveException",
];

/// What wrappers put before the message of what they wrap: everything up to and with the second text, when a message begins with
/// the first.
pub(crate) static PREFIXES: &[(&str, &str)] = &[
    ("Listener method '", "' threw exception; "),
    ("Listener failed; ", ""),
    ("Listener failed;", ""),
    ("error occurred in message handler [", "]; "),
    ("error occurred during processing message in '", "]; "),
    ("Dispatcher failed to deliver Message; ", ""),
    ("Failed to handle message; ", ""),
];

/// Whether a class only wraps. A bare name is compared with the names without their packages.
#[must_use]
pub fn is_wrapper(class: &str) -> bool {
    if class.contains('.') {
        return WRAPPERS.binary_search(&class).is_ok();
    }
    !class.is_empty() && WRAPPERS.iter().any(|full| full.rsplit('.').next() == Some(class))
}

/// The message without what wrappers put before it; `None` when nothing is left.
#[must_use]
pub fn without_prefixes(message: &str) -> Option<&str> {
    let mut rest = message;
    for _ in 0..4 {
        let stripped = PREFIXES.iter().find_map(|(starts, until)| {
            let behind = rest.strip_prefix(starts)?;
            if until.is_empty() { Some(behind) } else { behind.find(until).map(|at| &behind[at + until.len()..]) }
        });
        match stripped {
            Some(shorter) => rest = shorter,
            None => break,
        }
    }
    let rest = rest.trim();
    // A message of a wrapper without anything behind it ends at the "; " that was trimmed away with it.
    let nothing = rest.is_empty()
        || (rest.starts_with("Listener method '") && (rest.ends_with("' threw exception;") || rest.ends_with("' threw exception")));
    (!nothing).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(WRAPPERS.is_sorted());
    }

    #[test]
    fn wrappers_are_known_by_full_and_bare_names() {
        assert!(is_wrapper("java.util.concurrent.CompletionException"));
        assert!(is_wrapper("CompletionException"));
        assert!(!is_wrapper("com.acme.ProcessingException"));
        assert!(!is_wrapper("java.lang.IllegalStateException"));
        assert!(!is_wrapper(""));
    }

    #[test]
    fn prefixes_of_wrappers_go() {
        for (message, left) in [
            ("Listener method 'public void shop.A.b(java.lang.String)' threw exception; no stock", Some("no stock")),
            ("Listener method 'public void shop.A.b(java.lang.String)' threw exception; ", None),
            ("Listener failed; Failed to convert from JSON", Some("Failed to convert from JSON")),
            ("error occurred in message handler [x.Y$1@2d37882b]; boom", Some("boom")),
            ("inventory service returned 503", Some("inventory service returned 503")),
            ("  ", None),
        ] {
            assert_eq!(without_prefixes(message), left, "{message}");
        }
    }
}
