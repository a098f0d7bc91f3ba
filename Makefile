# Needs Python 3.10-3.13 and make; everything else goes into .venv.
# Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
MUTATION_VENV ?= .venv-mutation
WORKERS ?= auto
MUTATION_WORKERS ?= 1

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
PROJECT_METADATA := pyproject.toml pto_sim/__init__.py

# One BLAS thread for each test worker: workers already fill the cores.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help demo test test-all lint types format arrows bench mutation lock clean

help:
	@echo "make demo      make .venv from the lock file, then run one DeepSeek-V4 kernel with all reports"
	@echo "make test      the tests of a working day: every unit test and the kernels at flash size"
	@echo "make test-all  the same and the exhaustive tests"
	@echo "make lint      ruff check, ruff format --check and mypy"
	@echo "make arrows    the import arrows between packages alone"
	@echo "make bench     speed beside BLAS, the Triton interpreter and the Pallas interpreter (own venv)"
	@echo "make mutation  whether a test notices each small change of the ring allocator, TensorMap and scheduler (own venv)"
	@echo "make lock      resolve the lock files again (needs uv)"

demo: $(VENV)/.installed
	$(BIN)/pto-sim demo

test: $(VENV)/.installed-test
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(PYTEST_ARGS)

test-all: $(VENV)/.installed-test
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

types: $(VENV)/.installed-test
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

arrows: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q tests/project/test_import_arrows.py

bench: $(BENCH_VENV)/.installed
	$(BENCH_VENV)/bin/python -m benchmarks $(BENCH_ARGS)

# Resumes a run that was stopped; `rm -rf mutants` starts over. It prints a table by file.
mutation: $(MUTATION_VENV)/.installed
	$(ONE_THREAD) $(MUTATION_VENV)/bin/mutmut run --max-children $(MUTATION_WORKERS)
	$(MUTATION_VENV)/bin/python tools/mutation_table.py --survivors

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is `$(PYTHON) --version 2>&1`; pto-sim needs Python 3.10 to 3.13." \
	    "Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock $(PROJECT_METADATA) | $(VENV)/bin/python
	$(PIP) -r requirements.lock
	$(PIP) --no-deps -e .
	@touch $@

$(VENV)/.installed-test: requirements-test.lock $(VENV)/.installed
	$(PIP) -r requirements-test.lock
	@touch $@

# torch, triton and jax stay out of the working venv.
$(BENCH_VENV)/.installed: requirements.lock benchmarks/requirements.txt $(PROJECT_METADATA)
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet \
	  -r requirements.lock -r benchmarks/requirements.txt
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -e .
	@touch $@

$(MUTATION_VENV)/.installed: requirements.lock requirements-test.lock requirements-mutation.txt
	test -x $(MUTATION_VENV)/bin/python || $(PYTHON) -m venv $(MUTATION_VENV)
	$(MUTATION_VENV)/bin/python -m pip --disable-pip-version-check install --quiet \
	  -r requirements.lock -r requirements-test.lock -r requirements-mutation.txt
	@touch $@

UV ?= uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.10 --no-header --no-config

lock:
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) -c requirements.lock --extra test pyproject.toml -o requirements-test.lock

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(MUTATION_VENV) mutants build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
