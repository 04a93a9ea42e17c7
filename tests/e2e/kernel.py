#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the kernel refuses before the proxy hears of it: datagrams, other kinds of sockets, ways around. At once, and in words
of errno that make programs fall back."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import (API4, API6, DNS, EVIL4, EVIL6, HOST4, METADATA4, NEAR4, PYTHON, Internet, Sniffer)  # noqa: E402
from tap import below, contains, equal, lacks, run, test, true  # noqa: E402

net = Internet()
ALL = ["--allow-domain", "*"]

# Each probe prints one line: "name result"; result is "ok" or the errno's name.
PRELUDE = """
import ctypes, errno, os, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def probe(name, function):
    start = time.monotonic()
    try:
        function()
        result = 'ok'
    except OSError as e:
        result = errno.errorcode.get(e.errno, type(e).__name__)
    except Exception as e:
        result = type(e).__name__
    if time.monotonic() - start > 1.0:
        result += ' slow'
    print(name, result, flush=True)
def call(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), 'syscall')
def udp(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_DGRAM)
"""


def probes(code, options=(), **kwargs):
    result = net.run([*ALL, *options], [PYTHON, "-c", PRELUDE + code], **kwargs)
    found = dict(line.rsplit(" ", 1) if line.count(" ") == 1 else line.split(" ", 1) for line in result.out.splitlines())
    true(found, f"the probes ran: {result}")
    return found, result


def nothing_left(sniffer):
    """Nothing from the sandbox but the proxy's own questions to its resolver."""
    left = [f for f in sniffer.frames() if f.destination and f.destination != DNS and not f.destination.startswith(("ff02:", "fe80:", "224."))
            and f.source != DNS]
    equal(left, [], "frames that left")


UDP_CODE = f"""
probe('sendto-443', lambda: udp().sendto(b'x', ('{API4}', 443)))
probe('sendto-9', lambda: udp().sendto(b'x', ('{API4}', 9)))
probe('sendto-v6', lambda: udp(socket.AF_INET6).sendto(b'x', ('{API6}', 443)))
probe('sendto-mapped', lambda: udp(socket.AF_INET6).sendto(b'x', ('::ffff:{API4}', 443)))
probe('sendto-loopback', lambda: udp().sendto(b'x', ('127.0.0.1', 9)))
probe('sendto-metadata', lambda: udp().sendto(b'x', ('{METADATA4}', 80)))
probe('multicast', lambda: udp().sendto(b'x', ('224.0.0.251', 5353)))
def connected(family, to):
    s = udp(family)
    s.connect(to)
    return s
probe('connect', lambda: connected(socket.AF_INET, ('{API4}', 443)))
probe('connect-send', lambda: connected(socket.AF_INET, ('{API4}', 443)).send(b'x'))
probe('connect-send-v6', lambda: connected(socket.AF_INET6, ('{API6}', 443)).send(b'x'))
def moved():
    s = connected(socket.AF_INET, ('{DNS}', 53))
    s.connect(('{EVIL4}', 9))
    s.send(b'x')
probe('dns-then-other', moved)
probe('dns-sendto-other', lambda: connected(socket.AF_INET, ('{DNS}', 53)).sendto(b'x', ('{EVIL4}', 9)))
def broadcast():
    s = udp()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.sendto(b'x', ('255.255.255.255', 9))
probe('broadcast', broadcast)
"""


@test("UDP other than DNS: connect() is a question and passes, sending is EPERM at once, no frame leaves")
def _():
    for options in ([], ["--user", "nobody"]):
        with Sniffer(net) as sniffer:
            found, _ = probes(UDP_CODE, options)
            equal(found.pop("connect"), "ok", "connect() on UDP")
            # A socket that spoke to our responder is bound to loopback, from where no route leads out.
            true(found.pop("dns-then-other") in ("EPERM", "EINVAL"), "a socket that changes its mind")
            equal({k: v for k, v in found.items() if v != "EPERM"}, {}, "what was not EPERM")
            nothing_left(sniffer)


