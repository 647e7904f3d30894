"""Somebody to be called: a socket that answers INVITEs as a test wants, and sip_dial (tests/bench/sip-worker) that calls it."""
import itertools
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time

from sip_peer import Message, sdp, token

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HANDBACK_BIN", ROOT / "build/bin"))
PROGRAM = pathlib.Path(os.environ.get("SIP_DIAL", BIN.parent / "tests/bench/sip-worker/sip_dial"))
PORTS = itertools.count(int(os.environ.get("FAR_END_PORT", 43100)))


class FarEnd:
    """Blocking, one thread; every wait has a deadline.  TCP: one connection, taken when it comes."""

    def __init__(self, address="127.0.0.1", transport="udp"):
        self.transport = transport
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for _ in range(20):
            try:
                self.listener.bind((address, next(PORTS)))
                break
            except OSError:
                continue
        self.address, self.port = self.listener.getsockname()[:2]
        self.host = f"[{address}]" if ":" in address else address
        self.connection, self.buffer, self.source, self.inbox = None, b"", None, []
        if transport == "tcp":
            self.listener.listen(2)
        self.tag = token()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.connection, self.listener):
            if s:
                s.close()

    @property
    def uri(self):
        return f"sip:agent@{self.host}:{self.port}" + (";transport=tcp" if self.transport == "tcp" else "")

    @property
    def contact(self):
        return f"Contact: <sip:far@{self.host}:{self.port};transport={self.transport}>"

    def _frame(self):
        head, separator, _ = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        match = re.search(rb"^Content-Length\s*:\s*(\d+)", head, re.M | re.I)
        end = len(head) + 4 + int(match[1])
        if len(self.buffer) < end:
            return None
        raw, self.buffer = self.buffer[:end], self.buffer[end:].lstrip(b"\r\n")
        return Message(raw)

    def _read(self, deadline):
        while (left := deadline - time.monotonic()) > 0:
            try:
                if self.transport == "udp":
                    self.listener.settimeout(left)
                    data, self.source = self.listener.recvfrom(65535)
                    return Message(data)
                if not self.connection:
                    self.listener.settimeout(left)
                    self.connection = self.listener.accept()[0]
                if message := self._frame():
                    return message
                self.connection.settimeout(left)
                data = self.connection.recv(65535)
                assert data, "the other side closed"
                self.buffer += data
            except (TimeoutError, socket.timeout):
                return None
        return None

    def expect(self, method, timeout=5.0, new=None):
        """The next request of that method; others stay."""
        deadline = time.monotonic() + timeout
        for message in list(self.inbox):
            if message.method == method:
                self.inbox.remove(message)
                return message
        while message := self._read(deadline):
            if message.method == method and (new is None or message.cseq()[0] > new):
                return message
            if message.method != "INVITE" or new is None:
                self.inbox.append(message)
        raise AssertionError(f"no {method}; there came {[m.start for m in self.inbox]}")

    def nothing(self, timeout=0.5):
        self.inbox += [m] if (m := self._read(time.monotonic() + timeout)) else []
        return not self.inbox

    def send(self, data):
        if self.transport == "udp":
            self.listener.sendto(data, self.source)
        else:
            self.connection.sendall(data)

    def reply(self, request, status, headers=(), body=b"", tag=None):
        copied = []
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            for value in request.all(name):
                if name == "To" and status > 100 and "tag=" not in value:
                    value += f";tag={tag or self.tag}"
                copied.append(f"{name}: {value}")
        lines = [f"SIP/2.0 {status} Said So", *copied, *headers]
        if body:
            lines.append("Content-Type: application/sdp")
        self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)

    def ring(self, timeout=5.0):
        invite = self.expect("INVITE", timeout)
        self.reply(invite, 100)
        self.reply(invite, 180, [self.contact])
        return invite

    def answer(self, invite, headers=(), body=None, **kwargs):
        self.reply(invite, 200, [self.contact, *headers], self.sdp() if body is None else body, **kwargs)

    def sdp(self, **kwargs):
        return sdp(self.address, kwargs.pop("port", 7000), **{"codecs": (8,), **kwargs})

    def taken(self, **kwargs):
        """A call, answered and acknowledged."""
        invite = self.ring()
        self.answer(invite, **kwargs)
        self.expect("ACK")
        return invite

    def request(self, invite, method, cseq, headers=(), body=b""):
        """A request within the dialog; its reply."""
        target = re.search(r"<([^>]+)>", invite.get("Contact"))[1]
        via = f"SIP/2.0/{self.transport.upper()} {self.host}:{self.port};branch=z9hG4bK{token()}"
        lines = [f"{method} {target} SIP/2.0", f"Via: {via}", "Max-Forwards: 70", f"From: {invite.get('To')};tag={self.tag}",
                 f"To: {invite.get('From')}", f"Call-ID: {invite.get('Call-ID')}", f"CSeq: {cseq} {method}", self.contact, *headers]
        if body and not any(h.startswith("Content-Type") for h in headers):
            lines.append("Content-Type: application/sdp")
        self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        if method == "ACK":
            return None
        deadline = time.monotonic() + 5
        while message := self._read(deadline):
            if message.is_reply and message.cseq() == (cseq, method) and message.status >= 200:
                return message
            self.inbox.append(message)
        raise AssertionError(f"no reply to {method}")


