# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.
#
# Every recipe takes its environment from scripts/env and none sets compiler flags of its own: two targets that
# disagreed about one flag would compile everything twice.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
DESTDIR ?=
# Where things go below PREFIX; a distribution's package sets these.
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man/man1
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
UNITDIR ?= $(PREFIX)/lib/systemd/system

# process or docker: what the demo's agents run tasks with.
RUNTIME ?= process
# 1 or 3: how many managers the demo shows.
MANAGERS ?= 1
# A binary that is already built; empty: build it.
SKEP ?=

.PHONY: help demo clean-demo test bench simulate faults mutants build build-dev install uninstall lint fix tidy

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(if $(SKEP),,build-dev) ## a cluster on this machine; MANAGERS=3, RUNTIME=docker, SKEP=path
	@. scripts/env; SKEP="$(or $(SKEP),$$CARGO_TARGET_DIR/debug/skep)" RUNTIME=$(RUNTIME) MANAGERS=$(MANAGERS) scripts/demo

clean-demo: ## end and clear what a demo that was killed has left
	@scripts/demo clean

# What the demo and the tests run: both are there after one build.
build-dev:
	@scripts/setup build dev
	@. scripts/env; cargo build --workspace --bins --locked

test: ## all tests
	@scripts/setup test dev
	@. scripts/env; cargo build --workspace --bins --locked
	@. scripts/env; if cargo nextest --version >/dev/null 2>&1; \
	    then cargo nextest run --workspace --locked; else cargo test --workspace --locked; fi

bench: ## measure, side by side with etcd; results go to docs/benchmarks.md by hand
	@scripts/setup bench release
	@. scripts/env; cargo build --release --workspace --bins --locked
	@scripts/bench

simulate: ## whole clusters from seeds, with faults; SEED=first, SEEDS=how many
	@scripts/setup test dev
	@. scripts/env; cargo run -q --locked -p skep-tests --bin simulate -- $(or $(SEED),1) $(or $(SEEDS),20)
	@. scripts/env; cargo run -q --locked -p skep-tests --bin simulate -- --managers $(or $(SEED),1) $(or $(SEEDS),20)

faults: ## plant semantic faults one by one; simulated clusters must find nine of ten. SEEDS=how many each
	@scripts/setup test dev
	@scripts/faults

mutants: ## change pure code place by place; the tests must notice. FILE=pattern, SHARD=k/n, JOBS=how many at once
	@scripts/setup test dev
	@scripts/mutants

build: ## the release binary, stripped; its debug data lies beside it
	@scripts/setup build release
	@. scripts/env; cargo build --release --locked --bin skep; scripts/strip "$$CARGO_TARGET_DIR/release/skep"

install: $(if $(SKEP),,build) ## the binary, man pages, completions, systemd unit; PREFIX, DESTDIR
	@. scripts/env; SKEP="$(or $(SKEP),$$CARGO_TARGET_DIR/release/skep)"; \
	install -D -m 755 "$$SKEP" "$(DESTDIR)$(BINDIR)/skep"; \
	if [ -e "$$SKEP.debug" ]; then install -m 644 "$$SKEP.debug" "$(DESTDIR)$(BINDIR)/skep.debug"; fi; \
	install -d "$(DESTDIR)$(MANDIR)" "$(DESTDIR)$(BASHDIR)" "$(DESTDIR)$(ZSHDIR)" "$(DESTDIR)$(FISHDIR)"; \
	"$$SKEP" man "$(DESTDIR)$(MANDIR)"; \
	"$$SKEP" completions bash > "$(DESTDIR)$(BASHDIR)/skep"; \
	"$$SKEP" completions zsh > "$(DESTDIR)$(ZSHDIR)/_skep"; \
	"$$SKEP" completions fish > "$(DESTDIR)$(FISHDIR)/skep.fish"
	@install -d "$(DESTDIR)$(UNITDIR)"
	@sed 's|@BINDIR@|$(BINDIR)|' packaging/skep.service > "$(DESTDIR)$(UNITDIR)/skep.service"
	@echo "installed below $(DESTDIR)$(PREFIX); start it with: systemctl daemon-reload && systemctl enable --now skep"

uninstall: ## take away what install put there; the state folder stays
	@rm -f "$(DESTDIR)$(BINDIR)/skep" "$(DESTDIR)$(BINDIR)/skep.debug" "$(DESTDIR)$(MANDIR)"/skep.1 "$(DESTDIR)$(MANDIR)"/skep-*.1 \
	    "$(DESTDIR)$(BASHDIR)/skep" "$(DESTDIR)$(ZSHDIR)/_skep" "$(DESTDIR)$(FISHDIR)/skep.fish" \
	    "$(DESTDIR)$(UNITDIR)/skep.service"

lint: tidy ## check form and habits, change nothing
	@. scripts/env; cargo fmt --all --check
	@. scripts/env; cargo clippy --workspace --all-targets --locked -- -D warnings

tidy:
	@. scripts/env; cargo test --locked -p skep-tests --test tidy

fix: ## repair what can be repaired by itself
	@. scripts/env; cargo fmt --all
	@. scripts/env; cargo clippy --workspace --all-targets --locked --fix --allow-dirty --allow-staged
