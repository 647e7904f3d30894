"""Session timers (RFC 4028) in both roles.  Intervals of a few seconds, which no configuration allows."""
import time

import pytest
from sip_answerer import answering, needs_program, offer
from sip_peer import sdp

pytestmark = needs_program
UPDATE = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"
ANSWER = sdp("127.0.0.1", 4002, dtmf=None)


@pytest.fixture(scope="module")
def server():
    with answering("-s", "2", "-m", "1") as a:
        yield a


@pytest.fixture
def peer(request, server):
    server.forget()
    with server.peer(getattr(request, "param", "udp")) as p:
        yield p


both_transports = pytest.mark.parametrize("peer", ["udp", "tcp"], indirect=True)


def start(peer, *headers):
    call = peer.invite(body=offer(), headers=list(headers))
    reply = call.answered()
    return call, reply.get("Session-Expires"), reply.get("Require")


def ended(server, call, cause="cause=102"):
    assert cause in call.expect("BYE", timeout=6).get("Reason")
    server.wait("ended")


@both_transports
def test_peer_without_timers_and_update(server, peer):
    """We refresh by re-INVITE; its answer may move the session; a 200 that comes again gets its ACK again."""
    call, expires, require = start(peer)
    assert expires == "2;refresher=uas" and require is None
    began = time.monotonic()
    for _ in range(2):
        again = call.expect("INVITE", answer=None, timeout=3)
        assert again.get("Session-Expires") == "2;refresher=uac" and "timer" in again.get("Supported")
        assert again.get("Contact") and b"m=audio" in again.body
        call.answer(again, 200, [f"Contact: <sip:caller@127.0.0.1:{peer.port};transport={peer.transport}>"], ANSWER)
        ack = call.expect("ACK", answer=None)
        assert ack.cseq()[0] == again.cseq()[0]
        assert server.wait("changed").startswith("127.0.0.1:4002,codec=0,pt=0,dtmf=-1")
        if peer.transport == "udp":
            call.answer(again, 200, [], ANSWER)
            assert call.expect("ACK", answer=None).cseq() == ack.cseq()
    assert 1.5 < time.monotonic() - began < 3
    assert call.bye().status == 200


def test_peer_takes_update(server, peer):
    call, expires, _ = start(peer, UPDATE)
    assert expires == "2;refresher=uas"
    for _ in range(2):
        update = call.expect("UPDATE", timeout=3)
        assert not update.body and update.get("Session-Expires") == "2;refresher=uac"
    assert call.bye().status == 200


@pytest.mark.parametrize("asked,answered", [("4;refresher=uas", "4;refresher=uas"), ("4", "4;refresher=uac"),
                                            ("4;refresher=uac", "4;refresher=uac")])
def test_who_refreshes(server, peer, asked, answered):
    call, expires, require = start(peer, "Supported: timer", f"Session-Expires: {asked}", UPDATE)
    assert expires == answered
    assert require == ("timer" if "uac" in answered else None)
    if "uas" in answered:
        began = time.monotonic()
        call.expect("UPDATE", timeout=3)
        assert 1.5 < time.monotonic() - began < 2.6
    assert call.bye().status == 200


def test_proxy_asks_for_a_peer_without_timers(server, peer):
    call, expires, require = start(peer, "Session-Expires: 4", UPDATE)
    assert expires == "4;refresher=uas" and require is None
    assert call.bye().status == 200


def test_min_se(server, peer):
    call, expires, _ = start(peer, "Min-SE: 7")
    assert expires == "7;refresher=uas"
    assert call.bye().status == 200
    call = peer.invite(body=offer(), headers=["Supported: timer", "Session-Expires: 0"])
    reply = call.reply("INVITE")
    assert reply.status == 422 and reply.get("Min-SE") == "1"


@both_transports
def test_peer_does_not_refresh(server, peer):
    began = time.monotonic()
    call, *_ = start(peer, "Supported: timer", "Session-Expires: 3;refresher=uac")
    ended(server, call)
    assert 1.5 < time.monotonic() - began < 3.5


