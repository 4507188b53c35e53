import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The plain clients under the agent: a span around the handling of each record. Called like the programs in Python, see common.py. */
public final class Shop {
    private static final String TOPIC = System.getenv("TOPIC");
    private static final String SERVERS = System.getenv("BOOTSTRAP_SERVERS");
    private static final int COUNT = Integer.parseInt(System.getenv("COUNT"));
    /** The number of the first message that is sent. */
    private static final int FIRST = Integer.parseInt(System.getenv().getOrDefault("FIRST", "0"));

    private static final class CardDeclined extends RuntimeException {
        private CardDeclined(String message) {
            super(message);
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("produce")) {
            produce();
        } else {
            consume(System.getenv("GROUP"));
        }
    }

    private static long now() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000_000L + now.getNano();
    }

    private static void produce() throws Exception {
        try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", SERVERS), new StringSerializer(), new StringSerializer())) {
            for (int number = FIRST; number < FIRST + COUNT; number++) {
                long began = now();
                RecordMetadata place = producer.send(new ProducerRecord<>(TOPIC, "k" + number, "m" + number)).get();
                System.out.printf(
                    "{\"event\":\"sent\",\"id\":\"m%d\",\"began\":%d,\"ended\":%d,\"partition\":%d,\"offset\":%d}%n",
                    number, began, now(), place.partition(), place.offset());
            }
        }
    }

    private static void consume(String group) throws InterruptedException {
        Map<String, Object> settings = Map.of("bootstrap.servers", SERVERS, "group.id", group, "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(TOPIC));
            long deadline = System.nanoTime() + 80_000_000_000L;
            for (int left = COUNT; left > 0;) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException(left + " messages are missing");
                }
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    work(record);
                    left--;
                }
            }
        }
    }

    private static void work(ConsumerRecord<String, String> record) throws InterruptedException {
        long began = now();
        boolean failed = false;
        try {
            handle(record.value());
        } catch (CardDeclined error) {
            failed = true;
            Span.current().recordException(error).setStatus(StatusCode.ERROR);
        }
        System.out.printf(
            "{\"event\":\"handled\",\"id\":\"%s\",\"began\":%d,\"ended\":%d,\"partition\":%d,\"offset\":%d,\"failed\":%b}%n",
            record.value(), began, now(), record.partition(), record.offset(), failed);
    }

    /** Each message takes a time of its own; every fourth fails. */
    private static void handle(String name) throws InterruptedException {
        int number = Integer.parseInt(name.substring(1));
        Thread.sleep(10 + 3 * (number % 5));
        if (number % 4 == 3) {
            throw new CardDeclined("card of " + name + " declined");
        }
    }
}
