# Everything that a checkout needs to run, be tested and be measured. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# What the compiled modules and the metadata are made of: a change here installs anew.
SOURCES := pyproject.toml setup.py build_client.py client/package-lock.json \
	$(wildcard src/siocore/_speedups/__init__.py src/siocore/_speedups/*.pyx) \
	$(foreach pxd,$(shell find src -name '*.pxd'),$(pxd) $(wildcard $(pxd:.pxd=.py))) $(wildcard src/siocore/codec/*.py)

say = @printf '== %s\n'

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-quick bench-clients bench-cluster bench-workers instructions lint docs clean peers bench-peers chromium redis valgrind

help:
	@echo 'make demo         set everything up and serve the chat page on http://127.0.0.1:3000'
	@echo 'make test         set everything up and run the tests (ARGS="-k name" goes to pytest)'
	@echo 'make lint         ruff and mypy'
	@echo 'make bench        measure codecs, servers and clients, for about 35 minutes; writes bench/results/'
	@echo 'make bench-quick  the servers in under five minutes: fewer of them, rougher figures'
	@echo 'make bench-clients  the clients alone, for about five minutes (ARGS="--quick": under two)'
	@echo 'make bench-cluster  servers that meet in Redis, for about five minutes (ARGS="--quick": under one)'
	@echo 'make bench-workers  one worker beside several, for half a minute'
	@echo 'make instructions count instructions; fails where a message takes more than bench/instructions/baseline.json says'
	@echo 'make docs         build the documentation into docs/_build/html'
	@echo 'make clean        remove what was built (not $(VENV) and node_modules)'
	@echo 'PYTHON=python3.13 make ...   uses that Python for $(VENV)'

demo: $(VENV)/siocore.installed
	$(say) 'starting the demo; Ctrl-C stops it'
	@exec $(BIN)/siocore demo $(ARGS)

test: $(VENV)/siocore.dev peers chromium redis
	$(say) 'running the tests'
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/siocore.dev
	$(say) 'ruff check'
	@$(BIN)/ruff check .
	$(say) 'ruff format --check'
	@$(BIN)/ruff format --check .
	$(say) 'mypy'
	@$(BIN)/mypy

bench: $(VENV)/siocore.dev bench-peers
	$(say) 'measuring the codecs'
	@$(BIN)/python -m pytest -q bench/test_codec.py --benchmark-columns=min,median --benchmark-sort=name
	$(say) 'measuring the servers (about 25 minutes, on an otherwise quiet machine)'
	@$(BIN)/python -m bench $(ARGS)
	$(say) 'measuring the clients (about five minutes)'
	@$(BIN)/python -m bench.clients

bench-clients: $(VENV)/siocore.dev bench-peers
	$(say) 'measuring the clients'
	@$(BIN)/python -m bench.clients $(ARGS)

bench-cluster: $(VENV)/siocore.dev bench-peers redis
	$(say) 'measuring clusters'
	@$(BIN)/python -m bench.cluster $(ARGS)

bench-workers: $(VENV)/siocore.dev
	$(say) 'measuring workers'
	@$(BIN)/python -m bench.workers $(ARGS)

bench-quick: $(VENV)/siocore.dev bench-peers
	$(say) 'measuring, quickly'
	@$(BIN)/python -m bench --quick $(ARGS)

instructions: $(VENV)/siocore.dev valgrind
	$(say) 'counting instructions (under a minute)'
	@$(BIN)/python -m bench.instructions $(ARGS)

docs: $(VENV)/siocore.dev
	$(say) 'building the documentation'
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	$(say) 'written: docs/_build/html/index.html'

clean:
	rm -rf build dist docs/_build test-artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -rf src/*.egg-info src/siocore/_client .venv*/siocore.installed .venv*/siocore.dev
	find src -name '*.so' -delete
	find . -name __pycache__ -type d -not -path './.venv*' -not -path '*/node_modules/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo 'error: $(PYTHON) was not found; say PYTHON=/path/to/python3.11 make ...' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: siocore needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1); say PYTHON=python3.12 make ..." >&2; exit 1; }
	$(say) 'making the virtual environment $(VENV)'
	@$(PYTHON) -m venv $(VENV) || { \
		echo 'error: $(PYTHON) could not make a virtual environment (on Debian: apt-get install python3-venv)' >&2; exit 1; }

$(VENV)/siocore.installed: $(SOURCES) | $(BIN)/python
	$(say) 'installing siocore into $(VENV): dependencies, compiled modules, browser bundle (about a minute)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@$(BIN)/python build_client.py || true
	@$(BIN)/siocore --version
	@$(BIN)/python -c 'import siocore; siocore.IMPLEMENTATION == "cython" or print("== note: pure Python is in use, which is slower (is there a C compiler?)")'
	@touch $@

$(VENV)/siocore.dev: $(SOURCES) | $(BIN)/python
	$(say) 'installing siocore and its development tools into $(VENV) (a minute or two)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@$(BIN)/python build_client.py || true
	@$(BIN)/siocore --version
	@$(BIN)/python -c 'import siocore; siocore.IMPLEMENTATION == "cython" or print("== note: pure Python is in use, which is slower (is there a C compiler?)")'
	@touch $@ $(VENV)/siocore.installed

# npm_ci(folder, what it is for): install what the folder's lock file names, once; without npm, say what is skipped.
define npm_ci
	@if ! command -v node >/dev/null || ! command -v npm >/dev/null; then \
		echo '== skipped: $(2) (node or npm was not found)'; \
	elif ! [ $(1)/node_modules/.package-lock.json -nt $(1)/package-lock.json ]; then \
		echo '== installing JavaScript packages into $(1)/node_modules, for $(2)'; \
		(cd $(1) && npm ci --silent --no-audit --no-fund --ignore-scripts && touch node_modules/.package-lock.json) \
			|| echo '== skipped: $(2) (npm ci failed)'; \
	fi
endef

peers:
	$(call npm_ci,tests/peers,tests with the JavaScript clients)

bench-peers:
	$(call npm_ci,bench,benchmarks of Node.js)

chromium:
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then :; \
	elif [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
		echo '== skipped: browser test (chromium is missing, and only root can install it: apt-get install chromium)'; \
	else \
		echo '== installing chromium for the browser test (apt-get)'; \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium fonts-liberation; } >/dev/null \
			|| echo '== skipped: browser test (apt-get could not install chromium)'; \
	fi

# Only the program is wanted: what apt-get starts is stopped, and tests start their own.
redis:
	@if command -v redis-server >/dev/null; then :; \
	elif [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
		echo '== skipped: tests with Redis (redis-server is missing, and only root can install it: apt-get install redis-server)'; \
	else \
		echo '== installing redis-server for the tests of clusters (apt-get)'; \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install -y --no-install-recommends redis-server; } >/dev/null \
			|| echo '== skipped: tests with Redis (apt-get could not install redis-server)'; \
		! command -v systemctl >/dev/null || systemctl disable --quiet --now redis-server >/dev/null 2>&1 || true; \
	fi

# Unlike the browser this is not skipped where it is missing: a check that did not run must not look as if it held.
valgrind:
	@if command -v valgrind >/dev/null; then :; \
	elif [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
		echo 'error: valgrind is missing, and only root can install it: apt-get install valgrind' >&2; exit 1; \
	else \
		echo '== installing valgrind to count instructions (apt-get)'; \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends valgrind; } >/dev/null \
			|| { echo 'error: apt-get could not install valgrind' >&2; exit 1; }; \
	fi
