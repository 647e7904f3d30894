"""RTP as the wire sees it: spacing, digits in every odd form, silence, garbage."""
import os
import struct
import time

import pytest
from caller import OUTPUT, Caller
from handback import eventually


def test_sequence_and_timestamps(system):
    with Caller(system) as caller:
        caller.talk(system.create())
        caller.rtp.wait(100)
        caller.call.bye()
    packets = caller.rtp.received[:100]
    assert [(b[2] - a[2]) & 0xffff for a, b in zip(packets, packets[1:])] == [1] * 99
    assert [(b[3] - a[3]) & 0xffffffff for a, b in zip(packets, packets[1:])] == [160] * 99
    assert all(len(payload) == 160 for *_, payload in packets)
    assert len(caller.rtp.sources) == 1, "sent from the port that the SDP names"


@pytest.mark.plain  # pace is judged on a plain build
def test_pace(system):
    with Caller(system) as caller:
        caller.talk(system.create())
        caller.rtp.wait(150)
        caller.call.bye()
    times = [packet[0] for packet in caller.rtp.received[:150]]
    gaps = sorted(b - a for a, b in zip(times, times[1:]))
    assert abs((times[-1] - times[0]) / 149 - 0.020) < 0.0005
    assert 0.015 < gaps[len(gaps) // 2] < 0.025


@pytest.mark.parametrize("ptime", [10, 30, 60])
def test_ptime_is_honoured(system, ptime):
    with Caller(system) as caller:
        caller.talk(system.create(), body=caller.offer(extra=[f"a=ptime:{ptime}"]))
        caller.rtp.wait(10)
        caller.call.bye()
    assert {len(payload) for _, kind, *_, payload in caller.rtp.received if kind == 0} == {ptime * 8}


def digits_case(system, act):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        act(caller.rtp)
        caller.handed_back(6)
    return system.transfer(id)["outputContext"]


def test_lost_end_packets(system):
    assert digits_case(system, lambda rtp: rtp.digit("1", ends=0)) == OUTPUT


def test_lost_start_packets(system):
    assert digits_case(system, lambda rtp: rtp.digit("1", starts=False)) == OUTPUT


def test_no_marker_bit(system):
    assert digits_case(system, lambda rtp: rtp.digit("1", marker=False)) == OUTPUT


def test_other_payload_type_than_negotiated(system):
    assert digits_case(system, lambda rtp: rtp.digit("1", payload_type=96)) == OUTPUT


def test_telephone_event_not_offered(system):
    id = system.create()
    with Caller(system) as caller:
        reply = caller.talk(id, body=caller.offer(dtmf=None))
        assert b"telephone-event" not in reply.body
        caller.rtp.digit("1", payload_type=101)
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_repeated_end_packets_are_one_digit(system):
    """Ten end packets of one 7 are not "77"."""
    def act(rtp):
        rtp.digit("7", ends=10)
        time.sleep(2.6)
        rtp.digit("1")
    assert digits_case(system, act) == OUTPUT


def test_same_digit_twice_is_two(system):
    def act(rtp):
        rtp.digit("7")
        time.sleep(0.1)
        rtp.digit("7")
    assert digits_case(system, act)["transferVariables"]["priority"] == "secret"


def test_long_digit_is_one(system):
    def act(rtp):
        rtp.digit("7", duration_ms=1500)
        time.sleep(2.6)
        rtp.digit("1")
    assert digits_case(system, act) == OUTPUT


def test_caller_falls_silent(fresh):
    """Neither RTP nor RTCP for media.timeout: the call is ended and says why."""
    system = fresh(config={"media": {"timeout": "1500ms"}}).start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        caller.rtp.mute()
        muted = time.monotonic()
        bye = caller.handed_back(8)
        assert time.monotonic() - muted > 1.0
    assert "cause=102" in bye.get("Reason")
    assert "outputContext" not in system.completed(id)


def test_held_caller_may_be_silent(fresh):
    system = fresh(config={"media": {"timeout": "1s"}}).start()
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        assert caller.call.request("INVITE", body=caller.offer(direction="sendonly", version=2)).status == 200
        caller.call.ack()
        caller.rtp.mute()
        time.sleep(2.2)
        assert system.status(id) == "ONGOING"
        caller.call.bye()


def test_garbage_on_the_media_port(system):
    id = system.create()
    with Caller(system) as caller:
        caller.talk(id)
        for size in (0, 1, 3, 11, 12, 13, 100, 1400):
            for _ in range(20):
                caller.rtp.raw(os.urandom(size))
        caller.rtp.raw(struct.pack("!BBHII", 0xbf, 0, 1, 2, 3) + b"\xff" * 8)
        caller.rtp.raw(struct.pack("!BBHII", 0xa0, 0, 1, 2, 3) + b"\xff" * 160)
        caller.rtp.raw(struct.pack("!BBHII", 0x80, 101, 9, 9, 9) + b"\x01")
        eventually(lambda: caller.rtp.loud() > 5, 5, "the prompt is still heard")
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_stranger_is_not_heard(system):
    """Digits from an address outside signalling source and allow list do nothing, and get no audio."""
    id = system.create()
    with Caller(system) as caller, Caller(system, 220) as stranger:
        reply = caller.talk(id)
        time.sleep(0.3)
        stranger.rtp.start((reply.sdp_address(), reply.sdp_port()))
        stranger.press("1")
        time.sleep(0.3)
        assert not stranger.rtp.received
        assert system.status(id) == "ONGOING"
        caller.press("1")
        caller.handed_back()


def test_media_from_behind_nat(system):
    """The SDP names an address that is not the one media comes from (same host, other port)."""
    id = system.create()
    with Caller(system) as caller, Caller(system) as behind:
        caller.dial(id)
        reply = caller.call.answered()
        behind.rtp.start((reply.sdp_address(), reply.sdp_port()))
        behind.rtp.wait(10)
        behind.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT
