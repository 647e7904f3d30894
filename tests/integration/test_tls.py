"""SIP over TLS: versions, certificates, calls, and what a public TLS port has to bear."""
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import wave

import pytest
from caller import OUTPUT, Caller
from handback import SANITIZED, SLOW, System, eventually
from sip_peer import Call
from tls_peer import TLS_PORT, Authority, TlsCaller, TlsPeer, client, openssl, tls_config

SILENT = 15  # seconds a connection may be silent at first


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def system(ca):
    instance = System()
    try:
        # A softphone lets the kernel choose where it calls from.
        instance.config["accounts"][0]["sip"]["allow"].append("127.0.0.1/32")
        tls_config(instance, ca).start()
        yield instance
        instance.stop()
    finally:
        instance.destroy()


def s_client(system, *options):
    return openssl("s_client", "-connect", f"{system.address}:{TLS_PORT}", "-bind", f"{system.host(9)}:0", *options,
                   input="")


# --- what is negotiated ---


@pytest.mark.parametrize("version,good", [("tls1", False), ("tls1_1", False), ("tls1_2", True), ("tls1_3", True)])
def test_versions(system, version, good):
    done = s_client(system, f"-{version}", "-cipher", "DEFAULT:@SECLEVEL=0")
    names = {"tls1_2": "TLSv1.2", "tls1_3": "TLSv1.3"}
    if good:
        assert f"New, {names[version]}, Cipher is " in done.stdout
    else:
        assert "Cipher is (NONE)" in done.stdout and "alert protocol version" in done.stderr


def test_chain_and_name(system, ca):
    done = s_client(system, "-CAfile", ca.file, "-verify_ip", system.address, "-verify_return_error", "-showcerts")
    assert "Verify return code: 0 (ok)" in done.stdout, done.stderr
    assert done.stdout.count("BEGIN CERTIFICATE") == 2, "with the intermediate certificate"
    assert "Secure Renegotiation IS supported" in s_client(system, "-tls1_2").stdout


def test_weak_ciphers_are_refused(system):
    done = s_client(system, "-tls1_2", "-cipher", "aNULL:eNULL:RC4:3DES:@SECLEVEL=0")
    assert "Cipher is (NONE)" in done.stdout


# --- calls ---


def test_call(system, ca):
    id = system.create(inputContext={"taskName": "menu", "inputVariables": {}})
    with TlsCaller(system, context=client(ca)) as caller:
        reply = caller.talk(id)
        assert f"<sip:{system.address}:{TLS_PORT};transport=tls>" in reply.get("Contact")
        eventually(lambda: caller.rtp.loud() > 10, 5, "the prompt is heard")
        caller.press("1")
        bye = caller.handed_back()  # over this connection: nobody listens at our Contact
        assert bye.get("Via").startswith("SIP/2.0/TLS ")
        assert system.transfer(id)["outputContext"] == OUTPUT
    assert system.entry(id, "invite")["info"]["transport"] == "tls"


def test_call_over_ipv6(fresh, ca):
    system = tls_config(fresh(address="::1"), ca).start()
    with TlsCaller(system, context=client(ca)) as caller:
        assert f"<sip:[::1]:{TLS_PORT};transport=tls>" in caller.talk(system.create()).get("Contact")
        caller.press("1")
        assert caller.handed_back().get("Via").startswith(f"SIP/2.0/TLS [::1]:{TLS_PORT}")


def test_public_address(fresh, ca):
    """Behind NAT: what is advertised is not what is bound."""
    system = fresh(config={"sip": {"public_address": ["192.0.2.80"]}})
    tls_config(system, ca).start()
    with TlsCaller(system) as caller:
        assert f"<sip:192.0.2.80:{TLS_PORT};transport=tls>" in caller.talk(system.create()).get("Contact")
        caller.press("1")
        assert caller.handed_back().get("Via").startswith(f"SIP/2.0/TLS 192.0.2.80:{TLS_PORT}")


def test_secure_uris(system):
    """Asked by sips:, answered by sips: (RFC 3261 12.1.1)."""
    with TlsCaller(system) as caller:
        call = caller.call = Call(caller.peer)
        call.target = f"sips:agent@{system.address}:{TLS_PORT}"
        call.invite(body=caller.offer(), transfer=system.create())
        reply = call.answered()
        assert f"<sips:{system.address}:{TLS_PORT}>" in reply.get("Contact")
        assert call.bye().status == 200


