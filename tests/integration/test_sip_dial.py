"""Calls that the SIP stack makes itself: transactions, challenges, addresses, CANCEL and its races."""
import hashlib
import re
import subprocess
import time

import pytest
from far_end import PORTS, PROGRAM, ROOT, Dialler, FarEnd, NameServer
from sip_answerer import offer
from sip_peer import Peer

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built: make bench-bins")

A, AAAA, SRV = NameServer.A, NameServer.AAAA, NameServer.SRV


@pytest.fixture
def far():
    with FarEnd() as f:
        yield f


# --- answered ---


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_answered(transport):
    with FarEnd(transport=transport) as far, Dialler(far.uri, "-b", "200") as d:
        invite = far.ring()
        assert d.wait("progress") == ("-", 180)
        assert invite.start == f"INVITE {far.uri} SIP/2.0" and invite.cseq() == (1, "INVITE")
        assert b"m=audio" in invite.body and b"PCMA" in invite.body
        far.answer(invite)
        assert d.wait("answered")[0].startswith("127.0.0.1:7000,codec=1,direction=0")
        ack = far.expect("ACK")
        assert ack.start == f"ACK sip:far@127.0.0.1:{far.port};transport={transport} SIP/2.0" and ack.cseq() == (1, "ACK")
        bye = far.expect("BYE")
        assert bye.cseq() == (2, "BYE") and bye.to_tag() == far.tag
        far.reply(bye, 200)
        d.wait("hung_up")


def test_uri_and_headers(far):
    uri = far.uri + ";x=%41b;lr?X-Case=a%20b&User-to-User=12%3Bencoding%3Dhex"
    with Dialler(uri, "-H", "X-GA-extConId:conv-1") as d:
        invite = far.taken()
        assert invite.start == f"INVITE {far.uri};x=%41b;lr SIP/2.0"
        assert (invite.get("X-Case"), invite.get("User-to-User"), invite.get("X-GA-extConId")) == (
            "a b", "12;encoding=hex", "conv-1")
        assert re.fullmatch(r"[0-9a-f]{32}", invite.get("X-Handback-Return"))
        d.wait("answered")
        assert far.request(invite, "BYE", 7).status == 200
        assert d.wait("ended")[1] == 0


def test_200_again(far):
    """Each copy of the 200 gets the ACK again, and nothing else."""
    with Dialler(far.uri) as d:
        invite = far.taken()
        for _ in range(3):
            far.answer(invite)
            assert far.expect("ACK").to_tag() == far.tag
        d.wait("answered")
        assert far.nothing()
        far.request(invite, "BYE", 1)


def test_record_route(far):
    with Dialler(far.uri, "-b", "100") as d:
        invite = far.ring()
        hops = [f"<sip:127.0.0.1:{far.port};lr>", "<sip:second.example.com;lr>"]
        far.answer(invite, [f"Record-Route: {h}" for h in reversed(hops)])
        for method in ("ACK", "BYE"):
            message = far.expect(method)
            assert [h.strip() for v in message.all("Route") for h in v.split(",")] == hops
        far.reply(message, 200)
        d.wait("hung_up")


def test_forks(far):
    """The first 200 wins; another one gets ACK and BYE."""
    with Dialler(far.uri) as d:
        invite = far.taken()
        d.wait("answered")
        far.answer(invite, tag="other")
        assert far.expect("ACK").to_tag() == "other"
        bye = far.expect("BYE")
        assert bye.to_tag() == "other"
        far.reply(bye, 200)
        assert far.request(invite, "BYE", 1).status == 200
        d.wait("ended")


def test_fork_by_tcp():
    with FarEnd(transport="tcp") as far, Dialler(far.uri) as d:
        invite = far.taken()
        far.answer(invite)
        assert far.expect("ACK").to_tag() == far.tag
        far.answer(invite, tag="other")
        assert far.expect("BYE").to_tag() == "other"
        d.wait("answered")
        far.request(invite, "BYE", 1)


def test_fork_elsewhere_is_not_dialled(far):
    """A Contact outside the account's targets gets nothing."""
    with FarEnd("127.0.0.9") as other, Dialler(far.uri, "-a", "127.0.0.1/32") as d:
        invite = far.taken()
        d.wait("answered")
        far.reply(invite, 200, [f"Contact: <sip:x@127.0.0.9:{other.port}>"], far.sdp(), tag="other")
        assert far.expect("BYE").start.startswith("BYE sip:x@127.0.0.9")
        assert other.nothing(0.2)
        far.request(invite, "BYE", 1)


