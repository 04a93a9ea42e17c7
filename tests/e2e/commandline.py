#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What people type and read: options, mistakes, the summary, the audit log, and `why`, which agrees with what happens."""

import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import API4, DNS, EVIL4, METADATA4, PYTHON, Internet, read_text  # noqa: E402
from tap import contains, equal, lacks, run, test, true  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
CURL = ["curl", "-sS", "-m", "8"]


def call(*words):
    return subprocess.run([net.program, *words], env=net.environment(), capture_output=True, text=True, timeout=20, check=False,
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
    for words in (["--help"], ["run", "--help"], ["why", "--help"], ["version"], ["--version"]):
        reply = call(*words)
        equal((reply.returncode, reply.stderr), (0, ""), " ".join(words))
        true(reply.stdout.strip(), " ".join(words))
    for name in ("--allow-domain", "--deny-domain", "--allow-cidr", "--resolver", "--audit-log", "--user", "--net", "--quiet", "--verbose",
                 "--monitor", "--max-connections", "--log-level"):
        contains(call("run", "--help").stdout, name, "run --help")


@test("usage errors: status 2, one sentence on standard error, nothing started")
def _():
    for words in ([], ["run"], ["run", "--"], ["run", "--allow-domain"], ["run", "--no-such-option", "--", "true"], ["run", "--net", "moon", "--", "true"],
                  ["run", "--max-connections", "0", "--", "true"], ["run", "--max-connections", "many", "--", "true"],
                  ["run", "--log-level", "loud", "--", "true"], ["run", "--resolver", "dns.example.com", "--", "true"],
                  ["run", "--allow-domain", "*.*.example.com", "--", "true"], ["run", "--allow-domain", "", "--", "true"],
                  ["run", "--allow-domain", "a b", "--", "true"], ["run", "--allow-domain", "example.com:99999", "--", "true"],
                  ["run", "--allow-cidr", "10.0.0.0/8", "--", "true"], ["run", "--allow-cidr", "10.0.0.0/33:1", "--", "true"],
                  ["why"], ["why", "a.example.com", "b.example.com"], ["frobnicate"], ["@proxy"], ["@init"]):
        reply = call(*words)
        equal((reply.returncode, reply.stdout), (2, ""), f"status and output of {words} ({reply.stderr!r})")
        true(reply.stderr.strip(), f"a sentence for {words}")


@test("did you mean")
def _():
    contains(call("run", "--alow-domain", "x", "--", "true").stderr, "--allow-domain", "the sentence")
    contains(call("rum").stderr, "run", "the sentence")
    contains(call("wyh").stderr, "why", "the sentence")


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
