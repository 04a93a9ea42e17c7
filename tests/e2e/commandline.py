#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What people type and read: options, mistakes, the token file, `env`, the summary, the audit log, and `why`, which agrees with what happens."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import API4, DNS, EVIL4, METADATA4, PYTHON, Internet, read_text  # noqa: E402
from tap import contains, equal, fail, lacks, run, test, true  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
CURL = ["curl", "-sS", "-m", "8"]


def call(*words, **environment):
    return subprocess.run([net.program, *words], env=net.environment(**environment), capture_output=True, text=True, timeout=20, check=False,
                          stdin=subprocess.DEVNULL)


def as_nobody(*words):
    """Calls it without privilege, from a place that everybody can read."""
    program = net.path("nono-proxy")
    if not os.path.exists(program):
        shutil.copy(net.program, program)
        os.chmod(program, 0o755)
    return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, *words], env=net.environment(), cwd="/",
                          capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)


@test("help and version go to standard output, status 0")
def _():
    for words in (["--help"], ["run", "--help"], ["why", "--help"], ["serve", "--help"], ["serve", "-h", "--no-auth"], ["env", "--help"], ["version"],
                  ["--version"]):
        reply = call(*words)
        equal((reply.returncode, reply.stderr), (0, ""), " ".join(words))
        true(reply.stdout.strip(), " ".join(words))
    for name in ("--allow-domain", "--deny-domain", "--allow-cidr", "--resolver", "--audit-log", "--user", "--net", "--quiet", "--verbose",
                 "--monitor", "--max-connections", "--log-level", "--port", "--token-file", "--proxy-env"):
        contains(call("run", "--help").stdout, name, "run --help")
    for name in ("--allow-domain", "--deny-domain", "--allow-cidr", "--config", "--resolver", "--monitor", "--listen", "--port", "--token-file",
                 "--no-auth", "--owner-fd", "--drain-timeout", "--max-connections", "--audit-log", "--quiet", "--verbose", "--log-level", "--json"):
        contains(call("serve", "--help").stdout, name, "serve --help")
    contains(call("env", "--help").stdout, "--format sh|json", "env --help")
    for name in ("--listen", "--no-auth", "--owner-fd"):
        lacks(call("run", "--help").stdout, name, "run --help")
    for name in ("run", "serve", "env", "why", "config", "version"):
        contains(call("--help").stdout, f"\n  {name} ", "--help")


@test("usage errors: status 2, one sentence on standard error, nothing started")
def _():
    for words in ([], ["run"], ["run", "--"], ["run", "--allow-domain"], ["run", "--no-such-option", "--", "true"], ["run", "--net", "moon", "--", "true"],
                  ["run", "--max-connections", "0", "--", "true"], ["run", "--max-connections", "many", "--", "true"],
                  ["run", "--log-level", "loud", "--", "true"], ["run", "--resolver", "dns.example.com", "--", "true"],
                  ["run", "--allow-domain", "*.*.example.com", "--", "true"], ["run", "--allow-domain", "", "--", "true"],
                  ["run", "--allow-domain", "a b", "--", "true"], ["run", "--allow-domain", "example.com:99999", "--", "true"],
                  ["run", "--allow-cidr", "10.0.0.0/8", "--", "true"], ["run", "--allow-cidr", "10.0.0.0/33:1", "--", "true"],
                  ["run", "--port", "65536", "--", "true"], ["run", "--port", "-1", "--", "true"], ["run", "--port", "http", "--", "true"],
                  ["run", "--drain-timeout", "5", "--", "true"], ["run", "--no-auth", "--", "true"],
                  ["run", "--listen", "127.0.0.1", "--", "true"], ["run", "--owner-fd", "3", "--", "true"], ["run", "--proxy-env=yes", "--", "true"],
                  ["env", "x"], ["env", "--", "x"], ["env", "--format", "xml"], ["env", "--format"], ["env", "--json"], ["env", "--allow-domain", "a.example"],
                  ["why"], ["why", "a.example.com", "b.example.com"], ["frobnicate"], ["@proxy"], ["@init"]):
        reply = call(*words)
        equal((reply.returncode, reply.stdout), (2, ""), f"status and output of {words} ({reply.stderr!r})")
        true(reply.stderr.strip(), f"a sentence for {words}")


