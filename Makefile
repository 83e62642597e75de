# Two commands are the whole set-up on a machine with Python 3.11+ and make:
#   make demo    installs, prepares a market, trains, scans, and opens the site on http://127.0.0.1:8000
#   make test    installs the test tools and runs the tests that need no server and no browser
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PORT ?= 8000
SPEED ?= 60
DATA ?=
RESET ?=
ARGS ?= -n auto

export OMP_NUM_THREADS ?= 1
export PYTHONUNBUFFERED = 1

.PHONY: help demo test check lint types bench services lock clean

help:
	@sed -n 's/^#  *make/make/p' Makefile
	@echo "make check   lint, types, import contracts, migrations and tests"
	@echo "make bench   every benchmark: its name, then one JSON object"
	@echo "make services  how to start PostgreSQL and Redis for the tests and installations that use them"
	@echo "make lock    resolve the dependencies anew"

demo: $(VENV)/.runtime
	@$(PY) -m traderai.firstrun
	@exec $(PY) manage.py demo --port $(PORT) --speed $(SPEED) $(if $(DATA),--data '$(DATA)') $(if $(RESET),--reset)

test: $(VENV)/.dev
	$(PY) -m pytest $(ARGS)

check: lint types
	DJANGO_SETTINGS_MODULE=tests.settings $(PY) manage.py makemigrations --check --dry-run
	$(PY) -m pytest $(ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports

types: $(VENV)/.dev
	$(VENV)/bin/mypy

bench: $(VENV)/.dev
	@for script in benchmarks/bench_*.py; do echo "$$script" >&2; $(PY) $$script || exit 1; done

services:
	@cat docs/services.txt

lock: $(VENV)/.dev
	$(VENV)/bin/uv pip compile -q --upgrade --universal --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	$(VENV)/bin/uv pip compile -q --upgrade --universal --generate-hashes --no-header --no-annotate --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock
	echo 'uv>=0.13,<1' | $(VENV)/bin/uv pip compile -q --upgrade --universal --generate-hashes --no-header --no-annotate - -o requirements-uv.lock

clean:
	rm -rf $(VENV) staticfiles .pytest_cache .mypy_cache .ruff_cache

# --- installation: pinned and hashed; uv does it in seconds, plain pip when uv cannot be had. A lock is whole, and pip knows no overrides: --no-deps.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "TraderAI needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (Debian: apt install python3-venv)."; exit 1; }

$(VENV)/.runtime: requirements.lock | $(PY)
	@echo "Installing (once)..."
	@$(call install,requirements.lock)
	@touch $@

$(VENV)/.dev: requirements-dev.lock requirements.lock | $(PY)
	@echo "Installing the development tools (once)..."
	@$(call install,requirements-dev.lock)
	@touch $@ $(VENV)/.runtime

define install
{ $(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.lock \
  && $(VENV)/bin/uv pip install -q --python $(PY) --require-hashes -r $(1); } \
|| { echo "uv did not manage; using pip (about a minute)"; $(PY) -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $(1); }
endef
