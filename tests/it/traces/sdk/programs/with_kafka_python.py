"""kafka-python: the consumer's span is over before the message is handled, and says neither group nor offset."""

import sys

import common
from opentelemetry import trace
from opentelemetry.instrumentation.kafka import KafkaInstrumentor

provider = common.tracing()
KafkaInstrumentor().instrument()

import kafka  # noqa: E402


def produce():
    producer = kafka.KafkaProducer(bootstrap_servers=[common.SERVERS])
    for name in common.names():
        began = common.now()
        future = producer.send(common.TOPIC, name.encode())
        ended = common.now()
        place = future.get(30)
        common.sent(name, began, ended, place.partition, place.offset)
    producer.close()


def consume():
    consumer = kafka.KafkaConsumer(
        common.TOPIC, bootstrap_servers=[common.SERVERS], group_id=common.GROUP, auto_offset_reset="earliest", consumer_timeout_ms=60_000
    )
    tracer = trace.get_tracer("handler")
    left = common.COUNT
    for record in consumer:
        with tracer.start_as_current_span("charge") as span:
            failure = common.work(record.value.decode(), record.partition, record.offset)
            if failure:
                common.fail(span, failure)
        left -= 1
        if not left:
            break
    assert not left, "messages are missing"
    consumer.close()


{"produce": produce, "consume": consume}[sys.argv[1]]()
provider.shutdown()
