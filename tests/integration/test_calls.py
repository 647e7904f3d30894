"""Calls that go well, in every shape a peer may give them."""
import time

import pytest
from caller import OUTPUT, Caller
from handback import SLOW, eventually, new_id
from sip_peer import sdp


def test_success_by_dtmf(system):
    id = system.create(inputContext={"taskName": "menu", "inputVariables": {"name": "Ada"}})
    assert system.status(id) == "ACTIVE"
    with Caller(system) as caller:
        reply = caller.talk(id)
        assert b"PCMU/8000" in reply.body and b"telephone-event" in reply.body
        assert system.status(id) == "ONGOING"
        eventually(lambda: caller.rtp.loud() > 10, 5, "the prompt is heard")
        caller.press("1")
        bye = caller.handed_back()
        transfer = system.transfer(id)
    assert 'Q.850;cause=16;text="Normal call clearing"' in bye.get("Reason")
    assert transfer["status"] == "COMPLETED"
    assert transfer["outputContext"] == OUTPUT
    assert transfer["inputContext"] == {"taskName": "menu", "inputVariables": {"name": "Ada"}}
    assert transfer["createdAt"] <= transfer["callReceivedAt"] <= transfer["completedAt"]
    kinds = {kind for _, kind, *_ in caller.rtp.received}
    assert kinds <= {0, 13}, "only what was negotiated"


