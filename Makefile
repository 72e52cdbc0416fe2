# make run            the whole demonstration, then keep serving until Ctrl-C
# make run ONCE=1     the demonstration only; fails if anything in it was wrong
# make test           every test          (ARGS="-k survey" passes arguments to pytest)
# make check          lint, types, import rules, clippy, rustfmt
# make bench          an overview of docs/benchmarks.md: calls, and media with telephones
# make fuzz           coverage-guided fuzzing of what reads messages   (FUZZ_SECONDS=150 for each)
# make fuzz-media     the same for what the media engine reads; needs cargo-fuzz  (FUZZ_SECONDS=100 for each)
# make bench-media    what the media engine costs, measured from outside  (SECONDS_EACH=10)
# make soak           the media engine at half load for a while            (SOAK_MINUTES=30)
# make bench-sip      what a call costs the SIP core and the whole server, and what a flood does to both
# make trials         SIP over a bad network and ever new broken messages   (TRIAL_CALLS=200, SEED=…)
# make wheel          a release wheel in dist/; installing it needs no Rust
# make clean          remove what make made
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# pip looks for maturin by name; rustup puts cargo into the home without telling every shell.
export PATH := $(abspath $(BIN)):$(PATH):$(HOME)/.cargo/bin
ENGINE := callrouter/media/engine
DOOR := callrouter/sip/door
MANIFEST := --manifest-path $(ENGINE)/Cargo.toml
# The stub is part of the engine: it is what the engine was built for.
ENGINE_SOURCES := callrouter/_engine.pyi $(shell find $(ENGINE) $(DOOR) -name target -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)
# PyO3 asks this interpreter what to build for.
export PYO3_PYTHON := $(abspath $(BIN)/python)

.PHONY: help run test check bench bench-media bench-sip soak fuzz trials wheel clean
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# The package itself is installed editable, so this stamp only depends on what is installed beside it.
$(VENV)/.installed: pyproject.toml constraints.txt
	@.ci/toolchain rust
	@python="$$(.ci/toolchain python)" && { test -x $(BIN)/python || "$$python" -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip maturin
	@echo "installing the dependencies and building the media engine (a minute or two, once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@ && touch $(VENV)/.engine

$(VENV)/.engine: $(VENV)/.installed $(ENGINE_SOURCES)
	@.ci/toolchain rust
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --skip-install --quiet
	@touch $@

run: $(VENV)/.engine
	$(BIN)/python examples/demo/run.py $(if $(ONCE),--once)

test: $(VENV)/.engine
	@.ci/toolchain rust
	cargo test $(MANIFEST) --workspace --no-default-features --quiet
	@.ci/toolchain phones
# Most of the time is spent on the telephone, so two files are tested side by side.
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.engine
	@.ci/toolchain rust-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cargo fmt $(MANIFEST) --all --check
	cargo clippy $(MANIFEST) --workspace --all-targets --quiet -- -D warnings

bench: $(VENV)/.engine
	@.ci/toolchain phones
	$(BIN)/python -m tests.benchmarks

bench-media: $(VENV)/.engine
	@.ci/toolchain rust
	$(BIN)/python -m tests.benchmarks.media --seconds $(or $(SECONDS_EACH),10)
	$(BIN)/python -m tests.benchmarks.media_paths --seconds $(or $(SECONDS_EACH),10)
	$(BIN)/python -m tests.benchmarks.media_browser --seconds $(or $(SECONDS_EACH),10)

soak: $(VENV)/.engine
	$(BIN)/python -m tests.benchmarks.soak --minutes $(or $(SOAK_MINUTES),30)

bench-sip: $(VENV)/.installed
	@.ci/toolchain phones
	$(BIN)/python -m tests.benchmarks.sip

fuzz: $(VENV)/.installed
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),150)

trials: $(VENV)/.engine
	@.ci/toolchain phones
	$(BIN)/python -m tests.trials $(if $(TRIAL_CALLS),--calls $(TRIAL_CALLS)) $(if $(SEED),--seed $(SEED))

# Without the sanitizer the stable toolchain does; the engine's own code has none to look for but in
# libopus, which a nightly one watches: FUZZ_OPTIONS="-s address".
FUZZ_MEDIA := rtp rtcp telephone_event stun ice dtls srtp coded
fuzz-media:
	@.ci/toolchain fuzz
	cd $(ENGINE) && for target in $(FUZZ_MEDIA); do \
	    mkdir -p ../../../build/fuzz/$$target && \
	    cargo fuzz run $(or $(FUZZ_OPTIONS),-s none) $$target ../../../build/fuzz/$$target fuzz/corpus/$$target \
	        -- -max_total_time=$(or $(FUZZ_SECONDS),100) -max_len=4096 -timeout=5 || exit 1; \
	done

wheel: $(VENV)/.installed
	@.ci/toolchain rust
	$(BIN)/maturin build --release --quiet --out dist
	@ls dist/*.whl

clean:
	rm -rf $(VENV) dist build var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf $(ENGINE)/target callrouter/_engine*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