# --- early ---


def test_early_media(far):
    with Dialler(far.uri) as d:
        invite = far.expect("INVITE")
        far.reply(invite, 183, [far.contact], far.sdp(port=7100))
        assert d.wait("progress") == ("127.0.0.1:7100,codec=1,direction=0", 183)
        far.answer(invite, body=b"")
        assert d.wait("answered")[0].startswith("127.0.0.1:7100")
        far.expect("ACK")
        far.request(invite, "BYE", 1)


def test_other_media_in_the_answer(far):
    with Dialler(far.uri) as d:
        invite = far.expect("INVITE")
        far.reply(invite, 183, [far.contact], far.sdp(port=7100))
        far.answer(invite, body=far.sdp(port=7200, codecs=(0,)))
        assert d.wait("answered")[0].startswith("127.0.0.1:7200,codec=0")
        far.expect("ACK")
        far.request(invite, "BYE", 1)


def test_reliable_ringing(far):
    with Dialler(far.uri, "-b", "100") as d:
        invite = far.expect("INVITE")
        assert "100rel" in invite.get("Supported")
        for _ in range(2):
            far.reply(invite, 180, [far.contact, "Require: 100rel", "RSeq: 17"])
        prack = far.expect("PRACK")
        assert prack.get("RAck") == "17 1 INVITE" and prack.cseq() == (2, "PRACK") and prack.to_tag() == far.tag
        far.reply(prack, 200)
        assert far.nothing(0.3), "one PRACK is enough"
        far.answer(invite)
        assert far.expect("ACK").cseq() == (1, "ACK")
        bye = far.expect("BYE")
        assert bye.cseq() == (3, "BYE")
        far.reply(bye, 200)
        d.wait("hung_up")


@pytest.mark.parametrize("body", [b"", b"hello", "g729"])
def test_answer_without_media(far, body):
    with Dialler(far.uri) as d:
        invite = far.ring()
        far.answer(invite, body=far.sdp(codecs=(18,)) if body == "g729" else body)
        far.expect("ACK")
        bye = far.expect("BYE")
        assert "cause=488" in bye.get("Reason")
        far.reply(bye, 200)
        assert d.wait("failed")[1] == 488


# --- refused ---


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("status", [302, 404, 486, 500, 603])
def test_refused(transport, status):
    with FarEnd(transport=transport) as far, FarEnd() as elsewhere, Dialler(far.uri) as d:
        invite = far.ring()
        far.reply(invite, status, [f"Contact: <{elsewhere.uri}>"])
        assert d.wait("failed") == ("Said So", status)
        ack = far.expect("ACK")
        assert ack.get("Via") == invite.get("Via") and ack.to_tag() == far.tag
        assert elsewhere.nothing(0.2) and far.nothing(0.2)


def test_nobody_there():
    with Dialler("sip:x@127.0.0.1:9") as d:
        assert d.wait("not_dialled")[0] == "FORBIDDEN", "9 is no port for SIP"
    with FarEnd() as far:
        uri = far.uri
    with Dialler(uri) as d:
        assert d.wait("failed")[1] == 503
    with FarEnd(transport="tcp") as far:
        uri = far.uri
    with Dialler(uri) as d:
        assert d.wait("failed")[1] == 503


def test_targets():
    with FarEnd("127.0.0.9") as far:
        with Dialler(far.uri, "-a", "127.0.0.1/32") as d:
            assert d.wait("not_dialled")[0] == "FORBIDDEN"
        with Dialler(far.uri, "-t", "127.0.0.1") as d:
            assert d.wait("not_dialled")[0] == "FORBIDDEN"
        assert far.nothing(0.1)
        for uri in ("tel:+15551234", "sip:x@127.1", "sip:x@0x7f000001", f"{far.uri};maddr=127.0.0.1", f"{far.uri}?Route=%3Csip:x%3E",
                    "sip:x:secret@127.0.0.1:43100", f"{far.uri};method=BYE"):
            with Dialler(uri) as d:
                assert d.wait("not_dialled")[0] == "INVALID", uri
        with Dialler(far.uri, "-a", "-", "-t", "127.0.0.0/24") as d:
            invite = far.taken()
            d.wait("answered")
            assert far.request(invite, "BYE", 1).status == 200, "its source is in no account's list"