@test("did you mean")
def _():
    contains(call("run", "--alow-domain", "x", "--", "true").stderr, "--allow-domain", "the sentence")
    contains(call("rum").stderr, "run", "the sentence")
    contains(call("wyh").stderr, "why", "the sentence")
    contains(call("serv").stderr, "serve", "the sentence")
    contains(call("serve", "--tokenfile", "x").stderr, "--token-file", "the sentence")
    contains(call("env", "--fromat", "x").stderr, "--format", "the sentence")


@test("usage errors of serve: status 2, one sentence on standard error, nothing started")
def _():
    for words, part in ((["x"], "options only"), (["--", "curl", "x"], "options only"), (["--port", "65536"], "from 0 to 65535"),
                        (["--port", "80 "], "from 0 to 65535"), (["--port", ""], "from 0 to 65535"), (["--listen", "localhost"], "localhost"),
                        (["--listen", "127.0.0.1:80"], "127.0.0.1:80"), (["--listen", "[::1]"], "[::1]"), (["--listen", ""], "no address"),
                        (["--listen", "0.0.0.0"], "name one address of this machine"), (["--listen", "::"], "name one address of this machine"),
                        (["--listen", "::ffff:0.0.0.0"], "name one address of this machine"), (["--listen", "224.0.0.1"], "name one address of this machine"),
                        (["--drain-timeout", "3601"], "from 0 to 3600"), (["--owner-fd", "-1"], "--owner-fd"), (["--owner-fd", "99"], "no such descriptor"), (["--owner-fd", "stdin"], "--owner-fd"),
                        (["--no-auth", "--token-file", "/dev/null"], "--no-auth and --token-file"), (["--config", "/dev/null", "--no-config"], "--config and --no-config"), (["--proxy-env"], "unknown option"),
                        (["--user", "nobody"], "unknown option"), (["--net", "host"], "unknown option"), (["--allow-domain", "a..b"], "a..b"),
                        (["--allow-cidr", "10.0.0.0/8"], "10.0.0.0/8"), (["--max-connections", "0"], "from 1 to 1000000"),
                        (["--resolver", "dns.example.com"], "dns.example.com"), (["--log-level", "loud"], "loud")):
        audit = net.path("never-served.jsonl")
        reply = call("serve", "--audit-log", audit, *words)
        equal((reply.returncode, reply.stdout), (2, ""), f"status and output of serve {words} ({reply.stderr!r})")
        equal(reply.stderr.count("\n"), 1, f"sentences for serve {words}: {reply.stderr!r}")
        contains(reply.stderr, part, f"the sentence for serve {words}")
        true(not os.path.exists(audit), f"serve {words}: the audit log was made")


def write(name, data, mode=0o600, owner=0):
    path = net.path(name)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.write(data)
    os.chown(path, owner, owner)
    os.chmod(path, mode)
    return path


