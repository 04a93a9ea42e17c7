#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Closing a cgroup that exists: without a window, whoever dies; opening it again; and what is refused, with its sentence."""

import array
import json
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import API4, API6, DNS, EVIL4, EVIL6, PYTHON, SMTP, Internet, Sniffer, in_namespace, leftovers, wait_for  # noqa: E402
from tap import among, below, contains, equal, lacks, run, test, true  # noqa: E402
from target import GAPS, Target, accept, cgroup_mount, command, detach, status  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
PAGE = ["curl", "-sS", "-m", "10", "https://api.example.com/"]
OUTSIDE = (API4, API6, EVIL4, EVIL6, SMTP)
BEFORE = set(leftovers())
ROUNDS = int(os.environ.get("NONO_ROUNDS", "10"))
# A long run: NONO_CONNECTIONS=1000000, some twenty minutes.
CONNECTIONS = int(os.environ.get("NONO_CONNECTIONS", "3000" if "asan" in net.program else "50000"))


def nothing_stays():
    wait_for(lambda: set(leftovers()) <= BEFORE, lambda: f"nothing stays: {set(leftovers()) - BEFORE}", 5)


def connects(address, port, timeout=5):
    """The words of a client that prints "connected", or the name of the error."""
    code = f"""
import errno, socket
s = socket.socket(socket.AF_INET6 if ':' in {address!r} else socket.AF_INET)
s.settimeout({timeout})
try:
    s.connect(({address!r}, {port}))
    print('connected')
except socket.timeout:
    print('TIMEOUT')
except OSError as e:
    print(errno.errorcode.get(e.errno, e.errno))
"""
    return [PYTHON, "-c", code]


def tries(target):
    """Every plain way to evil.example; what it says of each."""
    code = f"""
import errno, socket
def attempt(name, f):
    try:
        f()
        print(name, 'PASSED')
    except OSError as e:
        print(name, errno.errorcode.get(e.errno, e.errno))
def tcp(a, p):
    s = socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET)
    s.settimeout(5)
    s.connect((a, p))
    s.sendall(b'GET / HTTP/1.0\\r\\nHost: evil.example\\r\\n\\r\\n')
    if b'200' not in s.recv(100):
        raise OSError(errno.EACCES, 'refused by the proxy')
def udp(a):
    socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', (a, 443))
attempt('tcp4', lambda: tcp({EVIL4!r}, 80))
attempt('tcp6', lambda: tcp({EVIL6!r}, 80))
attempt('udp4', lambda: udp({EVIL4!r}))
attempt('udp6', lambda: udp({EVIL6!r}))
"""
    return target.run([PYTHON, "-c", code]).out


def straight(frames, but=(DNS,)):
    """Frames to the servers of the tests that the proxy did not send: it goes to allowed ones only."""
    return [f for f in frames if f.destination in (EVIL4, EVIL6) and f.destination not in but]


# ---- closing ----


@test("a cgroup with a network of its own: allowed hosts are reached by name, over both families, and nothing else")
def _():
    with Target(net) as t:
        equal(t.run(PAGE).status, 6, "control: without us it has no network; curl's exit status")
        with t.attach(API), Sniffer(net) as sniffer:
            for family in ("-4", "-6"):
                result = t.run([*PAGE, family])
                contains(result.out, "server name api", f"the page over {family} ({result.err})")
            for line in tries(t).splitlines():
                lacks(line, "PASSED", "an attempt")
            equal(t.run(["curl", "-sS", "-m", "10", "https://evil.example/"]).status, 6, "curl's exit status for evil.example")
            equal(straight(sniffer.frames()), [], "frames to evil.example")
    nothing_stays()


@test("a cgroup in the host's network: what went out before is refused now; detach gives it back")
def _():
    with Target(net, shared=True) as t:
        equal(tries(t).count("PASSED"), 4, "control: attempts that came through before")
        with t.attach(API) as a, Sniffer(net) as sniffer:
            contains(a.err(), "second wall", "standard error")
            contains(t.run(PAGE).out, "server name api", "the page")
            equal(tries(t).count("PASSED"), 0, "attempts that came through")
            equal(straight(sniffer.frames()), [], "frames to evil.example")
            equal(net.host(["curl", "-sS", "-o", "/dev/null", f"http://{EVIL4}/"]).returncode, 0, "a process outside: curl's exit status")
        equal(tries(t).count("PASSED"), 0, "attempts that came through after the end")
        equal(detach(net, t.path).returncode, 0, "detach's exit status")
        equal(tries(t).count("PASSED"), 4, "attempts that came through after detach")
    nothing_stays()


@test("by --pid: the cgroup and the network of a process")
def _():
    with Target(net) as t:
        with t.attach(API, how=["--pid", str(t.holder.pid)]) as a:
            equal(a.ready["cgroup"], t.path, "the cgroup")
            contains(t.run(PAGE).out, "server name api", "the page")


