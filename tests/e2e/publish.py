#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ports of the sandbox that programs outside may connect to, and no others; and that nothing gets out that way."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import EVIL4, PYTHON, Internet, in_namespace, leftovers, read_text, wait_for  # noqa: E402
from tap import below, contains, equal, lacks, run, test, true  # noqa: E402
from target import Target, detach  # noqa: E402

net = Internet()
BEFORE = set(leftovers())
WEB, OTHER, CLOSED = 3000, 3001, 3002

# Servers inside: each word is ADDRESS:PORT. Every connection is answered with the server's own address, then what it says is
# sent back until it has said all, and then how much that was.
SERVERS = r"""
import socket, sys, threading

def serve(c, name):
    try:
        c.sendall(name + b"\n")
        n = 0
        while data := c.recv(65536):
            n += len(data)
            c.sendall(data)
        c.sendall(b"end %d\n" % n)
    except OSError:
        pass
    c.close()

def accept(s, name):
    while True:
        c, _ = s.accept()
        threading.Thread(target=serve, args=(c, name), daemon=True).start()

for word in sys.argv[1:]:
    host, port = word.rsplit(":", 1)
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in host:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((host, int(port)))
    s.listen(256)
    threading.Thread(target=accept, args=(s, word.encode()), daemon=True).start()
print("listening", flush=True)
"""
STAY = SERVERS + "\nthreading.Event().wait()\n"


def servers(*words):
    return [PYTHON, "-c", STAY, *words]


def publish(*ports):
    return [w for p in ports for w in ("--publish", str(p))]


@contextlib.contextmanager
def sandbox(options, command, **kwargs):
    """A sandbox whose command has said "listening"."""
    running = net.start(options, command, **kwargs)
    try:
        line = running.process.stdout.readline()
        if line != b"listening\n":
            raise AssertionError(f"no server inside: {line!r}; {running.finish()}")
        yield running
    finally:
        running.kill()
        net.check_reports()


def records(path):
    return [json.loads(line) for line in read_text(path).splitlines()]


def open_socket(family=socket.AF_INET):
    """A socket on the host."""
    return in_namespace(net.inside, lambda: socket.socket(family, socket.SOCK_STREAM))


@contextlib.contextmanager
def held(port):
    """Another program's listener on the host."""
    with open_socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(1)
        yield s


def dial(port, address="127.0.0.1", timeout=10):
    """A connection from the host, or an OSError."""
    s = open_socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.settimeout(timeout)
    try:
        s.connect((address, port))
    except OSError:
        s.close()
        raise
    return s


def read_all(s):
    got = b""
    while data := s.recv(65536):
        got += data
    return got


def ask(port, data=b"hello", address="127.0.0.1"):
    """One exchange with half-close: everything that came back."""
    with dial(port, address) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return read_all(s)


def how(port, address="127.0.0.1"):
    """What becomes of a connection: the first line, or the error's name; and how long it took."""
    started = time.monotonic()
    try:
        with dial(port, address) as s:
            s.sendall(b"x")
            word = s.makefile("rb").readline().decode().strip() or "EOF"
    except OSError as e:
        word = type(e).__name__
    return word, time.monotonic() - started


def refused(port, address="127.0.0.1"):
    word, seconds = how(port, address)
    true(word in ("ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError"), f"port {port}: {word}")
    below(seconds, 2, f"seconds until port {port} was refused")


def unheard(port):
    """Nobody answers, or refuses: the programs in the kernel let nothing through."""
    try:
        with dial(port, timeout=1):
            raise AssertionError(f"port {port} was reached")
    except OSError:
        pass


def nothing_stays():
    wait_for(lambda: set(leftovers()) <= BEFORE, lambda: f"nothing stays: {set(leftovers()) - BEFORE}", 5)


# ---- run ----


