# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand, for what no well-behaved client says. Also the proxy command of ssh:

    ssh -o ProxyCommand='python3 rawhttp.py %h %p' …

Uses the standard library only, so that programs inside a sandbox can import it.
"""

import base64
import os
import select
import socket
import sys
import urllib.parse


def basic(token, user="nono"):
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


def bearer(token):
    return "Bearer " + token


def request(line, *fields, authorization=None, body=b""):
    """The bytes of a request: its line and fields as they are given."""
    lines = [line, *fields]
    if authorization:
        lines.append("Proxy-Authorization: " + authorization)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def connect(target, authorization=None, body=b""):
    return request(f"CONNECT {target} HTTP/1.1", f"Host: {target}", authorization=authorization, body=body)


def get(url, authorization=None, *fields, method="GET", body=b""):
    """A request in absolute form, or in origin form to the proxy itself."""
    host = urllib.parse.urlsplit(url).netloc or "127.0.0.1"
    return request(f"{method} {url} HTTP/1.1", f"Host: {host}", *fields, authorization=authorization, body=body)


class Answer:
    def __init__(self, head):
        self.line, *rest = head.decode("latin-1").split("\r\n")
        words = self.line.split(" ", 2)
        self.status, self.reason = int(words[1]), words[2] if len(words) > 2 else ""
        self.fields = {}
        for field in rest:
            name, _, value = field.partition(":")
            self.fields[name.lower()] = value.strip()
        self.denied = self.fields.get("x-nono-denied")
        self.body = b""

    @property
    def closes(self):
        return self.fields.get("connection", "").lower() == "close"

    def __repr__(self):
        return f"{self.line} {self.fields} {self.body[:300]!r}"


class Talk:
    """One connection and what was received but not looked at yet."""

    def __init__(self, sock, timeout=10):
        self.sock, self.data = sock, b""
        sock.settimeout(timeout)

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        chunk = self.sock.recv(65536)
        self.data += chunk
        return bool(chunk)

    def exactly(self, count):
        while len(self.data) < count:
            if not self._more():
                raise EOFError(f"ended after {len(self.data)} of {count} bytes: {self.data[:300]!r}")
        found, self.data = self.data[:count], self.data[count:]
        return found

    def line(self):
        while b"\n" not in self.data:
            if not self._more():
                raise EOFError(f"ended in the middle of a line: {self.data[:300]!r}")
        found, _, self.data = self.data.partition(b"\n")
        return found

    def head(self):
        """The head of an answer; what is behind it (a tunnel's bytes, say) stays."""
        while b"\r\n\r\n" not in self.data:
            if not self._more():
                raise EOFError(f"ended in the middle of a head: {self.data[:300]!r}")
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        return Answer(head)

    def answer(self):
        """A whole answer whose length is told."""
        answer = self.head()
        answer.body = self.exactly(int(answer.fields.get("content-length", "0")))
        return answer

    def ask(self, data):
        self.send(data)
        return self.answer()

    def tunnel(self, target, authorization=None):
        """CONNECT; a refusal is returned whole, with its body."""
        self.send(connect(target, authorization))
        answer = self.head()
        if answer.status != 200:
            answer.body = self.exactly(int(answer.fields.get("content-length", "0")))
        return answer

    def rest(self):
        """Everything up to the end; a reset ends it, too."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        found, self.data = self.data, b""
        return found

    def shut(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def proxy_from_environment():
    """((address, port), token)"""
    url = urllib.parse.urlsplit(os.environ["NONO_PROXY_URL"])
    return (url.hostname, url.port), os.environ.get("NONO_PROXY_TOKEN")


def from_environment(timeout=10):
    """A talk with the proxy of the sandbox that this runs in."""
    return Talk(socket.create_connection(proxy_from_environment()[0]), timeout)


def proxy_command(host, port):
    talk = from_environment(timeout=None)
    answer = talk.tunnel(f"{host}:{port}", bearer(proxy_from_environment()[1]))
    if answer.status != 200:
        sys.exit(f"the proxy refused: {answer.line}")
    os.write(1, talk.data)
    sources = [0, talk.sock.fileno()]
    while sources:
        for source in select.select(sources, [], [])[0]:
            data = os.read(source, 65536)
            if not data:
                sources.remove(source)
                if source:
                    return
                talk.shut()
            elif source:
                os.write(1, data)
            else:
                talk.send(data)


if __name__ == "__main__":
    proxy_command(sys.argv[1], sys.argv[2])