@test("a user namespace of its own, as rootless containers have: the same, and its capabilities there do no harm")
def _():
    inner = "ip link set lo up; mount -t tmpfs none /sys; mount -t tmpfs none /run; mount -t tmpfs none /tmp; mount -t proc proc /proc; echo ready; exec sleep 3600"
    with Target(net, shared=True, holder=["sleep", "3600"]) as t:
        words = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid",
                 "--fork", "sh", "-c", inner]
        process = t.start(words)
        if process.stdout.readline() != b"ready\n":
            process.kill()
            raise AssertionError(f"no user namespace: {process.stderr.read()}")
        t.holder.kill()
        t.holder.wait()
        wait_for(lambda: t.holder.pid not in t.pids(), "the other one is gone")
        first = max(t.pids())
        with t.attach(API, how=["--pid", str(first)]) as a:
            for name in ("cap-net-raw", "cap-net-admin", "cap-sys-admin", "cap-sys-ptrace", "cap-bpf", "cgroupfs"):
                lacks(a.err(), f"accepted: {name}", "what is said")
            code = f"curl -sS -m 10 https://api.example.com/; curl -sS -m 5 http://{EVIL4}/ | grep -c cidr_not_allowed"
            result = subprocess.run(["nsenter", "-t", str(first), "-U", "-n", "--preserve-credentials", "sh", "-c", code], env=net.environment(),
                                    capture_output=True, text=True, timeout=30, check=False, preexec_fn=t.join)
            contains(result.stdout, "server name api", f"the page ({result.stderr})")
            true(result.stdout.endswith("1\n"), f"evil.example is refused: {result.stdout}")


@test("the ready line, sd_notify, and `status`")
def _():
    with Target(net) as t, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = net.path("notify")
        manager.bind(path)
        manager.settimeout(10)
        with t.attach(API, env={"NOTIFY_SOCKET": path}) as a:
            equal(manager.recv(100), b"READY=1", "what the service manager is told")
            equal({k: a.ready[k] for k in ("event", "cgroup", "cgroup_id", "pid", "adopted")},
                  {"event": "ready", "cgroup": t.path, "cgroup_id": t.id, "pid": a.process.pid, "adopted": False}, "the ready line")
            true(a.ready["listen"].startswith("127.0.0.1:"), f"listen: {a.ready['listen']}")
            row = status(net, t.path)
            equal((row["state"], row["alive"], row["pid"], row["listen"]), ("served", True, a.process.pid, a.ready["listen"]), "status")
            equal(row["programs_in_effect"], row["programs"], "programs in effect")
            true(row["programs"] >= 15, f"programs: {row}")
            contains(command(net, ["status"]).stdout, t.path, "status as text")
        equal(status(net, t.path)["state"], "closed", "the state after the end")
        os.unlink(path)


@test("processes go on as if nothing had been, and a cgroup that somebody froze stays frozen")
def _():
    with Target(net) as t:
        with t.attach(API):
            equal(open(f"{t.path}/cgroup.freeze", encoding="ascii").read(), "0\n", "cgroup.freeze while it serves")
        detach(net, t.path)
        with open(f"{t.path}/cgroup.freeze", "w", encoding="ascii") as file:
            file.write("1")
        with t.attach(API):
            equal(open(f"{t.path}/cgroup.freeze", encoding="ascii").read(), "1\n", "cgroup.freeze of one that was frozen")


@test("sub-cgroups are covered: those that are there, and those that are made later")
def _():
    with Target(net, shared=True) as t:
        code = f"""
import os, sys
sub = {t.path!r} + '/' + sys.argv[1]
os.makedirs(sub, exist_ok=True)
open(sub + '/cgroup.procs', 'w').write('0')
os.execvp(sys.argv[2], sys.argv[2:])
"""
        equal(t.run([PYTHON, "-c", code, "a", *connects(EVIL4, 80)]).out.strip(), "connected", "control")
        with t.attach(API):
            for name in ("a", "later"):
                lacks(t.run([PYTHON, "-c", code, name, "curl", "-sS", "-m", "5", f"http://{EVIL4}/"]).out, "evil", "the page")


# ---- what was there before ----


@test("connections from before are broken off, and send nothing more")
def _():
    code = f"""
import errno, socket, sys
s = socket.create_connection(({API4!r}, 7))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(({EVIL4!r}, 443))
u.send(b'before')
print('connected', flush=True)
sys.stdin.readline()
for name, f in (('recv', lambda: s.recv(10)), ('send', lambda: s.send(b'x')), ('udp', lambda: u.send(b'x'))):
    try:
        print(name, f())
    except OSError as e:
        print(name, errno.errorcode[e.errno])
"""
    with Target(net, shared=True) as t:
        old = t.start([PYTHON, "-c", code], stdin=subprocess.PIPE)
        equal(old.stdout.readline(), b"connected\n", "control: it is connected")
        with t.attach(API), Sniffer(net) as sniffer:
            sniffer.frames()
            out, err = old.communicate(b"\n", timeout=20)
            lines = dict(line.split() for line in out.decode().splitlines())
            equal(lines.get("recv"), "ECONNABORTED", f"the old connection: {lines} {err}")
            among(lines.get("send"), ("EPIPE", "ECONNABORTED", "ECONNRESET", "ENOTCONN"), "sending on it")
            among(lines.get("udp"), ("ECONNABORTED", "EPERM", "EDESTADDRREQ"), "the old datagram socket")
            left = [f for f in sniffer.frames() if f.destination in (API4, EVIL4) and f.port in (7, 443)]
            equal(left, [], "frames of the old sockets")


SENDER = f"""
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print('sending', flush=True)
while True:
    try:
        u.sendto(b'x', ({EVIL4!r}, 443))
    except OSError:
        pass
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(({EVIL4!r}, 80))
    s.close()
"""


