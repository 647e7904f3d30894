"""Who gets through to the SIP stack, and what must not kill it."""
import contextlib
import re
import socket
import time

import pytest
from sip_answerer import answering, needs_program, offer, start
from sip_peer import Call, token

pytestmark = needs_program


@pytest.fixture(scope="module")
def server():
    with answering() as a:
        yield a


# --- who may call ---


@pytest.mark.parametrize("challenge,algorithm", [(401, "MD5"), (401, "SHA-256"), (407, "MD5")])
def test_digest(challenge, algorithm):
    with answering("-u", "sb\\c:pass word", "-c", str(challenge)) as a, a.peer() as p:
        call = Call(p)
        call.invite(body=offer())
        first = call.reply("INVITE")
        name = "WWW-Authenticate" if challenge == 401 else "Proxy-Authenticate"
        offered = first.all(name)
        assert first.status == challenge and [re.search("algorithm=([^,]+)", o)[1] for o in offered] == ["MD5", "SHA-256"]
        assert not first.get("Warning") and not first.get("Reason")
        first.headers = [h for h in first.headers if h[0] != name or algorithm in h[1]]
        call.authenticate(first, "sb\\c", "pass word")
        call.authorization = call.authorization.replace('"sb\\c"', '"sb\\\\c"')
        call.invite(body=offer())
        call.answered()
        good = call.authorization
        assert call.bye().status == 200
        replay = Call(p)
        replay.authorization = good
        replay.invite(body=offer())
        reply = replay.reply("INVITE")
        assert reply.status == challenge and all("stale=true" in v for v in reply.all(name)), "same nonce and count"
        for user, password in [("sb\\c", "wrong"), ("nobody", "pass word")]:
            bad = Call(p)
            bad.authenticate(reply, user, password)
            bad.invite(body=offer())
            refusal = bad.reply("INVITE")
            assert refusal.status == challenge and "stale" not in refusal.get(name)


def test_nonce_of_another_address():
    with answering("-u", "sbc:secret") as a, a.peer() as p, a.peer(address="127.0.0.2") as thief:
        call = p.invite(body=offer())
        challenge = call.reply("INVITE")
        stolen = Call(thief)
        stolen.target = call.uri
        stolen.authenticate(challenge, "sbc", "secret")
        stolen.invite(body=offer())
        assert stolen.reply("INVITE").status == 401


def test_strangers_hear_nothing():
    with answering("-a", "127.0.0.1/32") as a, a.peer(address="127.0.0.3") as p:
        for method in ("INVITE", "OPTIONS", "REGISTER", "ACK", "CANCEL", "BYE"):
            Call(p).send(method)
        p.send(b"INVITE broken\r\n\r\n")
        p.send(b"\x00\x01\x00\x00" + b"\x21\x12\xa4\x42" + b"a" * 12)
        assert p.nothing(0.7)
        with socket.socket() as s, pytest.raises((ConnectionError, socket.timeout, AssertionError)):
            s.bind(("127.0.0.3", 0))
            s.settimeout(2)
            s.connect(("127.0.0.1", a.port))
            s.sendall(b"OPTIONS sip:x SIP/2.0\r\n\r\n")
            assert s.recv(10) != b""
        with a.peer() as known:
            assert known.options() == 200
        stats = a.stop()
        assert int(stats["dropped_source"]) >= 7 and int(stats["received"]) == 1


def test_strangers_are_rejected_where_wanted():
    with answering("-x", "-a", "127.0.0.1/32") as a, a.peer(address="127.0.0.3") as p:
        reply = p.invite(body=offer()).reply("INVITE")
        assert reply.status == 403 and not reply.get("Warning") and not reply.get("Reason")


def test_guessing_is_slowed_down():
    with answering("-u", "sbc:secret") as a, a.peer(address="127.0.0.4") as p:
        for _ in range(60):
            p.send(Call(p).build("INVITE", cseq=1, body=offer()))
        time.sleep(0.3)
        replies = 0
        while p._read(0.2):
            replies += 1
        assert 1 <= replies <= 20


