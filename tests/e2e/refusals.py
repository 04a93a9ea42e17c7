#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is refused, in which words, and that nothing of it left the host."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import (API4, API6, CDN4, DNS_SCRIPT, EVIL4, EVIL6, METADATA4, METADATA6, PRIVATE, PYTHON,  # noqa: E402
                      Internet, Sniffer)
from tap import among, below, contains, equal, lacks, run, test, true  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
ALL = ["--allow-domain", "*"]
CURL = ["curl", "-sS", "-m", "8"]
SECRET = "keys-of-the-kingdom"

METADATA_FORMS = ["http://169.254.169.254/", "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0xa9fea9fe/",
                  f"http://[{METADATA6}]/"]


def nothing_to(sniffer, *addresses):
    seen = [f for f in sniffer.frames() if f.destination in addresses]
    equal(seen, [], "frames that left for refused addresses")


def denied(result, **fields):
    true(result.denied(**fields), f"the audit has no refusal with {fields}:\n{result.audit_text}")


@test("control: without the sandbox every bait can be reached")
def _():
    for url in METADATA_FORMS:
        contains(net.host([*CURL, url]).stdout, SECRET, url)
    contains(net.host([*CURL, "--resolve", f"evil.example:443:{EVIL4}", "https://evil.example/"]).stdout, "evil.example")
    contains(net.host(["dig", "+short", "@8.8.8.8", "api.example.com"]).stdout, EVIL4)
    contains(net.host([*CURL, "http://127.0.0.1:8081/"]).stdout, "127.0.0.1")
    contains(net.host([*CURL, f"http://{PRIVATE}/"]).stdout, PRIVATE)
    code = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('{API4}', 443)); s.settimeout(3); print(s.recv(9))"
    contains(net.host([PYTHON, "-c", code]).stdout, "b'x'", "UDP echo")
    with Sniffer(net) as sniffer:
        net.host([*CURL, "-k", f"https://{EVIL4}/"])
        true([f for f in sniffer.frames() if f.destination == EVIL4], "the sniffer sees what goes to evil.example")


@test("a refused name: curl could not resolve it, and no query for it left")
def _():
    with Sniffer(net) as sniffer:
        result = net.run(API, [*CURL, "https://evil.example/"])
        equal(result.status, 6, "curl's exit status")
        contains(result.err, "Could not resolve host: evil.example", "curl's message")
        denied(result, target="evil.example", reason="host_not_allowed", mode="dns")
        equal(result.asked("evil.example"), [], "queries that left for it")
        nothing_to(sniffer, EVIL4, EVIL6)


@test("a refused name: dig shows the reason and the option that would allow it")
def _():
    result = net.run(API, ["dig", "evil.example"])
    contains(result.out, "status: NXDOMAIN", "dig's output")
    contains(result.out, "EDE: 15 (Blocked)", "dig's output")
    contains(result.out, "host_not_allowed", "dig's output")
    contains(result.out, "--allow-domain evil.example", "dig's output")
    lacks(result.out, "SOA", "dig's output")


@test("an empty allowlist refuses everything")
def _():
    result = net.run([], [*CURL, "https://api.example.com/"])
    equal(result.status, 6, "curl's exit status")
    equal(result.queries, [], "queries that left")


@test("names near an allowed one: a parent, a child, a look-alike, other spellings")
def _():
    names = ["example.com", "sub.api.example.com", "evilapi.example.com", "api.example.com.evil.example", "api.example.co"]
    result = net.run(API, ["sh", "-c", "for n in \"$@\"; do dig +short $n; done", "sh", *names])
    equal(result.out, "", "answers")
    for name in names:
        denied(result, target=name, reason="host_not_allowed")
    equal(result.queries, [], "queries that left")


@test("upper case, and a dot at the end, are the same name")
def _():
    result = net.run(API, [*CURL, "-k", "https://API.Example.COM./"])
    equal(result.status, 0, f"curl's exit status; standard error was {result.err!r}")
    true(result.allowed(target="api.example.com"), f"the audit has the normal name:\n{result.audit_text}")


@test("a port that the rule does not name")
def _():
    result = net.run(["--allow-domain", "api.example.com:443"], [*CURL, "https://api.example.com:8443/"])
    true(result.status != 0, "curl fails")
    below(result.seconds, 8, "seconds")
    true([r for r in result.denied() if r.get("port") == 8443], f"the audit refuses port 8443:\n{result.audit_text}")


