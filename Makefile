# make demo    the whole way once: server, a local GitHub, a simulated robot, a pushed repository, its check run
# make test    set up everything and pass the whole suite
# make help    the rest

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-pi test-walls test-deploy test-units chaos crash hostile lint format types arrows check bench docs image lock clean setup-train fuzz audit
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Hundreds of processes start in the tests: with compiled files kept, each takes a third of the processor time to start.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
export PYTHON
# Most tests wait for processes more than they compute; a file's tests stay together for their fixtures. Files
# in order: the long ones come first, and at the end no process waits for the other.
PYTEST ?= pytest -n 2 --dist loadfile --no-loadscope-reorder
ARGS ?=

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## everything the tests and the demo need, system packages included where this user may
	@tools/bootstrap.sh python docker postgres chromium node web systemd $(if $(CI),pi train)
	@python -m demo.openapi
	@python -m tests.axe

setup-train: ## PyTorch and Stable-Baselines3 too (large): without them the tests of training are skipped
	@tools/bootstrap.sh python train

demo: ## the main job, end to end; ARGS=--once ends by itself and says whether it worked
	@tools/bootstrap.sh python docker
	@tools/bootstrap.sh web || echo "going on without: replays show a plot instead of charts"
	@python -m demo $(ARGS)

test: setup check image ## the whole suite, real Docker engine, PostgreSQL, S3 and browser included
	$(PYTEST) $(ARGS)

test-pi: ## the pins' conformance suite over the real RPi.GPIO and rpi-lgpio in an emulated Raspberry Pi
	tests/pi/run.sh $(ARGS)

check: lint types arrows ## what needs no test run: style, types, imports

lint:
	ruff check .
	ruff format --check .

format: ## let ruff write the files as it wants them
	ruff check --fix .
	ruff format .

types:
	mypy

arrows:
	lint-imports --no-logo

fuzz: ## a minute of coverage-guided fuzzing of the step contract, then the APIs from their OpenAPI document, then fairness
	@tools/bootstrap.sh python fuzz
	python -m tests.fuzz.fuzz_link -max_total_time=60
	API_EXAMPLES=300 pytest --timeout 0 tests/contract/api
	FAIRNESS_EXAMPLES=200 pytest --timeout 0 tests/integration/server/test_server_fairness.py

audit: ## ask the package index for known vulnerabilities of the locked packages
	@tools/bootstrap.sh python audit
	pip-audit --requirement requirements.lock --require-hashes --no-deps --disable-pip --progress-spinner off

chaos: ## kill everything at random under a load of jobs, and see that all came right; ARGS="--jobs 300 --everything --seed N"
	@tools/bootstrap.sh python docker postgres
	python -m tests.chaos $(ARGS)

crash: image ## kill the runner between any two steps of its work, each time a little later
	$(PYTEST) -n 0 -m "crash or docker" tests/integration/runner/test_runner_crash_points.py $(ARGS)

hostile: image ## every hostile repository through a real runner: contained, reported, the robot well afterwards
	$(PYTEST) -n 0 -m "hostile or docker" tests/hostile tests/integration/runner/test_packages.py \
		tests/integration/runner/test_sandbox_limits.py $(ARGS)

WALLS = tests/hostile tests/integration/runner/test_packages.py tests/integration/runner/test_sandbox_limits.py \
	tests/integration/runner/test_sandbox_walls.py
test-walls: image ## the walls and the hostile repositories in engines of our own: user namespaces, then gVisor (root)
	@tools/bootstrap.sh python docker gvisor
	$(PYTEST) -n 0 --walls userns -m "hostile or docker" $(WALLS) $(ARGS)
	$(PYTEST) -n 0 --walls gvisor -m "hostile or docker" $(WALLS) $(ARGS)

test-deploy: ## deploy/ put into service: behind Caddy as processes, then with Compose (needs caddy, docker-compose, images)
	@tools/bootstrap.sh python docker web
	$(PYTEST) -n 0 -m deploy tests/deploy $(ARGS)

test-units: ## the systemd units started, stopped, killed and hung in a Debian of their own (needs debootstrap, root's Docker)
	@tools/bootstrap.sh python docker
	$(PYTEST) -n 0 -m units tests/units $(ARGS)

image: ## the containers' base image
	raas-runner image build

bench: setup image ## measure; results are printed and kept in bench-results/
	@tools/bootstrap.sh bench
	python -m tests.bench $(ARGS)

DOCS ?= docs/_build
docs: ## the API reference of raas_gym from its docstrings, in docs/_build
	@python -m pdoc --docformat google --output-directory $(DOCS) raas_gym \
		$$(ls raas_gym/*.py | sed -e '/__init__/d' -e 's|/|.|; s|\.py$$||')

lock: ## write requirements.lock anew from setup.cfg
	@tools/bootstrap.sh python
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --generate-hashes \
		--upgrade --extra dev setup.cfg --output-file requirements.lock

clean: ## remove what the build and the tests made here
	rm -rf .venv .cache .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis bench-results docs/_build github_app/static/vendor
