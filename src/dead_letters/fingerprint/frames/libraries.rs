//! Platforms and libraries by the beginnings of their names, with the names people know them by.

/// Sorted; where one is the beginning of another, the longer counts.
static JAVA: &[(&str, &str)] = &[
    ("akka.", "Akka"),
    ("brave.", "Brave"),
    ("ch.qos.logback.", "Logback"),
    ("com.arjuna.", "Narayana"),
    ("com.fasterxml.jackson.", "Jackson"),
    ("com.google.common.", "Guava"),
    ("com.google.gson.", "Gson"),
    ("com.google.inject.", "Guice"),
    ("com.google.protobuf.", "Protobuf"),
    ("com.mongodb.", "MongoDB driver"),
    ("com.mysql.", "MySQL driver"),
    ("com.sun.", "Java"),
    ("com.zaxxer.hikari.", "HikariCP"),
    ("feign.", "Feign"),
    ("groovy.", "Groovy"),
    ("io.confluent.", "Confluent"),
    ("io.debezium.", "Debezium"),
    ("io.grpc.", "gRPC"),
    ("io.lettuce.", "Lettuce"),
    ("io.micrometer.", "Micrometer"),
    ("io.micronaut.", "Micronaut"),
    ("io.netty.", "Netty"),
    ("io.opentelemetry.", "OpenTelemetry"),
    ("io.quarkus.", "Quarkus"),
    ("io.r2dbc.", "R2DBC"),
    ("io.reactivex.", "RxJava"),
    ("io.smallrye.", "SmallRye"),
    ("io.vertx.", "Vert.x"),
    ("jakarta.", "Jakarta EE"),
    ("java.", "Java"),
    ("javax.", "Java"),
    ("jdk.", "Java"),
    ("kotlin.", "Kotlin"),
    ("kotlinx.", "Kotlin"),
    ("net.bytebuddy.", "Byte Buddy"),
    ("net.sf.cglib.", "CGLIB"),
    ("okhttp3.", "OkHttp"),
    ("okio.", "OkHttp"),
    ("oracle.", "Oracle driver"),
    ("org.apache.", "Apache libraries"),
    ("org.apache.avro.", "Avro"),
    ("org.apache.camel.", "Camel"),
    ("org.apache.catalina.", "Tomcat"),
    ("org.apache.kafka.", "Kafka client"),
    ("org.apache.kafka.connect.", "Kafka Connect"),
    ("org.apache.kafka.streams.", "Kafka Streams"),
    ("org.apache.pekko.", "Pekko"),
    ("org.aspectj.", "AspectJ"),
    ("org.codehaus.", "Codehaus"),
    ("org.eclipse.", "Eclipse libraries"),
    ("org.glassfish.", "GlassFish"),
    ("org.h2.", "H2"),
    ("org.hibernate.", "Hibernate"),
    ("org.jboss.", "JBoss"),
    ("org.jooq.", "jOOQ"),
    ("org.mariadb.", "MariaDB driver"),
    ("org.postgresql.", "PostgreSQL driver"),
    ("org.reactivestreams.", "Reactive Streams"),
    ("org.slf4j.", "SLF4J"),
    ("org.springframework.", "Spring"),
    ("org.springframework.cloud.", "Spring Cloud"),
    ("org.springframework.kafka.", "Spring Kafka"),
    ("reactor.", "Reactor"),
    ("retrofit2.", "Retrofit"),
    ("scala.", "Scala"),
    ("software.amazon.awssdk.", "AWS SDK"),
    ("sun.", "Java"),
    ("tools.jackson.", "Jackson"),
    ("zio.", "ZIO"),
];

/// Longest family of entries that share a beginning: how far the search looks back.
const LOOK_BACK: usize = 8;

/// The library a qualified JVM name belongs to.
pub(super) fn java(name: &str) -> Option<&'static str> {
    find(JAVA, name)
}

fn find(table: &'static [(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    let after = table.partition_point(|(prefix, _)| *prefix <= name);
    table[..after].iter().rev().take(LOOK_BACK).find(|(prefix, _)| name.starts_with(prefix)).map(|(_, library)| *library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_families_are_small() {
        for table in [JAVA] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
            for (at, (prefix, _)) in table.iter().enumerate() {
                let family = table[at..].iter().take_while(|(other, _)| other.starts_with(prefix)).count();
                assert!(family <= LOOK_BACK, "{prefix} begins {family} entries");
            }
        }
    }

    #[test]
    fn the_longest_name_counts() {
        assert_eq!(java("org.springframework.kafka.listener.X.run"), Some("Spring Kafka"));
        assert_eq!(java("org.springframework.messaging.X.run"), Some("Spring"));
        assert_eq!(java("org.apache.kafka.streams.X.run"), Some("Kafka Streams"));
        assert_eq!(java("org.apache.zookeeper.X.run"), Some("Apache libraries"));
        assert_eq!(java("shop.OrderListeners.orders"), None);
        assert_eq!(java(""), None);
    }
}
