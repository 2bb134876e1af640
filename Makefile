# Each target sets up what it needs: a machine with Python 3.11 or newer and make is enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test test-all export in-step lint types notebooks readme docs hooks lab published clean
.DEFAULT_GOAL := help

help:  ## say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): settings.ini setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say make PYTHON=/path/to/python3.11 ...")'
	@echo "Setting up $(VENV): a minute or two, about 2 GB (PyTorch is most of it)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(INSTALLED)  ## set up the environment in .venv

demo: $(INSTALLED)  ## simulate, build, train, evaluate, explain: a report in demo/
	@if [ -f demo/report.html ]; then echo 'demo/report.html is here already; `make clean` or `chromoformer demo --out demo --force` makes it anew'; \
	else $(BIN)/chromoformer demo --out demo; fi

test: in-step lint types notebooks  ## everything that CI checks, in under ten minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-all: in-step lint types notebooks  ## the same and the slow tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

in-step: $(INSTALLED)  ## are notebooks and library in step, and the notebooks clean?
	$(BIN)/python tests/in_step.py

lint: $(INSTALLED)  ## ruff
	$(BIN)/ruff check .

types: $(INSTALLED)  ## basedpyright
	$(BIN)/basedpyright

notebooks: $(INSTALLED)  ## run the notebooks' own examples and assertions
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 2

export: $(INSTALLED)  ## write chromoformer/*.py from the notebooks, and clean these
	$(BIN)/nbdev_export && $(BIN)/nbdev_clean

readme: $(INSTALLED)  ## write README.md from nbs/index.ipynb
	$(BIN)/python docs/make_readme.py

docs: $(INSTALLED)  ## the site in docs/_build/html; STUDY=FOLDER takes the gallery from a study that was run
	$(BIN)/python docs/build.py $(if $(STUDY),--study $(STUDY))

hooks: $(INSTALLED)  ## git: check notebooks and library before each commit, merge notebooks cell by cell
	git config core.hooksPath .githooks
	git config merge.nbdev-merge.name "merge of notebooks"
	git config merge.nbdev-merge.driver "$(BIN)/nbdev_merge %O %A %B %P"

published: .venv-published/.installed  ## the published implementation, in an environment of its own, for benchmarks

.venv-published/.installed:
	$(PYTHON) -m venv .venv-published
	.venv-published/bin/python -m pip install --quiet torch==2.13.0 chromoformer==1.1.3 pandas PyYAML scipy
	@touch $@

lab: $(INSTALLED)  ## open JupyterLab at the notebooks, the tutorials first
	$(BIN)/jupyter lab --notebook-dir . nbs/tutorials/first_model.ipynb

clean:  ## remove what make made, the environment included
	rm -rf $(VENV) .venv-published demo docs/_build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