def test_own_listener():
    # An address and ports that no other socket of this machine has.
    for uri in ("sip:x@127.43.9.9:15060", "sip:x@[::ffff:127.43.9.9]:15060", "sip:x@127.43.9.9:15061;transport=tcp"):
        with Dialler(uri, listen=lambda _: ["udp:127.43.9.9:15060", "tcp:127.43.9.9:15061"]) as d:
            assert d.wait("not_dialled")[0] == "FORBIDDEN", uri


# --- CANCEL ---


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("how", ["-c", "-x"])
def test_cancel(transport, how):
    with FarEnd(transport=transport) as far, Dialler(far.uri, how, "300") as d:
        invite = far.ring()
        cancel = far.expect("CANCEL")
        assert cancel.get("Via") == invite.get("Via") and cancel.cseq() == (1, "CANCEL")
        assert cancel.start.split()[1] == invite.start.split()[1] and cancel.to_tag() is None
        far.reply(cancel, 200)
        far.reply(invite, 487)
        far.expect("ACK")
        d.wait("hung_up" if how == "-c" else "let_go")
        time.sleep(0.1)


def test_cancel_waits_for_a_provisional(far):
    """RFC 3261 9.1"""
    with Dialler(far.uri, "-c", "100") as d:
        invite = far.expect("INVITE")
        time.sleep(0.4)
        far.reply(invite, 100)
        cancel = far.expect("CANCEL")
        far.reply(cancel, 200)
        far.reply(invite, 487)
        far.expect("ACK")
        d.wait("hung_up")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("how", ["-c", "-x"])
def test_200_crosses_cancel(transport, how):
    with FarEnd(transport=transport) as far, Dialler(far.uri, how, "200") as d:
        invite = far.ring()
        cancel = far.expect("CANCEL")
        far.answer(invite)
        far.reply(cancel, 481)
        far.expect("ACK")
        bye = far.expect("BYE")
        assert bye.to_tag() == far.tag
        far.reply(bye, 200)
        d.wait("hung_up" if how == "-c" else "let_go")


def test_ring_timeout(far):
    with Dialler(far.uri, "-r", "300") as d:
        invite = far.ring()
        assert d.wait("failed", 2)[1] == 408
        cancel = far.expect("CANCEL")
        far.answer(invite)
        far.reply(cancel, 200)
        far.expect("ACK")
        far.reply(far.expect("BYE"), 200)


def test_hung_up_while_the_name_is_looked_for():
    with NameServer({("far.example", A): "silent"}) as dns, Dialler("sip:x@far.example:43100", "-c", "100", "-d", dns.at) as d:
        d.wait("hung_up", 2)


# --- challenges ---


def digest(invite, name, algorithm):
    """The answer and what it should be."""
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', invite.get(name)))
    h = lambda text: {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm](text.encode()).hexdigest()
    ha1, ha2 = h(f"bob:{given['realm']}:secret"), h(f"INVITE:{given['uri']}")
    wanted = h(f"{ha1}:{given['nonce']}:{given['nc']}:{given['cnonce']}:auth:{ha2}")
    return given, given["response"] == wanted


def challenge(status, nonce="abc", algorithm=None, realm="far", extra=""):
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return f'{name}: Digest realm="{realm}", nonce="{nonce}", qop="auth"' + (f", algorithm={algorithm}" if algorithm else "") + extra


def again(far, invite, status, headers):
    far.reply(invite, status, headers)
    far.expect("ACK")
    return far.expect("INVITE", new=invite.cseq()[0])


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("status,offered,used", [(401, [None], "MD5"), (407, ["SHA-256"], "SHA-256"), (401, ["SHA-256", "MD5"], "SHA-256"),
                                                 (407, ["MD5", "SHA-256"], "MD5"), (401, ["SHA-512-256", "MD5"], "MD5")])
def test_challenge(transport, status, offered, used):
    with FarEnd(transport=transport) as far, Dialler(far.uri, "-u", "bob:secret") as d:
        first = far.expect("INVITE")
        assert not first.get("Authorization") and not first.get("Proxy-Authorization")
        second = again(far, first, status, [challenge(status, algorithm=a) for a in offered])
        given, right = digest(second, "Authorization" if status == 401 else "Proxy-Authorization", used)
        assert right and given["uri"] == far.uri and given["nc"] == "00000001"
        assert second.get("Call-ID") == first.get("Call-ID") and second.cseq() == (2, "INVITE")
        assert second.get("From") == first.get("From") and second.body == first.body
        far.answer(second)
        ack = far.expect("ACK")
        assert ack.cseq() == (2, "ACK") and (ack.get("Authorization") or ack.get("Proxy-Authorization"))
        d.wait("answered")
        far.request(second, "BYE", 1)


