#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Unix sockets of programs outside: hidden from `run`, refused by the kernel for `attach`, but for those that are named."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import PYTHON, Internet, in_namespace, leftovers, sandbox_entries, wait_for  # noqa: E402
from tap import contains, equal, lacks, run, test, true  # noqa: E402
from target import Target, accept, command, detach, status  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
BEFORE = set(leftovers())
OTHERS = accept(but=("unix-sockets",))


def nothing_stays():
    wait_for(lambda: set(leftovers()) <= BEFORE, lambda: f"nothing stays: {set(leftovers()) - BEFORE}", 5)


# ---- servers and clients ----


class Daemon:
    """Answers "outside" to whoever connects to one of these names; "@x" is abstract, in the network of the tests' host."""

    def __init__(self, *names, mode=0o777):
        self.sockets, self.paths, self.directories = [], [], []
        self.wake, self.woken = os.pipe()
        for name in names:
            s = in_namespace(net.inside, lambda: socket.socket(socket.AF_UNIX))
            self.sockets.append(s)
            if name[0] != "@":
                directory = os.path.dirname(name)
                if not os.path.isdir(directory):
                    os.mkdir(directory, 0o755)
                    self.directories.append(directory)
                self.paths.append(name)
            s.bind("\0" + name[1:] if name[0] == "@" else name)
            s.listen()
            if name[0] != "@":
                os.chmod(name, mode)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            readable, _, _ = select.select([self.wake, *self.sockets], [], [])
            if self.wake in readable:
                return
            for s in readable:
                with contextlib.suppress(OSError):
                    with s.accept()[0] as client:
                        client.sendall(b"outside")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.woken)
        self.thread.join()
        os.close(self.wake)
        for s in self.sockets:
            s.close()
        for path in self.paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        for directory in self.directories:
            os.rmdir(directory)


ASK = """
import errno, socket, sys
for name in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    try:
        s.connect('\\0' + name[1:] if name[0] == '@' else name)
        print(name, s.recv(100).decode())
    except OSError as e:
        print(name, errno.errorcode.get(e.errno, e.errno))
"""

OWN = """
import os, socket, sys, threading
def serve(name):
    s = socket.socket(socket.AF_UNIX)
    s.bind('\\0' + name[1:] if name[0] == '@' else name)
    s.listen()
    def answer():
        while True:
            c, _ = s.accept()
            c.sendall(b'own')
            c.close()
    threading.Thread(target=answer).start()
for name in sys.argv[1:]:
    serve(name)
print('listening', flush=True)
"""


def asked(text):
    return dict(line.split(" ", 1) for line in text.splitlines())


def ask(t, *names):
    """What a process in the cgroup gets from each."""
    result = t.run([PYTHON, "-c", ASK, *names])
    equal(len(result.out.splitlines()), len(names), f"answers ({result.err})")
    return asked(result.out)


def own(t, *names):
    """A server in the cgroup."""
    equal(t.start([PYTHON, "-c", OWN, *names]).stdout.readline(), b"listening\n", "the server inside")


def named(*names):
    return [w for n in names for w in ("--allow-unix", n)]


def place(name):
    return f"{net.directory}/{name}"


# ---- run ----


@test("run: an outside socket that is named works, its neighbours stay hidden; in /run too, and in a directory of sockets")
def _():
    runs, only, mixed = f"/run/nono-unix-{os.getpid()}", place("only"), place("mixed.sock")
    link = f"{runs}/link.sock"
    names = [f"{runs}/a.sock", f"{runs}/b.sock", f"{only}/a.sock", f"{only}/b.sock", mixed]
    with Daemon(*names, f"{runs}/linked.sock"):
        os.symlink("linked.sock", link)
        try:
            wanted = [f"/var{names[0]}", names[2], link]
            for user in ("root", "nobody"):
                result = net.run(["--user", user], [PYTHON, "-c", ASK, *names, link])
                lacks(result.out, "outside", f"control: answers to {user} without the option")
                result = net.run(["--user", user, *named(*wanted)], [PYTHON, "-c", ASK, *names, link])
                found = asked(result.out)
                equal([n for n in found if found[n] == "outside"], [names[0], names[2], link], f"sockets that answer {user} ({result})")
                equal(found[names[1]], "ENOENT", "the neighbour in /run")
                equal(found[names[3]], "ENOENT", "the neighbour in a directory of sockets")
                for name in wanted:
                    contains(result.err, f"--allow-unix {name}: whatever listens there acts for COMMAND", "standard error")
        finally:
            os.unlink(link)


@test("run: the rights of the socket's file still count")
def _():
    path = f"/run/nono-unix-{os.getpid()}.sock"
    with Daemon(path, mode=0o700):
        result = net.run(["--user", "nobody", *named(path)], [PYTHON, "-c", ASK, path])
        equal(asked(result.out), {path: "EACCES"}, f"the answer to nobody ({result})")
        result = net.run(named(path), [PYTHON, "-c", ASK, path])
        equal(asked(result.out), {path: "outside"}, f"the answer to root ({result})")


