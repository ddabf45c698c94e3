# Builds and runs the package without a ROS installation: everything goes into a virtual environment.
#
#   make demo [DURATION=20]   the main job against simulated senders; Ctrl+C, or DURATION, stops it
#   make test                 linters and all tests, in WORKERS processes (3)
#   make bench                rate, jitter, losses and CPU at full rate; the model's speed; 6 minutes
#   make setup                only the environment and the package
#   make clean                remove the environments and what was built
#
# ROS_DISTRO=jazzy chooses Jazzy instead of Kilted, in an environment of its own.
# ROS users need none of this: see "In a ROS workspace" in README.md.

ROS_DISTRO = kilted
DURATION = 0
PYTHON = python3
TESTS = test
WORKERS = 3

venv := .venv$(if $(filter-out kilted,$(ROS_DISTRO)),-$(ROS_DISTRO))
bin := $(venv)/bin
sources := CMakeLists.txt setup.py pyproject.toml package.xml \
  $(shell find vla_inference_ros msg launch config -type f -not -name '*.pyc')

# A sourced ROS installation and the environment's own wheels must not mix.
unexport PYTHONPATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH COLCON_PREFIX_PATH

.PHONY: setup demo test lint bench clean
.DELETE_ON_ERROR:

setup: $(venv)/.built

demo: setup
	ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST \
	  $(bin)/vla-launch demo.launch.py duration:=$(DURATION)

# A file's tests stay together, since they share nodes; the files keep the order of the collection.
# A test process that dies ends the run: pytest-xdist, restarting one, waits for ever at the end.
test: setup $(venv)/.test-tools lint
	$(bin)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
	  --max-worker-restart 0 $(TESTS)

lint: setup $(venv)/.test-tools
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

bench: setup $(venv)/.test-tools
	$(bin)/python bench/realtime.py
	$(bin)/python bench/model.py

clean:
	rm -rf .venv .venv-jazzy build install log *.egg-info

# Without build isolation, so that CMake sees the ROS packages of the environment.
$(venv)/.built: $(venv)/.dependencies $(sources)
	$(bin)/pip install --quiet --no-build-isolation --no-deps .
	touch $@

$(venv)/.dependencies: requirements/$(ROS_DISTRO).txt requirements/build.txt requirements/run.txt
	.ci/prerequisites $(PYTHON)
	test -x $(bin)/python || $(PYTHON) -m venv $(venv)
	@echo "Installing ROS 2 $(ROS_DISTRO), torch and the build tools into $(venv): a few minutes"
	$(bin)/pip install --quiet $(addprefix -r ,$^)
	touch $@

$(venv)/.test-tools: requirements/test.txt $(venv)/.dependencies
	$(bin)/pip install --quiet -r $<
	touch $@
