# Every target sets up what it needs: see scripts/setup and scripts/test.

SHELL := /bin/bash
PYTHON ?= python3
export PYTHON
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test test-full coverage bench lint format shim clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: ## start the demo; it says what to open
	@scripts/setup demo
	@exec .venv/bin/python -m examples.demo

test: ## check the source and run the tests; with ARGS="-k name" a part of them
	@scripts/test $(ARGS)

test-full: ## run the long tests too
	@scripts/test --full $(ARGS)

coverage: ## show the branches that the last `make test` did not take
	@.venv/bin/coverage report --show-missing

bench: ## measure it beside its peers; with ARGS=--quick in two minutes, ours, compiled, and the limit alone
	@$(PYTHON) -m benchmarks $(ARGS)

lint: ## check the source only
	@scripts/test tests/test_tooling.py

format: ## format the source and repair what the linters can
	@scripts/setup test
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .
	@cd client_js && npm run --silent format

shim: ## build emulation/static/ from client_js/src
	@scripts/setup test
	@cd client_js && npm run --silent build && npm run --silent size

clean: ## remove all that is built or installed here
	rm -rf .venv .build client_js/node_modules tests/{browser,gateway,npm}/node_modules dist htmlcov .coverage .coverage.* \
		.mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
