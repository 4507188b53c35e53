# Everything a developer runs. Each target installs what is missing on Debian or says in one line what it needs.

SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help
# Most tests wait for brokers and settle times and not for a processor.
export RUST_TEST_THREADS ?= 4
.PHONY: help demo test check bench soak kafka

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## A simulated shop with failing messages, on http://127.0.0.1:8080
	@deploy/dev/setup.sh build
	cargo run --locked -- demo

test: ## Every test, against a real Kafka, PostgreSQL and Chromium
	@deploy/dev/setup.sh test
	cargo test --locked

# The compiler lints and documents what it compiles for the tests. jemalloc adds -O3 by itself; it compiles in half the time without.
check: export RUSTC_WORKSPACE_WRAPPER := $(CURDIR)/deploy/dev/compiler.sh
check: export EXTRA_CFLAGS := -O1
check: ## What CI checks: format, dependencies, clippy, docs, and every test once
	@deploy/dev/setup.sh test
	cargo fmt --check
	deploy/dev/dependencies.sh
	cargo test --locked --all-targets --no-run
	$(MAKE) test

bench: ## Figures, each beside a raw baseline from the same run and its aim (some minutes)
	@deploy/dev/setup.sh test
	cargo bench --locked --bench indexing --bench store --bench replay --bench figures --bench spans --bench alerts

soak: ## Hours of kills and restarts against a real Kafka (SOAK_MINUTES=60)
	@deploy/dev/setup.sh test
	deploy/dev/soak.sh

kafka: ## A real Kafka for development, on 127.0.0.1:9092
	@deploy/dev/setup.sh kafka
	deploy/dev/kafka.sh run
