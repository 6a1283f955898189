# make demo   the whole way on the reference models: inspect, build, bench, run
# make test   every check: formatting, lint, types, import order, tests
# make test-gpu   the checks that need an NVIDIA GPU: kernels and plans on it, bandwidth
# make fonts  Debian fonts and word list, for training and evaluation only (as root)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-gpu fonts clean

demo: $(VENV)/ready
	$(BIN)/ocr-trt demo --output demo-output

test: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=$(VENV)/link $(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest --numprocesses 2 --dist loadscope

test-gpu: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --editable '.[gpu,cuda]'
	$(BIN)/pytest tests/gpu

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; \
	  sys.exit(0 if (3, 10) <= v < (3, 14) else f"needs Python 3.10 to 3.13, this is {v[0]}.{v[1]}; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[tf-cpu,rtx,cuda,dev]'
	mkdir -p $(VENV)/link
	ln -sfn '$(CURDIR)' $(VENV)/link/ocr_trt
	touch $@

fonts:
	apt-get install --yes --no-install-recommends wamerican $$(cut -f2 models/synthetic/fonts.tsv | sort -u)

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info
