# One verb per job. `make demo` and `make test` work from a fresh clone: they set up what they need.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.complete

.PHONY: setup demo test test-unit test-options test-nodes test-bridge test-bridge-then-options test-docker test-docker-runtime test-docker-devnets test-docker-chaos test-long test-long-drawn test-long-crashes test-long-docker check bench contracts lock clean

setup: $(STAMP) node_modules/.complete

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("rollnet needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Not `npm ci`: the lock names the engine's package of the platform it was made on, `ci` would refuse all others.
node_modules/.complete: package-lock.json package.json
	npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# The main job on the process runtime: launch, commit, abort, kill the sequencer under load, verify, report, take down.
demo: setup
	$(BIN)/rollnet demo topologies/condor-quad.yaml

# Three rings side by side: real nodes mostly wait, pure code mostly computes. Then containers, alone.
test: setup
	$(MAKE) --no-print-directory --jobs=3 test-unit test-nodes test-bridge-then-options
	$(MAKE) --no-print-directory test-docker

test-unit: setup
	$(BIN)/pytest -m "not long" --ignore tests/unit/options tests/unit tests/checks

test-options: setup
	$(BIN)/pytest -m "not long" tests/unit/options

test-bridge-then-options: setup
	$(MAKE) --no-print-directory test-bridge
	$(MAKE) --no-print-directory test-options

test-nodes: setup
	$(BIN)/pytest -m "not docker and not long" --ignore tests/scenarios/bridge --ignore tests/scenarios/options tests/chaos tests/runtimes tests/scenarios

test-bridge: setup
	$(BIN)/pytest -m "not docker and not long" tests/scenarios/bridge tests/scenarios/options

# What `make test` has a part of, or has no time for: five thousand simulated schedules, random runs and long stories of settlement; beside
# them a real crash at every crash point and every shipped scenario; then containers, alone.
test-long: setup
	$(MAKE) --no-print-directory --jobs=2 test-long-drawn test-long-crashes
	$(MAKE) --no-print-directory test-long-docker

test-long-drawn: setup
	$(BIN)/pytest -m long tests/unit
	$(BIN)/pytest -m "long and not docker" tests/scenarios

test-long-crashes: setup
	$(BIN)/pytest -m "long and not docker" tests/chaos

# Skips, and says what would start an engine, where none answers, as test-docker does.
test-long-docker: setup
	$(BIN)/pytest -m "long and docker" -rs tests/runtimes tests/scenarios tests/chaos

# Skips, and says what would start an engine, where none answers; with ROLLNET_REQUIRE_DOCKER=1 that is a failure. Two rings side by side, for
# engines mostly wait; then what counts seconds after a crash, alone. DOCKER_REPORTS is a folder for JUnit files.
test-docker: setup
	$(MAKE) --no-print-directory --jobs=2 test-docker-runtime test-docker-devnets
	$(MAKE) --no-print-directory test-docker-chaos

DOCKER_TESTS = $(BIN)/pytest -m "docker and not long" -rs $(if $(DOCKER_REPORTS),--junitxml=$(DOCKER_REPORTS)/$@.xml)

test-docker-runtime: setup
	$(DOCKER_TESTS) tests/runtimes

test-docker-devnets: setup
	$(DOCKER_TESTS) tests/scenarios

test-docker-chaos: setup
	$(DOCKER_TESTS) tests/chaos

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	node bridge/contracts/compile.mjs --check

bench: setup
	$(BIN)/python tests/bench.py

contracts: setup
	node bridge/contracts/compile.mjs

# Needs uv; lock files name no registry and carry no addresses.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group dev pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group pyproject.toml:nodes -c requirements.lock -o orchestrator/runtimes/docker/image/requirements.lock
	npm install --package-lock-only --ignore-scripts
	node -e 'const fs=require("fs");const l=JSON.parse(fs.readFileSync("package-lock.json"));for(const p of Object.values(l.packages)){delete p.funding;delete p.resolved}fs.writeFileSync("package-lock.json",JSON.stringify(l,null,2)+"\n")'

clean:
	rm -rf .venv node_modules .mypy_cache .ruff_cache .hypothesis