@pytest.mark.parametrize("route", [(), ("Record-Route: <sip:192.0.2.7:5061;transport=tls;lr>",)])
def test_contact_out_of_reach(system, route):
    """What we send goes back over the connection, whatever Contact and Record-Route say."""
    with TlsCaller(system) as caller:
        caller.call = Call(caller.peer)
        build = caller.call.build
        caller.call.build = lambda *a, **k: re.sub(rb"Contact: <[^>]*>", b"Contact: <sip:c@192.0.2.9:5071;transport=tls>",
                                                   build(*a, **k))
        caller.call.invite(body=caller.offer(), transfer=system.create(), headers=route)
        reply = caller.call.answered()
        caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
        caller.rtp.wait(1)
        caller.press("1")
        bye = caller.handed_back()
        assert bye.start.startswith("BYE sip:c@192.0.2.9:5071;transport=tls ")
        assert len(bye.all("Route")) == len(route)


def test_many_calls_over_one_connection(system):
    with TlsPeer(system.host(), (system.address, TLS_PORT)) as peer:
        calls = []
        for _ in range(20):
            with Caller(system) as media:
                calls.append(peer.invite(body=media.offer(), transfer=system.create()))
        for call in calls:
            call.answered()
        for call in calls:
            assert call.bye().status == 200


def test_message_in_small_pieces(system):
    with TlsPeer(system.host(), (system.address, TLS_PORT)) as peer:
        call = Call(peer)
        for byte in call.build("OPTIONS", cseq=1, to_tag=False):
            peer.send(bytes([byte]))
        call.cseq = 1
        assert call.reply("OPTIONS").status == 200


def test_peer_closes_without_a_word(system):
    """A connection that just ends, with a call on it, hurts nobody; the call ends when its media does."""
    id = system.create()
    caller = TlsCaller(system)
    caller.talk(id)
    caller.peer.sock.shutdown(socket.SHUT_RDWR)
    caller.peer.close()
    caller.press("1")
    system.completed(id)
    caller.rtp.close()
    with TlsPeer(system.host(), (system.address, TLS_PORT)) as peer:
        assert peer.options() == 200


# --- what a TLS port has to bear ---


def half_open(system, hosts, each, first=b""):
    sockets = []
    for host in hosts:
        for _ in range(each):
            sock = socket.socket()
            sock.bind((system.host(host), 0))
            sock.connect((system.address, TLS_PORT))
            sock.sendall(first)
            sockets.append(sock)
    return sockets


# A ClientHello that breaks off: the handshake never gets on.
HELLO = bytes.fromhex("16030100c8010000c40303") + os.urandom(20)


