#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The explicit listener inside `run`: programs that know of a proxy, beside the redirect; what it refuses; what it tells the sandbox."""

import json
import os
import re
import shlex
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import apt  # noqa: E402
import programs  # noqa: E402
from internet import (API4, EVIL4, EVIL6, HERE, METADATA4, METADATA6, PYTHON, V4ONLY, V6ONLY, Internet,  # noqa: E402
                      Sniffer)
from serving import free_port  # noqa: E402
from tap import among, below, contains, equal, lacks, run, skip, test, true  # noqa: E402

net = Internet()
apt.make_repository(net)
API = ["--allow-domain", "api.example.com"]
EXAMPLE = ["--allow-domain", "*.example.com"]
ALL = ["--allow-domain", "*"]
SECRET = "keys-of-the-kingdom"
# curl through the proxy, by the two variables that are always there.
CURL_X = 'curl -sS -m 15 -x "http://nono:$NONO_PROXY_TOKEN@${NONO_PROXY_URL#http://}"'


def shell(options, *lines, **kwargs):
    return net.run(options, ["sh", "-c", "\n".join(lines)], **kwargs)


def script(options, code, **kwargs):
    """Python inside, with rawhttp at hand; prints one JSON value, which is returned with the result."""
    before = "import json, os, socket, sys, time\nfrom rawhttp import *\naddress, token = proxy_from_environment()\n"
    result = net.run(options, [PYTHON, "-B", "-c", before + code], env={"PYTHONPATH": HERE}, **kwargs)
    equal(result.status, 0, f"exit status; {result}")
    return json.loads(result.out), result


def explicit(result):
    return [r for r in result.audit if r.get("mode") in ("connect", "forward")]


def of_mode(result, mode, event):
    return [r for r in result.audit if r.get("mode") == mode and r["event"] == event]


