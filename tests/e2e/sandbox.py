#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What COMMAND is and sees inside: identity, capabilities, descriptors, file systems, processes, sockets of outside daemons."""

import os
import pwd
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

from internet import PYTHON, Internet  # noqa: E402
from tap import contains, equal, lacks, run, test, true  # noqa: E402

net = Internet()
NOBODY = pwd.getpwnam("nobody")

# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT
ROOT_CAPABILITIES = sum(1 << n for n in (0, 1, 3, 4, 5, 6, 7, 8, 10, 18))


def status_of(options, **kwargs):
    """The fields of /proc/self/status of COMMAND."""
    result = net.run(options, ["cat", "/proc/self/status"], **kwargs)
    equal(result.status, 0, f"exit status; {result}")
    return dict(line.split(":\t", 1) for line in result.out.splitlines() if ":\t" in line)


def inside(code, options=(), **kwargs):
    result = net.run(list(options), [PYTHON, "-c", code], **kwargs)
    equal(result.status, 0, f"exit status; {result}")
    return result.out


@test("root stays root, with what container engines give and not more")
def _():
    fields = status_of([])
    equal(fields["Uid"].split(), ["0"] * 4, "user ids")
    for name in ("CapEff", "CapPrm", "CapBnd"):
        equal(int(fields[name], 16), ROOT_CAPABILITIES, name)
    for name in ("CapInh", "CapAmb"):
        equal(int(fields[name], 16) & ~ROOT_CAPABILITIES, 0, name)
    equal(fields["NoNewPrivs"], "1", "NoNewPrivs")
    equal(fields["Groups"].split(), [], "supplementary groups")
    equal(fields["Seccomp"], "2", "Seccomp")


@test("--user: that user, no capability, no supplementary group")
def _():
    for user in ("nobody", str(NOBODY.pw_uid)):
        fields = status_of(["--user", user])
        equal(fields["Uid"].split(), [str(NOBODY.pw_uid)] * 4, "user ids")
        equal(fields["Gid"].split(), [str(NOBODY.pw_gid)] * 4, "group ids")
        equal(fields["Groups"].split(), [], "supplementary groups")
        for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
            equal(int(fields[name], 16), 0, name)
        equal(fields["NoNewPrivs"], "1", "NoNewPrivs")


