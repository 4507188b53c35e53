"""confluent-kafka: `poll` opens a span around the handling of each message, with a link to the producer's and without a group."""

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
{"produce": produce, "consume": consume, "consume-batches": consume_batches}[sys.argv[1]]()
provider.shutdown()
