# Airlock. `make demo` and `make test` need nothing but Rust's stable toolchain and the package registries.
#
# One release profile serves demo, tests and benchmark, so that wasmtime is compiled once.

POLICIES := $(patsubst %/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml))
# cargo-nextest runs the tests of all crates at once; without it cargo runs them crate after crate.
TESTS := $(shell cargo nextest --version >/dev/null 2>&1 && echo "cargo nextest run --no-fail-fast" || echo "cargo test --no-fail-fast")

say = @printf '\n\033[1m== %s\033[0m\n' "$(1)" >&2

.PHONY: help demo test test-clients conformance bench bench-instructions dist build size policies toolchain unit e2e check fmt bindings by-hand clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: build ## runs Airlock on real traffic and shows policies stepping in
	$(call say,demo)
	target/release/airlock demo

test: unit e2e check ## everything that is tested

bench: build ## what Airlock adds to a call, beside nginx: a table and target/bench.json, in three minutes
	@command -v nginx >/dev/null || sdk/apt.sh install 'nginx-light|nginx-core|nginx'
	$(call say,benchmark)
	cargo build --release --locked --package airlock-bench
	target/release/airlock-build target/bench/policies target/guest tests/bench/asked
	target/release/airlock-bench

bench-instructions: build ## instructions of a call and of a chunk, by part, against their budgets (valgrind; two minutes)
	@command -v vgdb >/dev/null || sdk/apt.sh install valgrind
	$(call say,instructions)
	cargo build --release --locked --package airlock-bench
	target/release/airlock-build target/bench/policies target/guest tests/bench/asked
	@# The names of functions say which part they are of; the binary that is shipped has none.
	cargo build --release --locked --package airlock --config 'profile.release.package.airlock.strip="none"'
	@mkdir -p target/bench/symbols && cp target/release/airlock target/bench/symbols/airlock
	target/release/airlock-bench instructions
	cargo build --release --locked --package airlock

dist: policies ## the binary as it is published, optimised as a whole: target/dist/airlock (a quarter of an hour)
	$(call say,whole-program optimisation)
	cargo build --profile dist --locked --package airlock

build: policies ## the release binary, with the first-party policies inside
	$(call say,host: minutes when cold (mostly wasmtime) and seconds when warm)
	cargo build --release --locked --package airlock

policies: toolchain ## the first-party policies: target/policies/*.wasm
	$(call say,policies)
	cargo build --release --locked --package airlock-build
	target/release/airlock-build target/policies target/guest $(POLICIES)

toolchain: ## a Rust that compiles to Wasm
	@sdk/toolchain.sh

unit: policies by-hand ## tests of all crates
	$(call say,tests)
	$(TESTS) --release --locked --workspace

e2e: build ## real clients, a simulated upstream, and Airlock between them
	$(call say,end-to-end tests)
	@tests/e2e/venv.sh
	target/venv/bin/python -m pytest -p no:cacheprovider tests/e2e

test-clients: build ## SDKs and agent frameworks in Python and JavaScript against the binary; not part of `test`: minutes to install
	$(call say,clients)
	@tests/clients/venv.sh
	target/clients/bin/python -m pytest -p no:cacheprovider tests/clients

conformance: build ## what each vendor's own SDK reports of each act of a policy: a table, and docs/conformance.md
	$(call say,conformance)
	@tests/conformance/venv.sh
	target/release/airlock-build target/conformance-policies target/guest tests/conformance/canary
	target/conformance/bin/python tests/conformance

check: policies ## clippy and rustfmt
	$(call say,clippy and rustfmt)
	cargo clippy --release --locked --workspace --all-targets -- --deny warnings
	cargo fmt --all --check

fmt: ## formats the sources
	cargo fmt --all

bindings: ## the SDK's bindings, after a change of wit/
	cargo run --quiet --locked --manifest-path sdk/rust/bindgen/Cargo.toml --target-dir target/bindgen

by-hand: ## the policies that are written without an SDK, in what languages there are tools for
	@examples/by-hand/build.sh

size: build ## what the release binary consists of: sections, and what is embedded in it
	@size -A -d target/release/airlock | awk '$$2 > 100000' | sort -k2nr
	@ls -l target/release/airlock target/policies/*.wasm | awk '{ print $$5, $$9 }'

clean: ## removes what was built, but for the guest toolchain
	cargo clean
