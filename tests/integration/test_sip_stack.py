"""The SIP stack alone (tests/bench/sip-worker/sip_answer.c answers every call), without agent and media."""
import contextlib
import itertools
import os
import pathlib
import re
import socket
import subprocess
import time

import pytest
from sip_peer import Call, Peer, sdp, token

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HANDBACK_BIN", ROOT / "build/bin"))
PROGRAM = pathlib.Path(os.environ.get("SIP_ANSWER", BIN.parent / "tests/bench/sip-worker/sip_answer"))
PORTS = itertools.count(35200)
MANY_CODECS = (18, 0, 8)

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built: make bench-bins")


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


@pytest.fixture(scope="module")
def server():
    with answering() as a:
        yield a


@pytest.fixture
def peer(server):
    server.forget()
    with server.peer() as p:
        yield p


def offer(port=4000, **kwargs):
    return sdp(kwargs.pop("address", "127.0.0.1"), port, **kwargs)


def start(p, **kwargs):
    call = p.invite(body=kwargs.pop("body", offer()), **kwargs)
    call.answered()
    return call


def o_version(reply):
    return int(re.search(rb"^o=\S+ \d+ (\d+)", reply.body, re.M)[1])


# --- a call ---


@pytest.mark.parametrize("transport,address", [("udp", "127.0.0.1"), ("tcp", "127.0.0.1"), ("udp", "::1"), ("tcp", "::1")])
def test_call(server, transport, address):
    server.forget()
    with server.peer(transport, address) as p:
        call = p.invite(body=offer(address=address), transfer="t-1")
        assert p.wait(lambda m: m.is_reply and call.mine(m)).status == 100
        reply = call.answered()
        assert server.wait("invite") == "t-1"
        server.wait("confirmed")
        assert reply.get("Contact") and "application/sdp" == reply.get("Content-Type")
        assert b"m=audio 3" in reply.body and b"telephone-event" in reply.body
        assert call.bye().status == 200
        server.wait("ended")


def test_context_headers(server, peer):
    call = peer.invite(body=offer(), headers=[
        "X-GA-iv-userName: Jane Doe", "x-ga-IV-accountNumber: 3434", "X-GA-iv-userName: John Doe", "X-GA-iv-: none",
        "X-Custom-CaSe: \xe4\xf6".encode("latin-1").decode("latin-1"), "User-to-User: 56a3;encoding=hex",
        "X-Folded: a\r\n  b", "Subject: no"])
    call.answered()
    assert server.wait("variables") == '{"accountNumber":"3434","userName":"John Doe"}'
    headers = server.wait("headers")
    assert '"User-to-User":"56a3;encoding=hex"' in headers and '"X-Folded":"a b"' in headers
    assert '"X-Custom-CaSe"' in headers and "Subject" not in headers
    call.bye()


def test_retransmissions(server, peer):
    call = peer.invite(body=offer())
    first = call.reply("INVITE")
    again = peer.wait(lambda m: m.status == 200, 2, "second 200")
    assert again.raw == first.raw
    peer.send(call.last)
    assert peer.wait(lambda m: m.status == 200, 0.4, "200 for the INVITE's copy").raw == first.raw
    call.ack()
    call.ack()
    server.wait("confirmed")
    peer.inbox.clear()
    assert peer.nothing(1.2), "200 came after the ACK"
    call.send("BYE")
    bye = call.last
    assert call.reply("BYE").status == 200
    peer.send(bye)
    assert call.reply("BYE").status == 200, "the BYE's copy"
    with pytest.raises(AssertionError):
        server.wait("confirmed", 0.3)


def test_lost_ack():
    with answering() as a, a.peer() as p:
        call = p.invite(body=offer())
        call.reply("INVITE")
        bye = call.expect("BYE", 40)
        assert "cause=408" in bye.get("Reason")
        a.wait("ended")
        assert int(a.stop()["legs"]) == 0


# --- CANCEL ---


def test_cancel():
    with answering("-n", "-r") as a, a.peer() as p:
        call = p.invite(body=offer())
        assert call.reply("INVITE", least=180).status == 180
        call.cancel()
        assert p.wait(lambda m: m.is_reply and m.cseq()[1] == "CANCEL").status == 200
        assert call.reply("INVITE").status == 487
        a.wait("ended")
        call.cancel()
        assert p.wait(lambda m: m.is_reply and m.cseq()[1] == "CANCEL").status in (200, 481)