@test("a busy sender, TCP and UDP: no frame after attach says that it stands")
def _():
    with Target(net, shared=True) as t:
        for _ in range(3):
            sender = t.start([PYTHON, "-c", SENDER])
            sender.stdout.readline()
            with Sniffer(net) as sniffer:
                with t.attach(API):
                    true(straight(sniffer.frames()), "control: it has sent before")
                    time.sleep(0.3)
                    # (The last words of connections that had ended before are the kernel's own.)
                    equal([f for f in straight(sniffer.frames()) if is_beginning(f)], [], "frames after it stood")
            sender.kill()
            sender.wait()
            detach(net, t.path)


@test("its own server and client, both from before, still talk; outside processes do not get in")
def _():
    server = """
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', 3456))
s.listen()
print('listening', flush=True)
while True:
    c, _ = s.accept()
    c.sendall(b'hello from inside')
    c.close()
"""
    client = "import socket; print(socket.create_connection(('127.0.0.1', 3456), 5).recv(100).decode())"
    for shared in (False, True):
        with Target(net, shared=shared) as t:
            t.start([PYTHON, "-c", server]).stdout.readline()
            contains(t.run([PYTHON, "-c", client]).out, "hello", "control: before")
            with t.attach(API):
                result = t.run([PYTHON, "-c", client])
                contains(result.out, "hello from inside", f"the client inside ({result.err})")
                if shared:
                    lacks(net.host([PYTHON, "-c", client]).stdout, "hello", "a client outside")


@test("other people's services on the host's loopback are refused, unless a rule opens them")
def _():
    client = "import socket; s = socket.create_connection(('127.0.0.1', 8080), 5); s.sendall(b'ping'); print(s.recv(100).decode())"
    with Target(net, shared=True) as t:
        contains(t.run([PYTHON, "-c", client]).out, "ping", "control: before")
        with t.attach(API):
            lacks(t.run([PYTHON, "-c", client]).out, "ping", "the service")
        with t.attach([*API, "--allow-cidr", "127.0.0.1/32:8080"]):
            contains(t.run([PYTHON, "-c", client]).out, "ping", "the service with a rule")


# ---- who dies ----

STREAM = ["curl", "-sSN", "https://api.example.com/stream"]

CLOSED = f"""
import socket
def attempt(f):
    try:
        f()
        print('PASSED', flush=True)
    except OSError as e:
        print('closed', flush=True)
attempt(lambda: socket.create_connection(('{API4}', 443), timeout=3))
attempt(lambda: socket.create_connection(('{API6}', 443), timeout=3))
attempt(lambda: socket.create_connection(('{EVIL4}', 80), timeout=3))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{API4}', 443)))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x' * 20, ('{DNS}', 53)))
"""


def is_beginning(frame):
    """A datagram, or a segment with SYN: what a dead proxy's kernel does not send."""
    if frame.protocol != 6:
        return True
    at = 14 + (frame.data[14] & 15) * 4 if frame.kind == 0x0800 else 54
    return bool(frame.data[at + 13] & 0x02)


def is_closed(t, sniffer, what):
    sniffer.frames()
    result = t.run([PYTHON, "-c", CLOSED])
    equal(result.out.split(), ["closed"] * 5, f"{what}: attempts ({result.err})")
    left = [f for f in sniffer.frames() if f.destination in (*OUTSIDE, DNS) and is_beginning(f)]
    equal(left, [], f"{what}: frames that left")


@test(f"kill -9 of the proxy under traffic, {2 * ROUNDS} times: closed at once, attach says so and ends, the next one serves", limit=60 + 20 * ROUNDS)
def _():
    for shared in (False, True):
        with Target(net, shared=shared) as t, Sniffer(net) as sniffer:
            for number in range(ROUNDS):
                with t.attach(API) as a:
                    equal(a.ready["adopted"], number > 0, "adopted")
                    below(a.seconds, 8 if "asan" in net.program else 3, "seconds until it serves again")
                    stream = t.start(STREAM)
                    equal(stream.stdout.read(5), b"tick\n", "traffic")
                    os.kill(a.proxy(), signal.SIGKILL)
                    equal(a.process.wait(timeout=10), 1, "attach's exit status")
                    contains(a.err(), "cut off", "what it says")
                    is_closed(t, sniffer, f"round {number}")
                    equal(status(net, t.path)["state"], "closed", "the state")
                    stream.wait(timeout=20)
    nothing_stays()


@test("kill -9 of the supervisor, 10 times: closed, nothing of it lives on, the next one serves", limit=200)
def _():
    with Target(net, shared=True) as t, Sniffer(net) as sniffer:
        for _ in range(10):
            with t.attach(API) as a:
                proxy = a.proxy()
                a.process.kill()
                a.process.wait()
                wait_for(lambda: not os.path.exists(f"/proc/{proxy}"), "the proxy is gone")
                is_closed(t, sniffer, "after the kill")
        with t.attach(API):
            contains(t.run(PAGE).out, "server name api", "the page")


@test("kill -9 of the supervisor while it attaches, at any moment: open as before or closed, never frozen for good", limit=240)
def _():
    with Target(net, shared=True) as t:
        for number in range(25):
            a = t.begin([*API, *accept()])
            time.sleep(0.004 * number)
            a.process.kill()
            a.process.wait()
            a.process.stdout.close()
            with t.attach(API):
                contains(t.run(PAGE).out, "server name api", f"the page in round {number}")
            equal(detach(net, t.path).returncode, 0, "detach's exit status")
        equal(tries(t).count("PASSED"), 4, "attempts that came through after all")
    nothing_stays()


