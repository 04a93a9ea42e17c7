#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Package managers: they fetch from allowed repositories with nothing set, and say in their own words why others are refused."""

import os
import sys
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

import apt  # noqa: E402
from internet import API4, API6, EVIL4, EVIL6, Internet, Sniffer  # noqa: E402
from programs import need  # noqa: E402
from tap import contains, equal, lacks, run, skip, test, true  # noqa: E402

net = Internet()
apt.make_repository(net)
API = ["--allow-domain", "api.example.com"]
REPOSITORY = "api.example.com/files/debian"
DEBS = [f"/files/debian/./{name}_1.0_all.deb" for name in apt.NAMES]


def installs(url, *options, rules=(), address=API4):
    """apt-get update and install, as root with apt's own change to the user _apt; returns the result and what the origin saw."""
    mark = len(net.origin_log())
    own = apt.Apt(net, url, *options)
    result = net.run([*API, *rules], own.shell(["update"], ["install", *apt.NAMES]))
    equal(result.status, 0, f"apt-get's exit status; it said {result.out}{result.err}")
    equal([n for n in apt.NAMES if not own.installed(n)], [], "packages that are missing")
    visits = net.visits(address, mark)
    equal([r["path"] for r in visits if r["kind"] == "request" and r["path"].endswith(".deb")], DEBS, "packages that the origin gave")
    return result, visits


@test("apt-get update and install over clear HTTP: pipelined requests, each on record")
def _():
    result, visits = installs(f"http://{REPOSITORY}/")
    equal(len([r for r in visits if r["kind"] == "accept"]), 2, "connections to the origin, one for each apt-get")
    closes = [r for r in result.audit if r["event"] == "close" and r.get("method")]
    equal([r["path"] for r in closes if r["path"].endswith(".deb")], DEBS, "packages on record")
    equal({r["status"] for r in closes if r["path"].endswith(".deb")}, {200}, "their statuses on record")
    # No Release.gpg, no InRelease: answers that are errors pass as they are.
    equal([r["status"] for r in closes if r["path"].endswith("/InRelease")], [404], "the status of what is not there")


@test("apt-get over IPv6, and without pipelining")
def _():
    installs(f"http://{REPOSITORY}/", 'Acquire::ForceIPv6 "true";', 'Acquire::http::Pipeline-Depth "0";', address=API6)


@test("apt-get over https")
def _():
    result, _visits = installs(f"https://{REPOSITORY}/")
    true(result.allowed(target="api.example.com", port=443, sni="api.example.com"), f"the record:\n{result.audit_text}")


@test("apt-get download as an ordinary user")
def _():
    own = apt.Apt(net, f"http://{REPOSITORY}/")
    equal(net.run(API, own.words("update")).status, 0, "apt-get's exit status")
    where = net.path("downloads")
    os.mkdir(where)
    os.chown(where, 65534, 65534)
    result = net.run([*API, "--user", "nobody"], own.words("download", apt.NAMES[0]), cwd=where)
    equal(result.status, 0, f"apt-get's exit status; it said {result.out}{result.err}")
    equal(os.listdir(where), [f"{apt.NAMES[0]}_1.0_all.deb"], "what was downloaded")


@test("apt-get: a repository by a refused name")
def _():
    with Sniffer(net) as sniffer:
        own = apt.Apt(net, "http://evil.example/files/debian/")
        result = net.run(API, own.words("update"))
        equal(result.status, 100, "apt-get's exit status")
        contains(result.err, "Could not resolve 'evil.example'", "apt-get's message")
        contains(result.err, "to allow it: --allow-domain evil.example", "what the run says at its end")
        equal([r for r in result.denied(target="_http._tcp.evil.example") if r.get("count", 1) > 3], [], "records of apt's SRV questions that repeat")
        equal(result.asked("evil.example"), [], "queries that left for it")
        equal([f for f in sniffer.frames() if f.destination in (EVIL4, EVIL6)], [], "frames that left for it")


