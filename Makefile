# make train    everything from nothing to a trained model, on the built-in realm
# make test     the tests
# make bench    how fast it is, and how good in a given time, beside the usual ways
# make compat   is the newest model the same to transformers 4.57? (MODEL=DIR for another)
PYTHON ?= python3
SAMPLE_FLAGS ?=
TRAIN_FLAGS ?= --time-budget 3m
DATASET ?= data/sample

MODEL ?= models/$(shell cat models/latest 2>/dev/null)

BIN := .venv/bin
INSTALLED := .venv/installed
COMPAT := .compat

.PHONY: train test test-all bench compat lint clean

train: $(INSTALLED)
	@test -d data/sample || $(BIN)/greylord data sample sample $(SAMPLE_FLAGS)
	@$(BIN)/greylord train --dataset sample $(TRAIN_FLAGS)

test: $(INSTALLED)
	$(BIN)/pytest

test-all: $(INSTALLED)
	$(BIN)/pytest -m ""

bench: $(INSTALLED)
	@test -d $(DATASET) || $(BIN)/greylord data sample sample
	@$(BIN)/python -m scripts.benchmarks $(DATASET)

compat: $(INSTALLED) $(COMPAT)/installed
	$(BIN)/python tests/compat.py write $(MODEL) $(COMPAT)/expected.npz
	$(COMPAT)/bin/python tests/compat.py compare $(MODEL) $(COMPAT)/expected.npz

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Installs once; again only when what is to be installed has changed.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
		{ echo "greylord needs Python 3.11 to 3.14; name one: make PYTHON=python3.12"; exit 1; }
	@echo "Installing into .venv, once: some minutes and 1.6 GB"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(COMPAT)/installed: constraints.txt
	@test -x $(COMPAT)/bin/python || $(PYTHON) -m venv $(COMPAT)
	@$(COMPAT)/bin/python -m pip install --quiet --disable-pip-version-check "transformers==4.57.6" \
		$(shell grep -E '^(torch|numpy)==' constraints.txt)
	@touch $@

clean:
	rm -rf .venv $(COMPAT) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
