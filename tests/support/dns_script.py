#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A DNS server that misbehaves on purpose: what a ready-made one cannot be told to do.

    dns_script.py ADDRESS LOG

Every query is written to the log. The name decides the answer:

  flip.example.com      a good address the first time, 127.0.0.1 and 169.254.169.254 ever after
  servfail.example.com  SERVFAIL
  silent.example.com    nothing
  big.example.com       50 addresses: truncated over UDP, whole over TCP
  huge.example.com      2000 addresses
  NAME.wild.example.com one address each, 200 different ones
  chain.example.com     an alias that leads to a metadata address
  circle.example.com    an alias of itself
  mapped.example.com    ::ffff:169.254.169.254
  nat64.example.com     64:ff9b::a9fe:a9fe
  empty.example.com     no error, no answer
"""

import json
import socket
import struct
import sys
import threading
import zlib

A, CNAME, AAAA = 1, 5, 28
GOOD = "203.0.113.10"


def encode_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def record(name, kind, data):
    return encode_name(name) + struct.pack("!HHIH", kind, 1, 1, len(data)) + data


def address(name, text):
    if ":" in text:
        return record(name, AAAA, socket.inet_pton(socket.AF_INET6, text))
    return record(name, A, socket.inet_pton(socket.AF_INET, text))


class Zone:
    def __init__(self, log):
        self.log = open(log, "a", encoding="utf-8")
        self.lock = threading.Lock()
        self.asked = {}

    def note(self, name, kind, transport):
        with self.lock:
            self.log.write(json.dumps({"name": name, "type": kind, "transport": transport}) + "\n")
            self.log.flush()
            count = self.asked.get((name, kind), 0)
            self.asked[(name, kind)] = count + 1
            return count

    def answer(self, name, kind, count):
        """Returns (rcode, records) or None for silence."""
        label = name.split(".")[0]
        if label == "silent":
            return None
        if label == "servfail":
            return 2, []
        if label == "flip" and kind == A:
            return 0, [address(name, a) for a in ([GOOD] if count == 0 else ["127.0.0.1", "169.254.169.254"])]
        if label == "big" and kind == A:
            return 0, [address(name, f"203.0.113.{i + 1}") for i in range(50)]
        if label == "huge" and kind == A:
            return 0, [address(name, f"203.0.{i // 200 + 100}.{i % 200 + 1}") for i in range(2000)]
        if name.endswith(".wild.example.com") and kind == A:
            return 0, [address(name, f"203.0.113.{zlib.crc32(name.encode()) % 200 + 1}")]
        if label == "chain" and kind == A:
            return 0, [record(name, CNAME, encode_name("inner.example.com")), address("inner.example.com", "169.254.169.254")]
        if label == "circle":
            return 0, [record(name, CNAME, encode_name(name))]
        if label == "mapped" and kind == AAAA:
            return 0, [address(name, "::ffff:169.254.169.254")]
        if label == "nat64" and kind == AAAA:
            return 0, [address(name, "64:ff9b::a9fe:a9fe")]
        if label in ("flip", "big", "huge", "chain", "mapped", "nat64", "empty"):
            return 0, []
        return (0 if name.endswith(".wild.example.com") else 3), []

    def reply(self, query, transport):
        ident, _flags, questions = struct.unpack("!HHH", query[:6])
        if questions != 1:
            return None
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
        question = query[12 : at + 5]
        name = ".".join(labels)
        answer = self.answer(name, kind, self.note(name, kind, transport))
        if answer is None:
            return None
        rcode, records = answer
        flags = 0x8580 | rcode
        body = b"".join(records)
        if transport == "udp" and 12 + len(question) + len(body) > 512:
            flags, records, body = flags | 0x0200, [], b""
        return struct.pack("!HHHHHH", ident, flags, 1, len(records), 0, 0) + question + body


def serve_stream(zone, connection):
    stream = connection.makefile("rb")
    with connection:
        while len(head := stream.read(2)) == 2:
            reply = zone.reply(stream.read(struct.unpack("!H", head)[0]), "tcp")
            if reply is not None:
                connection.sendall(struct.pack("!H", len(reply)) + reply)


def accept(zone, listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_stream, args=(zone, connection), daemon=True).start()


def main():
    where = (sys.argv[1], 53)
    zone = Zone(sys.argv[2])
    listener = socket.create_server(where)
    threading.Thread(target=accept, args=(zone, listener), daemon=True).start()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(where)
    print("ready", flush=True)
    while True:
        query, peer = sock.recvfrom(4096)
        try:
            reply = zone.reply(query, "udp")
        except (IndexError, struct.error):
            continue
        if reply is not None:
            sock.sendto(reply, peer)


if __name__ == "__main__":
    main()