@test("apt-get: a repository by a refused address, and apt shows why")
def _():
    with Sniffer(net) as sniffer:
        own = apt.Apt(net, f"http://{EVIL4}/files/debian/")
        result = net.run(API, own.words("update"))
        equal(result.status, 100, "apt-get's exit status")
        contains(result.err, f"403  Forbidden: address {EVIL4} is neither an allowed address nor the address of an allowed name", "apt-get's message")
        equal([f for f in sniffer.frames() if f.destination == EVIL4], [], "frames that left for it")
    result = net.run(["--allow-domain", "api.example.com:80"], apt.Apt(net, f"https://{REPOSITORY}/").words("update"))
    equal(result.status, 100, "apt-get's exit status over https")
    contains(result.err, "A TLS fatal alert has been received", "apt-get's message")


@test("apt-get: one repository is allowed, the other is not; the first can still be installed from")
def _():
    own = apt.Apt(net, f"http://{REPOSITORY}/")
    own.sources(f"http://{REPOSITORY}/", "http://evil.example/files/debian/")
    result = net.run(API, ["sh", "-c", f"{own.line('update')}; {own.line('install', apt.NAMES[2])}"])
    equal(result.status, 0, f"apt-get's exit status; it said {result.out}{result.err}")
    true(own.installed(apt.NAMES[2]), "the package is installed")
    contains(result.err, "Could not resolve 'evil.example'", "apt-get's message")


@test("apt-get: the package's host changes by a redirect to a refused one, which gets no request")
def _():
    mark = len(net.origin_log())
    own = apt.Apt(net, "http://api.example.com/redirect/evil.example/files/debian/")
    result = net.run(API, own.words("update"))
    equal(result.status, 100, "apt-get's exit status")
    contains(result.err, "Could not resolve 'evil.example'", "apt-get's message")
    equal([r for r in net.origin_log()[mark:] if r.get("host") == "evil.example"], [], "requests for the other host")


def module_server():
    """A Go module as a module proxy serves it."""
    if not net.once("module"):
        return
    where, at = net.path("www/modules/example.org/sample/@v"), "example.org/sample@v1.0.0"
    os.makedirs(where)
    files = {"list": "v1.0.0\n", "v1.0.0.info": '{"Version":"v1.0.0"}', "v1.0.0.mod": "module example.org/sample\n"}
    for name, text in files.items():
        with open(os.path.join(where, name), "w", encoding="utf-8") as file:
            file.write(text)
    with zipfile.ZipFile(os.path.join(where, "v1.0.0.zip"), "w") as archive:
        archive.writestr(f"{at}/go.mod", files["v1.0.0.mod"])
        archive.writestr(f"{at}/sample.go", "package sample\n")


def go_download(proxy, options, name):
    home = net.path(name)
    os.mkdir(home)
    env = {"GOPROXY": proxy, "GOSUMDB": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw", "GOPATH": f"{home}/path", "GOCACHE": f"{home}/cache", "HOME": home}
    return net.run(options, [need("go"), "mod", "download", "-x", "example.org/sample@v1.0.0"], env=env, cwd=home)


@test("go mod download from a module proxy, clear and https, and refused")
def _():
    module_server()
    for scheme in ("http", "https"):
        result = go_download(f"{scheme}://api.example.com/files/modules", API, "go-" + scheme)
        equal(result.status, 0, f"go's exit status; it said {result.err}")
        true(os.path.exists(net.path(f"go-{scheme}/path/pkg/mod/example.org/sample@v1.0.0/sample.go")), "the module is there")
    result = go_download(f"http://{EVIL4}/files/modules", API, "go-refused")
    true(result.status != 0, "go fails")
    contains(result.err, f"403 Forbidden: address {EVIL4}", "go's message")
    lacks(result.err, "sample@v1.0.0.zip", "go's message")


if __name__ == "__main__":
    if os.geteuid() != 0:
        test("package managers")(lambda: skip("needs root"))
    run()