class Served:
    """A `serve --json` from its ready line to its end."""

    def __init__(self, *words, prefix=(), program=None):
        self.process = subprocess.Popen([*prefix, program or net.program, "serve", "--json", "--audit-log", net.path("served.jsonl"), *words], cwd="/",
                                        env=net.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        try:
            line = self.process.stdout.readline()
            if not line:
                fail(f"serve is not ready: {self.process.communicate(timeout=20)[1]!r}")
            self.ready = json.loads(line)
            equal(self.ready["event"], "ready", "event")
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            out, err = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        equal((self.process.returncode, out), (0, ""), f"status and further output ({err!r})")


TOKEN = "0123456789abcdef" * 4


@test("serve --token-file: the token is the file's, with a newline or without one")
def _():
    for data in (TOKEN.encode(), TOKEN.encode() + b"\n"):
        for mode in (0o600, 0o400):
            with Served("--token-file", write("token", data, mode)) as served:
                equal(served.ready["token"], TOKEN, f"the token of {data!r}, mode {mode:o}")


@test("serve without --token-file: a token of its own each time; with --no-auth none")
def _():
    tokens = []
    for _ in range(2):
        with Served() as served:
            tokens.append(served.ready["token"])
            true(re.fullmatch("[0-9a-f]{64}", tokens[-1]), f"the token {tokens[-1]!r}")
    true(tokens[0] != tokens[1], "the tokens differ")
    with Served("--no-auth") as served:
        equal(served.ready["token"], None, "the token")


BAD_TOKENS = [
    # content, the reason for the row
    (b"", "nothing"),
    (b"\n", "a newline alone"),
    (TOKEN[:-1].encode(), "one digit less"),
    (TOKEN.encode() + b"0", "one digit more"),
    (TOKEN.encode() + b"\n\n", "two newlines"),
    (TOKEN.encode() + b"\r\n", "a line end of another system"),
    (b"\n" + TOKEN.encode(), "a newline before it"),
    (TOKEN.encode() + b" ", "a blank behind it"),
    (TOKEN.upper().encode(), "capitals"),
    (TOKEN[:-1].encode() + b"g", "a letter that is no digit"),
    (TOKEN[:-1].encode() + b"\0", "a NUL"),
    (TOKEN.encode() + b"\n" + TOKEN.encode(), "two tokens"),
    (b"root:$6$salt$hash:19000:0:99999:7:::\n" * 1000, "another file altogether"),
]


def must_refuse_token(path, part, why, *, prefix=(), program=None):
    """By `serve` and by `run` alike, and nothing of the content is told."""
    for words in (["serve", "--token-file", path], ["run", "--token-file", path, "--", "true"]):
        reply = subprocess.run([*prefix, program or net.program, *words], env=net.environment(), cwd="/", capture_output=True, text=True, timeout=20,
                               check=False, stdin=subprocess.DEVNULL)
        equal((reply.returncode, reply.stdout), (2, ""), f"{why}: status and output of {words[0]} ({reply.stderr!r})")
        equal(reply.stderr.count("\n"), 1, f"{why}: sentences of {words[0]} ({reply.stderr!r})")
        contains(reply.stderr, f"--token-file {path}: ", f"{why}: the sentence of {words[0]}")
        contains(reply.stderr, part, f"{why}: the sentence of {words[0]}")
        for secret in (TOKEN[:16], TOKEN[:16].upper(), "salt"):
            lacks(reply.stderr, secret, f"{why}: the sentence of {words[0]}")


@test("--token-file: wrong content is refused, and not read out")
def _():
    for data, why in BAD_TOKENS:
        must_refuse_token(write("token", data), "64 lower-case hex digits", why)


@test("--token-file: what others could read or have made is refused")
def _():
    data = TOKEN.encode()
    for mode in (0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666):
        must_refuse_token(write("token", data, mode), "open to others than its owner (chmod go=)", f"mode {mode:o}")
    must_refuse_token(write("token", data, owner=1234), "owned by user 1234", "another user's")
    link = net.path("token-link")
    os.symlink(write("token", data), link)
    must_refuse_token(link, "a symbolic link", "a link to a good file")
    fifo = net.path("token-fifo")
    os.mkfifo(fifo, 0o600)
    must_refuse_token(fifo, "not a file", "a FIFO that nobody writes to")
    directory = net.path("token-directory")
    os.mkdir(directory, 0o700)
    must_refuse_token(directory, "not a file", "a directory")
    must_refuse_token("/dev/zero", "not a file", "a device")
    must_refuse_token(net.path("token-nothing"), "No such file", "nothing there")
    must_refuse_token("", "No such file", "no name")


@test("--token-file: without privilege, the caller's own file counts, another's does not")
def _():
    nobody, program = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], net.path("nono-proxy")
    as_nobody("version")  # copies the program
    audit = write("served-by-nobody.jsonl", b"", owner=65534)
    with Served("--audit-log", audit, "--token-file", write("token", TOKEN.encode(), owner=65534), prefix=nobody, program=program) as served:
        equal(served.ready["token"], TOKEN, "the token")
    must_refuse_token(write("token", TOKEN.encode(), owner=0), "Permission denied", "root's own", prefix=nobody, program=program)


