# Short names for the scripts; the scripts do the work.
.DEFAULT_GOAL := help
.PHONY: help setup demo test bench bench-peers format states

help: ## show this help
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

setup: ## install what is missing: Debian packages and .venv
	scripts/setup

demo: ## run examples/ising on a boss of its own
	scripts/demo

test: ## run every check and every test
	scripts/test

bench: ## compare ecloud with make and xargs on this machine (some minutes)
	scripts/setup --tests
	.venv/bin/python benchmarks/throughput.py --short

bench-peers: ## the same with HyperQueue, Ray, Dask and Huey, all of it (half an hour)
	scripts/setup --tests
	.venv/bin/python benchmarks/throughput.py --peers

format: ## format and sort imports
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

states: ## draw docs/states.md from the transition tables
	.venv/bin/python scripts/draw_states