def test_chain(far):
    """A proxy asks, then the callee."""
    with Dialler(far.uri, "-u", "bob:secret") as d:
        second = again(far, far.expect("INVITE"), 407, [challenge(407, realm="proxy")])
        third = again(far, second, 401, [challenge(401, nonce="def")])
        assert digest(third, "Proxy-Authorization", "MD5")[1] and digest(third, "Authorization", "MD5")[1]
        assert digest(third, "Proxy-Authorization", "MD5")[0]["nc"] == "00000002"
        far.answer(third)
        far.expect("ACK")
        d.wait("answered")
        far.request(third, "BYE", 1)


def test_stale_once(far):
    with Dialler(far.uri, "-u", "bob:secret") as d:
        second = again(far, far.expect("INVITE"), 401, [challenge(401)])
        third = again(far, second, 401, [challenge(401, nonce="new", extra=", stale=true")])
        assert digest(third, "Authorization", "MD5")[0]["nonce"] == "new"
        far.reply(third, 401, [challenge(401, nonce="newer", extra=", stale=true")])
        far.expect("ACK")
        assert d.wait("failed")[1] == 401
        assert far.nothing(0.2)


@pytest.mark.parametrize("options,headers", [
    ((), [challenge(401)]), (("-u", "bob:secret", "-R", "other"), [challenge(401)]), (("-u", "bob:secret"), []),
    (("-u", "bob:secret"), ['WWW-Authenticate: Basic realm="far"']), (("-u", "bob:secret"), ["WWW-Authenticate: Digest nonce"]),
])
def test_not_answered(far, options, headers):
    with Dialler(far.uri, *options) as d:
        far.reply(far.expect("INVITE"), 401, headers)
        far.expect("ACK")
        assert d.wait("failed")[1] == 401
        assert far.nothing(0.2)


def test_wrong_password(far):
    with Dialler(far.uri, "-u", "bob:wrong") as d:
        second = again(far, far.expect("INVITE"), 401, [challenge(401)])
        far.reply(second, 401, [challenge(401, nonce="another")])
        assert d.wait("failed")[1] == 401
        far.expect("ACK")
        assert far.nothing(0.2)


def test_realm_stays(far):
    with Dialler(far.uri, "-u", "bob:secret") as d:
        second = again(far, far.expect("INVITE"), 401, [challenge(401)])
        far.reply(second, 401, [challenge(401, nonce="x", realm="evil", extra=", stale=true")])
        assert d.wait("failed")[1] == 401


def test_no_credentials_within_the_call(far):
    with Dialler(far.uri, "-u", "bob:secret", "-b", "200") as d:
        far.taken()
        bye = far.expect("BYE")
        far.reply(bye, 401, [challenge(401)])
        d.wait("hung_up")
        assert far.nothing(0.3)


# --- within the call ---


def test_far_end_holds_and_dials(far):
    with Dialler(far.uri) as d:
        invite = far.taken()
        d.wait("answered")
        reply = far.request(invite, "INVITE", 1, body=far.sdp(direction="sendonly", version=2))
        assert reply.status == 200 and b"a=recvonly" in reply.body
        far.request(invite, "ACK", 1)
        assert d.wait("changed")[0].endswith("direction=2")
        assert far.request(invite, "UPDATE", 2, body=far.sdp(version=3)).status == 200
        assert d.wait("changed")[0].endswith("direction=0")
        reply = far.request(invite, "INFO", 3, ["Content-Type: application/dtmf-relay"], b"Signal=5\r\nDuration=160\r\n")
        assert reply.status == 200 and d.wait("digit") == ("5", 160)
        assert far.request(invite, "BYE", 4).status == 200
        assert d.wait("ended") == ("-", 0)


def test_handed_on(far):
    """With an inbound call: its caller, one hop less, our marker; and the marker is refused."""
    with Dialler(far.uri, "-i") as d, Peer("127.0.0.1", ("127.0.0.1", d.port)) as p:
        call = p.invite(body=offer())
        invite = far.ring()
        assert invite.get("Max-Forwards") == "69" and "<sip:caller@127.0.0.1>" in invite.get("From")
        assert call.tag not in invite.get("From") and invite.get("Call-ID") != call.call_id
        far.answer(invite)
        far.expect("ACK")
        call.answered()
        far.request(invite, "BYE", 1)
        call.expect("BYE")
        assert p.invite(body=offer(), headers=[f"X-Handback-Return: {invite.get('X-Handback-Return')}"]).reply("INVITE").status == 482


