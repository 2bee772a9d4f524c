# make demo: the whole workbench once, ending in HTML reports.   make test: every check.   make lab: JupyterLab.
# make app: the live player as a page, for this machine and whoever has the token that it prints.
# make docs: the documentation, in docs/out/index.html.
# ARGS="…" adds arguments to lab and app.
# Each target first installs what it needs: a virtual environment, the pinned packages of pyproject.toml, the mini model.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)
# kernels run here, and not in notebooks/; JupyterLab asks for neither news nor updates
LAB = --ServerApp.kernel_manager_class=mmduet_widgets.app.RootedKernelManager --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	--LabApp.extension_manager=readonly
# other files in the notebook's folder are not served: Voilà would not ask for the token. The kernel of a page that is
# gone ends: the page says so when it is left, and a kernel without a page is culled after 90 s. One kernel is kept ready
# for the next page, without a model; it starts when this page has its player. Only what shows widgets is loaded with the page
APP = --Voila.ip=127.0.0.1 --token --no-browser --template=mmduet --VoilaConfiguration.file_denylist=.* \
	--Voila.kernel_websocket_connection_class=mmduet_widgets.app.CheckedConnection \
	$(foreach name,anywidget @jupyter-widgets/jupyterlab-manager @voila-dashboards/widgets-manager8,--VoilaConfiguration.extension_allowlist=$(name)) \
	--VoilaConfiguration.multi_kernel_manager_class=mmduet_widgets.app.RootedKernelManager \
	--preheat_kernel=True --pool_size=1 --VoilaKernelManager.fill_delay=3 \
	--MappingKernelManager.cull_idle_timeout=90 --MappingKernelManager.cull_interval=15

.PHONY: setup demo test docs lab app clean
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
	$(BIN)/mypy && $(BIN)/lint-imports --no-cache
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -p tests.no_decord tests/video/test_reader.py tests/video/test_containers.py tests/video/test_stream.py tests/test_doctor.py

docs: setup
	$(BIN)/sphinx-build --builder html --fail-on-warning --keep-going --quiet docs docs/out

lab: setup
	$(BIN)/jupyter lab --ServerApp.root_dir=. $(ROOT) $(LAB) notebooks/03_duet_inference.ipynb $(ARGS)

app: setup
	$(BIN)/mmduet scenes --train 0 --val 0 --test 6
	JUPYTER_PATH=widgets $(BIN)/voila widgets/voila/app.ipynb $(APP) $(ARGS)

clean:
	rm -rf $(VENV) docs/out