@test("deny beats allow")
def _():
    result = net.run([*ALL, "--deny-domain", "evil.example"], ["sh", "-c", "curl -sS -m 8 https://evil.example/; curl -sS https://api.example.com/"])
    contains(result.out, "server name api.example.com", "the page")
    lacks(result.out, "evil", "the page")
    denied(result, target="evil.example", reason="host_denied")
    equal(result.asked("evil.example"), [], "queries that left for it")


@test("a refused address: TLS gets an alert, access denied")
def _():
    with Sniffer(net) as sniffer:
        result = net.run(API, ["sh", "-c", f"curl -sS -m 8 -k https://{EVIL4}/; openssl s_client -connect {EVIL4}:443 -servername evil.example </dev/null"])
        contains(result.err, "alert access denied", "curl's or openssl's message")
        true(result.denied(orig_dst=f"{EVIL4}:443"), f"the audit names the address:\n{result.audit_text}")
        nothing_to(sniffer, EVIL4)


@test("a refused address: clear HTTP gets a 403 that explains")
def _():
    with Sniffer(net) as sniffer:
        result = net.run(["--allow-domain", "api.example.com:443"], [*CURL, "-i", f"http://{EVIL4}/"])
        equal(result.status, 0, f"curl's exit status; standard error was {result.err!r}")
        contains(result.out, "HTTP/1.1 403 Forbidden", "the answer")
        contains(result.out, "X-Nono-Denied: ", "the answer")
        contains(result.out, '"hint"', "the answer")
        nothing_to(sniffer, EVIL4)


@test("a refused address: any other protocol gets a reset within a second")
def _():
    code = f"""
import socket, time
start = time.monotonic()
s = socket.create_connection(('{EVIL4}', 25))
s.settimeout(5)
try:
    print('got', s.recv(100))
except OSError as e:
    print(type(e).__name__, time.monotonic() - start < 1.5)
"""
    with Sniffer(net) as sniffer:
        result = net.run(["--allow-domain", "api.example.com:443"], [PYTHON, "-c", code])
        equal(result.out.strip(), "ConnectionResetError True", "what the client saw")
        denied(result, reason="cidr_not_allowed")
        nothing_to(sniffer, EVIL4)


@test("metadata, in five notations, with everything else allowed: refused, in HTTP's words, and no frame left")
def _():
    with Sniffer(net) as sniffer:
        result = net.run(ALL, ["sh", "-c", "for u in \"$@\"; do curl -sS -g -m 8 -w '%{http_code}\\n' \"$u\" || true; done", "sh", *METADATA_FORMS])
        lacks(result.out + result.err, SECRET, "output")
        equal(result.out.count("metadata_address") + result.out.count("link_local_address") >= 5, True, f"five refusals with a reason: {result}")
        equal(result.out.count("\n403") + result.out.startswith("403") + result.out.count("}403"), 5, f"status codes in {result.out!r}")
        nothing_to(sniffer, METADATA4, METADATA6)


@test("metadata over TLS: an alert")
def _():
    result = net.run(ALL, [*CURL, "-k", f"https://{METADATA4}/"])
    contains(result.err, "alert access denied", "curl's message")


@test("metadata, though a rule names it")
def _():
    result = net.run(["--allow-domain", METADATA4, "--allow-cidr", "169.254.169.254/32:80"], [*CURL, f"http://{METADATA4}/"])
    among(result.status, (0, 2, 125), "exit status")
    lacks(result.out, SECRET, "output")


@test("a name that has a metadata address is refused whole")
def _():
    with Sniffer(net) as sniffer:
        for name in ("meta.example.com", "meta6.example.com", "mixed.example.com"):
            result = net.run(ALL, ["sh", "-c", f"dig {name}; dig {name} AAAA; curl -sS -m 8 http://{name}/"])
            contains(result.out, "EDE: 15 (Blocked)", f"dig {name}")
            lacks(result.out, SECRET, "output")
            lacks(result.out, API4, f"addresses given for {name}")
            contains(result.err, "Could not resolve host", "curl's message")
            true([r for r in result.denied(target=name) if r["reason"] in ("metadata_address", "link_local_address")],
                 f"the audit tells why:\n{result.audit_text}")
        nothing_to(sniffer, METADATA4, METADATA6)


@test("a metadata name is refused without a query")
def _():
    result = net.run(ALL, ["sh", "-c", "for n in metadata.google.internal METADATA.google.internal. instance-data; do dig +short $n; done"])
    equal(result.out, "", "answers")
    equal(result.queries, [], "queries that left")


@test("disguised metadata addresses in answers: mapped, NAT64, through an alias")
def _():
    for name, kind in (("mapped", "AAAA"), ("nat64", "AAAA"), ("chain", "A")):
        result = net.run(ALL, ["dig", f"{name}.example.com", kind], resolver=DNS_SCRIPT)
        contains(result.out, "EDE: 15 (Blocked)", name)


