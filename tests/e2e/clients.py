#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs that know of no proxy reach an allowed name, by either family, with no variable set."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import programs  # noqa: E402
from internet import API4, API6, PYTHON, SMTP, V4ONLY, V6ONLY, Internet  # noqa: E402
from programs import need  # noqa: E402
from tap import among, contains, equal, lacks, run, skip, test, true  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]

# Not only refused: no proxy variable of the caller's reaches COMMAND, or the redirect would not be what is tested.
PROXY_VARIABLES = {"https_proxy": "http://192.0.2.1:1", "HTTPS_PROXY": "http://192.0.2.1:1", "http_proxy": "http://192.0.2.1:1",
                   "ALL_PROXY": "socks5://192.0.2.1:1", "no_proxy": "x", "NODE_USE_ENV_PROXY": "1"}


def reached(result, address=None, name="api.example.com"):
    equal(result.status, 0, f"exit status; standard error was {result.err!r}")
    contains(result.out, f"server name {name}", "the page")
    if address:
        contains(result.out, f"address {address}", "the page")
    true(result.allowed(target=name), f"the audit has no allow record of {name}:\n{result.audit_text}")


@test("curl over IPv4")
def _():
    reached(net.run(API, ["curl", "-4", "-sS", "https://api.example.com/"]), API4)


@test("curl over IPv6")
def _():
    reached(net.run(API, ["curl", "-6", "-sS", "https://api.example.com/"]), API6)


@test("curl to a name that has IPv6 only")
def _():
    reached(net.run(["--allow-domain", "v6only.example.com"], ["curl", "-sS", "https://v6only.example.com/"]), name="v6only.example.com")


@test("curl to a name that has IPv4 only, asked for IPv6, says that there is none")
def _():
    result = net.run(["--allow-domain", "v4only.example.com"], ["curl", "-6", "-sS", "https://v4only.example.com/"])
    # As without a sandbox: 6 or 7, by the resolver it was built with.
    among(result.status, (6, 7), "curl's exit status")


@test("curl to a wildcard's name, two labels deep")
def _():
    result = net.run(["--allow-domain", "*.example.com"], ["curl", "-sS", "https://sub.api.example.com/"])
    reached(result, API4, "sub.api.example.com")


@test("curl through an alias, of which only the alias is allowed")
def _():
    reached(net.run(["--allow-domain", "cname.example.com"], ["curl", "-sS", "https://cname.example.com/"]), name="cname.example.com")


@test("curl moves a large body whole")
def _():
    size = 20 << 20
    result = net.run(API, ["sh", "-c", f"curl -sS https://api.example.com/bytes/{size} | wc -c"])
    equal(result.out.strip(), str(size), "bytes received")
    closes = [r for r in result.audit if r["event"] == "close" and r.get("target") == "api.example.com"]
    true(closes and closes[0]["bytes_down"] > size, f"the close record tells the bytes: {closes}")


@test("the caller's proxy variables do not reach COMMAND")
def _():
    result = net.run(API, ["sh", "-c", "env; curl -sS https://api.example.com/"], env=PROXY_VARIABLES)
    reached(result)
    for name in PROXY_VARIABLES:
        lacks(result.out.splitlines(), f"{name}={PROXY_VARIABLES[name]}", "environment")


@test("Python's ssl on a plain socket, both families, and getpeername tells the address asked for")
def _():
    code = """
import socket, ssl
for family in (socket.AF_INET, socket.AF_INET6):
    to = socket.getaddrinfo('api.example.com', 443, family, socket.SOCK_STREAM)[0][4]
    with socket.socket(family, socket.SOCK_STREAM) as raw:
        raw.connect(to)
        print('peer', raw.getpeername()[:2] == to[:2])
        with ssl.create_default_context().wrap_socket(raw, server_hostname='api.example.com') as s:
            s.sendall(b'GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n')
            print(s.recv(4096).decode())
"""
    result = net.run(API, [PYTHON, "-c", code])
    reached(result, API4)
    contains(result.out, f"address {API6}", "the page")
    equal(result.out.count("peer True"), 2, "getpeername() answers with the address asked for")


