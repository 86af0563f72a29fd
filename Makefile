# The usual jobs. `make help` lists them; each sets up .venv first, which is instant when nothing changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.darl-installed
PINS := requirements/constraints.txt
CODE := src tests benchmarks examples requirements docs
CODE_HERE = $(wildcard $(CODE))

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test docs lint types format pins clean distclean

help: ## list the jobs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with pinned requirements and darl itself

$(STAMP): pyproject.toml $(PINS)
	@command -v $(PYTHON) > /dev/null || { \
		echo "'$(PYTHON)' is not on this machine: name a Python 3.11 or newer, as in 'make PYTHON=python3.12 demo'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "darl needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1):" \
			"name a newer one, as in 'make PYTHON=python3.12 demo'." >&2; exit 1; }
	@echo "Setting up $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet -c $(PINS) -e ".[dev,tracking]"
	@touch $@

demo: $(STAMP) ## train, select, retrain on the embedded world, on this machine
	$(BIN)/darl demo

test: $(STAMP) ## run the tests; ARGS="-m 'not backbone'" leaves the slow ones out
	$(BIN)/python -m pytest $(ARGS)

docs: $(STAMP) ## build the documentation into build/site; a broken link ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "built: build/site/index.html"

lint: $(STAMP) ## check style and format
	$(BIN)/ruff check $(CODE_HERE)
	$(BIN)/ruff format --check $(CODE_HERE)

format: $(STAMP) ## mend style and format
	$(BIN)/ruff check --fix $(CODE_HERE)
	$(BIN)/ruff format $(CODE_HERE)

types: $(STAMP) ## check the types
	$(BIN)/pyright

pins: $(STAMP) ## write the versions now installed to requirements/constraints.txt
	$(BIN)/python requirements/pin.py > $(PINS).new
	mv $(PINS).new $(PINS)

clean: ## remove caches and build leftovers; keeps .venv and runs
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv too
	rm -rf $(VENV)
