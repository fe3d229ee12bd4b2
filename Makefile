# Every target sets up what it needs in .venv first, with uv where it is installed, else with venv and pip.
# Another interpreter:  make PYTHON=/path/to/python3.12 test

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: help setup demo test test-slow lint map bench

help:
	@echo "make setup      install mixedfx and its development tools into .venv"
	@echo "make demo       learn covariances on a sample of real ratings, estimate everyone's coefficients, report"
	@echo "make test       the fast tests (some minutes)"
	@echo "make test-slow  the slow tests"
	@echo "make lint       ruff and pyright"
	@echo "make map        the map of the source in CONTRIBUTING.md, after files came or went"
	@echo "make bench      time mixedfx and other libraries side by side (benchmarks/README.md)"

setup: $(INSTALLED)

demo: setup
	$(BIN)/mixedfx run pipelines/insteval.toml

# A process for each core, each with whole files, whose fixtures are costly.
test: setup
	$(BIN)/pytest -n auto --dist loadfile

test-slow: setup
	$(BIN)/pytest -m slow

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

map: setup
	$(BIN)/python tests/source_map.py

# What follows `run` on the command line, such as BENCH="'insteval-*' --repetitions 3".
bench: setup benchmarks/.venv/installed
	$(BIN)/python -m benchmarks run $(BENCH)

# The libraries to compare with, apart from mixedfx's own environment.
benchmarks/.venv/installed: benchmarks/requirements.txt | setup
	$(BIN)/python -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install --disable-pip-version-check -q -r $<
	@touch $@

# `pip install --group dev` would need a newer pip than Python 3.12 comes with.
WRITE_DEV_REQUIREMENTS = $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' > .venv/dev.txt

# uv finds, or fetches, a Python that fits unless PYTHON says which.
$(INSTALLED): pyproject.toml
ifeq ($(shell command -v uv 2>/dev/null),)
	@command -v $(PYTHON) >/dev/null || { echo "mixedfx needs Python 3.12 or newer, but '$(PYTHON)' is not there: install it, or run make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 12) else "mixedfx needs Python 3.12 or newer, but $(PYTHON) is %d.%d: install it, or run make PYTHON=/path/to/python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	@$(WRITE_DEV_REQUIREMENTS)
	$(BIN)/python -m pip install --disable-pip-version-check -q -e . -r .venv/dev.txt
else
	uv venv -q --allow-existing $(if $(filter-out default file,$(origin PYTHON)),--python $(PYTHON)) .venv
	@$(WRITE_DEV_REQUIREMENTS)
	uv pip install -q --python $(BIN)/python -e . -r .venv/dev.txt
endif
	@touch $@
