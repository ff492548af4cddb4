# Everything starts here: `make serve` opens the assistant, `make test` checks the tree.
# Each makes its own virtual environment the first time; after that it starts at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(shell find CMakeLists.txt native -name '*.cpp' -o -name '*.h' -o -name CMakeLists.txt)
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q
COMPILE := $(BIN)/python -m piptools compile -q --upgrade --strip-extras --no-emit-index-url \
  --no-emit-find-links
TOOLS := --extra corpus --extra evaluate --extra train --extra privacy
DEV := --extra cluster --extra api --extra ocr --extra postgres --extra tensorboard --extra dev
PORT ?= 8000

.PHONY: serve tools test lint format model console screenshot lock clean help

help:  ## Show what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(VENV)/serve.done  ## Set up, serve on 127.0.0.1:8000 and open the page in the browser
	$(BIN)/qingtan serve --port $(PORT) --open

tools: $(VENV)/tools.done  ## Set up what builds corpora, trains and evaluates

test: $(VENV)/dev.done  ## Set up and run the tests
	$(BIN)/python -m pytest

lint: $(VENV)/dev.done  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.done  ## Bring the Python code into the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

model: $(VENV)/tools.done  ## Train the built-in model anew, from ../shared/data to models/qingtan
	PATH="$(abspath $(BIN)):$$PATH" recipes/built-in/build

console:  ## Build the page (needs Node)
	cd console && npm ci && npm run check && npm run build

screenshot: $(VENV)/dev.done  ## Take the pictures of the page (needs Chromium)
	$(BIN)/python docs/screenshot.py

# Which of PyTorch's builds is taken, with CUDA or without, is left to pip's configuration.
lock: $(VENV)/dev.done  ## Pin the newest versions that pyproject.toml allows
	$(COMPILE) -o requirements/serve.lock pyproject.toml
	$(COMPILE) $(TOOLS) -c requirements/serve.lock -o requirements/tools.lock pyproject.toml
	$(COMPILE) $(TOOLS) $(DEV) -c requirements/tools.lock -o requirements/dev.lock pyproject.toml
	sed -i.bak -E 's/^(torch==[0-9.]+)\+cpu/\1/' requirements/*.lock && rm requirements/*.bak

clean:  ## Remove the virtual environment and what tools have cached
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Qingtan needs Python 3.11 or later; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.done: requirements/%.lock $(VENV)/package.done
	$(PIP) -r $<
	touch $@

# Its native part is compiled here, once for all of them.
$(VENV)/package.done: $(BIN)/python pyproject.toml $(NATIVE)
	$(PIP) --no-deps -e .
	touch $@
