"""Handing a call back by REFER, on the wire: tests/bench/sip-worker/sip_answer.c sends one after the ACK
(-R) and hangs up after its last word."""
import contextlib
import hashlib
import re
import shutil
import subprocess
import time

import pytest
from sip_answerer import ROOT, answering, needs_program, start

pytestmark = needs_program

# What the library would write another way: escapes, upper case, order of parameters, quotes.
REFER_TO = ("<sip:%61gent;Ext=1@PBX.example.com:5060;user=phone;Transport=UDP?X-GA-extConId=conv%2d1&X-GA-transfer=SYSTEM"
            "&X-GA-tv-next_action=schedule%20callback&User-to-User=56a3%3Bencoding%3Dhex>")
FRAG = "message/sipfrag;version=2.0"
TRANSPORTS = ("udp", "tcp")


@pytest.fixture(scope="module")
def server():
    with answering("-R", REFER_TO, "-B", "<sip:agent@127.0.0.1>") as a:
        yield a


@pytest.fixture(params=TRANSPORTS)
def far(request, server):
    """A call on which a REFER came."""
    server.forget()
    with server.peer(request.param) as p:
        yield Far(server, p)


class Far:
    """The far end of a call that is being handed back."""

    def __init__(self, server, peer, **kwargs):
        self.server, self.peer = server, peer
        self.call = start(peer, **kwargs)
        self.refer = self.call.expect("REFER", answer=None)

    def again(self):
        self.refer = self.call.expect("REFER", answer=None)
        return self.refer

    def accept(self, status=202, headers=()):
        self.call.answer(self.refer, status, headers)

    def notify(self, frag=None, state="active;expires=60", event="refer", content=FRAG, want=200):
        headers = ([f"Event: {event}"] if event else []) + ([f"Subscription-State: {state}"] if state else [])
        body = frag.encode() if frag is not None else b""
        reply = self.call.request("NOTIFY", headers=headers, body=body, content=content)
        assert reply.status == want, reply
        return reply

    def states(self, *wanted):
        for state in wanted:
            said = self.server.wait("refer")
            assert said.startswith(state + ","), (said, state)

    def hung_up(self):
        bye = self.call.expect("BYE")
        assert 'Q.850;cause=16' in bye.get("Reason")
        self.server.wait("hung_up")
        assert not any(l.startswith("refer") for l in self.server.lines)


# --- the request ---


