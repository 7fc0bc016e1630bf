# make book [SCALE=smoke|laptop|gpu|paper]   make test   make help

SCALE  ?= smoke
VENV   ?= .venv
PYTHON ?=

# A variable as one word of the shell, whatever is in it.
quote   = '$(subst ','\'',$(value $1))'
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# The interpreter that makes the virtual environment: PYTHON if given, else the first of these that is new enough.
NEWEST := import sys; sys.exit(sys.version_info < (3, 11))
FIND   := for python in $(if $(value PYTHON),$(call quote,PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
          if "$$python" -c "$(NEWEST)" 2>/dev/null; then echo "$$python"; break; fi; done

unexport SCALE PYTHON VENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help install book test test-browser test-deep lint prose clean

help: ## Show this list.
	@echo "tlbook: what is being transferred in transfer learning?"
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18
	@echo "SCALE=smoke (default) trains in minutes; SCALE=laptop renders the committed records without training."
	@echo "PYTHON=/path/to/python chooses the interpreter (3.11 or newer); it is asked once, to make $(VENV)."

$(STAMP): pyproject.toml constraints.txt
	@python="$$($(FIND))"; \
	if [ -z "$$python" ]; then \
	  echo "tlbook needs Python 3.11 or newer, and "$(if $(value PYTHON),$(call quote,PYTHON)" is not","none was found")": set PYTHON=/path/to/python3.11." >&2; \
	  exit 1; \
	fi; \
	echo "Installing into $(VENV) with $$("$$python" --version) (minutes the first time, once) ..."; \
	"$$python" -m venv $(VENV) || { \
	  echo "$$python could not make a virtual environment; on Debian and Ubuntu, install the package python3-venv." >&2; \
	  exit 1; \
	}
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[book,cluster,test]'
	@touch $@

install: $(STAMP) ## Make .venv and install everything (the other targets do it when needed).

book: $(STAMP) ## Execute the notebooks at SCALE and render the book.
	@$(BIN)/python -m tlbook.build --scale $(call quote,SCALE)

test: $(STAMP) ## Run the tests, a file at a time on each of two processes.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=10 -n 2 --dist loadfile

test-deep: $(STAMP) ## Try all that the promises page tells of: kills, 10,000 odd inputs, 200 epochs, 100 runs.
	@TLBOOK_TESTS=deep OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=10 -n 2 --dist load \
	  tests/test_kills.py tests/test_two_builds.py tests/test_bad_input.py tests/test_steady.py

test-browser: $(STAMP) ## Read the built smoke book in Debian's Chromium, with axe (npm brings it).
	@npm ci --silent --ignore-scripts --no-audit --no-fund --prefix tests/browser
	@$(BIN)/python -m pytest --durations=5 -n 2 tests/browser

lint: $(STAMP) ## Check style and format with ruff.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

prose: $(STAMP) ## Bring values, verdicts and references in notebooks and prose up to date.
	@$(BIN)/python -m tlbook.build.found

clean: ## Remove the rendered books (.venv and trained runs stay).
	rm -rf _build