@test("through sudo: the user who called it")
def _():
    fields = status_of([], env={"SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid), "SUDO_USER": "nobody"})
    equal(fields["Uid"].split(), [str(NOBODY.pw_uid)] * 4, "user ids")
    equal(int(fields["CapBnd"], 16), 0, "CapBnd")


@test("--user wins over sudo")
def _():
    fields = status_of(["--user", "root"], env={"SUDO_UID": str(NOBODY.pw_uid), "SUDO_GID": str(NOBODY.pw_gid)})
    equal(fields["Uid"].split(), ["0"] * 4, "user ids")


@test("a user that does not exist, or a SUDO_UID that is none: 125 or 2, and a sentence")
def _():
    for options, env in ((["--user", "no-such-user"], {}), ([], {"SUDO_UID": "12x"}), ([], {"SUDO_UID": "-1"})):
        result = net.run(options, ["true"], env=env)
        true(result.status in (2, 125), f"exit status {result.status} with {options} {env}")
        true(result.err.strip(), "a sentence on standard error")


@test("no descriptor is inherited but the three")
def _():
    read_end, write_end = os.pipe()
    sock = socket.socket()
    try:
        for descriptor in (read_end, write_end, sock.fileno()):
            os.set_inheritable(descriptor, True)
        result = net.run([], ["ls", "/proc/self/fd"], pass_fds=(read_end, write_end, sock.fileno()))
    finally:
        os.close(read_end)
        os.close(write_end)
        sock.close()
    # The fourth is the one with which ls reads the directory.
    equal(result.out.split(), ["0", "1", "2", "3"], f"descriptors ({result.err})")


@test("few processes, with small numbers, and none of the host's")
def _():
    out = inside("import os; print(os.getpid(), *sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))")
    me, *others = map(int, out.split())
    true(me < 10, f"COMMAND's number is {me}")
    true(len(others) <= 3, f"processes in sight: {others}")


REACHABLE = """
import ctypes, struct
libc = ctypes.CDLL(None)
NAMES = {0x63677270: 'cgroup2', 0x27e0eb: 'cgroup', 0xcafe4a11: 'bpf', 0x64626720: 'debugfs', 0x74726163: 'tracefs', 0x73636673: 'securityfs'}
for line in open('/proc/self/mountinfo'):
    point = line.split()[4].encode().decode('unicode_escape')
    buf = ctypes.create_string_buffer(256)
    if libc.statfs(point.encode(), buf) == 0:
        kind = struct.unpack('l', buf.raw[:8])[0]
        print('seen', NAMES.get(kind, hex(kind)), point)
"""


@test("no cgroup file system, no bpffs, no debugging file system can be reached, also from a user namespace of its own")
def _():
    kinds = ("cgroup2", "cgroup", "bpf", "debugfs", "tracefs", "securityfs")
    for options in ([], ["--net", "host"], ["--user", "nobody"]):
        out = inside(REACHABLE, options)
        contains(out, "seen ", "mounts that were looked at")
        for kind in kinds:
            lacks(out, f"seen {kind} ", f"mounts with {options}")
    # Taking the covers off: mounts that came with the namespace stay where they are.
    script = "awk '{print $5}' /proc/self/mountinfo | tac | while read m; do umount \"$m\" 2>/dev/null; umount -l \"$m\" 2>/dev/null; done; " \
             f"exec {PYTHON} -c \"$1\""
    for options in ([], ["--user", "nobody"]):
        result = net.run(options, ["sh", "-c", "unshare -Urm sh -c \"$1\" sh \"$2\"; true", "sh", script, REACHABLE])
        for kind in kinds:
            lacks(result.out, f"seen {kind} ", f"mounts with {options} in a user namespace")


@test("/proc/sys, sysrq and /sys cannot be written, by root either")
def _():
    code = """
import errno, os
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/kernel/hostname', '/proc/sysrq-trigger',
             '/proc/irq/default_smp_affinity', '/sys/kernel/mm/transparent_hugepage/enabled', '/sys/power/state'):
    if not os.path.exists(path):
        continue
    try:
        os.close(os.open(path, os.O_WRONLY))
        print(path, 'opened')
    except OSError as e:
        print(path, errno.errorcode[e.errno])
"""
    lines = inside(code).splitlines()
    true(len(lines) >= 4, f"files that were tried: {lines}")
    for line in lines:
        true(line.split()[1] in ("EROFS", "EACCES", "EPERM"), line)


@test("it cannot mount, unmount, or leave its namespaces")
def _():
    code = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def say(name, r):
    print(name, 'done' if r >= 0 else errno.errorcode[ctypes.get_errno()])
say('mount', libc.mount(b'none', b'/mnt', b'tmpfs', 0, None))
say('cgroup', libc.mount(b'none', b'/mnt', b'cgroup2', 0, None))
say('umount', libc.umount2(b'/proc/sys', 2))
say('remount', libc.mount(None, b'/proc/sys', None, 0x1020, None))
say('unshare', libc.unshare(0x00020000))
"""
    for line in inside(code).splitlines():
        true(line.split()[1] in ("EPERM", "EACCES"), line)


@test("root has a minimal /dev without disks")
def _():
    out = inside("import os; print(*sorted(os.listdir('/dev')))").split()
    for name in ("null", "zero", "urandom", "tty"):
        contains(out, name, "/dev")
    for name in out:
        true(not re.match(r"(sd|vd|nvme|loop|mem$|kmsg$|kvm$|vhost|fuse$)", name), f"/dev/{name} is there")


@test("unix sockets of outside daemons are masked, and abstract ones are not in reach")
def _():
    # Sockets in the usual place, under names that no list can know.
    path = f"/run/nono-test-{os.getpid()}.sock"
    abstract = f"\0nono-test-{os.getpid()}"
    code = f"""
import socket
for name in ({path!r}, {abstract!r}):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(name)
        print('connected')
    except OSError as e:
        print(type(e).__name__)
"""
    with socket.socket(socket.AF_UNIX) as outside, socket.socket(socket.AF_UNIX) as hidden:
        outside.bind(path)
        try:
            os.chmod(path, 0o777)
            outside.listen()
            hidden.bind(abstract)
            hidden.listen()
            for options in ([], ["--user", "nobody"]):
                lacks(inside(code, options), "connected", f"connections with {options}")
        finally:
            os.unlink(path)


@test("resolv.conf: one server, not a loopback one, no search list; hosts: localhost and the machine's name")
def _():
    out = inside("print(open('/etc/resolv.conf').read())")
    servers = re.findall(r"^nameserver (\S+)", out, re.MULTILINE)
    equal(len(servers), 1, f"name servers in {out!r}")
    true(not servers[0].startswith("127."), f"the server is {servers[0]}")
    lacks(out, "search", "resolv.conf")
    out = inside("print(open('/etc/hosts').read())")
    for name in ("127.0.0.1", "::1", "localhost", socket.gethostname()):
        contains(out, name, "hosts")


@test("the host's own resolv.conf and hosts stay as they are")
def _():
    before = [open(p, "rb").read() for p in ("/etc/resolv.conf", "/etc/hosts")]
    net.run([], ["sh", "-c", "echo 'nameserver 192.0.2.1' >/etc/resolv.conf; echo 192.0.2.1 x >>/etc/hosts"])
    equal([open(p, "rb").read() for p in ("/etc/resolv.conf", "/etc/hosts")], before, "the files")


@test("the working directory and the environment are the caller's; what names our own files is not there")
def _():
    result = net.run([], ["sh", "-c", "pwd; echo $GREETING"], cwd="/usr/share", env={"GREETING": "hello there"})
    equal(result.out, "/usr/share\nhello there\n", f"output ({result.err})")


@test("root is told that it can still write the host's files; a user is not")
def _():
    contains(net.run([], ["true"]).err.lower(), "root", "standard error")
    equal(net.run(["--user", "nobody"], ["true"]).err, "", "standard error")


@test("core dumps, ptrace and memory of the proxy are out of reach")
def _():
    code = """
import os
for pid in (1, os.getppid()):
    for name in ('mem', 'environ', 'maps'):
        try:
            f = open(f'/proc/{pid}/{name}', 'rb')
            f.read(1)
            print(pid, name, 'read')
        except OSError as e:
            print(pid, name, e.errno)
"""
    out = inside(code)
    lacks(out, " 1 mem read", "output")
    lacks(out, "mem read", "output")


@test("a sandbox in a sandbox is refused: 125 and a sentence")
def _():
    result = net.run([], [net.program, "run", "--", "true"])
    equal(result.status, 125, f"exit status; {result}")
    true("nest" in result.err.lower() or "inside" in result.err.lower(), f"the sentence: {result.err!r}")


if __name__ == "__main__":
    run()
