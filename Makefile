# Two commands for a fresh machine. They need Python 3.11 or later, make and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
THREADS ?=

.PHONY: leaderboard test check clean
.DELETE_ON_ERROR:

# torch first and pinned, then the rest under the same constraints, so that nothing pulls another.
$(VENV)/torch: constraints.txt
	@echo "== making $(VENV) with $$($(PYTHON) --version) =="
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "graphkit needs Python 3.11 or later; say PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "== installing the pinned torch (about 0.9 GB unpacked) =="
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	@touch $@

$(VENV)/bench: $(VENV)/torch pyproject.toml
	@echo "== installing graphkit and what the leaderboard draws with =="
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	@touch $@

$(VENV)/dev: $(VENV)/torch pyproject.toml
	@echo "== installing graphkit and what its tests need =="
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@$(BIN)/python -m pip check
	@touch $@ $(VENV)/bench

# The main job: node classification on the dependency graph of Debian 12, which ships in datasets/.
leaderboard: $(VENV)/bench
	@echo "== training on debian-deps; Ctrl-C is safe, the same command goes on =="
	@$(BIN)/python benchmarks/leaderboard.py --suite debian_deps --workers $(WORKERS)

test: $(VENV)/dev
	@echo "== floors, style, types =="
	@$(BIN)/lint-imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@echo "== tests =="
	@$(BIN)/python -m pytest -n 2 --dist loadfile

clean:
	rm -rf $(VENV) results