@test("loopback by a public name is refused unless a rule names it")
def _():
    result = net.run(ALL, ["sh", "-c", "dig +short loop.example.com; curl -sS -m 5 http://loop.example.com:8081/"])
    equal(result.out, "", "output")
    denied(result, target="loop.example.com")


@test("the host's own services on loopback are refused")
def _():
    for where in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "198.51.100.1"):
        result = net.run(API, [*CURL, f"http://{where}:8081/"])
        lacks(result.out, "server name", f"the host's page by {where}")


@test("--allow-cidr 127.0.0.1/32:8080 opens the host's service, and its port only")
def _():
    result = net.run(["--allow-cidr", "127.0.0.1/32:8080"], ["sh", "-c", "printf hello | nc -N -w 5 127.0.0.1 8080; curl -sS -m 5 http://127.0.0.1:8081/"])
    contains(result.out, "hello", f"the echo ({result.err})")
    lacks(result.out, "server name", "the other port")


@test("a private address of an allowed name is allowed; by itself it is not")
def _():
    result = net.run(["--allow-domain", "private.example.com"], [*CURL, "https://private.example.com/"])
    contains(result.out, f"address {PRIVATE}", f"the page ({result.err})")
    result = net.run(["--allow-domain", "api.example.com"], [*CURL, "-k", f"https://{PRIVATE}/"])
    lacks(result.out, "server name", "the page")


@test("SNI that names another host: alert, and that host is not reached")
def _():
    mark = len(net.origin_log())
    result = net.run(API, [*CURL, "-k", "--connect-to", "evil.example:443:api.example.com:443", "https://evil.example/"])
    equal(result.status, 35, "curl's exit status")
    contains(result.err, "alert access denied", "curl's message")
    denied(result, target="evil.example", reason="sni_mismatch")
    equal([r for r in net.origin_log()[mark:] if r["kind"] == "request"], [], "requests that reached an origin")


@test("no SNI on a name rule: alert")
def _():
    result = net.run(API, ["openssl", "s_client", "-connect", "api.example.com:443", "-noservername"])
    contains(result.err, "alert access denied", "openssl's message")
    denied(result, reason="sni_missing")


@test("no SNI under an address rule passes")
def _():
    result = net.run(["--allow-cidr", f"{API4}/32:443"], ["sh", "-c", f"echo | openssl s_client -connect {API4}:443 -noservername"])
    contains(result.out, "BEGIN CERTIFICATE", f"the certificate ({result.err})")


@test("what begins like TLS and is none is refused")
def _():
    code = """
import socket
s = socket.create_connection(('api.example.com', 443))
s.sendall(b'\\x16\\x03\\x01\\x00\\x05\\x01\\x00\\x00\\x01\\x00')
s.settimeout(8)
print(s.recv(100).hex())
"""
    result = net.run(API, [PYTHON, "-c", code])
    contains(result.out, "15030", f"an alert ({result.err})")
    denied(result, reason="tls_malformed")


@test("an address that no answer gave: the SNI's host is dialled, the address is never touched")
def _():
    with Sniffer(net) as sniffer:
        result = net.run(API, [*CURL, "--resolve", f"api.example.com:443:{EVIL4}", "https://api.example.com/"])
        equal(result.status, 0, f"curl's exit status; standard error was {result.err!r}")
        true(f"address {API4}" in result.out or f"address {API6}" in result.out, f"the page comes from api.example.com: {result.out!r}")
        nothing_to(sniffer, EVIL4, EVIL6)


@test("an address that no answer gave, with a host that is not allowed: alert, and no query left")
def _():
    result = net.run(API, [*CURL, "-k", "--resolve", f"evil.example:443:{API4}", "https://evil.example/"])
    contains(result.err, "alert access denied", "curl's message")
    denied(result, target="evil.example", reason="host_not_allowed")
    equal(result.asked("evil.example"), [], "queries that left for it")


@test("two names on one address: the allowed one is served, the other refused by SNI")
def _():
    result = net.run(["--allow-domain", "cdn-a.example.com"], ["sh", "-c", "curl -sS -m 8 https://cdn-a.example.com/;"
                     "curl -sS -m 8 --connect-to cdn-b.example.com:443:cdn-a.example.com:443 https://cdn-b.example.com/"])
    contains(result.out, "server name cdn-a.example.com", "the page")
    lacks(result.out, "cdn-b", "the page")
    contains(result.err, "alert access denied", "curl's message")
    denied(result, target="cdn-b.example.com", reason="sni_mismatch")


