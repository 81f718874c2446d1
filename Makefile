# make demo               a synthetic drive through everything, to demo/report.html
# make demo DRIVE=path    the same with a KITTI raw drive, an odometry sequence or a rosbag2
# make test               all tests;  make test PYTEST_ARGS='-k camera' WORKERS=0  some, one by one
# make test-jazzy         those of the node, the replay and all else that touches ROS, on Jazzy
# make coverage           all tests, and what they run: a table, and coverage/index.html
# make bench              the benchmarks without a GPU, into benchmarks/results.md (13 minutes);
#                         make bench BENCH='pac ground'  some of them
# make lint               ruff and mypy
# make venv               only .venv;  make venv PYTHON=python3.12  with this Python
# make clean              removes what the others made

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
JAZZY := .venv-jazzy

# A ROS domain for each worker: test/conftest.py leases it.
WORKERS ?= auto
PYTEST = python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal
# What names ROS and needs nothing of training.
ROS_TESTS = $(shell grep -lE 'rclpy|_msgs|node_harness|sg_depth_ros\.(node|replay)' \
	test/test_*.py | xargs grep -LE "(from|import) (torch|training)|'training'")

SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.10
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c '$(SUITABLE)' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: demo test test-jazzy coverage bench lint venv clean

demo: venv
	$(BIN)/python -m training.demo $(if $(DRIVE),--drive '$(DRIVE)') $(DEMO_ARGS)

test: venv
	$(BIN)/$(PYTEST) $(PYTEST_ARGS)

test-jazzy: $(JAZZY)/installed
	$(JAZZY)/bin/$(PYTEST) $(PYTEST_ARGS) $(ROS_TESTS)

coverage: venv
	$(BIN)/$(PYTEST) --cov --cov-report term --cov-report html $(PYTEST_ARGS)

bench: venv
	$(BIN)/python -m benchmarks $(BENCH) $(BENCH_ARGS)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

venv: $(INSTALLED)

# No build isolation: it would fetch build tools that constraints.txt does not pin.
$(INSTALLED): constraints.txt setup.py setup.cfg
	@$(if $(strip $(PYTHON)),,echo 'error: no Python 3.10 to 3.13 with venv (Debian and Ubuntu:' \
		'apt install python3-venv); name one with make PYTHON=/path/to/python' >&2; exit 2)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade --constraint constraints.txt pip setuptools
	$(BIN)/python -m pip install --constraint constraints.txt --no-build-isolation \
		--editable '.[ros,training,test]'
	@touch $@

# One of the two lists of ros-* wheels is to hold, so pip gets the rest of the one and the other.
$(JAZZY)/installed: constraints.txt constraints-jazzy.txt setup.py setup.cfg
	$(PYTHON) -m venv $(JAZZY)
	grep -v '^ros-' constraints.txt | cat - constraints-jazzy.txt > $(JAZZY)/constraints.txt
	$(JAZZY)/bin/python -m pip install --upgrade --constraint $(JAZZY)/constraints.txt pip setuptools
	$(JAZZY)/bin/python -m pip install --constraint $(JAZZY)/constraints.txt --no-build-isolation \
		--editable '.[ros]' hypothesis onnx pytest pytest-timeout pytest-xdist
	@touch $@

clean:
	rm -rf $(VENV) $(JAZZY) build install log runs *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis coverage .coverage .coverage.*
	rm -rf $(if $(wildcard demo/.made_by_demo),demo)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