@test("run: a published port is reached at 127.0.0.1, another port is not; the records say which way it went")
def _():
    with sandbox([], servers(f"127.0.0.1:{WEB}")):
        refused(WEB)
    with sandbox(publish(WEB), servers(f"127.0.0.1:{WEB}", f"127.0.0.1:{OTHER}")) as s:
        equal(ask(WEB), b"127.0.0.1:3000\nhelloend 5\n", "what came back")
        refused(OTHER)
        refused(WEB, "::1")
        refused(WEB, "198.51.100.1")
        path = s.audit_path
        wait_for(lambda: len(records(path)) >= 2, "the records")
    opened, closed = records(path)[:2]
    equal({k: opened.get(k) for k in ("event", "decision", "rule", "target", "port", "resolved_ip", "text", "mode", "orig_dst")},
          {"event": "open", "decision": "allow", "rule": "publish 3000", "target": "127.0.0.1", "port": WEB, "resolved_ip": "127.0.0.1",
           "text": "from outside", "mode": None, "orig_dst": None}, "the open record")
    equal((closed["event"], closed["rule"], closed["bytes_up"], closed["bytes_down"], closed["end"]),
          ("close", "publish 3000", 5, len(b"127.0.0.1:3000\nhelloend 5\n"), "eof"), "the close record")
    nothing_stays()


@test("run: a server that listens on ::1 only is reached, and 127.0.0.1 goes first; two ports; on all addresses")
def _():
    with sandbox(publish(WEB, OTHER), servers(f"::1:{WEB}", f"::1:{OTHER}", f"127.0.0.1:{OTHER}")) as s:
        equal(how(WEB)[0], f"::1:{WEB}", "who answered")
        equal(how(OTHER)[0], f"127.0.0.1:{OTHER}", "who answered")
        wait_for(lambda: any(r.get("resolved_ip") == "::1" for r in records(s.audit_path)), "the record")
    with sandbox(publish(WEB, OTHER), servers(f"0.0.0.0:{WEB}", f":::{OTHER}")):
        equal(how(WEB)[0], f"0.0.0.0:{WEB}", "who answered")
        equal(how(OTHER)[0], f":::{OTHER}", "who answered")


@test("run: where nobody listens inside, the client gets a reset at once, and hears when somebody does")
def _():
    with sandbox(publish(WEB), [PYTHON, "-c", "import sys\nprint('listening', flush=True)\nsys.stdin.readline()\n" + STAY, f"127.0.0.1:{WEB}"],
                 stdin=subprocess.PIPE) as s:
        for _ in range(5):
            refused(WEB)
        s.process.stdin.write(b"\n")
        s.process.stdin.flush()
        equal(s.process.stdout.readline(), b"listening\n", "the server's word")
        equal(how(WEB)[0], f"127.0.0.1:{WEB}", "who answered")
        denied = [r for r in records(s.audit_path) if r.get("decision") == "deny"]
        equal([(r["reason"], r["rule"], r["port"], r["text"]) for r in denied], [("upstream_refused", "publish 3000", WEB, "from outside")],
              "the refusals: one a minute")
        s.process.terminate()
        result = s.finish()
    lacks(result.err, "refused", "the summary: COMMAND has done nothing")
    equal([(r["count"], r["text"]) for r in result.audit if r.get("count")], [(4, "from outside, repeated")], "the rest of them")


@test("run: a hundred connections at a time, each with its own bytes; half of them said all and wait")
def _():
    with sandbox(publish(WEB), servers(f"127.0.0.1:{WEB}")):
        sockets = [dial(WEB) for _ in range(100)]
        for i, s in enumerate(sockets):
            s.sendall(b"%03d" % i * 1000)
        for s in sockets[::2]:
            s.shutdown(socket.SHUT_WR)
        for i, s in enumerate(sockets):
            if i % 2:
                s.shutdown(socket.SHUT_WR)
            equal(read_all(s), b"127.0.0.1:3000\n" + b"%03d" % i * 1000 + b"end 3000\n", f"what connection {i} heard")
            s.close()


@test("run: far more connections than are asked for at a time, one after the other and at once, all served", limit=120)
def _():
    wrong = []

    def client():
        for _ in range(100):
            word = how(WEB)[0]
            if word != f"127.0.0.1:{WEB}":
                wrong.append(word)

    with sandbox([*publish(WEB), "--max-connections", "2000"], servers(f"127.0.0.1:{WEB}")) as s:
        threads = [threading.Thread(target=client) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        equal(wrong, [], "what went wrong")
        for role in ("supervisor", "proxy"):
            pid = s.pids()[role]
            wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 60, lambda: f"descriptors of the {role}: {len(os.listdir(f'/proc/{pid}/fd'))}")


