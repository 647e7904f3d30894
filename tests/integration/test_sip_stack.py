"""Calls through the SIP stack alone: transactions, dialogs, offers, what is refused."""
import re
import subprocess
import time

import pytest
from sip_answerer import PORTS, PROGRAM, answering, needs_program, offer, start
from sip_peer import Call, Peer, token

MANY_CODECS = (18, 0, 8)

pytestmark = needs_program


@pytest.fixture(scope="module")
def server():
    with answering() as a:
        yield a


@pytest.fixture
def peer(server):
    server.forget()
    with server.peer() as p:
        yield p


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
    assert refused(peer, headers=["Require: 100rel, x-none"]).get("Unsupported") == "x-none"
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
    assert "INVITE" in reply.get("Allow") and reply.get("Accept") == "application/sdp" and reply.get("Supported") == "timer, 100rel"
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
