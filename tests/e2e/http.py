#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clear HTTP by real programs: allowed requests are served, each is judged by its own Host, and what is refused is told why."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import programs  # noqa: E402
from internet import API4, API6, CDN4, EVIL4, EVIL6, PYTHON, V4ONLY, V6ONLY, Internet, Sniffer  # noqa: E402
from tap import contains, equal, lacks, run, skip, test, true  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
CURL = ["curl", "-sS", "-m", "8"]

# A request as written, and what comes back until the end: raw.py HOST PORT REQUEST.
RAW = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.settimeout(8)
s.sendall(sys.argv[3].encode().decode('unicode_escape').encode('latin-1'))
data = b''
try:
    while chunk := s.recv(4096):
        data += chunk
except ConnectionResetError:
    data += b'(reset)'
sys.stdout.write(data.decode('latin-1'))
"""


def raw(options, host, request, port=80):
    return net.run(options, [PYTHON, "-c", RAW, host, str(port), request])


def reached(result, address=None, name="api.example.com"):
    equal(result.status, 0, f"exit status; standard error was {result.err!r}")
    contains(result.out, f"host {name}", "the page")
    if address:
        contains(result.out, f"address {address}", "the page")
    requests = result.allowed(target=name, port=80)
    true(requests and requests[0].get("method"), f"the audit has no allowed request to {name}:\n{result.audit_text}")


def closes(result):
    return [r for r in result.audit if r["event"] == "close" and r.get("method")]


@test("curl over IPv4 and over IPv6")
def _():
    reached(net.run(API, [*CURL, "-4", "http://api.example.com/"]), API4)
    reached(net.run(API, [*CURL, "-6", "http://api.example.com/"]), API6)


@test("curl, two requests on one connection, each on record")
def _():
    mark = len(net.origin_log())
    result = net.run(API, [*CURL, "-4", "-w", "%{num_connects} ", "http://api.example.com/a?secret=1", "http://api.example.com/b"])
    equal(result.out.count("server name"), 2, f"pages in {result.out!r}")
    equal(result.out.count("0 "), 1, f"the second request makes no connection: {result.out!r}")
    equal([r["path"] for r in closes(result)], ["/a", "/b"], "paths on record")
    equal([r["status"] for r in closes(result)], [200, 200], "statuses on record")
    lacks(result.audit_text, "secret", "the audit")
    log = net.origin_log()[mark:]
    equal(len([r for r in log if r["kind"] == "accept"]), 1, f"connections that reached an origin: {log}")
    equal([r["path"] for r in log if r["kind"] == "request"], ["/a?secret=1", "/b"], "what the origin saw")


@test("curl moves a large body whole")
def _():
    size = 20 << 20
    result = net.run(API, ["sh", "-c", f"curl -sS http://api.example.com/bytes/{size} | wc -c"])
    equal(result.out.strip(), str(size), "bytes received")
    true(closes(result)[0]["bytes_down"] > size, f"the close record tells the bytes: {closes(result)}")


@test("curl posts with Expect: 100-continue to a server that says nothing to it, and the bytes arrive")
def _():
    with open(net.path("upload"), "wb") as file:
        file.write(b"u" * 300000)
    result = net.run(API, [*CURL, "-H", "Expect: 100-continue", "--data-binary", f"@{net.path('upload')}", "http://api.example.com/post"])
    reached(result)
    record = closes(result)[0]
    equal((record["method"], record["path"], record["status"]), ("POST", "/post", 200), "the record")
    true(record["bytes_up"] > 300000, f"the close record tells the bytes: {record}")


@test("curl: HEAD, and a page that is not there")
def _():
    result = net.run(API, [*CURL, "-I", "http://api.example.com/"])
    contains(result.out, "HTTP/1.1 200 OK", f"the head ({result.err})")
    result = net.run(API, [*CURL, "-w", "%{http_code}", "http://api.example.com/files/none"])
    contains(result.out, "404", "the status")


# How each shows a 403: not all of them show its body.
WORDS = "Forbidden: address 203.0.113.10 is neither an allowed address nor the address of an allowed name"
HINT = "to allow it: --allow-cidr 203.0.113.10/32:80"
CLIENTS = [
    ("curl", programs.curl, "error: 403", HINT),
    ("wget", lambda *urls: programs.wget(net, *urls), "ERROR 403: " + WORDS, ""),
    ("Python's urllib", programs.urllib, "403 " + WORDS, HINT),
    ("Python's requests", programs.requests, "403 " + WORDS, HINT),
    ("Python's httpx", programs.httpx, "403 " + WORDS, HINT),
    ("Node's fetch", programs.fetch, "403 " + WORDS, HINT),
    ("Go's net/http with Go's own resolver", programs.go, "403 " + WORDS, HINT),
]


def reaches_and_is_refused(words, message, hint):
    result = net.run(["--allow-domain", "*.example.com"], words("http://v4only.example.com/1", "http://v4only.example.com/2", "http://v6only.example.com/3"))
    reached(result, V4ONLY, "v4only.example.com")
    reached(result, V6ONLY, "v6only.example.com")
    equal([r["path"] for r in closes(result)], ["/1", "/2", "/3"], "paths on record")
    mark = len(net.origin_log())
    result = net.run(["--allow-domain", "api.example.com:443"], words(f"http://{API4}/"))
    true(result.status != 0, "a refusal is an error")
    contains(result.err, message, "the message")
    contains(result.out + result.err.partition("nono-proxy: refused")[0], hint, "what it shows of the body")
    equal(net.visits(API4, mark), [], "what the origin saw")


for client, *how in CLIENTS:
    test(f"{client}: either family, and a refusal in its words", limit=120)(lambda how=how: reaches_and_is_refused(*how))


@test("git clone over clear HTTP, from either family; a refusal in its words")
def _():
    net.start_git()
    for number, name in enumerate(("git", "v6only")):
        clone = net.path(f"clone-{number}")
        result = net.run(["--allow-domain", f"{name}.example.com:80"], ["git", "clone", "-q", f"http://{name}.example.com/files/repo.git", clone])
        equal(result.status, 0, f"git's exit status; standard error was {result.err!r}")
        with open(os.path.join(clone, "hello.txt"), encoding="utf-8") as file:
            equal(file.read(), "hello from the repository\n", "the file")
        true(result.allowed(target=f"{name}.example.com", port=80, path="/files/repo.git/info/refs"), f"the record:\n{result.audit_text}")
        lacks(result.audit_text, "service=", "the audit")
    result = net.run(API, ["git", "clone", "-q", f"http://{EVIL4}/files/repo.git", net.path("clone-none")])
    equal(result.status, 128, "git's exit status")
    contains(result.err, "error: 403", "git's message")


@test("git's own protocol: clone and push of what needs chunks")
def _():
    net.start_git()
    folder = net.path("round")
    os.mkdir(folder)
    result = net.run(["--allow-domain", "git.example.com"], programs.git_round_trip("http://git.example.com/git/repo.git", folder))
    equal((result.status, result.out), (0, "hello from the repository\n"), f"exit status and the file; it said {result.err}")


@test("Python, many connections at a time, each with its own answer")
def _():
    code = """
