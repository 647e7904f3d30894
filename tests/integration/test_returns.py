"""Calls handed back by REFER and by INVITE, in API mode and in header mode, and what may go wrong."""
import time

import pytest
from caller import OUTPUT, Caller
from handback import eventually
from rtp_peer import Rtp
from sip_peer import Peer, sdp, token

FRAGMENT = "message/sipfrag;version=2.0"


def returns(**extra):
    return {"type": "REFER", "refer_timeout": "2s", "refer_ring_timeout": "4s", "ring_timeout": "2s", **extra}


@pytest.fixture
def agent_system(fresh):
    """on_failure: agent."""
    system = fresh()
    system.config["accounts"] = [system.account(returns=returns(on_failure="agent", uri="sip:static@sbc.invalid"))]
    return system.start()


@pytest.fixture(scope="module")
def returning():
    from handback import System
    system = System()
    system.config["accounts"] = [system.account(returns=returns(uri="sip:static@sbc.invalid"))]
    try:
        yield system.start()
        system.stop()
    finally:
        system.destroy()


def notify(call, text, state="active;expires=60", body=True):
    """A NOTIFY of the REFER's progress; its answer's status."""
    extra = ["Event: refer", f"Subscription-State: {state}"]
    reply = call.request("NOTIFY", headers=extra, body=text.encode() if body else b"", content=FRAGMENT)
    return reply.status


def states(system, id):
    return [e["info"]["state"] for e in system.timeline(id) if e["type"] == "return"]


def ask(system, uri="sip:user@sbc.invalid;User-to-User=UUI-12345", type="REFER", **fields):
    return system.create(sip={"returnURI": uri, "returnTransferType": type}, **fields)


# --- REFER -------------------------------------------------------------------------------------


def test_refer_goes_out_byte_for_byte(returning):
    uri = "sip:u%3Aser@sbc.invalid:5070;User-to-User=UUI-%0a12345;x?X-A=b%20c&X-D=e"
    id = ask(returning, uri)
    with Caller(returning) as caller:
        caller.talk(id)
        caller.press("1")
        refer = caller.call.expect("REFER", answer=202)
        # durable before it left
        assert returning.transfer(id)["outputContext"] == OUTPUT
        assert refer.get("Refer-To") == f"<{uri}>"
        assert refer.get("Referred-By").startswith("<sip:agent@")
        assert notify(caller.call, "SIP/2.0 100 Trying\r\n") == 200
        assert notify(caller.call, "SIP/2.0 180 Ringing\r\n") == 200
        assert notify(caller.call, "SIP/2.0 200 OK\r\n", "terminated;reason=noresource") == 200
        caller.handed_back()
        assert notify(caller.call, "SIP/2.0 200 OK\r\n", "terminated") == 481
    returning.entry(id, "ended")
    assert states(returning, id) == ["sent", "accepted", "trying", "ringing", "answered"]