def test_cancel_after_the_answer(server, peer):
    call = peer.invite(body=offer())
    call.reply("INVITE")
    call.cancel()
    assert peer.wait(lambda m: m.is_reply and m.cseq()[1] == "CANCEL").status == 481
    call.ack()
    server.wait("confirmed")
    assert call.bye().status == 200


def test_bye_before_the_answer():
    with answering("-n", "-r") as a, a.peer() as p:
        call = p.invite(body=offer())
        call.reply("INVITE", least=180)
        invite_cseq = call.invite_cseq
        assert call.bye().status == 200
        assert call.reply("INVITE", cseq=invite_cseq).status == 487
        a.wait("ended")


# --- our BYE ---


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_our_bye(transport):
    with answering("-b", "10") as a, a.peer(transport) as p:
        call = p.invite(body=offer())
        call.answered()
        bye = call.expect("BYE")
        assert bye.get("Reason") == 'Q.850;cause=16;text="Normal call clearing"'
        assert bye.start == f"BYE sip:caller@127.0.0.1:{p.port};transport={transport} SIP/2.0"
        a.wait("hung_up")
        assert int(a.stop()["legs"]) == 0


def test_our_bye_waits_for_the_ack():
    with answering("-b", "0") as a, a.peer() as p:
        call = p.invite(body=offer())
        call.reply("INVITE")
        assert not [m for m in p.inbox if m.method == "BYE"]
        time.sleep(0.3)
        call.ack()
        call.expect("BYE")
        a.wait("hung_up")


def test_byes_cross():
    with answering("-b", "10") as a, a.peer() as p:
        call = p.invite(body=offer())
        call.answered()
        bye = call.expect("BYE", answer=None)
        assert call.bye().status == 200
        call.answer(bye, 481)
        a.wait("hung_up")
        assert int(a.stop()["legs"]) == 0


@pytest.mark.parametrize("loose", [True, False])
def test_route_set(loose):
    with answering("-b", "10") as a, a.peer() as p:
        lr = ";lr" if loose else ""
        hops = [f"<sip:127.0.0.1:{p.port}{lr}>", "<sip:second.example.com;lr>"]
        call = p.invite(body=offer(), headers=[f"Record-Route: {h}" for h in hops])
        reply = call.answered()
        assert [h.strip() for v in reply.all("Record-Route") for h in v.split(",")] == hops
        bye = call.expect("BYE")
        routes = [h.strip() for v in bye.all("Route") for h in v.split(",")]
        target = f"sip:caller@127.0.0.1:{p.port};transport=udp"
        if loose:
            assert bye.start == f"BYE {target} SIP/2.0" and routes == hops
        else:
            assert bye.start == f"BYE sip:127.0.0.1:{p.port} SIP/2.0" and routes == [hops[1], f"<{target}>"]


def test_foreign_contact_is_not_dialled():
    """A Contact or route elsewhere: the BYE goes back to where the call came from."""
    with answering("-b", "10") as a, a.peer() as p:
        call = Call(p)
        call.cseq, call.invite_cseq, call.branch = 1, 1, token()
        text = call.build("INVITE", cseq=1, branch=call.branch, body=offer()).replace(
            f"Contact: <sip:caller@127.0.0.1:{p.port}".encode(), b"Contact: <sip:caller@198.51.100.7:5070")
        p.send(text)
        call.answered()
        assert call.expect("BYE").start.startswith("BYE sip:caller@198.51.100.7:5070")


# --- offers ---


def test_hold_and_resume(server, peer):
    call = start(peer)
    versions = []
    for n, (direction, ours) in enumerate([("sendonly", b"recvonly"), ("inactive", b"inactive"), ("sendrecv", b"sendrecv")]):
        call.send("INVITE", body=offer(direction=direction, version=n + 2))
        reply = call.answered()
        assert b"a=" + ours in reply.body
        versions.append(o_version(reply))
        assert server.wait("changed").endswith({"sendonly": "direction=2,mux=0", "inactive": "direction=3,mux=0"}.get(
            direction, "direction=0,mux=0"))
    assert versions == sorted(set(versions))
    call.send("INVITE", body=offer(direction="sendrecv", version=5))
    assert o_version(call.answered()) == versions[-1], "nothing changed"
    call.send("INVITE", body=offer(address="0.0.0.0", version=6))
    assert b"a=recvonly" in call.answered().body
    server.wait("changed")
    assert "0.0.0.0:0" in server.wait("changed")
    call.bye()


