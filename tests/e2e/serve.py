#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`serve`: an ordinary user's proxy, real clients that are told of it, and what it refuses."""

import json
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import apt  # noqa: E402
import programs  # noqa: E402
from internet import (API4, API6, EVIL4, EVIL6, HOST4, METADATA4, METADATA6, PYTHON, V4ONLY, V6ONLY,  # noqa: E402
                      Internet, Sniffer, in_namespace, wait_for)
from rawhttp import Talk, basic, bearer, connect, get, request  # noqa: E402
from serving import NOBODY, Served, free_port  # noqa: E402
from tap import among, below, contains, equal, lacks, run, skip, test, true  # noqa: E402

net = Internet()
apt.make_repository(net)
ALL = ["--allow-domain", "*"]
CURL = ["curl", "-sS", "-m", "15"]
SECRET = "keys-of-the-kingdom"
WRONG = "0123456789abcdef" * 4

# One for all tests that only ask; what a test ends or sets up in its own way, it starts itself.
_shared = {}


def shared(*rules):
    rules = rules or ("*.example.com",)
    if rules not in _shared:
        _shared[rules] = Served(net, [word for rule in rules for word in ("--allow-domain", rule)])
    return _shared[rules]


def config(name, **fields):
    path = net.path(name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"version": 1, **fields}, file)
    os.chmod(path, 0o644)
    return ["--config", path]


def refuses_to_start(options, status, *sentences, **kwargs):
    """Nothing is served, one sentence says why; returns what it wrote."""
    ended = Served(net, options, ready=False, **kwargs).finish()
    equal(ended.status, status, f"exit status; {ended}")
    for sentence in sentences:
        contains(ended.err, sentence, "standard error")
    return ended


def refused(answer, status, reason, target=None, port=None):
    """A refusal in all the places where it is told."""
    equal((answer.status, answer.denied), (status, reason), f"the refusal {answer}")
    equal(answer.fields["proxy-status"], f'nono-proxy; error=http_request_denied; details="{reason}"', "Proxy-Status")
    equal(answer.fields["content-type"], "application/json", "Content-Type")
    body = json.loads(answer.body)
    equal(body["reason"], reason, "the reason in the body")
    if target:
        equal((body["host"], body["port"]), (target, port), "the target in the body")
    return body


# ---- what it says, and where it runs


