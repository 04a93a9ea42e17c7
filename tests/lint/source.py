# SPDX-License-Identifier: Apache-2.0
"""What the lints share: the C sources, without their comments."""

import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/support"))

LAYERS = {"base": 0, "wire": 1, "policy": 2, "io": 3, "ipc": 3, "redirect": 3, "confine": 3, "tls": 3, "config": 3,
          "supervisor": 4, "proxy": 4, "keyholder": 4, "commands": 5, "api": 5}
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def files(*patterns):
    found = set()
    for pattern in patterns:
        found.update(glob.glob(os.path.join(ROOT, pattern), recursive=True))
    return sorted(os.path.relpath(f, ROOT) for f in found if not os.path.relpath(f, ROOT).startswith("build/"))


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def blank(match, keep_text):
    text = match.group(0)
    if keep_text and text[0] in "\"'":
        return text
    return re.sub(r"[^\n]", " ", text)


def without_comments(text, keep_text=False):
    """The same lines with comments (and, unless kept, literals) blanked."""
    return COMMENT_OR_TEXT.sub(lambda m: blank(m, keep_text), text)


def includes(name):
    """Yields (line, bracket, path) of each #include."""
    text = without_comments(read(name), keep_text=True)
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start(2)) + 1, match.group(1), match.group(2)


def folder_of(name):
    parts = name.split("/")
    return parts[1] if parts[0] == "userspace" and len(parts) > 2 else None


def tracked_texts():
    """Every text file of the tree that is the project's own."""
    reply = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                           check=False)
    names = reply.stdout.splitlines() if reply.returncode == 0 and reply.stdout else files("**/*", ".ci/*", ".*")
    return [n for n in names if os.path.isfile(os.path.join(ROOT, n)) and not n.startswith("tests/fuzz/corpus/")]


def none(found, what):
    """Fails the test with one line per finding."""
    if found:
        raise AssertionError(f"{what}:\n" + "\n".join(found))
