#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From nothing to nothing: exit statuses, signals, terminals and pipes, what dies with whom, what stays behind."""

import os
import pty
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import API4, API6, DNS, PYTHON, Internet, Sniffer, leftovers, wait_for  # noqa: E402
from internet import running as of_program  # noqa: E402
from tap import below, contains, equal, run, test, true  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
BEFORE = set(leftovers())

# Reads from a response without end, and tells the first bytes.
STREAM = ["curl", "-sSN", "https://api.example.com/stream"]


def nothing_stays(seconds=5.0):
    """The supervisor is gone; what it started may need a moment to be reaped."""
    wait_for(lambda: set(leftovers()) <= BEFORE, lambda: f"nothing stays: {set(leftovers()) - BEFORE}", seconds)
    ours = os.fstat(net.inside).st_ino
    wait_for(lambda: not [p for p in of_program(net.program) if shares(p, ours)], "no process of the program stays in our namespace", seconds)


def shares(pid, namespace):
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino == namespace
    except OSError:
        return False


def start_streaming(options=(), command=None):
    """A sandbox with traffic flowing in it."""
    running = net.start([*API, *options], command or STREAM, stdin=subprocess.PIPE)
    first = running.process.stdout.read(5)
    if first != b"tick\n":
        result = running.finish()
        raise AssertionError(f"no traffic: {first!r}; {result}")
    wait_for(lambda: "proxy" in running.pids(), "the proxy is found")
    return running


@test("the exit status is COMMAND's own")
def _():
    for status in (0, 1, 7, 42, 255):
        equal(net.run([], ["sh", "-c", f"exit {status}"]).status, status, "exit status")


@test("128+n when a signal ended COMMAND")
def _():
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1):
        equal(net.run([], ["sh", "-c", f"kill -{int(number)} $$"]).status, 128 + number, number.name)


@test("127 not found, 126 not executable, each with a sentence")
def _():
    result = net.run([], ["no-such-program-anywhere"])
    equal(result.status, 127, "exit status")
    contains(result.err, "no-such-program-anywhere", "the sentence")
    for path in ("/etc/passwd", "/usr"):
        result = net.run([], [path])
        equal(result.status, 126, f"exit status for {path}")
        contains(result.err, path, "the sentence")


@test("standard input and output pass through, byte for byte")
def _():
    data = os.urandom(1 << 20).hex().encode()
    result = net.run([], ["cat"], data=data)
    equal(result.out.encode() == data, True, "what came back")
    equal(net.run(["--user", "nobody"], ["sh", "-c", "echo out; echo err >&2"]).err, "err\n", "standard error")


@test("nothing is printed while all goes well")
def _():
    result = net.run([*API, "--user", "nobody"], ["curl", "-sS", "-o", "/dev/null", "https://api.example.com/"])
    equal((result.status, result.out, result.err), (0, "", ""), "status, output, errors")


@test("SIGTERM and SIGINT reach COMMAND, whose answer counts")
def _():
    code = """
import os, signal
def done(n, f):
    os.write(1, b'got %d\\n' % n)
    os._exit(9)
for n in (signal.SIGTERM, signal.SIGINT):
    signal.signal(n, done)
print('waiting', flush=True)
while True:
    signal.pause()
"""
    for number in (signal.SIGTERM, signal.SIGINT):
        running = net.start([], [PYTHON, "-c", code])
        contains(running.process.stdout.readline(), b"waiting")
        running.process.send_signal(number)
        result = running.finish(timeout=20)
        equal((result.status, result.out), (9, f"got {int(number)}\n"), f"{number.name}: {result.err}")
    nothing_stays()


@test("SIGTERM to a COMMAND that does not catch it: 143, and nothing stays")
def _():
    running = net.start([], ["sleep", "600"])
    wait_for(lambda: "init" in running.pids(), "the sandbox is up")
    running.process.terminate()
    equal(running.finish(timeout=20).status, 143, "exit status")
    nothing_stays()


@test("what COMMAND left behind ends with it, however it hid")
def _():
    marker = f"{os.getpid()}.{time.monotonic_ns() % 100000}"
    result = net.run([], ["sh", "-c", f"setsid sleep {marker} & (sleep {marker} &) & nohup sleep {marker} >/dev/null 2>&1 & exit 3"], timeout=20)
    equal(result.status, 3, "exit status")

    def alive():
        return [p for p in os.listdir("/proc") if p.isdigit() and marker in open_command(p)]

    wait_for(lambda: not alive(), "the sleepers are gone", 3)
    nothing_stays()


def open_command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


@test("zombies of COMMAND's children are reaped inside")
def _():
    code = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
deadline = time.monotonic() + 5
def state(pid):
    try:
        return open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0]
    except OSError:  # reaped just now
        return ''
def zombies():
    return [p for p in os.listdir('/proc') if p.isdigit() and state(p) == 'Z']
while zombies() and time.monotonic() < deadline:
    time.sleep(0.01)
