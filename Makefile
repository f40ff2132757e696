# `make demo` and `make test` need a fresh clone and a python3 (3.11 or later); they make the rest.

SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
FOLDERS := agents coordinator deploy envs grammars oracles transport
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
DEMO ?= $(BIN)/antiphon run dac-pendulum-demo
BENCH ?= $(BIN)/antiphon bench round_latency
PYTEST := $(BIN)/python -m pytest -q
MANIFESTS := deploy/manifests/examples

.PHONY: demo test test-all tests-of-deploy tests-of-the-rest lint types links env gallery manifests bench chaos clean

demo: env
	$(DEMO)

test: lint types
	$(PYTEST)

# Two at a time, the longest first: the tests of tests/deploy mostly wait, and most others compute.
# Beside others a test takes longer than alone.
ALL := -m "" --timeout=360

test-all:
	$(MAKE) --jobs=2 lint types tests-of-the-rest tests-of-deploy

tests-of-deploy: env links
	@set -o pipefail; $(PYTEST) $(ALL) tests/deploy 2>&1 | sed -u "s/^/deploy: /"

tests-of-the-rest: env links
	@set -o pipefail; $(PYTEST) $(ALL) --ignore=tests/deploy 2>&1 | sed -u "s/^/rest: /"

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env links
	$(BIN)/pyright --project pyproject.toml --pythonpath $(BIN)/python

# Static tools cannot follow the mapping of folders to subpackages; under .links it is a plain tree.
links:
	@mkdir -p .links/antiphon
	@find .links/antiphon -type l ! -exec test -e {} \; -delete
	@ln -sfn ../tests/rigs .links/rigs
	@for entry in $(FOLDERS) $(filter-out %/__pycache__,$(wildcard antiphon/*)); do \
		link=.links/antiphon/$$(basename $$entry); \
		[ "$$(readlink $$link)" = ../../$$entry ] || ln -sfn ../../$$entry $$link; \
	done

env: .venv/complete

# torch goes first and alone: what follows then meets the pinned one and does not choose another.
.venv/complete: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
	$(PIP) torch
	$(PIP) setuptools wheel
	$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

# The pictures of the documents; tests/pictures/test_gallery.py holds them to the library.
gallery: env
	$(BIN)/python -P -m antiphon.pictures.gallery docs

# The examples of docs/manifests.md; tests/deploy/manifests/test_examples.py holds them to the command.
manifests: env
	$(BIN)/antiphon manifest ray-up $(MANIFESTS)/experiment.toml --out $(MANIFESTS)/ray-up.yaml
	$(BIN)/antiphon manifest kuberay-cluster $(MANIFESTS)/experiment.toml --out $(MANIFESTS)/kuberay-cluster.yaml
	$(BIN)/antiphon manifest kuberay-job $(MANIFESTS)/experiment.toml --out $(MANIFESTS)/kuberay-job.yaml
	$(BIN)/antiphon manifest slurm $(MANIFESTS)/experiment.toml --out $(MANIFESTS)/slurm.sh
	$(BIN)/antiphon manifest docker --out $(MANIFESTS)/Dockerfile

bench: env
	$(BENCH)

# FAULTS random faults against runs of four grammars on Ray, in about half an hour if nothing else runs.
FAULTS ?= 200
chaos: env links
	PYTHONPATH=.links $(BIN)/python -m benchmarks.chaos --faults $(FAULTS)

clean:
	rm -rf .venv .links build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
