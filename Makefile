# The short way through Finicky: `make help` lists the targets.

PRESET ?= default
CORES ?= all
PROFILE ?= default
UV ?= uv

# Whatever the machine's locale, text is UTF-8. Ctrl-C gives no traceback (workflow/sitecustomize.py).
export PYTHONUTF8 := 1
export PYTHONPATH := workflow

# The first Python that is recent enough and can build environments, or nothing. 3.14 comes last: for
# it, one of the packages has to be compiled.
usable := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	$$p -c '$(usable)' 2>/dev/null && echo $$p && break; done)

python := .venv/bin/python
# A file's name reaches a shell below, and names a folder that `make clean` removes: only what the
# schema of a config accepts as a preset counts.
presets := default $(shell ls config 2>/dev/null | LC_ALL=C sed -n 's/^\([a-z0-9][a-z0-9_-]*\)\.yaml$$/\1/p' | \
	grep -vxE 'config|claims|amendments|default|bench|data|logs|reference|store')
own_file := $(if $(filter-out default,$(PRESET)),config/$(PRESET).yaml)
configfile := $(addprefix --configfile ,$(own_file))
# One word for a shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'

profiles := $(sort $(notdir $(patsubst %/config.yaml,%,$(wildcard workflow/profiles/*/config.yaml))))
# Snakemake adds the default profile to every other. How much there is of this machine, the others say
# themselves, or a cluster's scheduler.
on_this_machine := --cores $(CORES) --resources gpu=1
place := $(if $(filter default,$(PROFILE)),$(on_this_machine),--profile workflow/profiles/$(PROFILE) \
	$(if $(filter-out all,$(CORES)),--cores $(CORES)))

.PHONY: help report check status list new-experiment new-claim verify prune merge archive bench reference example test test-gpu test-cluster slurm lint format env lock clean distclean check-preset
.NOTPARALLEL:

help:  ## list the targets
	@echo "make report [PRESET=default] [CORES=all] [PROFILE=default]"
	@echo "  presets: $(presets)"
	@echo "  profiles: $(profiles)"
	@awk -F ':|## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$NF }' Makefile

report: check-preset env  ## measure, judge and build the page (resumes what was interrupted)
	@$(python) workflow/scripts/check_yaml.py $(own_file)
	@$(python) workflow/scripts/unlock_if_dead.py
	@$(python) -m snakemake $(place) $(configfile)
	@$(python) workflow/scripts/answers.py results/$(PRESET)/report/claims.json
	@echo "The page: results/$(PRESET)/report/index.html"

check: check-preset env  ## check the preset: what it costs here, and what it could decide
	@$(python) workflow/scripts/check.py config/$(if $(own_file),$(PRESET),config).yaml

status: check-preset env  ## say how far each preset is, or PRESET, and how long the rest would take here
	@$(python) workflow/scripts/status.py $(own_file)

list: env  ## list levels, experiments, presets and claims (WHAT=claims for one of them)
	@$(python) workflow/scripts/scaffold.py list $(if $(WHAT),$(call quoted,$(WHAT)))

new-experiment: env  ## start an experiment (NAME=start-loss)
	@$(python) workflow/scripts/scaffold.py new-experiment $(call quoted,$(NAME))

new-claim: env  ## start a claim (ID=C201 EXPERIMENT=start-loss)
	@$(python) workflow/scripts/scaffold.py new-claim $(call quoted,$(ID)) $(call quoted,$(EXPERIMENT))

verify: env  ## look whether all results are as they were written; remove what is damaged
	@$(python) workflow/scripts/upkeep.py verify

prune: env  ## list what no preset in config/ needs (YES=1 removes it)
	@$(python) workflow/scripts/upkeep.py prune $(if $(filter 1,$(YES)),yes)

merge: env  ## take over the runs of another store (FROM=other/results/store)
	@$(python) workflow/scripts/upkeep.py merge $(call quoted,$(FROM))

archive: check-preset env  ## pack a preset's report, tables, config and licences as an RO-Crate
	@$(python) workflow/scripts/archive.py $(PRESET)

bench: env  ## time the engine against other ways (alone on the machine); the page shows it
	@$(python) workflow/scripts/unlock_if_dead.py
	@$(python) -m snakemake --cores all --forcerun bench -- results/bench/engine.json
	@echo "The numbers: results/bench/engine.json"

reference: check-preset  ## make the preset's results a seed set of the reference that is committed
	@test -f results/$(PRESET)/report/claims.json || { echo "results/$(PRESET)/report/claims.json: \
	no such file; allowed: a preset whose report is made (make report PRESET=$(PRESET))" >&2; exit 1; }
	@new=results/reference/.new && rm -rf $$new && mkdir -p $$new/tables $$new/experiments && \
	cp results/$(PRESET)/tables/*.parquet results/$(PRESET)/tables/README.md $$new/tables/ && \
	cp results/$(PRESET)/experiments/*.parquet $$new/experiments/ && \
	cp results/$(PRESET)/evidence.parquet results/$(PRESET)/provenance.json $$new/ && \
	cp results/$(PRESET)/report/claims.json $$new/ && \
	for checksum in provenance.json.sha256 report/claims.json.sha256; do \
		if test -e results/$(PRESET)/$$checksum; then \
			cp results/$(PRESET)/$$checksum $$new/ || exit 1; fi; done && \
	old=results/reference/.old && rm -rf $$old && \
	if test -e results/reference/$(PRESET); then mv results/reference/$(PRESET) $$old; fi && \
	mv $$new results/reference/$(PRESET) && rm -rf $$old
	@du -sh results/reference/$(PRESET)

example: check-preset env  ## make README's example page, of a set that is committed (PRESET=seeds-1000)
	@$(python) workflow/scripts/example.py $(PRESET)

# File by file, as tests share what the first of a file has made, the fast ones first. Each core has
# a process, so each process has one thread: more of them would only wait for each other.
test: env  ## run all tests
	@OMP_NUM_THREADS=1 $(python) -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# With the Python that is there (PyTorch, NumPy, pandas, pyarrow, pytest), no Snakemake, no network.
test-gpu:  ## test and time the engine on this machine's GPU (3 minutes)
	@with=$$(test -x $(python) && echo $(python) || echo $(or $(PYTHON),python3)); \
		$$with -m pytest -q -p no:cacheprovider tests/unit/test_gpu.py; passed=$$?; \
		$$with workflow/scripts/gpu_bench.py && exit $$passed

test-cluster: env slurm  ## run a small preset through a real SLURM, started on this machine (root)
	@lacking=$$($(python) tests/cluster/one_node.py) && \
		{ test -z "$$lacking" || { echo "$$lacking" >&2; exit 1; }; }
	@$(python) -m pytest -p no:cacheprovider tests/cluster

# What the cluster tests need besides, on Debian or Ubuntu; root alone can start it.
slurm:
	@command -v slurmctld >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || \
		{ apt-get update -q && apt-get install -q -y --no-install-recommends slurm-wlm munge; }

lint: env  ## check style and the workflow, change nothing
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m snakefmt --check Snakefile workflow
	@$(python) -m snakemake --lint

format: env  ## mend style where that can be done by machine
	@$(python) -m ruff check --fix .
	@$(python) -m ruff format .
	@$(python) -m snakefmt Snakefile workflow

# .venv holds a copy of the lock that it was built from. The copy is written last, so that a build
# that was interrupted goes on, and content decides, not the time of the last checkout.
env:  ## build .venv from requirements.lock, if that changed
	@test -x $(python) && cmp -s requirements.lock .venv/requirements.lock \
		|| $(MAKE) --no-print-directory .venv

.PHONY: .venv
.venv:
	$(if $(PYTHON),,$(error Finicky needs Python 3.11 or later with its venv module \
	(Debian, Ubuntu: apt-get install python3-venv); or name one: make PYTHON=/path/to/python3))
	@echo "Building the environment in .venv (about 6 GB, a few minutes)"
	@test -x $(python) || rm -rf .venv
	@$(PYTHON) -m venv .venv
# pip says nothing for minutes on end; on a terminal, something does. Python compiles what it imports,
# once: to compile all of it here takes a third of the time.
	@(test -t 1 && while sleep 5 && kill -0 $$$$ 2>/dev/null; do \
		printf '\r  %s of it are there ' "$$(du -sh .venv | cut -f1)"; done) & \
	$(python) -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile \
		-r requirements.lock; status=$$?; kill $$! 2>/dev/null; test ! -t 1 || echo; exit $$status
	@$(python) -m pip check
	@cp requirements.lock .venv/requirements.lock

lock:  ## write requirements.lock anew from requirements.in (needs uv)
	$(if $(shell command -v $(UV)),,$(error make lock needs uv (pip install uv), or UV=/path/to/uv))
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" --output-file requirements.lock requirements.in

clean:  ## remove the presets' results; stored runs, data and .venv stay
	rm -rf $(addprefix results/,$(presets))

distclean:  ## remove all that was made or downloaded, .venv too; results/reference stays
	test ! -d results || find results/ -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +
	rm -rf .venv .snakemake .pytest_cache .ruff_cache

check-preset:
	$(if $(filter 1,$(words $(PRESET))),,$(error PRESET must be one of: $(presets)))
	$(if $(filter $(presets),$(PRESET)),,$(error PRESET=$(PRESET): there is no config/$(PRESET).yaml; \
	presets are: $(presets)))
	$(if $(filter 1,$(words $(PROFILE))),,$(error PROFILE must be one of: $(profiles)))
	$(if $(filter default $(profiles),$(PROFILE)),,$(error PROFILE=$(PROFILE): there is no \
	workflow/profiles/$(PROFILE); profiles are: $(profiles)))
	$(if $(filter all,$(CORES)),,$(if $(shell printf %s '$(subst ','\'',$(CORES))' | \
	grep -xE '[1-9][0-9]*'),,$(error CORES=$(CORES): allowed are all and numbers from 1)))
