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

/// Sorted.
static DOTNET: &[(&str, &str)] = &[
    ("Amazon.", "AWS SDK"),
    ("Autofac.", "Autofac"),
    ("Avro.", "Avro"),
    ("Azure.", "Azure SDK"),
    ("CSharpFunctionalExtensions.", "CSharpFunctionalExtensions"),
    ("Castle.", "Castle"),
    ("Confluent.", "Confluent"),
    ("Dapper.", "Dapper"),
    ("DotNetCore.CAP.", "CAP"),
    ("FSharp.", "F#"),
    ("FluentValidation.", "FluentValidation"),
    ("Google.", "Google libraries"),
    ("Grpc.", "gRPC"),
    ("JasperFx.", "JasperFx"),
    ("KafkaFlow.", "KafkaFlow"),
    ("Lamar.", "Lamar"),
    ("MailKit.", "MailKit"),
    ("Marten.", "Marten"),
    ("MassTransit.", "MassTransit"),
    ("MediatR.", "MediatR"),
    ("Microsoft.", ".NET"),
    ("Microsoft.AspNetCore.", "ASP.NET Core"),
    ("Microsoft.EntityFrameworkCore.", "Entity Framework"),
    ("MimeKit.", "MailKit"),
    ("MongoDB.", "MongoDB driver"),
    ("MySql.", "MySQL driver"),
    ("NHibernate.", "NHibernate"),
    ("NServiceBus.", "NServiceBus"),
    ("Newtonsoft.", "Json.NET"),
    ("Npgsql.", "Npgsql"),
    ("OpenTelemetry.", "OpenTelemetry"),
    ("Paramore.", "Brighter"),
    ("Polly.", "Polly"),
    ("Rebus.", "Rebus"),
    ("Serilog.", "Serilog"),
    ("Silverback.", "Silverback"),
    ("StackExchange.", "StackExchange libraries"),
    ("System.", ".NET"),
    ("Weasel.", "Weasel"),
    ("Wolverine.", "Wolverine"),
];

/// Sorted.
static GO: &[(&str, &str)] = &[
    ("cloud.google.com/", "Google Cloud"),
    ("github.com/IBM/sarama", "Sarama"),
    ("github.com/Shopify/sarama", "Sarama"),
    ("github.com/ThreeDotsLabs/watermill", "Watermill"),
    ("github.com/Trendyol/", "Trendyol libraries"),
    ("github.com/aws/aws-sdk-go", "AWS SDK"),
    ("github.com/cenkalti/backoff", "backoff"),
    ("github.com/confluentinc/", "Confluent"),
    ("github.com/gin-gonic/", "Gin"),
    ("github.com/go-sql-driver/", "MySQL driver"),
    ("github.com/gogo/", "gogo"),
    ("github.com/jackc/", "pgx"),
    ("github.com/labstack/", "Echo"),
    ("github.com/lib/pq", "pq"),
    ("github.com/pkg/errors", "pkg/errors"),
    ("github.com/redis/", "go-redis"),
    ("github.com/segmentio/kafka-go", "kafka-go"),
    ("github.com/sirupsen/", "logrus"),
    ("github.com/twmb/franz-go", "franz-go"),
    ("go.mongodb.org/", "MongoDB driver"),
    ("go.opentelemetry.io/", "OpenTelemetry"),
    ("go.uber.org/", "Uber libraries"),
    ("golang.org/x/", "Go"),
    ("google.golang.org/", "Google libraries"),
    ("gopkg.in/", "gopkg.in"),
    ("gorm.io/", "GORM"),
];

/// First path segments of Go's standard library; a module may have a name without a dot, so a dot does not tell.
static GO_STANDARD: &[&str] = &[
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
];

/// Crates of Rust itself.
static RUST_STANDARD: &[&str] = &["alloc", "backtrace", "core", "panic_unwind", "proc_macro", "rust_begin_unwind", "std", "test"];

/// Crates that stand below and around an application.
static RUST_CRATES: &[&str] = &[
    "actix_rt",
    "actix_server",
    "actix_web",
    "anyhow",
    "async_std",
    "async_trait",
    "axum",
    "axum_core",
    "color_eyre",
    "eyre",
    "futures",
    "futures_core",
    "futures_util",
    "h2",
    "hyper",
    "hyper_util",
    "rdkafka",
    "reqwest",
    "rskafka",
    "serde",
    "serde_json",
    "sqlx",
    "sqlx_core",
    "tokio",
    "tokio_postgres",
    "tokio_stream",
    "tokio_util",
    "tonic",
    "tower",
    "tower_http",
    "tower_service",
    "tracing",
    "tracing_core",
    "tracing_futures",
];

/// Longest family of entries that share a beginning: how far the search looks back.
const LOOK_BACK: usize = 8;

/// The library a qualified JVM name belongs to.
pub(super) fn java(name: &str) -> Option<&'static str> {
    find(JAVA, name)
}

/// The library a qualified .NET name belongs to.
pub(super) fn dotnet(name: &str) -> Option<&'static str> {
    find(DOTNET, name)
}

/// The library a qualified Go function belongs to.
pub(super) fn go(name: &str) -> Option<&'static str> {
    find(GO, name)
}

/// Whether a Go package is of the standard library.
pub(super) fn is_go_standard(package: &str) -> bool {
    package.split('/').next().is_some_and(|first| GO_STANDARD.binary_search(&first).is_ok())
}

/// Whether a crate is Rust's own.
pub(super) fn is_rust_standard(krate: &str) -> bool {
    RUST_STANDARD.binary_search(&krate).is_ok()
}

/// Whether a crate is a known library.
pub(super) fn is_rust_crate(krate: &str) -> bool {
    RUST_CRATES.binary_search(&krate).is_ok()
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
        for table in [JAVA, DOTNET, GO] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
            for (at, (prefix, _)) in table.iter().enumerate() {
                let family = table[at..].iter().take_while(|(other, _)| other.starts_with(prefix)).count();
                assert!(family <= LOOK_BACK, "{prefix} begins {family} entries");
            }
        }
    }

    #[test]
    fn lists_are_sorted() {
        for list in [GO_STANDARD, RUST_STANDARD, RUST_CRATES] {
            assert!(list.is_sorted());
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