def test_peer_refreshes(server, peer):
    call, *_ = start(peer, "Supported: timer", "Session-Expires: 3;refresher=uac")
    for _ in range(2):
        time.sleep(1.2)
        reply = call.request("UPDATE", headers=["Supported: timer", "Session-Expires: 3;refresher=uac"])
        assert reply.status == 200 and reply.get("Session-Expires") == "3;refresher=uac"
    assert call.request("UPDATE", headers=["Supported: timer", "Session-Expires: 0"]).status == 422
    ended(server, call)


def test_peer_takes_over(server, peer):
    """The 200 to our UPDATE makes the peer the refresher."""
    call, *_ = start(peer, UPDATE)
    update = call.expect("UPDATE", answer=None, timeout=3)
    call.answer(update, 200, ["Session-Expires: 3;refresher=uas", "Require: timer"])
    began = time.monotonic()
    ended(server, call)
    assert 1.5 < time.monotonic() - began < 3.5 and not [m for m in peer.inbox if m.method == "UPDATE"]


def test_update_not_taken(server, peer):
    call, *_ = start(peer, UPDATE)
    call.expect("UPDATE", timeout=3, answer=405)
    again = call.expect("INVITE", answer=None, timeout=0.5)
    call.answer(again, 488)
    call.expect("ACK", answer=None)
    call.expect("INVITE", answer=None, timeout=3)
    assert call.bye().status == 200


def test_interval_too_small_for_the_peer(server, peer):
    call, *_ = start(peer, UPDATE)
    call.expect("UPDATE", timeout=3, answer=422, headers=["Min-SE: 4"])
    update = call.expect("UPDATE", timeout=0.5)
    assert update.get("Session-Expires") == "4;refresher=uac" and update.get("Min-SE") == "4"
    began = time.monotonic()
    assert call.expect("UPDATE", timeout=4).get("Session-Expires") == "4;refresher=uac"
    assert time.monotonic() - began > 1.5
    assert call.bye().status == 200


@pytest.mark.parametrize("status", [408, 481])
def test_call_is_gone_at_the_peer(server, peer, status):
    call, *_ = start(peer, UPDATE)
    call.expect("UPDATE", timeout=3, answer=status)
    ended(server, call)


def test_refresh_not_answered(server, peer):
    began = time.monotonic()
    call, *_ = start(peer, UPDATE)
    call.expect("UPDATE", timeout=3, answer=None)
    ended(server, call)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("status", [401, 407, 403, 500])
def test_refusals_end_nothing(server, peer, status):
    """The peer has the call; and credentials are for REFER and INVITE alone."""
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n"' if status == 401 else 'Proxy-Authenticate: Digest realm="r", nonce="n"'
    call, *_ = start(peer, UPDATE, "Supported: timer", "Session-Expires: 6;refresher=uas")
    call.expect("UPDATE", timeout=5, answer=status, headers=[challenge])
    update = call.expect("UPDATE", timeout=5)
    assert not update.get("Authorization") and not update.get("Proxy-Authorization")
    assert call.bye().status == 200


def test_glare(server, peer):
    call, *_ = start(peer)
    ours = call.expect("INVITE", answer=None, timeout=3)
    call.invite(body=offer())
    assert call.reply("INVITE").status == 491
    call.answer(ours, 491)
    call.expect("ACK", answer=None)
    call.invite(body=offer())
    assert call.answered().status == 200
    began = time.monotonic()
    call.expect("INVITE", answer=None, timeout=3)
    assert time.monotonic() - began < 2.2
    assert call.bye().status == 200


@both_transports
def test_end_while_refreshing(server, peer):
    for headers, method in ((UPDATE,), "UPDATE"), ((), "INVITE"):
        call, *_ = start(peer, *headers)
        request = call.expect(method, answer=None, timeout=3)
        assert call.bye().status == 200
        server.wait("ended")
        call.answer(request, 481)
    assert peer.options() == 200
