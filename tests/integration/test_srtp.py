"""SRTP with keys from the description (SDES): every policy, both suites, new keys, forgeries."""
import os
import re
import shutil
import socket
import subprocess
import time
import wave

import pytest
from caller import OUTPUT, Caller
from handback import SIP_PORT, System, eventually
from sip_peer import sdp
from srtp_peer import Key, Srtp, key_in, secure_sdp
from tls_peer import TLS_PORT, Authority, TlsPeer

SUITES = ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]


class SecureCaller(Caller):
    def __init__(self, system, **kwargs):
        super().__init__(system, **kwargs)
        self.rtp.close()
        self.rtp = Srtp(system.host(10))
        self.key = Key()

    def secure(self, *lines, **kwargs):
        return secure_sdp(self.rtp.address, self.rtp.port, *(lines or [self.key.line()]), **kwargs)

    def talk(self, transfer=None, body=None, **kwargs):
        """Dials with our key, is answered with theirs, hears the prompt begin."""
        self.dial(transfer, self.secure() if body is None else body, **kwargs)
        reply = self.call.answered()
        self.take(reply)
        self.rtp.start((reply.sdp_address(), reply.sdp_port()))
        self.rtp.wait(1)
        return reply

    def take(self, reply):
        self.tag, self.theirs = key_in(reply.body)
        self.rtp.keys(self.key, self.theirs)

    def again(self, body):
        reply = self.call.request("INVITE", body=body)
        if reply.status == 200:
            self.call.ack()
        return reply


@pytest.fixture(scope="module")
def required():
    instance = System(config={"media": {"srtp": "required"}})
    try:
        yield instance.start()
        instance.stop()
    finally:
        instance.destroy()


def proto(reply):
    return re.search(rb"^m=audio \d+ (\S+)", reply.body, re.M)[1].decode()


@pytest.mark.parametrize("suite", SUITES)
def test_a_call_to_its_end(system, suite):
    id = system.create()
    with SecureCaller(system) as caller:
        caller.key = Key(suite)
        reply = caller.talk(id, caller.secure(caller.key.line(tag=7)))
        assert proto(reply) == "RTP/SAVP"
        assert caller.tag == 7 and caller.theirs.suite == suite
        assert caller.theirs.material != caller.key.material
        caller.rtp.wait(20)
        caller.press("1")
        caller.handed_back()
        assert caller.rtp.foreign == 0
    assert system.transfer(id)["outputContext"] == OUTPUT
    assert system.entry(id, "answered")["info"]["srtp"] == suite
    assert system.entry(id, "ended")["info"]["rtp"]["srtp"]["bad_tag"] == 0
    assert "without TLS" in system.entry(id, "note")["info"]["text"]


def test_first_line_that_can_be_used(system):
    with SecureCaller(system) as caller:
        lines = [Key().line(1, "|2^20|1:4;inline:x"), Key().line(2, " UNENCRYPTED_SRTP"),
                 "a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:abcd", caller.key.line(4, "|2^31"), Key().line(5)]
        caller.talk(system.create(), caller.secure(*lines))
        assert caller.tag == 4
        caller.press("1")
        caller.handed_back()


def test_encrypted_line_is_preferred(system):
    with SecureCaller(system) as caller:
        both = caller.secure() + b"m=audio 9 RTP/AVP 0\r\n"
        first = both.replace(b"m=audio", b"m=audio 9 RTP/AVP 0\r\nm=audio", 1)
        for body in (both, first):
            reply = caller.dial(None, body).answered()
            assert b"m=audio 0 RTP/AVP 0" in reply.body and key_in(reply.body)
            caller.call.bye()


def test_key_on_a_plain_line(system):
    """Opportunistic SRTP (RFC 8643)."""
    with SecureCaller(system) as caller:
        reply = caller.talk(system.create(), caller.secure(proto="RTP/AVP"))
        assert proto(reply) == "RTP/AVP"
        caller.press("1")
        caller.handed_back()


def refusal(system, body):
    with Caller(system) as caller:
        caller.dial(system.create(), body)
        reply = caller.refused()
        assert reply.get("Warning") and reply.get("Reason")
        return reply.status


