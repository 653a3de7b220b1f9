# `make demo` and `make test` need Python (>= 3.11, with venv), pip and make, and nothing else.
#
#   make demo                 simulate, predict, score and draw: demo/report.html
#   make demo DATA=file.h5    the same, on your own file
#   make test                 the tests (six minutes on two cores)
#   make check                style, types, architecture
#   make docs                 the pages: docs/_build/html/index.html
#   make release-check        wheel and source archive, built, installed elsewhere and used there
#   make bench                speed and memory, beside peers; LAYERS="metrics" BENCH_ARGS=--quick for a part of it
#
# PYTHON=python3.12           another interpreter
# VENV=~/my-env               another environment; one that exists keeps its torch
# PIP_ARGS="--index-url ..."  a mirror, or PyTorch's CPU-only index where the default brings CUDA

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
DATA ?=
DEMO_ARGS ?=
WORKERS ?= 2
LAYERS ?= metrics clustering sparse losses data
BENCH_ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENGINES := $(VENV)/.engines

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-gpu check docs bench release-check format clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

install: $(STAMP)

# A torch that is there already and new enough (say, one built for this machine's GPU) is kept: the environment
# then sees the system's packages, and the pinned torch is left out of the constraints.
HAS_TORCH = $(BIN)/python -c 'import torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 7)' 2>/dev/null

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "sparseclust needs Python 3.11 or newer, $(PYTHON) is older; try: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { $(PYTHON) -m venv --system-site-packages $(VENV) && \
		{ $(HAS_TORCH) || $(PYTHON) -m venv --clear $(VENV); }; }
	@if $(HAS_TORCH); then grep -v -e '^torch==' -e '^triton==' constraints.txt; else cat constraints.txt; fi > $(VENV)/constraints.txt
	@echo "installing into $(VENV), a minute or two"
	@$(BIN)/python -m pip install -q $(PIP_ARGS) -c $(VENV)/constraints.txt --upgrade pip
	@$(BIN)/python -m pip install -q $(PIP_ARGS) -c $(VENV)/constraints.txt -e '.[train,vis]' --group test --group lint
	@touch $@

# Other people's engines, which the tests compare with ours: 300 MB that the demo does without.
$(ENGINES): $(STAMP)
	@echo "installing engines to compare with"
	@$(BIN)/python -m pip install -q $(PIP_ARGS) -c $(VENV)/constraints.txt -e '.[spconv,triton]'
	@touch $@

demo: $(STAMP)
	$(BIN)/sparseclust demo $(if $(DATA),--data $(DATA)) $(DEMO_ARGS)

# Two processes with one thread each: torch's and numba's own threads would fight over the cores.
test: export OMP_NUM_THREADS = 1
test: $(ENGINES)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m "not slow and not gpu" --doctest-modules tests sparseclust

test-slow: $(ENGINES)
	$(BIN)/python -m pytest -m slow || [ $$? -eq 5 ]  # 5: there are none

test-gpu: $(ENGINES)
	$(BIN)/python -m pytest -m gpu

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Tables are computed and cells are run on the way, every time; a cell that fails is an error, and so is a warning.
docs: export OMP_NUM_THREADS = 1
docs: $(STAMP)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -c $(VENV)/constraints.txt --group docs
	$(BIN)/sphinx-build -q -W --keep-going -E -j $(WORKERS) -b html docs docs/_build/html

# Fast and wrong is no use: a layer's tests run before it is timed.
bench: $(ENGINES)
	@set -e; for layer in $(LAYERS); do \
		$(BIN)/python -m pytest -q -m "not slow and not gpu" tests/$$layer; \
		$(BIN)/python benchmarks/bench_$$layer.py $(BENCH_ARGS); \
	done

# In a folder of its own, with the newest dependencies: what a stranger gets.
release-check: $(STAMP)
	@$(BIN)/python -m pip install -q $(PIP_ARGS) -c $(VENV)/constraints.txt --group release
	$(BIN)/python .ci/release_check.py $(PIP_ARGS)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
