#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The configuration file: where it is looked for, what it sets, how options add to it, what is not believed, and its schema."""

import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import API4, DNS, ROOT, Internet, read_text  # noqa: E402
from tap import contains, equal, lacks, run, test, true  # noqa: E402

net = Internet()
CURL = ["curl", "-sS", "-m", "8", "-o", "/dev/null"]
GET = "for u in \"$@\"; do curl -s -k -m 8 -o /dev/null https://$u/ && echo \"$u yes\" || echo \"$u no\"; done"


def write(name, text, mode=0o644):
    path = net.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def call(*words, **environment):
    return subprocess.run([net.program, *words], env=net.environment(**environment), capture_output=True, text=True, timeout=20, check=False,
                          stdin=subprocess.DEVNULL)


def shown(*words, **environment):
    reply = call("config", "show", *words, **environment)
    equal((reply.returncode, reply.stderr), (0, ""), f"config show {' '.join(words)}")
    return json.loads(reply.stdout)


def served(result):
    return dict(line.split() for line in result.out.splitlines())


# What a validator of JSON Schema must know for this schema, and nothing else: an unknown word is an error of the test.
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def violations(value, schema, where="$"):
    known = {"$schema", "title", "description", "default", "type", "properties", "additionalProperties", "required", "items", "maxItems",
             "minLength", "pattern", "minimum", "maximum", "enum", "const"}
    true(not set(schema) - known, f"words of the schema that this validator does not know: {set(schema) - known}")
    if "type" in schema and (not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool) != (schema["type"] == "boolean")):
        return [f"{where}: not of type {schema['type']}"]
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        return [f"{where}: not {schema['const']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: not one of {schema['enum']}"]
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return [f"{where}: out of range"]
    if isinstance(value, str) and (len(value) < schema.get("minLength", 0) or not re.search(schema.get("pattern", ""), value)):
        return [f"{where}: wrong text"]
    found = []
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            found.append(f"{where}: too many items")
        for i, item in enumerate(value):
            found += violations(item, schema.get("items", {}), f"{where}[{i}]")
    if isinstance(value, dict):
        found += [f"{where}: lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in schema.get("properties", {}):
                found += violations(item, schema["properties"][name], f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{where}.{name}: unknown")
    return found


def from_jsonc(text):
    """Comments and trailing commas out, by other means than the program's."""
    token = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
    text = token.sub(lambda m: m.group(0) if m.group(0)[0] == '"' else " ", text)
    return json.loads(re.sub(r'("(?:\\.|[^"\\])*")|,(?=\s*[\]}])', lambda m: m.group(1) or "", text))


def example():
    found = re.findall(r"^```jsonc\n(.*?)^```", read_text(os.path.join(ROOT, "README.md")), re.DOTALL | re.MULTILINE)
    equal(len(found), 1, "examples of a configuration in README.md")
    return found[0]


@test("run --config: what the file allows is served, what it denies is refused, the audit goes where it says")
def _():
    audit = net.path("by-config.jsonl")
    path = write("run.json", f"""// the sandbox of a test
{{
  "version": 1,
  "allowed_hosts": ["*.example.com", "cdn-b.example.com"], /* all of them, */
  "denied_hosts": ["cdn-b.example.com"],                   // but not this one
  "dns": {{ "servers": ["{DNS}"], }},
  "audit": {{ "path": "{audit}" }},
}}
""")
    # Neither a resolver nor an audit log by option: both come from the file.
    reply = net.host([net.program, "run", "--config", path, "--", "sh", "-c", GET, "sh", "api.example.com", "cdn-b.example.com", "evil.example"])
    equal(reply.returncode, 0, f"exit status ({reply.stderr!r})")
    equal(served_text(reply.stdout), {"api.example.com": "yes", "cdn-b.example.com": "no", "evil.example": "no"}, "served")
    records = [json.loads(line) for line in read_text(audit).splitlines()]
    true([r for r in records if r.get("decision") == "allow" and r.get("target") == "api.example.com"], f"the audit: {records}")
    true([r for r in records if r.get("reason") == "host_denied" and r.get("target") == "cdn-b.example.com"], f"the audit: {records}")


def served_text(text):
    return dict(line.split() for line in text.splitlines())


@test("file and options add up; deny beats allow across them; a single value of an option wins")
def _():
    path = write("add.json", '{"version": 1, "allowed_hosts": ["api.example.com", "cdn-a.example.com"], "audit": {"path": "/no/such/place"}}')
    names = ["api.example.com", "cdn-a.example.com", "cdn-b.example.com", "sub.api.example.com"]
    result = net.run(["--config", path, "--allow-domain", "cdn-b.example.com", "--deny-domain", "cdn-a.example.com"], ["sh", "-c", GET, "sh", *names])
    equal(served(result), dict(zip(names, ["yes", "no", "yes", "no"])), f"served ({result.err})")
    true(result.allowed(target="cdn-b.example.com"), "the audit log of the option is written")


@test("limits of the file hold: max_connections, dns.max_labels_per_wildcard, monitor")
def _():
    path = write("limits.json", '{"version": 1, "allowed_hosts": ["*.example.com"], "dns": {"max_labels_per_wildcard": 1}}')
    result = net.run(["--config", path], ["sh", "-c", GET, "sh", "api.example.com", "cdn-a.example.com"])
    equal(served(result), {"api.example.com": "yes", "cdn-a.example.com": "no"}, f"a wildcard answers for one name ({result.err})")
    path = write("monitor.json", '{"version": 1, "monitor": true}')
    result = net.run(["--config", path], ["sh", "-c", GET, "sh", "api.example.com"])
    equal(served(result), {"api.example.com": "yes"}, f"monitored ({result.err})")
    path = write("one.json", '{"version": 1, "allowed_hosts": ["api.example.com"], "limits": {"max_connections": 1}}')
    code = """
import socket
def one():
    s = socket.create_connection(('api.example.com', 7), timeout=5)
    s.sendall(b'a line\\n')
    return s, s.recv(10)
a = one()
try:
    print('second', one()[1] == b'a line\\n')
except OSError:
    print('second refused')
"""
    for options, wanted in ((["--config", path], "second True"), (["--config", path, "--max-connections", "2"], None)):
        result = net.run(options, ["/usr/bin/python3", "-c", code])
        if wanted:
            lacks(result.out, wanted, f"with the file alone ({result.err})")
        else:
            equal(result.out, "second True\n", f"with the option, which wins ({result.err})")


@test("dns.timeout_ms: a silent server is given up after so long")
def _():
    path = write("silent.json", '{"version": 1, "allowed_hosts": ["api.example.com"], "dns": {"servers": ["203.0.113.55"], "timeout_ms": 300}}')
    code = "import socket, time; t = time.monotonic()\ntry: socket.getaddrinfo('api.example.com', 443)\nexcept OSError: print(time.monotonic() - t < 4)"
    result = net.run(["--config", path], ["/usr/bin/python3", "-c", code], resolver=None)
    equal(result.out, "True\n", f"output ({result.err})")


@test("limits.header_timeout_secs: half a head is answered with 408 after so long; bind_port: the proxy listens there in the sandbox")
def _():
    path = write("head.json", '{"version": 1, "bind_port": 3128, "limits": {"header_timeout_secs": 1}}')
    code = """
import os, socket, time
print(os.environ['NONO_PROXY_URL'])
s = socket.create_connection(('127.0.0.1', 3128), timeout=8)
begun = time.monotonic()
s.sendall(b'CONNECT api.exam')
reply = b''
while part := s.recv(4096):
    reply += part
print(reply[:12].decode(), 0.9 < time.monotonic() - begun < 6)
"""
    result = net.run(["--config", path], ["/usr/bin/python3", "-c", code])
    equal(result.out, "http://127.0.0.1:3128\nHTTP/1.1 408 True\n", f"output ({result.err})")


BAD = [
    # text, what follows FILE in the sentence, the reason for the row
    ("", ":1:1: ", "an empty file"),
    ('{"version": 1,\n  "allowed_host": ["a.example"]\n}\n', ':2:3: unknown key "allowed_host"; did you mean "allowed_hosts"?', "an unknown key"),
    ('{"version": 1,\n "allowed_hosts": [],\n\t"allowed_hosts": []}', ":3:2: this key is here for the second time", "a duplicate key"),
    ('// ü\n{"version": 1, /* ü */ "monitor": "yes"}', ':2:35: "monitor" must be true or false, not a string', "a wrong type"),
    ('{"version": 1,\n "limits": {"max_connections": 0}}', ':2:32: "max_connections" must be from 1 to 1000000, not 0', "out of range"),
    ('{"version": 1,\n "allowed_hosts": ["a.example",\n  "*.*.example"]}', ":3:3: ", "a wrong pattern"),
    ('{"version": 1} /* ', ":1:16: this comment does not end", "an open comment"),
    ('{"version": 2}', ":1:13: version 2 is not known", "another version"),
    ('{"version": 1, "routes": []}', ':1:16: "routes" is not served yet by this version', "what is not served yet"),
    ('{"version": 1,\n "bind_addr": "0.0.0.0"}', ':2:15: "0.0.0.0" means every address; name one address of this machine', "an address for all"),
    ('{"version": 1,\n "bind_addr": "localhost"}', ':2:15: "localhost" is no address; say an IP address', "a name to listen on"),
    ('{"version": 1,\n "bind_port": 65536}', ':2:15: "bind_port" must be from 0 to 65535, not 65536', "a port that there is not"),
    ('{"version": 1, "limits": {\n"header_timeout_secs": 0}}', ':2:24: "header_timeout_secs" must be from 1 to 600, not 0', "no time"),
    ('{"version": 1, "limits": {"max_request_body": 1}}', ':1:27: "max_request_body" is not served yet by this version', "a limit not served yet"),
    ("[" * 2000 + "]" * 2000, ":1:33: ", "nested deep"),
]


@test("an invalid file: status 2, FILE:LINE:COLUMN and a sentence, and nothing is started")
def _():
    for text, part, reason in BAD:
        path = write("bad.json", text)
        mark = net.path("started")
        for words in (["run", "--config", path, "--audit-log", net.path("never.jsonl"), "--", "touch", mark], ["why", "a.example", "--config", path],
                      ["config", "check", path], ["config", "show", "--config", path]):
            reply = call(*words)
            equal((reply.returncode, reply.stdout), (2, ""), f"{reason}: {words[0]} ({reply.stderr!r})")
            contains(reply.stderr, path + part, f"{reason}: {words[0]}")
            equal(reply.stderr.count("\n"), 1, f"{reason}: lines of {words[0]}")
        true(not os.path.exists(mark), f"{reason}: COMMAND ran")
        true(not os.path.exists(net.path("never.jsonl")), f"{reason}: the audit log was made")


@test("a NUL, bytes that are not UTF-8, a file too large: refused")
def _():
    for data, part in ((b'{"version": 1\0}', "NUL"), (b'{"version": 1, "log_level": "\xff"}', ":1:30: this is not UTF-8"), (b" " * (1 << 20) + b"{}", "larger")):
        path = net.path("bytes.json")
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, 0o644)
        reply = call("config", "check", path)
        equal(reply.returncode, 2, f"status for {part}")
        contains(reply.stderr, part, "the sentence")


@test("the order of the search: --config, $NONO_PROXY_CONFIG, $XDG_CONFIG_HOME; what is named must exist")
def _():
    paths = {}
    for name in ("option", "variable", "xdg/nono-proxy/config"):
        paths[name] = write(f"{name}.json", json.dumps({"version": 1, "allowed_hosts": [f"{name.split('/', maxsplit=1)[0]}.example"]}))
    xdg = net.path("xdg")
    every = {"NONO_PROXY_CONFIG": paths["variable"], "XDG_CONFIG_HOME": xdg}
    equal(shown("--config", paths["option"], **every)["file"], paths["option"], "all three")
    equal(shown(**every)["file"], paths["variable"], "variable and XDG")
    equal(shown(XDG_CONFIG_HOME=xdg)["file"], paths["xdg/nono-proxy/config"], "XDG")
    equal(shown(XDG_CONFIG_HOME=xdg)["configuration"]["allowed_hosts"], ["xdg.example"], "its rules")
    equal(shown(NONO_PROXY_CONFIG="", XDG_CONFIG_HOME=xdg)["file"], paths["xdg/nono-proxy/config"], "an empty variable is none")
    fallback = "/etc/nono-proxy/config.json" if os.path.exists("/etc/nono-proxy/config.json") else None
    equal(shown()["file"], fallback, "none of them")
    equal(shown(XDG_CONFIG_HOME=net.path("nothing"))["file"], fallback, "an XDG folder without a file")
    for words, environment in ((["--config", net.path("no.json")], {}), ([], {"NONO_PROXY_CONFIG": net.path("no.json")})):
        reply = call("why", "a.example", *words, **environment)
        equal((reply.returncode, reply.stdout), (2, ""), "a named file that does not exist")
        contains(reply.stderr, net.path("no.json") + ": No such file", "the sentence")


@test("a relative $XDG_CONFIG_HOME is ignored")
def _():
    write("xdg2/nono-proxy/config.json", "{")
    reply = subprocess.run([net.program, "why", "a.example"], env=net.environment(XDG_CONFIG_HOME="xdg2"), cwd=net.directory, capture_output=True,
                           text=True, timeout=20, check=False)
    equal((reply.returncode, reply.stderr), (1, ""), "status and errors")


@test("a file that others can write, or that another user owns, is not believed")
def _():
    good = '{"version": 1, "allowed_hosts": ["a.example"]}'
    for mode in (0o664, 0o646):
        path = write("open.json", good, mode)
        reply = call("why", "a.example", "--config", path)
        equal((reply.returncode, reply.stdout), (2, ""), f"mode {mode:o}")
        contains(reply.stderr, "can be written by others", f"mode {mode:o}")
    path = write("theirs/nono-proxy/config.json", good)
    os.chown(path, 1234, 1234)
    # Root in the environment of a user: his file counts only if it was he who called sudo.
    for environment, status in (({}, 2), ({"SUDO_UID": "1235"}, 2), ({"SUDO_UID": "1234"}, 0), ({"SUDO_UID": "1234x"}, 2), ({"SUDO_UID": "-1"}, 2)):
        reply = call("why", "a.example", XDG_CONFIG_HOME=net.path("theirs"), **environment)
        equal(reply.returncode, status, f"status with {environment} ({reply.stderr!r})")
        if status:
            contains(reply.stderr, "owned by user 1234", f"with {environment}")
    reply = call("run", "--config", path, "--", "true")
    equal((reply.returncode, reply.stdout), (2, ""), "run")
    # Without privilege the caller is who it is, whatever the environment says.
    program = net.path("nono-proxy")
    shutil.copy(net.program, program)
    os.chmod(program, 0o755)
    for uid, environment, status in ((1234, {}, 0), (1235, {}, 2), (1235, {"SUDO_UID": "1234"}, 2)):
        reply = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", program, "why", "a.example", "--config", path], cwd="/",
                               env=net.environment(**environment), capture_output=True, text=True, timeout=20, check=False)
        equal(reply.returncode, status, f"user {uid} with {environment} ({reply.stderr!r})")


