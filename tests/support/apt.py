# SPDX-License-Identifier: Apache-2.0
"""A Debian repository made on the spot, and an apt-get that keeps everything below a folder of its own.

The packages hold one file each. Origins serve the repository as /files/debian/, the machine's own apt and dpkg are neither read nor written.
"""

import hashlib
import os
import shlex
import subprocess

from programs import need

NAMES = [f"nono-sample-{letter}" for letter in "abcdef"]


def _digest(kind, data):
    return hashlib.new(kind, data).hexdigest()


def make_repository(net):
    """Once for each internet."""
    if not net.once("debian"):
        return
    where = net.path("www/debian")
    os.makedirs(where)
    index = []
    for name in NAMES:
        tree = net.path(f"deb/{name}")
        os.makedirs(f"{tree}/DEBIAN")
        os.makedirs(f"{tree}/usr/share/{name}")
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: tests <tests@example.com>\nDescription: a sample\n"
        for path, text in ((f"{tree}/DEBIAN/control", control), (f"{tree}/usr/share/{name}/hello", f"hello from {name}\n")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        package = f"{where}/{name}_1.0_all.deb"
        subprocess.run([need("dpkg-deb"), "--root-owner-group", "--build", tree, package], check=True, stdout=subprocess.DEVNULL)
        with open(package, "rb") as file:
            data = file.read()
        index.append(f"{control}Filename: ./{name}_1.0_all.deb\nSize: {len(data)}\nSHA256: {_digest('sha256', data)}\n\n")
    packages = "".join(index).encode()
    with open(f"{where}/Packages", "wb") as file:
        file.write(packages)
    with open(f"{where}/Release", "w", encoding="utf-8") as file:
        file.write(f"Origin: tests\nSuite: ./\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {_digest('sha256', packages)} {len(packages)} Packages\n")


class Apt:
    """One apt with its own lists, cache, and root to install into."""

    def __init__(self, net, url, *options):
        self.folder = net.path(f"apt-{len(os.listdir(net.directory))}")
        for name in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d", "lists/partial", "cache/archives/partial",
                     "log", "root/var/lib/dpkg/updates", "root/var/lib/dpkg/info", "root/var/lib/dpkg/triggers"):
            os.makedirs(os.path.join(self.folder, name))
        for name in ("status", "available"):
            open(os.path.join(self.folder, "root/var/lib/dpkg", name), "w", encoding="utf-8").close()
        self.sources(url)
        lines = ['Dir "/";', f'Dir::Etc "{self.folder}/etc";', f'Dir::State "{self.folder}";', f'Dir::State::lists "{self.folder}/lists";',
                 f'Dir::State::status "{self.folder}/root/var/lib/dpkg/status";', f'Dir::Cache "{self.folder}/cache";',
                 f'Dir::Log "{self.folder}/log";', f'DPkg::Options {{ "--root={self.folder}/root"; "--log={self.folder}/log/dpkg.log"; }};',
                 f'Acquire::https::CaInfo "{net.ca}";', 'Acquire::Languages "none";', 'Acquire::Retries "0";', 'APT::Install-Recommends "false";',
                 'APT::Update::Error-Mode "any";', 'Dpkg::Use-Pty "false";', 'APT::Architecture "all";', *options]
        with open(os.path.join(self.folder, "apt.conf"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def sources(self, *urls):
        with open(os.path.join(self.folder, "etc/sources.list"), "w", encoding="utf-8") as file:
            file.writelines(f"deb [trusted=yes] {url} ./\n" for url in urls)

    def words(self, *command):
        """APT_CONFIG is read before anything else, so it is below our folder that apt looks for the rest."""
        return ["env", f"APT_CONFIG={self.folder}/apt.conf", "DEBIAN_FRONTEND=noninteractive", need("apt-get"), "-q", "-y", *command]

    def line(self, *command):
        return shlex.join(self.words(*command))

    def shell(self, *commands):
        """Several of them, each only if the one before it went well."""
        return ["sh", "-c", " && ".join(self.line(*c) for c in commands)]

    def installed(self, name):
        try:
            with open(f"{self.folder}/root/usr/share/{name}/hello", encoding="utf-8") as file:
                return file.read() == f"hello from {name}\n"
        except FileNotFoundError:
            return False