def test_timeline_tells_the_call(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("21")
        caller.handed_back()
    system.entry(id, "ended")
    kinds = [entry["type"] for entry in system.timeline(id)]
    order = ["invite", "claimed", "answered", "confirmed", "dtmf", "function", "outcome", "committed", "bye", "ended"]
    assert [k for i, k in enumerate(kinds) if k in order and k not in kinds[:i]] == order
    assert [e["seq"] for e in system.timeline(id)] == sorted(e["seq"] for e in system.timeline(id))


def test_reference_variables(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("2")
        time.sleep(0.3)
        caller.press("1")
        caller.handed_back()
        assert system.transfer(id)["outputContext"]["referenceVariables"] == {"account_balance": "1250.00"}


def test_to_an_agent(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("20")
        caller.handed_back()
        output = system.transfer(id)["outputContext"]
    assert output["transferType"] == "AGENT"
    assert output["transferVariables"] == {}
    assert output["referenceVariables"] == {"account_balance": "1250.00"}


def test_message_before_is_heard_to_its_end(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("3")
        time.sleep(0.15)
        caller.press("1")  # must not interrupt
        caller.handed_back(8)
        assert system.transfer(id)["outputContext"]["transferVariables"] == {"next_action": "none"}
        assert caller.rtp.loud() > 10


def test_barge_in_stops_the_prompt(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("4")
        eventually(lambda: caller.rtp.loud() > 60, 8, "the long story is heard")
        pressed = time.monotonic()
        caller.press("9")  # no such choice: the prompt stops all the same
        time.sleep(0.5)
        heard = [t for t, kind, *_ in caller.rtp.received if t > pressed]
        assert heard, "silence is sent, not nothing"
        caller.press("1")
        caller.handed_back()
        assert system.transfer(id)["outputContext"]["currentTaskName"] == "story"


def test_caller_hangs_up(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        assert caller.call.bye().status == 200
    transfer = system.completed(id)
    assert "outputContext" not in transfer
    assert system.entry(id, "bye")["info"]["by"] == "caller"


def test_caller_disconnect_context(fresh):
    system = fresh(config={"transfers": {"caller_disconnect_context": True}}).start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.call.bye()
    assert system.completed(id)["outputContext"]["transferType"] == "CALLER_DISCONNECT"


@pytest.mark.parametrize("how", ["sendonly", "inactive", "zero"])
def test_hold_and_resume(system, how):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        if how == "zero":
            held = sdp("0.0.0.0", caller.rtp.port, version=2)
        else:
            held = caller.offer(direction=how, version=2)
        reply = caller.call.request("INVITE", body=held)
        assert reply.status == 200
        caller.call.ack()
        expected = b"a=recvonly" if how == "sendonly" else b"a=inactive"
        assert expected in reply.body or how == "zero"
        caller.rtp.mute()
        time.sleep(0.3)
        silent = len(caller.rtp.received)
        time.sleep(0.5)
        assert len(caller.rtp.received) - silent <= 1, "nothing is sent to a held caller"
        reply = caller.call.request("INVITE", body=caller.offer(version=3))
        assert reply.status == 200 and b"a=recvonly" not in reply.body and b"a=inactive" not in reply.body
        caller.call.ack()
        caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
        before = len(caller.rtp.received)
        caller.rtp.wait(before + 5)
        caller.press("1")
        caller.handed_back()
        assert system.transfer(id)["outputContext"] == OUTPUT


def test_delayed_offer(system):
    id = system.create()
    with Caller(system) as caller:
        caller.dial(id, body=b"")
        reply = caller.call.answered(ack=False)
        assert b"PCMU/8000" in reply.body and b"PCMA/8000" in reply.body
        caller.call.ack(caller.offer())
        caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
        eventually(lambda: caller.rtp.loud() > 5, 5, "the prompt is heard")
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_delayed_offer_without_a_common_codec(system):
    id = system.create()
    with Caller(system) as caller:
        caller.dial(id, body=b"")
        caller.call.answered(ack=False)
        caller.call.ack(caller.offer(codecs=(18,)))
        assert "cause=488" in caller.handed_back().get("Reason")
    system.completed(id)


def test_a_law(system):
    id = system.create()
    with Caller(system) as caller:
        reply = caller.talk(id, body=caller.offer(codecs=(8,)))
        assert b"PCMA/8000" in reply.body and b"PCMU" not in reply.body
        caller.rtp.wait(10)
        assert {kind for _, kind, *_ in caller.rtp.received} <= {8, 13}
        caller.info("1")
        caller.handed_back()


def test_codec_and_address_change_in_a_call(system):
    id = system.create()
    with Caller(system) as caller, Caller(system, 11) as other:
        caller.talk(id)
        reply = caller.call.request("INVITE", body=sdp(other.rtp.address, other.rtp.port, codecs=(8,), version=2))
        assert reply.status == 200 and b"PCMA" in reply.body
        caller.call.ack()
        other.rtp.start((reply.sdp_address(), reply.sdp_port()))
        other.rtp.wait(5)
        before = len(caller.rtp.received)
        time.sleep(0.3)
        assert len(caller.rtp.received) - before <= 1, "the old address hears nothing more"
        other.rtp.digit("1")
        caller.handed_back()


def test_digits_by_sip_info(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        assert caller.info("1").status == 200
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_over_tcp(system):
    id = system.create()
    with Caller(system, transport="tcp") as caller:
        caller.talk(id)
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_over_ipv6(fresh):
    system = fresh(address="::1").start()
    id = system.create()
    with Caller(system) as caller:
        reply = caller.talk(id)
        assert reply.sdp_address() == "::1"
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_cancel_before_the_answer(system):
    """The claim cannot be answered while api-server is stopped: CANCEL surely comes first."""
    id = system.create()
    with Caller(system) as caller:
        system.api.signal(19)
        try:
            caller.dial(id)
            assert caller.call.reply("INVITE", least=100).status == 100
            caller.call.cancel()
            assert caller.call.reply("CANCEL", cseq=caller.call.invite_cseq).status == 200
            assert caller.refused().status == 487
        finally:
            system.api.signal(18)
        eventually(lambda: system.status(id) == "ACTIVE", 5, "the transfer is free again")
    with Caller(system) as caller:
        caller.talk(id)
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_header_mode(system):
    conversation = new_id("conv")
    headers = ["X-GA-taskName: menu", f"X-GA-extConversationId: {conversation}", "X-GA-customerId: c-7",
               "X-GA-iv-accountNumber: 3434", "X-GA-iv-name: John Doe", "X-GA-iv-name: Jane Doe"]
    with Caller(system) as caller:
        caller.talk(headers=headers)
        caller.press("21")
        caller.handed_back()
        transfer = system.transfer(caller.call.call_id)
    assert transfer["status"] == "COMPLETED" and transfer["externalConversationId"] == conversation
    assert transfer["inputContext"]["inputVariables"] == {"customerId": "c-7", "accountNumber": "3434", "name": "Jane Doe"}
    assert transfer["outputContext"] == {**OUTPUT, "referenceVariables": {"account_balance": "1250.00"}}


def test_a_plain_call_is_a_call(system):
    with Caller(system) as caller:
        caller.talk()
        caller.press("1")
        caller.handed_back()
        assert system.transfer(caller.call.call_id)["externalConversationId"] == caller.call.call_id


def test_reconnection_resumes_the_conversation(system):
    conversation = new_id("conv")
    first = system.create(conversation=conversation, inputContext={"inputVariables": {"name": "Ada"}})
    with Caller(system) as caller:
        caller.talk(first)
        caller.press("2")
        system.entry(first, "function")
        caller.call.bye()
    system.completed(first)
    second = system.create(conversation=conversation)
    with Caller(system) as caller:
        caller.talk(second)
        caller.press("1")
        caller.handed_back()
    assert system.transfer(second)["outputContext"]["referenceVariables"] == {"account_balance": "1250.00"}


def test_retransmitted_invite_is_one_call(system):
    id = system.create()
    with Caller(system) as caller:
        caller.dial(id)
        for _ in range(3):
            caller.peer.send(caller.call.last)
        reply = caller.call.answered()
        caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
        time.sleep(0.3)
        tags = {m.to_tag() for m in caller.peer.inbox if m.is_reply and m.status == 200}
        assert tags <= {caller.call.remote_tag}
        caller.press("1")
        caller.handed_back()


@pytest.mark.slow
def test_lost_ack(system):
    """The 200 is repeated, then the call is ended; the caller is not kept for ever."""
    id = system.create()
    with Caller(system) as caller:
        caller.dial(id)
        caller.call.answered(ack=False)
        for _ in range(3):
            again = caller.call.reply("INVITE", 5)
            assert again.status == 200
        caller.call.expect("BYE", 40 * SLOW)
    assert "outputContext" not in system.completed(id)
