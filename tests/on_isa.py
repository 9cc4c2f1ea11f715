#!/usr/bin/env python3
"""Runs a test with the kernels of one instruction set.

    on_isa.py ISA RUBATO MODEL COMMAND...

Leaves with 77, which CTest calls skipped, where this machine lacks the set, and where the set is the machine's best: the
test without a set has run with that.
"""
import json, os, subprocess, sys

isa, rubato, model, *command = sys.argv[1:]
environment = {k: v for k, v in os.environ.items() if k != "RUBATO_ISA"}


def info(*more): return subprocess.run([rubato, "info", model, "--json", *more], env=environment, capture_output=True, text=True)


if info("--isa", isa).returncode != 0: sys.exit(77)
if json.loads(info().stdout)["isa"] == isa: sys.exit(77)
os.execvpe(command[0], command, {**environment, "RUBATO_ISA": isa})