def test_change_of_codec_and_address(server, peer):
    call = start(peer)
    call.send("INVITE", body=offer(port=5000, address="127.0.0.9", codecs=(8,), extra=("a=ptime:30",)))
    reply = call.answered()
    assert b"PCMA/8000" in reply.body and b"PCMU" not in reply.body and b"a=ptime:30" in reply.body
    assert server.wait("changed").startswith("127.0.0.9:5000,codec=1,pt=8,dtmf=101,ptime=30")
    call.bye()


def test_refused_reinvite_changes_nothing(server, peer):
    call = start(peer)
    call.send("INVITE", body=offer(codecs=(18,)))
    assert call.reply("INVITE").status == 488
    assert call.bye().status == 200


def test_reinvite_without_offer(server, peer):
    call = start(peer)
    call.send("INVITE")
    reply = call.answered(ack=False)
    assert b"PCMU" in reply.body and b"PCMA" in reply.body
    call.ack(body=offer(port=6000))
    assert server.wait("changed").startswith("127.0.0.1:6000")
    call.bye()


def test_update(server, peer):
    call = start(peer)
    reply = call.request("UPDATE", body=offer(direction="sendonly", version=2))
    assert reply.status == 200 and b"a=recvonly" in reply.body
    server.wait("changed")
    assert call.request("UPDATE").status == 200
    call.bye()


def test_glare(server, peer):
    call = start(peer)
    call.send("INVITE", body=offer(version=2))
    call.reply("INVITE")
    first_cseq, first_branch = call.invite_cseq, call.branch
    call.send("INVITE", body=offer(version=3))
    assert call.reply("INVITE").status == 491
    assert call.request("UPDATE", body=offer(version=3)).status == 491
    call.invite_cseq, call.branch = first_cseq, first_branch
    call.ack()
    call.bye()


def test_reinvite_before_the_answer():
    with answering("-n", "-r") as a, a.peer() as p:
        call = p.invite(body=offer())
        call.reply("INVITE", least=180)
        call.send("INVITE", body=offer())
        reply = call.reply("INVITE")
        assert reply.status == 500 and reply.get("Retry-After")


def test_delayed_offer(server, peer):
    call = peer.invite()
    reply = call.reply("INVITE")
    assert reply.status == 200 and b"PCMU" in reply.body and b"PCMA" in reply.body
    call.ack(body=offer(port=7000, codecs=(8,)))
    assert server.wait("confirmed").startswith("127.0.0.1:7000,codec=1")
    assert call.bye().status == 200


@pytest.mark.parametrize("answer", [b"", "g729"])
def test_delayed_offer_without_answer(server, peer, answer):
    call = peer.invite()
    call.reply("INVITE")
    call.ack(body=offer(codecs=(18,)) if answer else b"")
    assert "cause=488" in call.expect("BYE").get("Reason")
    server.wait("ended")


def test_one_codec_and_refused_lines(server, peer):
    body = offer(codecs=MANY_CODECS).replace(b"m=audio", b"m=video 5000 RTP/AVP 96\r\nm=audio", 1) + b"m=application 9 DTLS/SCTP 5000\r\n"
    reply = peer.invite(body=body).answered()
    lines = re.findall(rb"^m=(.*)\r$", reply.body, re.M)
    assert lines[0] == b"video 0 RTP/AVP 96" and re.fullmatch(rb"audio \d+ RTP/AVP 0 101", lines[1])
    assert lines[2] == b"application 0 DTLS/SCTP 5000"


def test_multipart(server, peer):
    part = b"--xyz\r\nContent-Type: application/sdp\r\n\r\n" + offer() + b"\r\n--xyz\r\nContent-Type: text/plain\r\n\r\nhello\r\n--xyz--\r\n"
    call = Call(peer)
    call.send("INVITE", body=part, content='multipart/mixed;boundary="xyz"')
    assert b"m=audio" in call.answered().body
    call.bye()


# --- refusals ---


def refused(p, **kwargs):
    return p.invite(**{"body": offer(), **kwargs}).reply("INVITE")


def test_offers_that_are_refused(server, peer):
    for body, status in [
        (offer(codecs=(18,)), 488), (offer(address="media.example.com"), 488), (offer().replace(b"RTP/AVP", b"RTP/SAVP"), 488),
        (offer(port=0), 488), (offer(address="239.1.1.1"), 488), (b"v=0\r\nm=x 1 UDP \xb1\r\n", 488), (b"hello", 400),
        (b"v=0\r\n", 400), (b"v=0\r\n" + b"m=audio 1 RTP/AVP 0\r\n" * 17, 400), (b"v=0\r\n" + b"a=x\r\n" * 2000, 400),
    ]:
        reply = refused(peer, body=body)
        assert reply.status == status, body
        assert reply.get("Warning") and reply.get("Reason")


