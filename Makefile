# make test         everything a change must pass, in an environment made on the first call
# make quickstart   the shortest way from a checkout to a trained, compared and served recommender
# Both use .venv, made with $(PYTHON): by default the first Python below that runs and is supported.

PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  >/dev/null 2>&1 && { echo $$python; break; }; done)
BIN := .venv/bin
# Modules are compiled when they are first imported, which most of what is installed never is.
PIP := -m pip --disable-pip-version-check --quiet install --no-compile
INSTALL := $(BIN)/python $(PIP) --editable
OLDEST := .venv/oldest
export PYTHONDONTWRITEBYTECODE :=

# TensorFlow's own start-up notes would hide the output that matters.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: test quickstart
.DELETE_ON_ERROR:

# What is exported answers under the oldest TensorFlow that is supported, too.
test: export HREC_OTHER_PYTHON := $(CURDIR)/$(OLDEST)/bin/python
test: .venv/dev.stamp $(OLDEST).stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist loadgroup -m "not integration"
	$(BIN)/python -m pytest -n auto --dist loadgroup -m integration

quickstart: .venv/runtime.stamp
	$(BIN)/hrec quickstart

# The stamps are older than pyproject.toml exactly when something may have to be installed. What
# the tests need includes what the quick start needs, so that either target's environment serves.
.venv/runtime.stamp: pyproject.toml | $(BIN)/pip
	$(INSTALL) .
	@touch $@

.venv/dev.stamp: pyproject.toml | $(BIN)/pip
	$(INSTALL) '.[dev]'
	@touch .venv/runtime.stamp $@

$(OLDEST).stamp: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m venv $(OLDEST)
	$(OLDEST)/bin/python $(PIP) 'tensorflow-cpu==2.20.*' || $(OLDEST)/bin/python $(PIP) 'tensorflow==2.20.*'
	@touch $@

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 was found that runs and has" \
	  "ensurepip. Name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
