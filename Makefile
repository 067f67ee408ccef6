# make train and make test do everything, from nothing, in any order, any number of times.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install -q --disable-pip-version-check
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Where it is set, as in many containers, each process would compile TensorFlow's files again: 13 s.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: env env-dev env-slow env-docs data train test test-slow fuzz lint docs bench clean help

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

# Exact versions from requirements.txt, with uv if it is there, else with venv and pip. There pip
# fetches uv first, which installs the rest four times as fast; where it cannot, pip goes on alone.
define install
	@echo "installing $(1) into $(VENV) ..."
	@command -v uv >/dev/null || $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "make needs Python 3.11 to 3.13, or uv: make PYTHON=python3.12"; exit 1; }
	@if command -v uv >/dev/null; then \
	  uv venv -q --allow-existing --python ">=3.11,<3.14" $(VENV) && \
	  uv pip install -q --python $(RUN) -r requirements.txt -e "$(1)"; \
	else \
	  $(PYTHON) -m venv $(VENV) && { \
	    { $(PIP) uv && $(RUN) -m uv pip install -q --python $(RUN) -r requirements.txt -e "$(1)"; } || \
	    $(PIP) -r requirements.txt -e "$(1)"; \
	  }; \
	fi
	@touch $@
endef

env: $(VENV)/.ready  ## make the environment

$(VENV)/.ready: pyproject.toml requirements.txt
	$(call install,.)

env-dev: $(VENV)/.ready-dev  ## the same with what tests and lint need

$(VENV)/.ready-dev: pyproject.toml requirements.txt
	$(call install,.[dev])

env-slow: $(VENV)/.ready-slow  ## the same with a Ray cluster and an S3 for the slow tests

$(VENV)/.ready-slow: pyproject.toml requirements.txt
	$(call install,.[dev-slow])

env-docs: $(VENV)/.ready-docs  ## the same with what the documentation site needs

$(VENV)/.ready-docs: pyproject.toml requirements.txt
	$(call install,.[docs])

data: env  ## draw the demo dataset: 900 street scenes in the format of Cityscapes
	@$(RUN) -m skyseg_tf.scenes --out data/demo_scenes --count 900 --size 128 256 --conditions cityscapes

train: data  ## demo data, records, training, IoU plot
	@$(RUN) -m skyseg_tf.train

# Without restarts: xdist deals a crashed worker's file out again, and waits for ever if that crashes too.
test: env-dev  ## the fast tests, a file per process at a time
	@$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadfile --max-worker-restart 0

# The longest has an hour. After 420 s, as pyproject.toml says for the fast ones, all would end there.
test-slow: env-slow  ## all tests
	@$(RUN) -m pytest -m "slow or not slow" -o faulthandler_timeout=3900

fuzz: env-dev  ## feed changed files to every parser, SECONDS each; findings go to build/fuzz
	@$(RUN) tools/fuzz.py $(or $(SECONDS),60) $(PARSERS)

lint: env-dev  ## ruff, for code and notebooks
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check .

docs: env-docs  ## the documentation site, into build/site
	@$(RUN) docs/make_commands.py && $(RUN) docs/make_choices.py && $(RUN) docs/make_figures.py && NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

# What docs/benchmarks.md tells; the other scripts there each say what they measure, and how.
FIGURES := docs/figures/benchmarks
BENCH := $(RUN) benchmarks/

bench: env-dev  ## measure what docs/benchmarks.md tells (an hour; leave the machine alone meanwhile)
	$(BENCH)build_records.py --out $(FIGURES)/build_records.json
	$(BENCH)photo_masks.py --out $(FIGURES)/photo_masks.json
	$(BENCH)video.py --out $(FIGURES)/video.json
	$(BENCH)growth.py --out docs/figures/growth.json
ifdef TORCH_PYTHON  # a Python with torch and opencv-python-headless, in an environment of its own
	$(BENCH)training_step.py --torch-python $(TORCH_PYTHON) --out $(FIGURES)/training_step.json
	$(BENCH)streaming.py --torch-python $(TORCH_PYTHON) --out $(FIGURES)/streaming.json
	$(BENCH)runtimes.py --only skyline_lite0 --run skyseg_tf/weights/skyline --size 256 512 \
	  --torch-python $(TORCH_PYTHON) --out $(FIGURES)/runtimes.json
	$(BENCH)runtimes.py --only bisenetv2 --torch-python $(TORCH_PYTHON) --out $(FIGURES)/runtimes_bisenetv2.json
else
	@echo "PyTorch's side is left out: make bench TORCH_PYTHON=path/of/a/python/with/torch"
endif
ifdef REMBG_PYTHON  # one with rembg[cpu,cli], and another one with ultralytics
	$(BENCH)cold_start.py --rembg-python $(REMBG_PYTHON) --yolo-python $(YOLO_PYTHON) --out $(FIGURES)/cold_start.json
endif
	$(RUN) docs/make_figures.py

clean:  ## remove the environment, demo data and runs
	rm -rf $(VENV) data runs
