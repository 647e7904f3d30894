"""The encrypted media side of a test's caller: Rtp whose packets pass through libsrtp2."""
import base64
import ctypes
import os
import re
import socket
import struct
import time

from rtp_peer import Rtp
from sip_peer import sdp

SUITES = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4}
ROOM = 64  # for a packet to grow


class _Crypto(ctypes.Structure):
    _fields_ = [(name, kind) for name, kind in (
        ("cipher", ctypes.c_uint32), ("key_len", ctypes.c_int), ("auth", ctypes.c_uint32),
        ("auth_len", ctypes.c_int), ("tag_len", ctypes.c_int), ("service", ctypes.c_int))]


class _Policy(ctypes.Structure):
    _fields_ = [("ssrc_type", ctypes.c_int), ("ssrc", ctypes.c_uint), ("rtp", _Crypto), ("rtcp", _Crypto),
                ("key", ctypes.c_char_p), ("keys", ctypes.c_void_p), ("key_count", ctypes.c_ulong),
                ("ekt", ctypes.c_void_p), ("window", ctypes.c_ulong), ("repeat", ctypes.c_int),
                ("ext", ctypes.c_void_p), ("ext_count", ctypes.c_int), ("next", ctypes.c_void_p)]


_library = None


def library():
    global _library
    if _library is None:
        _library = ctypes.CDLL("libsrtp2.so.1")
        assert _library.srtp_init() == 0
    return _library


class Key:
    """One direction's key and suite."""

    def __init__(self, suite="AES_CM_128_HMAC_SHA1_80", material=None):
        self.suite, self.material = suite, material or os.urandom(30)

    def line(self, tag=1, tail=""):
        return f"a=crypto:{tag} {self.suite} inline:{base64.b64encode(self.material).decode()}{tail}"


def key_in(body):
    """(tag, Key) of a description's first a=crypto, or None."""
    match = re.search(rb"^a=crypto:(\d+) (\S+) inline:([A-Za-z0-9+/]{40})\r?$", body, re.M)
    return match and (int(match[1]), Key(match[2].decode(), base64.b64decode(match[3])))


class Stream:
    """libsrtp2 for one direction."""

    def __init__(self, key, inbound):
        lib = library()
        policy = _Policy(ssrc_type=2 if inbound else 3, window=128, key=key.material)
        lib.srtp_crypto_policy_set_rtp_default(ctypes.byref(policy.rtp))
        lib.srtp_crypto_policy_set_rtp_default(ctypes.byref(policy.rtcp))
        policy.rtp.tag_len = SUITES[key.suite]
        self.context = ctypes.c_void_p()
        assert lib.srtp_create(ctypes.byref(self.context), ctypes.byref(policy)) == 0

    def _run(self, name, data):
        buffer = ctypes.create_string_buffer(data, len(data) + ROOM)
        length = ctypes.c_int(len(data))
        if getattr(library(), name)(self.context, buffer, ctypes.byref(length)) != 0:
            return None
        return buffer.raw[:length.value]

    def protect(self, data):
        return self._run("srtp_protect", data)

    def unprotect(self, data):
        return self._run("srtp_unprotect", data)


class Srtp(Rtp):
    """`sent` and `heard`: every datagram of the wire as it was."""

    def __init__(self, address):
        self.out = self.back = None
        self.heard, self.sent, self.foreign = [], [], 0
        super().__init__(address)

    def keys(self, ours, theirs):
        if ours:
            self.out = Stream(ours, inbound=False)
        if theirs:
            self.back = Stream(theirs, inbound=True)

    def raw(self, data):
        data = self.out.protect(data) if self.out else data
        self.sent.append(data)
        super().raw(data)

    def _receive(self):
        while not self.stopping.is_set():
            try:
                data, source = self.sock.recvfrom(2048)
            except (TimeoutError, socket.timeout, OSError):
                continue
            self.heard.append(data)
            clear = self.back.unprotect(data) if self.back else data
            if clear is None:
                self.foreign += 1
                continue
            if len(clear) >= 12:
                _, kind, sequence, timestamp, _ = struct.unpack("!BBHII", clear[:12])
                self.sources.add(source[:2])
                self.received.append((time.monotonic(), kind & 0x7f, sequence, timestamp, clear[12:]))


def secure_sdp(address, port, *lines, proto="RTP/SAVP", **kwargs):
    return sdp(address, port, extra=lines, **kwargs).replace(b"RTP/AVP", proto.encode())
