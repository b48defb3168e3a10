# Needs Python >= 3.11 and make, nothing else. `make help` lists the targets. Everything is installed into .venv, through your own pip configuration.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo setup full check test reference docs bench audit evaluate clean

VENV    := .venv
BIN     := $(VENV)/bin
CORES   := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
WORKERS ?= $(shell n=$(CORES); [ "$$n" -gt 8 ] && n=8; echo $$n)
LFW     ?= ../shared/data/lfw
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# An installed faceworks elsewhere on PYTHONPATH must not be tested instead of this one.
unexport PYTHONPATH

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

demo: $(VENV)/.run ## install, fetch models and sample pictures, verify pairs, find faces in a group picture; writes demo/
	$(BIN)/faceworks demo --out demo

setup: $(VENV)/.dev ## .venv with everything that development needs

full: $(VENV)/.full ## all extras as well (PyTorch's CPU build, Ray, databases, server, browser driver) and the oracles of the proofs: no test skips for want of a package

check: $(VENV)/.dev ## ruff, mypy --strict, import layers, and whether generated documents are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/docs.py --check

MARKS ?= not slow and not bench
test: $(VENV)/.dev ## the tests, in as many processes as there are cores (WORKERS=1); TESTS="tests/shells -k verify" for some, MARKS=slow for the long ones
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "$(MARKS)" $(TESTS)

reference: $(VENV)/.dev ## write docs/reference/ and NOTICE from commands, cards, settings and dataclasses
	$(BIN)/python tools/docs.py

docs: $(VENV)/.full ## the documentation site in site/: tutorials are run (some train, so everything is installed first), links are checked
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev ## measure: ratios of one run, interleaved, medians
	$(BIN)/python bench

audit: $(VENV)/.dev ## licenses of all installed packages, and known vulnerabilities (needs the network)
	$(BIN)/python -c "import pip_audit" 2>/dev/null || $(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/python tools/audit.py --vulnerabilities

evaluate: $(VENV)/.run ## LFW View 2 in LFW=<folder with images/ and pairs.txt>; writes lfw-report/
	$(BIN)/faceworks evaluate lfw --root $(LFW)/images --pairs $(LFW)/pairs.txt --dataset "LFW View 2, deep-funneled" --out lfw-report

clean: ## remove .venv, demo/, reports and caches of this folder (the user's cache stays: faceworks models where)
	rm -rf $(VENV) demo lfw-report build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* src/*.egg-info

$(BIN)/python:
	@for p in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3 python; do \
	  if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found="$$p"; break; fi; done; \
	if [ -z "$$found" ]; then \
	  echo "faceworks needs Python 3.11 or newer with the module venv, and none was found (python3 is: $$(python3 --version 2>&1))."; \
	  echo "Install it (https://www.python.org/downloads/; on Debian and Ubuntu also the package python3-venv), or say: make PYTHON=/path/to/python3.11"; \
	  exit 1; fi; \
	echo "making $(VENV) with $$("$$found" --version)"; \
	rm -f $(VENV)/.run $(VENV)/.dev; \
	"$$found" -m venv $(VENV)

# Stamps: a second run installs nothing and needs no network. Sources are used in place (editable); only pyproject.toml asks for a new installation.
$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "installing faceworks into $(VENV) (once; some 150 MB of packages) ..."
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing faceworks and the development tools into $(VENV) (once) ..."
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.run

# PyTorch first and by itself: asked for among others, pip takes the build with gigabytes of GPU libraries. TORCH="torch --index-url …" chooses another build.
TORCH ?= torch==2.13.0
$(VENV)/.full: $(VENV)/.dev
	@echo "installing every extra and the oracles into $(VENV) (once; some 3 GB) ..."
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[dev,all,oracles,docs]'
	@touch $@