class Dialler:
    """sip_dial; its lines of output are events."""

    def __init__(self, uri, *options, listen=None):
        for _ in range(8):
            self.port = next(PORTS)
            urls = listen(self.port) if listen else [f"{t}:127.0.0.1:{self.port}" for t in ("udp", "tcp")]
            self.process = subprocess.Popen([PROGRAM, *options, *urls, uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.lines, self.rest = [], self.process.stdout.readline()
            if self.rest:
                break
            said = self.process.communicate()[1]
            assert b"already in use" in said, said.decode()
        os.set_blocking(self.process.stdout.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                assert self.stop() == 0, "legs left behind"
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def wait(self, event, timeout=5.0):
        """The rest of the first line with that word, and its number."""
        deadline = time.monotonic() + timeout
        while True:
            self.rest += self.process.stdout.read() or b""
            *lines, self.rest = self.rest.split(b"\n")
            self.lines += [l.decode() for l in lines]
            for line in self.lines:
                if line.split(" ")[0] == event:
                    self.lines.remove(line)
                    text, _, number = line.partition(" ")[2].rpartition(" ")
                    return text, int(number)
            assert time.monotonic() < deadline, f"no {event}; there came: {self.lines}"
            assert self.process.poll() is None, self.process.stderr.read().decode()
            time.sleep(0.005)

    def stop(self):
        """Legs that were left."""
        time.sleep(0.05)
        self.process.terminate()
        out, err = self.process.communicate(timeout=10)
        assert self.process.returncode == 0 and "Sanitizer" not in err.decode(), err.decode()[-4000:]
        return int(out.decode().strip().splitlines()[-1].rpartition("=")[2])


class NameServer(threading.Thread):
    """Answers DNS questions from a table {(name, type): [records]}; a missing name is NXDOMAIN, None is SERVFAIL, "silent"
    is no answer.  A: "1.2.3.4"; SRV: (priority, weight, port, host).  Lists of lists are given out in turn."""

    A, AAAA, SRV = 1, 28, 33

    def __init__(self, table, address="127.0.0.1"):
        super().__init__(daemon=True)
        self.table, self.asked = table, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, next(PORTS)))
        self.at = "%s:%d" % self.sock.getsockname()
        self.start()

    @staticmethod
    def name(text):
        return b"".join(bytes([len(l)]) + l.encode() for l in text.split(".") if l) + b"\0"

    def record(self, kind, value):
        if kind == self.SRV:
            data = struct.pack("!HHH", *value[:3]) + self.name(value[3])
        else:
            data = socket.inet_pton(socket.AF_INET if kind == self.A else socket.AF_INET6, value)
        return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(data)) + data

    def run(self):
        while True:
            try:
                query, source = self.sock.recvfrom(4096)
            except OSError:
                return
            labels, i = [], 12
            while query[i]:
                labels.append(query[i + 1:i + 1 + query[i]].decode())
                i += query[i] + 1
            kind = struct.unpack("!H", query[i + 1:i + 3])[0]
            name = ".".join(labels).lower()
            self.asked.append((name, kind))
            values = self.table.get((name, kind), [])
            known = any(n == name for n, _ in self.table)
            if values == "silent":
                continue
            if values and isinstance(values[0], list):
                values = values.pop(0) if len(values) > 1 else values[0]
            code = 2 if values is None else 0 if known else 3
            records = [self.record(kind, v) for v in values or []]
            head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
            self.sock.sendto(head + query[12:i + 5] + b"".join(records), source)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
