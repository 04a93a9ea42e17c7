# SPDX-License-Identifier: Apache-2.0
"""`nono-proxy serve` on the host of the tests' internet, as an ordinary user.

    with Served(net, ["--allow-domain", "api.example.com"]) as proxy:
        proxy.client(["curl", "-sS", "https://api.example.com/"])
        proxy.talk().tunnel("api.example.com:443", proxy.basic)
        result = proxy.stop()
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time

from internet import DNS, children, command_line, in_namespace, read_text, wait_for
from rawhttp import Talk, basic, bearer, get

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs",
             "--pdeathsig=KILL"]


def program_for_everybody(net):
    """The program, or a copy of it where an ordinary user cannot reach it (a tree below /root)."""
    reachable = subprocess.run([*AS_NOBODY, "test", "-x", net.program], check=False).returncode == 0
    copy = net.path("nono-proxy")
    if not reachable and not os.path.exists(copy):
        shutil.copy(net.program, copy)
        os.chmod(copy, 0o755)
    return net.program if reachable else copy


def free_port(net, address="127.0.0.1"):
    """One that nobody has at the moment: for what must be told a number."""

    def find():
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
            sock.bind((address, 0))
            return sock.getsockname()[1]

    return in_namespace(net.inside, find)


class Ended:
    """What came of one: exit status (negative: ended by that signal), what it wrote, audit records."""

    def __init__(self, status, out, err, audit_text):
        self.status, self.out, self.err, self.audit_text = status, out, err, audit_text
        self.audit = [json.loads(line) for line in audit_text.splitlines()]

    def __repr__(self):
        return f"status {self.status}\n--- out\n{self.out}\n--- err\n{self.err}\n--- audit\n{self.audit_text}"


class Served:
    def __init__(self, net, options, json_line=True, env=None, audit=None, resolver=DNS, ready=True, before=(), **kwargs):
        self.net = net
        net.runs += 1
        self.audit_path = audit or net.path(f"serve-{net.runs}.jsonl")
        if not os.path.exists(self.audit_path):
            os.close(os.open(self.audit_path, os.O_CREAT | os.O_WRONLY, 0o600))
            os.chown(self.audit_path, NOBODY, NOBODY)
        words = [*net.enter(net.inside), *AS_NOBODY, *before, program_for_everybody(net), "serve", "--audit-log", self.audit_path]
        words += ["--json"] if json_line else []
        words += ["--resolver", resolver] if resolver else []
        self.process = subprocess.Popen([*words, *options], env=net.environment(**(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, cwd="/", **kwargs)
        self.first = ""
        try:
            if ready:
                self.first = self._line()
                self._ready(json.loads(self.first) if json_line else self._text())
        except BaseException:
            self.kill()
            raise

    # -- what it says when it is ready

    def _line(self, seconds=20):
        """One line, unbuffered: what is behind it stays for communicate()."""
        line, deadline = b"", time.monotonic() + seconds
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no line within {seconds} s, only {line!r}")
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                raise AssertionError(f"it ended: {line!r}, {self.process.stderr.read().decode()}")
            line += byte
        return line.decode()

    def _text(self):
        """The text form, up to the variable that comes last."""
        lines = [self.first]
        while not lines[-1].startswith("export NODE_USE_ENV_PROXY="):
            lines.append(self._line())
        self.first = "".join(lines)
        self.exports = lines[1:]
        shell = subprocess.run(["sh", "-c", f"{''.join(self.exports)}\nenv -0"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
        env = dict(pair.split("=", 1) for pair in shell.stdout.split("\0") if pair)
        env.pop("PATH"), env.pop("PWD", None), env.pop("_", None), env.pop("SHLVL", None), env.pop("OLDPWD", None)
        return {"listen": lines[0].removeprefix("listening on ").strip(), "token": env.get("NONO_PROXY_TOKEN"), "env": env, "pid": None}

    def _ready(self, said):
        self.said, self.listen, self.token, self.env, self.pid = said, said["listen"], said["token"], said["env"], said["pid"]
        host, _, port = self.listen.rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.url = f"http://{self.listen}"
        self.basic, self.bearer = (basic(self.token), bearer(self.token)) if self.token else (None, None)

    # -- clients

    def client(self, words, env=None, timeout=30):
        """A program on the host with the variables that were told."""
        return self.net.host(words, env={**self.env, **(env or {})}, timeout=timeout)

    def socket(self):
        return in_namespace(self.net.inside, lambda: socket.create_connection(self.address, 5))

    def talk(self, timeout=10):
        return Talk(self.socket(), timeout)

    def turns_away(self):
        """Whether a new client is told at once that it is not served: refused, reset, ended, or 503."""
        try:
            with self.talk(timeout=1) as talk:
                return talk.ask(get("http://127.0.0.1:1/", self.basic)).status == 503
        except TimeoutError:
            return False
        except (ConnectionError, EOFError):
            return True

    # -- what it noted

    def records(self, **fields):
        """The audit so far, or those of its records that have these fields."""
        found = [json.loads(line) for line in read_text(self.audit_path).splitlines() if line.endswith("}")]
        return [r for r in found if all(r.get(k) == v for k, v in fields.items())]

    def record(self, **fields):
        """The first record that has these fields, once it is there (that of a close may come a moment later)."""
        wait_for(lambda: self.records(**fields), lambda: f"a record with {fields} among\n…{read_text(self.audit_path)[-3000:]}", 5)
        return self.records(**fields)[0]

    # -- its processes and its end

    def proxy_pid(self):
        """The process of the role that serves."""
        left, found = [self.process.pid], None
        while left:
            pid = left.pop()
            words = command_line(pid)
            if len(words) == 2 and words[1] == "@proxy":
                found = pid
            left += children(pid)
        return found

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def finish(self, timeout=20):
        """Waits for its end, whoever brings it about."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except BaseException:
            self.kill()
            raise
        self.net.check_reports()
        return Ended(self.process.returncode, self.first + out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), read_text(self.audit_path))

    def stop(self):
        self.signal()
        return self.finish()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is not None:
            return
        if kind:
            self.kill()
            return
        ended = self.stop()
        if ended.status != 0:
            raise AssertionError(f"serve ended with {ended}")
