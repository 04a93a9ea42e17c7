#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command whose proxy lets it reach one host, with the library by way of ctypes.

    library.py example.com curl -sSI https://example.com/
"""

import ctypes
import os
import subprocess
import sys
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_size_t, c_uint16, c_uint32, c_void_p, sizeof


class Config(ctypes.Structure):
    """struct nono_proxy_config"""

    _fields_ = [
        ("size", c_size_t), ("log_fd", c_int), ("port", c_uint16), ("monitor", c_bool), ("no_auth", c_bool),
        ("allowed_hosts", POINTER(c_char_p)), ("denied_hosts", POINTER(c_char_p)), ("allowed_cidrs", POINTER(c_char_p)),
        ("resolvers", POINTER(c_char_p)), ("config_file", c_char_p), ("listen", c_char_p), ("audit_log", c_char_p),
        ("log_level", c_char_p), ("program", c_char_p), ("max_connections", c_uint32), ("start_timeout_ms", c_uint32),
        ("drain_timeout_ms", c_uint32), ("reserved", c_uint32),
    ]


library = ctypes.CDLL("libnono_proxy.so.0")
library.nono_proxy_start.argtypes = [POINTER(Config), POINTER(c_void_p)]
library.nono_proxy_last_error.restype = c_char_p
library.nono_proxy_env_vars.argtypes = [c_void_p]
library.nono_proxy_env_vars.restype = POINTER(c_char_p)
library.nono_proxy_shutdown.argtypes = [c_void_p]
library.nono_proxy_shutdown.restype = None


def strings(words):
    """A list for the library: it ends with NULL."""
    return (c_char_p * (len(words) + 1))(*[w.encode() for w in words], None)


class Proxy:
    def __init__(self, hosts, **settings):
        config = Config(size=sizeof(Config), log_fd=2, allowed_hosts=strings(hosts), **settings)
        self.handle = c_void_p()
        if library.nono_proxy_start(byref(config), byref(self.handle)) < 0:
            raise RuntimeError(library.nono_proxy_last_error().decode())

    def env(self):
        found = {}
        for setting in library.nono_proxy_env_vars(self.handle):
            if setting is None:
                return found
            name, _, value = setting.decode().partition("=")
            found[name] = value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        library.nono_proxy_shutdown(self.handle)


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: library.py HOST COMMAND [ARG...]")
    settings = {}
    if "RESOLVER" in os.environ:
        settings["resolvers"] = strings([os.environ["RESOLVER"]])
    if "NONO_PROXY_PROGRAM" in os.environ:
        settings["program"] = os.environb[b"NONO_PROXY_PROGRAM"]
    try:
        with Proxy([sys.argv[1]], **settings) as proxy:
            status = subprocess.run(sys.argv[2:], env={**os.environ, **proxy.env()}, check=False).returncode
    except RuntimeError as error:
        sys.exit(f"no proxy: {error}")
    print(f"{sys.argv[2]} ended with exit status {status}")
    sys.exit(0 if status == 0 else 1)


if __name__ == "__main__":
    main()