@test("--json: one line with the address, the token, the pid and the environment; then nothing until the end")
def _():
    with Served(net, ["--allow-domain", "api.example.com"]) as proxy:
        equal(set(proxy.said), {"event", "listen", "token", "pid", "env"}, "keys")
        equal(proxy.said["event"], "ready", "event")
        true(re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", proxy.listen), f"the address {proxy.listen}")
        true(re.fullmatch("[0-9a-f]{64}", proxy.token), "the token is 64 lower-case hex digits")
        equal(proxy.pid, proxy.process.pid, "pid")
        with_token = f"http://nono:{proxy.token}@{proxy.listen}"
        equal(proxy.env, {**{n: with_token for n in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")},
                          **{n: "localhost,127.0.0.1,::1" for n in ("NO_PROXY", "no_proxy")}, "NODE_USE_ENV_PROXY": "1",
                          "NONO_PROXY_URL": proxy.url, "NONO_PROXY_TOKEN": proxy.token}, "the environment")
        contains(proxy.client([*CURL, "https://api.example.com/"]).stdout, "server name api.example.com", "the page")
        ended = proxy.stop()
    equal((ended.status, ended.out), (0, proxy.first), "exit status, and all that it wrote on standard output")


@test("the text form: the address, then lines that a shell takes with eval; and `env` prints them again")
def _():
    with Served(net, ["--allow-domain", "api.example.com"], json_line=False) as proxy:
        true(re.match(r"listening on 127\.0\.0\.1:\d+\n", proxy.first), f"the first line: {proxy.first!r}")
        true(all(re.fullmatch(r"export [A-Za-z_]+='[^']*'\n", line) for line in proxy.exports), f"the other lines: {proxy.exports}")
        lines = ["set -e", *proxy.exports, "curl -sS -m 15 https://api.example.com/", "unset http_proxy https_proxy", f'eval "$({net.program} env)"',
                 "curl -sS -m 15 http://api.example.com/"]
        result = net.host(["sh", "-c", "\n".join(lines)])
        contains(result.stdout, "server name api.example.com", f"the page ({result.stderr})")
        contains(result.stdout, "server name None", f"the second page ({result.stderr})")
        equal(len(proxy.records(decision="allow")), 2, "records of allowed requests")


@test("both processes run as the user who called, with nothing to gain, and two proxies have two tokens")
def _():
    with Served(net, []) as one, Served(net, []) as two:
        true(one.token != two.token and one.address != two.address, "they differ")
        for pid in (one.process.pid, one.proxy_pid()):
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
            equal(set(status["Uid"].split()), {str(NOBODY)}, "uid")
            equal(status["CapEff"], "0" * 16, "capabilities")
        with open(f"/proc/{one.proxy_pid()}/status", encoding="utf-8") as file:
            # (Sanitizers need system calls that the program does not.)
            if "ASAN_OPTIONS" not in os.environ:
                contains(file.read(), "Seccomp:\t2", "the proxy role's status")
        with one.talk() as talk:
            equal(talk.ask(get("http://api.example.com/", two.basic)).status, 407, "the other proxy's token")


@test("the token is in no command line, and not in the environment of its processes")
def _():
    proxy = shared()
    for pid in (proxy.process.pid, proxy.proxy_pid()):
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                lacks(file.read(), proxy.token.encode(), name)


@test("--token-file gives the token; --port the port; a bad file is a sentence that does not tell what is in it")
def _():
    token, path, port = "ab" * 32, net.path("token"), free_port(net)
    with open(path, "w", encoding="utf-8") as file:
        file.write(token + "\n")
    os.chmod(path, 0o600)
    os.chown(path, NOBODY, NOBODY)
    with Served(net, [*ALL, "--token-file", path, "--port", str(port)]) as proxy:
        equal((proxy.token, proxy.address), (token, ("127.0.0.1", port)), "token and address")
        with proxy.talk() as talk:
            equal(talk.ask(get("http://api.example.com/", proxy.bearer)).status, 200, "status")
    with open(path, "w", encoding="utf-8") as file:
        file.write("hunter2-is-not-hex")
    ended = refuses_to_start(["--token-file", path], 2)
    lacks(ended.err + ended.out, "hunter2", "output")
    true(ended.err.strip(), "a sentence")


@test("--no-auth on loopback: no token, anybody is served, and no token is in the environment")
def _():
    with Served(net, ["--allow-domain", "api.example.com", "--no-auth"]) as proxy:
        equal(proxy.token, None, "token")
        lacks(proxy.env, "NONO_PROXY_TOKEN", "environment")
        equal(proxy.env["http_proxy"], proxy.url, "http_proxy")
        contains(proxy.client([*CURL, "https://api.example.com/"]).stdout, "server name api.example.com", "the page")
        with proxy.talk() as talk:
            equal(talk.ask(get("http://api.example.com/")).status, 200, "status")
            refused(talk.tunnel("evil.example:443"), 403, "host_not_allowed")


@test("--no-auth on an address of the machine, and listening everywhere: refused")
def _():
    refuses_to_start(["--no-auth", "--listen", HOST4], 2, "--no-auth")
    for everywhere in ("0.0.0.0", "::"):
        for more in ([], ["--no-auth"]):
            refuses_to_start(["--listen", everywhere, *more], 2, everywhere)
    refuses_to_start(["--listen", "localhost"], 2, "localhost")


@test("--listen with the token: on an address of the machine, and on ::1")
def _():
    for address, listen in ((HOST4, HOST4), ("::1", "[::1]")):
        with Served(net, ["--allow-domain", "api.example.com", "--listen", address]) as proxy:
            equal(proxy.listen.rpartition(":")[0], listen, "listen")
            contains(proxy.client([*CURL, "https://api.example.com/"]).stdout, "server name api.example.com", "the page")
            with proxy.talk() as talk:
                equal(talk.ask(get("http://api.example.com/")).status, 407, "status without a token")


@test("a port that is taken: a sentence, exit status 1, and the one line of --json says so")
def _():
    proxy = shared()
    ended = refuses_to_start(["--port", str(proxy.address[1])], 1, str(proxy.address[1]))
    said = json.loads(ended.out)
    equal((set(said), said["event"]), ({"event", "error"}, "failed"), "the line")
    contains(ended.err, said["error"], "standard error")
    equal(ended.out.count("\n"), 1, "lines")
    equal(refuses_to_start(["--port", str(proxy.address[1])], 1, str(proxy.address[1]), json_line=False).out, "", "standard output")


@test("wrong options and a wrong configuration: exit status 2, nothing started")
def _():
    refuses_to_start(["--alow-domain", "x.example"], 2, "allow-domain")
    refuses_to_start(["--allow-domain", "a b"], 2, "a b")
    refuses_to_start(["command"], 2, "serve")
    path = net.path("bad.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write('{ "version": 1,\n  "alowed_hosts": [] }\n')
    refuses_to_start(["--config", path], 2, f"{path}:2:3")


# ---- clients


NOT_ALLOWED = "Forbidden: host evil.example is not in the allowlist"
# What each says of a refused CONNECT, and of a refused request in the clear.
CLIENTS = [
    ("curl", programs.curl, "CONNECT tunnel failed, response 403", "error: 403"),
    ("wget", lambda *urls: programs.wget(net, *urls), NOT_ALLOWED, "ERROR 403: " + NOT_ALLOWED),
    ("Python's urllib", programs.urllib, "403 " + NOT_ALLOWED, "403 " + NOT_ALLOWED),
    ("Python's requests", programs.requests, "403 " + NOT_ALLOWED, "403 " + NOT_ALLOWED),
    ("Python's httpx", programs.httpx, "403 " + NOT_ALLOWED, "403 " + NOT_ALLOWED),
    ("Go's net/http", programs.go, NOT_ALLOWED, "403 " + NOT_ALLOWED),
]


def told_of_the_proxy(words, tls_message, clear_message):
    proxy = shared()
    for name, address, port in (("v4only", V4ONLY, 443), ("v6only", V6ONLY, 443), ("v4only", V4ONLY, 80), ("v6only", V6ONLY, 80)):
        mark, before = len(net.origin_log()), len(proxy.records())
        result = proxy.client(words(f"{'https' if port == 443 else 'http'}://{name}.example.com/x?secret=1"))
        equal(result.returncode, 0, f"exit status; it said {result.stderr}")
        contains(result.stdout, f"server name {name + '.example.com' if port == 443 else None}, address {address}, host {name}.example.com", "the page")
        requests = [r for r in net.visits(address, mark) if r["kind"] == "request"]
        equal([r["path"] for r in requests], ["/x?secret=1"], "what the origin saw")
        opens = [r for r in proxy.records(event="open")[0:] if r["seq"] >= before and r.get("decision") == "allow"]
        equal([(r["mode"], r["target"], r["port"], r["resolved_ip"]) for r in opens],
              [("connect" if port == 443 else "forward", f"{name}.example.com", port, address)], "what is on record")
    with Sniffer(net) as sniffer:
        for scheme, message in (("https", tls_message), ("http", clear_message)):
            result = proxy.client(words(f"{scheme}://evil.example/"))
            true(result.returncode != 0, "a refusal is an error")
            contains(result.stderr, message, "the message")
            lacks(result.stdout, "server name", "the page")
        equal([f for f in sniffer.frames() if f.destination in (EVIL4, EVIL6)], [], "frames that left for evil.example")


for client, *how in CLIENTS:
    test(f"{client}, by the variables: both families, clear and TLS, allowed and refused", limit=120)(lambda how=how: told_of_the_proxy(*how))


@test("curl -x: allowed and refused, in curl's own numbers")
def _():
    proxy = shared()
    with_token = f"http://nono:{proxy.token}@{proxy.listen}"
    numbers = ["-w", "%{http_connect} %{http_code}\n", "-o", "/dev/null"]
    for url, wanted in (("https://api.example.com/", "200 200"), ("http://api.example.com/", "000 200"),
                        ("https://evil.example/", "403 000"), ("http://evil.example/", "000 403")):
        result = net.host([*CURL, "-x", with_token, *numbers, url])
        equal(result.stdout.strip(), wanted, f"numbers for {url} ({result.stderr})")
    result = net.host([*CURL, "-x", proxy.url, "--proxy-header", f"Proxy-Authorization: {proxy.bearer}", "https://api.example.com/"])
    contains(result.stdout, "server name api.example.com", f"the page ({result.stderr})")
    result = net.host([*CURL, "-x", with_token, "-p", "http://api.example.com/"])
    contains(result.stdout, "server name None", f"clear HTTP in a tunnel ({result.stderr})")


@test("curl --proxy-anyauth asks first without a token and comes back on the same connection")
def _():
    proxy = shared()
    for url in ("https://api.example.com/", "http://api.example.com/"):
        result = net.host([*CURL, "-v", "--proxy-anyauth", "-x", f"http://nono:{proxy.token}@{proxy.listen}", url])
        contains(result.stdout, "server name", f"the page ({result.stderr})")
        contains(result.stderr, " 407 Proxy Authentication Required", "what curl saw first")
        equal(result.stderr.count(f"Trying {proxy.address[0]}"), 1, f"connections in {result.stderr}")


@test("curl: large bodies both ways, through a tunnel and in the clear")
def _():
    proxy, size = shared(), 8 << 20
    with open(net.path("upload"), "wb") as file:
        file.write(b"u" * size)
    for scheme in ("https", "http"):
        mark, before = len(net.origin_log()), len(proxy.records())
        result = proxy.client(["sh", "-c", f"curl -sS {scheme}://v4only.example.com/bytes/{size} | wc -c"])
        equal(result.stdout.strip(), str(size), "bytes received")
        result = proxy.client([*CURL, "-H", "Expect:", "--data-binary", f"@{net.path('upload')}", f"{scheme}://v4only.example.com/post"])
        contains(result.stdout, "server name", f"the page ({result.stderr})")
        equal([r["method"] for r in net.visits(V4ONLY, mark) if r["kind"] == "request"], ["GET", "POST"], "what the origin saw")
        wait_for(lambda: len(close_records(proxy, before)) == 2, "both are on record", 5)
        down, up = close_records(proxy, before)
        true(down["bytes_down"] > size and up["bytes_up"] > size, f"the bytes on record: {down} {up}")


def close_records(proxy, seq):
    return [r for r in proxy.records(event="close") if r["seq"] >= seq]


@test("Node: undici's ProxyAgent with a Bearer token, and fetch by NODE_USE_ENV_PROXY where Node knows of it")
def _():
    proxy = shared()
    clients = [programs.undici]
    if tuple(map(int, net.host([programs.need("node"), "-p", "process.versions.node"]).stdout.split(".")[:2])) >= (24, 0):
        clients.append(programs.fetch)
    for words in clients:
        before = len(proxy.records())
        result = proxy.client(words("https://v4only.example.com/", "https://v6only.example.com/", "http://v4only.example.com/"))
        equal(result.returncode, 0, f"exit status; it said {result.stderr}")
        for line in (f"server name v4only.example.com, address {V4ONLY}", f"server name v6only.example.com, address {V6ONLY}", "server name None"):
            contains(result.stdout, line, "the pages")
        true(len([r for r in proxy.records(decision="allow") if r["seq"] >= before]) >= 3, "three are on record")
        result = proxy.client(words("https://evil.example/"))
        equal(result.returncode, 1, "a refusal is an error")
        # Debian's undici does not tell the status.
        true("403" in result.stderr or "cancelled" in result.stderr, f"the message: {result.stderr}")


@test("git clone over https and clear HTTP; git asks first without a token")
def _():
    net.start_git()
    proxy = shared()
    for number, url in enumerate(("https://git.example.com", "http://git.example.com", "https://v6only.example.com", "http://v6only.example.com")):
        clone = net.path(f"clone-{number}")
        result = proxy.client(["git", "clone", "-q", f"{url}/files/repo.git", clone], env={"GIT_CURL_VERBOSE": "1", "GIT_TRACE_CURL_NO_DATA": "1"})
        equal(result.returncode, 0, f"git's exit status; it said {result.stderr}")
        with open(os.path.join(clone, "hello.txt"), encoding="utf-8") as file:
            equal(file.read(), "hello from the repository\n", "the file")
        contains(result.stderr, "407 Proxy Authentication Required", "what git saw first")
    for scheme, message in (("https", "CONNECT tunnel failed, response 403"), ("http", "error: 403")):
        result = proxy.client(["git", "clone", "-q", f"{scheme}://evil.example/files/repo.git", net.path("clone-none")])
        equal(result.returncode, 128, "git's exit status")
        contains(result.stderr, message, "git's message")


@test("git's own protocol: clone and push of what needs chunks, over https and in the clear")
def _():
    net.start_git()
    for scheme in ("https", "http"):
        folder = net.path("round-" + scheme)
        os.mkdir(folder)
        result = shared().client(programs.git_round_trip(f"{scheme}://git.example.com/git/repo.git", folder))
        equal((result.returncode, result.stdout), (0, "hello from the repository\n"), f"exit status and the file; it said {result.stderr}")


@test("apt-get by Acquire::http::Proxy and by the variables: both families, clear and TLS, allowed and refused")
def _():
    proxy = shared()
    with_token = proxy.env["http_proxy"]
    by_option = (f'Acquire::http::Proxy "{with_token}";', f'Acquire::https::Proxy "{with_token}";')
    for scheme, name, options, env in (("http", "v4only", by_option, {}), ("https", "v6only", by_option, {}),
                                       ("http", "v6only", (), proxy.env), ("https", "v4only", (), proxy.env)):
        own = apt.Apt(net, f"{scheme}://{name}.example.com/files/debian/", *options)
        result = net.host(own.shell(["update"], ["install", *apt.NAMES]), env=env)
        equal(result.returncode, 0, f"apt-get's exit status; it said {result.stdout}{result.stderr}")
        equal([n for n in apt.NAMES if not own.installed(n)], [], "packages that are missing")
    for scheme in ("http", "https"):
        result = net.host(apt.Apt(net, f"{scheme}://evil.example/files/debian/", *by_option).words("update"))
        equal(result.returncode, 100, "apt-get's exit status")
        contains(result.stderr, "403", "apt-get's message")
        contains(result.stderr, NOT_ALLOWED, "apt-get's message")
    result = net.host(apt.Apt(net, "http://api.example.com/files/debian/", f'Acquire::http::Proxy "{proxy.url}";').words("update"))
    contains(result.stderr, "407", "apt-get's message without a token")


@test("Python, many connections at a time, each with its own answer")
def _():
    code = """
import concurrent.futures, urllib.request
def get(i):
    name = ('api', 'cdn-a', 'v4only', 'v6only')[i % 4] + '.example.com'
    return f'host {name}' in urllib.request.urlopen(f"{('http', 'https')[i // 4 % 2]}://{name}/", timeout=30).read().decode()
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(get, range(200))), 'right')
"""
    result = shared().client([PYTHON, "-c", code])
    contains(result.stdout, "200 right", f"answers (standard error: {result.stderr})")


# ---- the token


def authorizations(proxy):
    return [("none", None), ("another", basic(WRONG)), ("as Bearer", bearer(WRONG)), ("upper case", bearer(proxy.token.upper())),
            ("short", bearer(proxy.token[:-1])), ("long", basic(proxy.token + "0")), ("as the user", basic("", proxy.token)), ("bare", proxy.token),
            ("empty", "Bearer "), ("no base64", "Basic *"), ("Digest", f'Digest username="nono", response="{proxy.token}"')]


@test("without the right token: 407 that asks for it, the connection stays for the next try, nothing is looked up")
def _():
    proxy, mark = shared(), net.dns_mark()
    for what, wrong in authorizations(proxy):
        for ask in (lambda a: connect("cdn-a.example.com:443", a), lambda a: get("http://cdn-a.example.com/", a)):
            with proxy.talk() as talk:
                answer = talk.ask(ask(wrong))
                body = refused(answer, 407, "token_missing" if what in ("none", "bare", "Digest") else answer.denied)
                among(body["reason"], ("token_missing", "token_invalid"), f"the reason for {what}")
                equal(answer.fields.get("proxy-authenticate"), 'Basic realm="nono"', f"the challenge for {what}")
                true(not answer.closes, f"the connection stays for {what}: {answer}")
                refused(talk.ask(ask(wrong)), 407, body["reason"])
                refused(talk.ask(get("http://evil.example/", proxy.bearer)), 403, "host_not_allowed", "evil.example", 80)
    equal([q for q in net.queries_since(mark) if q == "cdn-a.example.com"], [], "names that were looked up")


@test("the right token after a wrong one, on the same connection: CONNECT and absolute form, Basic and Bearer, any user name")
def _():
    proxy = shared()
    for right in (proxy.basic, proxy.bearer, basic(proxy.token, "x"), basic(proxy.token, ""), "bearer " + proxy.token):
        with proxy.talk() as talk:
            equal(talk.tunnel("api.example.com:7").status, 407, "status without")
            equal(talk.tunnel("api.example.com:7", right).status, 200, f"status with {right.split()[0]}")
            talk.send(b"hello")
            equal(talk.exactly(5), b"hello", "the echo")
        with proxy.talk() as talk:
            equal(talk.ask(get("http://api.example.com/")).status, 407, "status without")
            equal(talk.ask(get("http://api.example.com/", right)).status, 200, f"status with {right.split()[0]}")


@test("three tries on one connection, then it is closed")
def _():
    for form in (connect("api.example.com:443"), get("http://api.example.com/", bearer(WRONG))):
        with shared().talk() as talk:
            answers = [talk.ask(form) for _ in range(3)]
            equal([a.status for a in answers], [407] * 3, "statuses")
            try:
                last = talk.ask(form)
                equal((last.status, last.closes), (407, True), "the fourth says that it ends")
            except (EOFError, ConnectionError):
                pass
            equal(talk.rest(), b"", "the rest")


@test("two Proxy-Authorization fields, one of them right: refused")
def _():
    proxy = shared()
    for first, second in ((proxy.bearer, bearer(WRONG)), (bearer(WRONG), proxy.bearer), (proxy.bearer, proxy.bearer)):
        with proxy.talk() as talk:
            answer = talk.ask(request("CONNECT api.example.com:7 HTTP/1.1", "Host: api.example.com:7", f"Proxy-Authorization: {first}", authorization=second))
            among(answer.status, (400, 407), f"the status of {answer}")


@test("a token that is asked for with a body: refused and closed, the body is no next request")
def _():
    mark = len(net.origin_log())
    with shared().talk() as talk:
        inner = get("http://api.example.com/inner", shared().bearer)
        talk.send(get("http://api.example.com/outer", None, f"Content-Length: {len(inner)}", method="POST", body=inner))
        equal(talk.answer().status, 407, "status")
        equal(talk.rest(), b"", "what comes after it")
    equal([r for r in net.origin_log()[mark:] if r["kind"] == "request"], [], "what the origin saw")


@test("the token goes to no server")
def _():
    proxy = shared()
    listener = in_namespace(net.outside, lambda: socket.create_server((V4ONLY, 8088)))
    listener.settimeout(10)
    with proxy.talk() as talk, listener:
        talk.send(get("http://v4only.example.com:8088/", proxy.basic, "Proxy-Connection: keep-alive", "Connection: X-Hop", "X-Hop: 1",
                      "X-Nono-Token: " + proxy.token))
        server, _peer = listener.accept()
        with Talk(server) as far:
            head = far.exactly(1)
            while b"\r\n\r\n" not in head:
                head += far.exactly(1)
            far.send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        equal(talk.head().status, 204, "status")
    lower = head.lower()
    equal(head.split(b"\r\n")[0], b"GET / HTTP/1.1", "the request line")
    for part in (proxy.token.encode(), proxy.basic.split()[1].lower().encode(), b"proxy-", b"x-hop", b"x-nono"):
        lacks(lower, part, "the head that the server got")
    contains(lower, b"host: v4only.example.com:8088", "the head that the server got")


# ---- refusals


@test("a refusal is told in the status line, in fields, and in a body with the option that would allow it")
def _():
    with shared().talk() as talk:
        answer = talk.tunnel("evil.example:443", shared().basic)
        equal(answer.line, "HTTP/1.1 403 Forbidden: host evil.example is not in the allowlist", "the status line")
        body = refused(answer, 403, "host_not_allowed", "evil.example", 443)
        equal((body["error"], body["rule"], body["hint"]), ("Forbidden", None, "to allow it: --allow-domain evil.example:443"), "the body")
    with shared().talk() as talk:
        answer = talk.ask(get("http://other.evil.example/secret?token=1", shared().basic))
        equal(answer.line, "HTTP/1.1 403 Forbidden: host other.evil.example is not in the allowlist", "the status line")
        refused(answer, 403, "host_not_allowed", "other.evil.example", 80)
    record = shared().record(decision="deny", mode="forward", target="other.evil.example", path="/secret")
    equal((record["reason"], record["method"], record["port"]), ("host_not_allowed", "GET", 80), "the record")


# As a target of CONNECT, and as a URL's host.
DISGUISES = ["169.254.169.254", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", f"[{METADATA6}]", "2852039166", "0xa9fea9fe",
             "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518", "169.16689662", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]",
             "[::169.254.169.254]", "169.254.169.254.", "metadata.google.internal", "METADATA.google.internal.", "meta.example.com", "meta6.example.com", "mixed.example.com", "0.0.0.0", "[::]", "255.255.255.255", "224.0.0.1", "[fe80::1]"]


@test("metadata, special addresses and their disguises, with everything else allowed: 403 by CONNECT and in the clear, and no frame left")
def _():
    proxy = shared("*")
    contains(net.host([*CURL, f"http://{METADATA4}/"]).stdout, SECRET, "control: without the proxy it can be reached")
    with Sniffer(net) as sniffer:
        for target in DISGUISES:
            for ask in (connect(f"{target}:80", proxy.basic), get(f"http://{target}/", proxy.basic)):
                with proxy.talk() as talk:
                    answer = talk.ask(ask)
                    among(answer.status, (400, 403), f"the answer for {target}: {answer}")
                    among(answer.denied, ("metadata_address", "link_local_address", "special_address", "name_invalid"), f"the reason for {target}: {answer}")
                    lacks(answer.body.decode(), SECRET, "the body")
        equal([f for f in sniffer.frames() if f.destination in (METADATA4, METADATA6, API4)], [], "frames that left for refused addresses")


@test("loopback and the host's own addresses, with every name allowed: refused, unless a rule names the address")
def _():
    proxy = shared("*")
    contains(net.host([*CURL, "http://127.0.0.1:8081/"]).stdout, "127.0.0.1", "control: the host's service is there")
    for target in ("127.0.0.1:8081", "127.1:8081", "2130706433:8081", "[::1]:8081", "[::ffff:127.0.0.1]:8081", "localhost:8081", "loop.example.com:8081"):
        for ask in (connect(target, proxy.basic), get(f"http://{target}/", proxy.basic)):
            with proxy.talk() as talk:
                answer = talk.ask(ask)
                true(answer.status >= 400 and b"server name" not in answer.body, f"the answer for {target}: {answer}")
                true(answer.denied, f"a reason for {target}: {answer}")
    with Served(net, ["--allow-cidr", "127.0.0.1/32:8081"]) as proxy:
        with proxy.talk() as talk:
            contains(talk.ask(get("http://127.0.0.1:8081/", proxy.basic)).body, b"address 127.0.0.1", "the page")
        with proxy.talk() as talk:
            equal(talk.tunnel("127.0.0.1:8080", proxy.basic).status, 403, "another port")


@test("the proxy itself: refused by CONNECT and in the clear, though rules allow its address")
def _():
    port = free_port(net)
    rules = ["--allow-domain", "*", "--allow-cidr", f"127.0.0.0/8:{port}", "--allow-cidr", f"::/0:{port}", "--allow-domain", "127.0.0.1"]
    with Served(net, [*rules, "--port", str(port)]) as proxy:
        for target in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "loop.example.com", "localhost"):
            for ask in (connect(f"{target}:{port}", proxy.basic), get(f"http://{target}:{port}/-/refusals", proxy.basic)):
                with proxy.talk() as talk:
                    answer = talk.ask(ask)
                    true(answer.status in (400, 403, 502) and answer.denied, f"the answer for {target}: {answer}")
        with proxy.talk() as talk:
            refused(talk.tunnel(f"127.0.0.1:{port}", proxy.basic), 403, "loop_refused")


# The record type, fatal and access_denied, the length.
ALERT = (b"\x15", b"\x02\x31", 7)


def hello(name):
    """A ClientHello for this name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def echoed(mark):
    """The bytes that the echo server has got, connection by connection, since then; asked for until all have ended."""

    def ended():
        log = net.visits(API4, mark)
        return [r["bytes"] for r in log if r["kind"] == "echoed"], len([r for r in log if r["kind"] == "accept"])

    wait_for(lambda: ended()[1] > 0 and len(ended()[0]) == ended()[1], "the echo server's connections have ended", 10)
    return ended()[0]


@test("SNI in a tunnel: the name asked for passes, another one gets an alert and its hello reaches nobody, however it is cut")
def _():
    proxy = shared("api.example.com")
    for name in ("api.example.com", "API.example.com", "evil.example", "cdn-a.example.com", "sub.api.example.com"):
        data, passes = hello(name), name.lower() == "api.example.com"
        for cut in (None, 1, 5, 9, len(data) - 1):
            mark = len(net.origin_log())
            with proxy.talk() as talk:
                equal(talk.tunnel("api.example.com:7", proxy.basic).status, 200, "status of CONNECT")
                talk.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for part in ([data] if cut is None else [data[:cut], data[cut:]]):
                    talk.send(part)
                if passes:
                    equal(talk.exactly(len(data)), data, f"what {name} gets back")
                else:
                    data_back = talk.rest()
                    equal((data_back[:1], data_back[-2:], len(data_back)), ALERT, f"what {name} gets back: access denied")
            if not passes:
                equal(echoed(mark), [0], f"bytes that reached the server for {name}, cut at {cut}")
                true(proxy.record(decision="deny", target=name, reason="sni_mismatch"), "a record")


@test("curl in a tunnel whose name is another one's")
def _():
    proxy = shared("api.example.com")
    mark = len(net.origin_log())
    result = proxy.client([*CURL, "-k", "--connect-to", "evil.example:443:api.example.com:443", "https://evil.example/"])
    equal(result.returncode, 35, "curl's exit status")
    contains(result.stderr, "alert access denied", "curl's message")
    equal([r for r in net.origin_log()[mark:] if r["kind"] == "request"], [], "requests that reached an origin")


@test("what begins like TLS and is none: an alert, and nothing of it goes out")
def _():
    proxy, mark = shared(), len(net.origin_log())
    with proxy.talk() as talk:
        equal(talk.tunnel("api.example.com:7", proxy.basic).status, 200, "status of CONNECT")
        talk.send(bytes.fromhex("16030100050100000100") + b"x" * 100)
        data = talk.rest()
        equal(data[:1] + data[-2:-1], b"\x15\x02", f"a fatal alert: {data!r}")
    equal(echoed(mark), [0], "bytes that reached the server")


MALFORMED = [
    ("a line that is too long", b"GET http://api.example.com/" + b"a" * 20000 + b" HTTP/1.1\r\nHost: api.example.com\r\n"),
    ("HTTP/2 by prior knowledge", b"PRI * HTTP/2.0\r\n"),
    ("CONNECT without a port", b"CONNECT api.example.com HTTP/1.1\r\nHost: api.example.com\r\n"),
    ("port 0", b"CONNECT api.example.com:0 HTTP/1.1\r\nHost: api.example.com:0\r\n"),
    ("port 65536", b"CONNECT api.example.com:65536 HTTP/1.1\r\nHost: api.example.com:65536\r\n"),
    ("Host names another", b"CONNECT api.example.com:7 HTTP/1.1\r\nHost: evil.example:7\r\n"),
    ("user name in the authority", b"CONNECT x@api.example.com:7 HTTP/1.1\r\nHost: api.example.com:7\r\n"),
    ("absolute form, Host names another", b"GET http://api.example.com/ HTTP/1.1\r\nHost: evil.example\r\n"),
    ("absolute form with a user name", b"GET http://evil.example@api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n"),
    ("a fragment", b"GET http://api.example.com/#x HTTP/1.1\r\nHost: api.example.com\r\n"),
    ("no Host", b"GET http://api.example.com/ HTTP/1.1\r\n"),
    ("two of them", b"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nHost: api.example.com\r\n"),
    ("bare line feeds", b"GET http://api.example.com/ HTTP/1.1\nHost: api.example.com\n"),
    ("NUL in the name", b"CONNECT api.example.com\0.evil.example:7 HTTP/1.1\r\nHost: api.example.com:7\r\n"),
    ("a percent sign in the name", b"CONNECT api%2eexample.com:7 HTTP/1.1\r\nHost: api%2eexample.com:7\r\n"),
    ("length and chunks", b"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
    ("CONNECT with a body", b"CONNECT api.example.com:7 HTTP/1.1\r\nHost: api.example.com:7\r\nContent-Length: 3\r\n"),
    ("TLS to the proxy's port", None),
]


@test("Host fields that clients send with CONNECT: without the port, the proxy's own (undici), none in HTTP/1.0")
def _():
    proxy = shared()
    for line, *fields in (("CONNECT api.example.com:7 HTTP/1.1", "Host: api.example.com"), ("CONNECT api.example.com:7 HTTP/1.1", f"Host: {proxy.listen}"),
                          ("CONNECT api.example.com:7 HTTP/1.0",), ("CONNECT API.Example.com.:7 HTTP/1.1", "Host: api.example.com:7")):
        with proxy.talk() as talk:
            talk.send(request(line, *fields, authorization=proxy.basic, body=b"hello"))
            equal(talk.head().status, 200, f"the status with {fields}")
            equal(talk.exactly(5), b"hello", "the echo")


@test("malformed heads: 400 and the end, and no server hears of them")
def _():
    proxy, mark = shared(), len(net.origin_log())
    for what, head in MALFORMED:
        with proxy.talk() as talk:
            end = b"\r\n" if head and b"\r\n" in head else b"\n"
            talk.send(hello("api.example.com") if head is None else head + f"Proxy-Authorization: {proxy.basic}".encode() + 2 * end + b"abc")
            answer = talk.answer()
            among(answer.status, (400, 403, 431), f"{what}: {answer}")
            true(answer.denied and answer.closes, f"{what} is told why and closed: {answer}")
            equal(talk.rest(), b"", f"{what}: the rest")
    equal([r for r in net.origin_log()[mark:] if r["kind"] == "accept"], [], "what servers saw")


@test("TRACE, an https URL, and paths of the proxy's own that are none")
def _():
    proxy = shared()
    for ask, status, reason in ((get("http://api.example.com/", proxy.basic, method="TRACE"), 405, "method_refused"),
                                (get("https://api.example.com/", proxy.basic), 405, "method_refused"),
                                (get("/nothing", proxy.basic), 404, "route_unknown"), (get("/nothing"), 401, "token_missing"),
                                (get("/-/refusals", proxy.basic, method="DELETE"), 405, "method_refused")):
        with proxy.talk() as talk:
            refused(talk.ask(ask), status, reason)


@test("GET /-/refusals: the last refusals with their hints, only with the token, and no more than 50")
def _():
    with Served(net, ["--allow-domain", "api.example.com"]) as proxy:
        equal(json.loads(ask_refusals(proxy, proxy.basic).body), [], "the list at first")
        for ask in (connect("evil.example:443", proxy.basic), get("http://evil.example/?q=1", proxy.basic), connect(f"{METADATA4}:80", proxy.basic)):
            with proxy.talk() as talk:
                talk.ask(ask)
        answer = ask_refusals(proxy, proxy.bearer)
        equal((answer.status, answer.fields["content-type"]), (200, "application/json"), "the answer")
        found = json.loads(answer.body)
        equal([(r["target"], r["port"], r["reason"], r["hint"]) for r in found],
              [("evil.example", 443, "host_not_allowed", "to allow it: --allow-domain evil.example:443"),
               ("evil.example", 80, "host_not_allowed", "to allow it: --allow-domain evil.example:80"), (METADATA4, 80, "metadata_address", None)], "the list")
        true(all(abs(r["timestamp_unix_ms"] / 1000 - time.time()) < 60 for r in found), "times")
        for wrong in (None, bearer(WRONG)):
            answer = ask_refusals(proxy, wrong)
            among(answer.status, (401, 407), "status without the token")
            lacks(answer.body, b"evil.example", "the body without the token")
        result = net.host([*CURL, "-H", f"X-Nono-Token: {proxy.token}", f"{proxy.url}/-/refusals"])
        contains(result.stdout, '"evil.example"', f"what curl gets ({result.stderr})")
        with proxy.talk() as talk:
            for number in range(70):
                answer = talk.ask(get(f"http://x{number}.evil.example/", proxy.basic))
                if answer.closes:
                    talk.close()
                    talk.__init__(proxy.socket())
        found = json.loads(ask_refusals(proxy, proxy.basic).body)
        equal([r["target"] for r in found], [f"x{n}.evil.example" for n in range(20, 70)], "the last 50")


def ask_refusals(proxy, authorization):
    with proxy.talk() as talk:
        return talk.ask(get("/-/refusals", authorization))


@test("monitor: what is not allowed passes and is on record; what is always refused stays refused")
def _():
    with Served(net, ["--allow-domain", "api.example.com", "--monitor"]) as proxy:
        result = proxy.client([*CURL, "-k", "https://evil.example/"])
        contains(result.stdout, "server name evil.example", f"the page ({result.stderr})")
        equal(proxy.record(target="evil.example")["mode"], "connect", "the record's mode")
        with proxy.talk() as talk:
            refused(talk.tunnel(f"{METADATA4}:80", proxy.basic), 403, "metadata_address")


# ---- tunnels


@test("bytes right behind the CONNECT head arrive, after the dial and not before")
def _():
    proxy, mark = shared(), len(net.origin_log())
    with proxy.talk() as talk:
        talk.send(connect("api.example.com:7", proxy.basic, body=b"early and "))
        equal(talk.head().status, 200, "status")
        talk.send(b"late")
        equal(talk.exactly(14), b"early and late", "the echo")
        talk.shut()
        equal(talk.rest(), b"", "the rest")
    equal(echoed(mark), [14], "bytes that the server got")
    record = proxy.record(event="close", target="api.example.com", port=7, bytes_up=14)
    equal((record["mode"], record["method"], record["bytes_down"], record["end"]), ("connect", "CONNECT", 14, "eof"), "the record")
    for target, status in (("refuse.example.com:80", 502), ("evil.example:80", 403)):
        with proxy.talk() as talk:
            talk.send(connect(target, proxy.basic, body=b"GET http://api.example.com/smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n"))
            equal(talk.answer().status, status, "status")
            equal(talk.rest(), b"", "what comes after it")
    equal([r for r in net.origin_log()[mark:] if r.get("path") == "/smuggled"], [], "what servers saw")


@test("half-close: either side may end, the other goes on")
def _():
    proxy = shared()
    with proxy.talk() as talk:
        equal(talk.tunnel("api.example.com:7", proxy.basic).status, 200, "status")
        data = os.urandom(3 << 20)
        talk.sock.settimeout(20)
        read, write = os.pipe()
        if os.fork() == 0:
            # The other half, so that neither waits for the other's buffer.
            os.close(read)
            os.write(write, b"1" if talk.rest() == data else b"0")
            os._exit(0)
        os.close(write)
        talk.send(data)
        talk.shut()
        with os.fdopen(read, "rb") as pipe:
            equal(pipe.read(), b"1", "all of it comes back after the client has ended its half")
        os.wait()


@test("a server that speaks first, and one that ends first")
def _():
    proxy = shared()
    with proxy.talk() as talk:
        equal(talk.tunnel("smtp.example.com:25", proxy.basic).status, 200, "status")
        equal(talk.line(), b"220 smtp.example.com ready\r", "the greeting")
        talk.send(b"EHLO me\r\n")
        equal(talk.line(), b"250 EHLO me\r", "the answer")
        talk.send(b"QUIT\r\n")
        equal(talk.rest(), b"221 bye\r\n", "the end")


@test("upstreams that refuse, do not answer, reset, have no address: 502 and 504 in bounded time, no 200 before")
def _():
    options = config("short.json", allowed_hosts=["*.example.com"], limits={"connect_timeout_secs": 1})
    with Served(net, options) as proxy:
        for target, status, reasons in (("refuse.example.com:80", 502, ["upstream_refused"]), ("hole.example.com:80", 504, ["upstream_timeout"]),
                                        ("nothing.example.com:80", 502, ["dns_no_address", "dns_failed"])):
            for ask in (connect(target, proxy.basic), get(f"http://{target}/", proxy.basic)):
                with proxy.talk() as talk:
                    started = time.monotonic()
                    answer = talk.ask(ask)
                    below(time.monotonic() - started, 4, f"seconds for {target}")
                    among(answer.denied, reasons, f"the reason for {target}")
                    refused(answer, status, answer.denied)
        with proxy.talk() as talk:
            # Its reset may come before or after we have seen that it accepted.
            answer = talk.tunnel("reset.example.com:443", proxy.basic)
            among(answer.status, (200, 502), "status")
            if answer.status == 200:
                equal(talk.rest(), b"", "what comes from it")
        result = proxy.client([*CURL, "https://hole-first.example.com/"])
        contains(result.stdout, f"address {API4}", f"the second address serves ({result.stderr})")


@test("a DNS server that does not answer: 502 or 504 in bounded time")
def _():
    options = config("mute.json", allowed_hosts=["*.example.com"], dns={"timeout_ms": 500})
    with Served(net, options, resolver="203.0.113.55") as proxy, proxy.talk() as talk:
        started = time.monotonic()
        answer = talk.tunnel("api.example.com:80", proxy.basic)
        among((answer.status, answer.denied), ((502, "dns_failed"), (504, "upstream_timeout")), f"the answer {answer}")
        below(time.monotonic() - started, 6, "seconds")


@test("kept alive in the clear: each request is judged by its own host, and the refusal is not the server's")
def _():
    proxy, mark = shared("cdn-a.example.com", "cdn-b.example.com"), len(net.origin_log())
    with proxy.talk() as talk:
        for name in ("cdn-a", "cdn-b", "cdn-a"):
            answer = talk.ask(get(f"http://{name}.example.com/{name}", proxy.basic))
            contains(answer.body.decode(), f"host {name}.example.com", "the page")
        # A later one needs the token again: the connection has not become somebody.
        equal(talk.ask(get("http://cdn-a.example.com/none")).status, 407, "status without the token")
        refused(talk.ask(get("http://api.example.com/api", proxy.basic)), 403, "host_not_allowed", "api.example.com", 80)
    with proxy.talk() as talk:
        talk.send(get("http://cdn-a.example.com/1", proxy.basic) + get("http://api.example.com/2", proxy.basic) + get("http://cdn-a.example.com/3", proxy.basic))
        equal([talk.answer().status, talk.answer().status], [200, 403], "answers to pipelined requests")
    equal([r["path"] for r in net.origin_log()[mark:] if r["kind"] == "request"][:4], ["/cdn-a", "/cdn-b", "/cdn-a", "/1"], "what servers saw")
    equal([r for r in net.origin_log()[mark:] if r.get("path") in ("/none", "/api", "/2")], [], "what servers should not have seen")


@test("500 pipelined requests; a client that ends its half at once; HEAD that is refused; more connections than are allowed")
def _():
    proxy = shared()
    with proxy.talk() as talk:
        ask = get("http://v4only.example.com/", proxy.basic)
        sender = threading.Thread(target=lambda: talk.send(ask * 500))
        sender.start()
        equal({talk.answer().status for _ in range(500)}, {200}, "statuses")
        sender.join()
    with proxy.talk() as talk:
        talk.send(ask)
        talk.shut()
        contains(talk.rest(), b"host v4only.example.com", "the page")
    with proxy.talk() as talk:
        talk.send(get("http://evil.example/", proxy.basic, method="HEAD"))
        equal(talk.head().status, 403, "status")
        equal(talk.rest(), b"", "the body of an answer to HEAD")
    with Served(net, ["--allow-domain", "*.example.com", "--max-connections", "2"]) as small:
        tunnels = [small.talk(), small.talk()]
        equal([t.tunnel("api.example.com:7", small.basic).status for t in tunnels], [200, 200], "statuses")
        true(small.turns_away(), "a third one is told at once")
        tunnels.pop().close()
        wait_for(lambda: not small.turns_away(), "there is room again", 5)
        tunnels.pop().close()


@test("an upgrade in the clear becomes a tunnel when the server says 101")
def _():
    proxy = shared()
    listener = in_namespace(net.outside, lambda: socket.create_server((V4ONLY, 8089)))
    listener.settimeout(10)
    with proxy.talk() as talk, listener:
        talk.send(get("http://v4only.example.com:8089/ws", proxy.basic, "Connection: Upgrade", "Upgrade: websocket"))
        server, _peer = listener.accept()
        with Talk(server) as far:
            while far.line() != b"\r":
                pass
            far.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
            equal(talk.head().status, 101, "status")
            equal(talk.exactly(5), b"first", "what the server said at once")
            talk.send(b"\x00GET / HTTP/1.1\r\n\r\n")
            equal(far.exactly(19), b"\x00GET / HTTP/1.1\r\n\r\n", "what the client said")


# ---- records


@test("the records: mode, method, bytes; no query, no token, neither there nor on standard error")
def _():
    with Served(net, [*ALL, "--verbose", "--log-level", "debug"]) as proxy:
        proxy.client([*CURL, "https://api.example.com/path?secret=1", "http://api.example.com/path?secret=2"])
        for ask in (connect("evil.example:443"), get(f"http://{METADATA4}/?secret={proxy.token}", proxy.basic),
                    get(f"http://api.example.com/x?secret={proxy.token}", bearer(WRONG)),
                    request(f"GET http://api.example.com/ {proxy.token}", authorization=proxy.basic)):
            with proxy.talk() as talk:
                talk.ask(ask)
        ended = proxy.stop()
    closes = {r["mode"]: r for r in ended.audit if r["event"] == "close"}
    equal(set(closes), {"connect", "forward"}, "modes")
    equal([closes["connect"][k] for k in ("method", "target", "port", "sni")], ["CONNECT", "api.example.com", 443, "api.example.com"], "the tunnel")
    equal([closes["forward"][k] for k in ("method", "path", "status")], ["GET", "/path", 200], "the request")
    true(all(r["bytes_up"] > 50 and r["bytes_down"] > 50 for r in closes.values()), f"bytes: {closes}")
    for text, what in ((ended.audit_text, "the audit"), (ended.err, "standard error")):
        lacks(text.lower(), "secret", what)
        lacks(text, proxy.token, what)
        lacks(text, proxy.basic.split()[1], what)
        lacks(text, WRONG, what)
    equal([r["seq"] for r in ended.audit], list(range(len(ended.audit))), "sequence")


@test("a token in a path is not on record either")
def _():
    with Served(net, ALL) as proxy:
        for ask in (get(f"/-/{proxy.token}", proxy.basic), get(f"http://evil.example/{proxy.token}/x", bearer(WRONG)),
                    get(f"http://v4only.example.com/{proxy.token}", proxy.basic)):
            with proxy.talk() as talk:
                talk.ask(ask)
        lacks(proxy.stop().audit_text, proxy.token, "the audit")


@test("an audit log that cannot be written: 503, and nothing goes out")
def _():
    mark = len(net.origin_log())
    with Served(net, ALL, audit="/dev/full") as proxy:
        for ask in (connect("api.example.com:7", proxy.basic), get("http://api.example.com/", proxy.basic)):
            with proxy.talk() as talk:
                refused(talk.ask(ask), 503, "audit_failed")
        proxy.kill()
    equal([r for r in net.origin_log()[mark:] if r["kind"] == "request"], [], "requests that reached a server")


# ---- time and number


@test("half a head: 408 when its time is up, also for one that goes on dripping")
def _():
    options = config("slow.json", allowed_hosts=["*.example.com"], limits={"header_timeout_secs": 1})
    with Served(net, options) as proxy:
        started = time.monotonic()
        with proxy.talk() as still, proxy.talk() as dripping:
            still.send(b"CONNECT api.example.com:443 HTTP/1.1\r\nHo")
            dripping.send(b"GET http://api.example.com/ HTTP/1.1\r\n")
            drips = 0
            while time.monotonic() - started < 8:
                try:
                    dripping.send(b"x")
                    dripping.sock.settimeout(0.1)
                    dripping.data += dripping.sock.recv(1000)
                    break
                except TimeoutError:
                    drips += 1
            dripping.sock.settimeout(10)
            refused(dripping.answer(), 408, "too_slow")
            refused(still.answer(), 408, "too_slow")
            below(time.monotonic() - started, 4, "seconds")
            true(drips >= 5, f"it was not cut off at once: {drips}")
            equal(still.rest(), b"", "the rest")
        # The time of a head is not the time of a connection: a tunnel, and a client between two requests, may be silent for longer.
        with proxy.talk() as tunnel, proxy.talk() as kept:
            equal(tunnel.tunnel("api.example.com:7", proxy.basic).status, 200, "status")
            equal(kept.ask(get("http://v4only.example.com/", proxy.basic)).status, 200, "status")
            time.sleep(1.5)
            tunnel.send(b"still there")
            equal(tunnel.exactly(11), b"still there", "the echo")
            equal(kept.ask(get("http://v4only.example.com/", proxy.basic)).status, 200, "status of the next request")


def time_requests(proxy, count=21):
    """Seconds for a request: the best of three medians, so that what else the machine does counts for little."""

    def one():
        started = time.monotonic()
        with proxy.talk() as talk:
            equal(talk.ask(get("http://v4only.example.com/", proxy.basic)).status, 200, "status of a good client")
        return time.monotonic() - started

    return min(statistics.median(one() for _ in range(count)) for _ in range(3))


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


HALF_OPEN = [
    ("half a head", lambda proxy: b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api", False),
    ("not one byte", lambda proxy: b"", False),
    ("a head without the token, and then nothing", lambda proxy: get("http://api.example.com/"), True),
]


def half_open(data, answered):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 16384), limits[1]))
    held = []

    def hold(proxy):
        for _ in range(4000):
            sock = socket.create_connection(proxy.address, 5)
            held.append(sock)
            sock.sendall(data(proxy))
            if answered:
                sock.recv(4096)

    try:
        with Served(net, ["--allow-domain", "*.example.com"]) as proxy:
            before = time_requests(proxy)
            in_namespace(net.inside, lambda: hold(proxy))
            during = time_requests(proxy)
            true(during < 2 * before + 0.005, f"seconds for a request: {before:.4f} before, {during:.4f} with 4,000 half-open connections")
            for sock in held:
                reset(sock)
            held.clear()
            time_requests(proxy, 3)
    finally:
        for sock in held:
            reset(sock)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


for what, *how in HALF_OPEN:
    test(f"4,000 connections with {what}: a good client is served as before, though only 1,024 are allowed", limit=100)(lambda how=how: half_open(*how))


@test("half-open heads do not push out tunnels that stand")
def _():
    with Served(net, ["--allow-domain", "*.example.com", "--max-connections", "8"]) as proxy:
        tunnels = [proxy.talk() for _ in range(4)]
        for talk in tunnels:
            equal(talk.tunnel("api.example.com:7", proxy.basic).status, 200, "status")
        heads = [proxy.talk() for _ in range(20)]
        for talk in heads:
            talk.send(b"GET http://api.exam")
        with proxy.talk() as talk:
            equal(talk.ask(get("http://api.example.com/", proxy.basic)).status, 200, "status of a good client")
        for talk in tunnels:
            talk.send(b"hello")
            equal(talk.exactly(5), b"hello", "the echo")
        for talk in tunnels + heads:
            talk.close()


# ---- its end


def started_download(proxy, name):
    talk = proxy.talk()
    talk.send(get(f"http://v4only.example.com/held/{name}", proxy.basic))
    answer = talk.head()
    equal((answer.status, talk.exactly(100)), (200, b"1" * 100), "the first half")
    return talk


def release(name):
    contains(net.host([*CURL, f"http://{V4ONLY}/release/{name}"]).stdout, "server name", "the origin's answer")


@test("SIGTERM and SIGINT drain: no new client, the running download and tunnel end well, exit status 0")
def _():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Served(net, ["--allow-domain", "*.example.com", "--drain-timeout", "20"]) as proxy:
            talk, tunnel = started_download(proxy, number.name), proxy.talk()
            equal(tunnel.tunnel("api.example.com:7", proxy.basic).status, 200, "status")
            proxy.signal(number)
            wait_for(proxy.turns_away, "a new client is turned away", 5)
            release(number.name)
            equal(talk.exactly(100), b"2" * 100, "the second half")
            tunnel.send(b"hello")
            equal(tunnel.exactly(5), b"hello", "the echo")
            for one in (talk, tunnel):
                one.close()
            started = time.monotonic()
            ended = proxy.finish()
            equal(ended.status, 0, f"exit status; {ended}")
            below(time.monotonic() - started, 5, "seconds from the end of the last connection")


@test("drain: connections that wait for nothing do not hold up the end: silent ones, and between two requests")
def _():
    with Served(net, ["--allow-domain", "*.example.com", "--drain-timeout", "20"]) as proxy:
        silent, kept, asked = proxy.talk(), proxy.talk(), proxy.talk()
        equal(kept.ask(get("http://api.example.com/", proxy.basic)).status, 200, "status")
        equal(asked.ask(get("http://api.example.com/")).status, 407, "status without the token")
        started = time.monotonic()
        ended = proxy.stop()
        equal(ended.status, 0, f"exit status; {ended}")
        below(time.monotonic() - started, 3, "seconds")
        for talk in (silent, kept, asked):
            equal(talk.rest(), b"", "the rest")


@test("drain: what does not end within --drain-timeout is cut off, exit status 0")
def _():
    with Served(net, ["--allow-domain", "*.example.com", "--drain-timeout", "1"]) as proxy:
        talk = started_download(proxy, "cut")
        started = time.monotonic()
        ended = proxy.stop()
        equal(ended.status, 0, f"exit status; {ended}")
        true(0.8 < time.monotonic() - started < 4, "the time that it took")
        equal(talk.rest(), b"", "the rest")
        equal([r["end"] for r in ended.audit if r["event"] == "close"], ["shutdown"], "how it ended, on record")
    release("cut")


@test("a second SIGTERM ends it at once")
def _():
    with Served(net, ["--allow-domain", "*.example.com", "--drain-timeout", "60"]) as proxy:
        talk = started_download(proxy, "second")
        proxy.signal()
        wait_for(proxy.turns_away, "a new client is turned away", 5)
        started = time.monotonic()
        proxy.signal()
        proxy.finish()
        below(time.monotonic() - started, 3, "seconds")
        equal(talk.rest(), b"", "the rest")
    release("second")


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@test("SIGKILL of serve: the proxy goes with it; SIGKILL of the proxy: serve ends and says so")
def _():
    with Served(net, ALL) as proxy:
        child = proxy.proxy_pid()
        true(child, "the proxy role is found")
        proxy.signal(signal.SIGKILL)
        proxy.finish()
        wait_for(lambda: gone(child), "the proxy role is gone", 5)
        wait_for(proxy.turns_away, "nobody is served", 5)
    with Served(net, ALL) as proxy:
        os.kill(proxy.proxy_pid(), signal.SIGKILL)
        ended = proxy.finish()
        equal(ended.status, 1, f"exit status; {ended}")
        true(ended.err.strip(), "a sentence")


@test("--owner-fd: it drains and ends when the other end is closed, pipe or socket")
def _():
    for make in (os.pipe, lambda: tuple(s.detach() for s in socket.socketpair())):
        theirs, ours = make()
        try:
            with Served(net, [*ALL, "--owner-fd", str(theirs)], pass_fds=[theirs]) as proxy:
                equal(proxy.client([*CURL, "http://v4only.example.com/"]).returncode, 0, "curl's exit status")
                child = proxy.proxy_pid()
                os.close(ours)
                ours = -1
                ended = proxy.finish()
                equal(ended.status, 0, f"exit status; {ended}")
                true(gone(child), "the proxy role is gone")
        finally:
            os.close(theirs)
            if ours >= 0:
                os.close(ours)


@test("--owner-fd: it ends when the process that started it is killed, though the descriptor lives on elsewhere")
def _():
    theirs, ours = os.pipe()
    code = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], close_fds=False); p.wait()"
    proxy = Served(net, [*ALL, "--owner-fd", str(theirs)], pass_fds=[theirs], before=[PYTHON, "-c", code])
    try:
        serve, role = proxy.pid, proxy.proxy_pid()
        true(serve != proxy.process.pid and role, "there is a process between")
        proxy.process.kill()
        wait_for(lambda: gone(serve) and gone(role), "both are gone", 10)
    finally:
        os.close(ours)
        os.close(theirs)
        proxy.kill()


@test("a closed standard output, or a reader that is gone, does not keep it from serving or ending")
def _():
    with Served(net, ["--allow-domain", "api.example.com"]) as proxy:
        proxy.process.stdout.close()
        proxy.process.stdout = None
        equal(proxy.client([*CURL, "https://api.example.com/"]).returncode, 0, "curl's exit status")
        proxy.signal()
        equal(proxy.process.wait(timeout=10), 0, "exit status")


@test("it starts in a user namespace, where the caller is root and nobody else exists")
def _():
    with Served(net, ["--allow-domain", "api.example.com"], before=["unshare", "--user", "--map-root-user"]) as proxy:
        equal(proxy.client([*CURL, "https://api.example.com/"]).returncode, 0, "curl's exit status")
        equal(proxy.stop().status, 0, "exit status")


@test("other processes of the same user cannot look into either process, which know the token")
def _():
    with Served(net, []) as proxy:
        for pid in (proxy.pid, proxy.proxy_pid()):
            equal(os.stat(f"/proc/{pid}/mem").st_uid, 0, "who owns the memory's file")


def close_shared():
    for proxy in _shared.values():
        ended = proxy.stop()
        equal(ended.status, 0, f"exit status; {ended}")
        lacks(ended.audit_text, proxy.token, "the audit")


test("the proxies that served all of this end well")(close_shared)


if __name__ == "__main__":
    if os.geteuid() != 0:
        test("serve")(lambda: skip("needs root to build the internet"))
    run()
