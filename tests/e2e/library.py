#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The C library as its users have it: installed, compiled against by an ordinary user, and ended in every way."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import DNS, EVIL4, HOST4, PYTHON, ROOT, Internet, children, read_text, running, wait_for  # noqa: E402
from tap import contains, equal, lacks, run, test, true  # noqa: E402

net = Internet()
NOBODY = 65534
ORDINARY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
DEST = net.path("dest")
PREFIX = "/usr/local"
LIBDIR = f"{DEST}{PREFIX}/lib"
BINARY = net.path("nono-proxy")  # what is executed in the end
PROGRAM = net.path("program")  # what the library is told to execute
HEADER = os.path.join(ROOT, "include/nono_proxy.h")
CURL = "curl -sS -m 10 -o /dev/null -w %{http_code}"


def public_names():
    return sorted(set(re.findall(r"^[a-z][\w \*]*?\*?(nono_proxy_\w+)\(", read_text(HEADER), re.MULTILINE)))


def make_install():
    # The sanitizers' builds have no library of their own: they are run by that of the release.
    build = "debug" if "/build/debug/" in net.program else "release"
    reply = subprocess.run(["make", "--no-print-directory", f"BUILD={build}", f"DESTDIR={DEST}", f"PREFIX={PREFIX}", "install"], cwd=ROOT,
                           capture_output=True, text=True, check=False)
    if reply.returncode:
        raise AssertionError(f"make install: {reply.stdout}{reply.stderr}")


def make_program():
    """A program where everybody can read it. Sanitizers get their settings back: the library passes no environment on."""
    shutil.copy(net.program, BINARY)
    os.chmod(BINARY, 0o755)
    env = net.environment()
    words = [f"{name}={env[name]}" for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if name in env]
    with open(PROGRAM, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nexec env {shlex.join(words + [BINARY])} \"$@\"\n")
    os.chmod(PROGRAM, 0o755)


def environment(**more):
    return net.environment(LD_LIBRARY_PATH=LIBDIR, PYTHONPATH=net.path("examples"), NONO_PROXY_PROGRAM=PROGRAM, RESOLVER=DNS, **more)


