# make demo               a synthetic drive through everything, to demo/report.html
# make demo DRIVE=path    the same with a KITTI raw drive, an odometry sequence or a rosbag2
# make test               all tests;  make test PYTEST_ARGS='-k camera'  some
# make lint               ruff and mypy
# make venv               only .venv;  make venv PYTHON=python3.12  with this Python
# make clean              removes what the others made

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.10
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c '$(SUITABLE)' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: demo test lint venv clean

demo: venv
	$(BIN)/python -m training.demo $(if $(DRIVE),--drive '$(DRIVE)') $(DEMO_ARGS)

test: venv
	$(BIN)/python -m pytest $(PYTEST_ARGS)

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

clean:
	rm -rf $(VENV) build install log runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf $(if $(wildcard demo/.made_by_demo),demo)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
