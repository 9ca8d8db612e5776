# Python 3.11 or newer; to choose one: make install PYTHON=/path/to/python3.12
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517
SUPPORTED := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON = $(shell for python in python3.11 python3.12 python3; do \
	"$$python" -c '$(SUPPORTED)' 2>/dev/null && { echo "$$python"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help install demo docs test lint clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.preprocess  ## what is needed to go from a video to an avatar, into .venv

demo: install $(VENV)/.export  ## an avatar to turn in the browser, metrics and pictures, from a real recording
	$(BIN)/python train.py data=monocular video=demo 'eval.export=[html]'

docs: $(VENV)/.dev  ## pages of all modules from their docstrings, into build/docs
	$(BIN)/pdoc --docformat google --no-show-source --output-directory build/docs hashhuman preprocess
	@echo "open build/docs/index.html"

test: $(VENV)/.test  ## all tests
	$(BIN)/python -m pytest

lint: $(VENV)/.dev  ## style, suspicious code, types, which folder may import which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src preprocess train.py eval.py benchmarks docs .ci
	$(BIN)/python .ci/lock.py --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache --no-logo

clean:  ## removes .venv and what tools left; keeps data/, models/ and outputs/
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One file an extra of pyproject.toml says that it is installed. With LOCK=.ci/requirements.txt, as for the checks,
# packages are exactly those of the file, by their hashes; all but PyTorch, whose build suits the machine.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	@echo "installing hashhuman[$*] into $(VENV): minutes the first time"
	@start=$$(date +%s); \
	$(if $(LOCK),$(PIP) --require-hashes --no-deps --requirement $(LOCK) || exit;) \
	$(PIP) --editable '.[$*]' || exit; \
	touch $@; echo "installed in $$(($$(date +%s) - start)) s"

$(BIN)/python:
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { \
	echo "HashHuman needs Python 3.11 or 3.12 with its module venv (on Debian and Ubuntu: the package python3-venv)," \
	"but $(if $(PYTHON),$(PYTHON) is not one,there is none here): install it, or name it with PYTHON=/path/to/python3.12." >&2; \
	exit 1; }
	"$(PYTHON)" -m venv $(VENV)