def test_own_name(far):
    with Dialler(far.uri, "-i", "-o") as d, Peer("127.0.0.1", ("127.0.0.1", d.port)) as p:
        call = p.invite(body=offer())
        invite = far.ring()
        assert f"<sip:agent@127.0.0.1:{d.port}>" in invite.get("From")
        far.reply(invite, 486)
        assert call.reply("INVITE").status == 486
        far.expect("ACK")


# --- names ---


def test_srv_in_order():
    """Priority before priority; an address that is out of order is passed over."""
    with FarEnd("127.0.0.2") as first, FarEnd("127.0.0.3") as second, FarEnd("127.0.0.4") as third:
        table = {("_sip._udp.far.example", SRV): [(20, 0, third.port, "c.far.example"), (10, 0, second.port, "b.far.example"),
                                                  (5, 0, first.port, "a.far.example")],
                 ("a.far.example", A): ["127.0.0.2"], ("b.far.example", A): ["127.0.0.3"], ("c.far.example", A): ["127.0.0.4"]}
        with NameServer(table) as dns, Dialler("sip:x@far.example", "-d", dns.at) as d:
            first.reply(first.expect("INVITE"), 503)
            first.expect("ACK")
            invite = second.taken()
            assert invite.start == "INVITE sip:x@far.example SIP/2.0"
            d.wait("answered")
            assert third.nothing(0.1)
            second.request(invite, "BYE", 1)


def test_silent_address():
    with FarEnd("127.0.0.2") as first, FarEnd("127.0.0.3") as second:
        table = {("_sip._udp.far.example", SRV): [(1, 0, first.port, "a.far.example"), (2, 0, second.port, "b.far.example")],
                 ("a.far.example", A): ["127.0.0.2"], ("b.far.example", A): ["127.0.0.3"]}
        with NameServer(table) as dns, Dialler("sip:x@far.example", "-d", dns.at) as d:
            late = first.expect("INVITE")
            invite = second.ring(8)
            first.answer(late)
            assert first.expect("ACK", new=0) and first.expect("BYE"), "too late"
            second.answer(invite)
            second.expect("ACK")
            d.wait("answered")
            second.request(invite, "BYE", 1)


def test_tcp_by_srv():
    with FarEnd("127.0.0.2", "tcp") as far:
        table = {("_sip._tcp.far.example", SRV): [(1, 0, far.port, "a.far.example")], ("a.far.example", A): ["127.0.0.2"]}
        with NameServer(table) as dns, Dialler("sip:x@far.example", "-d", dns.at) as d:
            invite = far.taken()
            d.wait("answered")
            far.request(invite, "BYE", 1)


def test_names_do_not_vouch_for_this_machine():
    """The name is allowed, what it resolves to is not."""
    with FarEnd("127.0.0.9") as far, NameServer({("far.example", A): ["127.0.0.9"]}) as dns:
        uri = f"sip:x@far.example:{far.port}"
        with Dialler(uri, "-a", "127.0.0.1/32", "-t", "far.example", "-t", ".example", "-d", dns.at) as d:
            assert d.wait("failed")[1] == 403
        with Dialler(uri, "-a", "127.0.0.1/32", "-d", dns.at) as d:
            assert d.wait("failed")[1] == 403
        assert far.nothing(0.1)


def test_rebinding():
    """What was judged is what is sent to: the name server is asked once."""
    with FarEnd("127.0.0.2") as good, FarEnd("127.0.0.9") as bad:
        table = {("far.example", A): [["127.0.0.2"], ["127.0.0.9"]]}
        with NameServer(table) as dns, Dialler(f"sip:x@far.example:{good.port}", "-a", "127.0.0.1/32", "-t", "127.0.0.2", "-d", dns.at,
                                               "-b", "100") as d:
            good.taken()
            good.reply(good.expect("BYE"), 200)
            d.wait("hung_up")
            assert len([1 for n, t in dns.asked if t == A]) == 1
            assert bad.nothing(0.1)


def test_unknown_name():
    with NameServer({}) as dns, Dialler("sip:x@nowhere.example", "-d", dns.at) as d:
        assert d.wait("failed") == ("the host is not known", 503)