@test("NONO_PROXY_URL and NONO_PROXY_TOKEN are set, and no other proxy variable; another run has another token")
def _():
    tokens = set()
    for _ in range(2):
        callers = {"NONO_PROXY_TOKEN": "of-the-caller", "NONO_PROXY_URL": "http://of-the-caller", "http_proxy": "http://x", "ALL_PROXY": "x"}
        result = net.run(API, ["env"], env=callers)
        env = dict(line.split("=", 1) for line in result.out.splitlines())
        true(re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", env["NONO_PROXY_URL"]), f"the URL {env['NONO_PROXY_URL']}")
        true(re.fullmatch("[0-9a-f]{64}", env["NONO_PROXY_TOKEN"]), "the token")
        equal([n for n in env if "proxy" in n.lower() and not n.startswith("NONO_PROXY_")], [], "other variables")
        tokens.add(env["NONO_PROXY_TOKEN"])
    equal(len(tokens), 2, "different tokens")


@test("curl -x: CONNECT and clear, either family, allowed and refused, as root and as nobody")
def _():
    for more in ([], ["--user", "nobody"]):
        result = shell([*EXAMPLE, *more], *(f"{CURL_X} {scheme}://{name}.example.com/" for scheme in ("https", "http") for name in ("v4only", "v6only")))
        equal(result.status, 0, f"exit status; {result.err}")
        equal(result.out.splitlines(), [f"server name {name + '.example.com' if tls else None}, address {address}, host {name}.example.com"
                                        for tls in (True, False) for name, address in (("v4only", V4ONLY), ("v6only", V6ONLY))], "pages")
        equal([(r["mode"], r["target"], r["port"], r["resolved_ip"]) for r in explicit(result) if r["event"] == "open"],
              [(mode, f"{name}.example.com", port, address) for mode, port in (("connect", 443), ("forward", 80))
               for name, address in (("v4only", V4ONLY), ("v6only", V6ONLY))], "records")
        equal([r for r in result.audit if r.get("mode") == "dns"], [], "names that the client itself looked up")
        with Sniffer(net) as sniffer:
            result = shell([*API, *more], f"{CURL_X} -w '%{{http_connect}}\\n' https://evil.example/", f"{CURL_X} -i http://evil.example/")
            contains(result.out, "403\n", "what CONNECT is answered")
            contains(result.out, "HTTP/1.1 403 Forbidden: host evil.example is not in the allowlist", "the answer in the clear")
            contains(result.out, "to allow it: --allow-domain evil.example:80", "the answer's body")
            contains(result.err, "to allow it: --allow-domain evil.example", "what the run says at its end")
            equal([f for f in sniffer.frames() if f.destination in (EVIL4, EVIL6)], [], "frames that left for evil.example")
            equal(result.asked("evil.example"), [], "queries that left for it")


@test("--proxy-env: the variables are set, and curl, Python, Node, Go, git and apt-get use or survive them")
def _():
    net.start_git()
    options = [*EXAMPLE, "--proxy-env"]
    result = net.run(options, ["env"])
    env = dict(line.split("=", 1) for line in result.out.splitlines())
    url = f"http://nono:{env['NONO_PROXY_TOKEN']}@{env['NONO_PROXY_URL'].removeprefix('http://')}"
    equal([env.get(n) for n in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")], [url] * 4, "variables")
    equal({env.get("NO_PROXY"), env.get("no_proxy")}, {"localhost,127.0.0.1,::1"}, "NO_PROXY and no_proxy")
    equal(env.get("NODE_USE_ENV_PROXY"), "1", "NODE_USE_ENV_PROXY")
    urls = ("https://v4only.example.com/", "http://v6only.example.com/")
    for words in (programs.curl(*urls), programs.requests(*urls), programs.httpx(*urls), programs.go(*urls), programs.wget(net, *urls)):
        result = net.run(options, words)
        equal(result.status, 0, f"exit status; {result}")
        equal([(r["mode"], r["target"]) for r in result.audit if r["event"] == "open"],
              [("connect", "v4only.example.com"), ("forward", "v6only.example.com")], "records")
    for words in (programs.fetch(*urls), programs.undici(*urls)):
        result = net.run(options, words)
        equal(result.status, 0, f"exit status; {result}")
        equal(result.out.count("server name"), 2, "pages")
    for scheme in ("http", "https"):
        result = net.run(options, ["git", "clone", "-q", f"{scheme}://git.example.com/files/repo.git", net.path("clone-" + scheme)])
        equal(result.status, 0, f"git's exit status; {result.err}")
        own = apt.Apt(net, f"{scheme}://v6only.example.com/files/debian/")
        result = net.run(options, own.shell(["update"], ["install", *apt.NAMES]))
        equal(result.status, 0, f"apt-get's exit status; {result.out}{result.err}")
        equal([n for n in apt.NAMES if not own.installed(n)], [], "packages that are missing")
        equal({r["mode"] for r in result.audit if r["event"] == "open"}, {"connect" if scheme == "https" else "forward"}, "modes")


@test("eval \"$(nono-proxy env)\" inside; nothing to tell outside")
def _():
    program = shlex.quote(net.program)
    result = shell(API, f'eval "$({program} env)" && curl -sS -m 15 https://api.example.com/ && {program} env --format json')
    contains(result.out, "server name api.example.com", f"the page ({result.err})")
    true(of_mode(result, "connect", "open"), f"a record of CONNECT:\n{result.audit_text}")
    told = json.loads(result.out.splitlines()[-1])
    true(told["HTTPS_PROXY"].startswith("http://nono:"), "JSON")
    outside = net.host([net.program, "env"])
    equal((outside.returncode, outside.stdout), (1, ""), "outside")
    true(outside.stderr.strip(), "a sentence")


@test("without the token: 407 also from inside the cgroup, nothing is looked up; then right on the same connection")
def _():
    told, result = script(EXAMPLE, """
seen = []
for ask in (connect("cdn-a.example.com:443"), get("http://cdn-a.example.com/"), connect("cdn-a.example.com:443", bearer("0" * 64)),
            get("http://cdn-a.example.com/", basic("0" * 64))):
    with from_environment() as talk:
        answer = talk.ask(ask)
        seen.append([answer.status, answer.denied, answer.fields.get("proxy-authenticate")])
        seen[-1].append(talk.tunnel("api.example.com:7", bearer(token)).status)
        talk.send(b"hello")
        seen[-1].append(talk.exactly(5).decode())
print(json.dumps(seen))
""")
    for status, denied, challenge, after, echo in told:
        equal((status, challenge, after, echo), (407, 'Basic realm="nono"', 200, "hello"), "what was seen")
        among(denied, ("token_missing", "token_invalid"), "the reason")
    equal(result.asked("cdn-a.example.com"), [], "names that were looked up")
    true(result.denied(reason="token_missing"), f"a record:\n{result.audit_text}")


@test("one sandbox's token is nothing in another, and another's proxy cannot be reached")
def _():
    running = net.start(API, ["sh", "-c", 'echo "$NONO_PROXY_URL $NONO_PROXY_TOKEN"; read line'], stdin=-1)
    try:
        url, token = running.process.stdout.readline().decode().split()
        told, _result = script(API, f"""
with from_environment() as talk:
    seen = [talk.tunnel("api.example.com:7", bearer("{token}")).status]
try:
    with Talk(socket.create_connection(("127.0.0.1", {url.rsplit(":", 1)[1]}), 3)) as talk:
        seen.append(talk.tunnel("api.example.com:7", bearer("{token}")).status)
except (OSError, EOFError):
    seen.append("no")
print(json.dumps(seen))
""")
        equal(told[0], 407, "the other's token")
        true(told[1] != 200, f"the other's proxy: {told[1]}")
    finally:
        running.finish(b"\n")


@test("GET /-/refusals: what was refused here, whichever way, only with the token")
def _():
    told, result = script(["--allow-domain", "api.example.com", "--deny-domain", "sub.api.example.com"], f"""
import subprocess
with from_environment() as talk:
    first = json.loads(talk.ask(get("/-/refusals", bearer(token))).body)
for target in ("evil.example:443", "sub.api.example.com:443", "{METADATA4}:80"):
    with from_environment() as talk:
        talk.tunnel(target, bearer(token))
subprocess.run(["curl", "-sS", "-m", "5", "http://dns.evil.example/"], capture_output=True)
subprocess.run(["curl", "-sS", "-m", "5", "http://{EVIL4}/"], capture_output=True)
with from_environment() as talk:
    answer = talk.ask(get("/-/refusals", bearer(token)))
without = []
for ask in (get("/-/refusals"), get("/-/refusals", bearer("0" * 64))):
    with from_environment() as talk:
        other = talk.ask(ask)
        without.append([other.status, "evil" in other.body.decode()])
curl = subprocess.run(["sh", "-c", 'curl -sS -m 5 -H "X-Nono-Token: $NONO_PROXY_TOKEN" "$NONO_PROXY_URL/-/refusals"'], capture_output=True).stdout.decode()
print(json.dumps([first, json.loads(answer.body), without, json.loads(curl)]))
""")
    first, found, without, by_curl = told
    equal(first, [], "the list at first")
    by_target = {r["target"]: r for r in found}
    for target, port, reason, hint in (("evil.example", 443, "host_not_allowed", "to allow it: --allow-domain evil.example:443"),
                                       ("sub.api.example.com", 443, "host_denied", None), (METADATA4, 80, "metadata_address", None),
                                       ("dns.evil.example", None, "host_not_allowed", "to allow it: --allow-domain dns.evil.example"),
                                       (EVIL4, 80, "cidr_not_allowed", f"to allow it: --allow-cidr {EVIL4}/32:80")):
        true(target in by_target, f"{target} is in {found}")
        equal((by_target[target]["port"] or None, by_target[target]["reason"]), (port, reason), f"of {target}")
        if hint:
            equal(by_target[target]["hint"], hint, f"the hint for {target}")
    for status, told_anyhow in without:
        among(status, (401, 407), "status without the token")
        true(not told_anyhow, "nothing is told without the token")
    equal(by_curl[: len(found)], found, "what curl gets by the header X-Nono-Token")
    lacks(result.audit_text, "X-Nono-Token", "the audit")


DISGUISES = ["169.254.169.254", "[::ffff:169.254.169.254]", f"[{METADATA6}]", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
             "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "metadata.google.internal", "meta.example.com", "meta6.example.com", "mixed.example.com",
             "0.0.0.0", "127.0.0.1", "2130706433", "localhost", "loop.example.com"]


@test("metadata and loopback in disguise, by CONNECT and in the clear, with everything else allowed: refused, and no frame left")
def _():
    with Sniffer(net) as sniffer:
        told, result = script(ALL, f"""
seen = []
for target in {DISGUISES!r}:
    for port in (80, 8081):
        for ask in (connect(f"{{target}}:{{port}}", bearer(token)), get(f"http://{{target}}:{{port}}/", bearer(token))):
            with from_environment() as talk:
                answer = talk.ask(ask)
                seen.append([target, port, answer.status, answer.denied, answer.body.decode()])
print(json.dumps(seen))
""")
        equal(len(told), 4 * len(DISGUISES), "answers")
        for target, port, status, denied, body in told:
            true(status in (400, 403, 502) and denied, f"{target}:{port}: {status} {denied} {body}")
            true(SECRET not in body and "server name" not in body, f"{target}:{port}: {body}")
        equal([f for f in sniffer.frames() if f.destination in (METADATA4, METADATA6, API4)], [], "frames that left for refused addresses")
    lacks(result.out, SECRET, "output")


@test("CONNECT to the proxy itself, by its port and by that of the redirect, though rules allow it: refused")
def _():
    port = free_port(net)
    told, _result = script([*ALL, "--port", str(port), "--allow-cidr", f"127.0.0.0/8:{port}", "--allow-cidr", f"::/0:{port}"], """
seen = []
for target in ("127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]", "localhost", "loop.example.com"):
    for ask in (connect(f"{target}:{address[1]}", bearer(token)), get(f"http://{target}:{address[1]}/-/refusals", bearer(token))):
        with from_environment() as talk:
            answer = talk.ask(ask)
            seen.append([target, answer.status, answer.denied])
print(json.dumps([address[1], seen]))
""")
    equal(told[0], port, "the port that was asked for")
    for target, status, denied in told[1]:
        true(status in (400, 403, 502) and denied, f"{target}: {status} {denied}")
    equal([d for t, _s, d in told[1] if t == "127.0.0.1"], ["loop_refused"] * 2, "the reason for the plain form")


@test("a service of the sandbox's own on its loopback is no business of CONNECT; directly it works")
def _():
    told, _result = script(ALL, """
import threading
server = socket.create_server(("127.0.0.1", 0))
def serve():
    while True:
        c, _ = server.accept()
        c.sendall(b"own")
        c.close()
threading.Thread(target=serve, daemon=True).start()
with Talk(socket.create_connection(server.getsockname())) as direct:
    seen = [direct.rest().decode()]
with from_environment() as talk:
    seen.append(talk.tunnel(f"127.0.0.1:{server.getsockname()[1]}", bearer(token)).status)
print(json.dumps(seen))
""")
    equal(told[0], "own", "directly")
    true(told[1] >= 400, f"by CONNECT: {told[1]}")


@test("SNI in a tunnel that names another host: alert, and no server hears of it")
def _():
    mark = len(net.origin_log())
    result = shell(API, f"{CURL_X} -k --connect-to evil.example:443:api.example.com:443 https://evil.example/; echo $?", f"{CURL_X} https://api.example.com/")
    contains(result.out, "35\n", "curl's exit status")
    contains(result.err, "alert access denied", "curl's message")
    true(result.denied(target="evil.example", reason="sni_mismatch", mode="connect"), f"the record:\n{result.audit_text}")
    requests = [r for r in net.origin_log()[mark:] if r["kind"] == "request"]
    equal([r["sni"] for r in requests], ["api.example.com"], "requests that reached an origin")
    equal([r for r in net.origin_log()[mark:] if r.get("sni") == "evil.example"], [], "what origins saw of the other name")


@test("ssh through CONNECT: the server speaks first")
def _():
    words = net.start_ssh()
    command = shlex.join([PYTHON, "-B", os.path.join(HERE, "rawhttp.py")]) + " %h %p"
    result = net.run(["--allow-domain", "ssh.example.com:22"], [*words, "-o", f"ProxyCommand={command}", "ssh.example.com", "echo hello from there"])
    equal((result.status, result.out), (0, "hello from there\n"), f"ssh's exit status and output; {result.err}")
    opened = of_mode(result, "connect", "open")
    equal([(r["target"], r["port"]) for r in opened], [("ssh.example.com", 22)], "the record")
    equal(result.allowed(mode="transparent"), [], "redirected connections")
    result = net.run(API, [*words, "-o", f"ProxyCommand={command}", "ssh.example.com", "true"])
    true(result.status != 0, "a refused host")
    contains(result.err, "the proxy refused: HTTP/1.1 403 Forbidden: host ssh.example.com is not in the allowlist", "what the user sees")


@test("both ways beside each other: the redirect and the proxy serve one sandbox at the same time")
def _():
    code = """
import concurrent.futures, os, urllib.request
token, url = os.environ["NONO_PROXY_TOKEN"], os.environ["NONO_PROXY_URL"]
proxy = url.replace("http://", f"http://nono:{token}@")
by_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def get(i):
    name = ("api", "cdn-a", "v4only", "v6only")[i % 4] + ".example.com"
    scheme = ("http", "https")[i // 4 % 2]
    return f"host {name}" in (by_proxy if i // 8 % 2 else direct).open(f"{scheme}://{name}/", timeout=30).read().decode()
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(get, range(160))), "right")
"""
    result = net.run(EXAMPLE, [PYTHON, "-c", code])
    contains(result.out, "160 right", f"answers ({result.err})")
    equal({mode: len(of_mode(result, mode, "close")) for mode in ("connect", "forward")}, {"connect": 40, "forward": 40}, "records of the explicit listener")
    equal(len(of_mode(result, "transparent", "close")), 80, "records of the redirect")


@test("the records: mode, method, path without query, bytes, who asked; no token there, on standard error, or at a server")
def _():
    mark = len(net.origin_log())
    result = shell([*API, "--verbose"], 'echo "$NONO_PROXY_TOKEN"', f"{CURL_X} 'https://api.example.com/path?secret=1' 'http://api.example.com/path?secret=2'",
                   f"{CURL_X} 'http://evil.example/path?secret=3'", "curl -sS -x $NONO_PROXY_URL https://api.example.com/")
    token = result.out.splitlines()[0]
    connects, forwards = of_mode(result, "connect", "close"), of_mode(result, "forward", "close")
    equal([(r["method"], r["target"], r["port"], r["sni"]) for r in connects], [("CONNECT", "api.example.com", 443, "api.example.com")], "tunnels")
    equal([(r["method"], r["target"], r["port"], r["path"], r["status"]) for r in forwards], [("GET", "api.example.com", 80, "/path", 200)], "requests")
    true(all(r["bytes_up"] > 50 and r["bytes_down"] > 50 for r in connects + forwards), f"bytes: {connects + forwards}")
    true(all(r["cgroup"].startswith("/nono-proxy/") for r in explicit(result)), f"the cgroup on record: {explicit(result)}")
    at_origins = json.dumps(net.origin_log()[mark:]).replace("secret=", "")
    for text, what in ((result.audit_text, "the audit"), (result.err, "standard error"), (at_origins, "the origins' log")):
        lacks(text, token, what)
        lacks(text.lower(), "secret", what)
    equal([r["seq"] for r in result.audit], list(range(len(result.audit))), "sequence")


@test("no traces: the token is in no command line and not in the proxy's environment")
def _():
    running = net.start(API, ["sh", "-c", 'echo "$NONO_PROXY_TOKEN"; read line'], stdin=-1)
    try:
        token = running.process.stdout.readline().strip()
        for role, pid in running.pids().items():
            for name in ("cmdline", "environ"):
                if role == "init" and name == "environ":
                    continue
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    lacks(file.read(), token, f"{name} of the {role}")
    finally:
        equal(running.finish(b"\n").status, 0, "exit status")


@test("--token-file and --port hold inside, too")
def _():
    token, path, port = "cd" * 32, net.path("token"), free_port(net)
    with open(path, "w", encoding="utf-8") as file:
        file.write(token + "\n")
    os.chmod(path, 0o600)
    result = shell([*API, "--token-file", path, "--port", str(port)], 'echo "$NONO_PROXY_TOKEN $NONO_PROXY_URL"', f"{CURL_X} https://api.example.com/")
    equal(result.out.splitlines()[0], f"{token} http://127.0.0.1:{port}", f"the variables ({result.err})")
    contains(result.out, "server name api.example.com", "the page")


@test("with --net host the proxy serves this sandbox, and with the token only")
def _():
    result = shell([*API, "--net", "host"], f"{CURL_X} https://api.example.com/", f"{CURL_X} http://api.example.com/", f"{CURL_X} http://evil.example/",
                   "curl -sS -m 15 -w '%{http_connect}' -x $NONO_PROXY_URL https://api.example.com/")
    contains(result.out, "server name api.example.com", f"the page ({result.err})")
    contains(result.out, "server name None", "the page in the clear")
    contains(result.out, "host_not_allowed", "the refusal")
    true(result.out.endswith("407"), f"without the token: {result.out[-200:]!r}")


@test("half-open heads to the proxy do not keep the redirect from serving, nor the proxy", limit=90)
def _():
    told, _result = script(EXAMPLE, """
import resource, struct, urllib.request
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
count = min(2000, limits[1] - 200)
def median(get):
    taken = []
    for _ in range(21):
        started = time.monotonic()
        get()
        taken.append(time.monotonic() - started)
    return sorted(taken)[10]
def best(get):
    return min(median(get) for _ in range(3))
def by_proxy():
    with from_environment() as talk:
        assert talk.ask(get("http://v4only.example.com/", bearer(token))).status == 200
def direct():
    assert b"server name" in urllib.request.urlopen("http://v4only.example.com/").read()
before = [best(by_proxy), best(direct)]
held = []
for _ in range(count):
    sock = socket.create_connection(address)
    sock.sendall(b"CONNECT api.example.com:443 HTTP/1.1\\r\\nHost: api")
    held.append(sock)
during = [best(by_proxy), best(direct)]
for sock in held:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
print(json.dumps([count, before, during]))
""")
    count, before, during = told
    true(count >= 1200, f"half-open heads: {count}")
    for one, other, what in zip(before, during, ("the proxy", "the redirect")):
        below(other, 2 * one + 0.005, f"seconds of a request by {what} with {count} half-open heads (without: {one})")


if __name__ == "__main__":
    if os.geteuid() != 0:
        test("the explicit listener")(lambda: skip("needs root"))
    run()
