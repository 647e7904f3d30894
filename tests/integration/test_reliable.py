"""Reliable provisional responses (RFC 3262), for a caller who requires them."""
import time

import pytest
from sip_answerer import answering, needs_program, offer
from sip_peer import sdp

pytestmark = needs_program
REQUIRED = ["Require: 100rel"]


@pytest.fixture(scope="module")
def server():
    with answering("-r", "-w", "700") as a:
        yield a


@pytest.fixture(params=["udp", "tcp"])
def peer(request, server):
    server.forget()
    with server.peer(request.param) as p:
        yield p


def ringing(call, timeout=2.0):
    reply = call.peer.wait(lambda m: m.is_reply and call.mine(m) and m.status == 180, timeout, "180")
    call.remote_tag = reply.to_tag()
    return reply


def prack(call, ring, rseq=None, cseq=None, method="INVITE"):
    rack = f"RAck: {rseq or ring.get('RSeq')} {cseq or call.invite_cseq} {method}"
    return call.request("PRACK", headers=[rack])


def test_prack(server, peer):
    call = peer.invite(body=offer(), headers=REQUIRED)
    ring = ringing(call)
    assert ring.get("Require") == "100rel" and 0 < int(ring.get("RSeq")) < 2**31
    assert ring.all("RSeq") == [ring.get("RSeq")] and "PRACK" in ring.get("Allow") and ring.get("Contact")
    assert prack(call, ring, rseq=int(ring.get("RSeq")) + 1).status == 481
    assert prack(call, ring, cseq=call.invite_cseq + 1).status == 481
    assert prack(call, ring, method="UPDATE").status == 481
    assert call.request("PRACK").status == 400
    assert prack(call, ring).status == 200
    assert prack(call, ring).status == 481
    reply = call.answered()
    assert "100rel" in reply.get("Supported") and "PRACK" in reply.get("Allow")
    server.wait("confirmed")
    assert prack(call, ring).status == 481
    assert call.bye().status == 200


def test_repeated_until_the_answer(server, peer):
    """No PRACK: the 180 comes again after T1, the 200 comes all the same, and a late PRACK is fine."""
    call = peer.invite(body=offer(), headers=REQUIRED)
    first, began = ringing(call), time.monotonic()
    second = ringing(call)
    assert 0.4 < time.monotonic() - began < 0.7 and second.get("RSeq") == first.get("RSeq")
    call.answered()
    assert prack(call, first).status == 200
    peer.inbox.clear()
    assert peer.nothing(1.2)
    assert call.bye().status == 200


def test_not_asked_for(server, peer):
    call = peer.invite(body=offer(), headers=["Supported: 100rel"])
    ring = ringing(call)
    assert ring.get("RSeq") is None and ring.get("Require") is None
    call.answered()
    assert call.request("PRACK", headers=[f"RAck: 1 {call.invite_cseq} INVITE"]).status == 481
    assert call.bye().status == 200


def test_delayed_offer(server, peer):
    """The first reliable response would have to bring our offer: there is none before the 200."""
    call = peer.invite(headers=REQUIRED)
    reply = call.reply("INVITE", least=180)
    assert reply.status == 200
    call.ack(sdp("127.0.0.1", 4000))
    server.wait("confirmed")
    assert call.bye().status == 200


@pytest.mark.parametrize("order", ["prack first", "cancel first"])
def test_cancel_and_prack(server, peer, order):
    call = peer.invite(body=offer(), headers=REQUIRED)
    ring = ringing(call)
    rack = [f"RAck: {ring.get('RSeq')} {call.invite_cseq} INVITE"]
    if order == "prack first":
        call.send("PRACK", headers=rack)
        call.cancel()
    else:
        call.cancel()
        call.send("PRACK", headers=rack)
    acknowledged = call.reply("PRACK")
    assert acknowledged.status == (200 if order == "prack first" else 481)
    assert call.reply("INVITE").status == 487
    server.wait("ended")
    time.sleep(0.8)
    assert not [m for m in peer.inbox if m.status == 180]


def test_never_acknowledged():
    with answering("-r", "-n") as a, a.peer("tcp") as p:
        began = time.monotonic()
        call = p.invite(body=offer(), headers=REQUIRED)
        reply = call.reply("INVITE", timeout=40)
        assert reply.status == 504 and 31 < time.monotonic() - began < 34
        assert "PRACK" in reply.get("Warning")
        assert a.wait("ended") == "no PRACK"
        assert 6 <= len([m for m in p.inbox if m.status == 180]) <= 8