def ordinary(words, timeout=50, **more):
    """Runs it as nobody, on the tests' host."""
    reply = subprocess.run([*net.enter(net.inside), *ORDINARY, *words], env=environment(**more), cwd=net.path("user"), capture_output=True,
                           text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    net.check_reports()
    return reply


PRELUDE = """
import ctypes, os, signal, socket, subprocess, sys, threading, time
from library import Config, Proxy, byref, c_void_p, library, sizeof, strings
S = {"program": os.environb[b"NONO_PROXY_PROGRAM"], "resolvers": strings([os.environ["RESOLVER"]])}
library.nono_proxy_token.argtypes = library.nono_proxy_pid.argtypes = library.nono_proxy_port.argtypes = [c_void_p]
library.nono_proxy_is_running.argtypes = library.nono_proxy_poll_fd.argtypes = [c_void_p]
library.nono_proxy_token.restype = ctypes.c_char_p
library.nono_proxy_port.restype = ctypes.c_uint16
library.nono_proxy_is_running.restype = ctypes.c_bool

def curl(env, url, *words):
    reply = subprocess.run(["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}", *words, url],
                           env={**os.environ, **env}, capture_output=True, text=True)
    return f"{reply.returncode} {reply.stdout}"

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def start(**settings):
    config = Config(**{"size": sizeof(Config), "log_fd": -1, **S, **settings})
    handle = c_void_p()
    status = library.nono_proxy_start(byref(config), byref(handle))
    return status, handle, library.nono_proxy_last_error().decode()
"""


def script(code, **more):
    reply = ordinary([PYTHON, "-B", "-c", PRELUDE + code], **more)
    equal((reply.returncode, reply.stderr), (0, ""), f"status and standard error of the host process ({reply.stdout!r})")
    return reply.stdout.splitlines()


def none_left():
    wait_for(lambda: not running(BINARY), lambda: f"processes {running(BINARY)} have ended", 10)


make_install()
make_program()
shutil.copytree(os.path.join(ROOT, "examples"), net.path("examples"))
os.mkdir(net.path("user"))
os.chown(net.path("user"), NOBODY, NOBODY)


@test("control: without the library evil.example is reached, and nothing runs yet")
def _():
    reply = net.host([*CURL.split(), "--resolve", f"evil.example:443:{EVIL4}", "https://evil.example/"])
    equal((reply.returncode, reply.stdout), (0, "200"), reply.stderr)
    equal(running(BINARY), [], "processes of the program")


@test("make install: program, header, libraries, pkg-config file; nothing of DESTDIR in it")
def _():
    found = sorted(os.path.relpath(os.path.join(d, f), DEST + PREFIX) for d, _, fs in os.walk(DEST) for f in fs)
    equal(found, ["bin/nono-proxy", "include/nono_proxy.h", "lib/libnono_proxy.a", "lib/libnono_proxy.so", "lib/libnono_proxy.so.0",
                  "lib/pkgconfig/nono-proxy.pc"], "what is installed")
    equal(os.readlink(f"{LIBDIR}/libnono_proxy.so"), "libnono_proxy.so.0", "the link")
    lacks(read_text(f"{LIBDIR}/pkgconfig/nono-proxy.pc"), DEST, "the pkg-config file")
    lacks(read_text(f"{LIBDIR}/pkgconfig/nono-proxy.pc"), "@", "the pkg-config file")
    with open(f"{LIBDIR}/libnono_proxy.so.0", "rb") as file:
        true(f"{PREFIX}/bin/nono-proxy".encode() in file.read(), "the place of the program is compiled in")


@test("the libraries define the header's functions and nothing else, and want nothing but libc")
def _():
    names = public_names()
    true(len(names) >= 9, f"the header declares {names}")
    shared = subprocess.run(["nm", "-D", "-P", "--defined-only", f"{LIBDIR}/libnono_proxy.so.0"], capture_output=True, text=True, check=True).stdout
    equal(sorted(line.split()[0] for line in shared.splitlines()), sorted(["NONO_PROXY_0.1"] + [f"{n}@@NONO_PROXY_0.1" for n in names]),
          "what the shared library exports")
    static = subprocess.run(["nm", "-g", "-P", "--defined-only", f"{LIBDIR}/libnono_proxy.a"], capture_output=True, text=True, check=True).stdout
    equal(sorted(line.split()[0] for line in static.splitlines() if len(line.split()) > 1), names, "what the static library defines")
    dynamic = subprocess.run(["readelf", "-d", f"{LIBDIR}/libnono_proxy.so.0"], capture_output=True, text=True, check=True).stdout
    contains(dynamic, "Library soname: [libnono_proxy.so.0]", "the dynamic section")
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    equal([n for n in needed if not n.startswith(("libc.so.", "ld-linux"))], [], "libraries that it needs")
    wanted = subprocess.run(["nm", "-D", "-u", f"{LIBDIR}/libnono_proxy.so.0"], capture_output=True, text=True, check=True).stdout
    for call in ("exit", "_exit", "abort", "sigaction", "signal", "printf", "fprintf", "stderr", "stdout", "setenv", "putenv", "fork", "system"):
        true(not re.search(rf"\b{call}(@|$)", wanted, re.MULTILINE), f"it does not call {call}()")


def compile_example(name, *words, source="library.c"):
    """As an ordinary user who knows of pkg-config."""
    shell = "exec cc -std=gnu11 -Wall -Wextra -Werror \"$@\" $(pkg-config --cflags --libs nono-proxy)"
    reply = ordinary(["sh", "-c", shell, "sh", source if "/" in source else net.path("examples/" + source), *words, "-o", name],
                     PKG_CONFIG_LIBDIR=f"{LIBDIR}/pkgconfig", PKG_CONFIG_SYSROOT_DIR=DEST)
    equal((reply.returncode, reply.stdout, reply.stderr), (0, "", ""), f"compiling {name}")
    return f"{net.path('user')}/{name}"


@test("the examples: an ordinary user compiles and runs them; the one host is reached, another is not")
def _():
    shared, static = compile_example("shared"), compile_example("static", "-static")
    contains(subprocess.run(["ldd", shared], env=environment(), capture_output=True, text=True, check=True).stdout, LIBDIR, "what it is linked to")
    for words in ([shared], [static], [PYTHON, "-B", net.path("examples/library.py")]):
        reply = ordinary([*words, "api.example.com", *CURL.split(), "https://api.example.com/"])
        equal((reply.returncode, reply.stdout.replace("\n", " ").strip(), reply.stderr), (0, "200curl ended with exit status 0", ""), f"allowed, {words}")
        reply = ordinary([*words, "api.example.com", *CURL.split(), "https://evil.example/"])
        equal((reply.returncode, reply.stdout.strip()), (1, "000curl ended with exit status 56"), f"refused, {words}: {reply.stderr}")
        contains(reply.stderr, "403", "what curl says")
        reply = ordinary([*words, "api.example.com", *CURL.split(), "http://api.example.com/"])
        equal((reply.returncode, reply.stdout.replace("\n", " ").strip()), (0, "200curl ended with exit status 0"), f"clear text, {words}: {reply.stderr}")
        reply = ordinary([*words, "api..example.com", "true"])
        equal((reply.returncode, reply.stdout), (1, ""), "a wrong pattern")
        contains(reply.stderr, "api..example.com", "the sentence")
        equal(ordinary(words).returncode == 0, False, "no words")
    none_left()


@test("the static library clashes with no name of the user's")
def _():
    # Every function inside, now the user's own, and fatal.
    inside = subprocess.run(["nm", "-P", "--defined-only", f"{LIBDIR}/libnono_proxy.a"], capture_output=True, text=True, check=True).stdout
    names = sorted({line.split()[0] for line in inside.splitlines() if len(line.split()) > 1 and line.split()[1] == "t" and "." not in line.split()[0]})
    true("child_start" in names, f"names inside: {names}")
    with open(net.path("clash.c"), "w", encoding="utf-8") as file:
        file.write("#include <stdlib.h>\n" + "".join(f"void {n}(void); void {n}(void) {{ abort(); }}\n" for n in names))
    program = compile_example("clash", net.path("clash.c"), "-static", "-fno-builtin")
    reply = ordinary([program, "api.example.com", *CURL.split(), "https://api.example.com/"])
    equal((reply.returncode, reply.stdout.strip()), (0, "200curl ended with exit status 0"), reply.stderr)


@test("the header is C++ as well")
def _():
    text = '#include <nono_proxy.h>\nint main() { nono_proxy_config c = NONO_PROXY_CONFIG_INIT; nono_proxy *p; return nono_proxy_start(&c, &p); }\n'
    reply = subprocess.run(["clang", "-x", "c++", "-std=c++11", "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{DEST}{PREFIX}/include", "-fsyntax-only", "-"],
                           input=text, capture_output=True, text=True, check=False)
    equal((reply.returncode, reply.stderr), (0, ""), "clang")


@test("two proxies of one process: each has its own policy and its own token")
def _():
    lines = script("""
with Proxy(["api.example.com"], **S) as a, Proxy(["cdn-a.example.com"], **S) as b:
    for p in (a, b):
        print(curl(p.env(), "https://api.example.com/"), curl(p.env(), "https://cdn-a.example.com/"))
    tokens = [library.nono_proxy_token(p.handle).decode() for p in (a, b)]
    print(tokens[0] != tokens[1], library.nono_proxy_port(a.handle) != library.nono_proxy_port(b.handle))
    print(curl({}, "http://api.example.com/", "-x", f"http://nono:{tokens[1]}@127.0.0.1:{library.nono_proxy_port(a.handle)}"))
    for p, token in zip((a, b), tokens):
        pid = library.nono_proxy_pid(p.handle)
        seen = open(f"/proc/{pid}/cmdline").read()
        print("--allow-domain=" in seen, token in seen, p.env()["NONO_PROXY_TOKEN"] == token)
""")
    equal(lines, ["0 200 200 56 000 403", "56 000 403 0 200 200", "True True", "0 407 000", "True False True", "True False True"], "what happened")
    none_left()


@test("SIGKILL of the host process ends both of its proxies; so does its end without a shutdown")
def _():
    code = PRELUDE + """
a, b = Proxy(["api.example.com"], **S), Proxy(["api.example.com"], **S)
print(library.nono_proxy_pid(a.handle), library.nono_proxy_pid(b.handle), flush=True)
line = sys.stdin.readline()
os._exit(0)
"""
    for how in ("kill", "exit"):
        host = subprocess.Popen([*net.enter(net.inside), *ORDINARY, PYTHON, "-B", "-c", code], env=environment(), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        try:
            pids = [int(p) for p in host.stdout.readline().split()]
            equal(len(pids), 2, "proxies")
            family = pids + [c for p in pids for c in children(p)]
            equal(sorted(running(BINARY)), sorted(family), "the processes")
            equal(len(family), 4, f"supervisors and proxies: {family}")
            if how == "kill":
                host.kill()
            else:
                host.stdin.write("\n")
                host.stdin.flush()
            equal(host.wait(timeout=10), -signal.SIGKILL if how == "kill" else 0, "how the host process ended")
            none_left()
        finally:
            host.kill()
            host.communicate()


@test("SIGKILL of the host process ends its proxy though a fork of it lives on")
def _():
    code = PRELUDE + """
a = Proxy(["api.example.com"], **S)
pid = os.fork()
if pid == 0:
    signal.pause()
print(pid, flush=True)
signal.pause()
"""
    host = subprocess.Popen([*net.enter(net.inside), *ORDINARY, PYTHON, "-B", "-c", code], env=environment(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True)
    fork = 0
    try:
        fork = int(host.stdout.readline())
        true(running(BINARY), "it runs")
        host.kill()
        host.wait(timeout=10)
        none_left()
        equal(os.path.exists(f"/proc/{fork}"), True, "the fork lives")
    finally:
        host.kill()
        if fork:
            os.kill(fork, signal.SIGKILL)
        host.communicate()


@test("the end of the thread that started it does not end it")
def _():
    lines = script("""
found = []
thread = threading.Thread(target=lambda: found.append(Proxy(["api.example.com"], **S)))
thread.start()
thread.join()
print(curl(found[0].env(), "https://api.example.com/"), library.nono_proxy_is_running(found[0].handle))
library.nono_proxy_shutdown(found[0].handle)
""")
    equal(lines, ["0 200 200 True"], "what happened")


@test("50 times started and shut down: no process, no descriptor is left", limit=240)
def _():
    lines = script("""
with Proxy(["api.example.com"], **S):
    pass
before = descriptors()
for i in range(50):
    status, p, why = start()
    if status < 0:
        print(why)
    pid = library.nono_proxy_pid(p)
    library.nono_proxy_shutdown(p)
    if os.path.exists(f"/proc/{pid}"):
        print("there is still", pid)
print(descriptors() - before)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
""", timeout=200)
    equal(lines, ["0", "no child"], "what is left")
    none_left()


@test("a proxy that ends by itself is seen")
def _():
    lines = script("""
import select
status, p, why = start()
print(status, library.nono_proxy_is_running(p), select.select([library.nono_proxy_poll_fd(p)], [], [], 0)[0] == [])
os.kill(library.nono_proxy_pid(p), signal.SIGKILL)
print(select.select([library.nono_proxy_poll_fd(p)], [], [], 10)[0] != [], library.nono_proxy_is_running(p))
library.nono_proxy_shutdown(p)
""")
    equal(lines, ["0 True True", "True False"], "what is seen")
    none_left()


@test("shutdown: at once without connections; an open tunnel may go on for the time given, and is cut off then")
def _():
    lines = script("""
def tunnel(p, env):
    s = socket.create_connection(("127.0.0.1", library.nono_proxy_port(p)), timeout=10)
    s.sendall(b"CONNECT api.example.com:7 HTTP/1.1\\r\\nHost: api.example.com:7\\r\\nProxy-Authorization: Bearer " +
              library.nono_proxy_token(p) + b"\\r\\n\\r\\n")
    print(s.recv(4096).split(b"\\r\\n")[0].decode())
    s.sendall(b"a line\\n")
    print(s.recv(10))
    return s

def timed(p):
    began = time.monotonic()
    library.nono_proxy_shutdown(p)
    return time.monotonic() - began

hosts = strings(["api.example.com"])
status, p, why = start(allowed_hosts=hosts, drain_timeout_ms=30000)
print(timed(p) < 5)

status, p, why = start(allowed_hosts=hosts, drain_timeout_ms=500)
s = tunnel(p, None)
print(0.4 < timed(p) < 8)
try:
    print(s.recv(10) == b"")
except ConnectionResetError:
    print(True)

status, p, why = start(allowed_hosts=hosts, drain_timeout_ms=30000)
s = tunnel(p, None)
threading.Timer(0.3, lambda: (s.sendall(b"still\\n"), print(s.recv(10)), s.close())).start()
print(0.25 < timed(p) < 15)
""")
    ok = ["HTTP/1.1 200", "b'a line\\n'"]
    equal([line[:12] if line.startswith("HTTP") else line for line in lines], ["True", *ok, "True", "True", *ok, "b'still\\n'", "True"], "what happened")
    none_left()


@test("what cannot start: the errno and a sentence; nothing is left, and nothing is written where nobody asked")
def _():
    with open(net.path("bad.json"), "w", encoding="utf-8") as file:
        file.write('{ "version": 1,\n  "allowed_host": [] }\n')
    os.chmod(net.path("bad.json"), 0o644)
    lines = script(f"""
import errno
taken = socket.create_server(("127.0.0.1", 0))
before = descriptors()
for settings in (
    {{"allowed_hosts": strings(["foo..example.com"])}}, {{"denied_hosts": strings(["a b"])}}, {{"allowed_hosts": strings(["a.example\\n--monitor"])}},
    {{"allowed_hosts": strings(["a.example,b.example"])}}, {{"allowed_hosts": strings([""])}},
    {{"allowed_cidrs": strings(["10.0.0.0/8"])}}, {{"resolvers": strings(["dns.example.com"])}}, {{"listen": b"moon"}},
    {{"listen": {HOST4!r}.encode(), "no_auth": True}}, {{"log_level": b"loud"}},
    {{"config_file": {net.path("bad.json")!r}.encode()}}, {{"config_file": b"/nonexistent/file.json"}},
    {{"port": taken.getsockname()[1]}}, {{"audit_log": b"/proc/nothing/audit"}},
    {{"listen": b"192.0.2.1"}}, {{"program": b"/nonexistent/nono-proxy"}}, {{"program": b"/etc"}}, {{"program": b"/bin/true"}},
    {{"program": b"/bin/false"}}, {{"program": b"/bin/echo"}},
):
    status, p, why = start(**settings)
    print(errno.errorcode[-status], p.value, why.replace(str(taken.getsockname()[1]), "PORT"))
print(descriptors() - before)
""")
    wanted = [("EINVAL", "foo..example.com"), ("EINVAL", "a b"), ("EINVAL", "--monitor"), ("EINVAL", "a.example,b.example"), ("EINVAL", ""),
              ("EINVAL", "10.0.0.0/8"), ("EINVAL", "dns.example.com"), ("EINVAL", "moon"), ("EINVAL", "loopback"), ("EINVAL", "loud"),
              ("EINVAL", net.path("bad.json") + ":2:3"), ("EINVAL", "/nonexistent/file.json"), ("EIO", "PORT"), ("EIO", "/proc/nothing/audit"),
              ("EIO", "192.0.2.1"), ("ENOENT", "/nonexistent/nono-proxy"), ("EACCES", "/etc"), ("EIO", "exit status 0"), ("EIO", "exit status 1"),
              ("EPROTO", "/bin/echo")]
    equal(lines.pop(), "0", "descriptors that were left")
    equal(len(lines), len(wanted), f"one line for each: {lines}")
    for line, (name, part) in zip(lines, wanted):
        error, handle, sentence = line.split(" ", 2)
        equal((error, handle), (name, "None"), f"errno and handle for {part!r} ({sentence!r})")
        contains(sentence, part, "the sentence")
        true(len(sentence) > 10, f"a sentence: {sentence!r}")
    none_left()


@test("a program that is never ready is given up in time")
def _():
    path = net.path("silent")
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexec sleep 1000\n")
    os.chmod(path, 0o755)
    lines = script(f"""
began = time.monotonic()
status, p, why = start(program={path!r}.encode(), start_timeout_ms=300)
print(-status, why)
print(time.monotonic() - began)
""")
    equal(lines[0], f"110 {path} was not ready within 300 ms", "the sentence")
    true(0.3 <= float(lines[1]) < 5, f"seconds: {lines[1]}")


@test("no configuration file is found by accident, and the one that was named is read")
def _():
    os.makedirs(net.path("etc/nono-proxy"))
    os.makedirs(net.path("xdg/nono-proxy"))
    places = [net.path(p) for p in ("etc/nono-proxy/config.json", "xdg/nono-proxy/config.json", "named.json")]
    for path in places:
        with open(path, "w", encoding="utf-8") as file:
            file.write('{ "version": 1, "allowed_hosts": ["cdn-a.example.com"], "audit": { "path": "/dev/null" } }\n')
        os.chmod(path, 0o644)
    code = PRELUDE + f"""
hosts = strings(["api.example.com"])
for settings in ({{}}, {{"config_file": {places[2]!r}.encode()}}):
    status, p, why = start(allowed_hosts=hosts, **settings)
    token = library.nono_proxy_token(p)
    env = {{"https_proxy": f"http://nono:{{token.decode()}}@127.0.0.1:{{library.nono_proxy_port(p)}}"}}
    print(curl(env, "https://api.example.com/"), curl(env, "https://cdn-a.example.com/"))
    library.nono_proxy_shutdown(p)
"""
    # The system's place, as this process sees it; nothing of the machine's own is touched.
    enter = [*net.enter(net.inside), "unshare", "--mount", "sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\"", net.path("etc"), *ORDINARY]
    for name, value in (("NONO_PROXY_CONFIG", places[2]), ("XDG_CONFIG_HOME", net.path("xdg")), ("NOTHING", "")):
        env = environment(**{name: value})
        control = subprocess.run([*enter, BINARY, "why", "cdn-a.example.com"], env=env, capture_output=True, text=True, check=False)
        equal(control.returncode, 0, f"control: the command line finds a file ({control.stdout}{control.stderr})")
        reply = subprocess.run([*enter, PYTHON, "-B", "-c", code], env=env, capture_output=True, text=True, check=False, timeout=50)
        equal((reply.returncode, reply.stderr), (0, ""), "the host process")
        equal(reply.stdout.splitlines(), ["0 200 200 56 000 403", "0 200 200 0 200 200"], f"what is reached, with {name}")


@test("the record and the log go where the caller said")
def _():
    audit = f"{net.path('user')}/audit.jsonl"
    lines = script(f"""
r, w = os.pipe()
status, p, why = start(allowed_hosts=strings(["api.example.com"]), audit_log={audit!r}.encode(), log_fd=w, log_level=b"debug")
token = library.nono_proxy_token(p).decode()
env = {{"https_proxy": f"http://nono:{{token}}@127.0.0.1:{{library.nono_proxy_port(p)}}"}}
print(curl(env, "https://api.example.com/"), curl(env, "https://evil.example/"))
library.nono_proxy_shutdown(p)
os.close(w)
text = open(r).read() + open({audit!r}).read()
print(token in text, text.count('"deny"'), text.count('"allow"') > 0)
""")
    equal(lines, ["0 200 200 56 000 403", "False 1 True"], "what was written")


@test("listening on ::1, and on a port that was asked for")
def _():
    lines = script("""
probe = socket.create_server(("127.0.0.1", 0))
port = probe.getsockname()[1]
probe.close()
hosts = strings(["api.example.com"])
status, p, why = start(allowed_hosts=hosts, port=port)
print(status, why, library.nono_proxy_port(p) == port)
library.nono_proxy_shutdown(p)
status, p, why = start(allowed_hosts=hosts, listen=b"::1", no_auth=True)
print(status, why, library.nono_proxy_token(p))
print(curl({}, "https://api.example.com/", "-x", f"http://[::1]:{library.nono_proxy_port(p)}"))
library.nono_proxy_shutdown(p)
""")
    equal(lines, ["0  True", "0  None", "0 200 200"], "what happened")
    none_left()


if __name__ == "__main__":
    run()
