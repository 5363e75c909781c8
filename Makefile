# `make demo` and `make test` first do whatever set-up is missing.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-demo demo demo-calculix docs test test-slow reliability benchmarks audits lint dist dist-debian test-newest clean
PYTHON := .venv/bin/python
# Files alone that have such tests: every rank reads all it is given.
MPI_TESTS = $(shell grep -rlE 'mark\.mpi\b' tests --include='test_*.py')

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## Make .venv: DOLFINx, torch, the tools and this project (a minute; 10 if DOLFINx is built)
	@bash setup/setup.sh

setup-demo:
	@bash setup/setup.sh demo

demo: export OMP_NUM_THREADS := 1
demo: setup-demo ## Simulate the optical trap, learn its law, run it in a FEniCSx bar (2 minutes after set-up)
	$(PYTHON) demos/main_job.py

demo-calculix: export OMP_NUM_THREADS := 1
demo-calculix: setup ## Build CalculiX once, run laws in it, compare with DOLFINx (4 minutes at first)
	ccx=$$(bash demos/other_codes/calculix/build_ccx.sh) && \
		$(PYTHON) demos/other_codes/calculix/run.py "$$ccx" && \
		$(PYTHON) demos/other_codes/calculix/tensor_laws.py "$$ccx"

docs: export NO_MKDOCS_2_WARNING := 1
docs: setup ## Build the documentation into site/ (4 seconds; more the first time)
	@$(PYTHON) -c 'import material, mkdocstrings_handlers.python' 2>/dev/null || \
		$(PYTHON) -m pip install --no-build-isolation -e '.[docs]'
	$(PYTHON) -m mkdocs build --strict
	@echo "open site/index.html"

# One thread each: two processes on two cores would wait for each other's threads. What is compiled
# is kept, also where the user's shell forbids it: tests start many processes.
test test-slow: export OMP_NUM_THREADS := 1
test test-slow: export MPLBACKEND := Agg
test test-slow: export PYTHONDONTWRITEBYTECODE :=
test: setup ## Run the quick tests on all cores, then those marked mpi again on two ranks (4 minutes)
	$(PYTHON) -m pytest -n auto --dist worksteal
	bash setup/mpirun.sh 2 $(PYTHON) -m pytest -m mpi -p no:cacheprovider $(MPI_TESTS)

test-slow: setup ## Run the tests that are marked slow (10 minutes)
	$(PYTHON) -m pytest -n auto --dist worksteal -m 'slow and not gpu and not benchmark'

reliability: export OMP_NUM_THREADS := 1
reliability: setup ## Kills, full disks, odd folders, eight ranks, a long run; prints a table
	$(PYTHON) -m tests.reliability

benchmarks: export OMP_NUM_THREADS := 1
benchmarks: setup ## Measure speeds (half an hour of a quiet machine), draw benchmarks/results/overview.png
	$(PYTHON) benchmarks/overview.py

audits: export OMP_NUM_THREADS := 1
audits: setup ## Derive the acceptance ranges from exact laws and judge the shipped laws (a quarter of an hour)
	$(PYTHON) benchmarks/audits_of_exact_laws.py

lint: setup ## Check style and types
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

dist: setup ## Build wheel and source archive into dist/ and check them with nine tools (a minute)
	$(PYTHON) distribution/make.py

dist-debian: setup ## Carry out the Dockerfile in a Debian 13 root (as root; after `make dist`)
	bash distribution/test_dockerfile.sh

test-newest: ## Run the tests with the newest DOLFINx, in a Debian sid root (as root; informs only)
	bash setup/test_newest.sh

clean: ## Remove .venv, build/, dist/ and site/ (the cached wheels stay)
	rm -rf .venv build dist site
