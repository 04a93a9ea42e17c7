#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The sandbox's only DNS server: what it answers, over which transports, whatever server is named."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import (API4, API6, DNS, DNS_SCRIPT, DNS_SILENT, EVIL4, FILES, PYTHON, Internet, Sniffer)  # noqa: E402
from tap import below, contains, equal, lacks, run, test, true  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]


def dig(options, *words, **kwargs):
    return net.run(options, ["dig", "+tries=1", "+timeout=10", *words], **kwargs)


@test("a foreign server, by either family: our answer, and the query does not go there")
def _():
    with Sniffer(net) as sniffer:
        for server in ("8.8.8.8", "2001:db8:200::53", "192.0.2.53", "127.0.0.53"):
            result = dig(API, f"@{server}", "+short", "api.example.com")
            equal(result.out.strip(), API4, f"the answer that seems to come from {server} ({result.err})")
        equal([f for f in sniffer.frames() if f.destination in ("8.8.8.8", "192.0.2.53", "2001:db8:200::53")], [], "frames that left")


@test("the source address of an answer is the server that was asked")
def _():
    result = dig(API, "@8.8.8.8", "api.example.com")
    contains(result.out, "SERVER: 8.8.8.8#53", "dig's output")


@test("over TCP, and several queries on one connection")
def _():
    code = f"""
import socket, struct
def query(ident, name, kind):
    q = struct.pack('!HHHHHH', ident, 0x0100, 1, 0, 0, 0)
    q += b''.join(bytes([len(p)]) + p.encode() for p in name.split('.')) + b'\\0' + struct.pack('!HH', kind, 1)
    return struct.pack('!H', len(q)) + q
s = socket.create_connection(('8.8.8.8', 53))
names = ['api.example.com', 'evil.example', 'api.example.com', 'localhost']
s.sendall(b''.join(query(i, n, 1) for i, n in enumerate(names)))
f = s.makefile('rb')
for _ in names:
    data = f.read(struct.unpack('!H', f.read(2))[0])
    ident, flags, _, answers = struct.unpack('!HHHH', data[:8])
    print(ident, flags & 15, answers)
"""
    result = net.run(API, [PYTHON, "-c", code])
    lines = sorted(result.out.splitlines())
    equal(lines, ["0 0 1", "1 3 0", "2 0 1", "3 0 1"], f"id, rcode, answers ({result.err})")
    contains(dig(API, "+tcp", "+short", "api.example.com").out, API4, "dig +tcp")


@test("EDNS is answered with EDNS, its absence without")
def _():
    contains(dig(API, "api.example.com").out, "EDNS: version: 0", "with")
    lacks(dig(API, "+noedns", "api.example.com").out, "EDNS", "without")
    contains(dig(API, "+noedns", "evil.example").out, "status: NXDOMAIN", "a refusal without EDNS")
    contains(dig(API, "+edns=5", "+noednsnegotiation", "api.example.com").out, "BADVERS", "an unknown version")


@test("AAAA is the real address")
def _():
    equal(dig(API, "+short", "api.example.com", "AAAA").out.strip(), API6, "AAAA")


@test("HTTPS and SVCB: no data, and the question does not leave")
def _():
    for kind in ("HTTPS", "TYPE64"):
        result = dig(API, "api.example.com", kind)
        contains(result.out, "status: NOERROR", kind)
        contains(result.out, "ANSWER: 0", kind)


@test("SRV, TXT, MX of an allowed name pass; of another they do not")
def _():
    result = dig(["--allow-domain", "api.example.com", "--allow-domain", "*.api.example.com"], "+short", "_xmpp._tcp.api.example.com", "SRV")
    contains(result.out, "5222 api.example.com.", "SRV")
    contains(dig(API, "+short", "api.example.com", "TXT").out, "v=spf1 -all", "TXT")
    contains(dig(API, "+short", "api.example.com", "MX").out, "10 smtp.example.com.", "MX")
    result = dig(API, "_sip._tcp.example.com", "SRV")
    contains(result.out, "NXDOMAIN", "SRV of a name that is not allowed")
    equal(result.queries, [], "queries that left")


@test("PTR comes from what was answered before, and from nowhere else")
def _():
    result = net.run(API, ["sh", "-c", f"dig +short -x {API4}; dig +short api.example.com; dig +short -x {API4}; dig +short -x {EVIL4}"])
    equal(result.out.split(), [API4, "api.example.com."], f"answers ({result.err})")
    equal([q for q in result.queries if q.endswith("arpa")], [], "reverse queries that left")


@test("localhost is answered by ourselves")
def _():
    result = net.run([], ["sh", "-c", "dig +short localhost; dig +short localhost AAAA"])
    equal(result.out.split(), ["127.0.0.1", "::1"], "answers")
    equal(result.queries, [], "queries that left")


@test("other kinds and classes get an answer, not a silence")
def _():
    for words in (["api.example.com", "NAPTR"], ["api.example.com", "ANY"], ["-c", "CH", "version.bind", "TXT"], ["+opcode=NOTIFY", "api.example.com"],
                  ["example.com", "AXFR"], [".", "NS"]):
        result = dig(API, *words)
        lacks(result.out + result.err, "timed out", " ".join(words))
        below(result.seconds, 8, "seconds")


