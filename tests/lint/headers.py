#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone, so that no include depends on another before it."""

import subprocess

from source import ROOT, files, none

from tap import run, test, true

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-Iuserspace", "-I.", "-Ibuild/gen", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"]


@test("each header compiles alone, and twice", limit=300)
def _():
    names = files("userspace/**/*.h", "bpf/redirect.h", "include/*.h")
    true(names, "there are headers")
    found = []
    for name in names:
        path = name.removeprefix("userspace/")
        reply = subprocess.run(["gcc", *FLAGS], input=f'#include "{path}"\n#include "{path}"\n', capture_output=True, text=True, cwd=ROOT, check=False)
        if reply.returncode:
            found.append(f"{name}: {reply.stderr.strip()}")
    none(found, "headers that do not stand alone")


if __name__ == "__main__":
    run()