@test("--token-file: behind sudo, the file of the user who called it counts")
def _():
    path = write("token", TOKEN.encode(), owner=1234)
    reply = call("serve", "--token-file", path, SUDO_UID="1235")
    equal((reply.returncode, reply.stdout), (2, ""), f"another's ({reply.stderr!r})")
    contains(reply.stderr, "owned by user 1234", "the sentence")
    with Served("--token-file", path, prefix=["env", "SUDO_UID=1234"]) as served:
        equal(served.ready["token"], TOKEN, "the token")


@test("--listen and --port win over bind_addr and bind_port")
def _():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    path = write("bind.json", b'{"version": 1, "bind_addr": "127.0.0.9", "bind_port": %d}' % port)
    for words, wanted in (([], ("127.0.0.9", port)), (["--listen", "127.0.0.8"], ("127.0.0.8", port)), (["--port", "0"], ("127.0.0.9", None)),
                          (["--listen", "::1"], ("[::1]", port))):
        with Served("--config", path, *words) as served:
            address, number = served.ready["listen"].rsplit(":", 1)
            equal(address, wanted[0], f"the address with {words}")
            if wanted[1]:
                equal(int(number), wanted[1], f"the port with {words}")
            else:
                true(int(number) not in (0, port), f"the kernel has chosen {number} with {words}")


PROXY_NAMES = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]


def variables_of(url, token):
    with_token = url.replace("http://", f"http://nono:{token}@") if token else url
    wanted = {"NONO_PROXY_URL": url, **({"NONO_PROXY_TOKEN": token} if token else {}), **{name: with_token for name in PROXY_NAMES}}
    return {**wanted, "NO_PROXY": "localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1", "NODE_USE_ENV_PROXY": "1"}


def by_shell(lines):
    """What a shell has in its environment after it has read the lines."""
    reply = subprocess.run(["env", "-i", "/bin/sh", "-c", 'eval "$1"; exec env -0', "sh", lines], capture_output=True, text=True, timeout=20, check=True)
    found = dict(item.split("=", 1) for item in reply.stdout.split("\0") if item)
    return {name: value for name, value in found.items() if name not in ("PWD", "OLDPWD", "SHLVL", "_")}


@test("env: the variables of the proxy that its own environment names, for a shell and as JSON")
def _():
    for url, token in (("http://127.0.0.1:8080", TOKEN), ("http://127.0.0.1:1", None), ("http://[::1]:65535", TOKEN), ("http://192.0.2.7:3128", None)):
        environment = {"NONO_PROXY_URL": url, "NONO_PROXY_TOKEN": token}
        wanted = variables_of(url, token)
        for words in ([], ["--format", "sh"], ["--format=sh"]):
            reply = call("env", *words, **environment)
            equal((reply.returncode, reply.stderr), (0, ""), f"status and errors of env {words}")
            for line in reply.stdout.splitlines():
                true(re.fullmatch(r"export \w+='[^']*'", line), f"a line of env {words}: {line!r}")
            equal(by_shell(reply.stdout), wanted, f"what a shell makes of env {words}")
        reply = call("env", "--format", "json", **environment)
        equal((reply.returncode, reply.stderr, reply.stdout.count("\n")), (0, "", 1), "status, errors and lines of env --format json")
        equal(json.loads(reply.stdout), wanted, "as JSON")


@test("env: an empty NONO_PROXY_TOKEN is none")
def _():
    reply = call("env", "--format", "json", NONO_PROXY_URL="http://127.0.0.1:8080", NONO_PROXY_TOKEN="")
    equal(json.loads(reply.stdout), variables_of("http://127.0.0.1:8080", None), "the variables")


