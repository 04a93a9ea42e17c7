# SPDX-License-Identifier: Apache-2.0
"""Cgroups for `attach`: made here, with processes in them, and taken away again.

    with Target(net) as t:                      # a network of its own, with nothing but lo
        with t.attach(["--allow-domain", "api.example.com"]) as a:
            t.run(["curl", "-sS", "https://api.example.com/"])

    Target(net, shared=True)                    # the host's network
"""

import json
import os
import select
import signal
import subprocess
import time

from internet import DNS, Result, read_text, roles, wait_for

GAPS = ["unix-sockets", "same-user-processes", "host-pid", "cgroupfs", "bpffs", "cap-net-raw", "cap-net-admin", "cap-sys-admin",
        "cap-sys-ptrace", "cap-bpf", "vsock", "packet", "keyring", "alien-sockets", "nested-namespaces"]

_count = 0


def cgroup_mount():
    """Where cgroup2 is mounted."""
    for line in read_text("/proc/self/mountinfo").splitlines():
        words = line.split()
        if words[words.index("-") + 1] == "cgroup2" and words[3] == "/":
            return words[4]
    raise AssertionError("no cgroup2 file system is mounted")


def accept(*names, but=()):
    """Options that accept these gaps; all of them without names."""
    return [w for n in (names or GAPS) if n not in but for w in ("--allow-gap", n)]


class Attached:
    """A running `attach`."""

    def __init__(self, net, process, err_path, audit):
        self.net, self.process, self.err_path, self.audit_path = net, process, err_path, audit
        self.mark = net.dns_mark()
        self.ready = None
        self.seconds = None

    def wait_ready(self, seconds=30):
        started = time.monotonic()
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline() if readable else b""
        self.seconds = time.monotonic() - started
        if not line:
            self.process.wait(timeout=20)
            raise AssertionError(f"attach is not ready; status {self.process.returncode}: {self.err()}")
        self.ready = json.loads(line)
        return self

    def err(self):
        return read_text(self.err_path)

    def proxy(self):
        return roles(self.process.pid)["proxy"]

    def audit(self):
        return [json.loads(line) for line in read_text(self.audit_path).splitlines()]

    def end(self, number=signal.SIGTERM, timeout=30):
        """Ends it, and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=timeout)
        self.net.check_reports()
        return status

    def __enter__(self):
        return self.wait_ready()

    def __exit__(self, *_):
        try:
            self.end()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()


def begin(net, how, options, resolver=DNS, env=None, wrap=()):
    """Starts `attach` on the host, and does not wait until it is ready."""
    net.runs += 1
    audit = net.path(f"audit-{net.runs}.jsonl")
    err_path = net.path(f"attach-{net.runs}.err")
    words = [*net.enter(net.inside), *wrap, net.program, "attach", "--resolver", resolver, "--audit-log", audit, *how, *options]
    with open(err_path, "wb") as err:
        process = subprocess.Popen(words, env=net.environment(**(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                                   cwd=net.directory)
    return Attached(net, process, err_path, audit)


class Target:
    def __init__(self, net, shared=False, holder=None, name=None):
        global _count
        _count += 1
        self.net, self.shared = net, shared
        self.path = os.path.join(cgroup_mount(), name or f"nono-attach-{os.getpid()}-{_count}")
        self.processes = []
        os.mkdir(self.path)
        try:
            words = holder or ["sleep", "3600"]
            if shared:
                self.holder = self.start(words, plain=True)
            else:
                self.holder = self.start(["unshare", "--net", "sh", "-c", 'ip link set lo up; echo ready; exec "$@"', "sh", *words],
                                         plain=True)
                if self.holder.stdout.readline() != b"ready\n":
                    raise AssertionError("the target's first process did not start")
        except BaseException:
            self.close()
            raise

    @property
    def id(self):
        return str(os.stat(self.path).st_ino)

    def join(self):
        """Called in a child: into the cgroup."""
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write("0")

    def start(self, words, plain=False, stdin=subprocess.DEVNULL, pass_fds=(), stderr=subprocess.PIPE, env=None):
        """A process in the cgroup, and in the target's network. (`plain`: in the host's.)"""
        network = f"/proc/{os.getpid()}/fd/{self.net.inside}" if plain or self.shared else f"/proc/{self.holder.pid}/ns/net"
        process = subprocess.Popen(["nsenter", f"--net={network}", "--", *words], env=env or self.net.environment(), stdin=stdin,
                                   stdout=subprocess.PIPE, stderr=stderr if not plain else subprocess.DEVNULL, cwd=self.net.directory,
                                   preexec_fn=self.join, pass_fds=pass_fds)
        self.processes.append(process)
        return process

    def run(self, words, timeout=30, data=None):
        started = time.monotonic()
        process = self.start(words, stdin=subprocess.DEVNULL if data is None else subprocess.PIPE)
        out, err = process.communicate(data, timeout=timeout)
        self.processes.remove(process)
        return Result(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), time.monotonic() - started, [], "", [])

    def outside(self, words, timeout=30):
        """A process in the target's network that is not in its cgroup."""
        return subprocess.run(["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--", *words], env=self.net.environment(), capture_output=True, text=True,
                              timeout=timeout, check=False, stdin=subprocess.DEVNULL)

    def begin(self, options, how=None, **kwargs):
        """Starts `attach`, and does not wait until it is ready."""
        return begin(self.net, ["--cgroup", self.path] if how is None else how, options, **kwargs)

    def attach(self, options, gaps=None, **kwargs):
        return self.begin([*options, *(accept() if gaps is None else gaps)], **kwargs)

    def refused(self, options, **kwargs):
        """`attach` that ends by itself: (exit status, what it said)."""
        a = self.begin(options, **kwargs)
        try:
            status = a.process.wait(timeout=30)
        finally:
            a.end()
            a.process.stdout.close()
        return status, a.err()

    def pids(self):
        found = []
        for directory, _, _ in os.walk(self.path):
            found += [int(p) for p in read_text(os.path.join(directory, "cgroup.procs")).split()]
        return found

    def empty(self):
        """Ends what is in it."""
        # Only what is in a cgroup that was made here.
        try:
            with open(os.path.join(self.path, "cgroup.kill"), "w", encoding="ascii") as file:
                file.write("1")
        except FileNotFoundError:
            return
        for process in self.processes:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        self.processes = []
        wait_for(lambda: not self.pids(), "the cgroup is empty")

    def remove(self):
        for directory, _, _ in os.walk(self.path, topdown=False):
            os.rmdir(directory)

    def close(self):
        if not os.path.isdir(self.path):
            return
        try:
            with open(os.path.join(self.path, "cgroup.freeze"), "w", encoding="ascii") as file:
                file.write("0")
        except OSError:
            pass
        self.empty()
        detach(self.net, self.path)
        self.remove()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def command(net, words, timeout=30):
    """nono-proxy WORDS on the host, to its end."""
    return subprocess.run([*net.enter(net.inside), net.program, *words], env=net.environment(), capture_output=True, text=True, timeout=timeout,
                          check=False, stdin=subprocess.DEVNULL)


def detach(net, path):
    return command(net, ["detach", "--cgroup", path])


def status(net, path):
    """What `status` says about this cgroup, or None."""
    result = command(net, ["status", "--json"])
    if result.returncode != 0:
        raise AssertionError(f"status failed: {result.stderr}")
    found = [row for row in json.loads(result.stdout)["attached"] if row["cgroup"] == path]
    return found[0] if found else None
