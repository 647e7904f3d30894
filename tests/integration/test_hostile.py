"""Bytes that kill other stacks.  After each the worker answers an OPTIONS, and it is the same process."""
import os
import random
import socket
import struct
import time

import pytest
from caller import Caller
from handback import KEYS, OPERATOR, SANITIZED, SLOW, eventually
from sip_peer import Call, Peer, sdp, token


def request(peer, method="INVITE", uri=None, headers=(), body=b"", content="application/sdp", length=None, via=None):
    target = uri or f"sip:agent@{peer.server[0]}:{peer.server[1]}"
    lines = [f"{method} {target} SIP/2.0", f"Via: {via or peer.via(token())}", "Max-Forwards: 70",
             f"From: <sip:x@{peer.address}>;tag={token()}", "To: <sip:agent@localhost>", f"Call-ID: {token()}",
             f"CSeq: 1 {method}", f"Contact: <sip:x@{peer.address}:{peer.port}>", *headers]
    lines += [f"Content-Type: {content}"] if body else []
    text = "\r\n".join([*lines, f"Content-Length: {len(body) if length is None else length}", "", ""])
    return text.encode("utf-8", "surrogateescape") + body


def multipart(part):
    return b"--b\r\n" + part + b"\r\n--b--\r\n"


KILLERS = {
    "sdp m-line loop": lambda p: request(p, body=b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=x 1 UDP \xb1\r\n"),
    "sdp of nothing but m": lambda p: request(p, body=b"m=\r\n" * 2000),
    "sdp huge numbers": lambda p: request(p, body=sdp(p.address, 99999999999999999999)),
    "sdp without end": lambda p: request(p, body=b"v=0\r\nm=audio 1 RTP/AVP " + b"0 " * 20000),
    "multipart NUL": lambda p: request(p, body=multipart(b"Content-Type\x00: a\r\n\r\nx"), content="multipart/mixed;boundary=b"),
    "multipart empty": lambda p: request(p, body=b"--b", content="multipart/mixed;boundary=b"),
    "multipart no boundary": lambda p: request(p, body=b"--\r\n\r\n----", content="multipart/mixed"),
    "transport parameter": lambda p: request(p, uri=f"sip:agent@{p.server[0]};transportX"),
    "percent at the end": lambda p: request(p, uri="sip:%"),
    "contact percent": lambda p: request(p, headers=["Contact: <sip:%>", "Contact: %"]),
    "64 kB header": lambda p: request(p, headers=["X-Long: " + "a" * 60000]),
    "10,000 headers": lambda p: request(p, headers=["X: y"] * 9000),
    "negative length": lambda p: request(p, length=-1),
    "length 2^31": lambda p: request(p, length=2**31),
    "length 2^64": lambda p: request(p, length=2**64),
    "no headers": lambda p: b"INVITE sip:x SIP/2.0\r\n\r\n",
    "odd method": lambda p: request(p, method="X" * 300),
    "two methods": lambda p: request(p).replace(b"CSeq: 1 INVITE", b"CSeq: 4294967296 BYE"),
    "stray reply": lambda p: b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\n\r\n",
    "stray reply without via": lambda p: b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n",
    "via of another transport": lambda p: request(p, via="SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bKy"),
    "stun": lambda p: struct.pack("!HHI12s", 1, 8, 0x2112A442, b"x" * 12) + struct.pack("!HH4s", 3, 0xffff, b"aaaa"),
    "stun attribute set": lambda p: struct.pack("!HHI12s", 1, 0xfff8, 0x2112A442, b"x" * 12) + os.urandom(200),
    "NUL in a header": lambda p: request(p, headers=["X-GA-iv-a: b\0c", "X\0: y"]),
    "unicode": lambda p: request(p, headers=["Subject: \u202e\U0001f4a9 \udcff"]),
    "digest rubbish": lambda p: request(p, headers=['Authorization: Digest username="' + "\\" * 500 + ',,,=,"', "Authorization: Digest"]),
    "to without scheme": lambda p: request(p).replace(b"To: <sip:agent@localhost>", b"To: <<<>>>;tag=;tag=;tag"),
    "keepalives": lambda p: b"\r\n\r\n",
    "NUL bytes": lambda p: b"\0" * 1000,
    "one byte": lambda p: b"I",
}


def alive(system, pid):
    with Peer(system.host(12), system.sip) as peer:
        assert peer.options(2 * SLOW) == 200
    assert system.workers[0].alive() and system.workers[0].pid == pid


@pytest.mark.parametrize("name", KILLERS)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_killer(system, name, transport):
    pid = system.workers[0].pid
    with Peer(system.host(), system.sip, transport) as peer:
        data = KILLERS[name](peer)
        try:
            peer.send(data)
        except OSError:
            pass  # longer than a datagram
        time.sleep(0.02)
        alive(system, pid)


def test_two_megabytes_over_tcp(system):
    pid, before = system.workers[0].pid, system.workers[0].rss_kb()
    with Peer(system.host(), system.sip, "tcp") as peer:
        try:
            peer.send(request(peer, body=b"x" * (2 << 20)))
        except OSError:
            pass  # cut off at max_message
        time.sleep(0.3)
    alive(system, pid)
    assert SANITIZED or system.workers[0].rss_kb() - before < 16_000


def test_one_byte_at_a_time(system):
    with Peer(system.host(), system.sip, "tcp") as peer:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        call = Call(peer)
        call.cseq = 1
        for byte in call.build("OPTIONS", cseq=1):
            peer.sock.sendall(bytes([byte]))
        assert call.reply("OPTIONS", 5).status == 200


def test_silent_connections_are_closed(system):
    """Neither one that sends nothing nor one that never ends a message is kept."""
    socks = []
    for begin in (b"", b"INVITE sip:x SIP/2.0\r\n", b"\r\n"):
        sock = socket.create_connection(system.sip, 5, (system.host(21), 0))
        sock.sendall(begin)
        socks.append(sock)
    deadline = time.monotonic() + 45
    for sock in socks:
        sock.settimeout(max(1, deadline - time.monotonic()))
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass
        sock.close()


def test_mutations(system):
    """Whole messages with bytes changed, cut, doubled; seed printed when it fails."""
    seed = int.from_bytes(os.urandom(4), "big")
    rng = random.Random(seed)
    pid = system.workers[0].pid
    with Peer(system.host(), system.sip) as peer:
        seeds = [request(peer, body=sdp(peer.address, 40000)), request(peer, "OPTIONS"), request(peer, "BYE"),
                 request(peer, "REGISTER", headers=["Authorization: Digest username=a, nonce=b, response=c"])]
        for round_ in range(1500 // SLOW):
            data = bytearray(rng.choice(seeds))
            for _ in range(rng.randint(1, 8)):
                where = rng.randrange(len(data))
                choice = rng.randrange(4)
                if choice == 0:
                    data[where] = rng.randrange(256)
                elif choice == 1:
                    del data[where:where + rng.randrange(40)]
                elif choice == 2:
                    data[where:where] = data[where:where + rng.randrange(60)]
                else:
                    data[where:where] = rng.choice([b"\0", b"\r\n", b";", b"<", b">", b'"', b"%", b"\xff", b":", b"@"])
                data = data or bytearray(b"x")
            peer.send(bytes(data[:60000]))
            if round_ % 250 == 0:
                alive(system, pid)
    print(f"seed {seed}")
    alive(system, pid)


@pytest.mark.parametrize("method", ["REFER", "REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH", "NOTIFY", "PRACK"])
def test_requests_we_do_not_take(system, method):
    with Peer(system.host(), system.sip) as peer:
        call = Call(peer)
        call.send(method, to_tag=False, headers=["Refer-To: <sip:x@127.0.0.9>", "Event: presence"])
        assert call.reply(method).status in (403, 405, 481, 489, 501)


def test_control_socket_garbage(system):
    """A worker that speaks nonsense is cut off; the others are not."""
    path = str(system.folder / "control.sock")
    frame = lambda text: struct.pack("!I", len(text)) + text
    for data in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 64, b"\0\0\0\0", frame(b"{"), frame(b"[]"), frame(b"null"),
                 frame(b'{"v":1}'), frame(b'{"v":9,"t":"hello","id":"1","body":{}}'),
                 frame(b'{"v":1,"t":"hello","id":"1","body":{"worker":' + b"[" * 3000 + b"}}"),
                 frame(b'{"v":1,"t":"transfer.complete","id":"1","body":{"call":"x","token":"y"}}'),
                 frame(b'{"v":1,"t":"hello","id":"1","body":{"worker":"\xff\xfe"}}'), os.urandom(5000)):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(3)
        sock.connect(path)
        try:
            sock.sendall(data)
            sock.recv(4096)
        except OSError:
            pass
        sock.close()
    assert system.api.alive()
    assert system.get("/readyz")[0] == 200


HTTP = {
    "two lengths": b"POST /generativeagent/v1/call-transfers HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "length and chunked": b"POST /generativeagent/v1/call-transfers HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two ids": b"GET /generativeagent/v1/call-transfers/x HTTP/1.1\r\nHost: x\r\nasapp-api-id: demo-id\r\nasapp-api-id: demo-id\r\nasapp-api-secret: demo-secret\r\n\r\n",
    "NUL in the secret": b"GET /generativeagent/v1/call-transfers/x HTTP/1.1\r\nHost: x\r\nasapp-api-id: demo-id\r\nasapp-api-secret: demo-secret\0x\r\n\r\n",
    "broken escape": b"GET /generativeagent/v1/call-transfers/%zz HTTP/1.1\r\nHost: x\r\nasapp-api-id: demo-id\r\nasapp-api-secret: demo-secret\r\n\r\n",
    "escaped NUL": b"GET /generativeagent/v1/call-transfers/a%00 HTTP/1.1\r\nHost: x\r\nasapp-api-id: demo-id\r\nasapp-api-secret: demo-secret\r\n\r\n",
}


@pytest.mark.parametrize("name", HTTP)
def test_http_smuggling(system, name):
    sock = socket.create_connection((f"{system.net}.1", 38080), 5, (system.host(30), 0))
    sock.sendall(HTTP[name])
    assert sock.recv(4096).startswith(b"HTTP/1.1 400")
    sock.close()
    assert system.get("/healthz")[0] == 200


def test_http_drip_is_cut(fresh):
    system = fresh(config={"api": {"request_timeout": "2s"}}).start()
    sock = socket.create_connection((f"{system.net}.1", 38080), 5, (system.host(30), 0))
    started = time.monotonic()
    with pytest.raises(OSError):
        sock.sendall(b"POST /generativeagent/v1/call-transfers HTTP/1.1\r\nHost: x\r\n")
        while time.monotonic() - started < 15:
            sock.sendall(b"X")
            time.sleep(0.2)
    assert time.monotonic() - started < 8 * SLOW
    sock.close()


def test_http_body_too_large(system):
    body = b'{"id":"' + b"x" * (2 << 20) + b'"}'
    try:
        assert system.request("POST", "/generativeagent/v1/call-transfers", body)[0] == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it closed while we were still sending
    assert system.get("/healthz")[0] == 200


def test_wrong_key_looks_like_a_missing_one(system):
    path = "/generativeagent/v1/call-transfers/x"
    answers = [system.request("GET", path, headers=headers) for headers in
               ({}, {**KEYS, "asapp-api-secret": "wrong"}, {**KEYS, "asapp-api-id": "nobody"})]
    for status, body in answers:
        body["error"].pop("requestId")
        assert status == 401 and body["error"]["code"] == "401-01"
    assert answers[0] == answers[1] == answers[2]


def test_nothing_is_left_behind(system):
    """After all of it: no call is open and descriptors are back."""
    eventually(lambda: all(w["calls"] == 0 for w in workers(system)), 45, "no call is left")


def workers(system):
    status, answer = system.request("GET", "/handback/v1/workers", headers=OPERATOR)
    assert status == 200, answer
    return answer["workers"]
