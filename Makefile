# Every target sets up what it needs: `make demo` or `make test` is all that anybody types.
SHELL := /bin/bash
VENV  := .venv
PY    := $(VENV)/bin/python
# Genesis, the Event Socket library, allows Python 3.11 and 3.12. To choose one: make PYTHON=python3.12 ...
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && { echo $$p; break; }; done)

CALLS ?= 40
bench-restart: CALLS = 30
bench-floor: CALLS = 10 40 80
SECONDS ?= 20
WORKERS ?= 4
FAREWELLS ?= 100
KILLS ?= 20
MINUTES ?= 60
FUZZ ?= 100000
SEED ?= 1
LOWEST_TIMEOUT ?= 3600

# Under this name and a date; the name alone is a link to the newest.
PREFIX ?= /usr/local/lib/esl-controller

.PHONY: help demo install test fuzz test-lowest style types check format bench bench-floor bench-talk bench-restart soak lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "esl-controller needs Python 3.11 or 3.12 with venv (Debian: apt install python3-venv); make PYTHON=/path/to/python3.11 names one" >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) (once, about a minute) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.ready ## one whole call on this machine: no switch, no phone, no key
	@$(VENV)/bin/esl-controller demo

# Only what was checked against the lock is installed, and each time beside what runs: going back to an
# earlier version is a change of the link.
install: ## PREFIX=/usr/local/lib/esl-controller: this version, with the locked packages
	@test -n "$(PYTHON)" || { echo "esl-controller needs Python 3.11 or 3.12 with venv (Debian: apt install python3-venv); make install PYTHON=/path/to/python3.11 names one" >&2; exit 1; }
	@set -e; new=$(PREFIX)-$$(date +%Y%m%d-%H%M%S); work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	pip() { "$$1/bin/python" -m pip --quiet --disable-pip-version-check "$${@:2}"; }; \
	echo "Installing into $$new (about a minute) ..."; \
	$(PYTHON) -m venv "$$work/build"; $(PYTHON) -m venv "$$new"; \
	pip "$$work/build" wheel --require-hashes --no-deps --only-binary :all: --wheel-dir "$$work" -r requirements.lock; \
	pip "$$work/build" install --no-index --find-links "$$work" hatchling; \
	pip "$$work/build" wheel --no-build-isolation --no-deps --wheel-dir "$$work" .; \
	pip "$$new" install --no-index --find-links "$$work" esl-controller; \
	ln -sfn "$$new" $(PREFIX); $(PREFIX)/bin/esl-controller --version

test: $(VENV)/.ready ## the tests; those in tests/live need FREESWITCH_PREFIX
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

fuzz: $(VENV)/.ready ## FUZZ=100000 SEED=1: so many hostile messages of each kind
	@FUZZ=$(FUZZ) SEED=$(SEED) $(PY) -m pytest -n $(WORKERS) tests/fuzz

# What changes with the versions: the model's WebSocket, the Event Socket, settings, the record.
LOWEST_TESTS ?= tests/agents tests/config tests/freeswitch tests/media tests/project tests/secretaries \
	tests/server tests/session tests/store tests/calls/test_talking.py tests/calls/test_talking_live.py

test-lowest: ## the tests with the lowest versions that pyproject.toml allows, in .venv-lowest
	@test -n "$(PYTHON)" || { echo "esl-controller needs Python 3.11 or 3.12 with venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv-lowest
	@.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	@.venv-lowest/bin/uv pip compile pyproject.toml --extra dev --resolution lowest-direct --quiet \
		--python .venv-lowest/bin/python --output-file .venv-lowest/requirements.txt
	@.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python -r .venv-lowest/requirements.txt
	@.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --no-deps --no-build-isolation --editable .
	@timeout $(LOWEST_TIMEOUT) .venv-lowest/bin/python -m pytest -n $(WORKERS) $(or $(ARGS),$(LOWEST_TESTS))

style: $(VENV)/.ready ## ruff, rules and format; the rooms' boundaries
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/lint-imports --no-cache

types: $(VENV)/.ready ## mypy, strict
	@$(VENV)/bin/mypy

check: style types test ## what CI runs, but for two minutes of soak

format: $(VENV)/.ready ## put the code into shape
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

bench: $(VENV)/.ready ## CALLS=40 SECONDS=20: three processes, CPU, latency, gaps
	@$(PY) -m benchmarks.bench --calls $(CALLS) --seconds $(SECONDS)

bench-floor: $(VENV)/.ready ## CALLS="10 40 80": what the system calls alone cost on this machine
	@$(PY) -m benchmarks.floor $(CALLS)

bench-talk: $(VENV)/.ready ## FAREWELLS=100 KILLS=20: hangups after the last word, models that die in mid-word
	@$(PY) -m benchmarks.talk --farewells $(FAREWELLS) --kills $(KILLS)

bench-restart: $(VENV)/.ready ## CALLS=30: controllers killed and stopped while callers talk
	@$(PY) -m benchmarks.restart --calls $(CALLS)

soak: $(VENV)/.ready ## MINUTES=60: calls that come and go, interrupt, and meet faults; nothing may be left
	@$(PY) -m benchmarks.soak --minutes $(MINUTES)

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--quiet --no-header --upgrade -o requirements.lock

clean: ## remove what the targets made
	rm -rf $(VENV) .venv-lowest .mypy_cache .ruff_cache demo-call.*