@test("env without a proxy: status 1, and a sentence that says where to get one")
def _():
    for environment in ({}, {"NONO_PROXY_URL": ""}, {"NONO_PROXY_TOKEN": TOKEN}):
        reply = call("env", **environment)
        equal((reply.returncode, reply.stdout, reply.stderr.count("\n")), (1, "", 1), f"status and output with {list(environment)}")
        for part in ("NONO_PROXY_URL", "nono-proxy run", "nono-proxy serve"):
            contains(reply.stderr, part, "the sentence")


@test("env: what is not exactly an address, or not a token, is refused and not quoted")
def _():
    for url in ("127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1:", "http://127.0.0.1:0", "http://127.0.0.1:65536", "http://127.0.0.1:080",
                "http://127.0.0.1:80/", "http://127.0.0.1:80/path", "http://127.0.0.1:80?q", "http://127.0.0.1:80 ", " http://127.0.0.1:80",
                "https://127.0.0.1:80", "HTTP://127.0.0.1:80", "http://localhost:80", "http://2130706433:80", "http://127.1:80", "http://::1:80",
                "http://[::1]", "http://[::1]80", "http://[::1:80", "http://[127.0.0.1]:80", "http://[fe80::1%lo]:80", "http://[]:80", "http://:80", "http://",
                f"http://nono:{TOKEN}@127.0.0.1:80", "http://127.0.0.1:80'; touch /tmp/x; '", "http://127.0.0.1:80\nexport X=1", "http://127.0.0.1:80$(id)"):
        for words in ([], ["--format", "json"]):
            reply = call("env", *words, NONO_PROXY_URL=url, NONO_PROXY_TOKEN=TOKEN)
            equal((reply.returncode, reply.stdout, reply.stderr.count("\n")), (1, "", 1), f"status, output and lines for {url!r}: {reply.stderr!r}")
            contains(reply.stderr, "NONO_PROXY_URL", f"the sentence for {url!r}")
            lacks(reply.stderr, TOKEN, f"the sentence for {url!r}")
    for token in (TOKEN[:-1], TOKEN + "0", TOKEN.upper(), TOKEN[:-1] + "g", TOKEN + "\n", "'" + TOKEN[1:], "x"):
        reply = call("env", NONO_PROXY_URL="http://127.0.0.1:80", NONO_PROXY_TOKEN=token)
        equal((reply.returncode, reply.stdout, reply.stderr.count("\n")), (1, "", 1), f"status, output and lines for the token {token!r}")
        contains(reply.stderr, "NONO_PROXY_TOKEN is not 64 lower-case hex digits", f"the sentence for the token {token!r}")
        if len(token) > 1:
            lacks(reply.stderr, token, "the sentence")


