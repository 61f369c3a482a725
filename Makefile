# Tasks. All that must be there is make and a python3 (3.11 or newer) with venv; the rest is installed
# into a virtual environment of that Python's version when it is first needed, or pyproject.toml changes.
# What is installed has the versions of constraints.txt, so that nothing breaks that nobody changed.

PYTHON ?= python3
T ?= 60
N ?= 1000000
JOBS ?= 4
PORT ?= 8000
ARGS ?=

# Such as .venv-3.11, or .venv-3.13t: interpreters do not share one.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2] + sys.abiflags)')
VENV := .venv-$(VERSION)
APPLICATIONS := $(VENV)-applications
RUN := $(VENV)/bin/python
# An environment has the compiled core in any case; whether it is used is asked when it runs.
PIP = env -u ASGISERVER_SPEEDUPS $(@D)/bin/python -m pip --quiet --quiet --disable-pip-version-check
LOCKED := --constraint constraints.txt
# What the compiled core is built from; an environment is renewed when it changes.
CORE := setup.py $(wildcard asgiserver/speedups/*.[ch])
comma := ,
space := $(subst ,, )

# Line and branch coverage of what unit and conformance tests reach: of all, and of what is pure.
# Parts without I/O have no line and no branch without a test.
FLOOR := 84
PURE := \
	asgiserver/asgi/ending.py \
	asgiserver/h1/chunked.py \
	asgiserver/h1/core_reader.py \
	asgiserver/h1/encoder.py \
	asgiserver/h1/head.py \
	asgiserver/h1/head_reader.py \
	asgiserver/h1/parser.py \
	asgiserver/h2/budgets.py \
	asgiserver/h2/codec.py \
	asgiserver/h2/core_request.py \
	asgiserver/h2/faults.py \
	asgiserver/h2/frames.py \
	asgiserver/h2/hpack.py \
	asgiserver/h2/hpack_policy.py \
	asgiserver/h2/inflow.py \
	asgiserver/h2/priority.py \
	asgiserver/h2/python_hpack.py \
	asgiserver/h2/receiving.py \
	asgiserver/h2/request_head.py \
	asgiserver/h2/sending.py \
	asgiserver/h2/settings.py \
	asgiserver/h2/streams.py \
	asgiserver/http/* \
	asgiserver/metrics/* \
	asgiserver/process/plan.py \
	asgiserver/ws/assembly.py \
	asgiserver/ws/deflate.py \
	asgiserver/ws/handshake.py \
	asgiserver/ws/python_codec.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-rest test-system test-applications check docs coverage wheel format bench autobahn fuzz fuzz-native soak lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  PYTHON=python3.13       use another interpreter; its environment is $(VENV)'
	@echo '  PORT=9000               the port of the demo'
	@echo '  JOBS=0                  run the tests one by one'
	@echo '  ARGS="-k name -x"       arguments for pytest (test, test-all, fuzz), benchmarks and autobahn'

demo: $(VENV)/.demo ## Serve the FastAPI example on http://127.0.0.1:8000, or on another PORT
	@echo 'Serving examples/fastapi_app.py; open http://127.0.0.1:$(PORT)/docs (Ctrl-C stops it)'
	@$(VENV)/bin/asgiserver examples.fastapi_app:app --host 127.0.0.1 --port $(PORT)

# More processes than cores: many tests wait for something. Files come in the order of their names, so
# that those with the longest tests, of whole processes, are not the last ones.
PYTEST = $(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.test ## Run the tests, less than four minutes on two cores; JOBS=4 at a time
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(PYTEST) -m 'not soak and not long' $(ARGS)

test-all: $(VENV)/.test ## Run these, and those that take long: seven minutes or so
	$(PYTEST) $(ARGS)

test-rest: $(VENV)/.test ## Run those of them that `make coverage` does not run
	$(PYTEST) -m 'not soak and (not covered or hypothesis)' $(ARGS)

test-system: $(VENV)/.test ## Run the tests with nginx, HAProxy and Prometheus (apt-get install nginx haproxy prometheus)
	$(RUN) -m pytest tests/system $(ARGS)

test-applications: $(APPLICATIONS)/.applications ## Run the tests with Gradio and others (apt-get install chromium litmus)
	$(APPLICATIONS)/bin/python -m pytest tests/frameworks/applications $(ARGS)

check: $(VENV)/.lint ## Check format, lint, types and import contracts
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m mypy --config-file tests/mypy.ini tests
	$(VENV)/bin/lint-imports

# A warning, such as of a link that leads nowhere, fails the build.
docs: $(VENV)/.docs ## Build the site in build/docs, and check every link and every recipe of its pages
	$(RUN) -m sphinx --quiet --fail-on-warning --builder html --doctree-dir build/doctrees docs build/docs
	$(RUN) -m pytest -q tests/docs $(ARGS)
	@echo 'The site begins at build/docs/index.html'

coverage: $(VENV)/.test ## Measure line and branch coverage of unit and conformance tests, with floors
	@rm -f .coverage .coverage.*
	$(RUN) -m coverage run -m pytest -q -n 2 --dist loadfile -m 'covered and not soak and not hypothesis' \
		tests/unit tests/conformance $(ARGS)
	@$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report --fail-under=$(FLOOR)
	$(RUN) -m coverage report --fail-under=100 --include='$(subst $(space),$(comma),$(strip $(PURE)))'

wheel: $(VENV)/.pip ## Build the wheel, install it into an empty environment, serve a request from it
	$(RUN) tests/wheel/check_wheel.py

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

# The core built with sanitizers lies in a copy of the package, which its process finds first.
# Without pymalloc each object has memory of its own, so a step beside it is seen.
SANITIZE := -g -O1 -Wall -Wextra -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
NATIVE := build/native-$(VERSION)
SANITIZED = PYTHONSAFEPATH=1 PYTHONPATH=$(NATIVE) PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)"

fuzz-native: $(VENV)/.test ## Run the tests of the compiled core under ASan and UBSan, with N=1000000 inputs in C
	@rm -rf $(NATIVE) && mkdir -p $(NATIVE) && cp -r asgiserver $(NATIVE) && rm -f $(NATIVE)/asgiserver/speedups/*.so
	@cd tests && ../$(RUN) native/inputs.py ../$(NATIVE)
	CC='$(CC)' SANITIZE='$(SANITIZE)' bash tests/native/run $(NATIVE) $(N)
	$(CC) $(SANITIZE) -shared -fPIC asgiserver/speedups/*.c \
		$$($(RUN) -c 'import sysconfig as s; print("-I" + s.get_path("include"), "-o", "$(NATIVE)/asgiserver/speedups/_core" + s.get_config_var("EXT_SUFFIX"))')
	$(SANITIZED) $(RUN) -c 'from asgiserver.speedups import _core; assert "$(NATIVE)" in _core.__file__, _core.__file__'
	$(SANITIZED) $(RUN) -m pytest -q -p no:cacheprovider tests/fuzz/test_fuzz_core.py tests/fuzz/test_fuzz_hpack.py \
		tests/fuzz/test_fuzz_h2_request.py tests/unit/h2/test_core_request.py \
		tests/unit/h1/test_core_reader.py tests/unit/http/test_core_addresses.py tests/unit/log/test_core_access_line.py tests/unit/metrics/test_core_tally.py tests/unit/http/test_core_response.py tests/unit/h2/test_h2_hpack.py tests/unit/h2/test_core_hpack.py $(ARGS)

soak: $(VENV)/.test ## Run the tests that take minutes: 500,000 requests, 10,000 idle connections
	$(RUN) -m pytest -q -s -m soak $(ARGS)

lock: ## Renew constraints.txt with the newest versions; of the oldest Python, all others can have them
	@test '$(VERSION)' = 3.11 || { echo 'error: try make lock PYTHON=python3.11'; exit 1; }
	@rm -rf .venv-lock
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip --quiet install --upgrade 'pip>=25.1'
	@.venv-lock/bin/python -m pip --quiet install . --group test --group lint --group docs --group applications
	@echo '# The versions that make installs; `make lock` renews them.' > constraints.txt
	@.venv-lock/bin/python -m pip freeze --all --exclude asgiserver-py --exclude setuptools >> constraints.txt
	@rm -rf .venv-lock

clean: ## Remove the virtual environments and everything that was built
	rm -rf .venv-* build dist *.egg-info asgiserver/speedups/*.so .*_cache .hypothesis .coverage*
	find asgiserver benchmarks examples tests -name __pycache__ -prune -exec rm -rf {} +

# The environment. pip installs dependency groups since 25.1, so it is renewed first.

# What .ci/run makes before it is needed.
.PHONY: environment environment-checks environment-applications
environment: $(VENV)/.test
environment-checks: $(VENV)/.lint $(VENV)/.docs
environment-applications: $(APPLICATIONS)/.applications

$(VENV)/bin/python $(APPLICATIONS)/bin/python: %/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("asgiserver needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	@echo 'Making $*'
	@$(PYTHON) -m venv $*

$(VENV)/.pip $(APPLICATIONS)/.pip: %/.pip: constraints.txt | %/bin/python
	@$(PIP) install $(LOCKED) --upgrade pip
	@touch $@

$(VENV)/.demo: pyproject.toml $(CORE) $(VENV)/.pip
	@echo 'Installing asgiserver and the example into $(VENV)'
	@$(PIP) install $(LOCKED) --editable . --group demo
	@touch $@

$(VENV)/.test: pyproject.toml $(CORE) $(VENV)/.pip
	@echo 'Installing asgiserver and its tests into $(VENV)'
	@$(PIP) install $(LOCKED) --editable . --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@echo 'Installing the checks into $(VENV)'
	@$(PIP) install $(LOCKED) --group lint
	@touch $@

$(VENV)/.docs: $(VENV)/.test
	@echo 'Installing what makes the site into $(VENV)'
	@$(PIP) install $(LOCKED) --group docs
	@touch $@

$(APPLICATIONS)/.applications: pyproject.toml $(APPLICATIONS)/.pip
	@echo 'Installing asgiserver and large applications into $(APPLICATIONS)'
	@$(PIP) install $(LOCKED) --editable . --group applications
	@touch $@
