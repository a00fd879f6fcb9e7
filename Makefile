# The only entry point: people and the pipeline run the same targets. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Tools that are installed rather than built with the project; kept outside the clone, so that a new clone finds them.
FLOWTAPE_TOOLS ?= $(HOME)/.cache/flowtape-tools
export FLOWTAPE_TOOLS
DENY_VERSION := 0.20.2
DENY := $(FLOWTAPE_TOOLS)/cargo-deny-$(DENY_VERSION)
BUILD_DIR := $(or $(CARGO_TARGET_DIR),target)


say = @printf '[%-4s] %s\n'

.PHONY: help demo test live spec fuzz query lint fmt fmt-check clippy deny docs laptop \
    generated validate bless bpf bpf-check tools ci clean cc

help: ## List the targets
	@awk -F ':.*## ' '/^## / { print "\n" substr($$0, 4) } /^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

## Try it

demo: cc ## Print policies from a committed tape, compare two tapes, and record live where this machine allows it
	@bash .ci/demo

## Test it

test: cc ## Run every test; those that need root and eBPF run where this machine has them
	$(say) TEST 'cargo test --workspace'
	@cargo test --workspace --locked --no-fail-fast
	@$(MAKE) live

live: cc ## Record real traffic between network namespaces; needs root and eBPF, and says what is missing
	@[ "$$(uname -s)" != Linux ] || [ "$$(id -u)" -ne 0 ] || bash .ci/need ip=iproute2 nft=nftables tcpdump=tcpdump
	$(say) LIVE 'cargo test --test live*'
	@cargo test --workspace --locked --no-fail-fast --test 'live*'

spec: cc ## Run the written semantics: each scenario by name, whether it passes, and how many there are
	$(say) SPEC 'testdata/spec'
	@cargo test --locked -p flowtape --test spec

fuzz: cc ## Throw damaged files at every parser, FOR=60 seconds each; needs a C++ compiler
	@bash .ci/fuzz $(FOR)

query: cc ## Check and test `flowtape query`, whose SQL engine no other target builds; BLESS=1 rewrites its examples
	$(say) LINT 'cargo clippy --features query'
	@cargo clippy --locked -p flowtape --features query --all-targets -- -D warnings
	$(say) TEST 'cargo test --features query --test query'
	@cargo test --locked -p flowtape --features query --lib --test query

lint: fmt-check clippy deny docs ## Check format, lints, dependencies and documentation

fmt: ## Format the code
	$(say) FMT 'cargo fmt'
	@cargo fmt --all

fmt-check:
	$(say) FMT 'cargo fmt --check'
	@cargo fmt --all --check

clippy: cc
	$(say) LINT 'cargo clippy'
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@cargo clippy --workspace --test 'live*' --locked -- -D warnings

deny: $(DENY)/bin/cargo-deny
	$(say) DENY 'licences, bans, sources'
	@PATH='$(DENY)/bin':"$$PATH" cargo deny --workspace check --hide-inclusion-graph licenses bans sources

docs: cc
	$(say) DOC 'cargo doc'
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --workspace --no-deps --locked --document-private-items

laptop: cc ## Build what a laptop needs: stable Rust, no root, no kernel object; the plugin also without Linux
	$(say) CC 'cargo build'
	@cargo build --locked
	$(say) CC 'cargo check of kubectl-flowtape without Linux'
	@bash .ci/portable

## Change it

validate: cc ## Check policies and reports against the published schemas of NetworkPolicy, SARIF and JUnit; fetches pinned checkers, or says so
	$(say) TEST 'kubernetes-validate'
	@bash .ci/validate
	$(say) TEST 'schemas of SARIF and JUnit'
	@bash .ci/reports

generated: cc ## Check that every generated file is what its generator writes
	@bash .ci/generated

bless: cc ## Rewrite generated files and expected outputs from what the code does now; read the diff before you commit it
	$(say) GEN 'BLESS=1 cargo test'
	@BLESS=1 cargo test --workspace --locked --no-fail-fast

bpf: ## Build the kernel object into recorder-ebpf/prebuilt
	$(say) BPF 'recorder-ebpf/build.sh'
	@bash recorder-ebpf/build.sh

bpf-check: ## Check that the committed kernel object belongs to its sources
	$(say) BPF 'recorder-ebpf/build.sh --check'
	@bash recorder-ebpf/build.sh --check

## Keep it

tools: $(DENY)/bin/cargo-deny ## Install cargo-deny and what builds the kernel object
	@bash recorder-ebpf/build.sh --install

$(DENY)/bin/cargo-deny: | cc
	$(say) NEED 'cargo-deny $(DENY_VERSION): about 3 minutes on 2 cores, once'
	@cargo install --locked --quiet cargo-deny --version $(DENY_VERSION) --root '$(DENY)'

ci: ## Everything the pipeline runs, with the time of each lane
	@bash .ci/lanes tools fmt-check deny clippy docs laptop test query generated validate bpf-check demo

clean: ## Remove what was built and recorded
	$(say) RM '$(BUILD_DIR) out'
	@rm -rf '$(BUILD_DIR)' out

cc:
	@command -v cargo >/dev/null || { \
	    echo 'error: no `cargo` on PATH' >&2; \
	    echo 'hint: install rustup; it fetches the toolchain that rust-toolchain.toml names' >&2; exit 2; }
	@bash .ci/need cc=build-essential git=git