@test("a busy sender while one after another takes over: no frame of its own gets out")
def _():
    with Target(net, shared=True) as t:
        sender = t.start([PYTHON, "-c", SENDER])
        sender.stdout.readline()
        with t.attach(API), Sniffer(net) as sniffer:
            sniffer.frames()
            for number in range(5):
                a = t.begin([*API, *accept()])  # told that somebody is there
                equal(a.process.wait(timeout=20), 1, "exit status of a second one")
                a.process.stdout.close()
        with Sniffer(net) as sniffer:
            for number in range(5):
                with t.attach(API) as a:
                    if number % 2:
                        a.process.kill()
            equal([f for f in straight(sniffer.frames()) if is_beginning(f)], [], "frames")
        true(sender.poll() is None, "control: it is still sending")


@test(f"{CONNECTIONS:,} connections reach their own server, and leave no descriptor in the proxy and no entry in its map", limit=60 + CONNECTIONS // 100)
def _():
    code = f"""
import socket
right = 0
for i in range({CONNECTIONS // 2}):
    for family, address, in ((socket.AF_INET, {API4!r}), (socket.AF_INET, {SMTP!r})):
        s = socket.socket(family)
        s.settimeout(10)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')
        s.connect((address, 7))
        s.sendall(b'\\1' + address.encode())
        right += s.recv(100) == b'\\1' + address.encode() and s.getpeername()[0] == address
        s.close()
print(right)
"""
    with Target(net) as t, t.attach(["--allow-cidr", "203.0.113.0/24:7"]) as a:
        proxy = a.proxy()

        def descriptors():
            return len(os.listdir(f"/proc/{proxy}/fd"))

        before = descriptors()
        equal(t.run([PYTHON, "-c", code], timeout=50 + CONNECTIONS // 100).out.strip(), str(CONNECTIONS), "connections that reached their own server")
        wait_for(lambda: descriptors() <= before, lambda: f"{before} descriptors: {descriptors()}")
        pins = [p for kind, p, name in sandbox_pins() if name == f"cgroup-{t.id}"][0]
        words = ["bpftool", "--json", "map", "dump", "pinned", os.path.join(pins, "map_tuples")]
        env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"}

        def entries():
            return len(json.loads(subprocess.run(words, capture_output=True, check=True, env=env).stdout))

        wait_for(lambda: entries() == 0, lambda: f"no entry in the map: {entries()}")


@test("a proxy that takes over knows the names that were resolved before")
def _():
    # The echo server speaks neither TLS nor HTTP: only its binding gives the address a name.
    client = f"import socket; s = socket.create_connection(('{SMTP}', 7), 5); s.sendall(b'\\x01ping'); print(s.recv(100).decode())"
    with Target(net) as t:
        with t.attach(["--allow-domain", "echo.example.com"]) as a:
            lacks(t.run([PYTHON, "-c", client]).out, "ping", "control: without a look-up the address has no name")
            contains(t.run(["getent", "hosts", "echo.example.com"]).out, SMTP, "the look-up")
            contains(t.run([PYTHON, "-c", client]).out, "ping", "the echo")
            os.kill(a.proxy(), signal.SIGKILL)
            a.process.wait(timeout=10)
        with t.attach(["--allow-domain", "echo.example.com"]) as a:
            contains(t.run([PYTHON, "-c", client]).out, "ping", f"the echo after adoption ({a.err()})")
        with t.attach(API):
            lacks(t.run([PYTHON, "-c", client]).out, "ping", "the echo under a policy that does not allow it")


@test("a server of the sandbox is still its own after adoption")
def _():
    server = "import socket; s = socket.create_server(('127.0.0.1', 3457)); print('listening', flush=True)\nwhile True: s.accept()[0].sendall(b'hello')"
    client = "import socket; print(socket.create_connection(('127.0.0.1', 3457), 5).recv(100).decode())"
    with Target(net) as t:
        with t.attach(API):
            t.start([PYTHON, "-c", server]).stdout.readline()
            contains(t.run([PYTHON, "-c", client]).out, "hello", "before")
        with t.attach(API) as a:
            true(a.ready["adopted"], "adopted")
            contains(t.run([PYTHON, "-c", client]).out, "hello", "after")


@test("the explicit listener: with the token of `env --cgroup`, and where and what it was holds across adoption")
def _():
    def settings(t):
        reply = command(net, ["env", "--cgroup", t.path, "--format", "json"])
        equal(reply.returncode, 0, f"exit status of env: {reply.stderr}")
        return json.loads(reply.stdout)

    with Target(net) as t:
        with t.attach(API) as a:
            first = settings(t)
            equal(first["NONO_PROXY_URL"], f"http://{a.ready['listen']}", "where it is")
            page = t.run(["curl", "-sS", "-m", "10", "-x", first["HTTPS_PROXY"], "https://api.example.com/"])
            contains(page.out, "server name api", f"the page ({page.err})")
            refused = t.run(["curl", "-sS", "-m", "10", "-x", first["NONO_PROXY_URL"], "https://api.example.com/"])
            contains(refused.err, "407", "without the token")
            lacks(a.err(), first["NONO_PROXY_TOKEN"], "what is said")
        with t.attach(API) as a:
            true(a.ready["adopted"], "adopted")
            equal(settings(t), first, "the settings after adoption")
            contains(t.run(["curl", "-sS", "-m", "10", "-x", first["HTTPS_PROXY"], "https://api.example.com/"]).out, "server name api", "the page")
    equal(command(net, ["env", "--cgroup", t.path]).returncode, 1, "exit status of env where nothing is attached")


@test("a container's name that podman and docker both know means neither; a stopped one does not hide the other's running one")
def _():
    def ask(podman, docker):
        for engine, answer in (("podman", podman), ("docker", docker)):
            path = net.path(engine)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\necho '{answer}'\n")
            os.chmod(path, 0o755)
        env = {**net.environment(), "PATH": net.directory + ":" + os.environ["PATH"]}
        return subprocess.run([*net.enter(net.inside), net.program, "attach", "--container", "agent", *API, *accept(), "--audit-log", "/dev/null"], env=env,
                              capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)

    both = ask(f"true {os.getpid()}", f"true {os.getppid()}")
    equal(both.returncode, 1, "exit status")
    contains(both.stderr, "both podman and docker run a container agent", "what is said")
    # Process 0 of nobody: the running one was taken, and is not there any more.
    running = ask("false 0", "true 2147483647")
    equal(running.returncode, 1, "exit status")
    lacks(running.stderr, "is not running: start it first", "what is said")
    contains(ask("false 0", "false 0").stderr, "is not running: start it first", "what is said of two that are stopped")


# ---- ends ----


@test("SIGTERM and SIGINT: it ends with 0 and leaves it closed; --detach-on-exit opens it")
def _():
    with Target(net, shared=True) as t, Sniffer(net) as sniffer:
        for number in (signal.SIGTERM, signal.SIGINT):
            with t.attach(API) as a:
                equal(a.end(number), 0, "exit status")
                is_closed(t, sniffer, number.name)
        with t.attach([*API, "--detach-on-exit"]) as a:
            equal(a.end(), 0, "exit status")
        equal(tries(t).count("PASSED"), 4, "attempts that came through")
        equal(status(net, t.path), None, "status")
        with t.attach([*API, "--detach-on-exit"]) as a:
            os.kill(a.proxy(), signal.SIGKILL)
            a.process.wait(timeout=10)
            is_closed(t, sniffer, "--detach-on-exit is for clean ends only")
    nothing_stays()


@test("detach ends who is attached, by its own path, or all at once")
def _():
    with Target(net) as one, Target(net) as two:
        with one.attach(API) as a, two.attach(API) as b:
            equal(detach(net, one.path).returncode, 0, "detach's exit status")
            equal(a.process.wait(timeout=10), 0, "the exit status of who was attached")
            contains(two.run(PAGE).out, "server name api", "the other one")
            # (All is all of this machine: not while somebody else works on it.)
            rows = json.loads(command(net, ["status", "--json"]).stdout)["attached"]
            alone = [row["cgroup"] for row in rows] == [two.path]
            words = ["--all"] if alone else ["--cgroup", two.path]
            equal(command(net, ["detach", *words]).returncode, 0, f"exit status of detach {words}")
            equal(b.process.wait(timeout=10), 0, "the exit status of the other one")
        result = detach(net, one.path)
        equal((result.returncode, "not attached" in result.stderr), (1, True), f"detaching what is not: {result.stderr}")
    nothing_stays()


@test("the cgroup is removed: attach ends with 0, its pins and its entry are gone")
def _():
    t = Target(net)
    try:
        with t.attach(API) as a:
            t.empty()
            true(a.process.poll() is None, "it waits while the cgroup is empty")
            t.remove()
            equal(a.process.wait(timeout=10), 0, f"exit status ({a.err()})")
            nothing_stays()
    finally:
        t.close()


@test("a cgroup that is removed while nobody is attached: detach cleans up by its path, and a new one of that name is open")
def _():
    t = Target(net)
    try:
        with t.attach(API):
            pass
        t.empty()
        t.remove()
        with Target(net, shared=True, name=os.path.basename(t.path)) as again:
            equal(tries(again).count("PASSED"), 4, "attempts of the new one that came through")
        equal(detach(net, t.path).returncode, 0, "detach's exit status")
    finally:
        t.close()
    nothing_stays()


@test("a second attach on the same cgroup is told who holds it")
def _():
    with Target(net) as t, t.attach(API) as a:
        code, said = t.refused([*API, *accept()])
        equal(code, 1, "exit status")
        contains(said, f"process {a.process.pid}", "the sentence")
        contains(t.run(PAGE).out, "server name api", "the page, as before")


@test("removing the pins of a living one opens nothing; of a dead one, `status` says broken")
def _():
    with Target(net, shared=True) as t:
        with t.attach(API):
            pins = [p for kind, p, name in sandbox_pins() if name == f"cgroup-{t.id}"]
            equal(len(pins), 1, f"directories of pins: {pins}")
            os.unlink(os.path.join(pins[0], "link_connect4"))
            equal(tries(t).count("PASSED"), 0, "attempts that came through")
            row = status(net, t.path)
            equal((row["state"], row["programs_pinned"]), ("broken", row["programs"] - 1), "status")
        equal(status(net, t.path)["state"], "broken", "the state")
        code, said = t.refused([*API, *accept(but=("cgroupfs",))])
        equal(code, 1, "exit status of an attach that is refused for a gap")
        contains(said, "NOT cut off", "what it says of what is left")
        with t.attach(API) as a:
            true(not a.ready["adopted"], "what is not whole is no state to take over")
            equal(status(net, t.path)["state"], "served", "the state once it is mended")
            equal(tries(t).count("PASSED"), 0, "attempts that came through")


def sandbox_pins():
    from internet import sandbox_entries

    return [entry for entry in sandbox_entries() if entry[0] == "pins"]


# ---- exec ----


def execute(t, words, options=()):
    return command(net, ["exec", "--cgroup", t.path, *options, "--", *words])


@test("exec: in the cgroup and the network, confined, with COMMAND's exit status; what it leaves behind ends")
def _():
    with Target(net) as t:
        equal(execute(t, ["true"]).returncode, 125, "exit status where nothing is attached")
        with t.attach(API):
            result = execute(t, PAGE)
            contains(result.stdout, "server name api", f"the page ({result.stderr})")
            equal(execute(t, ["curl", "-sS", "https://evil.example/"]).returncode, 6, "curl's exit status for evil.example")
            for number in (0, 3, 255):
                equal(execute(t, ["sh", "-c", f"exit {number}"]).returncode, number, "exit status")
            equal(execute(t, ["sh", "-c", "kill -9 $$"]).returncode, 137, "exit status")
            equal(execute(t, ["no-such-program-anywhere"]).returncode, 127, "exit status")
            out = execute(t, ["sh", "-c", "cat /proc/self/cgroup; grep CapEff /proc/self/status; id -u"], ["--user", "nobody"]).stdout
            contains(out, f"0::/{os.path.basename(t.path)}/", "its cgroup")
            contains(out, "CapEff:\t0000000000000000", "its capabilities")
            true(execute(t, [PYTHON, "-c", "import socket; socket.socket(socket.AF_VSOCK)"]).returncode != 0, "vsock is refused")
            execute(t, ["sh", "-c", "setsid sleep 1000 & true"])
            equal([p for p in t.pids() if p != t.holder.pid], [], "processes that stay")
            equal([d for d in os.listdir(t.path) if d.startswith("nono-")], [], "cgroups that stay")


# ---- gaps ----


def contained(*more, drop=True):
    """The words of a process that has no way out besides: no rights, pid and mount namespaces of its own."""
    hide = "mount -t tmpfs none /sys; mount -t tmpfs none /run; mount -t tmpfs none /tmp; mount -t proc proc /proc; ip link set lo up; "
    words = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--bounding-set", "-all", "--no-new-privs"] if drop else []
    return hide, [*words, *more]


class Contained(Target):
    """A target in which (but for vsock, where the machine has it) no gap is open."""

    def __init__(self, before="", **kwargs):
        hide, words = contained("sleep", "3600")
        super().__init__(net, shared=True, holder=["sh", "-c", "exec sleep 3600"])
        # The first process of the namespaces is born in the cgroup, its parent stays outside.
        inner = subprocess.Popen(["unshare", "--net", "--pid", "--mount", "--fork", PYTHON, "-c", f"""
import os
open({self.path + '/cgroup.procs'!r}, 'w').write('0')
{before}
os.execvp('sh', ['sh', '-c', {hide + 'echo ready; exec "$@"'!r}, 'sh', *{words!r}])
"""], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kwargs)
        try:
            if inner.stdout.readline() != b"ready\n":
                raise AssertionError("the contained process did not start")
        finally:
            self.inner = inner
        # The one that only held the place goes.
        self.holder.kill()
        self.holder.wait()
        self.processes.remove(self.holder)

    def close(self):
        super().close()
        if hasattr(self, "inner"):
            self.inner.wait()
            self.inner.stdout.close()


MACHINE = ("vsock", "keyring")  # depend on the machine alone


@test("a target without ways out is attached without accepting any; a process that is the host's root has many, each with a remedy")
def _():
    with Contained() as t:
        with t.attach(API, gaps=accept(*MACHINE)) as a:
            open_gaps = set(status(net, t.path)["gaps"])
            true(open_gaps <= set(MACHINE), f"gaps of the contained one: {open_gaps}; {a.err()}")
    with Contained("import subprocess; subprocess.run(['mount', '--bind', '/proc', '/mnt'], check=True)") as t:
        code, said = t.refused([*API, *accept(*MACHINE)])
        equal(code, 1, f"exit status: {said}")
        contains(said, "host's processes at /mnt", "what is said of the host's /proc")
    with Target(net, shared=True) as t:
        code, said = t.refused(API)
        equal(code, 1, "exit status")
        for name in ("host-pid", "same-user-processes", "cgroupfs", "cap-net-raw", "cap-net-admin", "cap-sys-admin", "cap-sys-ptrace", "cap-bpf"):
            contains(said, f"open: {name}: ", "what is said")
        contains(said, "To close it: ", "the remedies")
        contains(said, "--allow-gap", "the sentence")
        equal(open(f"{t.path}/cgroup.freeze", encoding="ascii").read(), "0\n", "cgroup.freeze after a refusal")
        equal(tries(t).count("PASSED"), 4, "attempts that come through after a refusal")
        equal(status(net, t.path), None, "status after a refusal")
        # All but one: that one is named, and it alone.
        code, said = t.refused([*API, *accept(but=("cgroupfs",))])
        equal((code, said.count("nono-proxy: open: ")), (1, 1), f"exit status, and gaps that are in the way: {said}")
        contains(said, "nono-proxy: open: cgroupfs:", "what is said")
    nothing_stays()


@test("a socket of a daemon outside is found wherever it is mounted")
def _():
    directory = net.path("daemon")
    os.mkdir(directory)
    path = os.path.join(directory, "daemon.sock")
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(path)
        daemon.listen()
        for place, source in (("/mnt", directory), ("/mnt/renamed", path)):
            before = f"""
import subprocess
subprocess.run(['mount', '--make-rprivate', '/'], check=True)
subprocess.run(['mount', '-t', 'tmpfs', 'none', '/mnt'], check=True)
open('/mnt/renamed', 'w').close()
subprocess.run(['mount', '--bind', {source!r}, {place!r}], check=True)
"""
            with Contained(before) as t:
                code, said = t.refused([*API, *accept(*MACHINE)])
                equal(code, 1, f"exit status: {said}")
                contains(said, f"open: unix-sockets: process {t.pids()[0]} reaches " + ("/mnt/daemon.sock" if place == "/mnt" else place), "what is said")


@test("a socket that was made outside and inherited is alien: attach refuses")
def _():
    outside = in_namespace(net.inside, lambda: socket.create_connection((API4, 7)))
    fresh = in_namespace(net.inside, lambda: socket.socket())
    datagram = in_namespace(net.inside, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    for alien in (outside, fresh, datagram):
        with alien:
            os.set_inheritable(alien.fileno(), True)
            with Target(net, shared=True) as t:
                t.start(["sleep", "1000"], pass_fds=(alien.fileno(),))
                wait_for(lambda: len(t.pids()) == 2, "both are in")
                code, said = t.refused([*API, *accept(but=("alien-sockets",))])
                equal(code, 1, f"exit status: {said}")
                contains(said, "open: alien-sockets: ", "what is said")
                with t.attach(API) as a:
                    contains(a.err(), "open, and accepted: alien-sockets", "what is said when it is accepted")


@test("its own sockets, whatever their state, are no aliens")
def _():
    code = """
import socket, time
held = [socket.socket(), socket.socket(socket.AF_INET6), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.create_server(('127.0.0.1', 0))]
held.append(socket.create_connection(held[3].getsockname()))
held.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
held[-1].connect(('::1', 9))
held += socket.socketpair()
held.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
print('held', flush=True)
time.sleep(1000)
"""
    for shared in (False, True):
        with Target(net, shared=shared) as t:
            t.start([PYTHON, "-c", code]).stdout.readline()
            with t.attach(API, gaps=accept(but=("alien-sockets", "packet"))):
                pass


@test("a socket that is passed in later is found, told, and ends with who took it", limit=90)
def _():
    code = """
import array, os, socket, sys
way = socket.socket(fileno=int(sys.argv[1]))
_, control, _, _ = way.recvmsg(1, socket.CMSG_SPACE(4))
s = socket.socket(fileno=array.array('i', control[0][2])[0])
print('taken', flush=True)
try:
    print('got', s.recv(10))
except OSError as e:
    print('error', e.errno)
"""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    alien = in_namespace(net.inside, lambda: socket.create_connection((API4, 7)))
    with here, there, alien, Target(net, shared=True) as t:
        os.set_inheritable(there.fileno(), True)
        taker = t.start([PYTHON, "-c", code, str(there.fileno())], pass_fds=(there.fileno(),))
        with t.attach(API, gaps=accept(but=("alien-sockets",))) as a:
            here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [alien.fileno()]))])
            equal(taker.stdout.readline(), b"taken\n", "the socket is in")
            equal(taker.wait(timeout=30), -signal.SIGKILL, "what comes of its holder")
            wait_for(lambda: "alien-sockets: process" in a.err(), "it is told")