def test_request(far):
    assert re.search(rb"\r\nRefer-To: " + re.escape(REFER_TO.encode()) + rb"\r\n", far.refer.raw), far.refer
    assert b"\r\nReferred-By: <sip:agent@127.0.0.1>\r\n" in far.refer.raw
    assert far.refer.get("Contact") and far.refer.get("Max-Forwards") == "70"
    assert f"caller@127.0.0.1:{far.peer.port}" in far.refer.start
    assert far.refer.get("Authorization") is None
    far.accept()
    far.notify("SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
    far.states("accepted", "answered")
    far.hung_up()


def test_route_set(server):
    server.forget()
    with server.peer() as p:
        route = f"<sip:127.0.0.1:{p.port};lr;ftag=1>"
        far = Far(server, p, headers=[f"Record-Route: {route}", "Record-Route: <sip:192.0.2.7;lr>"])
        assert far.refer.all("Route") == [route, "<sip:192.0.2.7;lr>"] or far.refer.get("Route") == f"{route}, <sip:192.0.2.7;lr>"
        far.call.answer(far.refer, 603)
        far.states("failed")
        far.hung_up()


# --- what came of it ---


@pytest.mark.parametrize("frag,state,last", [
    ("SIP/2.0 200 OK\r\n", "terminated;reason=noresource", "answered,200,OK"),
    ("SIP/2.0 200 OK", "active;expires=10", "answered,200,OK"),
    ("\r\nsip/2.0  200  Okay then\r\nTo: <sip:x@y>;tag=1\r\n\r\n", None, "answered,200,Okay then"),
    ("SIP/2.0 204\r\n", "terminated", "answered,204,"),
    ("SIP/2.0 486 Busy Here\r\n", "terminated;reason=noresource", "failed,486,Busy Here"),
    ("SIP/2.0 302 Moved\r\n", "active", "failed,302,Moved"),
    ("SIP/2.0 603 Decline", "TERMINATED", "failed,603,Decline"),
    (None, "terminated;reason=noresource", "unknown,0,noresource"),
    ("SIP/2.0 100 Trying\r\n", "terminated;reason=timeout", "unknown,100,timeout"),
    ("SIP/2.0 180 Ringing\r\n", "terminated", "unknown,180,Ringing"),
    ("nonsense", "terminated;reason=giveup", "unknown,0,giveup"),
])
def test_last_word(far, frag, state, last):
    far.accept()
    far.notify(frag, state)
    far.states("accepted")
    assert far.server.wait("refer") == last
    far.hung_up()


def test_steps(far):
    far.accept(200)
    far.notify()
    far.notify("SIP/2.0 100 Trying\r\n")
    far.notify("SIP/2.0 180 Ringing\r\n", event="REFER")
    far.notify("SIP/2.0 183 Session Progress\r\n", event=f"refer;id={far.refer.cseq()[0]}")
    far.notify("SIP/2.0 700 What\r\n")
    far.notify("SIP/2.0 200 OK\r\n", "terminated", content="Message/SIPFRAG")
    far.states("accepted", "trying", "trying", "ringing", "ringing", "trying", "answered")
    far.hung_up()


def test_without_event_header(far):
    far.accept()
    far.notify("SIP/2.0 200 OK\r\n", "terminated", event=None)
    far.states("accepted", "answered")
    far.hung_up()


def test_notify_before_202(far):
    far.notify("SIP/2.0 100 Trying\r\n")
    far.states("trying")
    far.accept()
    far.notify("SIP/2.0 200 OK\r\n", "terminated")
    far.states("answered")
    far.hung_up()


def test_last_word_before_202(far):
    far.notify("SIP/2.0 200 OK\r\n", "terminated")
    far.states("answered")
    far.accept()
    far.hung_up()


def test_refused_after_a_notify(far):
    far.notify("SIP/2.0 100 Trying\r\n")
    far.call.answer(far.refer, 503)
    far.states("trying", "failed")
    far.hung_up()


@pytest.mark.parametrize("status", [400, 403, 404, 405, 420, 481, 491, 500, 503, 603])
def test_refused(far, status):
    far.call.answer(far.refer, status)
    assert far.server.wait("refer").startswith(f"failed,{status},")
    far.hung_up()


def test_no_subscription(far):
    far.accept(headers=["Refer-Sub: false"])
    far.states("accepted", "unknown")
    far.hung_up()


def test_foreign_notify(far):
    """Another event, another subscription, and one on a call without any."""
    far.accept()
    reply = far.notify(event="presence", want=489)
    assert reply.get("Allow-Events") == "refer"
    far.notify("SIP/2.0 200 OK\r\n", event=f"refer;id={far.refer.cseq()[0] + 7}", want=481)
    far.notify("SIP/2.0 200 OK\r\n", event="refer;id=x", want=481)
    far.notify("SIP/2.0 200 OK\r\n", event=f"refer;id={far.refer.cseq()[0]}")
    far.states("accepted", "answered")
    far.hung_up()
    with answering() as a, a.peer() as p:
        call = start(p)
        assert call.request("NOTIFY", headers=["Event: refer", "Subscription-State: active"]).status == 481
        assert call.bye().status == 200


def test_repeated_last_word():
    """The BYE is held back here: nothing is told twice."""
    with answering("-R", REFER_TO, "-b", "400") as a, a.peer() as p:
        far = Far(a, p)
        far.accept()
        far.notify("SIP/2.0 200 OK\r\n")
        far.notify("SIP/2.0 200 OK\r\n", "terminated")
        far.notify("SIP/2.0 486 Busy\r\n", "terminated")
        far.states("accepted", "answered")
        far.hung_up()
        far.notify("SIP/2.0 200 OK\r\n", want=481)


def test_second_refer():
    """After a failure once more, in the same dialog; what is still said of the first one is not heard."""
    with answering("-R", REFER_TO, "-A") as a, a.peer() as p:
        far = Far(a, p)
        first = far.refer.cseq()[0]
        far.accept()
        far.notify("SIP/2.0 486 Busy Here\r\n")
        far.states("accepted", "failed")
        far.again()
        assert far.refer.cseq()[0] > first
        far.accept()
        far.notify("SIP/2.0 200 OK\r\n", "terminated", event=f"refer;id={first}")
        far.notify("SIP/2.0 200 OK\r\n", "terminated", event=f"refer;id={far.refer.cseq()[0]}")
        far.states("accepted", "answered")
        far.hung_up()


def test_no_answer():
    with answering("-R", REFER_TO) as a, a.peer() as p:
        far = Far(a, p)
        began = time.monotonic()
        assert a.wait("refer", 40).startswith("failed,408,")
        assert time.monotonic() - began < 34
        p.inbox.clear()
        far.hung_up()


# --- the call ends meanwhile ---


PHASES = {
    "unanswered": lambda far: None,
    "accepted": lambda far: far.accept(),
    "ringing": lambda far: (far.accept(), far.notify("SIP/2.0 180 Ringing\r\n")),
    "notified": lambda far: far.notify("SIP/2.0 180 Ringing\r\n"),
}


@pytest.mark.parametrize("phase", PHASES)
def test_peer_hangs_up(far, phase):
    PHASES[phase](far)
    assert far.call.bye().status == 200
    far.server.wait("ended")
    far.server.forget()
    far.accept()
    far.notify("SIP/2.0 200 OK\r\n", "terminated", want=481)
    assert not far.server.lines


@pytest.mark.parametrize("let_go", [(), ("-D",)], ids=["bye", "destroy"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_we_hang_up(transport, phase, let_go):
    with answering("-R", REFER_TO, "-b", "150", *let_go) as a, a.peer(transport) as p:
        far = Far(a, p)
        PHASES[phase](far)
        bye = far.call.expect("BYE", answer=None)
        far.accept()
        far.notify("SIP/2.0 200 OK\r\n", "terminated", want=481)
        far.call.answer(bye, 200)
        if not let_go:
            a.wait("hung_up")
        assert not any("answered" in l for l in a.lines if l.startswith("refer"))
        assert int(a.stop()["legs"]) == 0


# --- challenges ---


def digest(header, request, password="sesame"):
    """The response that should be in a request; None where it has no credentials."""
    value = request.get(header)
    if value is None:
        return None, None
    p = {n: v.strip('"') for n, v in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,\s]+)', value.partition(" ")[2])}
    hash_ = hashlib.sha256 if p.get("algorithm") == "SHA-256" else hashlib.md5
    h = lambda *parts: hash_(":".join(parts).encode()).hexdigest()
    a1, a2 = h(p["username"], p["realm"], password), h("REFER", p["uri"])
    middle = (p["nonce"], p["nc"], p["cnonce"], p["qop"]) if "qop" in p else (p["nonce"],)
    return p, h(a1, *middle, a2)


@pytest.fixture(scope="module")
def known():
    with answering("-R", REFER_TO, "-l", "pbx:hand:sesame") as a:
        yield a


@pytest.fixture(params=TRANSPORTS)
def asked(request, known):
    known.forget()
    with known.peer(request.param) as p:
        yield Far(known, p)


def challenge(status, text, realm="pbx"):
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return f'{name}: Digest realm="{realm}", {text}'


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("texts,algorithm", [
    (['nonce="n1", qop="auth", algorithm=MD5, opaque="o\\"1"'], "MD5"),
    (['nonce="n1"'], None),
    (['nonce="n1", qop="auth-int,auth", algorithm=SHA-256'], "SHA-256"),
    (['nonce="n1", algorithm=SHA-512-256, qop="auth"', 'nonce="n2", algorithm=SHA-256, qop="auth"',
      'nonce="n3", algorithm=MD5'], "SHA-256"),
    (['nonce="n1", algorithm=MD5, qop="auth"', 'nonce="n2", algorithm=SHA-256, qop="auth"'], "MD5"),
])
def test_challenge(asked, status, texts, algorithm):
    first = asked.refer
    asked.call.answer(first, status, [challenge(status, text) for text in texts])
    again = asked.again()
    header = "Authorization" if status == 401 else "Proxy-Authorization"
    given, expected = digest(header, again)
    assert given["response"] == expected and given["username"] == "hand"
    assert given.get("algorithm") == algorithm
    assert ("qop" in given) == ("qop" in texts[0]) and given.get("nc", "00000001") == "00000001"
    assert given["uri"] == again.start.split()[1] == first.start.split()[1]
    assert 'opaque="o\\"1"' in again.get(header) or "opaque" not in texts[0]
    assert again.cseq()[0] == first.cseq()[0] + 1 and again.get("Call-ID") == first.get("Call-ID")
    assert REFER_TO.encode() in again.raw
    asked.accept()
    asked.notify("SIP/2.0 200 OK\r\n", "terminated", event=f"refer;id={first.cseq()[0]}")
    asked.states("accepted", "answered")
    asked.hung_up()


@pytest.mark.parametrize("headers", [
    [challenge(401, 'nonce="n"', realm="other")],
    [challenge(401, 'nonce="n", qop="auth-int"')],
    [challenge(401, 'nonce="n", algorithm=MD5-sess')],
    ["WWW-Authenticate: Basic realm=\"pbx\""],
    [],
    [challenge(407, 'nonce="n"')],
])
def test_challenge_not_for_us(asked, headers):
    asked.call.answer(asked.refer, 401, headers)
    assert asked.server.wait("refer").startswith("failed,401,")
    asked.hung_up()


def test_challenge_answered_once(asked):
    for status, text, last in ((407, 'nonce="n1", qop="auth"', False), (401, 'nonce="n2", qop="auth"', True)):
        asked.call.answer(asked.refer, status, [challenge(status, text)])
        if not last:
            asked.again()
    assert asked.server.wait("refer").startswith("failed,401,")
    asked.hung_up()


def test_stale_nonce(asked):
    for text in ('nonce="n1", qop="auth"', 'nonce="n2", qop="auth", stale=TRUE', 'nonce="n3", qop="auth", stale=true'):
        asked.call.answer(asked.refer, 401, [challenge(401, text)])
        if "n3" not in text:
            given, expected = digest("Authorization", asked.again())
            assert given["response"] == expected and f'nonce="{given["nonce"]}"' in text
    assert asked.server.wait("refer").startswith("failed,401,")
    asked.hung_up()


def test_no_credentials_for_a_bye(asked):
    asked.call.answer(asked.refer, 603)
    bye = asked.call.expect("BYE", answer=None)
    asked.call.answer(bye, 401, [challenge(401, 'nonce="n"')])
    asked.server.wait("hung_up")
    asked.peer.inbox.clear()
    assert asked.peer.nothing(0.3)


# --- sipp as the far end ---


SCENARIOS = {
    "refer-202-notify-200": ("accepted,202", "trying,100", "ringing,180", "answered,200"),
    "refer-202-notify-486": ("accepted,202", "trying,100", "failed,486"),
    "refer-202-notify-100-only": ("accepted,202", "unknown,100"),
    "refer-202-notify-without-body": ("accepted,202", "unknown,0"),
    "refer-202-norefersub": ("accepted,202", "unknown,0"),
    "refer-202-bye": ("accepted,202",),
    "refer-202-ringing-bye": ("accepted,202", "ringing,180"),
    "refer-202-bye-notify": ("accepted,202",),
    "refer-notify-before-202": ("trying,100", "answered,200"),
    "refer-603": ("failed,603",),
    "refer-405": ("failed,405",),
    "refer-407": ("accepted,202", "answered,200"),
    "refer-401-again": ("failed,401",),
    "refer-no-answer-bye": (),
    "refer-202-no-notify": ("accepted,202",),
}


@pytest.mark.skipif(not shutil.which("sipp"), reason="sipp is not installed")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(known, name, transport, tmp_path):
    with contextlib.ExitStack() as stack:
        # Who never reports is hung up on after a while.
        a = stack.enter_context(answering("-R", REFER_TO, "-b", "500")) if name == "refer-202-no-notify" else known
        a.forget()
        command = ["sipp", f"127.0.0.1:{a.port}", "-sf", str(ROOT / f"tests/sipp/{name}.xml"), "-m", "1", "-s", "agent",
                   "-i", "127.0.0.1", "-key", "transfer", "t-1", "-d", "300", "-timeout", "10", "-timeout_error",
                   "-t", "u1" if transport == "udp" else "t1"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=20)
        assert result.returncode == 0, result.stdout.decode(errors="replace")[-2000:]
        a.wait("ended" if "bye" in name else "hung_up")
        said = [l.split(" ", 1)[1] for l in a.lines if l.startswith("refer ")]
        assert [",".join(l.split(",")[:2]) for l in said] == list(SCENARIOS[name])