@test("the same with --net host, where only the second wall stands")
def _():
    with Sniffer(net) as sniffer:
        found, _ = probes(UDP_CODE, ["--net", "host"])
        found.pop("connect")
        true(found.pop("dns-then-other") in ("EPERM", "EINVAL"), "a socket that changes its mind")
        equal({k: v for k, v in found.items() if v != "EPERM"}, {}, "what was not EPERM")
        nothing_left(sniffer)


@test("QUIC's port: refused at once, so a client falls back without waiting; it is in the audit")
def _():
    code = f"probe('quic', lambda: [udp().sendto(b'x' * 1200, ('{API4}', 443)) for _ in range(3)])"
    found, result = probes(code)
    equal(found["quic"], "EPERM", "the first send")
    below(result.seconds, 5, "seconds in all")
    true([r for r in result.denied() if r.get("port") == 443 and API4 in (r.get("target", ""), r.get("orig_dst", "").rsplit(":", 1)[0])],
         f"the audit tells of the datagram:\n{result.audit_text}")


SOCKET_CODE = """
def kind(*a):
    return lambda: socket.socket(*a)
probe('raw4', kind(socket.AF_INET, socket.SOCK_RAW, 1))
probe('raw6', kind(socket.AF_INET6, socket.SOCK_RAW, 58))
probe('ping4', kind(socket.AF_INET, socket.SOCK_DGRAM, 1))
probe('ping6', kind(socket.AF_INET6, socket.SOCK_DGRAM, 58))
probe('udplite', kind(socket.AF_INET, socket.SOCK_DGRAM, 136))
probe('mptcp', kind(socket.AF_INET, socket.SOCK_STREAM, 262))
probe('packet', kind(17, socket.SOCK_RAW, 0x300))
probe('vsock', kind(40, socket.SOCK_STREAM, 0))
probe('alg', kind(38, socket.SOCK_SEQPACKET, 0))
probe('key', kind(15, socket.SOCK_RAW, 2))
probe('xdp', kind(44, socket.SOCK_RAW, 0))
probe('netlink-audit', kind(16, socket.SOCK_RAW, 9))
probe('unix', kind(socket.AF_UNIX, socket.SOCK_STREAM))
probe('tcp', kind(socket.AF_INET, socket.SOCK_STREAM))
probe('route', kind(16, socket.SOCK_RAW, 0))
"""


@test("other kinds of sockets cannot be made, by root and by nobody; TCP, UNIX and routing netlink can")
def _():
    for options in ([], ["--user", "nobody"]):
        found, _ = probes(SOCKET_CODE, options)
        for name in ("unix", "tcp", "route"):
            equal(found.pop(name), "ok", name)
        wrong = {k: v for k, v in found.items() if v not in ("EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT")}
        equal(wrong, {}, "kinds that were not refused")
        for name in ("raw4", "udplite", "mptcp", "packet", "vsock"):
            true(found[name] in ("EPERM", "EACCES"), f"{name}: {found[name]}")


@test("system calls that would go round: io_uring, bpf, keys, TIOCSTI, namespaces with a way out")
def _():
    code = """
probe('io_uring', lambda: call(425, 8, ctypes.create_string_buffer(256)))
probe('bpf', lambda: call(321, 0, ctypes.create_string_buffer(128), 128))
probe('add_key', lambda: call(248, b'user', b'x', b'y', 1, -2))
probe('keyctl', lambda: call(250, 0, -3, 1))
probe('request_key', lambda: call(249, b'user', b'x', None, -2))
def tiocsti():
    import fcntl
    fcntl.ioctl(0, 0x5412, b'x')
probe('tiocsti', tiocsti)
probe('ptrace-init', lambda: call(101, 16, 1, 0, 0))
"""
    for options in ([], ["--user", "nobody"]):
        found, _ = probes(code, options)
        equal(found["io_uring"], "ENOSYS", "io_uring_setup")
        for name in ("bpf", "add_key", "keyctl", "request_key", "tiocsti", "ptrace-init"):
            equal(found[name], "EPERM", name)