@test("run: bytes pass whole in both directions, and a server's half-close does not end the client's")
def _():
    data = os.urandom(4 << 20)
    with sandbox(publish(WEB), servers(f"127.0.0.1:{WEB}")):
        with dial(WEB) as s:
            sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
            sender.start()
            got = read_all(s)
            sender.join()
        true(got == b"127.0.0.1:3000\n" + data + b"end %d\n" % len(data), f"{len(got)} bytes came back, and the same")
    early = r"""
import socket
s = socket.socket()
s.bind(("127.0.0.1", 3000))
s.listen(8)
print("listening", flush=True)
c, _ = s.accept()
c.sendall(b"early\n")
c.shutdown(socket.SHUT_WR)
n = 0
while data := c.recv(65536):
    n += len(data)
print(n, flush=True)
"""
    with sandbox(publish(WEB), [PYTHON, "-c", early]) as running:
        with dial(WEB) as s:
            equal(read_all(s), b"early\n", "what the server said before it closed its side")
            s.sendall(b"late" * 1000)
            s.shutdown(socket.SHUT_WR)
            equal(running.process.stdout.readline(), b"4000\n", "what the server heard after that")


@test("run: a port that another program has is refused with a sentence, 125, before COMMAND runs; so are wrong numbers, with 2")
def _():
    with held(WEB):
        result = net.run(publish(OTHER, WEB), ["echo", "ran"])
    equal((result.status, result.out), (125, ""), "exit status and output")
    contains(result.err, "cannot publish port 3000: another program has 127.0.0.1:3000 already", "the sentence")
    nothing_stays()
    equal(net.run(publish(OTHER, WEB), ["echo", "ran"]).out, "ran\n", "control: the same with the port free")
    for words, sentence in ((["--publish", "0"], "not a port"), (["--publish", "65536"], "not a port"), (["--publish", "http"], "not a port"),
                            (["--publish", "3000:3000"], "not a port"), (publish(*range(3000, 3017)), "at most 16"),
                            (["--port", "3000", *publish(WEB)], "the proxy's own")):
        result = net.run(words, ["echo", "ran"])
        equal((result.status, result.out), (2, ""), f"exit status and output of {words}")
        contains(result.err, sentence, "the sentence")
    equal(net.run(publish(WEB, WEB), ["echo", "ran"]).out, "ran\n", "the same port twice")
    equal(net.run(publish(*range(3000, 3016)), ["echo", "ran"]).out, "ran\n", "sixteen ports")


@test("the port is free again when the sandbox has ended, however it ended")
def _():
    for number in (signal.SIGTERM, signal.SIGKILL):
        with sandbox(publish(WEB), servers(f"127.0.0.1:{WEB}")) as s:
            with dial(WEB) as c:
                c.sendall(b"x")
                equal(c.makefile("rb").readline(), b"127.0.0.1:3000\n", "who answered")
                s.process.send_signal(number)
                s.process.wait(timeout=20)
        with sandbox(publish(WEB), servers(f"127.0.0.1:{WEB}")):
            equal(how(WEB)[0], f"127.0.0.1:{WEB}", f"who answered after {number.name}")
        refused(WEB)
    net.run([], ["true"])  # clears up behind the one that was killed
    nothing_stays()


@test("when the proxy dies, the port is closed at once, and COMMAND runs on")
def _():
    with sandbox(publish(WEB), servers(f"127.0.0.1:{WEB}")) as s:
        equal(how(WEB)[0], f"127.0.0.1:{WEB}", "who answered")
        os.kill(s.pids()["proxy"], signal.SIGKILL)
        wait_for(lambda: how(WEB)[0] == "ConnectionRefusedError", "the port is closed")
        equal(s.process.poll(), None, "COMMAND's end")