# ---- bad input ----


@test("bad input: one clear sentence and an exit status each; nothing stays")
def _():
    mount = cgroup_mount()
    v1 = next((line.split()[4] for line in open("/proc/self/mountinfo", encoding="utf-8") if " - cgroup " in line), None)
    with Target(net) as t, Target(net) as several:
        several.start(["sleep", "1000"], plain=True)
        os.mkdir(f"{t.path}/empty")
        rows = [
            (["--cgroup", "/usr"], 1, "not a cgroup"),
            (["--cgroup", "/etc/passwd"], 1, "not a directory"),
            (["--cgroup", "/no/such/place"], 1, "no cgroup"),
            (["--cgroup", mount], 1, "root of all cgroups"),
            (["--cgroup", f"{t.path}/empty"], 1, "no process is in"),
            (["--cgroup", several.path], 1, "several network namespaces"),
            (["--pid", "999999999"], 1, "no process 999999999"),
            (["--pid", "x"], 2, "not the number of a process"),
            (["--pid", "0"], 2, "not the number of a process"),
            ([], 2, "--cgroup PATH"),
            (["--cgroup", t.path, "--pid", "1"], 2, "--cgroup PATH"),
            (["--cgroup", t.path, "--allow-gap", "unix-sokets"], 2, "did you mean unix-sockets"),
            (["--cgroup", t.path, "--audit-log", "/no/such/directory/log"], 1, "audit log"),
        ]
        if v1:
            rows.append((["--cgroup", v1], 1, "version 1"))
        for words, wanted, sentence in rows:
            code, said = t.refused(accept(), how=words)
            equal(code, wanted, f"exit status for {words}: {said}")
            contains(said, sentence, f"the sentence for {words}")
            equal(said.count("\n"), 1, f"lines for {words}: {said}")
    nothing_stays()