def offers(system):
    return {name: secure_sdp(system.host(), 40000, *lines, proto=kind) for name, kind, lines in (
        ("plain", "RTP/AVP", ()), ("plain with key", "RTP/AVP", (Key().line(),)), ("no key", "RTP/SAVP", ()),
        ("bad key", "RTP/SAVP", ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abcd",)),
        ("not understood", "RTP/SAVP", (Key().line(1, " KDR=1"),)))}


def test_what_required_refuses(required):
    for name, body in offers(required).items():
        assert refusal(required, body) == 488, name


def test_what_optional_refuses(system):
    for name in ("no key", "bad key", "not understood"):
        assert refusal(system, offers(system)[name]) == 488, name


def test_what_off_refuses(fresh):
    system = fresh(config={"media": {"srtp": "off"}}).start()
    body = secure_sdp(system.host(), 40000, Key().line())
    assert refusal(system, body) == 488
    with Caller(system) as caller:  # a key on a plain line is not for us
        reply = caller.talk(system.create(), body=sdp(caller.rtp.address, caller.rtp.port, extra=[Key().line()]))
        assert b"a=crypto" not in reply.body
        caller.call.bye()


def in_clear(packet):
    """The prompt of a plain call is mu-law: silence is 0xff again and again, an encrypted one is noise."""
    body = packet[12:172]
    return len(packet) == 172 or len(set(body)) < 64


def test_nothing_in_clear(required):
    """Also before the keys are known, and whatever the other side sends."""
    id = required.create()
    with SecureCaller(required) as caller:
        reply = caller.talk(id)
        clear = Caller(required).rtp
        clear.start((reply.sdp_address(), reply.sdp_port()))
        clear.digit("1")
        clear.close()
        caller.rtp.out = None  # from the right address, but in clear
        caller.rtp.digit("1")
        caller.rtp.keys(caller.key, None)
        caller.rtp.wait(100)
        assert required.status(id) == "ONGOING"
        caller.call.bye()
        packets = list(caller.rtp.heard)
    assert len(packets) >= 100 and not any(in_clear(p) for p in packets)
    assert caller.rtp.foreign == 0


def test_delayed_offer(required):
    id = required.create()
    with SecureCaller(required) as caller:
        caller.dial(id, b"")
        reply = caller.call.reply("INVITE")
        assert reply.status == 200 and proto(reply) == "RTP/SAVP"
        tag, theirs = key_in(reply.body)
        assert theirs.suite == SUITES[0]
        caller.call.ack(caller.secure(caller.key.line(tag)))
        caller.rtp.keys(caller.key, theirs)
        caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
        caller.rtp.wait(5)
        caller.press("1")
        caller.handed_back()
    assert required.transfer(id)["outputContext"] == OUTPUT


@pytest.mark.parametrize("spoil", ["plain", "tag", "suite"])
def test_answer_that_does_not_take_our_key(required, spoil):
    with SecureCaller(required) as caller:
        caller.dial(required.create(), b"")
        tag, _ = key_in(caller.call.reply("INVITE").body)
        answer = {"plain": sdp(caller.rtp.address, caller.rtp.port), "tag": caller.secure(caller.key.line(tag + 1)),
                  "suite": caller.secure(Key(SUITES[1]).line(tag))}[spoil]
        caller.call.ack(answer)
        assert "488" in caller.call.expect("BYE").get("Reason")


def test_delayed_offer_leaves_the_choice(system):
    for secure in (True, False):
        with SecureCaller(system) as caller:
            id = system.create()
            caller.dial(id, b"")
            reply = caller.call.reply("INVITE")
            assert proto(reply) == "RTP/AVP"
            tag, theirs = key_in(reply.body)
            lines = [caller.key.line(tag)] if secure else []
            caller.call.ack(secure_sdp(caller.rtp.address, caller.rtp.port, *lines, proto="RTP/AVP"))
            if secure:
                caller.rtp.keys(caller.key, theirs)
            caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
            caller.rtp.wait(5)
            caller.press("1")
            caller.handed_back()
            assert caller.rtp.foreign == 0
        assert system.transfer(id)["outputContext"] == OUTPUT


def version(reply):
    return int(re.search(rb"^o=\S+ \d+ (\d+)", reply.body, re.M)[1])


def test_reinvite_with_the_same_key(system):
    id = system.create()
    with SecureCaller(system) as caller:
        first = caller.talk(id)
        for direction in ("sendonly", "sendrecv"):
            reply = caller.again(caller.secure(direction=direction, version=2))
            assert key_in(reply.body)[1].material == caller.theirs.material
        assert version(reply) > version(first)
        heard = len(caller.rtp.received)
        caller.rtp.wait(heard + 20)
        caller.press("1")
        caller.handed_back()
        assert caller.rtp.foreign == 0
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_reinvite_with_a_new_key(system):
    id = system.create()
    with SecureCaller(system) as caller:
        caller.talk(id)
        before = caller.theirs.material
        for suite in reversed(SUITES):
            caller.key = Key(suite)
            reply = caller.again(caller.secure(version=2))
            caller.take(reply)
            assert caller.theirs.suite == suite and caller.theirs.material != before
            heard = len(caller.rtp.received)
            caller.rtp.wait(heard + 20)
        caller.press("1")
        caller.handed_back()
        assert caller.rtp.foreign < 5  # on their way when the key changed
    assert system.transfer(id)["outputContext"] == OUTPUT
    # At most one at each change, which came sooner than the change reached the media thread.
    assert system.entry(id, "ended")["info"]["rtp"]["srtp"]["bad_tag"] <= 2


def test_no_way_back_to_clear(system):
    id = system.create()
    with SecureCaller(system) as caller:
        caller.talk(id)
        for body in (caller.offer(version=2), caller.secure("a=x", proto="RTP/AVP", version=3)):
            assert caller.again(body).status == 488
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_offer_of_ours_in_a_call(system):
    """A re-INVITE without an offer: the key in use is offered again."""
    id = system.create()
    with SecureCaller(system) as caller:
        caller.talk(id)
        reply = caller.call.request("INVITE")
        assert proto(reply) == "RTP/SAVP" and key_in(reply.body)[1].material == caller.theirs.material
        caller.call.ack(caller.secure(caller.key.line(key_in(reply.body)[0]), version=2))
        caller.press("1")
        caller.handed_back()
        assert caller.rtp.foreign == 0
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_upgrade(system):
    id = system.create()
    with SecureCaller(system) as caller:
        caller.dial(id, caller.offer())
        reply = caller.call.answered()
        caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
        caller.rtp.wait(5)
        caller.take(caller.again(caller.secure(version=2)))
        heard = len(caller.rtp.received)
        caller.rtp.wait(heard + 10)
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT


def test_bad_packets_end_nothing(system):
    """Forged, replayed and short ones from the caller's own address: counted, and the call goes on."""
    id = system.create()
    with SecureCaller(system) as caller:
        reply = caller.talk(id)
        remote = reply.sdp_address(), reply.sdp_port()
        eventually(lambda: caller.rtp.sent, what="a packet of ours")
        for i in range(3000):
            good = caller.rtp.sent[-1]
            bad = (good[:-1] + bytes([good[-1] ^ 1]), good, good[:i % len(good)], os.urandom(182))[i % 4]
            caller.rtp.sock.sendto(bad, remote)
            caller.rtp.sock.sendto(bad, (remote[0], remote[1] + 1))
            if i % 20 == 0:
                time.sleep(0.01)
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT
    counts = system.entry(id, "ended")["info"]
    assert counts["rtp"]["srtp"]["bad_tag"] > 0 and counts["rtp"]["srtp"]["replayed"] > 0
    assert counts["rtp"]["lost"] <= counts["rtp"]["received"] // 100 + 1


def test_latching_needs_an_authentic_packet(system):
    """From another port of the caller's host: forged packets win nothing, real ones do."""
    id = system.create()
    with SecureCaller(system) as caller:
        wrong = secure_sdp(caller.rtp.address, 9, caller.key.line())
        caller.dial(id, wrong)
        reply = caller.call.answered()
        caller.take(reply)
        remote = reply.sdp_address(), reply.sdp_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.bind((caller.rtp.address, 0))
            thief.settimeout(0.5)
            for i in range(20):
                thief.sendto(b"\x80\0" + i.to_bytes(2, "big") + bytes(8) + os.urandom(170), remote)
            caller.rtp.start(remote)
            caller.rtp.wait(20)
            with pytest.raises(TimeoutError):
                thief.recv(2048)
        caller.press("1")
        caller.handed_back()
    assert system.transfer(id)["outputContext"] == OUTPUT
    assert any(e["type"] == "media" and e["info"]["state"] == "latched" for e in system.timeline(id))


def test_keys_are_in_no_log(system):
    with SecureCaller(system) as caller:
        id = system.create()
        caller.talk(id)
        caller.call.bye()
        ours, theirs = (k.line().split("inline:")[1] for k in (caller.key, caller.theirs))
    eventually(lambda: system.entry(id, "ended"))
    for process in system.processes:
        assert ours not in process.text() and theirs not in process.text()
    assert not any(key in str(system.timeline(id)) for key in (ours, theirs))


def test_over_tls(fresh, tmp_path):
    """Keys that nobody on the way can read: nothing to warn of."""
    system = fresh(config={"media": {"srtp": "required"}})
    certificate, key = Authority(tmp_path).issue("server", f"IP:{system.address}")
    system.config["sip"].update(listen=[f"tls:{system.address}:{TLS_PORT}"], tls={"certificate": certificate, "key": key})
    system.start()
    id = system.create()
    with SecureCaller(system) as caller:
        caller.peer.close()
        caller.peer = TlsPeer(system.host(10), (system.address, TLS_PORT))
        caller.talk(id)
        caller.rtp.wait(20)
        caller.press("1")
        caller.handed_back()
        assert caller.rtp.foreign == 0
    assert system.transfer(id)["outputContext"] == OUTPUT
    system.entry(id, "ended")
    assert not [e for e in system.timeline(id) if e["type"] == "note"]


SOFTPHONE = """
sip_listen {host}:39700
net_interface {host}
rtp_ports 39710-39790
audio_source aufile,{folder}/sound.wav
audio_player aufile,{folder}/heard.wav
audio_alert aufile,{folder}/alert.wav
ausrc_srate 8000
auplay_srate 8000
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module srtp.so
module_tmp account.so
module_app menu.so
"""


@pytest.mark.skipif(not shutil.which("baresip"), reason="baresip is not installed")
@pytest.mark.parametrize("kind, policy, encrypted", [
    ("srtp-mand", "required", True), ("srtp-mand", "optional", True), ("srtp", "optional", True),
    ("srtp", "off", False), ("srtp-mand", "off", None), ("srtp", "required", None)])
def test_softphone(fresh, kind, policy, encrypted):
    """baresip offers RTP/SAVP (srtp-mand) or a key on RTP/AVP (srtp).  None: it is refused."""
    system = fresh(config={"media": {"srtp": policy}})
    system.config["accounts"][0]["sip"]["allow"].append("127.0.0.1/32")  # where the kernel lets its RTP come from
    system.start()
    folder = system.folder  # its paths are short, as baresip wants them
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000 * 10))
    (folder / "config").write_text(SOFTPHONE.format(host=system.host(40), folder=folder))
    (folder / "accounts").write_text(f"<sip:caller@{system.host(40)}:39700>;regint=0;mediaenc={kind}\n")
    (folder / "contacts").write_text("")
    with open(folder / "log", "wb") as log:
        subprocess.run(["baresip", "-f", folder, "-t", "3", "-e", f"/dial sip:agent@{system.address}:{SIP_PORT}"],
                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=20, check=False)
    text = (folder / "log").read_text(errors="replace")
    if encrypted is None:
        assert "488 Not Acceptable Here" in text
        return
    call = eventually(lambda: next(iter(system.calls()), None), what="the call")
    entries = eventually(lambda: (e := {e["type"]: e["info"] for e in
                                        system.request("GET", f"/handback/v1/calls/{call['id']}")[1]["timeline"]})
                         and "ended" in e and e, what="its end")
    assert ("srtp" in entries["answered"]) == encrypted == ("SRTP is Enabled" in text), text
    rtp = entries["ended"]["rtp"]
    assert rtp["received"] > 50 and rtp["lost"] == 0 and rtp["remote_lost"] == 0