@test("what root reads is not read out")
def _():
    path = write("secret.json", "hunter2:$6$salt$hash:19000:0\n", 0o600)
    reply = call("config", "check", path)
    equal(reply.returncode, 2, "status")
    for part in ("hunter2", "salt"):
        lacks(reply.stderr, part, "the sentence")


@test("why names the file and the line")
def _():
    path = write("why.json", '{\n  "version": 1,\n  "allowed_hosts": [\n    "api.example.com",\n    "*.example.org"\n  ],\n'
                             '  "denied_hosts": ["bad.example.org"],\n  "allowed_cidrs": ["10.0.0.0/8:5432"]\n}\n')
    rows = [("api.example.com", 0, 4, "api.example.com"), ("a.b.example.org", 0, 5, "*.example.org"), ("bad.example.org", 1, 7, "bad.example.org"),
            ("10.1.2.3:5432", 0, 8, "10.0.0.0/8:5432")]
    for host, status, line, rule in rows:
        reply = net.why([host, "--config", path])
        equal(reply.returncode, status, f"why {host} ({reply.stdout!r} {reply.stderr!r})")
        contains(reply.stdout, f"by {path}:{line} {rule}", f"why {host}")
    answer = json.loads(net.why(["a.example.org", "--config", path, "--json"]).stdout)
    equal((answer["rule"], answer["rule_origin"]), ("*.example.org", f"{path}:5"), "as JSON")
    reply = net.why(["other.example", "--config", path, "--allow-domain", "other.example"])
    contains(reply.stdout, "by --allow-domain other.example", "a rule of an option")
    reply = net.why(["other.example", "--config", write("monitor2.json", '{"version": 1,\n"monitor": true}')])
    contains(reply.stdout, f"{net.path('monitor2.json')}:2", "where monitoring was asked for")
    reply = net.why(["api.example.com", "--config", path, "--resolved", API4])
    equal(reply.returncode, 0, f"with an address ({reply.stdout!r})")