@test("run: what is no socket that exists is a usage error, in one sentence")
def _():
    for path, sentence in (("relative.sock", "absolute path"), ("@abstract", "absolute path"), ("none", "absolute path"), ("", "absolute path"),
                           ("/no/such.sock", "No such file"), ("/etc/passwd", "no unix socket"), ("/", "no unix socket")):
        result = net.run(named(path), ["true"])
        equal(result.status, 2, f"exit status for {path!r}: {result.err}")
        contains(result.err, sentence, f"the sentence for {path!r}")
        equal(result.err.count("\n"), 1, f"lines for {path!r}: {result.err}")


# ---- attach: what it closes ----


@test("attach --allow-unix none closes the gap: refused at once and recorded; its own abstract names work; detach gives all back")
def _():
    path, inside = place("none.sock"), place("own.sock")
    with Daemon(path), Target(net) as t:
        own(t, "@before", inside)
        equal(ask(t, path, "@before", inside), {path: "outside", "@before": "own", inside: "own"}, "control: answers before")
        code, said = t.refused([*API, *OTHERS])
        equal(code, 1, f"exit status without the option: {said}")
        contains(said, "--allow-unix none", "the remedy")
        with t.attach([*API, *named("none")], gaps=OTHERS) as a:
            own(t, "@after")
            equal(ask(t, path, "@before", "@after"), {path: "EPERM", "@before": "own", "@after": "own"}, "answers")
            equal(ask(t, inside), {inside: "EPERM"}, "a path of its own making: refused, as documented")
            equal(ask(t, place("nobody.sock"), "@nobody"), {place("nobody.sock"): "EPERM", "@nobody": "EPERM"}, "names of nobody")
            contains(t.run(["curl", "-sS", "-m", "10", "https://api.example.com/"]).out, "server name api", "the page")
            wait_for(lambda: [r for r in a.audit() if r.get("target") == f"unix:{path}" and r["decision"] == "deny" and r["comm"]],
                     lambda: f"the audit has it: {a.audit()}")
            lacks(a.err(), "unix-sockets", "what is said of the gap")
            row = status(net, t.path)
            equal((row["state"], row["allow_unix"], row["programs_in_effect"]), ("served", [], row["programs"]), "status")
            true("unix-sockets" not in row["gaps"], f"gaps: {row}")
            contains(command(net, ["status"]).stdout, "unix sockets refused", "status as text")
        equal(ask(t, path, "@before"), {path: "EPERM", "@before": "own"}, "answers after the end")
        equal(status(net, t.path)["state"], "closed", "the state after the end")
        equal(detach(net, t.path).returncode, 0, "detach's exit status")
        equal(ask(t, path, inside), {path: "outside", inside: "own"}, "answers after detach")
        os.unlink(inside)
    nothing_stays()


@test("attach --allow-unix PATH and @NAME: these and no others, datagrams too; each is said")
def _():
    path, other = place("named.sock"), place("other.sock")
    abstract, hidden = f"@nono-named-{os.getpid()}", f"@nono-hidden-{os.getpid()}"
    datagram = f"""
import errno, socket
try:
    print(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', {place('log.sock')!r}))
except OSError as e:
    print(errno.errorcode[e.errno])
"""
    with Daemon(path, other, abstract, hidden), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log, Target(net, shared=True) as t:
        log.bind(place("log.sock"))
        everything = (path, other, abstract, hidden)
        equal(set(ask(t, *everything).values()), {"outside"}, "control: answers before")
        equal(t.run([PYTHON, "-c", datagram]).out.strip(), "1", "control: a datagram before")
        with t.attach([*API, *named(path, abstract)], gaps=OTHERS) as a:
            equal(ask(t, *everything), {path: "outside", other: "EPERM", abstract: "outside", hidden: "EPERM"}, "answers")
            equal(ask(t, f"{net.directory}/../{os.path.basename(net.directory)}/named.sock").popitem()[1], "EPERM", "another spelling of the path")
            equal(t.run([PYTHON, "-c", datagram]).out.strip(), "EPERM", "a datagram")
            for name in (path, abstract):
                contains(a.err(), f"--allow-unix {name}: whatever listens there acts for {t.path}", "standard error")
            equal(sorted(status(net, t.path)["allow_unix"]), sorted([path, abstract]), "status")
            wait_for(lambda: {f"unix:{other}", f"unix:{hidden}"} <= {r.get("target") for r in a.audit()}, lambda: f"the audit has both: {a.audit()}")
        os.unlink(place("log.sock"))
    nothing_stays()


