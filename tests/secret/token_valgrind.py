#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The comparison of the session token takes no branch, and no address, from the token.

    token_valgrind.py PROGRAM

PROGRAM is token_valgrind, as it was built for release: what is proved here is proved of the code that runs.
"""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from tap import contains, equal, fail, lacks, run, test, true  # noqa: E402

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else sys.exit("usage: token_valgrind.py PROGRAM [WORD...]")
FOUND = 99
TOKEN_TEXT = 64


def call(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=110, check=False, stdin=subprocess.DEVNULL)


def under_valgrind(*words):
    # Every error is told, with the frames of small functions; the answer is the exit status.
    if not shutil.which("valgrind"):
        fail("valgrind is not installed")
    return call("valgrind", "-q", f"--error-exitcode={FOUND}", "--track-origins=yes", "--error-limit=no", PROGRAM, *words)


def compared(reply):
    found = re.search(r"^(\d+) comparisons, 0 failed$", reply.stdout, re.MULTILINE)
    true(found, f"the verdicts are right; it said {reply.stdout!r} and {reply.stderr!r}")
    return int(found.group(1))


@test("the verdicts are right, whichever comparison is used")
def _():
    for words in ([], ["--memcmp"]):
        reply = call(PROGRAM, *words)
        equal(reply.returncode, 0, "exit status")
        true(compared(reply) > 4 * TOKEN_TEXT, "each place was wrong once, in both schemes")


@test("nothing depends on the token but the answer", limit=120)
def _():
    reply = under_valgrind()
    equal((reply.returncode, reply.stderr), (0, ""), "exit status and what valgrind found")
    true(compared(reply) > 4 * TOKEN_TEXT, "each place was wrong once, in both schemes")


@test("a comparison that ends early is found", limit=120)
def _():
    reply = under_valgrind("--memcmp")
    equal(reply.returncode, FOUND, f"exit status ({reply.stderr[:500]!r})")
    compared(reply)
    contains(reply.stderr, "depends on uninitialised value", "what valgrind found")
    contains(reply.stderr, "created by a client request", "where valgrind says it comes from")
    for case in ("Bearer right", "Bearer wrong at 0", f"Bearer wrong at {TOKEN_TEXT - 1}", "Basic right", "Basic wrong at 31"):
        contains(reply.stderr, f"{case}: depends on the secret\n", "what was found")
    # Other lengths are refused before any byte is looked at.
    lacks(reply.stderr, "one more: depends", "what was found")


run(sys.argv[2:])