def test_headers_that_are_refused(server, peer):
    assert refused(peer, headers=["Require: 100rel, x-none"]).get("Unsupported") == "100rel, x-none"
    assert refused(peer, headers=["X-ASAPP-CallTransferId: a", "x-asapp-calltransferid: b"]).status == 400
    call = Call(peer)
    call.send("INVITE", body=b"hello", content="text/plain")
    reply = call.reply("INVITE")
    assert reply.status == 415 and reply.get("Accept") == "application/sdp"
    call = Call(peer)
    call.cseq = call.invite_cseq = 1
    call.branch = token()
    peer.send(call.build("INVITE", cseq=1, branch=call.branch, body=offer()).replace(b"Max-Forwards: 70", b"Max-Forwards: 0"))
    assert call.reply("INVITE").status == 483


def test_request_uris(server, peer):
    for uri, status in [("sip:a@127.0.0.1?Route=%3Csip:b%3E", 400), ("mailto:a@127.0.0.1", 416), ("nobody:knows", 416)]:
        call = Call(peer)
        call.target = uri
        call.invite(body=offer())
        assert call.reply("INVITE").status == status
    assert Call(peer).request("OPTIONS", headers=["Require: x-none"]).get("Unsupported") == "x-none"


def test_merged_request(server, peer):
    """The same INVITE by two ways (RFC 3261 8.2.2.2)."""
    call = peer.invite(body=offer())
    call.answered()
    peer.send(call.build("INVITE", cseq=1, body=offer(), to_tag=False))
    assert peer.wait(lambda m: m.is_reply and m.status >= 300).status == 482
    call.bye()


@pytest.mark.parametrize("method,status", [("REFER", 405), ("REGISTER", 405), ("SUBSCRIBE", 405), ("MESSAGE", 405), ("PUBLISH", 405),
                                           ("BYE", 481), ("UPDATE", 481), ("INFO", 481), ("FROBNICATE", 501)])
def test_methods(server, peer, method, status):
    call = Call(peer)
    reply = call.request(method)
    assert reply.status == status
    assert (status != 405) or "INVITE" in reply.get("Allow")


def test_methods_in_a_dialog(server, peer):
    call = start(peer)
    assert call.request("REFER", headers=["Refer-To: <sip:x@127.0.0.1>"]).status == 405
    assert call.request("FROBNICATE").status == 501
    assert call.request("OPTIONS").status == 200
    call.cseq -= 2
    assert call.request("INFO").status == 500, "CSeq out of order"
    call.cseq += 5
    assert call.bye().status == 200
    assert call.bye().status == 481


def test_options(server, peer):
    call = Call(peer)
    reply = call.request("OPTIONS")
    assert reply.status == 200
    assert "INVITE" in reply.get("Allow") and reply.get("Accept") == "application/sdp" and reply.get("Supported") == "timer"
    assert "/" not in reply.get("Server")


def test_digits(server, peer):
    call = start(peer)
    for body, content, said in [(b"Signal=5\r\nDuration=200\r\n", "application/dtmf-relay", "5"), (b"#", "application/dtmf", "#"),
                                (b"Signal= 11\r\n", "application/dtmf-relay", "#")]:
        assert call.request("INFO", body=body, content=content).status == 200
        assert server.wait("digit") == said
    assert call.request("INFO", body=b"Signal=xx", content="application/dtmf-relay").status == 400
    assert call.request("INFO", body=b"?", content="text/plain").status == 415
    assert call.request("INFO").status == 200
    call.bye()


def test_session_timer(server, peer):
    reply = refused(peer, headers=["Supported: timer", "Session-Expires: 60"])
    assert reply.status == 422 and reply.get("Min-SE") == "90"
    call = peer.invite(body=offer(), headers=["Supported: timer", "Session-Expires: 1800"])
    reply = call.answered()
    assert reply.get("Session-Expires") == "1800;refresher=uac" and reply.get("Require") == "timer"
    call.bye()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_wildcard_listener(transport):
    """Contact says the address that the peer reaches us at."""
    port = next(PORTS)
    process = subprocess.Popen([PROGRAM, "-q", "-b", "10", f"{transport}:0.0.0.0:{port}"], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        with Peer("127.0.0.6", ("127.0.0.1", port), transport) as p:
            call = p.invite(body=offer())
            assert f"<sip:127.0.0.1:{port}" in call.answered().get("Contact")
            call.expect("BYE")
    finally:
        process.terminate()
        assert process.wait(10) == 0


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
