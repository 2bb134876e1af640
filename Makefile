# Each target sets up what it needs. Requirements: Python 3.11 or newer, and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test test-all export format in-step lint types notebooks readme book docs wheel hooks lab published crate clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): settings.ini setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; run make PYTHON=/path/to/python3.11 ...")'
	@echo "Setting up $(VENV): a minute or two, about 2 GB (PyTorch is most of it)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(INSTALLED)  ## set up the environment in .venv

demo: $(INSTALLED)  ## simulate data, build, train, evaluate and explain; writes demo/report.html
	@if [ -f demo/report.html ]; then echo 'demo/report.html exists; run `chromoformer demo --out demo --force` to replace it'; \
	else $(BIN)/chromoformer demo --out demo; fi

test: in-step lint types notebooks  ## run everything that CI checks, in under ten minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: in-step lint types  ## run the same, the slow tests, and every notebook
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 2
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

in-step: $(INSTALLED)  ## check that library and notebooks match, and that the notebooks are clean and show their outputs
	$(BIN)/python tests/in_step.py

lint: $(INSTALLED)  ## style, layers of imports, docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet . || { echo 'Not formatted. Fix: make format'; exit 1; }
	$(BIN)/lint-imports --no-logo
	$(BIN)/numpydoc lint $$(find chromoformer -name '*.py' -not -name _modidx.py)

format: $(INSTALLED)  ## format notebooks, tests, docs and benchmarks, then export
	$(BIN)/ruff format --quiet .
	$(BIN)/nbdev_export && $(BIN)/nbdev_clean

types: $(INSTALLED)  ## check types with basedpyright
	$(BIN)/basedpyright

notebooks: $(INSTALLED)  ## run the examples and assertions of notebooks that changed since `make book` kept what they show
	$(BIN)/python docs/book.py --test

export: $(INSTALLED)  ## write chromoformer/*.py from the notebooks, and clean the notebooks
	$(BIN)/nbdev_export && $(BIN)/nbdev_clean

readme: $(INSTALLED)  ## write README.md from nbs/index.ipynb
	$(BIN)/python docs/make_readme.py

book: $(INSTALLED)  ## execute the notebooks that changed, and keep what they show; STUDY='FOLDER ...' takes analyses from studies
	$(BIN)/python docs/book.py $(foreach study,$(STUDY),--study $(study))
	$(BIN)/python docs/make_readme.py

docs: $(INSTALLED)  ## build the site in docs/_build/html from the notebooks and what they show
	$(BIN)/python docs/build.py

wheel: $(INSTALLED)  ## build the package with analyses, workflow, studies and manifests, in dist/
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

hooks: $(INSTALLED)  ## set up git to check each commit and to merge notebooks cell by cell
	git config core.hooksPath .githooks
	git config merge.nbdev-merge.name "merge of notebooks"
	git config merge.nbdev-merge.driver "$(BIN)/nbdev_merge %O %A %B %P"

published: .venv-published/.installed  ## install the published implementation in its own environment, for benchmarks

.venv-published/.installed:
	$(PYTHON) -m venv .venv-published
	.venv-published/bin/python -m pip install --quiet torch==2.13.0 chromoformer==1.1.3 pandas PyYAML scipy
	@touch $@

crate: .venv-crate/.installed  ## install roc-validator in its own environment, for tests/test_crate.py

.venv-crate/.installed:
	$(PYTHON) -m venv .venv-crate
	.venv-crate/bin/python -m pip install --quiet roc-validator==0.13.0
	@touch $@

lab: $(INSTALLED)  ## open JupyterLab at the first tutorial
	$(BIN)/jupyter lab --notebook-dir . nbs/tutorials/first_model.ipynb

clean:  ## remove everything that make created, including the environment
	rm -rf $(VENV) .venv-published .venv-crate demo docs/_build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
