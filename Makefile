# Two commands matter: `make run` and `make test`. Both make .venv from a lock file first; nothing else is installed.

PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
STATE ?= .dukat
PORT ?= 8000

.PHONY: run test lint bench locks clean

run: $(VENV)/.run-ready  ## Start everything, place one spoken call, keep serving until Ctrl-C
	@exec $(VENV)/bin/dukat up --first-call --port "$(PORT)" --state-dir "$(STATE)"

test: $(VENV)/.test-ready lint  ## Everything that is checked
	@sh tests/install_browser.sh
	@$(VENV)/bin/python -m pytest

lint: $(VENV)/.test-ready
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy configs deployments serve_app kb_pipeline analytics graph.py

bench: $(VENV)/.run-ready  ## What the platform adds to its engines
	@$(VENV)/bin/dukat bench turn

# pip brings uv, uv the rest: exactly what is in the lock, checked by hash, without asking for anything's own wishes
# (--no-deps: silero-vad would want torch, of which we need nothing).
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=")'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check uv==0.13.8

$(VENV)/.run-ready: $(UV) locks/run.lock pyproject.toml
	@$(UV) pip install --python $(VENV)/bin/python --no-deps --require-hashes --compile-bytecode -r locks/run.lock
	@$(UV) pip install --python $(VENV)/bin/python --quiet --no-deps --editable .
	@touch $@

$(VENV)/.test-ready: $(VENV)/.run-ready locks/test.lock
	@$(UV) pip install --python $(VENV)/bin/python --no-deps --require-hashes -r locks/test.lock
	@touch $@

locks:  ## After a change of dependencies in pyproject.toml
	$(UV) pip compile pyproject.toml --extra embedded-voice --universal --python-version 3.11 \
		--no-header --no-annotate --generate-hashes --quiet --output-file locks/run.lock
	$(UV) pip compile pyproject.toml --extra embedded-voice --extra test --universal --python-version 3.11 \
		--no-header --no-annotate --generate-hashes --quiet --constraint locks/run.lock --output-file locks/test.lock

clean:
	rm -rf $(VENV) "$(STATE)"
