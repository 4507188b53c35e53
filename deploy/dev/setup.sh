#!/usr/bin/env bash
# Makes sure that what a task needs is on this machine: `deploy/dev/setup.sh build`, `test` or `kafka`.
# On Debian missing packages are installed through apt-get; elsewhere, or without the right to, one line says what is missing.
# When everything is there, it does nothing and takes no time.
set -euo pipefail

packages=()

# need PROGRAM PACKAGE: the package, unless the program is there.
need() { command -v "$1" >/dev/null || packages+=("$2"); }

build() {
  need cc gcc
  need c++ g++
  need make make
  need pkg-config pkg-config
  pkg-config --exists openssl 2>/dev/null || packages+=(libssl-dev)
}

kafka() {
  need java default-jre-headless
  need mvn maven
}

tests() {
  need chromium chromium
  need chromedriver chromium-driver
  need python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
  need node nodejs
  need npm npm
  need javac default-jdk-headless
  need setpriv util-linux
  need kill procps
  need prometheus-alertmanager prometheus-alertmanager
  need alertmanager-irc-relay alertmanager-irc-relay
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || packages+=(postgresql)
}

case ${1:-} in
  build) build ;;
  kafka) kafka ;;
  test) build; kafka; tests ;;
  *) sed -n '2,4s/^# //p' "$0" >&2; exit 2 ;;
esac

if ! command -v cargo >/dev/null; then
  echo "missing: Rust (cargo); rust-toolchain.toml names the version, rustup installs it" >&2
  exit 1
fi
[ ${#packages[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
  echo "missing: ${packages[*]} (Debian's names); install them and try again" >&2
  exit 1
fi
echo "installing: ${packages[*]}" >&2
# Debian starts the services of what it installs, now and with the machine. The tests start what they need themselves.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  "${as_root[@]}" chmod 755 "$policy"
fi
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" >&2
for service in prometheus-alertmanager alertmanager-irc-relay; do
  if [[ " ${packages[*]} " == *" $service "* ]]; then
    if command -v systemctl >/dev/null; then
      "${as_root[@]}" systemctl --quiet disable "$service" >&2
    else
      "${as_root[@]}" update-rc.d "$service" disable >&2
    fi
  fi
done
