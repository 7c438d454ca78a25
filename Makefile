# Two commands for a fresh machine: `make demo` and `make test`. Both install what they need, here and nowhere else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: help demo test test-quick test-slow test-apiserver lint types bench image lock clean

help:                   ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 18

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Pullback needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

demo: $(VENV)/installed  ## real traffic, a failing canary, and where every second went
	$(BIN)/pullback demo $(ARGS)

test: lint types        ## everything a contributor needs: lint, types, unit, component and e2e rings, coverage
	$(PYTEST) -n 3 --dist loadfile -m 'not slow and not e2e and not alone' --cov --cov-report= $(ARGS)
	$(PYTEST) -m '(e2e or alone) and not slow' --cov --cov-append --cov-report=term --cov-report=xml $(ARGS)

test-quick: $(VENV)/installed  ## unit and component rings, no real binaries
	$(PYTEST) -n 3 --dist loadfile -m 'not slow and not e2e and not alone' $(ARGS)

test-slow: $(VENV)/installed   ## what takes half a minute or more: 200 kill -9 moments, drills, time to zero as installed
	PULLBACK_KILLS=200 $(PYTEST) -m slow $(ARGS)

test-apiserver: $(VENV)/installed  ## component ring and chart against a real kube-apiserver; needs KUBEBUILDER_ASSETS
	@test -n "$$KUBEBUILDER_ASSETS" || { echo "KUBEBUILDER_ASSETS must name a folder with etcd and kube-apiserver"; exit 2; }
	$(PYTEST) tests/component tests/chart -m 'not slow' $(ARGS)

lint: $(VENV)/installed  ## ruff and the import floors
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(VENV)/installed ## mypy, strict
	$(BIN)/mypy

bench: $(VENV)/installed ## ratios against a yardstick of the same run
	$(BIN)/python -m tests.bench

image:                  ## the container image (needs an engine)
	docker build -t pullback:dev .

lock: $(VENV)/installed  ## requirements.lock, which the image installs, from pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --no-header --universal \
		--python-version 3.11 --output-file requirements.lock

clean:                  ## what these commands have made
	rm -rf $(VENV) .cache .coverage coverage.xml .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench-results
