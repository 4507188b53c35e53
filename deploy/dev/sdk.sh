#!/usr/bin/env bash
# What the programs of the tests run with, without an installation: OpenTelemetry's SDKs and instrumentations for Python and Node, the
# agent for Java, and clients of Kafka.
#
#   deploy/dev/sdk.sh fetch    fetches everything once (150 MB unpacked) and prints the folder that holds python, node and java
#
# The versions are in tests/it/harness/sdk. `deploy/dev/setup.sh test` installs the interpreters.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
home=${CARGO_TARGET_DIR:-$root/target}/sdk
pins=$root/tests/it/harness/sdk

# again COMMAND...: a registry that stumbles once is asked again.
again() {
  for try in 1 2 3; do
    if "$@" >&2; then return; fi
    [ "$try" -lt 3 ] || return 1
    sleep 5
  done
}

python() {
  python3 -m venv "$1/python" >&2
  again "$1/python/bin/python" -m pip install -q --disable-pip-version-check --only-binary=:all: -r "$pins/requirements.txt"
}

node() {
  mkdir -p "$1/node"
  cp "$pins/package.json" "$pins/package-lock.json" "$1/node"
  again npm ci --prefix "$1/node" --ignore-scripts --no-audit --no-fund --loglevel=error
}

java() {
  again mvn -q --batch-mode -f "$pins/pom.xml" dependency:copy-dependencies -Dmdep.stripVersion=true -DoutputDirectory="$1/java"
}

fetch() {
  # Another version of Python has other packages.
  lib=$home/lib-$({ cat "$pins"/*; python3 --version; } | cksum | cut -d' ' -f1)
  mkdir -p "$home"
  # Parallel test processes wait for the first; the folder appears in one step, so it is never seen half filled.
  exec 9>"$home/fetch.lock"
  flock 9
  if [ ! -d "$lib" ]; then
    rm -rf "$lib.new"
    mkdir "$lib.new"
    parts=()
    for part in python node java; do
      "$part" "$lib.new" &
      parts+=($!)
    done
    for part in "${parts[@]}"; do wait "$part"; done
    mv "$lib.new" "$lib"
  fi
  exec 9>&-
  echo "$lib"
}

case ${1:-} in
  fetch) fetch ;;
  *) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 2 ;;
esac
