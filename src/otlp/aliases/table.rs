//! The table.

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    System,
    Destination,
    OperationType,
    OperationOld,
    OperationName,
    ConsumerGroup,
    ConsumerId,
    Partition,
    Offset,
    Key,
    Tombstone,
    ClusterId,
    ClientId,
    MessageId,
    ConversationId,
    BodySize,
    BatchCount,
    Broker,
    BrokerPort,
    QueueTime,
    ErrorType,
}

impl Field {
    /// How many there are.
    pub(super) const COUNT: usize = Self::ErrorType as usize + 1;

    /// Fields of which one is enough to say that a span did something on a bus.
    pub(super) const TELLING: &'static [Self] = &[
        Self::System,
        Self::Destination,
        Self::OperationType,
        Self::OperationOld,
        Self::OperationName,
        Self::ConsumerGroup,
        Self::Partition,
        Self::Offset,
        Self::MessageId,
    ];
}

/// Names of each field, the best first. Years of the conventions' changes: 1.17, 1.21, 1.24 to 1.28, 1.45.
pub(super) const ALIASES: &[(Field, &[&str])] = &[
    (Field::System, &["messaging.system.name", "messaging.system"]),
    // `messaging.source.name`: 1.17 to 1.20, still written by Spring's listeners and by kotel's consumers.
    (Field::Destination, &["messaging.destination.name", "messaging.destination", "messaging.source.name"]),
    (Field::OperationType, &["messaging.operation.type"]),
    (Field::OperationOld, &["messaging.operation"]),
    (Field::OperationName, &["messaging.operation.name"]),
    (Field::ConsumerGroup, &["messaging.consumer.group.name", "messaging.kafka.consumer.group", "messaging.kafka.consumer_group"]),
    (Field::ConsumerId, &["messaging.consumer.id", "messaging.consumer_id"]),
    (
        Field::Partition,
        &[
            "messaging.destination.partition.id",
            "messaging.kafka.destination.partition",
            "messaging.kafka.source.partition",
            "messaging.kafka.partition",
        ],
    ),
    (Field::Offset, &["kafka.offset", "messaging.kafka.offset", "messaging.kafka.message.offset"]),
    (Field::Key, &["kafka.message.key", "messaging.kafka.message.key", "messaging.kafka.message_key"]),
    (Field::Tombstone, &["kafka.message.tombstone", "messaging.kafka.message.tombstone", "messaging.kafka.tombstone"]),
    (Field::ClusterId, &["kafka.cluster.id", "messaging.kafka.cluster.id"]),
    (Field::ClientId, &["messaging.client.id", "messaging.client_id", "messaging.kafka.client_id", "messaging.kafka.consumer_client_id"]),
    (Field::MessageId, &["messaging.message.id", "messaging.message_id"]),
    (Field::ConversationId, &["messaging.message.conversation_id", "messaging.conversation_id"]),
    (Field::BodySize, &["messaging.message.body.size", "messaging.message.payload_size_bytes", "messaging.message_payload_size_bytes"]),
    (Field::BatchCount, &["messaging.batch.message_count"]),
    (Field::Broker, &["server.address", "messaging.url", "messaging.kafka.bootstrap.servers", "net.peer.name"]),
    (Field::BrokerPort, &["server.port", "net.peer.port"]),
    (Field::QueueTime, &["kafka.record.queue_time_ms"]),
    (Field::ErrorType, &["error.type"]),
];
