// kafkajs: new names, spans around the handling, the cluster's id, and no group. Called like the programs in Python, see common.py.
'use strict';

const { diag, DiagConsoleLogger, DiagLogLevel } = require('@opentelemetry/api');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { KafkaJsInstrumentation } = require('@opentelemetry/instrumentation-kafkajs');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { defaultResource, resourceFromAttributes } = require('@opentelemetry/resources');

diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.ERROR);
const encoding = process.env.OTEL_EXPORTER_OTLP_PROTOCOL === 'http/json' ? 'http' : 'proto';
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${encoding}`);
const provider = new NodeTracerProvider({
  resource: defaultResource().merge(resourceFromAttributes({ 'service.name': process.env.OTEL_SERVICE_NAME })),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
registerInstrumentations({ instrumentations: [new KafkaJsInstrumentation()] });

const { Kafka, logLevel } = require('kafkajs');

const { TOPIC, GROUP, BOOTSTRAP_SERVERS } = process.env;
const COUNT = Number(process.env.COUNT);
const kafka = new Kafka({ clientId: process.env.OTEL_SERVICE_NAME, brokers: [BOOTSTRAP_SERVERS], logLevel: logLevel.NOTHING });

class CardDeclined extends Error {}

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
// Nanoseconds, by the clock that the SDK reads.
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1e6);
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

async function produce() {
  const producer = kafka.producer();
  await producer.connect();
  for (let number = 0; number < COUNT; number += 1) {
    const began = now();
    const [place] = await producer.send({ topic: TOPIC, messages: [{ value: `m${number}` }] });
    write({ event: 'sent', id: `m${number}`, began, ended: now(), partition: place.partition, offset: Number(place.baseOffset) });
  }
  await producer.disconnect();
}

// Each message takes a time of its own; every fourth fails, at its first attempt only where it is tried again.
async function work(partition, message, failing) {
  const id = message.value.toString();
  const number = Number(id.slice(1));
  const began = now();
  await pause(10 + 3 * (number % 5));
  const failed = failing && number % 4 === 3;
  write({ event: 'handled', id, began, ended: now(), partition, offset: Number(message.offset), failed });
  if (failed) throw new CardDeclined(`card of ${id} declined`);
}

async function run(handlers) {
  const retry = { initialRetryTime: 50, retries: 5 };
  // A busy machine must not cost the membership, and with it a second delivery.
  const consumer = kafka.consumer({ groupId: GROUP, retry, sessionTimeout: 90_000 });
  await consumer.connect();
  await consumer.subscribe({ topics: [TOPIC], fromBeginning: true });
  let left = COUNT;
  await new Promise((resolve, reject) => {
    const done = (count) => { left -= count; if (left === 0) resolve(); };
    consumer.run(handlers(done)).catch(reject);
    setTimeout(() => reject(new Error(`${left} messages are missing`)), 80_000).unref();
  });
  await consumer.disconnect();
}

function consume() {
  const tried = new Set();
  return run((done) => ({
    eachMessage: async ({ partition, message }) => {
      const place = `${partition}:${message.offset}`;
      const again = tried.has(place);
      tried.add(place);
      await work(partition, message, !again);
      done(1);
    },
  }));
}

function consumeBatches() {
  return run((done) => ({
    eachBatch: async ({ batch }) => {
      for (const message of batch.messages) await work(batch.partition, message, false);
      write({ event: 'batch', size: batch.messages.length });
      done(batch.messages.length);
    },
  }));
}

const acts = { produce, consume, 'consume-batches': consumeBatches };
acts[process.argv[2]]().then(() => provider.shutdown()).then(
  // What kafkajs leaves running must not keep the process.
  () => process.exit(0),
  (error) => { process.stderr.write(`${error.stack}\n`); process.exit(1); },
);
