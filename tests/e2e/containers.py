#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real containers, of podman with runc and of a Docker engine started by hand: attached by name, they reach what is allowed."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from engines import Docker, Podman  # noqa: E402
from internet import API4, API6, DNS, EVIL4, EVIL6, Internet, Sniffer, leftovers, wait_for  # noqa: E402
from tap import among, contains, equal, lacks, run, skip, test, true  # noqa: E402
from target import accept, begin, cgroup_mount, detach  # noqa: E402

net = Internet()
API = ["--allow-domain", "api.example.com"]
# Of a container as engines start it: what the machine has, and cannot be seen to be refused by a seccomp profile.
ALWAYS = ("vsock", "keyring")
BEFORE = set(leftovers())
engines = {}


def engine(kind):
    """Each engine is started once, and ends with the program."""
    if kind not in engines:
        engines[kind] = kind(net)
    return engines[kind]


def attach(e, name, options=API, gaps=ALWAYS):
    return begin(net, ["--container", name], [*options, *accept(*gaps)], env=e.environment)


def nothing_stays():
    wait_for(lambda: set(leftovers()) <= BEFORE, lambda: f"nothing stays: {set(leftovers()) - BEFORE}", 10)


def take_away(e, name):
    """The container, and what is still attached to it."""
    path = cgroup_mount() + e.cgroup(name)
    e.remove(name)
    detach(net, path)


def reaches_only_what_is_allowed(e, name):
    """From within: glibc's resolver and curl, busybox's own, over IPv4 and IPv6; and what is refused."""
    for family in ("-4", "-6"):
        result = e.execute(name, ["curl", "-sS", "-m", "10", family, "https://api.example.com/"])
        contains(result.stdout, "server name api", f"curl {family} ({result.stderr})")
    result = e.execute(name, ["wget", "-q", "-O", "-", "http://api.example.com/"])
    equal(result.returncode, 0, f"busybox wget's exit status ({result.stderr})")
    contains(e.execute(name, ["nslookup", "api.example.com"]).stdout, API4, "nslookup")
    with Sniffer(net) as sniffer:
        for words in (["curl", "-sS", "-m", "10", "https://evil.example/"], ["curl", "-sS", "-m", "10", f"https://{EVIL4}/"],
                      ["curl", "-sS", "-m", "10", f"https://[{EVIL6}]/"], ["wget", "-q", "-O", "-", "http://evil.example/"]):
            true(e.execute(name, words).returncode != 0, f"{words} is refused")
        result = e.execute(name, ["curl", "-sS", "-m", "10", f"http://{EVIL4}/"])
        contains(result.stdout, "cidr_not_allowed", f"the answer in clear HTTP ({result.stderr})")
        equal([f for f in sniffer.frames() if f.destination in (EVIL4, EVIL6)], [], "frames to evil.example")


def own_server(e, name):
    """A server and a client, both inside."""
    e.execute(name, ["sh", "-c", "nc -l -p 3000 -e echo hello from inside >/dev/null 2>&1 & sleep 0.2; true"])
    contains(e.execute(name, ["sh", "-c", "sleep 0.2; nc 127.0.0.1 3000 </dev/null"]).stdout, "hello from inside", "what the server says")


def walk(kind):
    """A container without any network, from the start to its end."""
    e = engine(kind)
    name = e.run(["sleep", "1000"])
    try:
        among(e.execute(name, ["curl", "-sS", "-m", "5", "https://api.example.com/"]).returncode, (6, 7), "control: curl's exit status before")
        with attach(e, name) as a:
            true(a.ready["cgroup"].endswith(e.cgroup(name)), f"the cgroup: {a.ready}")
            reaches_only_what_is_allowed(e, name)
            own_server(e, name)
            lacks(a.err(), "second wall", "standard error")
            os.kill(a.proxy(), signal.SIGKILL)
            equal(a.process.wait(timeout=10), 1, "exit status when the proxy is killed")
            true(e.execute(name, ["curl", "-sS", "-m", "5", f"https://{API4}/"]).returncode != 0, "it is closed")
        with attach(e, name) as a:
            true(a.ready["adopted"], "adopted")
            reaches_only_what_is_allowed(e, name)
            e.remove(name)
            equal(a.process.wait(timeout=20), 0, f"exit status when the container is gone ({a.err()})")
    finally:
        e.remove(name)
    nothing_stays()


@test("podman, --network none: allowed hosts and no other, adoption, and the end of the container", limit=120)
def _():
    walk(Podman)


@test("Docker, --network none (there without ::1): the same", limit=180)
def _():
    walk(Docker)


@test("podman, bridge: what went out before is refused, with the wall in the kernel alone", limit=120)
def _():
    e = engine(Podman)
    name = e.run(["sleep", "1000"], ["--network", "bridge", "--cap-drop", "NET_RAW"])
    try:
        pid = e.pid(name)
        routes = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "route"], capture_output=True, text=True, check=True).stdout
        contains(routes, "default", "control: it has a way out")
        with Sniffer(net) as sniffer:
            before = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "curl", "-sS", "-m", "5", "-o", "/dev/null", f"http://{EVIL4}/"],
                                    capture_output=True, check=False).returncode
            true(before == 0 or [f for f in sniffer.frames() if f.destination == EVIL4], "control: its frames get out")
        with attach(e, name) as a:
            lacks(a.err(), "second wall", "standard error")
            reaches_only_what_is_allowed(e, name)
            own_server(e, name)
    finally:
        take_away(e, name)
    nothing_stays()