@test("why and the data plane agree, with the same file")
def _():
    path = write("agree.json", '{"version": 1, "allowed_hosts": ["*.example.com:443", "api.example.com:8443"], "denied_hosts": ["cdn-a.example.com:443"]}')
    names = ["api.example.com", "api.example.com:8443", "cdn-a.example.com", "cdn-b.example.com", "evil.example"]
    result = net.run(["--config", path], ["sh", "-c", GET, "sh", *names])
    for name in names:
        verdict = net.why([name, "--config", path]).returncode == 0
        equal(served(result).get(name), "yes" if verdict else "no", f"{name}, of which why says {verdict}")


@test("config check: 0 and silence, or 2 and a sentence; misuse is told")
def _():
    reply = call("config", "check", write("good.json", '{"version": 1}'))
    equal((reply.returncode, reply.stdout, reply.stderr), (0, "", ""), "a good file")
    for words in (["config"], ["config", "check"], ["config", "check", "a", "b"], ["config", "chek", "x"], ["config", "show", "x"], ["config", "schema", "x"],
                  ["config", "check", net.path("no.json")], ["config", "show", "--allow-domain", "a..b"], ["config", "show", "--resolver", "dns.example"],
                  ["config", "show", "--log-level", "loud"], ["config", "show", "--listen", "::"], ["config", "show", "--port", "65536"]):
        reply = call(*words)
        equal((reply.returncode, reply.stdout), (2, ""), f"status and output of {words}")
        equal(reply.stderr.count("\n"), 1, f"one sentence for {words}: {reply.stderr!r}")
    contains(call("config", "chek").stderr, "check", "did you mean")
    for words in (["config", "--help"], ["config", "show", "--help"], ["config", "check", "--help"]):
        reply = call(*words)
        equal((reply.returncode, reply.stderr), (0, ""), " ".join(words))
        contains(reply.stdout, "config check FILE", " ".join(words))


