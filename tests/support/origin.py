#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The servers of the tests' internet that no ready-made program gives us, in one process.

    origin.py CONFIG.json

The configuration is a list of services: {"kind": …, "address": …, "port": …}. Every connection, and every datagram, is written
to the log as one JSON object a line before it is answered, so that a test can say "nothing came here".

  https     HTTP/1.1 over TLS; the body names the server name asked for, the address, and the Host
  http      the same in the clear
  metadata  what a cloud's metadata service would give away
  echo      sends back what it gets
  greeter   speaks first, as SMTP does
  reset     accepts and resets
  udp-echo  sends datagrams back
  udp-mute  takes datagrams and never answers
"""

import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time


class Log:
    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def write(self, **fields):
        with self.lock:
            self.file.write(json.dumps(fields) + "\n")
            self.file.flush()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Server:
    def __init__(self, config):
        self.log = Log(config["log"])
        self.www = config.get("www", "")
        self.tls = None
        self.names = threading.local()
        self.gates, self.gates_lock = {}, threading.Lock()
        if config.get("certificate"):
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(config["certificate"], config["key"])
            self.tls.sni_callback = self.note_name

    def note_name(self, _socket, name, _context):
        self.names.last = name

    # -- one handler per kind; `where` is "address port" of the listener

    def on_https(self, connection, where):
        self.names.last = None
        try:
            connection = self.tls.wrap_socket(connection, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.log.write(kind="handshake-failed", address=where[0], port=where[1], error=str(error))
            connection.close()
            return
        self.serve_http(connection, where, self.names.last)

    def on_http(self, connection, where):
        self.serve_http(connection, where, None)

    def on_metadata(self, connection, where):
        connection.recv(4096)
        body = b"role-name: the-keys-of-the-kingdom\n"
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        connection.close()

    def on_echo(self, connection, where):
        total = 0
        try:
            while data := connection.recv(65536):
                total += len(data)
                connection.sendall(data)
        finally:
            connection.close()
            self.log.write(kind="echoed", address=where[0], port=where[1], bytes=total)

    def on_greeter(self, connection, _where):
        connection.sendall(b"220 smtp.example.com ready\r\n")
        while data := connection.recv(4096):
            if data.upper().startswith(b"QUIT"):
                connection.sendall(b"221 bye\r\n")
                break
            connection.sendall(b"250 " + data)
        connection.close()

    def on_reset(self, connection, _where):
        reset(connection)

    def serve_http(self, connection, where, sni):
        stream = connection.makefile("rb")
        while True:
            request = stream.readline(8192)
            if not request.strip():
                break
            headers = {}
            while (line := stream.readline(8192)).strip():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.strip().lower()] = value.strip()
            method, path, _ = (request.decode("latin-1").split() + ["", "", ""])[:3]
            body_in = self.body(stream, headers)
            self.log.write(kind="request", address=where[0], port=where[1], sni=sni, host=headers.get("host"),
                           method=method, path=path)
            if path == "/stream":
                self.stream(connection)
                break
            if path.startswith("/held/"):
                self.held(connection, path[len("/held/"):])
                continue
            if path.startswith("/git/"):
                connection.sendall(self.git(method, path[len("/git"):], headers, body_in))
                continue
            status, body, *more = self.answer(path, where, sni, headers)
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n{''.join(more)}\r\n"
            connection.sendall(head.encode() + (b"" if method == "HEAD" else body))
        connection.close()

    def answer(self, path, where, sni, headers):
        path = path.split("?")[0]
        if path.startswith("/bytes/"):
            return "200 OK", b"x" * int(path.rsplit("/", 1)[1])
        if path.startswith("/files/"):
            return self.file(path[len("/files/"):])
        if path.startswith("/redirect/"):
            return "302 Found", b"", f"Location: http://{path[len('/redirect/'):]}\r\n"
        if path.startswith("/release/"):
            self.gate(path[len("/release/"):]).set()
        text = f"server name {sni}, address {where[0]}, host {headers.get('host')}\n"
        return "200 OK", text.encode()

    def file(self, name):
        full = os.path.realpath(os.path.join(self.www, name))
        if full.startswith(os.path.realpath(self.www) + os.sep) and os.path.isfile(full):
            with open(full, "rb") as file:
                return "200 OK", file.read()
        return "404 Not Found", b"no such file\n"

    @staticmethod
    def body(stream, headers):
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return stream.read(int(headers.get("content-length", "0")))
        found = b""
        while size := int(stream.readline(100).split(b";")[0], 16):
            found += stream.read(size)
            stream.readline(10)
        while stream.readline(8192).strip():
            pass
        return found

    def git(self, method, path, headers, body):
        """git's own server: what clones and pushes talk to elsewhere (/files/ are plain files)."""
        path, _, query = path.partition("?")
        env = {"PATH": os.environ["PATH"], "HOME": self.www, "GIT_PROJECT_ROOT": self.www, "GIT_HTTP_EXPORT_ALL": "1", "GIT_CONFIG_NOSYSTEM": "1",
               "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method, "CONTENT_TYPE": headers.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
               "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""), "GIT_PROTOCOL": headers.get("git-protocol", ""),
               "REMOTE_USER": "tests", "REMOTE_ADDR": "tests"}
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        lines = [line for line in head.decode().split("\r\n") if line]
        status = next((line[len("Status: "):] for line in lines if line.startswith("Status: ")), "200 OK")
        lines = [f"HTTP/1.1 {status}", *(line for line in lines if not line.startswith("Status: ")), f"Content-Length: {len(answer)}", "", ""]
        return "\r\n".join(lines).encode() + answer

    def gate(self, name):
        with self.gates_lock:
            return self.gates.setdefault(name, threading.Event())

    def held(self, connection, name):
        """Half of a response; the other half when somebody has asked for /release/NAME."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + b"1" * 100)
        if self.gate(name).wait(30):
            connection.sendall(b"2" * 100)

    def stream(self, connection):
        """A response that does not end: for what has to be cut off in the middle."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
        while True:
            connection.sendall(b"tick\n" * 100)
            time.sleep(0.005)

    # -- the frame around them

    def accept(self, listener, kind, where):
        handler = getattr(self, "on_" + kind)
        while True:
            connection, peer = listener.accept()
            self.log.write(kind="accept", service=kind, address=where[0], port=where[1], peer=peer[0])
            threading.Thread(target=self.guard, args=(handler, connection, where), daemon=True).start()

    @staticmethod
    def guard(handler, connection, where):
        connection.settimeout(60)
        try:
            handler(connection, where)
        except (OSError, ValueError):
            connection.close()

    def datagrams(self, sock, kind, where):
        while True:
            data, peer = sock.recvfrom(65536)
            self.log.write(kind="datagram", service=kind, address=where[0], port=where[1], size=len(data))
            if kind == "udp-echo":
                sock.sendto(data, peer)

    def start(self, service):
        kind, where = service["kind"], (service["address"], service["port"])
        family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        udp = kind.startswith("udp-")
        sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
        if udp:
            target = self.datagrams
        else:
            sock.listen(128)
            target = self.accept
        threading.Thread(target=target, args=(sock, kind, where), daemon=True).start()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    server = Server(config)
    for service in config["services"]:
        server.start(service)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