@test("a new network namespace from inside leads nowhere")
def _():
    code = f"""
import subprocess
r = subprocess.run(['unshare', '-Urn', '{PYTHON}', '-c',
    "import socket; s = socket.socket(); s.settimeout(5); print(s.connect_ex(('{API4}', 443)))"], capture_output=True, text=True)
print('unshare', (r.stdout.strip() or 'refused').replace(' ', '_'))
"""
    with Sniffer(net) as sniffer:
        for options in ([], ["--user", "nobody"]):
            found, _ = probes(code, options)
            true(found["unshare"] in ("refused", "111", "101", "1"), f"connect in a new namespace: {found['unshare']}")
        nothing_left(sniffer)


@test("TCP by every door of the kernel ends at the proxy: fast open, mapped, non-blocking, other sources, AF_UNSPEC")
def _():
    code = f"""
E = '{EVIL4}'
def closed(s):
    s.settimeout(6)
    try:
        data = s.recv(100)
    except OSError as e:
        raise
    raise OSError(errno.EPIPE, 'end') if not data or b'403' in data or data[:1] == b'\\x15' else ValueError('got ' + repr(data))
def plain(family, to, before=None):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(6)
    if before:
        before(s)
    s.connect(to)
    closed(s)
probe('v4', lambda: plain(socket.AF_INET, (E, 25)))
probe('v6', lambda: plain(socket.AF_INET6, ('{EVIL6}', 25)))
probe('mapped', lambda: plain(socket.AF_INET6, ('::ffff:' + E, 25)))
probe('metadata', lambda: plain(socket.AF_INET, ('{METADATA4}', 25)))
def fastopen():
    s = socket.socket()
    s.sendto(b'EHLO\\r\\n', 0x20000000, (E, 25))
    closed(s)
probe('fastopen', fastopen)
def fastopen_connect(s):
    s.setsockopt(6, 30, 1)
probe('fastopen-connect', lambda: plain(socket.AF_INET, (E, 25), fastopen_connect))
probe('bound', lambda: plain(socket.AF_INET, (E, 25), lambda s: s.bind(('127.0.0.9', 0))))
probe('device', lambda: plain(socket.AF_INET, (E, 25), lambda s: s.setsockopt(1, 25, b'lo')))
def again():
    s = socket.socket()
    s.connect((E, 25))
    libc.connect(s.fileno(), struct.pack('H14x', 0), 16)
    s.connect((E, 25))
    closed(s)
probe('again', again)
"""
    with Sniffer(net) as sniffer:
        result = net.run(["--allow-domain", "api.example.com:443"], [PYTHON, "-c", PRELUDE + code])
        lines = dict(line.split(" ", 1) for line in result.out.splitlines())
        equal(len(lines), 9, f"probes that ran: {result}")
        for name, outcome in lines.items():
            true(not outcome.startswith(("ok", "ValueError")), f"{name}: {outcome}")
        nothing_left(sniffer)


@test("an address that another thread rewrites during connect() never leads elsewhere", limit=120)
def _():
    code = f"""
import threading
address = ctypes.create_string_buffer(struct.pack('!2xH4s8x', 443, socket.inet_aton('{API4}')), 16)
struct.pack_into('H', address, 0, socket.AF_INET)
good, evil = socket.inet_aton('{API4}'), socket.inet_aton('{EVIL4}')
stop = False
def flip():
    at = ctypes.addressof(address) + 4
    while not stop:
        ctypes.memmove(at, evil, 4)
        ctypes.memmove(at, good, 4)
thread = threading.Thread(target=flip)
thread.start()
socket.getaddrinfo('api.example.com', 443)
for _ in range(400):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    libc.connect(s.fileno(), address, 16)
    s.close()
stop = True
thread.join()
print('done')
"""
    with Sniffer(net) as sniffer:
        result = net.run(["--allow-domain", "api.example.com"], [PYTHON, "-c", PRELUDE + code])
        contains(result.out, "done", f"output ({result.err})")
        equal([f for f in sniffer.frames() if f.destination == EVIL4], [], "frames to the other address")


