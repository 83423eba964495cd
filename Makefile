# Two commands for a fresh machine: `make demo` and `make test`. Needs Python 3.11 or newer, Go 1.26 or newer, and make.

PYTHON ?= python3
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
# tools are kept outside the checkout, so that a fresh clone finds them built
TOOLCHAIN ?= $(CACHE)/kguard-toolchain
CORPORA ?= $(or $(KGUARD_CORPORA),../shared/corpora)
CATALOGUE ?= $(or $(KGUARD_CATALOGUE),../shared/catalogue)
PLAIN = badpods kubernetes-examples kube-prometheus network-policy-recipes checkov-kubernetes kubernetes-goat
PARITY = $(PLAIN) \
  microservices-demo podinfo argo-cd dapr-chart flux2-kustomize-helm-example

BIN = .venv/bin
REPORT = out/kguard-report.html
export PATH := $(TOOLCHAIN)/bin:$(PATH)
export KGUARD_RULES = kubescape=$(TOOLCHAIN)/rules/kubescape

.PHONY: help demo test lint unit covered tools browser faketime record evidence parity canaries cofire coverage labels lines records sixtools bench generate clean

help:  ## what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/installed tools  ## scan fixtures/shop with every tool that is there
	@mkdir -p out
	@$(BIN)/kguard scan fixtures/shop -o $(REPORT) -o out/kguard-report.json; code=$$?; \
	 echo; echo "The report is in $(REPORT)."; \
	 case $$code in 0|1|4) exit 0;; *) exit $$code;; esac

test: .venv/installed tools browser faketime lint unit  ## everything that CI runs

lint: .venv/installed  ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

unit: .venv/installed tools  ## the tests
	$(BIN)/pytest --numprocesses auto --dist loadfile

covered: .venv/installed tools  ## the tests with the coverage of our own lines, which takes half as long again: out/coverage.txt
	$(BIN)/coverage run -m pytest
	@mkdir -p out && $(BIN)/coverage report --skip-covered --sort=cover >out/coverage.txt

tools: .venv/installed  ## trivy, kubescape and its rules, helm 3 and 4, kustomize, from package registries, pinned
	@$(PYTHON) tests/toolchain/install.py $(TOOLCHAIN)

browser:  ## Debian's chromium for the tests of the HTML report, where it can be installed
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && { echo "installing chromium for the tests of the HTML report"; apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null 2>&1; } \
	  || echo "no chromium: the browser tests of the HTML report will be skipped"

faketime:  ## Debian's libfaketime for the test with a clock that is set back, where it can be installed
	@ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && { echo "installing libfaketime for the test of the clock"; apt-get update -qq && apt-get install -y -qq libfaketime; } >/dev/null 2>&1; } \
	  || echo "no libfaketime: the test with a clock that is set back will be skipped"

record: .venv/installed tools  ## write fixtures/native again, from the real tools
	$(BIN)/python tests/record.py

evidence: .venv/installed tools  ## what each tool says of a bad and a good case of every control: docs/coverage-of-controls.md
	$(BIN)/python tests/evidence.py

parity: .venv/installed tools  ## kguard's evidence against each tool run by hand, and the account of each, over the real-world sets
	cd $(CORPORA) && $(CURDIR)/$(BIN)/python $(CURDIR)/tests/parity.py $(PARITY)

canaries: .venv/installed tools  ## what the tools say with and without the canary, over the real-world sets
	cd $(CORPORA) && $(CURDIR)/$(BIN)/python $(CURDIR)/tests/canaries.py $(PARITY)

cofire: .venv/installed tools  ## the merge, over one-fault manifests
	$(BIN)/python tests/cofire.py $(CATALOGUE)

coverage: .venv/installed tools  ## which tool finds what, over one-fault manifests and, counted by hand, over the real-world sets
	$(BIN)/python tests/coverage_probes.py $(CATALOGUE)
	@mkdir -p out/coverage && $(BIN)/kguard catalog -f json >out/coverage/catalog.json
	@cd $(CORPORA) && out=$(CURDIR)/out/coverage && export PATH=$(CURDIR)/$(BIN):$$PATH && for set in $(PARITY); do echo "$$set"; \
	  kguard scan $$set --tools +checkov,+kube-score --fail-on never -q -o $$out/run.json 2>/dev/null; \
	  kguard coverage $$out/run.json -q -o $$out/coverage.json 2>/dev/null; \
	  python $(CURDIR)/tests/coverage_count.py $$out/run.json $$out/coverage.json || exit 1; \
	  python $(CURDIR)/tests/coverage_missed.py $$out/run.json $$out/coverage.json $$out/catalog.json $(CURDIR)/kguard/data/tools.yaml || exit 1; done

labels: .venv/installed tools  ## which tools find the faults that another scanner has labelled
	$(BIN)/python tests/labels.py $(CORPORA)/checkov-kubernetes

lines: .venv/installed tools  ## how exact and how right the lines of findings are: docs/lines.md
	cd $(CORPORA) && $(CURDIR)/$(BIN)/python $(CURDIR)/tests/lines.py $(abspath $(CATALOGUE)) $(PLAIN)

records: .venv/installed tools  ## what the tools printed beside what kguard makes of it: docs/records.md
	cd $(CORPORA) && $(CURDIR)/$(BIN)/python $(CURDIR)/tests/records.py microservices-demo kubernetes-goat >$(CURDIR)/out/records.md
	mv out/records.md docs/records.md

sixtools: .venv/installed tools  ## the comparison of six tools on three real-world sets: docs/six-tools.md
	cd $(CORPORA) && $(CURDIR)/$(BIN)/python $(CURDIR)/tests/sixtools.py kubernetes-goat microservices-demo kube-prometheus >$(CURDIR)/out/six-tools.md
	mv out/six-tools.md docs/six-tools.md

bench: .venv/installed tools  ## kguard's time and memory beside the tools run by hand
	$(BIN)/python tests/bench.py

generate: .venv/installed  ## the JSON Schemas of the report, the comparison and kguard.yaml, and the reference page of the controls
	$(BIN)/python -c "from kguard.reports import json_v1; print(json_v1.schema(), end='')" >kguard/data/schema/report-v1.json
	$(BIN)/python -c "from kguard.reports import coverage_v1; print(coverage_v1.schema(), end='')" >kguard/data/schema/coverage-v1.json
	$(BIN)/python -c "from kguard import config; print(config.schema(), end='')" >kguard/data/schema/config.json
	$(BIN)/kguard catalog --format md >docs/catalogue.md

clean:  ## what was built; the toolchain stays
	rm -rf build dist out *.egg-info .venv .mypy_cache .pytest_cache .ruff_cache .coverage

.venv/installed: pyproject.toml tests/toolchain/requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r tests/toolchain/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
