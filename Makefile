# make demo: the whole workbench once, ending in HTML reports.   make test: every check.   make lab: JupyterLab.
# Each sets up what it needs first: a virtual environment, the pinned packages of pyproject.toml, the mini model.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: setup demo test lab clean
setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable ".[dev]"
	$(BIN)/mmduet doctor --fix
	touch $@

demo: setup
	$(BIN)/mmduet report reports/suites/demo.yaml

test: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

lab: setup
	$(BIN)/jupyter lab --ServerApp.root_dir=. notebooks/03_duet_inference.ipynb

clean:
	rm -rf $(VENV) reports/out runs datasets
