"""What the Python programs share: tracing as an application sets it up, and the ledger that the test compares with.

A program is called with `produce` or `consume`. TOPIC, GROUP, COUNT and BOOTSTRAP_SERVERS say what to do. Each line of the ledger is a
JSON object; times are nanoseconds of the machine's clock.
"""

import json
import os
import sys
import time

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TOPIC = os.environ["TOPIC"]
GROUP = os.environ.get("GROUP", "")
COUNT = int(os.environ["COUNT"])
SERVERS = os.environ["BOOTSTRAP_SERVERS"]
DEADLINE = time.monotonic() + 80


class CardDeclined(Exception):
    """What the consumers fail with."""


def tracing():
    """The SDK with the exporter of OTEL_EXPORTER_OTLP_PROTOCOL; everything else it takes from its own variables."""
    if os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def write(**line):
    print(json.dumps(line), flush=True)


def now():
    return time.time_ns()


def sent(name, began, ended, partition, offset):
    write(event="sent", id=name, began=began, ended=ended, partition=partition, offset=offset)


def names():
    return [f"m{number}" for number in range(COUNT)]


def handle(name):
    """Each message takes a time of its own; every fourth fails."""
    number = int(name[1:])
    time.sleep(0.010 + 0.003 * (number % 5))
    if number % 4 == 3:
        raise CardDeclined(f"card of {name} declined")


def work(name, partition, offset):
    """Handles a message and writes it down; gives the failure."""
    began, failure = now(), None
    try:
        handle(name)
    except CardDeclined as error:
        failure = error
    write(event="handled", id=name, began=began, ended=now(), partition=partition, offset=offset, failed=failure is not None)
    return failure


def fail(span, error):
    span.record_exception(error)
    span.set_status(trace.StatusCode.ERROR)


def in_time():
    if time.monotonic() > DEADLINE:
        sys.exit("messages are missing")
