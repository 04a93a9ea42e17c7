#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows the main job of nono-proxy on real programs: what a person types, what comes back, and whether it is as it should be.

Everything runs for real, in two network namespaces of its own that stand for a host and the internet. Ends with status 1 if
a single step did not behave as it says.
"""

import json
import os
import shlex
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))

from internet import (API4, API6, EVIL4, EVIL6, METADATA4, METADATA6, PYTHON, Internet, Sniffer, leftovers, wait_for)  # noqa: E402

COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
POLICY = ["--allow-domain", "api.example.com:443", "--allow-domain", "git.example.com:443", "--allow-domain", "ssh.example.com:22",
          "--allow-domain", "cdn-a.example.com:443"]
failures = []


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def heading(text):
    print("\n" + paint(text, "1"))


def quote(word):
    """As a person would quote it."""
    return f'"{word}"' if "'" in word and not set('"$`\\!') & set(word) else shlex.quote(word)


def show(command):
    print(paint("  $ " + (command if isinstance(command, str) else " ".join(map(quote, command))), "36"))


def show_text(text, most=14):
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    for line in lines[:most]:
        print("    " + line)
    if len(lines) > most:
        print(f"    … {len(lines) - most} more lines")


def verdict(good, claim, evidence=""):
    if good:
        print(paint("  ✓ ", "32") + claim)
        return
    failures.append(claim)
    print(paint("  ✗ ", "31") + "NOT SO: " + claim)
    if evidence:
        show_text(str(evidence), 40)


class Demo:
    def __init__(self, net):
        self.net = net
        self.audit = net.path("demo-audit.jsonl")

    def sandbox(self, command, shown=None, options=(), keep=None, quiet=True):
        """Runs the command in a sandbox of its own and shows what a person would see."""
        show(shown or command)
        result = self.net.run([*POLICY, *(["--quiet"] if quiet else []), "--user", "nobody", *options], command, audit=self.audit)
        show_text("\n".join(line for line in (result.out + result.err).splitlines() if keep is None or keep(line)))
        return result

    def introduction(self):
        net = self.net
        print(paint("nono-proxy: a command that reaches its allowed hosts and nothing else", "1"))
        print(f"""
  The internet of this demonstration is two network namespaces: real curl, git, ssh, dig and Python on one side, real DNS, TLS
  and SSH servers on the other. Each command below runs by itself as

    nono-proxy run {shlex.join(POLICY[:4])} \\
                   {shlex.join(POLICY[4:])} -- COMMAND

  (besides: --user nobody, --quiet, the demonstration's own --resolver and --audit-log). No proxy variable is set anywhere.""")
        heading("Without a sandbox, everything can be reached")
        show(f"curl http://{METADATA4}/")
        reply = net.host(["curl", "-sS", "-m", "5", f"http://{METADATA4}/"])
        show_text(reply.stdout + reply.stderr)
        verdict("keys-of-the-kingdom" in reply.stdout, "the cloud's metadata service gives away its keys", reply)
        show("curl https://evil.example/")
        reply = net.host(["curl", "-sS", "-m", "5", "--resolve", f"evil.example:443:{EVIL4}", "https://evil.example/"])
        show_text(reply.stdout + reply.stderr)
        verdict("evil.example" in reply.stdout, "evil.example takes what it is sent", reply)

    def allowed(self):
        heading("Allowed names work, by both families, in every program")
        result = self.sandbox(["curl", "-4", "https://api.example.com/"], keep=pages)
        verdict(f"address {API4}" in result.out, "curl over IPv4", result)
        result = self.sandbox(["curl", "-6", "https://api.example.com/"], keep=pages)
        verdict(f"address {API6}" in result.out, "curl over IPv6", result)
        code = "import urllib.request as u; print(u.urlopen('https://api.example.com/').read().decode())"
        result = self.sandbox(["python3", "-c", code])
        verdict("server name api.example.com" in result.out, "Python's urllib", result)
        if shutil.which("node"):
            code = "fetch('https://api.example.com/').then(r => r.text()).then(console.log)"
            result = self.sandbox([shutil.which("node"), "-e", code], shown=["node", "-e", code])
            verdict("server name api.example.com" in result.out, "Node's fetch, which knows no proxy variables", result)
        self.net.start_git()
        target = self.net.path("clone")
        os.mkdir(target)
        os.chmod(target, 0o777)
        url = "https://git.example.com/files/repo.git"
        result = self.sandbox(["sh", "-c", f"git clone -q {url} {target}/repo && cat {target}/repo/hello.txt"], shown=f"git clone {url} && cat repo/hello.txt")
        verdict("hello from the repository" in result.out, "git over https", result)
        words = self.net.start_ssh()
        # The key belongs to root, and so does this one sandbox.
        result = self.sandbox([*words, "ssh.example.com", "echo hello from there"], shown="ssh ssh.example.com 'echo hello from there'",
                              options=["--user", "root"], keep=lambda line: "hello" in line or "ssh" in line)
        verdict("hello from there" in result.out, "ssh, where the server speaks first", result)

    def refused_names(self):
        heading("A name that is not allowed does not exist, and no query for it leaves the host")
        with Sniffer(self.net) as sniffer:
            result = self.sandbox(["curl", "-sS", "https://evil.example/"])
            verdict(result.status == 6 and "Could not resolve host" in result.err, "curl says so at once", result)
            result = self.sandbox(["dig", "evil.example"], keep=lambda line: "status:" in line or "EDE" in line)
            verdict("EDE: 15 (Blocked)" in result.out and "host_not_allowed" in result.out, "dig shows the reason", result)
            result = self.sandbox(["dig", "@8.8.8.8", "api.example.com"], keep=lambda line: "SERVER:" in line or "\tA\t" in line)
            verdict(API4 in result.out, "another DNS server is named, and ours answers", result)
            frames = sniffer.frames()
            verdict(not [f for f in frames if f.destination in ("8.8.8.8", EVIL4, EVIL6)] and not self.net.queries_since({"foreign.log": 0}),
                    "not one frame went to 8.8.8.8 or to evil.example", frames)

    def refused_addresses(self):
        heading("An address is no way round")
        with Sniffer(self.net) as sniffer:
            result = self.sandbox(["curl", "-sS", "-k", f"https://{EVIL4}/"])
            verdict(result.status == 35 and "access denied" in result.err, "TLS gets the alert that says so", result)
            result = self.sandbox(["curl", "-sS", f"http://{EVIL4}/"])
            verdict('"reason"' in result.out, "clear HTTP gets a 403 that explains", result)
            for url in (f"http://{METADATA4}/", "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0xa9fea9fe/", f"http://[{METADATA6}]/"):
                result = self.sandbox(["curl", "-sS", "-g", "-m", "5", url], options=["--allow-domain", "*"], keep=shorter)
                verdict("kingdom" not in result.out and "_address" in result.out, "metadata is refused, though this one has --allow-domain '*'", result)
            result = self.sandbox(["curl", "-sS", "http://meta.example.com/"], options=["--allow-domain", "*"])
            verdict("Could not resolve" in result.err, "and so is a name that leads there", result)
            frames = sniffer.frames()
            verdict(not [f for f in frames if f.destination in (EVIL4, METADATA4, METADATA6)], "not one frame went to any of them", frames)

    def names_in_tls(self):
        heading("The name inside TLS must be a name of the address")
        result = self.sandbox(["curl", "-sS", "-k", "--connect-to", "evil.example:443:api.example.com:443", "https://evil.example/"])
        verdict("access denied" in result.err, "a differing server name is refused", result)
        result = self.sandbox(["curl", "-sS", "--connect-to", "cdn-b.example.com:443:cdn-a.example.com:443", "https://cdn-b.example.com/"])
        verdict("access denied" in result.err, "also where both names share one address, and only cdn-a is allowed", result)
        with Sniffer(self.net) as sniffer:
            result = self.sandbox(["curl", "-sS", "--resolve", f"api.example.com:443:{EVIL4}", "https://api.example.com/"])
            frames = sniffer.frames()
            verdict("server name api.example.com" in result.out and not [f for f in frames if f.destination == EVIL4],
                    f"a lie about the address does not help: the name is dialled, {EVIL4} is never touched", result)

    def other_ways(self):
        heading("Nothing but TCP and DNS leaves, and programs hear it at once")
        probe = ("import socket as s; ", f"s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ('{API4}', 9))",
                 f"s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x' * 1200, ('{API4}', 443))", "s.socket(s.AF_INET, s.SOCK_RAW, 1)")
        with Sniffer(self.net) as sniffer:
            for what, code in (("UDP", probe[1]), ("UDP to QUIC's port", probe[2]), ("a raw socket", probe[3])):
                result = self.sandbox([PYTHON, "-c", probe[0] + code], shown=["python3", "-c", probe[0] + code], options=["--user", "root"],
                                      keep=lambda line: "Error" in line)
                verdict("PermissionError" in result.err, f"{what}: refused, to root as well", result)
            frames = sniffer.frames()
            verdict(not [f for f in frames if f.destination == API4 and f.protocol == 17], "no datagram left", frames)

    def on_purpose(self):
        heading("A client that speaks to a proxy on purpose shows a token")
        result = self.sandbox(["sh", "-c", 'curl -sS -x "http://nono:$NONO_PROXY_TOKEN@${NONO_PROXY_URL#http://}" https://api.example.com/'])
        verdict("server name api.example.com" in result.out, "CONNECT with the token from the environment", result)
        result = self.sandbox(["sh", "-c", 'curl -sS -x "$NONO_PROXY_URL" https://api.example.com/'])
        verdict(result.status == 56 and "407" in result.err, "without it not even an allowed host is served", result)
        result = self.sandbox(["sh", "-c", 'curl -sS https://evil.example/; curl -sS -H "X-Nono-Token: $NONO_PROXY_TOKEN" "$NONO_PROXY_URL/-/refusals"'])
        verdict('"reason":"host_not_allowed"' in result.out, "a program can ask what was refused, and how it would be allowed", result)

    def killed(self):
        heading("When the proxy dies, the sandbox has no network")
        code = "curl -sSN https://api.example.com/stream | head -c 5; for try in 1 2 3; do sleep 0.3; curl -sS -m 2 -k https://203.0.113.10/; done"
        show(f"sh -c '{code}'    # and from outside: kill -9 of the proxy")
        running = self.net.start([*POLICY, "--quiet", "--user", "nobody"], ["sh", "-c", code], audit=self.audit)
        running.process.stdout.read(5)
        wait_for(lambda: "proxy" in running.pids(), "the proxy is found")
        os.kill(running.pids()["proxy"], signal.SIGKILL)
        result = running.finish(timeout=30)
        show_text(result.err)
        verdict("server name" not in result.out and "proxy" in result.err, "nothing passed; `run` says so, cleans up and returns", result)

    def ending(self):
        heading("At the end: one summary, and a record of each decision")
        command = "curl -s https://api.example.com/ -o page; curl -s https://evil.example/; curl -s https://evil.example/; curl -s -m 5 http://169.254.169.254/ -o page"
        before = os.path.getsize(self.audit)
        os.makedirs(self.net.path("scratch"), exist_ok=True)
        os.chmod(self.net.path("scratch"), 0o777)
        result = self.sandbox(["sh", "-c", f"cd {self.net.path('scratch')}; {command}; true"], shown=["sh", "-c", command], quiet=False)
        verdict("host_not_allowed" in result.err and "--allow-domain evil.example" in result.err,
                "each refused target once, how often, why, and the option that would allow it", result)
        show("cat audit.jsonl")
        with open(self.audit, encoding="utf-8") as file:
            file.seek(before)
            records = [json.loads(line) for line in file]
        for record in records:
            keep = ("event", "mode", "decision", "reason", "rule", "target", "port", "resolved_ip", "sni", "comm", "count", "bytes_up", "bytes_down", "end")
            print("    " + json.dumps({k: record[k] for k in keep if k in record}))
        verdict(any(r.get("decision") == "allow" for r in records) and any(r.get("decision") == "deny" for r in records),
                "one line of JSON each (some fields left out here)")
        reply = self.net.why(["evil.example", *POLICY])
        show(["nono-proxy", "why", "evil.example", "--allow-domain", "api.example.com:443", "…"])
        show_text(reply.stdout + reply.stderr)
        verdict(reply.returncode == 1 and "host_not_allowed" in reply.stdout, "why asks the same code, and opens nothing", reply)
        left = leftovers()
        verdict(not left, "no cgroup, no program in the kernel and no state is left on this machine", "\n".join(left))

    def run(self):
        self.introduction()
        for part in (self.allowed, self.refused_names, self.refused_addresses, self.names_in_tls, self.other_ways, self.on_purpose, self.killed, self.ending):
            part()


def pages(line):
    """Leaves curl's progress meter out."""
    return line.startswith(("server name", "curl:"))


def shorter(line):
    return not line.startswith("  ")


def main():
    if os.geteuid() != 0:
        sys.exit("demo: needs root: sudo make demo")
    with Internet() as net:
        Demo(net).run()
    print()
    if failures:
        print(paint(f"{len(failures)} steps did not behave as they should:", "31"))
        for claim in failures:
            print("  " + claim)
        return 1
    print(paint("Every step behaved as it says.", "32"))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda n, f: sys.exit(128 + n))
    sys.exit(main())
