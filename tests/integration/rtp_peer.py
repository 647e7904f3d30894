"""The media side of a test's caller: a thread that sends 20 ms PCMU packets and keeps what it hears."""
import os
import socket
import struct
import threading
import time

FRAME_MS, FRAME = 20, 160
SILENCE = b"\xff" * FRAME
DIGITS = "0123456789*#ABCD"


class Rtp:
    def __init__(self, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        while True:  # RTP lives on even ports
            self.sock.bind((address, 0))
            if self.sock.getsockname()[1] % 2 == 0:
                break
            self.sock.close()
            self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.settimeout(0.1)
        self.address, self.port = self.sock.getsockname()[:2]
        self.remote = None
        self.sequence, self.timestamp, self.ssrc = 1000, 160, struct.unpack("!I", os.urandom(4))[0]
        self.received = []  # (monotonic time, payload type, sequence, timestamp, payload)
        self.sources = set()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.sending = threading.Event()
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self._receive, self._send)]
        for thread in self.threads:
            thread.start()

    def close(self):
        self.stopping.set()
        self.sending.set()
        for thread in self.threads:
            thread.join(2)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self, remote):
        """remote: (address, port) of the other side's media."""
        self.remote = remote
        self.sending.set()

    def mute(self):
        self.sending.clear()

    def packet(self, payload, payload_type=0, marker=False, timestamp=None):
        with self.lock:
            self.sequence = (self.sequence + 1) & 0xffff
            header = struct.pack("!BBHII", 0x80, payload_type | (0x80 if marker else 0), self.sequence,
                                 self.timestamp if timestamp is None else timestamp, self.ssrc)
            self.raw(header + payload)

    def raw(self, data):
        try:
            self.sock.sendto(data, self.remote)
        except OSError:
            pass  # nobody there any more: the test will see it elsewhere

    def digit(self, digit, payload_type=101, ends=3, duration_ms=100, marker=True, starts=True):
        """One RFC 4733 event; voice goes on in between as many gateways do."""
        event, timestamp = DIGITS.index(digit), self.timestamp
        for step in range(1, duration_ms // FRAME_MS + 1) if starts else ():
            body = struct.pack("!BBH", event, 10, step * FRAME)
            self.packet(body, payload_type, marker and step == 1, timestamp)
            time.sleep(FRAME_MS / 1000)
        for _ in range(ends):
            body = struct.pack("!BBH", event, 0x80 | 10, duration_ms // FRAME_MS * FRAME)
            self.packet(body, payload_type, False, timestamp)

    def _send(self):
        due = time.monotonic()
        while not self.stopping.is_set():
            if not self.sending.wait(0.2):
                due = time.monotonic()
                continue
            if self.remote and not self.stopping.is_set():
                self.packet(SILENCE)
                self.timestamp = (self.timestamp + FRAME) & 0xffffffff
            due = max(due + FRAME_MS / 1000, time.monotonic() - 0.2)
            time.sleep(max(0, due - time.monotonic()))

    def _receive(self):
        while not self.stopping.is_set():
            try:
                data, source = self.sock.recvfrom(2048)
            except (TimeoutError, socket.timeout, OSError):
                continue
            if len(data) >= 12:
                _, kind, sequence, timestamp, _ = struct.unpack("!BBHII", data[:12])
                self.sources.add(source[:2])
                self.received.append((time.monotonic(), kind & 0x7f, sequence, timestamp, data[12:]))

    def loud(self):
        """How many received packets hold more than near-silence (PCMU magnitude)."""
        return sum(1 for _, kind, _, _, payload in list(self.received)
                   if kind == 0 and payload and sum((~b & 0x7f) for b in payload) / len(payload) > 24)

    def wait(self, packets=1, timeout=5.0):
        deadline = time.monotonic() + timeout
        while len(self.received) < packets:
            assert time.monotonic() < deadline, f"{len(self.received)} RTP packets of {packets} in {timeout} s"
            time.sleep(0.01)