@test("Python, many connections at a time, each with its own answer")
def _():
    code = """
import concurrent.futures, urllib.request
def get(i):
    name = ('api', 'cdn-a', 'v4only', 'v6only')[i % 4] + '.example.com'
    return f'server name {name},' in urllib.request.urlopen(f'https://{name}/', timeout=30).read().decode()
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(get, range(200))), 'right')
"""
    result = net.run(["--allow-domain", "*.example.com"], [PYTHON, "-c", code])
    contains(result.out, "200 right", f"answers (standard error: {result.err})")


# What each says of a name that is refused (the responder's NXDOMAIN), and of a port that is (a TLS alert).
CLIENTS = [
    ("curl", programs.curl, "Could not resolve host: evil.example", "alert access denied"),
    ("wget", lambda *urls: programs.wget(net, *urls), "unable to resolve host address", "Access was denied"),
    ("Python's urllib", programs.urllib, "Name or service not known", "alert access denied"),
    ("Python's requests", programs.requests, "Name or service not known", "alert access denied"),
    ("Python's httpx", programs.httpx, "Name or service not known", "alert access denied"),
    ("Node's fetch", programs.fetch, "getaddrinfo ENOTFOUND evil.example", "alert access denied"),
    ("Go's net/http with Go's own resolver", programs.go, "no such host", "tls: access denied"),
]


def reaches_and_is_refused(words, no_name, no_port):
    result = net.run(["--allow-domain", "*.example.com"], words("https://v4only.example.com/", "https://v6only.example.com/"))
    reached(result, V4ONLY, "v4only.example.com")
    reached(result, V6ONLY, "v6only.example.com")
    result = net.run(API, words("https://evil.example/"))
    true(result.status != 0, "a refused name is an error")
    contains(result.err, no_name, "the message for a refused name")
    contains(result.err, "host_not_allowed   to allow it: --allow-domain evil.example", "what the run says at its end")
    lacks(result.out, "server name", "the page")
    result = net.run(["--allow-domain", "api.example.com:80"], words("https://api.example.com/"))
    true(result.status != 0, "a refused port is an error")
    contains(result.err, no_port, "the message for a refused port")
    lacks(result.out, "server name", "the page")


for client, *how in CLIENTS:
    test(f"{client}: either family, a refused name, a refused port", limit=120)(lambda how=how: reaches_and_is_refused(*how))


@test("openssl s_client")
def _():
    result = net.run(API, ["sh", "-c", "printf 'GET / HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n' | openssl s_client -quiet -ign_eof "
                                       "-verify_return_error -CAfile \"$SSL_CERT_FILE\" -connect api.example.com:443 & sleep 2; kill $!"])
    contains(result.out, "server name api.example.com", f"the page (standard error: {result.err})")


@test("ssh: the server speaks first")
def _():
    words = net.start_ssh()
    result = net.run(["--allow-domain", "ssh.example.com:22"], [*words, "ssh.example.com", "echo hello from there"])
    equal(result.status, 0, f"ssh's exit status; standard error was {result.err!r}")
    equal(result.out, "hello from there\n", "what the far shell said")
    true(result.allowed(target="ssh.example.com", port=22), f"the audit allows it:\n{result.audit_text}")


@test("a server that speaks first, and a protocol that is neither TLS nor HTTP")
def _():
    code = """
import socket
s = socket.create_connection(('smtp.example.com', 25))
print(s.recv(100).decode().strip())
s.sendall(b'EHLO me\\r\\n')
print(s.recv(100).decode().strip())
s = socket.create_connection(('smtp.example.com', 7))
s.sendall(bytes(range(256)))
s.shutdown(socket.SHUT_WR)
data = b''
while chunk := s.recv(4096):
    data += chunk
print('echo', data == bytes(range(256)))
"""
    result = net.run(["--allow-domain", "smtp.example.com"], [PYTHON, "-c", code])
    equal(result.out.splitlines(), ["220 smtp.example.com ready", "250 EHLO me", "echo True"], f"the talk (standard error: {result.err})")
    true(result.allowed(target="smtp.example.com", resolved_ip=SMTP), f"the audit names the address dialled:\n{result.audit_text}")


@test("psql by name")
def _():
    psql = need("psql")
    net.start_postgres()
    result = net.run(["--allow-domain", "db.example.com:5432"],
                     [psql, "-X", "-At", "-c", "select 6*7", "postgresql://postgres@db.example.com/postgres"])
    equal(result.status, 0, f"psql's exit status; standard error was {result.err!r}")
    equal(result.out.strip(), "42", "the row")


