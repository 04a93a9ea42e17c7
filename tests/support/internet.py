#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tests' own small internet: two network namespaces, one for the host that runs nono-proxy, one for everything else.

    with Internet() as net:
        result = net.run(["--allow-domain", "api.example.com"], ["curl", "-sS", "https://api.example.com/"])
        result.status, result.out, result.err, result.audit, result.queries

    host 198.51.100.1, 2001:db8:100::1 ──veth── 198.51.100.2, 2001:db8:100::2 internet
                                                203.0.113.0/24, 2001:db8:200::/64, …: one address per service

Nothing here touches the machine's own network. The namespaces have no names and no mounts: they are held by a descriptor of
this process, and every server gets a signal when this process dies, so nothing stays even after a SIGKILL. Run as a program it
builds the internet, tells how to step into it, and waits.

The bait is real: the metadata addresses answer, evil.example serves, 8.8.8.8 resolves. That a test without the sandbox reaches
them is what makes "not reached" mean something.
"""

import atexit
import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PYTHON = "/usr/bin/python3"

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_STATISTICS = 6

STATE = "/run/nono-proxy"  # of living sandboxes, and of those whose supervisor was killed

libc = ctypes.CDLL(None, use_errno=True)

HOST4, HOST6 = "198.51.100.1", "2001:db8:100::1"
NEAR4, NEAR6 = "198.51.100.2", "2001:db8:100::2"

DNS = "203.0.113.53"  # dnsmasq: the resolver that nono-proxy is told
DNS6 = "2001:db8:200::53"
DNS_SCRIPT = "203.0.113.54"  # dns_script.py
DNS_SILENT = "203.0.113.55"
DNS_FOREIGN = "8.8.8.8"  # another dnsmasq, with other answers

API4, API6 = "203.0.113.10", "2001:db8:200::10"
V4ONLY = "203.0.113.11"
V6ONLY = "2001:db8:200::12"
CDN4, CDN6 = "203.0.113.20", "2001:db8:200::20"
FILES = "203.0.113.21"
SSH4, SSH6 = "203.0.113.22", "2001:db8:200::22"
DB = "203.0.113.23"
GIT = "203.0.113.24"
SMTP = "203.0.113.25"
REFUSE = "203.0.113.30"  # exists, no listener
RESET = "203.0.113.31"
EVIL4, EVIL6 = "203.0.113.66", "2001:db8:200::66"
BLACKHOLE = "203.0.113.250"  # no such address: the internet drops without a word
PRIVATE = "10.77.0.10"
METADATA4, METADATA6 = "169.254.169.254", "fd00:ec2::254"

NAMES = {
    "api.example.com": [API4, API6],
    "v4only.example.com": [V4ONLY],
    "v6only.example.com": [V6ONLY],
    "cdn-a.example.com": [CDN4, CDN6],
    "cdn-b.example.com": [CDN4, CDN6],
    "ssh.example.com": [SSH4, SSH6],
    "db.example.com": [DB],
    "git.example.com": [GIT],
    "smtp.example.com": [SMTP],
    "echo.example.com": [SMTP],
    "refuse.example.com": [REFUSE],
    "reset.example.com": [RESET],
    "hole.example.com": [BLACKHOLE],
    "hole-first.example.com": [BLACKHOLE, API4],
    "meta.example.com": [METADATA4],
    "meta6.example.com": [METADATA6],
    "mixed.example.com": [API4, METADATA4],
    "loop.example.com": ["127.0.0.1"],
    "private.example.com": [PRIVATE],
    "evil.example": [EVIL4, EVIL6],
    "sub.api.example.com": [API4],
}
TLS_NAMES = ["api.example.com", "v4only.example.com", "v6only.example.com", "cdn-a.example.com", "cdn-b.example.com",
             "cname.example.com", "*.files.example.com", "git.example.com", "private.example.com", "evil.example",
             "hole-first.example.com", "sub.api.example.com", "flip.example.com", "big.example.com"]


def service(kind, address, port):
    return {"kind": kind, "address": address, "port": port}


def internet_services():
    found = []
    for a in (API4, API6, V4ONLY, V6ONLY, CDN4, CDN6, FILES, GIT, EVIL4, EVIL6, PRIVATE):
        found += [service("https", a, 443), service("http", a, 80)]
    found += [service("https", API4, 8443), service("echo", API4, 7), service("greeter", EVIL4, 25)]
    for a in (METADATA4, METADATA6):
        found += [service("metadata", a, 80), service("https", a, 443)]
    found += [service("echo", SMTP, 7), service("greeter", SMTP, 25), service("reset", RESET, 443)]
    for port in (9, 443):
        found += [service("udp-echo", a, port) for a in (API4, API6, EVIL4)]
    found += [service("udp-mute", DNS_SILENT, 53)]
    return found


def in_namespace(descriptor, function):
    """Calls the function in a thread that has entered the namespace; what it opens there stays there."""
    result = {}

    def body():
        try:
            if libc.setns(descriptor, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            result["value"] = function()
        except BaseException as error:  # handed to the caller below
            result["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result["value"]


def new_namespace():
    """A network namespace that lives as long as the descriptor returned."""
    result = {}

    def body():
        if libc.unshare(CLONE_NEWNET) == 0:
            result["fd"] = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        else:
            result["errno"] = ctypes.get_errno()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "fd" not in result:
        raise OSError(result["errno"], "unshare(CLONE_NEWNET): the tests need root")
    return result["fd"]


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(condition, what, seconds=10.0):
    """Asks until it is so: for what gives no sign of its own."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what() if callable(what) else what}: not so within {seconds} s")
        time.sleep(0.01)


