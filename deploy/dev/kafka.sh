#!/usr/bin/env bash
# A real Apache Kafka for development and tests, without an installation: Java 17 and Maven are enough.
#
#   deploy/dev/kafka.sh fetch          fetches the jars once (43 MB) and prints the folder that holds them
#   deploy/dev/kafka.sh run [PORT]     runs one node on 127.0.0.1:PORT (default 9092) until it is interrupted;
#                                      its data is in target/kafka/dev-PORT and survives a restart
#
# The version is in tests/it/harness/kafka/pom.xml. REDRIVE_KAFKA_LIB names a folder of jars to use instead of fetching.
# `make kafka` is `deploy/dev/kafka.sh run`.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
home=${CARGO_TARGET_DIR:-$root/target}/kafka

fetch() {
  if [ -n "${REDRIVE_KAFKA_LIB:-}" ]; then echo "$REDRIVE_KAFKA_LIB"; return; fi
  pom=$root/tests/it/harness/kafka/pom.xml
  lib=$home/lib-$(cksum <"$pom" | cut -d' ' -f1)
  mkdir -p "$home"
  # Parallel test processes wait for the first; the folder appears in one step, so it is never seen half filled.
  exec 9>"$home/fetch.lock"
  flock 9
  if [ ! -d "$lib" ]; then
    rm -rf "$lib.new"
    # A registry that stumbles once is asked again.
    for try in 1 2 3; do
      if mvn -q --batch-mode -f "$pom" dependency:copy-dependencies -DoutputDirectory="$lib.new" >&2; then break; fi
      [ "$try" -lt 3 ] || exit 1
      sleep 5
    done
    mv "$lib.new" "$lib"
  fi
  exec 9>&-
  echo "$lib"
}

run() {
  port=${1:-9092}
  lib=$(fetch)
  data=$home/dev-$port
  mkdir -p "$data"
  cat >"$data/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$data/logs
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
EOF
  if [ ! -f "$data/logs/meta.properties" ]; then
    java -cp "$lib/*" kafka.tools.StorageTool format --standalone -t "$(java -cp "$lib/*" kafka.tools.StorageTool random-uuid 2>/dev/null)" \
      -c "$data/server.properties" >&2
  fi
  echo "Kafka listens on 127.0.0.1:$port" >&2
  exec java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$lib/*" kafka.Kafka "$data/server.properties"
}

case ${1:-} in
  fetch) fetch ;;
  run) shift; run "$@" ;;
  *) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2 ;;
esac
