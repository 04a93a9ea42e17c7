#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The last test of all: nothing of the program and of the tests is left on this machine.

    clean.py PROGRAM...
"""

import glob
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from internet import leftovers, running, wait_for  # noqa: E402
from tap import equal, run, test  # noqa: E402


@test("no sandbox left anything: cgroups, pins, state")
def _():
    equal(leftovers(), [], "what is left")


@test("no process of the program is left")
def _():
    def found():
        return [pid for program in sys.argv[1:] for pid in running(os.path.abspath(program))]

    wait_for(lambda: not found(), lambda: f"processes {found()} are gone", 5)


@test("no test left a directory or an interface")
def _():
    equal(glob.glob("/tmp/nono-net-*"), [], "directories of the tests' internet")
    equal([n for n in os.listdir("/sys/class/net") if n in ("nnh", "nni")], [], "interfaces")


if __name__ == "__main__":
    run([])
