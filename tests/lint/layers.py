#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A file includes its own folder and lower layers; a library is named in one folder; pure folders ask the system for nothing."""

import os

from source import LAYERS, ROOT, files, folder_of, includes, none, read, without_comments

from tap import run, test, true

ONE_LEVEL = {
    # Folders of one layer may not include each other, but for these.
    ("ipc", "policy"),
    ("config", "ipc"),
}
LIBRARIES = {
    "bpf/": {"redirect"},
    "ares": {"io"},
    "seccomp.h": {"confine"},
    "idn2.h": {"policy"},
    "openssl/": {"tls"},
    "jansson.h": {"config"},
    "liburing": {"io"},
    "libpsl.h": {"config"},
    "libsecret/": {"keyholder"},
}
PURE = {"base", "wire", "policy"}
# What a pure file may not include: whatever does I/O, tells the time or rolls dice. secret.c asks for locked memory.
IMPURE = {"time.h", "unistd.h", "fcntl.h", "syslog.h", "signal.h", "poll.h", "pthread.h", "dlfcn.h", "netdb.h", "spawn.h"}
IMPURE_PREFIXES = ("sys/socket.h", "sys/epoll.h", "sys/random.h", "sys/time.h", "sys/ioctl.h", "sys/stat.h", "sys/wait.h", "sys/mount.h")
PURE_EXCEPTIONS = {
    ("userspace/wire/addr.h", "sys/socket.h"): "the type of a socket address",
    ("userspace/base/secret.c", "unistd.h"): "the size of a page, and the secret memory's descriptor",
    ("userspace/base/secret.c", "sys/syscall.h"): "memfd_secret",
}

SOURCES = files("userspace/**/*.c", "userspace/**/*.h")
TOP = {"userspace/main.c", "userspace/api.c"}


def layer(name):
    return 6 if name in TOP else LAYERS.get(folder_of(name))


@test("every source lies in a folder that has a layer")
def _():
    true(SOURCES, "there are sources")
    none([f"{n}: no layer is known for this folder" for n in SOURCES if layer(n) is None], "sources outside of the house")


@test("each file includes its own folder and lower layers only")
def _():
    found = []
    for name in SOURCES:
        mine = folder_of(name)
        for line, bracket, path in includes(name):
            if bracket == "<" or path.endswith((".skel.h", ".inc")) or path.startswith("bpf/"):
                continue
            other = path.split("/")[0]
            if "/" not in path or other not in LAYERS:
                if not os.path.exists(os.path.join(ROOT, path)):
                    found.append(f'{name}:{line}: "{path}" is written without its folder')
            elif other != mine and LAYERS[other] >= layer(name) and (mine, other) not in ONE_LEVEL:
                found.append(f"{name}:{line}: {mine or 'top'} (layer {layer(name)}) includes {path} (layer {LAYERS[other]})")
    none(found, "includes that go up or sideways")


@test("types shared with the kernel are included by redirect/ and the proxy's kernel side only")
def _():
    found = [f"{name}:{line}: includes {path}" for name in SOURCES for line, bracket, path in includes(name)
             if path.startswith("bpf/") and bracket == '"' and folder_of(name) not in ("redirect", "proxy")]
    none(found, "includes of bpf/")


@test("the library's files include the library's files, and macros")
def _():
    found = [f'{name}:{line}: "{path}"' for name in SOURCES if folder_of(name) == "api" or name == "userspace/api.c"
             for line, bracket, path in includes(name)
             if bracket == '"' and path not in ("include/nono_proxy.h", "base/defs.h") and not path.startswith("api/")]
    none(found, "includes that would bring in more")


@test("each library is named in one folder")
def _():
    found = []
    for name in SOURCES:
        for line, bracket, path in includes(name):
            for prefix, allowed in LIBRARIES.items():
                if bracket == "<" and path.startswith(prefix) and folder_of(name) not in allowed:
                    found.append(f"{name}:{line}: <{path}> belongs to {', '.join(sorted(allowed))}")
    none(found, "libraries out of their folder")


@test("pure folders include nothing that does I/O, tells the time or rolls dice")
def _():
    found = []
    for name in SOURCES:
        if folder_of(name) not in PURE:
            continue
        for line, bracket, path in includes(name):
            if bracket == "<" and (path in IMPURE or path.startswith(IMPURE_PREFIXES)) and (name, path) not in PURE_EXCEPTIONS:
                found.append(f"{name}:{line}: <{path}>")
    none(found, "impure includes")


@test("include guards are named after the file")
def _():
    found = []
    for name in files("userspace/**/*.h", "bpf/*.h", "include/*.h"):
        parts = name.removeprefix("userspace/").removesuffix(".h")
        guard = "NONO_" + parts.replace("/", "_").upper()
        guard = "NONO_PROXY" if name == "include/nono_proxy.h" else guard
        if f"#ifndef {guard}_H" not in without_comments(read(name)):
            found.append(f"{name}: wants {guard}_H")
    none(found, "guards")


if __name__ == "__main__":
    run()