print(len(zombies()))
"""
    equal(net.run([], [PYTHON, "-c", code]).out.strip(), "0", "zombies")


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return {line.split()[4] for line in file}


@test("after a run nothing stays: no cgroup, no pin, no state, no mount, no process")
def _():
    before = mounts()
    for options in ([], ["--net", "host"], ["--user", "nobody"]):
        equal(net.run([*API, *options], ["curl", "-sS", "-o", "/dev/null", "https://api.example.com/"]).status, 0, "exit status")
        nothing_stays()
        wait_for(lambda: mounts() <= before, lambda: f"no new mount: {mounts() - before}")


@test("after failures of every kind nothing stays either")
def _():
    net.run([], ["no-such-program-anywhere"])
    net.run(["--user", "no-such-user"], ["true"])
    net.run(["--audit-log", "/no/such/directory/audit"], ["true"])
    nothing_stays()


@test("several sandboxes at a time keep to themselves")
def _():
    runs = [net.start(["--allow-domain", name], ["sh", "-c", f"curl -sS https://{name}/; dig +short {other}"])
            for name, other in (("api.example.com", "v4only.example.com"), ("v4only.example.com", "api.example.com")) * 3]
    for number, running in enumerate(runs):
        result = running.finish()
        contains(result.out, "server name " + ("api", "v4only")[number % 2], f"the page ({result.err})")
        equal(len(result.out.splitlines()), 1, f"lines of output: {result.out!r}")
    nothing_stays()


@test("kill -9 of the proxy in mid-traffic, 20 times: no network from then on, `run` says so, cleans up and returns", limit=240)
def _():
    # When the stream breaks, COMMAND asks for a page at once: while the proxy is still being taken apart, a connection may be
    # accepted, but nothing may come of it. Once it is gone, every door is shut.
    code = f"""
import socket, ssl, subprocess, sys
p = subprocess.Popen(['curl', '-sSN', 'https://api.example.com/stream'], stdout=subprocess.PIPE)
print(p.stdout.read(5).decode(), end='', flush=True)
while p.stdout.read(65536):
    pass
def attempt(f):
    try:
        f()
        print('PASSED', flush=True)
    except OSError as e:
        print('closed', flush=True)
def page():
    with socket.create_connection(('{API4}', 443), timeout=3) as s:
        ssl.create_default_context().wrap_socket(s, server_hostname='api.example.com')
attempt(page)
sys.stdin.readline()
for _ in range(3):
    attempt(lambda: socket.create_connection(('{API4}', 443), timeout=3))
    attempt(lambda: socket.create_connection(('{API6}', 443), timeout=3))
    attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{API4}', 443)))
    attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x' * 20, ('{DNS}', 53)))
"""
    for number in range(20):
        options = ["--net", "host"] if number % 4 == 3 else []
        running = start_streaming(options, [PYTHON, "-c", code])
        proxy = running.pids()["proxy"]
        with Sniffer(net) as sniffer:
            os.kill(proxy, signal.SIGKILL)
            wait_for(lambda: state(proxy) in ("Z", "X"), "the proxy is gone")
            sniffer.frames()  # what was on its way
            result = running.finish(b"\n", timeout=30)
            true("PASSED" not in result.out, f"an attempt after the kill came through, in round {number}: {result}")
            equal(result.out.count("closed"), 13, f"attempts that were made: {result}")
            true("proxy" in result.err, f"`run` says that the proxy ended: {result.err!r}")
            left = [f for f in sniffer.frames() if f.destination in (API4, API6, DNS) and f.port in (53, 443) and not is_ending(f)]
            equal(left, [], "frames that left after the kill")
        nothing_stays()


def is_ending(frame):
    """TCP segments without SYN are the dead proxy's own connections being closed by the kernel."""
    if frame.protocol != 6:
        return False
    at = 14 + (frame.data[14] & 15) * 4 if frame.kind == 0x0800 else 54
    return not frame.data[at + 13] & 0x02


@test("kill -9 of the supervisor: nothing of the sandbox stays alive, and the next start clears what remains", limit=120)
def _():
    for number in range(5):
        options = ["--net", "host"] if number % 2 else []
        running = start_streaming(options)
        pids = running.pids()
        running.process.kill()
        running.process.communicate(timeout=20)
        for role, pid in pids.items():
            wait_for(lambda pid=pid: not os.path.exists(f"/proc/{pid}") or state(pid) == "Z", f"{role} is gone", 10)
        equal(net.run(API, ["curl", "-sS", "-o", "/dev/null", "https://api.example.com/"]).status, 0, "the next run's exit status")
        nothing_stays()


def state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


@test("kill -9 of init: the sandbox ends, `run` returns, nothing stays")
def _():
    running = start_streaming()
    pids = running.pids()
    true("init" in pids, f"the roles: {pids}")
    os.kill(pids["init"], signal.SIGKILL)
    result = running.finish(timeout=20)
    true(result.status != 0, f"exit status {result.status}")
    nothing_stays()


@test("a terminal: COMMAND has it, and Ctrl-C reaches COMMAND")
def _():
    code = "import os, sys; print('tty', os.isatty(0), os.isatty(1), flush=True); sys.stdin.readline()"
    master, slave = pty.openpty()
    process = subprocess.Popen(net.words([], [PYTHON, "-c", code], audit=net.path("audit-tty.jsonl")), env=net.environment(), stdin=slave,
                               stdout=slave, stderr=slave, start_new_session=True, preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0))
    os.close(slave)
    try:
        text = b""
        while b"tty" not in text:
            text += os.read(master, 1000)
        contains(text, b"tty True True", "what COMMAND says")
        os.write(master, b"\x03")
        status = process.wait(timeout=20)
        true(status in (130, 1), f"exit status {status} after Ctrl-C")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
    nothing_stays()


@test("a run takes little time")
def _():
    net.run([], ["true"])
    result = net.run([], ["true"])
    below(result.seconds, 3.0 if "asan" in net.program else 1.5, "seconds for a run of true")


if __name__ == "__main__":
    run()
