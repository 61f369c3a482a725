# Tasks. All that must be there is make and a python3 (3.11 or newer) with venv; the rest is installed
# into a virtual environment of that Python's version when it is first needed, or pyproject.toml changes.

PYTHON ?= python3
T ?= 60
ARGS ?=

# Such as .venv-3.11, or .venv-3.13t: interpreters do not share one.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2] + sys.abiflags)')
VENV := .venv-$(VERSION)
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-system check format bench autobahn fuzz soak clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  PYTHON=python3.13    use another interpreter; its environment is $(VENV)'
	@echo '  ARGS="-k name -x"    arguments for pytest (test, fuzz), benchmarks and autobahn'

demo: $(VENV)/.demo ## Serve the FastAPI example on http://127.0.0.1:8000
	@echo 'Serving examples/fastapi_app.py on http://127.0.0.1:8000 (Ctrl-C stops it)'
	@$(VENV)/bin/asgiserver examples.fastapi_app:app --host 127.0.0.1 --port 8000

test: $(VENV)/.test ## Run all tests
	$(RUN) -m pytest $(ARGS)

test-system: $(VENV)/.test ## Run the tests behind nginx and HAProxy (apt-get install nginx haproxy)
	$(RUN) -m pytest tests/system $(ARGS)

check: $(VENV)/.lint ## Check format, lint, types and import contracts
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m mypy --config-file tests/mypy.ini tests
	$(VENV)/bin/lint-imports

format: $(VENV)/.lint ## Format the code, and repair what the linter can
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

bench: ## Run all benchmarks, half an hour; ARGS=NAME runs one (python3 -m benchmarks lists them)
	$(PYTHON) -m benchmarks $(or $(ARGS),--all)

autobahn: $(VENV)/.test ## Run the Autobahn WebSocket suite (it needs a Python 2.7 of its own); ARGS=--quick
	$(RUN) tests/compliance/autobahn/run.py $(ARGS)

fuzz: $(VENV)/.test ## Run the property tests with new random input for T=60 seconds
	@end=$$(($$(date +%s) + $(T))); rounds=0; \
	while [ $$(date +%s) -lt $$end ]; do \
		FUZZ_EXAMPLES=200 $(RUN) -m pytest -q -m hypothesis $(ARGS) || exit 1; \
		rounds=$$((rounds + 1)); \
	done; \
	echo "fuzz: $$rounds rounds without a finding"

soak: $(VENV)/.test ## Run the tests that take minutes: 500,000 requests, 10,000 idle connections
	$(RUN) -m pytest -q -s -m soak $(ARGS)

clean: ## Remove the virtual environments and everything that was built
	rm -rf .venv-* build dist *.egg-info .*_cache .hypothesis .coverage
	find asgiserver benchmarks examples tests -name __pycache__ -prune -exec rm -rf {} +

# The environment. pip installs dependency groups since 25.1, so it is renewed first.

$(RUN):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("asgiserver needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	@echo 'Making $(VENV)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.pip: | $(RUN)
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.pip
	@echo 'Installing asgiserver and the example into $(VENV)'
	@$(PIP) install --editable . --group demo
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.pip
	@echo 'Installing asgiserver and its tests into $(VENV)'
	@$(PIP) install --editable . --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@echo 'Installing the checks into $(VENV)'
	@$(PIP) install --group lint
	@touch $@
