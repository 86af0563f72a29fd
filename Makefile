# The usual jobs. `make help` lists them; each sets up .venv first, which is instant when nothing changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# bytecode is made as a module is first imported: making it for all that is installed takes a third of the set-up
INSTALL = $(BIN)/python -m pip install --quiet --no-compile -c $(PINS)
USER := $(VENV)/.darl-installed
DEV := $(VENV)/.darl-dev-installed
PINS := requirements/constraints.txt
# The pip that a new environment brings may be years old, and then takes longer over these packages than this one does.
PIP := pip==26.3
CODE := src tests benchmarks examples requirements docs
CODE_HERE = $(wildcard $(CODE))

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo ablation-small test docs lint types format pins clean distclean

help: ## list the jobs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV) ## create .venv with pinned requirements and darl itself, for users and developers

define check-python
	@command -v $(PYTHON) > /dev/null || { \
		echo "'$(PYTHON)' is not on this machine: name a Python 3.11 or newer, as in 'make PYTHON=python3.12 demo'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "darl needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1):" \
			"name a newer one, as in 'make PYTHON=python3.12 demo'." >&2; exit 1; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet $(PIP) || echo "$(PIP) cannot be had: the one that is there will do"
endef

# What a user needs: every verb, no tool of development.
$(USER): pyproject.toml $(PINS)
	$(check-python)
	@$(INSTALL) -e ".[serve,label,report,tracking]"
	@touch $@

# What the tests need besides, in one go: every look at what is installed takes pip its time.
$(DEV): pyproject.toml $(PINS)
	$(check-python)
	@$(INSTALL) -e ".[serve,label,report,tracking,dev]"
	@touch $(USER) $@

demo: $(USER) ## train, select, retrain on the embedded world, on this machine
	$(BIN)/darl demo

ablation-small: $(DEV) ## train the small ladder of the ablation anew and hold it against the published rows; needs DARL_DATA
	$(BIN)/python benchmarks/ablation.py --small --compare

# Files of tests are dealt to one process more than there are cores, at most four (about 1 GB each), one thread each;
# the slow files first (tests/suite.py), so not in xdist's own order, which is by number of tests.
test: $(DEV) ## run the tests; ARGS="-m 'not backbone'" leaves the slow ones out
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

docs: $(DEV) ## build the documentation into build/site; a broken link ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "built: build/site/index.html"

lint: $(DEV) ## check style and format
	$(BIN)/ruff check $(CODE_HERE)
	$(BIN)/ruff format --check $(CODE_HERE)

format: $(DEV) ## mend style and format
	$(BIN)/ruff check --fix $(CODE_HERE)
	$(BIN)/ruff format $(CODE_HERE)

types: $(DEV) ## check the types
	$(BIN)/pyright

pins: $(DEV) ## write the versions now installed to requirements/constraints.txt
	$(BIN)/python requirements/pin.py > $(PINS).new
	mv $(PINS).new $(PINS)

clean: ## remove caches and build leftovers; keeps .venv and runs
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv too
	rm -rf $(VENV)
