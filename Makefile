# make demo       inspect, build, bench and run the reference models
# make test       the checks that every commit must pass: format, lint, types, imports, one test of every mechanism
# make test-all   make test, then the long tests: zoo, demo, README, fuzzing, sanitizers, capability matrix
# make test-minimum  the short tests on Python 3.10 with the oldest versions that pyproject.toml allows
# make test-gpu   the tests that need an NVIDIA GPU: kernels, plans, bandwidth
# make browser    install Debian's Chromium for the tests of the service's page (as root)
# make fonts      install the Debian fonts and word list for training and evaluation (as root)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Left out by test-minimum.
LINT := ,browser,lint
EXTRAS := tf-cpu,rtx,cuda,ppocr,pdf,heif,ray,serve,triton,test
PARALLEL := --numprocesses 2 --dist worksteal

.PHONY: demo test test-all test-minimum test-gpu browser fonts clean

demo: $(VENV)/ready
	$(BIN)/ocr-trt demo --output demo-output

test: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=$(VENV)/link $(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest $(PARALLEL) -m 'not full'

test-all: test
	$(BIN)/pytest $(PARALLEL) -m full

test-minimum:
	$(MAKE) VENV=$(VENV)/minimum PYTHON=python3.10 LINT= CONSTRAINT='--constraint tests/minimum-versions.txt' $(VENV)/minimum/ready
	$(VENV)/minimum/bin/pytest $(PARALLEL) -m 'not full'

test-gpu: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable '.[gpu,cuda]'
	$(BIN)/pytest tests/gpu

# Newer versions of pip show a warning of setuptools about folders that have the name of an editable package.
# There is no such folder here, because the package is the repository root.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(0 if (3, 10) <= v < (3, 14) else f"needs Python 3.10 to 3.13, this is {v[0]}.{v[1]}; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS='ignore:Editable installation' \
	  $(BIN)/python -m pip install --quiet $(CONSTRAINT) --editable '.[$(EXTRAS)$(LINT)]'
	mkdir -p $(VENV)/link
	ln -sfn '$(CURDIR)' $(VENV)/link/ocr_trt
	touch $@

browser:
	apt-get update --quiet
	apt-get install --yes --no-install-recommends chromium

fonts:
	apt-get install --yes --no-install-recommends wamerican $$(cut -f2 models/synthetic/fonts.tsv | sort -u)

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info
