# Two commands do everything: `make sandbox` and `make test`. Both set up what they need.
.DEFAULT_GOAL := help
BIN := .venv/bin
SOURCES := trust catalog node adapters config scripts tests

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: setup
setup: ## Set up .venv with everything; the command is then .venv/bin/sacbe
	@scripts/setup

.PHONY: sandbox
sandbox: setup ## Run a whole ecosystem on this machine
	@$(BIN)/sacbe sandbox

.PHONY: test
test: setup lint ## Lint, types, import contracts and all tests
	$(BIN)/pytest -q -n 2 --dist loadgroup tests

.PHONY: soak
soak: setup ## Ten minutes of 20 000 exchanges, 1 GiB bodies and many kill -9
	SACBE_SOAK=1 $(BIN)/pytest -q --log-cli-level=INFO \
		tests/test_endurance.py tests/test_crash.py tests/test_orphans.py \
		tests/test_evidence_failures.py

.PHONY: fuzz
fuzz: setup fuzz-containers ## 100 000 damaged and invented inputs to each reader; prints the seed
	SACBE_FUZZ=1 $(BIN)/pytest -q --log-cli-level=INFO tests/test_fuzz.py

.PHONY: fuzz-containers
fuzz-containers: setup ## The same for containers and archives alone
	SACBE_FUZZ=1 $(BIN)/pytest -q --log-cli-level=INFO tests/test_fuzz_containers.py

.PHONY: lint
lint: setup ## Format check, lint, types, import contracts, Dockerfile
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

.PHONY: format
format: setup ## Format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

.PHONY: bench
bench: setup ## Measure exchanges through two nodes
	@$(BIN)/sacbe bench

.PHONY: docs
docs: setup ## Write the example settings and docs/settings.md anew
	@$(BIN)/python -m scripts.generate

.PHONY: lock
lock: ## Renew the locked requirements from pyproject.toml
	scripts/lock --upgrade
