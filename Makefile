# The commands of this repository, for people and for CI. They need Rust 1.95, Go 1.26, Python 3.11 (with
# venv), a C compiler, git and make. Everything else is installed below target/.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
LAB := $(TARGET)/debug/sluice-lab

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := target/tools/bin/cargo-deny
CARGO_DENY_INSTALLED := target/tools/.cargo-deny-$(CARGO_DENY_VERSION)

.DEFAULT_GOAL := help
.PHONY: help demo lab test chaos check bench bench-fleet generate fmt needs build fmt-check clippy doc deny checked

help:
	@echo "make demo      shows deliveries and rollbacks on a lab of its own: GitLab, AWS and Kubernetes"
	@echo "make lab       starts that lab, leaves it running and prints how to use it"
	@echo "make test      runs all tests, on real parts"
	@echo "make chaos     kills, pauses and fails the controller at each of its calls; make test does so for a sample"
	@echo "make check     checks formatting, lints, dependencies, generated files, chart, architecture"
	@echo "make bench     counts and times deliveries on the lab"
	@echo "make bench-fleet  delivers a thousand Deployments at once, and prints the costs"
	@echo "make generate  generates crds/, the chart's definitions and the tables of docs/ from the types"
	@echo "make fmt       formats the sources"

demo:
	@echo "demo: builds Sluice and its lab, then delivers a function through it; about 15 minutes the first time, 3 after that"
	@$(MAKE) --no-print-directory build
	@$(LAB) demo

lab:
	@echo "lab: builds Sluice and its lab and leaves it running; about 13 minutes the first time, 1 after that"
	@$(MAKE) --no-print-directory build
	@$(LAB) up

test:
	@echo "test: builds everything and runs every test; about 40 minutes the first time, 25 after that"
	@$(MAKE) --no-print-directory build
	@$(LAB) tools
	# Most tests wait: more threads than cores keep the machine busy.
	RUST_TEST_THREADS=6 $(CARGO) test --workspace --locked

# CHAOS=<plan or a part of its name> runs only matching plans; a failure prints the name of its plan.
# CHAOS='!stack-' runs the others, and CHAOS_PART=2/3 the second third. The controllers do half of the work, so the
# profile is optimised, which builds most crates once more.
chaos:
	@echo "chaos: runs every plan of the crash matrix and prints the coverage; about 150 minutes on two cores, and 12 more to build the first time"
	@$(MAKE) --no-print-directory build
	@$(LAB) tools
	$(CARGO) test --workspace --locked --profile chaos --test chaos -- --all

check:
	@echo "check: formatting, lints, documentation, dependencies, generated files, chart, architecture; about 18 minutes the first time, 1 after that"
	@$(MAKE) --no-print-directory needs
	@$(MAKE) --no-print-directory fmt-check
	@$(MAKE) --no-print-directory clippy
	@$(MAKE) --no-print-directory doc
	@$(MAKE) --no-print-directory deny
	@$(MAKE) --no-print-directory checked

# SLUICE_BENCH_PROFILE=release measures optimised code, which takes as long again to build.
bench:
	@echo "bench: counts and times deliveries on the lab; about 35 minutes the first time, 20 after that"
	@$(MAKE) --no-print-directory build
	@if [ "$$SLUICE_BENCH_PROFILE" = release ]; then $(CARGO) build --release --package sluice --locked; fi
	$(CARGO) bench --workspace --locked --profile $(or $(filter release,$(SLUICE_BENCH_PROFILE)),dev) --bench decide
	@$(LAB) bench

# FLEET="--objects 5000 --projects 20 --lifted --delay 40" measures something else.
bench-fleet:
	@echo "bench-fleet: delivers a thousand Deployments at once on the lab; about 10 minutes once built, 20 more the first time for the optimised controller"
	@$(MAKE) --no-print-directory build
	$(CARGO) build --release --package sluice --locked
	@SLUICE_BENCH_PROFILE=release $(LAB) fleet $(FLEET)

generate:
	UPDATE_GENERATED=1 $(CARGO) test --workspace --locked --test it -- generated::
	@git --no-pager diff --stat -- crds charts/sluice/files docs

fmt:
	$(CARGO) fmt --all

# Builds the whole workspace at once, always in the dev profile: a package alone would select other features of
# its dependencies and compile them again.
build: needs
	$(CARGO) build --workspace --locked

needs:
	@for program in $(CARGO) go python3 git cc; do \
		command -v $$program >/dev/null || { echo "$$program is missing: see the first lines of the Makefile" >&2; exit 1; }; \
	done

fmt-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

# Advisories need a database from the network, so run them separately: cargo deny check advisories.
deny: $(CARGO_DENY_INSTALLED)
	$(CARGO_DENY) --locked check bans licenses sources

# Not optimised: the build takes a minute, and a run four seconds.
$(CARGO_DENY_INSTALLED):
	@echo "installing cargo-deny $(CARGO_DENY_VERSION): about 2 minutes"
	$(CARGO) install --quiet --locked --debug --root target/tools cargo-deny@$(CARGO_DENY_VERSION)
	@touch $@

# Checks generated files, chart and architecture with tests that need no cluster.
checked: build
	@$(LAB) tools
	$(CARGO) test --workspace --locked --test it -- generated:: architecture:: chart::lint::