@test("attach: a connection from before goes on, and is told; its own pairs are not")
def _():
    path = place("early.sock")
    code = """
import socket, sys
pair = socket.socketpair()
if len(sys.argv) > 1:
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
print('holding', flush=True)
sys.stdin.readline()
"""
    for how, count in (("none", 0), ("closed", 0), ("accepted", 1), ("waiting", 1)):
        with in_namespace(net.inside, lambda: socket.socket(socket.AF_UNIX)) as outside, Target(net) as t:
            outside.bind(path)
            outside.listen()
            own(t, "@server")
            holder = t.start([PYTHON, "-c", code, *([] if how == "none" else [path])], stdin=subprocess.PIPE)
            equal(holder.stdout.readline(), b"holding\n", "it is connected")
            end = outside.accept()[0] if how in ("closed", "accepted") else None
            if how == "closed":
                end.close()
            with t.attach([*API, *named("none")], gaps=OTHERS) as a:
                equal(a.err().count("from before go on: "), count, f"what is said of one that is {how}: {a.err()}")
                if count:
                    contains(a.err(), "from before go on: 1, the first is descriptor", "the number")
                    contains(a.err(), f"of process {holder.pid}", "the process")
            if end:
                end.close()
        os.unlink(path)
    nothing_stays()


@test("attach: cgroups below are covered, those that are there and those that are made later; so is `exec`")
def _():
    path = place("below.sock")
    code = """
import os, sys
os.makedirs(sys.argv[1], exist_ok=True)
open(sys.argv[1] + '/cgroup.procs', 'w').write('0')
os.execvp(sys.argv[2], sys.argv[2:])
"""
    with Daemon(path), Target(net) as t:
        os.mkdir(f"{t.path}/there")
        with t.attach([*API, *named("none")], gaps=OTHERS):
            for name in ("there", "later"):
                result = t.run([PYTHON, "-c", code, f"{t.path}/{name}", PYTHON, "-c", ASK, path])
                equal(result.out, f"{path} EPERM\n", f"the answer in {name} ({result.err})")
            result = command(net, ["exec", "--cgroup", t.path, "--", PYTHON, "-c", ASK, path])
            equal(result.stdout, f"{path} EPERM\n", f"the answer in exec ({result.stderr})")


# ---- attach: one after another ----


@test("attach: kill -9, and it still holds; the next one brings its own names; without the option they go last, and that is said")
def _():
    one, two = place("one.sock"), place("two.sock")
    with Daemon(one, two), Target(net) as t:
        with t.attach([*API, *named(one)], gaps=OTHERS) as a:
            equal(ask(t, one, two), {one: "outside", two: "EPERM"}, "answers")
            os.kill(a.proxy(), signal.SIGKILL)
            a.process.wait(timeout=10)
        equal(ask(t, one, two), {one: "outside", two: "EPERM"}, "answers while nobody serves")
        with t.attach([*API, *named(two)], gaps=OTHERS) as a:
            true(a.ready["adopted"], "adopted")
            equal(ask(t, one, two), {one: "EPERM", two: "outside"}, "answers with the next one's names")
            equal(status(net, t.path)["allow_unix"], [two], "status")
            a.process.kill()
            a.process.wait()
            equal(ask(t, one, two), {one: "EPERM", two: "outside"}, "answers after kill -9 of the supervisor")
        # One that is not asked for them, and refused for the gap, takes nothing away.
        code, said = t.refused([*API, *OTHERS])
        equal(code, 1, f"exit status: {said}")
        equal(ask(t, one, two), {one: "EPERM", two: "outside"}, "answers after an attach that was refused")
        row = status(net, t.path)
        equal((row["state"], row["allow_unix"]), ("closed", [two]), "status after an attach that was refused")
        with t.attach([*API, *accept()]) as a:
            contains(a.err(), "reaches unix sockets outside again", "what is said")
            wait_for(lambda: ask(t, one, two) == {one: "outside", two: "outside"}, lambda: f"answers without the option: {ask(t, one, two)}")
            row = status(net, t.path)
            equal((row["state"], row["allow_unix"]), ("served", None), "status without the option")
            less = row["programs"]
        # And the other way round.
        with t.attach([*API, *named("none")], gaps=OTHERS) as a:
            true(a.ready["adopted"], "adopted")
            equal(ask(t, one, two), {one: "EPERM", two: "EPERM"}, "answers with the option again")
            row = status(net, t.path)
            equal((row["state"], row["programs"], row["programs_in_effect"]), ("served", less + 2, less + 2), "status")
    nothing_stays()