def private(*commands):
    """Words that start a program in a mount namespace of its own, changed by these commands."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "; ".join([*commands, 'exec "$@"']), "sh"]


@test("no BPF file system, or one that cannot be written: a sentence each")
def _():
    gone = "while umount /sys/fs/bpf 2>/dev/null; do :; done"
    with Target(net, shared=True) as t:
        for commands, sentence in (([gone], "mount -t bpf"), ([gone, "mount -t bpf -o ro bpf /sys/fs/bpf"], "Read-only file system")):
            code, said = t.refused([*API, *accept()], wrap=private(*commands))
            equal(code, 1, f"exit status: {said}")
            contains(said, sentence, "the sentence")
        equal(tries(t).count("PASSED"), 4, "attempts that come through after that")
    nothing_stays()


@test("cgroups mounted the one way and the other: version 2 alone at /sys/fs/cgroup")
def _():
    layout = private("umount -R /sys/fs/cgroup", "mount -t cgroup2 none /sys/fs/cgroup")
    # Somebody is attached: so a BPF file system is mounted on the host.
    with Target(net) as other, other.attach(API), Target(net) as t:
        path = f"/sys/fs/cgroup/{os.path.basename(t.path)}"
        for how in (["--cgroup", path], ["--cgroup", "/" + os.path.basename(t.path)], ["--pid", str(t.holder.pid)]):
            with t.attach(API, how=how, wrap=layout) as a:
                equal((a.ready["cgroup"], a.ready["cgroup_id"]), (path, t.id), "the cgroup")
                contains(t.run(PAGE).out, "server name api", "the page")


@test("a cgroup that vanishes while it is attached: a sentence, or a good end; nothing stays", limit=120)
def _():
    for number in range(12):
        t = Target(net)
        try:
            a = t.begin([*API, *accept()])
            time.sleep(0.01 * number)
            t.empty()
            t.remove()
            status_ = a.process.wait(timeout=20)
            among(status_, (0, 1), "exit status")
            true(status_ == 0 or "nono-proxy: " in a.err(), f"the sentence: {a.err()}")
            a.process.stdout.close()
            wait_for(lambda: set(leftovers()) <= BEFORE, lambda: f"nothing stays after {0.01 * number} s: {set(leftovers()) - BEFORE}; {a.err()}", 5)
        finally:
            t.close()


@test("our own cgroup, one above it, and a sandbox of `run` are refused")
def _():
    with Target(net) as t:
        for where in ("", "/sub"):
            os.makedirs(t.path + where, exist_ok=True)
            code = f"""
