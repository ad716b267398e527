# The doors of the project. Every target works on a machine with Python 3.11 and make alone.
PYTHON ?= python3.11
ifeq ($(shell command -v $(PYTHON) 2>/dev/null),)
PYTHON := python3
endif
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Test files run side by side, the long ones first: the order of the folders sees to that.
TEST_WORKERS ?= 2

.PHONY: setup demo demo-axis serve test fuzz check lint types imports bench lock clean

setup: $(STAMP)  ## the virtual environment, from the lock file, hashes checked

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

demo: setup  ## one document, three agencies, the whole road, on the embedded default
	$(BIN)/lienthong demo

demo-axis: setup  ## a province and the national axis, two gateways: there, back, and with the axis gone
	$(BIN)/lienthong demo --axis

serve: setup  ## the service on the embedded default, http://127.0.0.1:8080
	$(BIN)/lienthong serve

test: setup  ## all tests, on real servers that the tests start themselves
	tests/support/install_servers.sh
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder \
	  --max-worker-restart 0 $(PYTEST_ARGS)

# atheris has wheels for Linux alone, so it is in no lock of the project.
SECONDS ?= 60

fuzz: setup .fuzz/.installed  ## every way in, SECONDS=60 each: executions, coverage, findings
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

.fuzz/.installed: tests/fuzz/requirements.lock
	rm -rf .fuzz/site
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	  --only-binary :all: --target .fuzz/site -r $<
	touch $@

check: lint types imports  ## what CI checks besides the tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

bench: setup  ## speed and memory as ratios, one run on this machine
	tests/support/install_servers.sh
	$(BIN)/python -m tests.bench

lock:  ## renew requirements.lock (needs uv); names no index host
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

clean:
	rm -rf $(VENV) .test-servers .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis
