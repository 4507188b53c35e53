"""aiokafka: new names, the group and the offset; the consumer's span is over before the message is handled."""

import asyncio
import sys

import common
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor
from opentelemetry.instrumentation.aiokafka.utils import _aiokafka_getter

provider = common.tracing()
AIOKafkaInstrumentor().instrument()

import aiokafka  # noqa: E402

TRACER = trace.get_tracer("handler")


async def produce():
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=common.SERVERS)
    await producer.start()
    for name in common.names():
        began = common.now()
        future = await producer.send(common.TOPIC, name.encode(), key=name.encode())
        ended = common.now()
        place = await future
        common.sent(name, began, ended, place.partition, place.offset)
    await producer.stop()


def charge(record):
    """The application goes on with the message's trace, as its instrumentation does not."""
    context = propagate.extract(record.headers, getter=_aiokafka_getter)
    with TRACER.start_as_current_span("charge", context=context) as span:
        failure = common.work(record.value.decode(), record.partition, record.offset)
        if failure:
            common.fail(span, failure)


async def started():
    consumer = aiokafka.AIOKafkaConsumer(
        common.TOPIC, bootstrap_servers=common.SERVERS, group_id=common.GROUP, auto_offset_reset="earliest"
    )
    await consumer.start()
    return consumer


async def consume():
    consumer = await started()
    for _ in range(common.COUNT):
        charge(await asyncio.wait_for(consumer.getone(), 60))
    await consumer.stop()


async def consume_batches():
    consumer, left = await started(), common.COUNT
    while left:
        common.in_time()
        partitions = (await consumer.getmany(timeout_ms=200)).values()
        if partitions:
            common.write(event="poll")
        for records in partitions:
            common.write(event="batch", size=len(records))
            for record in records:
                charge(record)
                left -= 1
    await consumer.stop()


asyncio.run({"produce": produce, "consume": consume, "consume-batches": consume_batches}[sys.argv[1]]())
provider.shutdown()