@test("run: NONO_PROXY_URL and NONO_PROXY_TOKEN in the sandbox, with --port and --token-file as asked; proxy variables only with --proxy-env")
def _():
    code = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if 'proxy' in k.lower()}))"
    seen = json.loads(net.run([], [PYTHON, "-c", code]).out)
    equal(set(seen), {"NONO_PROXY_URL", "NONO_PROXY_TOKEN"}, "the variables")
    true(re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", seen["NONO_PROXY_URL"]), f"the URL {seen['NONO_PROXY_URL']!r}")
    true(re.fullmatch("[0-9a-f]{64}", seen["NONO_PROXY_TOKEN"]), f"the token {seen['NONO_PROXY_TOKEN']!r}")
    asked = ["--port", "3128", "--token-file", write("token", TOKEN.encode())]
    wanted = variables_of("http://127.0.0.1:3128", TOKEN)
    # What the caller has of it leads elsewhere, and is not passed on.
    foreign = {"NONO_PROXY_URL": "http://127.0.0.1:1", "NONO_PROXY_TOKEN": "0" * 64, "HTTP_PROXY": "http://127.0.0.1:1", "NODE_USE_ENV_PROXY": "0"}
    result = net.run(asked, [PYTHON, "-c", code], env=foreign)
    equal(json.loads(result.out), {k: wanted[k] for k in ("NONO_PROXY_URL", "NONO_PROXY_TOKEN")}, f"as asked ({result.err})")
    result = net.run([*asked, "--proxy-env"], [PYTHON, "-c", code], env=foreign)
    equal(json.loads(result.out), wanted, f"with --proxy-env ({result.err})")


@test("env inside run: the lines of the sandbox's own proxy")
def _():
    result = net.run(["--port", "3128", "--token-file", write("token", TOKEN.encode())], [net.program, "env"])
    equal((result.status, by_shell(result.out)), (0, variables_of("http://127.0.0.1:3128", TOKEN)), f"status and variables ({result.err})")


@test("a wrong pattern is quoted in the sentence")
def _():
    contains(call("run", "--allow-domain", "foo..example.com", "--", "true").stderr, "foo..example.com", "the sentence")


@test("options may be written with =, and those of COMMAND are not ours")
def _():
    result = net.run(["--allow-domain=api.example.com", "--net=private"], ["sh", "-c", "echo \"$1\"", "sh", "--help"])
    equal(result.out, "--help\n", f"output ({result.err})")


@test("the summary: each refused target once, how often, the reason, and what would allow it")
def _():
    result = net.run(API, ["sh", "-c", "for i in 1 2 3; do curl -sS https://evil.example/; done; curl -sS -m 5 http://169.254.169.254/; true"])
    equal(result.status, 0, "exit status")
    evil = [line for line in result.err.splitlines() if "evil.example" in line and not line.startswith("curl:")]
    true(evil, f"a line about evil.example in {result.err!r}")
    text = "\n".join(line for line in result.err.splitlines() if not line.startswith("curl:"))
    contains(text, "host_not_allowed", "the summary")
    contains(text, "--allow-domain evil.example", "the summary")
    true("169.254.169.254" in text, f"the summary names the metadata address: {text!r}")
    true(re.search(r"\b[36]\b", text), f"the summary counts: {text!r}")


@test("--quiet leaves the summary out; so does a run without refusals")
def _():
    result = net.run(["--quiet", "--user", "nobody", *API], ["sh", "-c", "curl -s https://evil.example/; true"])
    equal(result.err, "", "standard error")


@test("--verbose tells as it happens")
def _():
    result = net.run(["--verbose", *API], ["sh", "-c", "curl -s https://evil.example/; echo between >&2; curl -s https://evil2.example/; true"])
    contains(result.err, "evil.example", "standard error")
    contains(result.err, "host_not_allowed", "standard error")


@test("--max-connections: one more is refused, and the next works when one has ended")
def _():
    code = """
import socket, time
def one():
    s = socket.create_connection(('api.example.com', 7), timeout=5)
    s.sendall(b'a line\\n')
    return s, s.recv(10)
a, b = one(), one()
try:
    print('third', one()[1] == b'a line\\n')
except OSError:
    print('third refused')
a[0].close()
deadline = time.monotonic() + 5
while time.monotonic() < deadline:
    try:
        if one()[1] == b'a line\\n':
            print('next served')
            break
    except OSError:
        time.sleep(0.05)
"""
    result = net.run(["--max-connections", "2", *API], [PYTHON, "-c", code])
    contains(result.out, "next served", f"output ({result.err})")
    lacks(result.out, "third True", "output")


@test("audit: one JSON object a line, the fields of the contract, an open before each close, seq without gaps")
def _():
    result = net.run(API, ["sh", "-c", "curl -sS https://api.example.com/ >/dev/null; curl -sS https://evil.example/; curl -sS -k -m 5 https://203.0.113.66/; true"])
    true(len(result.audit) >= 4, f"records:\n{result.audit_text}")
    equal([r["seq"] for r in result.audit], list(range(result.audit[0]["seq"], result.audit[0]["seq"] + len(result.audit))), "seq")
    equal(len({r["session"] for r in result.audit}), 1, "sessions")
    for record in result.audit:
        equal(record["v"], 1, "v")
        true(record["event"] in ("open", "close", "note"), f"event {record['event']}")
        true(record["timestamp_unix_ms"] > 1_600_000_000_000, "timestamp")
        for value in record.values():
            true(value is not None and value != "", f"absent fields are left out: {record}")
    opens = result.allowed(mode="transparent", target="api.example.com", port=443)
    equal(len(opens), 1, f"open records:\n{result.audit_text}")
    for name in ("resolved_ip", "orig_dst", "sni", "pid", "comm", "uid", "rule", "cgroup"):
        contains(opens[0], name, "the open record")
    equal((opens[0]["sni"], opens[0]["comm"], opens[0]["uid"], opens[0]["rule"]), ("api.example.com", "curl", 0, "api.example.com"), "fields")
    closes = [r for r in result.audit if r["event"] == "close" and r.get("target") == "api.example.com"]
    equal(len(closes), 1, f"close records:\n{result.audit_text}")
    for name in ("bytes_up", "bytes_down", "duration_ms", "end"):
        contains(closes[0], name, "the close record")
    true(closes[0]["end"] in ("eof", "reset"), f"end {closes[0]['end']}")
    for record in result.denied():
        contains(record, "reason", "a refusal")
        contains(record, "denial_category", "a refusal")


@test("audit: two runs append to one file; its mode keeps others out")
def _():
    path = net.path("shared.jsonl")
    for _ in range(2):
        net.run(API, [*CURL, "https://evil.example/"], audit=path)
    records = [json.loads(line) for line in read_text(path).splitlines()]
    equal(len({r["session"] for r in records}), 2, "sessions")
    equal(os.stat(path).st_mode & 0o007, 0, "mode bits for others")


DEFAULT_LOG = "/var/log/nono-proxy/audit.jsonl"


@test("with no option but a rule: the system's resolver is asked, and the record goes to its usual place")
def _():
    made_directory, made_file = not os.path.exists(os.path.dirname(DEFAULT_LOG)), not os.path.exists(DEFAULT_LOG)
    before = 0 if made_file else os.path.getsize(DEFAULT_LOG)
    resolv_conf = net.path("resolv.conf")
    with open(resolv_conf, "w", encoding="utf-8") as file:
        file.write(f"nameserver {DNS}\n")
    # The machine's own resolv.conf names a server that is not in this internet.
    script = f"mount --bind {resolv_conf} /etc/resolv.conf; exec {net.program} run --allow-domain api.example.com -- curl -sS https://api.example.com/"
    try:
        reply = net.host(["unshare", "-m", "sh", "-c", script])
        contains(reply.stdout, "server name api.example.com", f"the page ({reply.stderr})")
        contains(read_text(DEFAULT_LOG)[before:], '"target":"api.example.com"', "the record")
    finally:
        if made_file and os.path.exists(DEFAULT_LOG):
            os.unlink(DEFAULT_LOG)
        if made_directory and os.path.isdir(os.path.dirname(DEFAULT_LOG)):
            os.rmdir(os.path.dirname(DEFAULT_LOG))


@test("audit that cannot be written: what it stands for is refused, with a sentence")
def _():
    result = net.run(API, [*CURL, "https://api.example.com/"], audit="/dev/full")
    lacks(result.out, "server name", "output")
    true("audit" in result.err, f"a sentence about the audit: {result.err!r}")
    result = net.run(API, ["true"], audit="/no/such/directory/audit.jsonl")
    equal(result.status, 125, f"exit status; {result}")
    contains(result.err, "/no/such/directory", "the sentence")


@test("without root: 125, and a sentence that says what is needed")
def _():
    reply = as_nobody("run", "--", "true")
    equal(reply.returncode, 125, f"exit status ({reply.stderr!r})")
    contains(reply.stderr, "root", "the sentence")


WHY = [
    # words, status, what must be in the answer, the reason for the row
    (["api.example.com", *API], 0, "--allow-domain api.example.com", "an exact rule is named"),
    (["api.example.com:8443", "--allow-domain", "api.example.com:443"], 1, "host_not_allowed", "another port"),
    (["evil.example", *API], 1, "--allow-domain evil.example:443", "the hint"),
    (["sub.api.example.com", "--allow-domain", "*.example.com"], 0, "*.example.com", "a wildcard is named"),
    (["example.com", "--allow-domain", "*.example.com"], 1, "host_not_allowed", "a wildcard is not its own parent"),
    (["evilexample.com", "--allow-domain", "*.example.com"], 1, "host_not_allowed", "no suffix without the dot"),
    (["a.example.com", "--allow-domain", "*", "--deny-domain", "*.example.com"], 1, "host_denied", "deny beats allow"),
    ([METADATA4, "--allow-domain", "*"], 1, "metadata_address", "metadata"),
    (["[::ffff:169.254.169.254]:80", "--allow-domain", "*"], 1, "_address", "mapped"),
    (["2852039166", "--allow-domain", "*"], 1, "_address", "a number"),
    (["0xa9fea9fe", "--allow-domain", "*"], 1, "_address", "a hexadecimal number"),
    (["[fd00:ec2::254]:80", "--allow-domain", "*"], 1, "metadata_address", "by IPv6"),
    (["metadata.google.internal", "--allow-domain", "*"], 1, "metadata_address", "a metadata name"),
    (["API.example.com.", *API], 0, "api.example.com", "the normal form"),
    (["https://api.example.com/v1/x?y", *API], 0, "api.example.com:443", "a URL"),
    (["http://api.example.com/", "--allow-domain", "api.example.com:443"], 1, "api.example.com:80", "a URL's own port"),
    (["api.example.com", *API, "--resolved", API4], 0, "allowed", "a good address"),
    (["api.example.com", *API, "--resolved", API4, "--resolved", METADATA4], 1, METADATA4, "one bad address"),
    (["api.example.com", *API, "--resolved", "127.0.0.1"], 1, "127.0.0.1", "loopback needs a rule of its own"),
    (["10.1.2.3:5432", "--allow-cidr", "10.0.0.0/8:5432"], 0, "10.0.0.0/8:5432", "an address rule"),
    (["10.1.2.3:5433", "--allow-cidr", "10.0.0.0/8:5432"], 1, "cidr_not_allowed", "its port only"),
    ([EVIL4, *API], 1, "cidr_not_allowed", "a bare address"),
]


@test("why: status 0 or 1, the rule or the reason, the hint")
def _():
    for words, status, part, why in WHY:
        reply = net.why(words)
        equal(reply.returncode, status, f"{why}: exit status of why {' '.join(words)} ({reply.stdout!r} {reply.stderr!r})")
        contains(reply.stdout, part, f"{why}: why {' '.join(words)}")


@test("why --json")
def _():
    answer = json.loads(net.why(["evil.example", *API, "--json"]).stdout)
    equal((answer["decision"], answer["reason"], answer["host"], answer["port"]), ("deny", "host_not_allowed", "evil.example", 443), "fields")
    answer = json.loads(net.why(["api.example.com", *API, "--json"]).stdout)
    equal((answer["decision"], answer["rule"], answer["rule_origin"]), ("allow", "api.example.com", "--allow-domain"), "fields")


@test("why needs no root")
def _():
    reply = as_nobody("why", "evil.example", *API)
    equal((reply.returncode, reply.stderr), (1, ""), "exit status and errors")


@test("why and the data plane agree, for names, wildcards, ports and denials")
def _():
    policies = [API, ["--allow-domain", "*.example.com"], ["--allow-domain", "*.example.com:443", "--deny-domain", "cdn-b.example.com"],
                ["--allow-domain", "*", "--deny-domain", "*.example.com"], ["--allow-domain", "api.example.com:8443"], []]
    names = ["api.example.com", "cdn-a.example.com", "cdn-b.example.com", "sub.api.example.com", "evil.example", "api.example.com:8443"]
    for policy in policies:
        script = "for u in \"$@\"; do curl -s -k -m 8 -o /dev/null https://$u/ && echo \"$u yes\" || echo \"$u no\"; done"
        result = net.run(policy, ["sh", "-c", script, "sh", *names])
        served = dict(line.split() for line in result.out.splitlines())
        for name in names:
            verdict = net.why([name, *policy]).returncode == 0
            equal(served.get(name), "yes" if verdict else "no", f"{name} under {policy}, of which why says {verdict}")


if __name__ == "__main__":
    run()
