# make demo    the main job on real input, from training to a page with the numbers (demo/index.html)
# make test    everything that has to pass
# The first call makes the environments, which needs the network; after that no call does.

PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 2
BIN    := $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: docs readme demo test matrix coverage test-thorough test-slow test-kill test-lava-dl benchmark lint types lava lava-dl fuzz pins clean

demo: lava
	$(BIN)/spikeport demo --out demo --force

# Two workers, or as many as WORKERS says; tests/parallel.py says who gets what.
test: lava
	$(BIN)/python -m pytest -n $(WORKERS)

# The tests that need no Lava on every Python from 3.10 to 3.13 that is found here, each in its .venv-3.X; the others are named.
matrix:
	WORKERS=$(WORKERS) $(PYTHON) tests/matrix.py

# The tests of `make test`, and a table of the files with lines and branches that none of them took.
coverage: lava
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term

# The same tests with all the random cases of each; a run of every day draws three in ten.
test-thorough: lava
	SPIKEPORT_EXAMPLES=1 $(BIN)/python -m pytest -n $(WORKERS)

# 2,000 random programs on Lava, 20,000 reference against fast, full training runs.
test-slow: lava
	$(BIN)/python -m pytest -m "slow and not lava_dl"

# bench and study killed at random moments, KILLS times in all: two to three hours of two cores.
KILLS ?= 1000
test-kill: $(VENV)/ready
	SPIKEPORT_KILLS=$(KILLS) $(BIN)/python -m pytest -m slow tests/toolchain/cells/test_kills.py

# Cross-checks against lava-dl, which brings a PyTorch of its own (several GB).
test-lava-dl: lava-dl
	$(BIN)/python -m pytest -m lava_dl

benchmark: lava
	$(BIN)/python -m benchmarks

# The documentation site, into site/; warnings are errors.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

# Puts the last run of the demo into README.md.
readme: $(VENV)/ready
	$(BIN)/python docs/site/readme.py demo/demo.json

lint: $(VENV)/ready
	$(BIN)/ruff check .

# Annotations: all of them, see [tool.mypy] of pyproject.toml.
types: $(VENV)/ready
	$(BIN)/python -m mypy

# Both return at once where the environment is complete; it lies in the user's data folder (SPIKEPORT_LAVA_ENV: elsewhere).
lava: $(VENV)/ready
	@$(BIN)/spikeport lava setup

lava-dl: lava
	@$(BIN)/spikeport lava setup --lava-dl

# The stamp: the environment is made again only where what it is made from has changed.
$(VENV)/ready: pyproject.toml constraints/main.txt constraints/torch.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 10) <= v[:2] <= (3, 13) and f"$(PYTHON) is Python {v[0]}.{v[1]}; spikeport needs 3.10 to 3.13: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --no-deps --requirement constraints/main.txt
	$(PIP) --requirement constraints/torch.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# 10,000 damaged files of every kind that is read; the normal tests read 300. What fails is kept in runs/fuzz.
fuzz: $(VENV)/ready
	$(BIN)/python -m tests.fuzz --files 10000

# Needs uv.
pins:
	$(PYTHON) constraints/pin.py

clean:
	rm -rf $(VENV) build *.egg-info