@test("two names on one address, both allowed and both looked up: each gets its own page")
def _():
    result = net.run(["--allow-domain", "*.example.com"], ["sh", "-c", "for n in cdn-a cdn-b cdn-a; do curl -sS https://$n.example.com/; done"])
    equal([line.split(",")[0] for line in result.out.splitlines()], [f"server name {n}.example.com" for n in ("cdn-a", "cdn-b", "cdn-a")], "pages")


@test("an upstream that refuses: the connection is reset at once")
def _():
    result = net.run(["--allow-domain", "refuse.example.com"], [*CURL, "-w", "%{time_total}", "https://refuse.example.com/"])
    among(result.status, (7, 35, 52, 56), "curl's exit status")
    below(float(result.out.split()[-1]), 1.0, "seconds")
    denied(result, target="refuse.example.com", reason="upstream_refused")


@test("an upstream that resets after accepting")
def _():
    result = net.run(["--allow-domain", "reset.example.com"], [*CURL, "-w", "%{time_total}", "https://reset.example.com/"])
    among(result.status, (35, 52, 56), "curl's exit status")
    below(float(result.out.split()[-1]), 1.0, "seconds")


@test("a dead first address does not hold up the second")
def _():
    result = net.run(["--allow-domain", "hole-first.example.com"], [*CURL, "-w", "%{time_total}", "https://hole-first.example.com/"])
    contains(result.out, f"address {API4}", f"the page ({result.err})")
    below(float(result.out.split()[-1]), 1.5, "seconds")


@test("an upstream that never answers: the client is not left waiting for ever", limit=90)
def _():
    result = net.run(["--allow-domain", "hole.example.com"], ["curl", "-sS", "-m", "30", "https://hole.example.com/"])
    true(result.status != 28, "curl got an answer before its own time limit")
    denied(result, target="hole.example.com", reason="upstream_timeout")


@test("rebinding: the answer that turns bad is not used, and the good one is what was dialled")
def _():
    result = net.run(["--allow-domain", "flip.example.com"],
                     ["sh", "-c", "curl -sS -4 -m 8 https://flip.example.com/; curl -sS -4 -m 8 https://flip.example.com/;"
                                  "curl -sS -m 5 http://127.0.0.1:8081/"], resolver=DNS_SCRIPT)
    contains(result.out, f"address {API4}", "the first page")
    lacks(result.out, "address 127.0.0.1, host", "output: no server there answered")
    lacks(result.out, SECRET, "output")
    for record in result.allowed():
        among(record.get("resolved_ip"), (API4, None), "the address dialled")


@test("--monitor lets pass and records, but what is always refused stays refused")
def _():
    result = net.run(["--monitor"], ["sh", "-c", f"curl -sS -m 8 https://evil.example/; curl -sS -m 8 http://{METADATA4}/"])
    contains(result.out, "server name evil.example", f"the page ({result.err})")
    lacks(result.out, SECRET, "output")
    denied(result, reason="metadata_address")


@test("server names with control characters, quotes, NUL: an alert, and nothing of them reaches the terminal or splits a record")
def _():
    code = """
import socket, struct
def hello(name):
    sni = struct.pack('!HBH', len(name) + 3, 0, len(name)) + name
    ext = struct.pack('!HH', 0, len(sni)) + sni
    body = b'\\x03\\x03' + bytes(32) + b'\\0' + b'\\0\\2\\x13\\1' + b'\\1\\0' + struct.pack('!H', len(ext)) + ext
    hs = b'\\1' + struct.pack('!I', len(body))[1:] + body
    return b'\\x16\\3\\1' + struct.pack('!H', len(hs)) + hs
for name in (b'a\\x1b[31m.example.com', b'api.example.com\\0.evil.example', b'a\\r\\nX: y', b'169.254.169.254', b'"},{"a":"'):
    s = socket.create_connection(('203.0.113.66', 443))
    s.sendall(hello(name))
    s.settimeout(8)
    print(s.recv(100).hex())
"""
    result = net.run(ALL, [PYTHON, "-c", code])
    equal([line[:6] for line in result.out.split()], ["150303"] * 5 if "150303" in result.out else ["150301"] * 5, f"alerts ({result.err})")
    equal(sum(r.get("count", 1) for r in result.denied(port=443)), 5, f"refusals that the records stand for:\n{result.audit_text}")
    for text in (result.audit_text, result.err):
        lacks(text, "\x1b", "output")
        lacks(text, "\0", "output")


if __name__ == "__main__":
    run()