@test("config show: what is in force, the file named; it is itself a file that says the same")
def _():
    path = write("show.json", '{"version": 1, "allowed_hosts": ["a.example"], "dns": {"servers": ["192.0.2.1"]}, "log_level": "info", "limits": {"max_connections": 5}}')
    answer = shown("--config", path, "--allow-domain", "b.example", "--resolver", "192.0.2.2", "--max-connections", "9", "--monitor", "--audit-log", "/x/y")
    equal(answer["file"], path, "file")
    inner = answer["configuration"]
    equal(inner["allowed_hosts"], ["a.example", "b.example"], "rules add up")
    equal(inner["dns"]["servers"], ["192.0.2.2", "192.0.2.1"], "the option's server is asked first")
    equal((inner["limits"]["max_connections"], inner["monitor"], inner["log_level"], inner["audit"]["path"]), (9, True, "info", "/x/y"), "single values")
    equal((inner["limits"]["connect_timeout_secs"], inner["limits"]["header_timeout_secs"]), (10, 10), "defaults")
    equal((inner["bind_addr"], inner["bind_port"]), ("127.0.0.1", 0), "where to listen, by default")
    bound = write("bound.json", '{"version": 1, "bind_addr": "::1", "bind_port": 8080, "limits": {"header_timeout_secs": 2}}')
    for words, wanted in (([], ("::1", 8080)), (["--listen", "127.0.0.2"], ("127.0.0.2", 8080)), (["--port", "0"], ("::1", 0))):
        other = shown("--config", bound, *words)["configuration"]
        equal((other["bind_addr"], other["bind_port"], other["limits"]["header_timeout_secs"]), (*wanted, 2), f"the file, and over it {words}")
    again = shown("--config", write("again.json", json.dumps(inner)))
    equal(again["configuration"], inner, "what was shown, read again")