class Frame:
    """One frame on the wire between host and internet."""

    def __init__(self, data):
        self.data = data
        self.protocol = self.source = self.destination = self.port = None
        kind = struct.unpack("!H", data[12:14])[0]
        self.kind = kind
        if kind == 0x0800 and len(data) >= 34:
            self.protocol = data[23]
            self.source, self.destination = (socket.inet_ntop(socket.AF_INET, data[i : i + 4]) for i in (26, 30))
            at = 14 + (data[14] & 15) * 4
        elif kind == 0x86DD and len(data) >= 54:
            self.protocol = data[20]
            self.source, self.destination = (socket.inet_ntop(socket.AF_INET6, data[i : i + 16]) for i in (22, 38))
            at = 54
        else:
            return
        if self.protocol in (6, 17) and len(data) >= at + 4:
            self.port = struct.unpack("!H", data[at + 2 : at + 4])[0]

    def __repr__(self):
        return f"{self.source} > {self.destination} port {self.port} protocol {self.protocol}"


class Sniffer:
    """Sees every frame that crosses from the host to the internet.

    frames() sends a marked datagram from the host and reads up to it, so what it returns is complete up to that moment.
    """

    def __init__(self, net):
        self.net = net
        self.socket = in_namespace(net.outside, self._open)

    @staticmethod
    def _open():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        sock.bind(("nni", ETH_P_ALL))
        sock.settimeout(5)
        return sock

    def frames(self):
        marker = b"marker " + os.urandom(12).hex().encode()
        in_namespace(self.net.inside, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(marker, (NEAR4, 9)))
        found = []
        while True:
            data, where = self.socket.recvfrom(65536)
            if marker in data:
                break
            if where[2] != socket.PACKET_OUTGOING:
                found.append(Frame(data))
        _seen, dropped = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        if dropped:
            raise AssertionError(f"the sniffer lost {dropped} frames, so it proves nothing")
        return found

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Result:
    """What came of one run: exit status (negative: ended by that signal), output, audit records, DNS queries that left."""

    def __init__(self, status, out, err, seconds, audit, audit_text, queries):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds
        self.audit, self.audit_text, self.queries = audit, audit_text, queries

    def denied(self, **fields):
        """The audit's refusals that have these fields."""
        return [r for r in self.audit if r.get("decision") == "deny" and all(r.get(k) == v for k, v in fields.items())]

    def allowed(self, **fields):
        return [r for r in self.audit if r.get("decision") == "allow" and all(r.get(k) == v for k, v in fields.items())]

    def asked(self, name):
        return [q for q in self.queries if q == name or q.endswith("." + name)]

    def __repr__(self):
        return f"status {self.status} after {self.seconds:.2f} s\n--- out\n{self.out}\n--- err\n{self.err}\n--- audit\n{self.audit_text}"


