# Everything that is done with this tree. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
UV := tools/uv.sh
S := .stamps

# A stamp says that its step was done with the sources as they are. An environment that is gone, or whose Python is, takes
# the stamps with it.
ifneq ($(shell $(PY) -c 'print("well")' 2>/dev/null),well)
  $(shell rm -rf $(S))
endif
$(shell mkdir -p $(S))

ENGINE_SOURCES := $(shell find native \( -name target -o -path native/swarm \) -prune -o \( -name '*.rs' -o -name 'Cargo.*' -o -name '*.pyi' \) -print) \
  native/engine/pyproject.toml
CYTHON_SOURCES := setup.py pyproject.toml $(wildcard native/*.pyx native/*.pxd)

.PHONY: help
help: ## this list
	@echo "Chorale. Two commands do nearly everything:"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

.PHONY: run
run: $(S)/built ## build what is needed and start the server; ARGS="--host 0.0.0.0 --tls-self-signed" are passed on
	@exec .venv/bin/chorale serve $(ARGS)

.PHONY: build
build: $(S)/built ## only build

.PHONY: test
test: $(S)/built $(S)/dev $(S)/node ## every suite, installing what it needs; SUITES="lint python" for some
	@$(PY) tools/suites.py $(SUITES)

.PHONY: soak
soak: $(S)/built $(S)/dev ## what takes long: chance plays on and on, the fuzzer for MINUTES (10) a target
	@cd native && SEEDS=3000 cargo test --quiet --locked -p sfu --test rooms chance
	@cd native && SEEDS=500 cargo test --quiet --locked -p sfu --test video chance
	@REPLAY_EVERY=1 REPLAY_DECODED=64 REPLAY_SEEDS=20 $(PY) -m pytest -q tests/recordings
	@cd native && bash fuzz/run.sh $$(( $${MINUTES:-10} * 60 ))

.PHONY: lint
lint: $(S)/built $(S)/dev ## formatters, linters, type checkers, import rules
	@$(PY) tools/suites.py lint

.PHONY: fmt
fmt: $(S)/dev ## put the sources into shape
	@$(PY) -m ruff check --quiet --fix --exit-zero .
	@$(PY) -m ruff format .
	@cargo fmt --manifest-path native/Cargo.toml --all

.PHONY: bench
bench: $(S)/built $(S)/dev ## measure; prints a table and writes bench.json
	@$(PY) tools/bench.py

.PHONY: lock
lock: ## resolve the pinned requirements anew, to the newest versions
	@python3 tools/lock.py

.PHONY: clean
clean: ## remove everything that was built; data in var/ stays
	@rm -rf .venv $(S) build dist *.egg-info native/target native/fuzz/target native/*.c native/*.so \
	  tests/clients/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The steps, each once.

$(S)/venv:
	@tools/environment.sh
	@touch $@

$(S)/runtime: requirements.txt $(S)/venv
	@echo "· Python packages"
	@$(UV) pip install --quiet --require-hashes -r requirements.txt
	@touch $@

$(S)/engine: $(ENGINE_SOURCES) $(S)/runtime
	@echo "· the media engine (Rust, release; the first time takes a minute or two)"
	@tools/engine.sh
	@touch $@

$(S)/package: $(CYTHON_SOURCES) $(S)/runtime
	@echo "· the Cython modules"
	@$(UV) pip install --quiet --no-deps --no-build-isolation --reinstall-package chorale --editable .
	@touch $@

$(S)/built: $(S)/engine $(S)/package
	@touch $@

$(S)/dev: requirements-dev.txt $(S)/runtime
	@echo "· Python packages for the tests"
	@$(UV) pip install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

$(S)/node: tests/clients/node/package-lock.json $(wildcard tools/system.sh)
	@tools/system.sh
	@echo "· the Node.js client"
	@cd tests/clients/node && npm ci --silent --no-audit --no-fund </dev/null
	@touch $@
