# Every target does its own set-up; `make help` lists them. CI runs `make test` and nothing else.
# PYTHON=python3.12 chooses the Python of .venv, PYTEST_ARGS="-k blob" is handed to pytest.
PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin
PYTEST := $(BIN)/python scripts/services.py -- $(BIN)/python -m pytest -n 3 --dist worksteal

.PHONY: help setup demo format check test test-services test-pythons bench docs dist lock
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv and .tools: packages, Node and Azurite (needs Python and a package index)
	@$(PYTHON) scripts/setup.py

demo: setup ## Train a model, pack it, run it, drop a blob and read the prediction
	@$(BIN)/python scripts/demo.py

format: setup ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup ## Lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: check ## All tests, with Azurite, a registry and a Docker Engine where there is one
	$(if $(CI),$(BIN)/python scripts/pythons.py --ends)
	$(PYTEST) $(PYTEST_ARGS)

test-services: setup ## Only the tests that talk to Azurite, a registry or a Docker Engine
	$(PYTEST) -m "azurite or registry or docker" $(PYTEST_ARGS)

test-pythons: setup ## The tests that need no service, on every Python from 3.10 to 3.13 that is here
	$(BIN)/python scripts/pythons.py $(PYTEST_ARGS)

bench: setup ## Measure start, latency, image size and rebuild; prints the numbers with their floors
	$(BIN)/python benchmarks/run.py

docs: setup ## Check the documents: links resolve, commands that they name exist
	$(BIN)/python -m pytest tests/repository/test_documents.py

dist: setup ## Build the wheel and the source archive into dist/
	$(BIN)/python -m hatchling build --directory dist

lock: setup ## Resolve the requirement files again; UPGRADE=1 takes newer versions
	$(BIN)/python scripts/lock.py $(if $(UPGRADE),--upgrade)
