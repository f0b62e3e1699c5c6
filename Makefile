# rdpeer's workbench. `make demo` shows it at work, `make test` proves it, `make help` lists the rest.
#
# Everything that it makes lies inside the clone: the environment in .venv, what is downloaded or
# passing in .cache. It needs make and Python 3.11 or newer, no root and no git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PYTEST ?= $(BIN)/python -m pytest
PROTO := $(wildcard proto/rdpeer/wire/*.proto)

export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-slow lint fuzz proto bench wheel pins clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(READY)  ## send a file through the relay and over the direct path, both ends on this machine
	@$(BIN)/python tests/demo.py

test: $(READY)  ## run the tests (under five minutes)
	$(PYTEST) --basetemp=.cache/test -m "not slow" --numprocesses auto --dist loadfile

test-slow: $(READY)  ## run the long ones: bulk, idle, kill loops, the built wheel
	$(PYTEST) --basetemp=.cache/test-slow -m slow

lint: $(READY)  ## check style, types, import layers and the generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(PYTEST) --basetemp=.cache/lint -q tests/docs/test_proto.py

# What it needs has wheels for few systems, so it has an environment of its own, beside what is found.
SECONDS := 60
TARGETS :=
fuzz:  ## feed hostile bytes to all that takes any: SECONDS=60 each, TARGETS="frames broker"
	@$(MAKE) -s VENV=.cache/fuzz/venv GROUP=fuzz .cache/fuzz/venv/ready
	.cache/fuzz/venv/bin/python tests/fuzz --seconds $(SECONDS) $(TARGETS)

proto: $(READY)  ## generate rdpeer/wire/*_pb2.py and .pyi from proto/
	PATH="$(CURDIR)/$(BIN):$$PATH" protoc -I proto --python_out=. --mypy_out=quiet:. $(PROTO)

bench: $(READY)  ## measure beside ssh and others, as ratios in one run
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.server

wheel: $(READY)  ## build the source distribution and the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

pins:  ## write constraints.txt anew, from the newest releases that pyproject.toml allows
	rm -rf .cache/pins
	$(MAKE) VENV=.cache/pins CONSTRAINTS=/dev/null .cache/pins/ready
	{ sed -n '/^#/p' constraints.txt; .cache/pins/bin/python -m pip freeze --all --exclude-editable --exclude setuptools; } > .cache/constraints.txt
	mv .cache/constraints.txt constraints.txt
	rm -rf .cache/pins

clean:  ## remove what the other targets made
	rm -rf .venv .cache .demo build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache benchmarks/results
	find rdpeer tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. pip comes first because the one that Python 3.11 bundles knows no dependency
# groups; the build backend second, so that what builds rdpeer is pinned like the rest.
CONSTRAINTS := constraints.txt
GROUP := dev
$(READY): pyproject.toml constraints.txt
	@mkdir -p .cache
	@for python in $(PYTHON) python3.13 python3.12 python3.11; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; done; \
	[ "$$python" ] || { echo "make: needs Python 3.11 or newer (make PYTHON=/path/to/python3)" >&2; exit 1; }; \
	$$python -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: $$python lacks the venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }; \
	echo "setting up $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)
	@$(BIN)/python -m pip install -q -c $(CONSTRAINTS) --upgrade pip
	@$(BIN)/python -m pip install -q -c $(CONSTRAINTS) hatchling editables
	@$(BIN)/python -m pip install -q -c $(CONSTRAINTS) --no-build-isolation --editable . --group $(GROUP)
	@touch $@