import os
open({t.path + where + '/cgroup.procs'!r}, 'w').write('0')
os.execv({net.program!r}, ['nono-proxy', 'attach', '--cgroup', {t.path!r}, '--audit-log', {net.path('own')!r}])
"""
            result = net.host([PYTHON, "-c", code])
            equal(result.returncode, 1, f"exit status: {result.stderr}")
            contains(result.stderr, "nono-proxy itself runs in", "the sentence")
        running = net.start([], ["sleep", "1000"])
        try:
            wait_for(lambda: "init" in running.pids(), "the sandbox runs")
            code, said = t.refused(accept(), how=["--pid", str(running.pids()["init"])])
            equal(code, 1, f"exit status: {said}")
            contains(said, "a sandbox already", "the sentence")
        finally:
            running.kill()
    nothing_stays()


@test("without the capabilities, and without lo: a sentence")
def _():
    with Target(net) as t:
        result = net.host(["setpriv", "--reuid", "12345", "--clear-groups", "--bounding-set", "-all", net.program, "attach", "--cgroup", t.path])
        equal(result.returncode, 1, f"exit status: {result.stderr}")
        contains(result.stderr, "needs root", "the sentence")
    holder = ["unshare", "--net", "sleep", "3600"]
    with Target(net, shared=True, holder=holder) as t:
        wait_for(lambda: os.stat(f"/proc/{t.holder.pid}/ns/net").st_ino != os.fstat(net.inside).st_ino, "it has a network of its own")
        code, said = t.refused([*API, *accept()])
        equal(code, 1, f"exit status: {said}")
        contains(said, "loopback device", "the sentence")
        equal(open(f"{t.path}/cgroup.freeze", encoding="ascii").read(), "0\n", "cgroup.freeze after that")
    nothing_stays()


@test("a namespace that appears later has no network, and the audit says so")
def _():
    with Target(net) as t, t.attach(API) as a:
        result = t.run(["unshare", "--net", "sh", "-c", f"ip link set lo up; curl -sS -m 5 http://{API4}/"])
        equal(result.status, 7, f"curl's exit status ({result.err})")
        wait_for(lambda: [r for r in a.audit() if r.get("target") == f"namespace:of its own, to {API4}"], lambda: f"the audit has it: {a.audit()}", 5)


if __name__ == "__main__":
    run()
