# SPDX-License-Identifier: Apache-2.0
"""A small test harness that prints TAP.

    from tap import test, run, equal, contains

    @test("curl reaches an allowed name")
    def _():
        equal(curl.status, 0, "curl's exit status")

    run()

Each test is by itself: an exception fails it and the next one runs. A test that takes too long fails. Words on the command
line choose tests by a part of their name.
"""

import signal
import sys
import traceback

_tests = []


class Skip(Exception):
    """What a test raises when it cannot prove anything here; the reason is printed."""


class TooLong(BaseException):
    pass


def test(name, limit=60):
    def add(function):
        _tests.append((name, limit, function))
        return function

    return add


def skip(reason):
    raise Skip(reason)


def fail(text):
    raise AssertionError(text)


def true(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def among(got, wanted, what="value"):
    if got not in wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted one of {wanted!r}")


def contains(text, part, what="text"):
    if part not in text:
        raise AssertionError(f"{what} lacks {part!r}; it is {shorten(text)!r}")


def lacks(text, part, what="text"):
    if part in text:
        raise AssertionError(f"{what} should not contain {part!r}; it is {shorten(text)!r}")


def below(got, most, what="value"):
    if not got < most:
        raise AssertionError(f"{what}: got {got!r}, wanted less than {most!r}")


def shorten(text, most=1500):
    if isinstance(text, str) and len(text) > most:
        return text[:most] + f"… ({len(text)} characters)"
    return text


def _alarm(_number, _frame):
    raise TooLong()


def _run_one(number, name, limit, function):
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(limit)
    try:
        function()
        signal.alarm(0)
        print(f"ok {number} - {name}", flush=True)
        return True
    except Skip as reason:
        signal.alarm(0)
        print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        return True
    except (Exception, TooLong) as error:
        signal.alarm(0)
        print(f"not ok {number} - {name}")
        if isinstance(error, TooLong):
            print(f"# did not end within {limit} s")
        lines = str(error).splitlines() if isinstance(error, AssertionError) else []
        place = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.endswith("tap.py")]
        for frame in place[-4:]:
            print(f"# at {frame.filename}:{frame.lineno}: {frame.line}")
        for line in lines or traceback.format_exception_only(type(error), error):
            print("# " + line.rstrip("\n").replace("\n", "\n# "))
        sys.stdout.flush()
        return False
    finally:
        signal.alarm(0)


def run(argv=None):
    """Runs the tests and ends the process."""
    words = sys.argv[1:] if argv is None else argv
    chosen = [t for t in _tests if not words or any(w in t[0] for w in words)]

    # A stop from outside unwinds like an exception, so that everything that was made is taken down.
    def stop(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    if words and not chosen:
        print("1..0 # SKIP no test here has that in its name")
        sys.exit(0)
    print(f"1..{len(chosen)}", flush=True)
    good = True
    for number, (name, limit, function) in enumerate(chosen, 1):
        good = _run_one(number, name, limit, function) and good
    sys.exit(0 if good and chosen else 1)