class Running:
    """A sandbox that was started and is not waited for yet."""

    def __init__(self, net, process, audit_path, dns_mark):
        self.net, self.process, self.audit_path, self.dns_mark = net, process, audit_path, dns_mark
        self.started = time.monotonic()

    def pids(self):
        """{"supervisor": pid, "proxy": pid, "init": pid}, as far as they are there."""
        return roles(self.process.pid)

    def finish(self, data=None, timeout=60):
        try:
            out, err = self.process.communicate(data, timeout=timeout)
        except BaseException:
            self.kill()
            raise
        self.net.check_reports()
        # (Reading a device may have no end.)
        text = read_text(self.audit_path) if os.path.isfile(self.audit_path) else ""
        records = [json.loads(line) for line in text.splitlines()]
        return Result(self.process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"),
                      time.monotonic() - self.started, records, text, self.net.queries_since(self.dns_mark))

    def kill(self):
        """Ends it the gentle way first, so that it takes its sandbox down itself."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def children(pid):
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []
    return [int(c) for t in tasks for c in read_text(f"/proc/{pid}/task/{t}/children").split()]


def command_line(pid):
    return read_text(f"/proc/{pid}/cmdline").split("\0")[:-1]


def roles(supervisor):
    """The processes of a run by role: a role is executed as "nono-proxy @ROLE"."""
    found = {"supervisor": supervisor}
    left = children(supervisor)
    while left:
        pid = left.pop(0)
        words = command_line(pid)
        if len(words) == 2 and words[1].startswith("@"):
            found.setdefault(words[1][1:], pid)
        left += children(pid)
    return found


def live_sandboxes():
    """Sandboxes whose supervisor lives, on this machine: it holds a lock as long as it does."""
    locked = {line.split()[5].split(":")[2] for line in read_text("/proc/locks").splitlines() if "FLOCK" in line and "->" not in line}
    try:
        names = os.listdir(STATE)
    except FileNotFoundError:
        return set()
    found = set()
    for name in names:
        try:
            if str(os.stat(f"{STATE}/{name}/lock").st_ino) in locked:
                found.add(name)
        except OSError:
            continue
    return found


def sandbox_entries():
    """(kind, path, sandbox) of everything below the places where sandboxes keep things."""
    places = [("state", STATE)]
    for line in read_text("/proc/self/mountinfo").splitlines():
        words = line.split()
        kind = words[words.index("-") + 1]
        if kind in ("cgroup2", "bpf"):
            places.append(("cgroup" if kind == "cgroup2" else "pins", os.path.join(words[4], "nono-proxy")))
    for kind, place in sorted(set(places)):
        if os.path.isdir(place):
            yield from ((kind, os.path.join(place, name), name) for name in os.listdir(place) if os.path.isdir(os.path.join(place, name)))


def leftovers():
    """What dead sandboxes have left on this machine, as lines of text: nothing, when all went well.

    Sandboxes that are alive are somebody's: a second look tells those that ended or began in between from what stays.
    """

    def look():
        # In this order: whatever begins between the two is seen as alive.
        found = {f"{kind} {path}": name for kind, path, name in sandbox_entries()}
        alive = live_sandboxes()
        return {line for line, name in found.items() if name not in alive}

    first = look()
    return sorted(first & look()) if first else []


def running(program):
    """Processes that execute this file."""
    wanted, found = os.path.realpath(program), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/exe") == wanted:
                found.append(int(pid))
        except OSError:
            continue
    return found


class Internet:
    def __init__(self):
        self.program = os.path.abspath(os.environ.get("NONO_PROXY") or os.path.join(ROOT, "build/release/nono-proxy"))
        self.directory = tempfile.mkdtemp(prefix="nono-net-")
        os.chmod(self.directory, 0o755)
        os.mkdir(self.path("reports"))
        os.chmod(self.path("reports"), 0o1777)
        self.processes = []  # (name, Popen, signal that ends it)
        self.descriptors = []
        self.runs = 0
        self._started = set()
        atexit.register(self.close)
        try:
            self._namespaces()
            self._certificates()
            self._dns()
            self._origins()
        except BaseException:
            self.close()
            raise

    # -- paths and names

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def ca(self):
        return self.path("ca.pem")

    def enter(self, descriptor):
        """The words that start a program in a namespace. (`ip netns exec` would hide the cgroups by a new /sys.)"""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{descriptor}", "--"]

    # -- building

    def _namespaces(self):
        self.inside = new_namespace()  # of the host
        self.outside = new_namespace()  # of the internet
        self.descriptors += [self.inside, self.outside]
        host, far = self.enter(self.inside), self.enter(self.outside)
        # The peer is moved by the number of a process that sits there for a moment.
        self._batch(host, ["link set lo up", f"link add nnh type veth peer name nni netns /proc/{os.getpid()}/fd/{self.outside}"])
        quiet = "for i in all default nnh nni; do for f in accept_ra autoconf; do " \
                "[ -e /proc/sys/net/ipv6/conf/$i/$f ] && echo 0 >/proc/sys/net/ipv6/conf/$i/$f; done; done; true"
        for side in (host, far):
            subprocess.run([*side, "sh", "-c", quiet], check=True)
        self._batch(host, ["link set nnh up", f"addr add {HOST4}/24 dev nnh", f"addr add {HOST6}/64 dev nnh nodad",
                           f"route add default via {NEAR4}", f"route add ::/0 via {NEAR6}"])
        lines = ["link set lo up", "link set nni up", f"addr add {NEAR4}/24 dev nni", f"addr add {NEAR6}/64 dev nni nodad"]
        four = [API4, V4ONLY, CDN4, FILES, SSH4, DB, GIT, SMTP, REFUSE, RESET, EVIL4, PRIVATE, METADATA4, DNS, DNS_SCRIPT,
                DNS_SILENT, DNS_FOREIGN]
        six = [API6, V6ONLY, CDN6, SSH6, EVIL6, METADATA6, DNS6]
        lines += [f"addr add {a}/32 dev lo" for a in four] + [f"addr add {a}/128 dev lo nodad" for a in six]
        self._batch(far, lines)

    @staticmethod
    def _batch(where, lines):
        subprocess.run([*where, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)

    def _openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, cwd=self.directory, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)

    def _certificates(self):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=tests CA",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        names = ",".join("DNS:" + n for n in TLS_NAMES) + f",IP:{API4},IP:{API6}"
        with open(self.path("leaf.ext"), "w", encoding="utf-8") as file:
            file.write(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
        self._openssl("req", *key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=origin")
        self._openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
                      "-extfile", "leaf.ext", "-out", "leaf.pem")
        os.chmod(self.ca, 0o644)

    def _dns(self):
        with open(self.path("hosts"), "w", encoding="utf-8") as file:
            for name, addresses in NAMES.items():
                file.writelines(f"{a} {name}\n" for a in addresses)
        common = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-ping", "--pid-file=",
                  "--user=root", "--group=root", "--bind-interfaces", "--local=/#/", "--local-ttl=30", "--log-queries", "--cache-size=0"]
        self.spawn("dnsmasq", self.outside, [
            *common, f"--addn-hosts={self.path('hosts')}", f"--log-facility={self.path('dns.log')}", f"--listen-address={DNS}", f"--listen-address={DNS6}",
            f"--address=/files.example.com/{FILES}", "--cname=cname.example.com,api.example.com",
            "--srv-host=_sip._tcp.example.com,api.example.com,5060", "--srv-host=_xmpp._tcp.api.example.com,api.example.com,5222",
            "--txt-record=api.example.com,v=spf1 -all", "--mx-host=api.example.com,smtp.example.com,10"])
        foreign = self.path("foreign-hosts")
        with open(foreign, "w", encoding="utf-8") as file:
            file.write("".join(f"{EVIL4} {n}\n" for n in ("api.example.com", "evil.example")))
        self.spawn("dnsmasq-foreign", self.outside, [*common, f"--addn-hosts={foreign}", f"--log-facility={self.path('foreign.log')}",
                                                     f"--listen-address={DNS_FOREIGN}"])
        self.spawn("dns-script", self.outside, [PYTHON, "-u", os.path.join(HERE, "dns_script.py"), DNS_SCRIPT, self.path("script.log")],
                   ready=True)
        for address in (DNS, DNS6, DNS_FOREIGN):
            self.wait_port(self.outside, address, 53)

    def _origins(self):
        os.mkdir(self.path("www"))
        common = {"certificate": self.path("leaf.pem"), "key": self.path("leaf.key"), "www": self.path("www")}
        for name, where, services in (
            ("origins", self.outside, internet_services()),
            # What the host itself offers on its loopback: not the sandbox's business unless a rule says so.
            ("host-local", self.inside, [service("echo", "127.0.0.1", 8080), service("http", "127.0.0.1", 8081),
                                         service("http", HOST4, 8081)]),
        ):
            with open(self.path(name + ".json"), "w", encoding="utf-8") as file:
                json.dump({**common, "log": self.path(name + ".log"), "services": services}, file)
            self.spawn(name, where, [PYTHON, "-u", os.path.join(HERE, "origin.py"), self.path(name + ".json")], ready=True)

    # -- servers that only some tests want

    def once(self, name):
        if name in self._started:
            return False
        self._started.add(name)
        return True

    def start_ssh(self):
        """sshd with a key of its own; returns the client's words up to the destination."""
        words = ["ssh", "-F", "/dev/null", "-i", self.path("id"), "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.path('known')}",
                 "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10", "-l", "root"]
        if not self.once("ssh"):
            return words
        for name in ("hostkey", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", self.path(name)], check=True)
        host = " ".join(read_text(self.path("hostkey.pub")).split()[:2])
        with open(self.path("known"), "w", encoding="utf-8") as file:
            file.write(f"ssh.example.com,{SSH4},{SSH6} {host}\n")
        shadow = [line.split(":")[1] for line in read_text("/etc/shadow").splitlines() if line.startswith("root:")]
        locked = bool(shadow) and shadow[0].startswith("!")
        with open(self.path("sshd_config"), "w", encoding="utf-8") as file:
            file.write(f"ListenAddress {SSH4}:22\nListenAddress [{SSH6}]:22\nHostKey {self.path('hostkey')}\nPidFile none\n"
                       f"AuthorizedKeysFile {self.path('id.pub')}\nStrictModes no\nPermitRootLogin prohibit-password\n"
                       f"UsePAM {'yes' if locked else 'no'}\nUseDNS no\nPrintMotd no\n")
        os.makedirs("/run/sshd", exist_ok=True)
        sshd = shutil.which("sshd") or "/usr/sbin/sshd"
        self.spawn("sshd", self.outside, [sshd, "-D", "-f", self.path("sshd_config"), "-E", self.path("sshd.log")])
        self.wait_port(self.outside, SSH4, 22)
        return words

    def start_postgres(self):
        """A PostgreSQL of our own on db.example.com, as an unprivileged user (the server refuses root)."""
        if not self.once("postgres"):
            return
        import glob
        import pwd

        binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        directory = binaries[-1] if binaries else os.path.dirname(os.path.realpath(shutil.which("initdb") or "/usr/bin/initdb"))
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            user = pwd.getpwnam("nobody")
        data = self.path("pg")
        os.mkdir(data, 0o700)
        os.chown(data, user.pw_uid, user.pw_gid)
        become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig", "KILL"]
        subprocess.run([*become, f"{directory}/initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8"],
                       check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with open(os.path.join(data, "pg_hba.conf"), "a", encoding="utf-8") as file:
            file.write("host all all 0.0.0.0/0 trust\n")
        self.spawn("postgres", self.outside, [*become, f"{directory}/postgres", "-D", data, "-c", f"listen_addresses={DB}", "-c", "fsync=off",
                                              "-c", f"unix_socket_directories={data}", "-c", "shared_buffers=1MB", "-c", "max_connections=10",
                                              "-c", "dynamic_shared_memory_type=mmap"], stop=signal.SIGINT, cwd="/")
        ready = [*self.enter(self.outside), f"{directory}/pg_isready", "-q", "-h", DB, "-p", "5432"]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL is up", 30)

    def start_git(self):
        """A repository: plain files at https://git.example.com/files/repo.git, by git's own server at /git/repo.git."""
        if not self.once("git"):
            return
        env = {**os.environ, "HOME": self.directory, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.com",
               "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.com"}
        work, bare = self.path("work"), self.path("www/repo.git")

        def git(*words):
            subprocess.run(["git", *words], check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        git("init", "-q", "-b", "main", work)
        with open(os.path.join(work, "hello.txt"), "w", encoding="utf-8") as file:
            file.write("hello from the repository\n")
        git("-C", work, "add", "hello.txt")
        git("-C", work, "commit", "-q", "-m", "hello")
        git("clone", "-q", "--bare", work, bare)
        git("-C", bare, "update-server-info")
        git("-C", bare, "config", "http.receivepack", "true")

    # -- processes

    def spawn(self, name, where, words, ready=False, stop=signal.SIGTERM, cwd=None):
        log = open(self.path(name + ".out"), "ab")
        process = subprocess.Popen([*self.enter(where), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if ready else log,
                                   stderr=log, start_new_session=True, preexec_fn=die_with_parent, cwd=cwd)
        log.close()
        self.processes.append((name, process, stop))
        if ready and process.stdout.readline() != b"ready\n":
            raise AssertionError(f"{name} did not start: {read_text(self.path(name + '.out'))}")
        return process

    def wait_port(self, where, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def is_open():
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                return sock.connect_ex((address, port)) == 0

        wait_for(lambda: in_namespace(where, is_open), f"{address} port {port} is served")

    def close(self):
        """Takes everything down; may be called twice."""
        processes, self.processes = self.processes, []
        for _, process, stop in reversed(processes):
            if process.poll() is None:
                process.send_signal(stop)
        for _, process, _ in reversed(processes):
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        for descriptor in self.descriptors:
            self._end_members(descriptor)
            os.close(descriptor)
        self.descriptors = []
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _end_members(descriptor):
        """What is still in a namespace of ours was started by us (a session of sshd, say)."""
        ours = os.fstat(descriptor).st_ino
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}/ns/net").st_ino == ours and int(pid) != os.getpid():
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                continue

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- what was seen

    def check_reports(self):
        """A sanitizer's report fails the test in which it appeared."""
        for name in os.listdir(self.path("reports")):
            text = read_text(self.path(f"reports/{name}"))
            os.unlink(self.path(f"reports/{name}"))
            raise AssertionError(f"a sanitizer reported:\n{text}")

    def dns_mark(self):
        return {name: os.path.getsize(self.path(name)) if os.path.exists(self.path(name)) else 0
                for name in ("dns.log", "foreign.log", "script.log")}

    def queries_since(self, mark):
        """Names that any server of ours was asked since the mark, lower case."""
        found = []
        for name, at in mark.items():
            text = read_text(self.path(name)).encode()[at:].decode("utf-8", "replace")
            for line in text.splitlines():
                if name == "script.log":
                    found.append(json.loads(line)["name"])
                elif " query[" in line:
                    found.append(line.split(" query[", 1)[1].split()[1].lower())
        return found

    def origin_log(self, name="origins"):
        return [json.loads(line) for line in read_text(self.path(name + ".log")).splitlines()]

    def visits(self, address, since=0):
        """What the origins noted about this address, from the since-th record on."""
        return [r for r in self.origin_log()[since:] if r["address"] == address]

    # -- running things

    def environment(self, **more):
        """A small environment with our CA in it and no proxy variable."""
        env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "HOME": self.directory, "LC_ALL": "C.UTF-8",
               "TERM": "dumb", "CURL_CA_BUNDLE": self.ca, "SSL_CERT_FILE": self.ca, "GIT_SSL_CAINFO": self.ca,
               "REQUESTS_CA_BUNDLE": self.ca, "NODE_EXTRA_CA_CERTS": self.ca, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                # Roles have no standard error of their own; their reports go into files that finish() looks for.
                env[name] = f"{os.environ[name]}:log_path={self.path('reports/sanitizer')}"
        env.update({k: v for k, v in more.items() if v is not None})
        return env

    def host(self, words, timeout=30, env=None, **kwargs):
        """Runs a program on the host, without a sandbox: the control of an experiment."""
        return subprocess.run([*self.enter(self.inside), *words], env=self.environment(**(env or {})), capture_output=True, text=True,
                              timeout=timeout, check=False, stdin=subprocess.DEVNULL, **kwargs)

    def words(self, options, command, resolver=DNS, audit=None):
        words = [*self.enter(self.inside), self.program, "run"]
        if resolver:
            words += ["--resolver", resolver]
        if audit:
            words += ["--audit-log", audit]
        return [*words, *options, "--", *command]

    def start(self, options, command, resolver=DNS, env=None, audit=None, stdin=subprocess.DEVNULL, cwd=None, **kwargs):
        self.runs += 1
        path = audit or self.path(f"audit-{self.runs}.jsonl")
        mark = self.dns_mark()
        process = subprocess.Popen(self.words(options, command, resolver, path), env=self.environment(**(env or {})), stdin=stdin,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd or self.directory, **kwargs)
        return Running(self, process, path, mark)

    def run(self, options, command, data=None, timeout=60, **kwargs):
        """nono-proxy run OPTIONS -- COMMAND on the host, to its end."""
        if data is not None:
            kwargs["stdin"] = subprocess.PIPE
        return self.start(options, command, **kwargs).finish(data, timeout)

    def why(self, words, timeout=20):
        return subprocess.run([self.program, "why", *words], env=self.environment(), capture_output=True, text=True, timeout=timeout,
                              check=False, stdin=subprocess.DEVNULL)


def main():
    with Internet() as net:
        print(f"certificate authority: {net.ca}")
        print("on the host:     " + " ".join(net.enter(net.inside)) + " COMMAND")
        print("in the internet: " + " ".join(net.enter(net.outside)) + " COMMAND")
        print("Interrupt to end.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda n, f: sys.exit(128 + n))
    main()
