# Everything sets itself up: a fresh Debian 12 with Python 3.11 needs nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := sample-repos/crab-lightcurve

.PHONY: help demo test check bench schemas requirements wheel tools clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(VENV)/.ready tools ## run the demo: link, notebook and basket in, staged result out
	$(BIN)/reprolake run $(DEMO) lightcurve.ipynb --basket $(DEMO)/basket.json -p bins 20 --stage ./staging

test: $(VENV)/.ready tools ## run all tests: three at a time, as most of them wait for others; then those that measure the host
	$(BIN)/pytest -n 3 --dist loadfile -m "not alone" --durations 20 $(PYTEST_ARGS) || [ $$? -eq 5 ]
	$(BIN)/pytest -m alone $(PYTEST_ARGS) || [ $$? -eq 5 ]

check: $(VENV)/.ready ## formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready tools ## measure against what a user would pick instead
	$(BIN)/python -m bench

schemas: $(VENV)/.ready ## write docs/reference anew from the code
	$(BIN)/python docs/generate.py

wheel: $(VENV)/.ready ## build the distribution
	$(BIN)/python -m hatchling build -t wheel

requirements: $(VENV)/.ready ## renew the lock of what developers and CI install
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--group dev pyproject.toml --output-file requirements.lock

tools:
	@sh .ci/tools bubblewrap:bwrap git:git

clean: ## remove what the targets above made
	rm -rf $(VENV) .cache staging dist

$(VENV)/.ready: requirements.lock pyproject.toml
	@sh .ci/tools python3-venv:python3
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