@test("config schema: it takes what config check takes, and little else")
def _():
    reply = call("config", "schema")
    equal((reply.returncode, reply.stderr), (0, ""), "status and errors")
    schema = json.loads(reply.stdout)
    equal(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "draft")
    rows = [({"version": 1}, True), ({}, False), ({"version": 2}, False), ({"version": "1"}, False), ({"version": 1, "x": 1}, False),
            ({"version": 1, "$schema": "x"}, True), ({"version": 1, "allowed_hosts": ["a.b"]}, True), ({"version": 1, "allowed_hosts": "a.b"}, False),
            ({"version": 1, "allowed_hosts": [1]}, False), ({"version": 1, "allowed_hosts": [""]}, False), ({"version": 1, "dns": {}}, True),
            ({"version": 1, "dns": {"x": 1}}, False), ({"version": 1, "dns": {"timeout_ms": 99}}, False), ({"version": 1, "dns": {"timeout_ms": 100}}, True),
            ({"version": 1, "monitor": 1}, False), ({"version": 1, "monitor": False}, True), ({"version": 1, "log_level": "x"}, False),
            ({"version": 1, "log_format": "json"}, True), ({"version": 1, "audit": {"path": "x"}}, False),
            ({"version": 1, "audit": {"path": "/x", "on_full": "deny"}}, True), ({"version": 1, "audit": {"on_full": "allow"}}, False),
            ({"version": 1, "limits": {"max_connections": 1000000}}, True), ({"version": 1, "limits": {"max_connections": 1000001}}, False),
            ({"version": 1, "limits": {"max_connections": True}}, False), ({"version": 1, "routes": []}, False),
            ({"version": 1, "bind_addr": "127.0.0.1"}, True), ({"version": 1, "bind_addr": "2001:DB8::1"}, True), ({"version": 1, "bind_addr": "::1%lo"}, False),
            ({"version": 1, "bind_addr": "localhost"}, False), ({"version": 1, "bind_addr": ""}, False), ({"version": 1, "bind_addr": None}, False),
            ({"version": 1, "bind_port": 0}, True), ({"version": 1, "bind_port": 65535}, True), ({"version": 1, "bind_port": 65536}, False),
            ({"version": 1, "bind_port": -1}, False), ({"version": 1, "bind_port": "80"}, False), ({"version": 1, "limits": {"header_timeout_secs": 600}}, True),
            ({"version": 1, "limits": {"header_timeout_secs": 601}}, False), ({"version": 1, "limits": {"header_timeout_secs": 0}}, False),
            ({"version": 1, "limits": {"max_request_body": 1}}, False)]
    for value, right in rows:
        found = violations(value, schema)
        equal(not found, right, f"the schema on {value}: {found}")
        reply = call("config", "check", write("row.json", json.dumps(value)))
        equal(reply.returncode == 0, right, f"config check on {value} ({reply.stderr!r})")
    equal(violations(shown()["configuration"], schema), [], "what config show prints")


@test("README's example is right, by the program and by the schema")
def _():
    path = write("example.json", example())
    reply = call("config", "check", path)
    equal((reply.returncode, reply.stderr), (0, ""), "config check")
    schema, value = json.loads(call("config", "schema").stdout), from_jsonc(example())
    equal(violations(value, schema), [], "the schema")
    inner = shown("--config", path)["configuration"]
    for name, item in value.items():
        equal({**inner[name], **item} if isinstance(item, dict) else item, inner[name], f"{name}, read by other means")
    true({"allowed_hosts", "denied_hosts", "allowed_cidrs", "dns", "limits", "audit"} <= set(value), "the example shows every part")


@test("no symbol of ours takes the place of one within a library")
def _():
    reply = subprocess.run(["nm", "-D", "--defined-only", net.program], capture_output=True, text=True, timeout=20, check=True)
    taken = [line for line in reply.stdout.splitlines() if re.search(r" json_\w+$", line)]
    equal(taken, [], "symbols that the JSON library would take for its own")


if __name__ == "__main__":
    run()
