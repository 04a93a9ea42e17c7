#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs and says what came of it.

    run_tests.py [--limit SECONDS] [--title TEXT] [--step TEXT] COMMAND...

Each COMMAND is one word in the shell's manner: a program, its arguments, and variables set before it ("BUILD=asan prog -x").
An option holds for the commands after it. The programs speak TAP (cmocka does, when asked); a command after --step is one
test by itself, and its exit status decides.

Each program runs in its own process group with its output captured and a time limit. A program that ends badly without having
said which test failed, that ran no test at all, ran fewer than it announced, or did not end in time, counts as one failure.
The last line is always "N passed, N failed" or "N passed, N failed, N skipped".
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

RESULT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*skip\S*\s*(.*))?$", re.IGNORECASE)
SKIP = re.compile(r"#\s*skip\S*\s*(.*)$", re.IGNORECASE)
ASSIGNMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*=")
KEPT_LINES = 60


class Outcome:
    """What one program's TAP said."""

    def __init__(self):
        self.passed = 0
        self.failed = []  # (name, lines that belong to it)
        self.skipped = []  # (name, reason)

    def count(self):
        return self.passed + len(self.failed) + len(self.skipped)


def parse_tap(text):
    """Reads TAP as cmocka 1.1.5 and our own scripts print it.

    cmocka prints a skipped test as "not ok N # SKIP name", one plan per group, and a failure's lines after its result.
    """
    out = Outcome()
    planned = 0
    before = []  # lines since the last result: what a test printed while it ran
    after_failure = False
    for line in text.splitlines():
        plan = PLAN.match(line)
        if plan:
            planned += int(plan.group(1))
            if plan.group(1) == "0" and plan.group(2):
                out.skipped.append(("all", plan.group(2)))
                planned += 1
            continue
        result = RESULT.match(line)
        if not result:
            if after_failure and line.startswith("#"):
                out.failed[-1][1].append(line)
            else:
                before.append(line)
            continue
        bad, _, name = result.groups()
        skip = SKIP.search(name)
        if skip:
            label = name[: skip.start()].strip() or skip.group(1)
            reason = skip.group(1) if name[: skip.start()].strip() else " ".join(before[-2:]).strip("# ")
            out.skipped.append((label, reason or "no reason given"))
        elif bad:
            out.failed.append((name.strip() or "unnamed", list(before[-KEPT_LINES:])))
        else:
            out.passed += 1
        before = []
        after_failure = bool(bad) and not skip
    return out, planned


def end_group(pid):
    """Ends the process group that was started here, and no other."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run_program(words, env, limit):
    """Returns (exit status or None when out of time, output, seconds)."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                     env=env, start_new_session=True)
        except OSError as error:
            return 127, f"{words[0]}: {error.strerror}", 0.0
        try:
            status = child.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            # First let the program clean up after itself, then no longer.
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                pass
            status = None
        except BaseException:
            end_group(child.pid)
            child.wait()
            raise
        end_group(child.pid)
        child.wait()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return status, text, time.monotonic() - started


def how_it_ended(status, limit):
    if status is None:
        return f"did not end within {limit} s"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def run_one(words, env, limit, step):
    status, text, seconds = run_program(words, env, limit)
    if step:
        outcome = Outcome()
        if status == 0:
            outcome.passed = 1
        else:
            outcome.failed.append((step, text.splitlines()[-KEPT_LINES:] + [how_it_ended(status, limit)]))
        return outcome, seconds
    outcome, planned = parse_tap(text)
    tail = text.splitlines()[-KEPT_LINES:]
    if status is None:
        outcome.failed.append((how_it_ended(status, limit), tail))
    elif status != 0 and not outcome.failed:
        outcome.failed.append((how_it_ended(status, limit) + " though no test failed", tail))
    elif outcome.count() == 0:
        outcome.failed.append(("printed no test result at all", tail))
    elif outcome.count() < planned:
        outcome.failed.append((f"announced {planned} tests and ran {outcome.count()}", tail))
    elif outcome.failed and status == 0:
        outcome.failed.append(("ended with status 0 though a test failed", []))
    return outcome, seconds


def split_command(text):
    words = shlex.split(text)
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    # A make that is started by a test is a make of its own.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    while words and ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    return words, env


def main(args):
    limit, title, step = 300, "", None
    passed = failed = skipped = 0
    skips, failures = [], []  # repeated at the end, where they are seen
    args = list(args)
    while args:
        arg = args.pop(0)
        if arg in ("--limit", "--title", "--step"):
            if not args:
                sys.exit(f"run_tests.py: {arg} needs a value")
            value = args.pop(0)
            if arg == "--limit":
                limit = int(value)
            elif arg == "--title":
                title = value
                print(f"== {title}", flush=True)
            else:
                step = value
            continue
        words, env = split_command(arg)
        if not words:
            continue
        outcome, seconds = run_one(words, env, limit, step)
        label = step or " ".join(words)
        step = None
        passed += outcome.passed
        failed += len(outcome.failed)
        skipped += len(outcome.skipped)
        mark = "FAIL" if outcome.failed else "ok"
        extra = f", {len(outcome.skipped)} skipped" if outcome.skipped else ""
        print(f"  {mark:4} {label}: {outcome.passed} passed, {len(outcome.failed)} failed{extra} ({seconds:.1f} s)",
              flush=True)
        for name, lines in outcome.failed:
            print(f"       not ok: {name}")
            for line in lines:
                print(f"         {line}")
            sys.stdout.flush()
            failures.append(f"{title + ': ' if title else ''}{label}: {name}")
        for name, reason in outcome.skipped:
            print(f"       SKIPPED: {name}: {reason}")
            skips.append(f"{label}: {name}: {reason}")
    if skips:
        print("== skipped")
        for line in skips:
            print(f"  SKIPPED {line}")
    if failures:
        print("== failed")
        for line in failures:
            print(f"  FAILED {line}")
    if passed + failed + skipped == 0:
        print("  no test was run")
        failed = 1
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{tail}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    # Ignored signals are inherited, and whoever starts us in the background may have them ignored.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
