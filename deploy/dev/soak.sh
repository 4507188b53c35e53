#!/usr/bin/env bash
# Kills, freezes and restarts against a real Kafka and both stores, on REDRIVE_SOAK (5) times as many dead letters as `make test`,
# again and again until SOAK_MINUTES (60) are over; before that one replay through REDRIVE_KILLS (200) kills in a row, notifications
# through REDRIVE_NOTIFY_KILLS (100), those of two instances through REDRIVE_PAIR_KILLS (30) kills and freezes, and every decoder under
# damaged bytes for REDRIVE_FUZZ_SECONDS (600), drawn anew each time. Ends with the first round that fails.
set -eu
cd "$(dirname "$0")/../.."
REDRIVE_KILLS="${REDRIVE_KILLS:-200}" cargo test --locked --test it replay::kills -- --nocapture
REDRIVE_KILLS="${REDRIVE_NOTIFY_KILLS:-100}" cargo test --locked --test it notify::kills:: -- --nocapture
REDRIVE_KILLS="${REDRIVE_PAIR_KILLS:-30}" cargo test --locked --test it alerts::pair::either -- --nocapture
REDRIVE_FUZZ_SECONDS="${REDRIVE_FUZZ_SECONDS:-600}" REDRIVE_FUZZ_SEED="${REDRIVE_FUZZ_SEED:-$(date +%s)}" \
    cargo test --locked --test it fuzz:: -- --nocapture
end=$(( $(date +%s) + ${SOAK_MINUTES:-60} * 60 ))
round=0
while [ "$(date +%s)" -lt "$end" ]; do
    round=$(( round + 1 ))
    echo "round $round"
    REDRIVE_SOAK="${REDRIVE_SOAK:-5}" cargo test --locked --test it dead_letters:: -- --nocapture
done
echo "$round rounds without a loss or a duplicate"