@test("names that are no names, and addresses written as names")
def _():
    result = net.run(["--allow-domain", "*"], ["sh", "-c", "for n in '169.254.169.254' '2852039166' '0xa9fea9fe' '0251.0376.0251.0376' '169.254.43518'"
                     " 'a b.example.com' 'a\\000.example.com'; do dig +tries=1 +short \"$n\"; done"])
    equal([line for line in result.out.split() if not line.startswith(";")], [], f"answers ({result.out})")
    equal(result.queries, [], "queries that left")


@test("a resolver that is silent: SERVFAIL that says so, within the time limit", limit=90)
def _():
    result = net.run(API, ["dig", "+tries=1", "+timeout=20", "api.example.com"], resolver=DNS_SILENT)
    contains(result.out, "SERVFAIL", "dig's output")
    contains(result.out, "EDE: ", "dig's output")
    below(result.seconds, 15, "seconds")


@test("a resolver that says SERVFAIL, or that there is none")
def _():
    for resolver in (DNS_SCRIPT, "203.0.113.30"):
        result = net.run(["--allow-domain", "*.example.com"], ["dig", "+tries=1", "+timeout=20", "servfail.example.com"], resolver=resolver)
        contains(result.out, "SERVFAIL", f"dig's output with {resolver}")
        contains(result.out, "EDE: ", f"dig's output with {resolver}")


@test("a name that does not exist, and one without an address")
def _():
    contains(dig(["--allow-domain", "*"], "nosuch.example.com").out, "NXDOMAIN", "a name that does not exist")
    contains(dig(["--allow-domain", "*"], "empty.example.com", resolver=DNS_SCRIPT).out, "status: NOERROR", "a name without an address")


@test("an answer that is truncated over UDP is fetched over TCP")
def _():
    result = net.run(["--allow-domain", "big.example.com"], ["dig", "+tcp", "+short", "big.example.com"], resolver=DNS_SCRIPT)
    equal(len(set(result.out.split())), 50, f"addresses ({result})")
    result = net.run(["--allow-domain", "big.example.com"], ["dig", "+notcp", "+ignore", "+noedns", "big.example.com"], resolver=DNS_SCRIPT)
    contains(result.out, " tc", "the flags of our own answer over UDP")


@test("an answer without measure does no harm: an answer or an explanation, at once")
def _():
    result = net.run(["--allow-domain", "huge.example.com"], ["dig", "+tcp", "huge.example.com"], resolver=DNS_SCRIPT)
    true("status: NOERROR" in result.out or "EDE: " in result.out, f"dig's output: {result.out}")
    below(result.seconds, 5, "seconds")


@test("an alias that goes in circles ends")
def _():
    result = net.run(["--allow-domain", "*"], ["dig", "+tries=1", "+timeout=15", "circle.example.com"], resolver=DNS_SCRIPT)
    lacks(result.out, "timed out", "dig's output")
    lacks(result.out, "no servers could be reached", "dig's output")


@test("a wildcard answers for so many names and no more: data cannot be carried out in labels", limit=120)
def _():
    code = """
import socket
good = bad = 0
for i in range(300):
    try:
        socket.gethostbyname(f'n{i}.wild.example.com')
        good += 1
    except OSError:
        bad += 1
print(good, bad)
socket.gethostbyname('n0.wild.example.com')
print('old names still work')
"""
    result = net.run(["--allow-domain", "*.wild.example.com"], [PYTHON, "-c", code], resolver=DNS_SCRIPT)
    equal(result.out.splitlines(), ["256 44", "old names still work"], f"names answered and refused ({result.err})")
    equal(len(set(result.asked("wild.example.com"))), 256, "different names that left")


@test("the name too many gets SERVFAIL and an explanation that speaks of names")
def _():
    script = "for i in $(seq 256); do dig +short n$i.wild.example.com >/dev/null; done; dig more.wild.example.com"
    result = net.run(["--quiet", "--allow-domain", "*.wild.example.com"], ["sh", "-c", script], resolver=DNS_SCRIPT)
    contains(result.out, "SERVFAIL", "dig's output")
    contains(result.out, "EDE: ", "dig's output")
    contains(result.out, "name", "the explanation")


@test("a wildcard's answer is bound like any other")
def _():
    result = net.run(["--allow-domain", "*.files.example.com"], ["curl", "-sS", "https://a.files.example.com/"])
    contains(result.out, f"server name a.files.example.com, address {FILES}", f"the page ({result.err})")


@test("a program that repeats a refused question for ever fills one record a minute, with a count")
def _():
    result = net.run(API, ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do dig +short evil.example; dig +short evil.example AAAA; done"])
    records = result.denied(target="evil.example")
    below(len(records), 4, "records")
    equal(sum(r.get("count", 1) for r in records), 20, f"refusals that the records stand for:\n{result.audit_text}")


@test("the resolver may be reached over IPv6")
def _():
    contains(dig(API, "+short", "api.example.com", resolver="[2001:db8:200::53]:53").out, API4, "the answer")


@test("a hundred questions at a time are all answered")
def _():
    code = f"""
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('{DNS}', 53))
s.settimeout(10)
name = b'\\3api\\7example\\3com\\0'
for i in range(100):
    s.send(struct.pack('!HHHHHH', i, 0x0100, 1, 0, 0, 0) + name + struct.pack('!HH', 1, 1))
print(len({{s.recv(512)[:2] for _ in range(100)}}))
"""
    equal(net.run(API, [PYTHON, "-c", code]).out.strip(), "100", "answers")


if __name__ == "__main__":
    run()