def test_indialog_request_of_another_source():
    with answering("-a", "127.0.0.1/32") as a, a.peer() as p, a.peer(address="127.0.0.5") as thief:
        call = start(p)
        thief.send(call.build("BYE", cseq=2))
        assert thief.nothing(0.4)
        assert call.bye().status == 200


# --- connections ---


@pytest.mark.parametrize("size", [1, 7])
def test_small_pieces(server, size):
    with server.peer("tcp") as p:
        call = Call(p)
        call.cseq = call.invite_cseq = 1
        call.branch = token()
        text = call.build("INVITE", cseq=1, branch=call.branch, body=offer())
        p.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(text), size):
            p.send(text[i:i + size])
        call.answered()
        call.bye()


def test_silent_connections_are_closed(server):
    with socket.create_connection(("127.0.0.1", server.port)) as silent, server.peer("tcp") as busy:
        assert busy.options() == 200
        silent.settimeout(25)
        started = time.monotonic()
        assert silent.recv(1) == b""
        assert 10 < time.monotonic() - started < 20
        assert busy.options() == 200, "a connection that is used stays"


def test_connections_of_one_address_are_limited(server):
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
    try:
        time.sleep(0.3)
        closed = 0
        for s in sockets:
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                closed += s.recv(1) == b""
        assert 30 <= closed <= 60
        with server.peer() as p:
            assert p.options() == 200
    finally:
        for s in sockets:
            s.close()


def test_connection_gone_before_our_bye():
    """The flow is lost: the BYE goes to the Contact by a new connection."""
    with answering("-b", "300") as a, socket.socket() as listener, a.peer("tcp") as p:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(5)
        call = Call(p)
        call.cseq = call.invite_cseq = 1
        call.branch = token()
        text = call.build("INVITE", cseq=1, branch=call.branch, body=offer())
        p.send(text.replace(f"Contact: <sip:caller@127.0.0.1:{p.port}".encode(),
                            f"Contact: <sip:caller@127.0.0.1:{listener.getsockname()[1]}".encode()))
        call.answered()
        p.close()
        connection, _ = listener.accept()
        connection.settimeout(5)
        assert connection.recv(4096).startswith(b"BYE ")
        connection.close()
        a.wait("hung_up", 40)


# --- what kills ---


def test_killers(server):
    killers = [
        b"v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nm=x 1 UDP \xb1\r\n", b"\x00" * 400, b"v=0\r\n" + b"m=" * 3000,
        b"v=0\nm=audio 1 RTP/AVP " + b"0 " * 5000 + b"\n", b"v=0\r\nc=IN IP4 " + b"9" * 9000 + b"\r\n",
    ]
    with server.peer() as p, server.peer() as watcher:
        for body in killers:
            for content in ("application/sdp", "multipart/mixed;boundary=a", "multipart/mixed;boundary=" + "a" * 300):
                Call(p).send("INVITE", body=body, content=content)
                assert watcher.options(0.5) == 200
        for text in (b"OPTIONS sip:a@b;transportX SIP/2.0", b"OPTIONS sip:%@% SIP/2.0", b"OPTIONS sip:a@b?Route=%3csip:c%3e SIP/2.0"):
            p.send(Call(p).build("OPTIONS", cseq=1).replace(re.match(rb"[^\r]*", Call(p).build("OPTIONS", cseq=1))[0], text, 1))
            assert watcher.options(0.5) == 200
        long = Call(p).build("OPTIONS", cseq=1, headers=["X-Long: " + "a" * 60000])
        p.send(long)
        many = Call(p).build("OPTIONS", cseq=1, headers=["X-M: a"] * 5000)
        p.send(many)
        assert watcher.options(0.5) == 200
    for length in ("2147483648", "4294967296", "18446744073709551616", "-1", "99999999"):
        with server.peer("tcp") as t, server.peer() as watcher:
            text = Call(t).build("INVITE", cseq=1, body=offer())
            t.send(re.sub(rb"Content-Length: \d+", b"Content-Length: " + length.encode(), text))
            assert watcher.options(0.5) == 200