def test_the_caller_hears_a_tone_meanwhile(returning):
    id = ask(returning)
    with Caller(returning) as caller:
        caller.talk(id)
        caller.press("1")
        caller.call.expect("REFER", answer=202)
        before = caller.rtp.loud()
        eventually(lambda: caller.rtp.loud() > before, 3, "the comfort tone")
        notify(caller.call, "SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
        caller.handed_back()


@pytest.mark.parametrize("status", [403, 405, 486, 503, 603])
def test_refer_refused(returning, status):
    id = ask(returning)
    with Caller(returning) as caller:
        caller.talk(id)
        caller.press("1")
        caller.call.expect("REFER", answer=status)
        caller.handed_back()
    returning.entry(id, "ended")
    failed = [e["info"] for e in returning.timeline(id) if e["type"] == "return"][-1]
    assert failed["state"] == "failed" and failed["status"] == status
    assert returning.transfer(id)["outputContext"] == OUTPUT


def test_transfer_fails_after_the_202(returning):
    id = ask(returning)
    with Caller(returning) as caller:
        caller.talk(id)
        caller.press("1")
        caller.call.expect("REFER", answer=202)
        notify(caller.call, "SIP/2.0 100 Trying\r\n")
        notify(caller.call, "SIP/2.0 486 Busy Here\r\n", "terminated;reason=noresource")
        caller.handed_back()
    returning.entry(id, "ended")
    assert states(returning, id) == ["sent", "accepted", "trying", "failed"]


def test_silence_after_the_202(returning):
    id = ask(returning)
    with Caller(returning) as caller:
        caller.talk(id)
        caller.press("1")
        caller.call.expect("REFER", answer=202)
        began = time.monotonic()
        caller.handed_back(timeout=8)
        assert time.monotonic() - began > 1.5
    returning.entry(id, "ended")
    assert states(returning, id) == ["sent", "accepted", "unconfirmed"]


def test_peer_hangs_up_instead_of_notifying(returning):
    id = ask(returning)
    with Caller(returning) as caller:
        caller.talk(id)
        caller.press("1")
        caller.call.expect("REFER", answer=202)
        assert caller.call.bye().status == 200
    returning.entry(id, "ended")
    assert states(returning, id) == ["sent", "accepted", "unconfirmed"]
    assert returning.transfer(id)["outputContext"] == OUTPUT


def test_agent_goes_on_after_a_failure(agent_system):
    system = agent_system
    id = ask(system)
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("1")
        caller.call.expect("REFER", answer=603)
        first = system.transfer(id)
        assert first["outputContext"]["transferType"] == "SYSTEM"
        eventually(lambda: "failed" in states(system, id), 3, "the failure is told")
        time.sleep(0.5)
        caller.press("0")  # now to an agent: a second hand-back replaces the first
        caller.call.expect("REFER", answer=202, timeout=8)
        second = system.transfer(id)
        assert second["status"] == "COMPLETED" and second["outputContext"]["transferType"] == "AGENT"
        notify(caller.call, "SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
        caller.handed_back()


def test_hang_up_after_a_failure_leaves_the_outcome(agent_system):
    system = agent_system
    id = ask(system)
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("1")
        caller.call.expect("REFER", answer=603)
        eventually(lambda: "failed" in states(system, id), 3, "the failure is told")
        assert caller.call.bye().status == 200
    system.entry(id, "ended")
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_header_mode_refer(returning):
    """No X-ASAPP header: the static URI, and the context in it."""
    headers = ["X-GA-extConversationId: conv-12345", "X-GA-customerId: c9", "X-GA-taskName: menu", "X-GA-iv-name: Ada"]
    with Caller(returning) as caller:
        caller.talk(headers=headers)
        caller.press("21")
        refer = caller.call.expect("REFER", answer=202)
        assert refer.get("Refer-To") == (
            "<sip:static@sbc.invalid?X-GA-extConId=conv-12345&X-GA-transfer=SYSTEM&X-GA-tv-next_action=schedule_callback"
            "&X-GA-tv-priority=high&X-GA-rv-account_balance=1250.00>")
        transfer = returning.transfer(caller.call.call_id)
        assert transfer["externalConversationId"] == "conv-12345"
        assert transfer["inputContext"]["inputVariables"] == {"name": "Ada", "customerId": "c9"}
        notify(caller.call, "SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
        caller.handed_back()


def test_header_mode_bye_carries_the_context(fresh):
    system = fresh().start()
    with Caller(system) as caller:
        caller.talk(headers=["X-GA-extConversationId: conv-1"])
        caller.press("1")
        bye = caller.handed_back()
    assert bye.get("X-GA-extConId") == "conv-1" and bye.get("X-GA-transfer") == "SYSTEM"
    assert bye.get("X-GA-tv-next_action") == "schedule_callback"


# --- INVITE ------------------------------------------------------------------------------------


class FarEnd:
    """Where the call is returned to: answers one INVITE."""

    def __init__(self, system, host=20):
        self.peer = Peer(system.host(host), system.sip)
        self.rtp = Rtp(system.host(host))
        self.tag = token()
        self.uri = f"sip:desk@{self.peer.address}:{self.peer.port}"
        self.invite = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.rtp.close()
        self.peer.close()

    def ring(self, timeout=5.0):
        self.invite = self.peer.wait(lambda m: m.method == "INVITE", timeout, "INVITE")
        return self.invite

    def reply(self, request, status, reason="X", body=b"", headers=()):
        lines = [f"SIP/2.0 {status} {reason}"]
        for name in ("Via", "From", "To", "Call-ID", "CSeq", "Record-Route"):
            for value in request.all(name):
                if name == "To" and "tag=" not in value:
                    value += f";tag={self.tag}"
                lines.append(f"{name}: {value}")
        lines += [f"Contact: <{self.uri}>", *headers]
        if body:
            lines.append("Content-Type: application/sdp")
        self.peer.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)

    def answer(self, codecs=(0,)):
        self.reply(self.invite, 200, "OK", sdp(self.rtp.address, self.rtp.port, codecs=codecs))
        self.peer.wait(lambda m: m.method == "ACK", 5, "ACK")
        self.rtp.start((self.invite.sdp_address(), self.invite.sdp_port()))

    def expect(self, method, timeout=5.0):
        message = self.peer.wait(lambda m: m.method == method, timeout, method)
        self.reply(message, 200, "OK")
        return message

    def bye(self):
        """Ends the call from this side."""
        to, sender = self.invite.get("From"), self.invite.get("To") + f";tag={self.tag}"
        contact = self.invite.get("Contact").split("<")[1].split(">")[0]
        self.peer.send("\r\n".join([
            f"BYE {contact} SIP/2.0", f"Via: {self.peer.via(token())}", "Max-Forwards: 70", f"From: {sender}", f"To: {to}",
            f"Call-ID: {self.invite.get('Call-ID')}", "CSeq: 1 BYE", "Content-Length: 0", "", ""]))
        return self.peer.wait(lambda m: m.is_reply and m.cseq() == (1, "BYE"), 5, "answer to BYE")


def returned(system, caller, far, **fields):
    """A call that has been handed over as far as the far end's phone."""
    id = ask(system, far.uri, "INVITE", **fields)
    caller.talk(id)
    caller.press("1")
    invite = far.ring()
    assert system.transfer(id)["outputContext"] == OUTPUT, "durable before the INVITE"
    return id, invite


def test_invite_return_bridges(returning):
    with Caller(returning) as caller, FarEnd(returning) as far:
        id, invite = returned(returning, caller, far)
        assert invite.start.startswith(f"INVITE {far.uri} ")
        assert "caller@" in invite.get("From")
        far.reply(invite, 180, "Ringing")
        before = caller.rtp.loud()
        eventually(lambda: caller.rtp.loud() > before + 10, 3, "ringback")
        far.answer()
        eventually(lambda: "answered" in states(returning, id), 3, "answered")
        # speech both ways, as it was sent
        for frame in range(50):
            caller.rtp.packet(bytes([frame + 1]) * 160)
            far.rtp.packet(bytes([frame + 101]) * 160)
            time.sleep(0.02)
        heard = lambda rtp, low: len({p[4][0] for p in list(rtp.received) if len(set(p[4])) == 1 and low < p[4][0] <= low + 50})
        eventually(lambda: heard(far.rtp, 0) > 40 and heard(caller.rtp, 100) > 40, 3, "both hear each other")
        caller.press("5")
        eventually(lambda: any(p[1] == 101 for p in list(far.rtp.received)), 3, "the digit is relayed")
        assert caller.call.bye().status == 200
        far.expect("BYE")
    assert returning.entry(id, "ended")["info"]["rtp_far"]["received"] > 0


def test_far_end_hangs_up(returning):
    with Caller(returning) as caller, FarEnd(returning) as far:
        returned(returning, caller, far)
        far.answer()
        assert far.bye().status == 200
        caller.handed_back()


@pytest.mark.parametrize("status", [302, 404, 486, 503, 603])
def test_far_end_refuses(returning, status):
    with Caller(returning) as caller, FarEnd(returning) as far:
        id, invite = returned(returning, caller, far)
        far.reply(invite, status, "No", headers=["Contact: <sip:elsewhere@127.0.0.1:9>"] if status == 302 else ())
        far.peer.wait(lambda m: m.method == "ACK", 5, "ACK")
        caller.handed_back()
    returning.entry(id, "ended")
    last = [e["info"] for e in returning.timeline(id) if e["type"] == "return"][-1]
    assert (last["state"], last["status"]) == ("failed", status)
    assert returning.transfer(id)["outputContext"] == OUTPUT


def test_nobody_answers(returning):
    with Caller(returning) as caller, FarEnd(returning) as far:
        id, invite = returned(returning, caller, far)
        far.reply(invite, 180, "Ringing")
        cancel = far.expect("CANCEL", 6)
        assert cancel.get("Call-ID") == invite.get("Call-ID")
        far.reply(invite, 487, "Request Terminated")
        caller.handed_back()
    returning.entry(id, "ended")
    last = [e["info"] for e in returning.timeline(id) if e["type"] == "return"][-1]
    assert (last["state"], last["status"]) == ("failed", 408)


def test_caller_leaves_while_it_rings(returning):
    with Caller(returning) as caller, FarEnd(returning) as far:
        id, invite = returned(returning, caller, far)
        far.reply(invite, 180, "Ringing")
        eventually(lambda: "ringing" in states(returning, id), 3, "ringing")
        assert caller.call.bye().status == 200
        far.expect("CANCEL")
        far.reply(invite, 487, "Request Terminated")
    assert returning.transfer(id)["outputContext"] == OUTPUT


def test_unreachable_target(returning):
    with Caller(returning) as caller:
        id = ask(returning, f"sip:desk@{returning.host(21)}:9", "INVITE")
        caller.talk(id)
        caller.press("1")
        caller.handed_back(timeout=10)
    returning.entry(id, "ended")
    assert states(returning, id)[-1] in ("failed", "timeout")


def test_target_outside_the_account(fresh):
    """Without allowed_targets: the account's own networks, and no others; said when it is created."""
    system = fresh()
    system.config["accounts"] = [system.account(returns=returns())]
    system.start()
    for uri in (f"sip:desk@{system.host(200)}:5060", "sip:desk@10.0.0.1"):
        status, answer = system.post({"id": "x", "externalConversationId": "x", "type": "SIP",
                                      "sip": {"returnURI": uri, "returnTransferType": "INVITE"}})
        assert status == 422 and "/sip/returnURI" in answer["error"]["message"]


def test_digest_of_the_transfer(returning):
    with Caller(returning) as caller, FarEnd(returning) as far:
        id = returning.create(sip={"returnURI": far.uri, "returnTransferType": "INVITE",
                                   "returnInviteAuthentication": {"username": "u1", "password": "secret-word"}})
        assert "secret-word" not in str(returning.transfer(id))
        caller.talk(id)
        caller.press("1")
        first = far.ring()
        far.reply(first, 407, "Proxy Authentication Required",
                  headers=['Proxy-Authenticate: Digest realm="far", nonce="n1", qop="auth", algorithm=MD5'])
        far.peer.wait(lambda m: m.method == "ACK", 5, "ACK")
        second = far.ring()
        assert second.get("Call-ID") == first.get("Call-ID") and second.cseq()[0] == first.cseq()[0] + 1
        assert 'username="u1"' in second.get("Proxy-Authorization") and 'nonce="n1"' in second.get("Proxy-Authorization")
        far.answer()
        assert caller.call.bye().status == 200
        far.expect("BYE")


def test_codecs_differ(returning):
    with Caller(returning) as caller, FarEnd(returning) as far:
        returned(returning, caller, far)
        far.answer(codecs=(8,))
        for _ in range(30):
            caller.rtp.packet(b"\x10" * 160)
            time.sleep(0.02)
        eventually(lambda: any(p[1] == 8 and p[4][0] not in (0xd5, 0x55) for p in list(far.rtp.received)), 3,
                   "A-law of what was said in mu-law")
        assert caller.call.bye().status == 200
        far.expect("BYE")


def test_hold_and_resume_while_bridged(returning):
    with Caller(returning) as caller, FarEnd(returning) as far:
        id, _ = returned(returning, caller, far)
        far.answer()
        caller.call.send("INVITE", body=caller.offer(direction="sendonly", version=2))
        assert b"recvonly" in caller.call.answered().body
        caller.call.send("INVITE", body=caller.offer(version=3))
        assert b"sendrecv" in caller.call.answered().body
        assert far.bye().status == 200
        caller.handed_back()
    returning.entry(id, "ended")
    told = [e["info"]["state"] for e in returning.timeline(id) if e["type"] == "media"]
    assert told.index("hold") < told.index("resume")