@test("metadata and refused addresses stay closed while the proxy is stopped")
def _():
    code = f"""
print('up', flush=True)
sys.stdin.readline()
def tcp(to):
    s = socket.create_connection(to, timeout=2)
    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    if s.recv(100):
        raise ValueError('answered')
    raise OSError(errno.EPIPE, 'end')
probe('tcp', lambda: tcp(('{METADATA4}', 80)))
probe('udp', lambda: udp().sendto(b'x', ('{METADATA4}', 80)))
"""
    running = net.start(ALL, [PYTHON, "-c", PRELUDE + code], stdin=subprocess.PIPE)
    contains(running.process.stdout.readline(), b"up")
    proxy = running.pids()["proxy"]
    with Sniffer(net) as sniffer:
        os.kill(proxy, signal.SIGSTOP)
        try:
            running.process.stdin.write(b"\n")
            running.process.stdin.flush()
            lines = [running.process.stdout.readline().decode().split()[1] for _ in range(2)]
        finally:
            os.kill(proxy, signal.SIGCONT)
        running.finish(b"")
        true(lines[0] not in ("ok", "ValueError") and lines[1] == "EPERM", f"results: {lines}")
        nothing_left(sniffer)


@test("the proxy's own ports cannot be taken, nor spoken to directly")
def _():
    code = """
ports = set()
for table, width in (('/proc/net/tcp', 8), ('/proc/net/tcp6', 32)):
    for line in open(table).read().splitlines()[1:]:
        words = line.split()
        if words[3] == '0A':
            ports.add(int(words[1].rsplit(':')[-1], 16))
print('ports', len(ports), flush=True)
for port in sorted(ports):
    def take(port=port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(('127.0.0.1', port))
        s.listen()
    probe(f'take', take)
    def speak(port=port):
        s = socket.create_connection(('127.0.0.1', port), timeout=6)
        s.sendall(b'GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n')
        data = s.recv(2000)
        if b'server name' in data:
            raise ValueError('served')
        raise OSError(errno.EPIPE, 'refused')
    probe('speak', speak)
"""
    result = net.run(ALL, [PYTHON, "-c", PRELUDE + code])
    lines = result.out.splitlines()
    true(int(lines[0].split()[1]) >= 1, f"listeners were found: {result}")
    for line in lines[1:]:
        true(line.split()[1] in ("EPERM", "EACCES", "EADDRINUSE", "EPIPE", "ECONNREFUSED", "ECONNRESET"), line)


@test("nothing from outside reaches a listener inside")
def _():
    code = """
import threading
s = socket.create_server(('0.0.0.0', 4444))
s.settimeout(4)
print('listening', flush=True)
sys.stdin.readline()
"""
    running = net.start(ALL, [PYTHON, "-c", PRELUDE + code], stdin=subprocess.PIPE)
    try:
        contains(running.process.stdout.readline(), b"listening")
        for where in ("127.0.0.1", HOST4):
            reply = net.host(["nc", "-z", "-w", "1", where, "4444"])
            true(reply.returncode != 0, f"the host reaches {where}:4444")
    finally:
        result = running.finish(b"\n")
    equal(result.status, 0, f"exit status: {result}")


@test("a neighbour of the host is no exception")
def _():
    with Sniffer(net) as sniffer:
        found, _ = probes(f"probe('near', lambda: udp().sendto(b'x', ('{NEAR4}', 9)))")
        equal(found["near"], "EPERM", "a datagram to the next hop")
        nothing_left(sniffer)


@test("two sandboxes do not reach each other")
def _():
    code = "s = socket.create_server(('127.0.0.1', 4545)); print('listening', flush=True); sys.stdin.readline()"
    first = net.start(ALL, [PYTHON, "-c", PRELUDE + code], stdin=subprocess.PIPE)
    try:
        contains(first.process.stdout.readline(), b"listening")
        for options in ([], ["--net", "host"]):
            second = net.run([*ALL, *options], ["curl", "-sS", "-m", "5", "http://127.0.0.1:4545/"])
            true(second.status != 0 or "403" in second.out or "denied" in second.out.lower() or '"reason"' in second.out,
                 f"the second sandbox is refused: {second}")
            lacks(second.out, "server name", "output")
    finally:
        first.finish(b"\n")


if __name__ == "__main__":
    run()
