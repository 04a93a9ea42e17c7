#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The shape of the text: length of functions and files, calls that are banned, licence lines, nothing unfinished, scripts that parse."""

import os
import re
import subprocess

from source import ROOT, files, none, read, tracked_texts, without_comments

from tap import run, test, true

# Tests are tables for the most part.
MAX_FUNCTION, MAX_FILE, MAX_TEST_FILE = 80, 800, 1200
BANNED = ("strcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "alloca", "atoi", "atol", "atof", "rand", "tmpnam",
          "mktemp", "strncpy")
# Beyond those in the program itself; tests compare with the C library's own, and set up namespaces by commands.
BANNED_IN_PROGRAM = ("system", "popen", "inet_addr", "inet_aton", "gethostbyname", "getaddrinfo")
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
ONE_MACHINE = re.compile(r"(?<![\w.])/(?:" + "wo" + "rk|ho" + r"me/\w+)/")
C_FILES = files("userspace/**/*.[ch]", "bpf/*.[ch]", "include/*.h", "tests/**/*.[ch]")
TEXTS = tracked_texts()


def functions(name):
    """Yields (line, length, name) of each function, by the kernel style's braces in the first column."""
    lines = without_comments(read(name)).splitlines()
    start = title = None
    table_start = table = 0  # lines of tables inside the function: they are data
    for number, line in enumerate(lines, 1):
        if line.startswith("{") and number > 1:
            start, title = number, next((t for t in reversed(lines[max(0, number - 6) : number - 1]) if "(" in t), "")
            table = table_start = 0
        elif line.startswith("}") and start:
            if line.rstrip() == "}":
                yield start, number - start + 1 - table, (re.search(r"(\w+)\(", title) or [None, "?"])[1]
            start = None
        elif re.match(r"\t(static )?const .*= \{$", line.rstrip()) or re.match(r"\t\} \w+\[\] = \{$", line.rstrip()):
            table_start = number
        elif line.rstrip() == "\t};" and table_start:
            table, table_start = table + number - table_start, 0


@test(f"no function is longer than {MAX_FUNCTION} lines")
def _():
    true(C_FILES, "there are sources")
    seen = [(name, *f) for name in C_FILES for f in functions(name)]
    true(len(seen) > 10, f"functions were recognised: {len(seen)}")
    none([f"{name}:{line}: {what}() has {length} lines" for name, line, length, what in seen if length > MAX_FUNCTION], "long functions")


@test(f"no file is longer than {MAX_FILE} lines")
def _():
    lengths = [(n, read(n).count("\n")) for n in C_FILES]
    none([f"{n}: {length} lines" for n, length in lengths if length > (MAX_TEST_FILE if n.startswith("tests/") else MAX_FILE)], "long files")


@test("no banned call")
def _():
    found = []
    for name in C_FILES:
        words = BANNED if name.startswith("tests/") else BANNED + BANNED_IN_PROGRAM
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(words) + r")\s*\(")
        for number, line in enumerate(without_comments(read(name)).splitlines(), 1):
            if match := pattern.search(line):
                found.append(f"{name}:{number}: {match.group(1)}()")
    none(found, "banned calls")


@test("nothing unfinished, no path of one machine")
def _():
    found = []
    for name in TEXTS:
        if name == "LICENSE":
            continue
        try:
            text = read(name)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line) or ONE_MACHINE.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    none(found, "lines")


@test("every source names its licence")
def _():
    found = [n for n in TEXTS if n.endswith((".c", ".h", ".py", ".sh", ".mk")) or n == "Makefile" if "SPDX-License-Identifier: Apache-2.0" not in read(n)[:300]]
    none(found, "files without a licence line")


@test("no trailing white space; a line ends each file")
def _():
    found = []
    for name in TEXTS:
        if not name.endswith((".c", ".h", ".py", ".sh", ".mk", ".md", "Makefile")):
            continue
        text = read(name)
        found += [f"{name}:{number}" for number, line in enumerate(text.splitlines(), 1) if line != line.rstrip()]
        if text and not text.endswith("\n"):
            found.append(f"{name}: no newline at the end")
    none(found, "places")


def first_line(name):
    with open(os.path.join(ROOT, name), "rb") as file:
        return file.readline()


@test("shell scripts parse")
def _():
    names = [n for n in TEXTS if n.endswith(".sh") or re.match(rb"#!.*\b(ba)?sh\b", first_line(n))]
    true(names, "there are scripts")
    replies = [(n, subprocess.run(["bash", "-n", n], cwd=ROOT, capture_output=True, text=True, check=False)) for n in names]
    none([f"{n}: {r.stderr.strip()}" for n, r in replies if r.returncode], "scripts that do not parse")


@test("Python scripts parse")
def _():
    found = []
    names = [n for n in TEXTS if n.endswith(".py")]
    true(names, "there are scripts")
    for name in names:
        try:
            compile(read(name), name, "exec")
        except SyntaxError as error:
            found.append(f"{name}: {error}")
    none(found, "scripts that do not parse")


if __name__ == "__main__":
    run()
