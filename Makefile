# Two commands: `make demo` runs a governed fleet, `make test` passes the tests. Both set everything up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
UV_VERSION := 0.13.8
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup demo test check bench lock clean
.DEFAULT_GOAL := help

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## a virtual environment in .venv with everything pinned by requirements.lock

.tools/.ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv .tools || { echo "python3-venv is needed (Debian: apt-get install python3-venv)"; exit 1; }
	@.tools/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.ready: requirements.lock pyproject.toml .tools/.ready
	@test -x $(BIN)/python || .tools/bin/uv venv -q --python $(PYTHON) .venv
	@.tools/bin/uv pip sync -q --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	@.tools/bin/uv pip install -q --no-deps --python $(BIN)/python -e .
	@touch $@

demo: setup ## a governed fleet at work: make demo [DATA=folder] [EXIT=1] [PORT=7700]
	@$(BIN)/python examples/demo.py $(if $(DATA),--examples "$(DATA)") $(if $(EXIT),--exit) $(if $(PORT),--port "$(PORT)")

test: setup ## all tests, on SQLite and on a real PostgreSQL
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: setup ## format, lint, types, import contracts, tests
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>&1 | tail -8
	@$(MAKE) -s test

format: setup ## put the code in order
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

bench: setup ## measured figures, each beside its baseline of the same run
	@$(BIN)/python -m benchmarks $(ARGS)

lock: .tools/.ready ## compile requirements.lock anew from pyproject.toml
	@rm -f requirements.lock
	@.tools/bin/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --all-extras pyproject.toml -o requirements.lock

clean: ## remove what was set up and what the demo left
	@rm -rf .venv .tools .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
