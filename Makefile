# Everything a newcomer needs: `make demo` and `make test`. Nothing is installed outside .venv.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The first Python of at least 3.11 that really runs.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock
SENTENCE ?= Train a small model that tells positive from negative product reviews. I care about macro-F1. Don't spend any money.
# Files are shared out among processes; two at most, as many tests train with all the threads that there are.
PARALLEL ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder
# Training scripts: each imports its parts as it does in a run's folder, so types are checked apart from the packages.
RECIPES := $(filter-out %/__init__.py %/registry.py,$(wildcard remote/recipes/*.py))
export INTERN_HOME ?= $(CURDIR)/.intern

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format bench peers pictures lock clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.train ## From one sentence to a packaged model: real data, real weights, no account
	@$(BIN)/intern run "$(SENTENCE)" --yes

test: $(VENV)/.dev ## The test suite (PARALLEL= for one process)
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-all: $(VENV)/.dev ## The test suite with the long ones
	@$(BIN)/python -m pytest

check: $(VENV)/.dev ## Lint, format, types, and the arrows between the packages
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/mypy $(RECIPES) && $(BIN)/lint-imports

format: $(VENV)/.dev ## Mend what lint and format can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/.dev ## Speed and memory, as ratios
	@for b in tests/bench/bench_*.py; do $(BIN)/python -m $$(echo "$${b%.py}" | tr / .) || exit 1; done

pictures: $(VENV)/.dev ## Draw the pictures of docs/slack.md and docs/discord.md from real cards (needs chromium)
	@$(BIN)/python -m tests.slack.gallery docs/pictures
	@$(PIP) 'simcord[screenshot]' && $(BIN)/playwright install chromium && \
		$(BIN)/python -m tests.bot.discord.gallery docs/pictures

lock: $(VENV)/.dev ## Resolve requirements.lock anew
	@$(PIP) uv && $(BIN)/uv pip compile --quiet --upgrade --universal --all-extras --python-version 3.11 \
		--no-emit-index-url --no-header --no-annotate pyproject.toml --output-file requirements.lock

clean: ## Remove the environment and the demo's runs
	rm -rf $(VENV) .intern .tools build *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say 'make PYTHON=/path/to/python3'."; exit 1; }
	@# Debian splits ensurepip off; virtualenv carries its own pip.
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m pip --version >/dev/null 2>&1 && \
		$(PYTHON) -m pip install --quiet --target $(VENV).boot virtualenv && \
		PYTHONPATH=$(VENV).boot $(PYTHON) -m virtualenv --quiet $(VENV) && rm -rf $(VENV).boot; } || { \
		echo "No virtual environment can be made: install your system's python3-venv package, then try again."; exit 1; }

$(VENV)/.train: $(BIN)/python pyproject.toml requirements.lock
	@echo "Installing (about a minute; once)…"
	@$(PIP) --editable '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train .tools/slack/package.json
	@$(PIP) --editable '.[train,slack,discord,modal,llm,dev]'
	@touch $@

peers: .tools/slack/package.json ## The local Slack that tests talk to (Linux x64 with npm; else they skip)

.tools/slack/package.json: tests/slack/package.json tests/slack/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: the tests in front of a local Slack will be skipped."; exit 0; }; \
	rm -rf .tools/slack.new && mkdir -p .tools/slack.new && cp tests/slack/package*.json .tools/slack.new/ && \
	(cd .tools/slack.new && npm ci --silent --ignore-scripts --no-audit --no-fund) && \
	rm -rf .tools/slack && mv .tools/slack.new .tools/slack && touch $@