@test("psql by address, under an address rule")
def _():
    psql = need("psql")
    net.start_postgres()
    result = net.run(["--allow-cidr", "203.0.113.0/24:5432"],
                     [psql, "-X", "-At", "-c", "select 6*7", "postgresql://postgres@203.0.113.23/postgres"])
    equal(result.out.strip(), "42", f"the row (standard error: {result.err})")


@test("git clone over https, from either family; a refused name")
def _():
    net.start_git()
    url = "https://{}.example.com/files/repo.git"
    for number, name in enumerate(("git", "v6only")):
        clone = net.path(f"clone-{number}")
        result = net.run(["--allow-domain", f"{name}.example.com:443"], ["git", "clone", "-q", url.format(name), clone])
        equal(result.status, 0, f"git's exit status; standard error was {result.err!r}")
        with open(os.path.join(clone, "hello.txt"), encoding="utf-8") as file:
            equal(file.read(), "hello from the repository\n", "the file")
    result = net.run(API, ["git", "clone", "-q", url.format("git"), net.path("clone-none")])
    equal(result.status, 128, "git's exit status")
    contains(result.err, "Could not resolve host: git.example.com", "git's message")
    contains(result.err, "--allow-domain git.example.com", "what the run says at its end")


@test("git's own protocol: clone and push of what needs chunks")
def _():
    net.start_git()
    folder = net.path("round")
    os.mkdir(folder)
    result = net.run(["--allow-domain", "git.example.com"], programs.git_round_trip("https://git.example.com/git/repo.git", folder))
    equal((result.status, result.out), (0, "hello from the repository\n"), f"exit status and the file; it said {result.err}")


@test("dig, host by getent, and nc")
def _():
    result = net.run(API, ["sh", "-c", "dig +short api.example.com A; dig +short api.example.com AAAA; getent ahostsv4 api.example.com;"
                                       "getent ahostsv6 api.example.com; printf hello | nc -N -w 5 api.example.com 7"])
    lines = result.out.split()
    for wanted in (API4, API6, "hello"):
        contains(lines, wanted, "output")


@test("a server and a client of the sandbox's own talk over its loopback, and the proxy does not see them")
def _():
    code = """
import socket, threading
for family, where in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    server = socket.create_server((where, 0), family=family)
    def answer():
        c, _ = server.accept()
        c.sendall(b'own ' + c.recv(10))
        c.close()
    threading.Thread(target=answer).start()
    c = socket.create_connection(server.getsockname()[:2])
    c.sendall(b'hello')
    print(c.recv(20).decode())
"""
    result = net.run([], [PYTHON, "-c", code])
    equal(result.out.splitlines(), ["own hello", "own hello"], f"the talk (standard error: {result.err})")
    equal([r for r in result.audit if r.get("mode") == "transparent"], [], "audit records")


@test("programs believe that they are online")
def _():
    code = """
import socket
for family in (socket.AF_INET, socket.AF_INET6):
    print(len(socket.getaddrinfo('api.example.com', 443, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)) > 0)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('203.0.113.10', 443))
print(s.getsockname()[0] not in ('0.0.0.0', '127.0.0.1'))
"""
    result = net.run(API, [PYTHON, "-c", code])
    equal(result.out.split(), ["True"] * 3, f"answers (standard error: {result.err})")


@test("as an unprivileged user, too")
def _():
    reached(net.run([*API, "--user", "nobody"], ["curl", "-sS", "https://api.example.com/"]))


@test("with --net host the second wall holds by itself: allowed is served, refused is refused")
def _():
    result = net.run([*API, "--net", "host"], ["sh", "-c", "curl -sS https://api.example.com/; curl -sS -m 5 https://evil.example/;"
                                                           "curl -sS -k -m 5 https://203.0.113.66/"])
    contains(result.out, "server name api.example.com", "the page")
    lacks(result.out, "evil", "the page")
    true(result.denied(target="evil.example"), f"the audit refuses evil.example:\n{result.audit_text}")


if __name__ == "__main__":
    if os.geteuid() != 0:
        test("end to end")(lambda: skip("needs root"))
    run()