def test_half_open_connections(fresh, ca):
    """500 of them, half silent, half in mid-handshake; calls by UDP go on, and they are gone in time."""
    system = tls_config(fresh(), ca).start()
    worker = system.workers[0]
    fds = worker.fds()
    sockets = half_open(system, (20, 21), 125) + half_open(system, (22, 23), 125, HELLO)
    eventually(lambda: worker.fds() >= fds + 500, 5, "500 connections")
    started, setup = time.monotonic(), []
    while time.monotonic() - started < SILENT / 2:
        with Caller(system) as caller:
            begin = time.monotonic()
            caller.talk(system.create())
            setup.append(time.monotonic() - begin)
            caller.press("1")
            caller.handed_back()
    assert len(setup) >= 3 and sorted(setup)[len(setup) // 2] < 1 * SLOW, setup
    with TlsPeer(system.host(24), (system.address, TLS_PORT)) as peer:
        assert peer.options() == 200, "another address still gets through"
    assert worker.fds() > fds + 400, "all this while they were there"
    eventually(lambda: worker.fds() < fds + 20, SILENT + 3, "they are closed")
    for sock in sockets:
        sock.close()


def test_limit_per_address(system):
    """256 connections of an account's address; one of a stranger is not even accepted."""
    sockets = half_open(system, (30,), 270)
    try:
        time.sleep(0.5)
        closed = 0
        for sock in sockets:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                closed += sock.recv(1) == b""
        assert closed == 270 - 256
        with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
            TlsPeer(system.host(200), (system.address, TLS_PORT))
    finally:
        for sock in sockets:
            sock.close()


def test_failed_handshakes_break_nobody_else(system):
    """Errors that one connection leaves in OpenSSL's queue are not another one's."""
    with TlsCaller(system) as caller, TlsPeer(system.host(12), (system.address, TLS_PORT)) as peer:
        caller.talk(system.create())
        for junk in [b"GET / HTTP/1.0\r\n\r\n", os.urandom(100), HELLO, b"\x16\x03\x01\x00\x02\x01\x00", b"\x80" * 64,
                     b"OPTIONS sip:x SIP/2.0\r\n\r\n"] * 4:
            sock, = half_open(system, (13,), 1, junk)
            assert peer.options() == 200
            sock.close()
            assert peer.options() == 200
        s_client(system, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
        assert peer.options() == 200
        caller.press("1")
        caller.handed_back()


def test_peer_that_does_not_read(system):
    """Its answers pile up to the limit of a socket and a queue; others go on, and so does it when it reads again."""
    worker = system.workers[0]
    with TlsPeer(system.host(14), (system.address, TLS_PORT), buffer=32768) as deaf, \
            TlsPeer(system.host(15), (system.address, TLS_PORT)) as peer:
        rss = worker.rss_kb()
        deaf.sock.settimeout(2)
        with contextlib.suppress(OSError):
            for number in range(30000):
                deaf.sock.sendall(Call(deaf).build("OPTIONS", cseq=1, to_tag=False, headers=["X-Pad: " + "x" * 500]))
                if number % 1000 == 0:
                    assert peer.options() == 200
        assert worker.alive() and peer.options() == 200
        assert SANITIZED or worker.rss_kb() < rss + 8192
        assert number > 1000
        for _ in range(1000):
            assert deaf.wait(lambda m: True, 5).status == 200, "what waited comes, whole and in order"
        assert worker.alive() and peer.options() == 200
    with TlsPeer(system.host(14), (system.address, TLS_PORT)) as again:
        assert again.options() == 200


def test_memory_of_connections(fresh, ca):
    """1,000 connects, half of them without a handshake (the library alone keeps 25 to 44 kB of each)."""
    system = tls_config(fresh(), ca).start()
    worker, context, sizes = system.workers[0], client(), []

    def connect(number):
        sock = socket.socket()
        sock.bind((system.host(20 + number % 100), 0))
        sock.connect((system.address, TLS_PORT))
        if number % 2:
            sock = context.wrap_socket(sock)
        sock.close()

    for step in range(6):
        for number in range(200):
            connect(number)
        sizes.append(worker.rss_kb())
    print(f"\nRSS after each 200 connects: {sizes} kB; slope of the last 1,000: {(sizes[-1] - sizes[0]) / 1000:.2f} kB")
    assert SANITIZED or sizes[-1] - sizes[0] < 1000, "1 kB a connection at the very most"


# --- a softphone of others ---

ACCOUNT = "<sip:tester@{host};transport=tls>;regint=0;audio_codecs=PCMU\n"
SOFTPHONE = """\
net_interface {host}
sip_listen {host}:0
sip_cafile {ca}
sip_certificate {certificate}
audio_source aufile,{sound}
rtp_ports 45100-45200
module_path /usr/lib/baresip/modules
module stdio.so
module g711.so
module aufile.so
module_tmp account.so
module_app menu.so
"""


@pytest.mark.skipif(not shutil.which("baresip"), reason="baresip is not installed")
def test_softphone(system, ca, tmp_path):
    """baresip calls by TLS, checks our certificate, and the call comes back."""
    certificate, key = ca.issue("softphone", f"IP:{system.host(40)}")
    both = tmp_path / "both.pem"
    both.write_text(open(certificate).read() + open(key).read())
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000 * 30))
    fill = {"host": system.host(40), "ca": ca.file, "certificate": both, "sound": tmp_path / "sound.wav"}
    (tmp_path / "config").write_text(SOFTPHONE.format(**fill))
    (tmp_path / "accounts").write_text(ACCOUNT.format(**fill))
    (tmp_path / "contacts").write_text("")
    log = tmp_path / "log"
    process = subprocess.Popen(["baresip", "-f", tmp_path, "-s", "-t", "30", "-e",
                                f"/dial sip:agent@{system.address}:{TLS_PORT};transport=tls"],
                               stdin=subprocess.PIPE, stdout=log.open("wb"), stderr=subprocess.STDOUT)
    try:
        eventually(lambda: b"Call established" in log.read_bytes(), 10, "the call is answered")
        time.sleep(0.5)
        process.stdin.write(b"1")
        process.stdin.flush()
        eventually(lambda: b"\nBYE sip:" in log.read_bytes(), 10, "the call comes back")
    finally:
        process.terminate()
        process.wait(10)
        text = log.read_text(errors="replace")
        print(text[-3000:])
    assert "session closed" in text and f"TLS {system.address}:{TLS_PORT}" in text
    call = next(c for c in system.calls() if c["from"].startswith("sip:tester@"))
    assert system.completed(call["transfer"])["outputContext"] == OUTPUT
