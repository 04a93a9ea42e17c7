#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs that know of no proxy reach an allowed name, by either family, with no variable set."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import API4, API6, PYTHON, SMTP, Internet  # noqa: E402
from tap import among, contains, equal, fail, lacks, run, skip, test, true  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]

# Not only refused: no proxy variable of the caller's reaches COMMAND, or the redirect would not be what is tested.
PROXY_VARIABLES = {"https_proxy": "http://192.0.2.1:1", "HTTPS_PROXY": "http://192.0.2.1:1", "http_proxy": "http://192.0.2.1:1",
                   "ALL_PROXY": "socks5://192.0.2.1:1", "no_proxy": "x", "NODE_USE_ENV_PROXY": "1"}


def need(program):
    return shutil.which(program) or fail(f"{program} is missing; tests/deps.sh installs it")


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


@test("Python's urllib")
def _():
    code = "import urllib.request as u; print(u.urlopen('https://api.example.com/').read().decode())"
    reached(net.run(API, [PYTHON, "-c", code]))


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


@test("Node's fetch")
def _():
    node = need("node")
    code = "fetch('https://api.example.com/').then(r => r.text()).then(t => console.log(t))"
    reached(net.run(API, [node, "-e", code]))


@test("Go's net/http with Go's own resolver", limit=300)
def _():
    go = need("go")
    source, program = net.path("get.go"), net.path("get")
    with open(source, "w", encoding="utf-8") as file:
        file.write("""package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\\n")
		os.Exit(1)
	}
	io.Copy(os.Stdout, response.Body)
}
""")
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOCACHE": net.path("gocache"),
           "GOPATH": net.path("gopath"), "HOME": net.directory}
    subprocess.run([go, "build", "-o", program, source], check=True, env=env, cwd=net.directory)
    reached(net.run(API, [program, "https://api.example.com/"]))
    refused = net.run(API, [program, "https://evil.example/"])
    equal(refused.status, 1, "a refused name")
    contains(refused.err, "no such host", "Go's message")


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


@test("git clone over https")
def _():
    net.start_git()
    result = net.run(["--allow-domain", "git.example.com:443"],
                     ["git", "clone", "-q", "https://git.example.com/files/repo.git", net.path("clone")])
    equal(result.status, 0, f"git's exit status; standard error was {result.err!r}")
    with open(net.path("clone/hello.txt"), encoding="utf-8") as file:
        equal(file.read(), "hello from the repository\n", "the file")


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