@test("COMMAND gets nowhere through it: not to the host's port, not to outside, not to the forwarder's own sockets")
def _():
    code = SERVERS + r"""
import errno
def attempt(name, to, bind=None):
    s = socket.socket()
    s.settimeout(5)
    try:
        if bind:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            s.bind(bind)
        s.connect(to)
        s.sendall(b"GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n")
        print(name, "PASSED" if b" 200 " in s.recv(100) else "answered", flush=True)
    except OSError as e:
        print(name, errno.errorcode.get(e.errno, type(e).__name__), flush=True)
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("127.0.0.1", 3001))
s.listen(5)
print("listening", flush=True)
c, peer = s.accept()
attempt("forwarder", peer)
attempt("forwarder, from its server's port", peer, ("127.0.0.1", 3001))
attempt("outside, from the published port", ("EVIL", 80), ("127.0.0.1", 3001))
attempt("outside", ("EVIL", 80))
attempt("host", ("127.0.0.1", 3005))
attempt("itself, by the proxy", ("127.0.0.1", 3002))
print("done", flush=True)
threading.Event().wait()
""".replace("EVIL", EVIL4)
    equal(net.host(["curl", "-sS", "-o", "/dev/null", f"http://{EVIL4}/"]).returncode, 0, "control: curl's exit status on the host")
    with held(3005) as host, sandbox([*publish(OTHER, CLOSED), "--allow-cidr", f"127.0.0.1/32:{CLOSED}"],
                       [PYTHON, "-c", code.replace('print("listening", flush=True)', "", 1)]) as s:
        host.settimeout(0.1)
        with dial(OTHER):
            lines = []
            while (line := s.process.stdout.readline().decode().strip()) not in ("done", ""):
                lines.append(line)
            equal(len(lines), 6, f"attempts: {lines}")
            for line in lines:
                lacks(line, "PASSED", "an attempt")
        try:
            host.accept()
            raise AssertionError("the host's port was reached")
        except socket.timeout:
            pass
        wait_for(lambda: any(r.get("reason") == "loop_refused" for r in records(s.audit_path)), "the record of the loop")


@test("--net host: strangers reach the published port on the shared loopback, and no other")
def _():
    with sandbox(["--net", "host", *publish(WEB)], servers(f"127.0.0.1:{WEB}", f"::1:{WEB}", f"127.0.0.1:{OTHER}")):
        equal(how(WEB)[0], f"127.0.0.1:{WEB}", "who answered over IPv4")
        equal(how(WEB, "::1")[0], f"::1:{WEB}", "who answered over IPv6")
        unheard(OTHER)
    nothing_stays()


@test("max-connections holds for them too: who is one too many gets a reset, and room is made by ending")
def _():
    with sandbox([*publish(WEB), "--max-connections", "2"], servers(f"127.0.0.1:{WEB}")) as running:
        held = [dial(WEB) for _ in range(2)]
        for s in held:
            equal(s.makefile("rb").readline(), b"127.0.0.1:3000\n", "who answered")
        refused(WEB)
        for s in held:
            s.close()
        wait_for(lambda: how(WEB)[0] == f"127.0.0.1:{WEB}", "there is room again")
        equal({r["reason"] for r in records(running.audit_path) if r.get("decision") == "deny"} - {"shutting_down"}, {"too_many_connections"},
              "the reasons")


@test("a record that cannot be written denies the connection")
def _():
    with sandbox(publish(WEB), servers(f"127.0.0.1:{WEB}"), audit="/dev/full"):
        refused(WEB)


@test("the configuration file can say it, and options add to it")
def _():
    path = net.path("publish.json")
    with open(path, "w", encoding="ascii") as file:
        file.write('{ "version": 1, "redirect": { "publish": [3000] } }')
    with sandbox(["--config", path, *publish(OTHER)], servers(f"127.0.0.1:{WEB}", f"127.0.0.1:{OTHER}")):
        equal(how(WEB)[0], f"127.0.0.1:{WEB}", "who answered")
        equal(how(OTHER)[0], f"127.0.0.1:{OTHER}", "who answered")


# ---- attach ----

NEAR, FAR = "10.99.7.1", "10.99.7.2"  # the host, and a target with a device that leads there


def with_a_way_out(target):
    """Gives the target a device, and turns its own port WEB, by its firewall, to port 3005 of the host."""
    inside = [f"ip link add nnout type veth peer name nnback netns /proc/{os.getpid()}/fd/{net.inside}", f"ip addr add {FAR}/30 dev nnout",
              "ip link set nnout up", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet",
              f"iptables -t nat -A OUTPUT -p tcp -d 127.0.0.1 --dport {WEB} -j DNAT --to-destination {NEAR}:3005",
              "iptables -t nat -A POSTROUTING -o nnout -j MASQUERADE"]
    result = target.outside(["sh", "-ec", "\n".join(inside)])
    equal(result.returncode, 0, f"setting up the way out: {result.stderr}")
    result = net.host(["sh", "-ec", f"ip addr add {NEAR}/30 dev nnback; ip link set nnback up"])
    equal(result.returncode, 0, f"setting up the host's end: {result.stderr}")


def start_servers(target, *words):
    process = target.start(servers(*words))
    equal(process.stdout.readline(), b"listening\n", "the server's word")
    return process