import concurrent.futures, urllib.request
def get(i):
    name = ('api', 'cdn-a', 'v4only', 'v6only')[i % 4] + '.example.com'
    return f'host {name}' in urllib.request.urlopen(f'http://{name}/', timeout=30).read().decode()
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(get, range(200))), 'right')
"""
    result = net.run(["--allow-domain", "*.example.com"], [PYTHON, "-c", code])
    contains(result.out, "200 right", f"answers (standard error: {result.err})")


@test("HTTP/1.0 with a Host, and nc that closes its sending side")
def _():
    request = "GET / HTTP/1.0\\r\\nHost: api.example.com\\r\\n\\r\\n"
    result = net.run(API, ["sh", "-c", f"printf '{request}' | nc -N -w 5 api.example.com 80"])
    contains(result.out, "host api.example.com", f"the page ({result.err})")


@test("a Host that is no name of the address: 403 in a body that explains, and the origin hears nothing")
def _():
    mark = len(net.origin_log())
    result = raw(API, "api.example.com", "GET /x?secret HTTP/1.1\\r\\nHost: evil.example\\r\\n\\r\\n")
    head, _, body = result.out.partition("\r\n\r\n")
    contains(head, "HTTP/1.1 403 Forbidden", "the answer")
    contains(head, "X-Nono-Denied: host_mismatch", "the answer")
    told = json.loads(body)
    equal((told["reason"], told["host"], told["port"]), ("host_mismatch", "evil.example", 80), "the body")
    contains(told["hint"], "--allow-domain evil.example", "the hint")
    true(result.denied(target="evil.example", reason="host_mismatch", method="GET", path="/x"), f"the record:\n{result.audit_text}")
    equal([r for r in net.origin_log()[mark:] if r["kind"] == "request"], [], "requests that reached an origin")


@test("the second request of a connection is judged by its own Host")
def _():
    mark = len(net.origin_log())
    two = "".join(f"GET /{h} HTTP/1.1\\r\\nHost: {h}.example.com\\r\\n\\r\\n" for h in ("cdn-a", "cdn-b"))
    result = raw(["--allow-domain", "cdn-a.example.com"], "cdn-a.example.com", two)
    contains(result.out, "host cdn-a.example.com", "the first answer")
    contains(result.out, "X-Nono-Denied: host_mismatch", "the second answer")
    equal([r["path"] for r in net.origin_log()[mark:] if r["kind"] == "request"], ["/cdn-a"], "requests that reached an origin")
    result = net.run(["--allow-domain", "*.example.com"], [*CURL, "-4", "http://cdn-a.example.com/", "http://cdn-b.example.com/"])
    equal([line.rsplit(" ", 1)[1] for line in result.out.splitlines()], ["cdn-a.example.com", "cdn-b.example.com"], "pages")
    contains(result.out, f"address {CDN4}", "the page")


@test("a smuggled request reaches nobody")
def _():
    mark = len(net.origin_log())
    for field in ("Content-Length: 4\\r\\nTransfer-Encoding: chunked", "Content-Length: 4\\r\\nContent-Length: 0", "Transfer-Encoding: xchunked",
                  "X: 1\\n", "X : 1"):
        result = raw(API, "api.example.com", f"POST / HTTP/1.1\\r\\nHost: api.example.com\\r\\n{field}\\r\\n\\r\\n0\\r\\n\\r\\nGET /evil HTTP/1.1\\r\\n"
                                             "Host: api.example.com\\r\\n\\r\\n")
        contains(result.out, "HTTP/1.1 400 Bad Request", f"the answer to {field!r}")
        equal(result.out.count("HTTP/1.1 "), 1, "answers")
    equal([r for r in net.origin_log()[mark:] if r["kind"] == "request"], [], "requests that reached an origin")


@test("TRACE and CONNECT: 405")
def _():
    result = net.run(API, [*CURL, "-X", "TRACE", "-w", "%{http_code}", "http://api.example.com/"])
    contains(result.out, "method_refused", "the answer")
    contains(result.out, "405", "the status")
    result = raw(API, "api.example.com", "CONNECT evil.example:443 HTTP/1.1\\r\\nHost: evil.example:443\\r\\n\\r\\n")
    contains(result.out, "HTTP/1.1 405 ", "the answer")


@test("an address that no answer gave: the Host is dialled, the address is never touched")
def _():
    with Sniffer(net) as sniffer:
        result = net.run(API, [*CURL, "--resolve", f"api.example.com:80:{EVIL4}", "http://api.example.com/"])
        reached(result)
        true(f"address {API4}" in result.out or f"address {API6}" in result.out, f"the page comes from api.example.com: {result.out!r}")
        equal([f for f in sniffer.frames() if f.destination in (EVIL4, EVIL6)], [], "frames that left for evil.example")


@test("an address that no answer gave, with a Host that is not allowed: 403, and no query left")
def _():
    result = net.run(API, [*CURL, "-i", "--resolve", f"evil.example:80:{API4}", "http://evil.example/"])
    contains(result.out, "X-Nono-Denied: host_not_allowed", f"the answer ({result.err})")
    true(result.denied(target="evil.example", reason="host_not_allowed"), f"the record:\n{result.audit_text}")
    equal(result.asked("evil.example"), [], "queries that left for it")


@test("an upstream that refuses, by a name that no answer gave: 502 that explains")
def _():
    result = net.run(["--allow-domain", "refuse.example.com"], [*CURL, "-i", "--resolve", f"refuse.example.com:80:{EVIL4}", "http://refuse.example.com/"])
    contains(result.out, "HTTP/1.1 502 Bad Gateway", f"the answer ({result.err})")
    contains(result.out, "upstream_refused", "the answer")


@test("under an address rule requests pass as they are")
def _():
    result = net.run(["--allow-cidr", f"{API4}/32:80"], [*CURL, f"http://{API4}/"])
    contains(result.out, f"host {API4}", f"the page ({result.err})")


if __name__ == "__main__":
    if os.geteuid() != 0:
        test("end to end")(lambda: skip("needs root"))
    run()