@test("podman, --network host: only the second wall, and attach says so", limit=120)
def _():
    e = engine(Podman)
    name = e.run(["sleep", "1000"], ["--network", "host", "--cap-drop", "NET_RAW"])
    try:
        equal(e.execute(name, ["curl", "-sS", "-m", "5", "-o", "/dev/null", f"http://{EVIL4}/"]).returncode, 0, "control: curl's exit status before")
        with attach(e, name, gaps=(*ALWAYS, "unix-sockets")) as a:
            contains(a.err(), "second wall", "standard error")
            reaches_only_what_is_allowed(e, name)
    finally:
        take_away(e, name)
    nothing_stays()


@test("what is wrong with a container is named: its gaps, and that it does not run", limit=120)
def _():
    e = engine(Podman)
    rows = [
        (["--network", "none", "--pid", "host"], "host-pid"),
        (["--network", "none", "--privileged"], "cap-sys-admin"),
        (["--network", "bridge", "--cap-add", "NET_RAW"], "cap-net-raw"),
        (["--network", "bridge", "--cap-add", "NET_ADMIN"], "cap-net-admin"),
    ]
    for options, gap in rows:
        name = e.run(["sleep", "1000"], options)
        try:
            a = attach(e, name)
            equal(a.process.wait(timeout=30), 1, f"exit status for {options}")
            contains(a.err(), f"open: {gap}: ", f"what is said for {options}")
            a.process.stdout.close()
        finally:
            e.remove(name)
    name = e.run(["true"])
    wait_for(lambda: e.must("container", "inspect", "--format", "{{.State.Running}}", name) == "false", "it has ended")
    for container, sentence in ((name, "is not running"), ("no-such-container", "there is no container no-such-container"), ("--all", "there is no container --all")):
        a = begin(net, [f"--container={container}"], API, env=e.environment)
        equal(a.process.wait(timeout=30), 1, "exit status")
        contains(a.err(), sentence, "the sentence")
        a.process.stdout.close()
    e.remove(name)
    nothing_stays()


@test("a daemon's socket that is mounted into a container is found", limit=120)
def _():
    e, d = engine(Podman), engine(Docker)
    true(os.path.exists(net.path("docker/d.sock")), f"{d.name}'s socket is there")
    name = e.run(["sleep", "1000"], ["--network", "none", "-v", f"{net.path('docker/d.sock')}:/var/run/docker.sock"])
    try:
        a = attach(e, name)
        equal(a.process.wait(timeout=30), 1, f"exit status: {a.err()}")
        contains(a.err(), "reaches /var/run/docker.sock", "what is said")
        a.process.stdout.close()
        ping = ["curl", "-sS", "-m", "5", "--unix-socket", "/var/run/docker.sock", "http://docker/_ping"]
        equal(e.execute(name, ping).stdout, "OK", "control: what the daemon says")
        with attach(e, name, ["--allow-unix", "none"]) as a:
            lacks(a.err(), "docker.sock", "what is said when it is refused")
            lacks(e.execute(name, ping).stdout, "OK", "what the daemon says then")
        with attach(e, name, ["--allow-unix", "/var/run/docker.sock"]) as a:
            equal(e.execute(name, ping).stdout, "OK", "what the daemon says when it is allowed")
        equal(detach(net, a.ready["cgroup"]).returncode, 0, "detach's exit status")
    finally:
        e.remove(name)


@test("Go's own resolver inside a container", limit=300)
def _():
    import shutil

    go = shutil.which("go")
    if not go:
        skip("go is not here")
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
    e = engine(Podman)
    name = e.run(["sleep", "1000"], ["--network", "none", "-v", f"{program}:/get:ro"])
    try:
        with attach(e, name):
            result = e.execute(name, ["/get", "https://api.example.com/"])
            contains(result.stdout, "server name api", f"the page ({result.stderr})")
            contains(e.execute(name, ["/get", "https://evil.example/"]).stderr, "no such host", "Go's message")
    finally:
        take_away(e, name)


MUSL = """
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct addrinfo hint = { .ai_socktype = SOCK_STREAM }, *all, *a;
	int e = getaddrinfo(argv[1], "7", &hint, &all), right = 0, families = 0;

	if (e) {
		printf("%s\\n", gai_strerror(e));
		return 1;
	}
	for (a = all; a; a = a->ai_next) {
		char back[8] = "";
		int fd = socket(a->ai_family, SOCK_STREAM, 0);

		families |= a->ai_family == AF_INET ? 1 : 2;
		right += connect(fd, a->ai_addr, a->ai_addrlen) == 0 && write(fd, "\\1hello", 6) == 6 && read(fd, back, 8) == 6 &&
			 !memcmp(back, "\\1hello", 6);
		close(fd);
	}
	printf("families %d, right %d\\n", families, right);
	return 0;
}
"""


@test("musl's resolver inside a container, both families")
def _():
    source, program = net.path("get.c"), net.path("get-musl")
    with open(source, "w", encoding="utf-8") as file:
        file.write(MUSL)
    subprocess.run(["musl-gcc", "-static", "-o", program, source], check=True)
    e = engine(Podman)
    name = e.run(["sleep", "1000"], ["--network", "none", "-v", f"{program}:/get-musl:ro"])
    try:
        with attach(e, name):
            contains(e.execute(name, ["/get-musl", "api.example.com"]).stdout, "families 3, right 2", "what it reached")
            contains(e.execute(name, ["/get-musl", "evil.example"]).stdout, "Name", "its message")
    finally:
        take_away(e, name)


@test("the engines leave nothing: no container, no cgroup, no process of theirs")
def _():
    for e in engines.values():
        e.close()
    nothing_stays()
    mount = cgroup_mount()
    equal([n for n in ("libpod_parent", "docker") if os.path.isdir(os.path.join(mount, n))], [], "cgroups")


if __name__ == "__main__":
    try:
        run()
    finally:
        for each in engines.values():
            each.close()