@test("attach: a published port of a network of its own, over IPv4 and IPv6 inside; another one is not reached; detach ends it")
def _():
    with Target(net) as t:
        start_servers(t, f"127.0.0.1:{WEB}", f"::1:{OTHER}", f"127.0.0.1:{CLOSED}")
        refused(WEB)
        with t.attach(publish(WEB, OTHER)) as a:
            equal(a.ready["publish"], [WEB, OTHER], "the ready line")
            equal(ask(WEB), b"127.0.0.1:3000\nhelloend 5\n", "what came back")
            equal(how(OTHER)[0], f"::1:{OTHER}", "who answered")
            refused(CLOSED)
        refused(WEB)
        equal(detach(net, t.path).returncode, 0, "detach's exit status")
    nothing_stays()


@test("attach: somebody powerful inside turns the published port outwards: the forwarder does not follow")
def _():
    reach = [PYTHON, "-c", f"import socket; s = socket.create_connection(('127.0.0.1', {WEB}), 3); print(s.recv(10))"]

    def answer():
        with contextlib.suppress(OSError):  # until it is shut down
            while True:
                c, _ = host.accept()
                c.sendall(b"HOST\n")
                c.close()

    with Target(net) as t:
        with_a_way_out(t)
        host = open_socket()
        host.bind((NEAR, 3005))
        host.listen(16)
        threading.Thread(target=answer, daemon=True).start()
        contains(t.outside(reach).stdout, "HOST", "control: what a plain socket in there reaches")
        with t.attach(publish(WEB)) as a:
            contains(t.outside(reach).stdout, "HOST", "control: a socket of nobody's in there, with the programs")
            word, _ = how(WEB)
            true(word != "HOST", "what the published port reached")
            contains(a.err(), "cap-net-admin", "what was accepted")
        host.shutdown(socket.SHUT_RDWR)
    nothing_stays()


@test("attach: killed and attached anew, the port is served again; anew without it, it is not", limit=120)
def _():
    for shared in (False, True):
        with Target(net, shared=shared) as t:
            start_servers(t, f"127.0.0.1:{WEB}")
            a = t.attach(publish(WEB)).wait_ready()
            equal(how(WEB)[0], f"127.0.0.1:{WEB}", "who answered")
            a.end(signal.SIGKILL)
            a.process.stdout.close()
            with t.attach(publish(WEB)) as again:
                equal(again.ready["adopted"], True, "adopted")
                equal(how(WEB)[0], f"127.0.0.1:{WEB}", "who answered")
            with t.attach([]) as none:
                equal((none.ready["adopted"], none.ready["publish"]), (True, []), "the ready line")
                unheard(WEB)
    nothing_stays()


@test("attach: a port that another program has is refused with a sentence and 1, and nothing is closed")
def _():
    with Target(net) as t:
        with held(WEB):
            a = t.attach(publish(WEB))
            equal(a.process.wait(timeout=30), 1, "exit status")
            a.process.stdout.close()
            contains(a.err(), "another program has 127.0.0.1:3000 already", "the sentence")
        equal(t.run(["true"]).status, 0, "the processes go on")
    nothing_stays()


@test("attach in the host's network: strangers reach the published port, and no other")
def _():
    with Target(net, shared=True) as t:
        start_servers(t, f"127.0.0.1:{WEB}", f"127.0.0.1:{OTHER}")
        equal(how(OTHER)[0], f"127.0.0.1:{OTHER}", "control: before")
        with t.attach(publish(WEB)):
            equal(how(WEB)[0], f"127.0.0.1:{WEB}", "who answered")
            unheard(OTHER)
    nothing_stays()


@test("attach: at the end a connection may finish within the time to drain, and none is taken any more")
def _():
    with Target(net) as t:
        start_servers(t, f"127.0.0.1:{WEB}")
        a = t.attach([*publish(WEB), "--drain-timeout", "20"]).wait_ready()
        with dial(WEB) as s:
            file = s.makefile("rb")
            equal(file.readline(), b"127.0.0.1:3000\n", "who answered")
            a.process.send_signal(signal.SIGTERM)
            wait_for(lambda: how(WEB)[0] == "ConnectionRefusedError", "no more are taken")
            s.sendall(b"still here")
            s.shutdown(socket.SHUT_WR)
            equal(file.read(), b"still hereend 10\n", "what came after the signal")
        equal(a.end(), 0, "exit status")
        a.process.stdout.close()
    nothing_stays()


if __name__ == "__main__":
    run()
