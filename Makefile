# SPDX-License-Identifier: GPL-2.0
# The commands of the project. Each is one line here and a script in tools/; `make` alone explains them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.SUFFIXES:

# What may be given on the command line reaches the scripts as it was typed: without $(value), make would take
# the dollars of RUN='echo $$HOME' for its own.
variables := RUN SHARE QEMU_EXTRA APPEND MEM SMP NUM_DPU DPU_OPTS IOMMU LOAD MONITOR KERNEL TIMEOUT T TARGET TIME SEED ALL RUNS PROFILE
$(foreach name,$(variables),$(if $(filter-out undefined,$(origin $(name))),\
    $(eval override $(name) := $$(value $(name)))$(eval export $(name))))

# Several goals share caches and locks; the tools themselves use every processor.
.NOTPARALLEL:

##@ Try it
demo: ## the whole thing in one go: boot a guest with two DPUs, look at them, pass packets
	@tools/demo

vm: ## boot a guest and run a command in it: make vm RUN='devlink dev info'
	@tools/guest/vm

shell: ## a terminal in a guest (leave with exit)
	@tools/guest/vm --shell

##@ Check it
check: ## everything: lint, model-test, kunit, selftests, tests of the tools, a short fuzz
	@tools/check/all

check-debug: ## kunit and selftests on a kernel with KASAN, lockdep, kmemleak and friends
	@tools/check/all --debug

lint: ## formatting, clippy, shellcheck, checkpatch, the house rules
	@tools/check/lint

model-test: ## cargo test of the host workspace: ABI, device model, drivers against the model [T=filter]
	@tools/check/model-test

device-test: ## the device in QEMU, over its bus and without a guest [T=part of a name]
	@tools/check/device-test

kunit: ## the KUnit suites in the modules, in a guest
	@tools/check/kunit

selftests: ## the kselftests, in guests; one of them: make selftests T=name
	@tools/check/selftests

bench: ## compare with other network devices [T=name RUNS=3 PROFILE=yes]: minutes, on a machine that does nothing else
	@tools/bench/run

fuzz: ## fuzz the device model, or the drivers: make fuzz TARGET=name|drivers TIME=60
	@tools/check/fuzz

soak: ## a user and a device that fail at random, in a guest: make soak TIME=600 SEED=1
	@tools/check/soak

coverage: ## which lines of drivers and device the tests run: a table, and what is left [T=area of the selftests]
	@tools/check/coverage

##@ Build it
modules: ## the kernel modules
	@tools/kernel/modules >/dev/null

kernel: ## the guest kernel
	@tools/kernel/build >/dev/null

kselftests: ## the kernel's own tests of network drivers, which `make selftests T=kernel` runs
	@tools/kernel/kselftests >/dev/null

qemu: ## QEMU with the Ferrite device
	@tools/qemu/build >/dev/null

toolbox: ## the Debian 13 root that everything is built and run in
	@tools/toolbox/make >/dev/null

docs: ## API documentation of the Rust code
	@tools/docs

clean: ## remove what was built for this tree; make clean ALL=yes removes the whole cache
	@tools/clean

help: ## this text
	@awk -f tools/help.awk $(MAKEFILE_LIST)

.PHONY: demo vm shell check check-debug lint model-test device-test kunit selftests bench fuzz soak coverage modules kernel kselftests qemu toolbox docs clean help

# Wrong use deserves more than "No rule to make target".
%:
	@echo "ferrite: error: there is no target '$@'; see: make help" >&2; exit 1
Makefile: ;
