"""The client protocol of the managers (lib/frame.h, proto/client.proto) spoken from Python: for many requests on one
connection, and for frames that no honest client sends.

    talk = Talk.unix(manager.socket)
    talk.note("shop", "text")       # committed when it returns
    talk.close()
"""
import os
import socket
import struct
import time

from scene import Failure

OPS = {"status": 1, "member_list": 8, "version": 11, "note": 12}
OK, REDIRECT = 0, 64
_HEADER = struct.Struct("<IHHQ")
_REQUEST, _ANSWER = 1, 2
_BODY_MAX = 4 << 20


def preamble(protocol):
    """The first 8 bytes in plaintext; protocol: 1 Raft, 2 peers, 3 clients."""
    return b"RGNT" + bytes([1, protocol, 0, 0])


def frame_header(size, kind=_REQUEST, request=1):
    return _HEADER.pack(size, kind, 0, request)


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value) if value else b""
    return _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""


def _fields(data):
    """The fields of a message that has only numbers and bytes."""
    out, i = {}, 0

    def varint():
        nonlocal i
        value = shift = 0
        while True:
            byte = data[i]
            i += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while i < len(data):
        key = varint()
        if key & 7 == 0:
            out[key >> 3] = varint()
        else:
            size = varint()
            out[key >> 3] = data[i:i + size]
            i += size
    return out


class Talk:
    """One connection to one manager. 'stream' is connected and protected as it should be."""

    def __init__(self, stream):
        self.stream = stream
        self._request = 0
        self._client = int.from_bytes(os.urandom(7), "little") | 1
        self._seq = 0
        self._index = 0

    @classmethod
    def unix(cls, path, seconds=10):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(seconds)
        stream.connect(path)
        stream.sendall(preamble(3))
        return cls(stream)

    def _receive(self, size):
        data = b""
        while len(data) < size:
            piece = self.stream.recv(size - len(data))
            if not piece:
                raise Failure("the manager ended the connection")
            data += piece
        return data

    def ask(self, op, **fields):
        """Sends a request and returns the answer's (code, text, index, JSON as bytes)."""
        numbers = {"client": 2, "seq": 3, "cluster": 4, "since": 13, "text": 14}
        body = _field(1, OPS[op]) + b"".join(_field(numbers[k], v) for k, v in sorted(fields.items(),
                                                                                     key=lambda kv: numbers[kv[0]]))
        self._request += 1
        self.stream.sendall(frame_header(len(body), request=self._request) + body)
        size, kind, _, request = _HEADER.unpack(self._receive(_HEADER.size))
        if kind != _ANSWER or request != self._request or size > _BODY_MAX:
            raise Failure(f"this is no answer: type {kind}, request {request}, {size} bytes")
        answer = _fields(self._receive(size))
        self._index = max(self._index, answer.get(5, 0))
        return answer.get(1, 0), answer.get(2, b"").decode(), answer.get(5, 0), answer.get(4, b"")

    def note(self, text, cluster=""):
        """One small command through the log; returns when it is committed and applied here. The manager must lead."""
        if self._index == 0:
            self.ask("version")
        self._seq += 1
        code, said, _, _ = self.ask("note", client=self._client, seq=self._seq, since=self._index,
                                    cluster=cluster.encode(), text=text.encode())
        if code != OK:
            raise Failure(f"a note was not taken: code {code}: {said}")

    def measure_notes(self, notes):
        """Commits of small commands, one after the other; how long each took, in ms, sorted."""
        took = []
        for i in range(notes):
            start = time.monotonic()
            self.note(f"note {i}")
            took.append((time.monotonic() - start) * 1000)
        return sorted(took)

    def close(self):
        self.stream.close()


def percentile(ordered, percent):
    """Nearest rank: a value that was measured."""
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]
