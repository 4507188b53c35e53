"""confluent-kafka: `poll` opens a span around the handling of each message, with a link to the producer's and without a group."""

import os
import struct
import sys

import common
from opentelemetry import trace
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor


def produce():
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": common.SERVERS, "linger.ms": 1})
    for name in common.names():
        began, places = common.now(), []
        producer.produce(common.TOPIC, name.encode(), callback=lambda error, message: places.append((error, message)))
        ended = common.now()
        producer.flush()
        error, message = places[0]
        assert error is None, error
        common.sent(name, began, ended, message.partition(), message.offset())


def consumer():
    import confluent_kafka

    settings = {"bootstrap.servers": common.SERVERS, "group.id": common.GROUP, "auto.offset.reset": "earliest"}
    consumer = confluent_kafka.Consumer(settings)
    consumer.subscribe([common.TOPIC])
    return consumer


def consume():
    source, left = consumer(), common.COUNT
    while left:
        common.in_time()
        message = source.poll(0.2)
        if message is None:
            continue
        assert message.error() is None, message.error()
        failure = common.work(message.value().decode(), message.partition(), message.offset())
        if failure:
            common.fail(trace.get_current_span(), failure)
        left -= 1
    source.close()


def consume_with_letters():
    """What cannot be handled goes to LETTERS with its headers, to which the instrumentation adds a second `traceparent`."""
    import confluent_kafka

    source, left = consumer(), common.COUNT
    letters = confluent_kafka.Producer({"bootstrap.servers": common.SERVERS, "linger.ms": 1})
    while left:
        common.in_time()
        message = source.poll(0.2)
        if message is None:
            continue
        assert message.error() is None, message.error()
        failure = common.work(message.value().decode(), message.partition(), message.offset())
        if failure:
            common.fail(trace.get_current_span(), failure)
            letters.produce(os.environ["LETTERS"], message.value(), partition=0, headers=message.headers() + about(message, failure))
            letters.flush()
        left -= 1
    source.close()


def about(message, failure):
    """Where a dead letter comes from, in the words of Spring Kafka, which others write too."""
    told = {
        "exception-fqcn": b"common.CardDeclined",
        "exception-message": str(failure).encode(),
        "original-topic": message.topic().encode(),
        "original-partition": struct.pack(">i", message.partition()),
        "original-offset": struct.pack(">q", message.offset()),
        "original-timestamp": struct.pack(">q", message.timestamp()[1]),
        "original-timestamp-type": b"CreateTime",
        "original-consumer-group": common.GROUP.encode(),
    }
    return [(f"kafka_dlt-{name}", value) for name, value in told.items()]


def consume_batches():
    """One span for all messages of a `consume`; who fails on one fails the batch."""
    source, left = consumer(), common.COUNT
    while left:
        common.in_time()
        batch = source.consume(5, 0.2)
        failures = [common.work(message.value().decode(), message.partition(), message.offset()) for message in batch]
        for failure in filter(None, failures):
            common.fail(trace.get_current_span(), failure)
        if batch:
            common.write(event="batch", size=len(batch))
        left -= len(batch)
    source.close()


provider = common.tracing()
ConfluentKafkaInstrumentor().instrument()
acts = {"produce": produce, "consume": consume, "consume-with-letters": consume_with_letters, "consume-batches": consume_batches}
acts[sys.argv[1]]()
provider.shutdown()
