# SPDX-License-Identifier: Apache-2.0
"""Container engines with everything of theirs below the tests' own directory, and images made on the spot.

    with Podman(net) as engine:
        name = engine.run(["sleep", "1000"], ["--network", "none"])
        engine.execute(name, ["wget", "-qO-", "http://api.example.com/"])

They run in the network of the tests' host, so that bridges and rules that they make vanish with it.
"""

import glob
import os
import shutil
import subprocess

from internet import read_text, wait_for

APPLETS = ["sh", "wget", "sleep", "nc", "nslookup", "cat", "id", "ip", "echo", "true", "ls"]

# The explicit limits: engines raise them otherwise, which root may not everywhere.
LIMITS = ["--ulimit", "nofile=1024:20000", "--ulimit", "nproc=1024:20000"]
IMAGE = "nono/test:1"


# What engines make in /run whatever they are told; what was there before us stays.
RUN = [f"/run/{n}" for n in ("containerd", "containers", "docker", "libpod", "netns", "runc")]
NEW_IN_RUN = [p for p in RUN if not os.path.exists(p)]


def clear_run():
    for path in NEW_IN_RUN:
        if not any(line.split()[4].startswith(path + "/") for line in read_text("/proc/self/mountinfo").splitlines()):
            shutil.rmtree(path, ignore_errors=True)


def make_root(net):
    """A tree with busybox, and mount points for the host's own programs."""
    root = net.path("rootfs")
    if os.path.isdir(root):
        return root
    for name in ("bin", "etc", "tmp", "usr", "lib64"):
        os.makedirs(os.path.join(root, name))
    busybox = next(p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p))
    shutil.copy(busybox, os.path.join(root, "bin/busybox"))
    for name in APPLETS:
        os.symlink("busybox", os.path.join(root, "bin", name))
    os.rmdir(os.path.join(root, "lib64"))
    for name in ("lib", "lib64"):
        os.symlink(f"usr/{name}", os.path.join(root, name))
    for name, text in (("resolv.conf", "nameserver 192.0.2.53\n"), ("passwd", "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"),
                       ("nsswitch.conf", "hosts: files dns\n")):
        with open(os.path.join(root, "etc", name), "w", encoding="utf-8") as file:
            file.write(text)
    return root


class Engine:
    """What podman and docker have in common: their command line."""

    name = ""

    def __init__(self, net):
        self.net = net
        self.containers = []
        self.environment = {}
        self.words = []

    def command(self, *words, timeout=60, data=None):
        return subprocess.run([*self.net.enter(self.net.inside), *self.words, *words], env=self.net.environment(**self.environment), text=True,
                              capture_output=True, timeout=timeout, check=False, input=data, stdin=subprocess.DEVNULL if data is None else None,
                              cwd=self.net.directory)

    def must(self, *words, **kwargs):
        result = self.command(*words, **kwargs)
        if result.returncode:
            raise AssertionError(f"{self.name} {' '.join(words)} failed: {result.stderr}")
        return result.stdout.strip()

    def load_image(self):
        tar = self.net.path("image.tar")
        subprocess.run(["tar", "-C", make_root(self.net), "-cf", tar, "."], check=True)
        self.must("import", tar, IMAGE)

    def run(self, words, options=("--network", "none"), name=None):
        """Starts a container, and returns its name."""
        name = name or f"nono-{os.getpid()}-{len(self.containers)}"
        host = [w for n in ("/usr",) for w in ("-v", f"{n}:{n}:ro")]
        self.containers.append(name)
        self.must("run", "-d", "--name", name, *LIMITS, *host, "-v", f"{self.net.ca}:/ca.pem:ro", *options, IMAGE, *words)
        return name

    def execute(self, name, words, timeout=60):
        return self.command("exec", "-e", "CURL_CA_BUNDLE=/ca.pem", "-e", "SSL_CERT_FILE=/ca.pem", "-e", "PATH=/usr/bin:/bin:/usr/sbin", name,
                            *words, timeout=timeout)

    def pid(self, name):
        return int(self.must("container", "inspect", "--format", "{{.State.Pid}}", name))

    def cgroup(self, name):
        return [line[3:] for line in read_text(f"/proc/{self.pid(name)}/cgroup").splitlines() if line.startswith("0::")][0]

    def remove(self, name):
        self.command("rm", "-f", name)
        if name in self.containers:
            self.containers.remove(name)

    def close(self):
        for name in list(self.containers):
            self.remove(name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def remove_cgroups(*names):
    """What engines leave of theirs, empty, in every hierarchy. What is in use stays."""
    for name in names:
        for top in glob.glob(f"/sys/fs/cgroup/{name}") + glob.glob(f"/sys/fs/cgroup/*/{name}"):
            for directory, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass


class Podman(Engine):
    name = "podman"

    def __init__(self, net):
        super().__init__(net)
        place = net.path("podman")
        os.makedirs(place, exist_ok=True)
        with open(f"{place}/storage.conf", "w", encoding="utf-8") as file:
            file.write(f'[storage]\ndriver = "vfs"\ngraphroot = "{place}/storage"\nrunroot = "{place}/run"\n')
        with open(f"{place}/containers.conf", "w", encoding="utf-8") as file:
            file.write(f'[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nstatic_dir = "{place}/static"\n'
                       f'tmp_dir = "{place}/tmp"\nvolume_path = "{place}/volumes"\n[network]\nnetwork_config_dir = "{place}/networks"\n')
        self.environment = {"CONTAINERS_STORAGE_CONF": f"{place}/storage.conf", "CONTAINERS_CONF": f"{place}/containers.conf"}
        self.words = ["podman"]
        try:
            self.load_image()
        except BaseException:
            self.close()
            raise

    def remove(self, name):
        self.command("rm", "-f", "-t", "0", name)
        if name in self.containers:
            self.containers.remove(name)

    def close(self):
        super().close()
        remove_cgroups("libpod_parent")
        clear_run()


class Docker(Engine):
    name = "docker"

    def __init__(self, net):
        super().__init__(net)
        place = net.path("docker")
        os.makedirs(place, exist_ok=True)
        server = shutil.which("dockerd") or "/usr/sbin/dockerd"
        self.environment = {"DOCKER_HOST": f"unix://{place}/d.sock", "HOME": place}
        self.words = ["docker"]
        self.server = net.spawn("dockerd", net.inside, [
            server, "--host", f"unix://{place}/d.sock", "--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/d.pid",
            "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--userland-proxy=false", "--storage-driver", "vfs",
            "--exec-opt", "native.cgroupdriver=cgroupfs"])
        try:
            wait_for(lambda: self.command("version").returncode == 0, lambda: f"the Docker engine is up: {read_text(net.path('dockerd.out'))[-1500:]}", 30)
            self.load_image()
        except BaseException:
            self.close()
            raise

    def close(self):
        super().close()
        if self.server.poll() is None:
            self.server.terminate()
            self.server.wait(timeout=30)
        remove_cgroups("docker")
        clear_run()
