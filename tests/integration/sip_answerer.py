"""sip_answer (tests/bench/sip-worker/sip_answer.c) as a fixture: it answers every call through the SIP stack alone."""
import contextlib
import itertools
import os
import pathlib
import subprocess
import time

import pytest
from sip_peer import Peer, sdp

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HANDBACK_BIN", ROOT / "build/bin"))
PROGRAM = pathlib.Path(os.environ.get("SIP_ANSWER", BIN.parent / "tests/bench/sip-worker/sip_answer"))
PORTS = itertools.count(35200)

needs_program = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built: make bench-bins")


class Answerer:
    """sip_answer on 127.0.0.1 (and [::1]), UDP and TCP on one port; events() are its lines of output."""

    def __init__(self, *options):
        for _ in range(8):  # the kernel may have lent a port to somebody's connection
            self.port = next(PORTS)
            urls = [f"{t}:{a}:{self.port}" for a in ("127.0.0.1", "[::1]") for t in ("udp", "tcp")]
            self.process = subprocess.Popen([PROGRAM, *options, *urls], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.lines, self.rest = [], self.process.stdout.readline()
            if self.rest:
                break
            said = self.process.communicate()[1]
            assert b"already in use" in said, said.decode()
        os.set_blocking(self.process.stdout.fileno(), False)
        self.wait("ready")

    def peer(self, transport="udp", address="127.0.0.1"):
        server = ("::1" if ":" in address else "127.0.0.1", self.port)
        return Peer(address, server, transport)

    def _read(self):
        self.rest += self.process.stdout.read() or b""
        *lines, self.rest = self.rest.split(b"\n")
        self.lines += [l.decode() for l in lines]

    def forget(self):
        """Lines of earlier tests."""
        self._read()
        self.lines.clear()

    def wait(self, event, timeout=5.0):
        """The first line that begins with the word, taken out; the number at its end is dropped."""
        deadline = time.monotonic() + timeout
        while True:
            self._read()
            for line in self.lines:
                if line.split(" ")[0] == event:
                    self.lines.remove(line)
                    return line.rpartition(" ")[0].partition(" ")[2] if event != "ready" else ""
            assert time.monotonic() < deadline, f"no {event}; there came: {self.lines}"
            assert self.process.poll() is None, self.process.stderr.read().decode()
            time.sleep(0.005)

    def stop(self):
        self.process.terminate()
        out, err = self.process.communicate(timeout=10)
        assert self.process.returncode == 0, err.decode()[-4000:]
        assert "Sanitizer" not in err.decode(), err.decode()[-4000:]
        return dict(p.split("=") for p in out.decode().strip().splitlines()[-1].split()[1:])


@contextlib.contextmanager
def answering(*options):
    a = Answerer(*options)
    try:
        yield a
        a.stop()
    finally:
        if a.process.poll() is None:
            a.process.kill()
            a.process.wait()


def offer(port=4000, **kwargs):
    return sdp(kwargs.pop("address", "127.0.0.1"), port, **kwargs)


def start(p, **kwargs):
    call = p.invite(body=kwargs.pop("body", offer()), **kwargs)
    call.answered()
    return call
