#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The pure archive wants nothing from outside that pure-symbols.txt does not name.

    pure.py ARCHIVE...
"""

import fnmatch
import os
import re
import subprocess
import sys

from source import ROOT, none

from tap import run, test, true

SANITIZER = re.compile(r"^__(asan|ubsan|sanitizer|lsan|sancov|gcov)_|^_?_?gcov|^_GLOBAL_OFFSET_TABLE_$")
ALLOW = os.path.join(ROOT, "tests/lint/pure-symbols.txt")


def symbols(archive, *options):
    reply = subprocess.run(["nm", "-P", *options, archive], capture_output=True, text=True, check=True)
    return {line.split()[0].split("@")[0] for line in reply.stdout.splitlines() if len(line.split()) >= 2}


def allowed():
    with open(ALLOW, encoding="utf-8") as file:
        return [line.split()[0] for line in file if line.strip() and not line.startswith("#")]


def add(archive):
    @test(f"{archive} is pure")
    def _():
        wanted = symbols(archive, "-u") - symbols(archive, "--defined-only")
        true(wanted, "the archive wants something")
        patterns = allowed()
        none(sorted(s for s in wanted if not SANITIZER.match(s) and not any(fnmatch.fnmatchcase(s, p) for p in patterns)),
             "symbols that a pure archive may not want")


if __name__ == "__main__":
    for path in sys.argv[1:]:
        add(path)
    run([])