@test("attach: a socket is asked for all the time while one after another takes over: never an answer")
def _():
    path = place("busy.sock")
    code = """
import socket, sys
answers = tries = 0
print('asking', flush=True)
while sys.stdin not in __import__('select').select([sys.stdin], [], [], 0)[0]:
    s = socket.socket(socket.AF_UNIX)
    tries += 1
    try:
        s.connect(sys.argv[1])
        answers += 1
    except OSError:
        pass
    s.close()
print(tries > 0, answers)
"""
    with Daemon(path), Target(net) as t:
        with t.attach([*API, *named("none")], gaps=OTHERS):
            busy = t.start([PYTHON, "-c", code, path], stdin=subprocess.PIPE)
            equal(busy.stdout.readline(), b"asking\n", "it is asking")
        for number in range(4):
            with t.attach([*API, *named("none")], gaps=OTHERS) as a:
                if number % 2:
                    a.process.kill()
        out, err = busy.communicate(b"\n", timeout=20)
        equal(out, b"True 0\n", f"tries and answers ({err})")
    nothing_stays()


@test("attach: the pins of these programs count for `status`, and the next one mends them")
def _():
    path = place("pins.sock")
    with Daemon(path), Target(net) as t:
        with t.attach([*API, *named("none")], gaps=OTHERS):
            pins = [p for kind, p, name in sandbox_entries() if kind == "pins" and name == f"cgroup-{t.id}"][0]
            os.unlink(f"{pins}/link_sendmsg_unix")
            equal(ask(t, path), {path: "EPERM"}, "the answer while the supervisor holds them")
            row = status(net, t.path)
            equal((row["state"], row["programs_pinned"]), ("broken", row["programs"] - 1), "status")
        for name in ("link_connect_unix", "map_unix_allowed", "map_unix_cgroup"):
            os.unlink(f"{pins}/{name}")
        wait_for(lambda: ask(t, path) == {path: "outside"}, "the answer without them")
        row = status(net, t.path)
        equal((row["state"], row["programs_pinned"]), ("broken", row["programs"] - 2), "status when nothing of them is left")
        equal(command(net, ["exec", "--cgroup", t.path, "--", "true"]).returncode, 125, "exec's exit status")
        with t.attach([*API, *named("none")], gaps=OTHERS):
            equal(status(net, t.path)["state"], "served", "status once they are mended")
            equal(ask(t, path), {path: "EPERM"}, "the answer")


@test("attach: --detach-on-exit and the cgroup's end take them away")
def _():
    path = place("end.sock")
    with Daemon(path), Target(net) as t:
        with t.attach([*API, *named("none"), "--detach-on-exit"], gaps=OTHERS) as a:
            equal(ask(t, path), {path: "EPERM"}, "the answer")
            equal(a.end(), 0, "exit status")
        equal(ask(t, path), {path: "outside"}, "the answer after the end")
        nothing_stays()
        with t.attach([*API, *named("none")], gaps=OTHERS) as a:
            t.empty()
            t.remove()
            equal(a.process.wait(timeout=10), 0, f"exit status ({a.err()})")
            nothing_stays()


# ---- attach: what cannot be ----


@test("attach: a kernel that cannot: a sentence, and the gap is open")
def _():
    path = place("cannot.sock")
    blind = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", 'mount -t tmpfs none /sys/kernel/btf; exec "$@"', "sh"]
    # Somebody is attached: so a BPF file system is mounted on the host.
    with Daemon(path), Target(net) as other, other.attach(API), Target(net) as t:
        code, said = t.refused([*API, *named("none"), *OTHERS], wrap=blind)
        equal(code, 1, f"exit status: {said}")
        contains(said, "needs Linux 6.7", "the sentence")
        contains(said, "open: unix-sockets", "the gap")
        equal(ask(t, path), {path: "outside"}, "the answer after that")
        with t.attach([*API, *named("none")], wrap=blind) as a:
            contains(a.err(), "needs Linux 6.7", "the sentence")
            contains(a.err(), "open, and accepted: unix-sockets", "the gap")
            equal(status(net, t.path)["allow_unix"], None, "status")


@test("attach: names that cannot be are usage errors, in one sentence")
def _():
    with Target(net) as t:
        for names, sentence in ((("relative",), "absolute path"), (("/",), "absolute path"), (("@",), "absolute path"), (("",), "absolute path"),
                                (("none", "/x"), "no other"), (("/x", "none"), "no other"), (("/" + "x" * 108,), "so long a name"),
                                (tuple(f"/x{i}" for i in range(257)), "more than 256")):
            code, said = t.refused([*API, *named(*names), *accept()])
            equal(code, 2, f"exit status for {names[:2]}: {said}")
            contains(said, sentence, f"the sentence for {names[:2]}")
            equal(said.count("\n"), 1, f"lines for {names[:2]}: {said}")
        contains(command(net, ["attach", "--help"]).stdout, "that it makes", "the help")
        longest = "/" + "x" * 107
        with t.attach([*API, *named(longest)], gaps=OTHERS):
            equal(status(net, t.path)["allow_unix"], [longest], "status")


if __name__ == "__main__":
    run()
