"""Certificates: those of clients and servers, a new one of ours, and what the configuration says of them."""
import contextlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from far_end import FarEnd
from handback import BIN, eventually
from sip_peer import Call, Message
from tls_peer import TLS_PORT, Authority, TlsCaller, TlsPeer, client, tls_config


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Another authority, which nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


def refused(connect):
    """By an alert, at the handshake or at the first read after it (TLS 1.3)."""
    try:
        with connect() as peer:
            peer.options(timeout=3)
    except (ssl.SSLError, ConnectionError, AssertionError):
        return True
    return False


def test_client_certificates(fresh, ca, stranger):
    system = tls_config(fresh(), ca, udp=False, verify_clients=True)
    system.start()
    server = (system.address, TLS_PORT)
    good = client(ca, ca.issue("sbc", "DNS:sbc.example"))
    with TlsPeer(system.host(), server, good) as peer:
        assert peer.options() == 200
    assert refused(lambda: TlsPeer(system.host(), server)), "none shown"
    assert refused(lambda: TlsPeer(system.host(), server, client(ca, stranger.issue("sbc")))), "nobody's we know"
    own = client(ca, (system.config["sip"]["tls"]["certificate"], system.config["sip"]["tls"]["key"]))
    with TlsPeer(system.host(), server, own) as peer:
        assert peer.options() == 200
    assert ping(system) == 0, "--ping shows our own certificate"
    text = system.workers[0].text()
    assert "peer did not return a certificate" in text and "certificate verify failed" in text
    with TlsCaller(system, context=good) as caller:
        caller.talk(system.create())
        caller.press("1")
        caller.handed_back()


def ping(system):
    return subprocess.run([BIN / "sip-worker", "--config", system.write_config(), "--ping"], timeout=10).returncode


class Server:
    """A TLS server for connections of the worker; keeps the first message."""

    def __init__(self, address, certificate):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.sock = socket.create_server((address, 0))
        self.port = self.sock.getsockname()[1]
        self.messages, self.errors = [], []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        self.sock.settimeout(10)
        with contextlib.suppress(TimeoutError, OSError):
            while True:
                connection, _ = self.sock.accept()
                connection.settimeout(5)
                try:
                    with self.context.wrap_socket(connection, server_side=True) as tls:
                        self.messages.append(Message(tls.recv(65535)))
                        copied = [f"{n}: {v}" for n in ("Via", "From", "To", "Call-ID", "CSeq")
                                  for v in self.messages[-1].all(n)]
                        tls.sendall("\r\n".join(["SIP/2.0 200 OK", *copied, "Content-Length: 0", "", ""]).encode())
                        time.sleep(0.2)
                except (ssl.SSLError, OSError) as e:
                    self.errors.append(str(e))

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(6)


@pytest.mark.parametrize("verify,known,names,good", [
    (True, True, "IP:{}", True),
    (True, True, "IP:127.0.0.77", False),
    (True, True, "DNS:sbc.example", False),
    (True, False, "IP:{}", False),
    (False, False, "DNS:sbc.example", True),
], ids=["right", "another address", "a name alone", "unknown authority", "not verified"])
def test_server_certificates(fresh, ca, stranger, verify, known, names, good):
    """The connection of a call is gone when we hang up: a new one goes to its Contact, if it proves who it is."""
    system = tls_config(fresh(), ca, verify_servers=verify).start()
    issuer = ca if known else stranger
    server = Server(system.host(11), issuer.issue("peer", names.format(system.host(11))))
    caller = TlsCaller(system)
    caller.call = Call(caller.peer)
    build = caller.call.build
    contact = f"Contact: <sip:c@{system.host(11)}:{server.port};transport=tls>".encode()
    caller.call.build = lambda *a, **k: re.sub(rb"Contact: <[^>]*>", contact, build(*a, **k))
    caller.call.invite(body=caller.offer(), transfer=system.create())
    reply = caller.call.answered()
    caller.rtp.start((reply.sdp_address(), reply.sdp_port()))
    caller.rtp.wait(1)
    caller.peer.close()
    time.sleep(0.3)
    caller.press("1")
    if good:
        eventually(lambda: server.messages, 5, f"a BYE at the Contact; {server.errors}")
        assert server.messages[0].method == "BYE"
    else:
        eventually(lambda: "event=tls-failed role=client" in system.workers[0].text(), 5, "a refusal in the log")
        assert not server.messages
    caller.rtp.close()
    server.close()


# --- changing the certificate ---


def test_reload(fresh, ca):
    system = tls_config(fresh(), ca).start()
    server, worker = (system.address, TLS_PORT), system.workers[0]
    with TlsCaller(system) as old:
        id = system.create()
        old.talk(id)
        before = old.peer.sock.getpeercert(True)
        certificate, key = ca.issue("second", f"IP:{system.address}")
        system.config["sip"]["tls"].update(certificate=certificate, key=key)
        system.write_config()
        worker.signal(signal.SIGHUP)
        eventually(lambda: "event=reloaded" in worker.text(), 5, "the reload in the log")
        with TlsPeer(system.host(), server, client(ca)) as new:
            assert new.sock.getpeercert(True) != before and new.options() == 200
            after = new.sock.getpeercert(True)
        # What cannot be used changes nothing, and the log says why.
        for name, text, why in [("key", "x", "sip.tls.key"), ("certificate", "x", "sip.tls.certificate"),
                                ("key", "another", "key values mismatch")]:
            bad = system.folder / "bad.pem"
            bad.write_text(text)
            if text == "another":
                shutil.copy(ca.issue("third")[1], bad)
            system.config["sip"]["tls"].update(certificate=certificate, key=key)
            system.config["sip"]["tls"][name] = str(bad)
            system.write_config()
            worker.signal(signal.SIGHUP)
            eventually(lambda: re.search(f"event=reload_failed.*{why}", worker.text()), 5, why)
        with TlsPeer(system.host(), server, client(ca)) as new:
            assert new.sock.getpeercert(True) == after
        old.press("1")
        old.handed_back()
        system.completed(id)


def test_configuration_errors(fresh, ca):
    system = tls_config(fresh(), ca)

    def check(*options):
        return subprocess.run([BIN / "sip-worker", "--config", system.write_config(), *options], capture_output=True,
                              text=True, timeout=10)

    del system.config["sip"]["tls"]
    done = check("--check-config")
    assert done.returncode == 2 and "a tls listener needs sip.tls.certificate and sip.tls.key" in done.stderr
    system.config["sip"]["tls"] = {"certificate": "missing.pem", "key": "missing.key"}
    done = check()
    assert done.returncode == 1 and "sip.tls.certificate" in done.stderr and "missing.pem" in done.stderr


def test_ping_by_tls_alone(fresh, ca):
    system = tls_config(fresh(), ca, udp=False)
    assert ping(system) == 1
    system.start()
    assert ping(system) == 0


class TlsFarEnd(FarEnd):
    def __init__(self, address, certificate):
        super().__init__(address, "tcp")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.listener = context.wrap_socket(self.listener, server_side=True)
        self.transport = "tls"

    @property
    def uri(self):
        return f"sip:agent@{self.host}:{self.port};transport=tls"


@pytest.mark.parametrize("scheme", ["sip", "sips"])
def test_return_by_invite(fresh, ca, scheme):
    """An INVITE of ours goes to a server by TLS, which proves who it is, and all of the call with it."""
    system = tls_config(fresh(), ca).start()
    with TlsFarEnd(system.host(11), ca.issue("agent", f"IP:{system.host(11)}")) as far, TlsCaller(system) as caller:
        uri = far.uri.replace("sip:", f"{scheme}:")
        id = system.create(sip={"returnURI": uri, "returnTransferType": "INVITE"})
        caller.talk(id)
        caller.press("1")
        invite = far.ring()
        assert invite.start == f"INVITE {uri} SIP/2.0" and invite.get("Via").startswith("SIP/2.0/TLS ")
        assert re.match(rf".*<{scheme}:{system.address}:{TLS_PORT}", invite.get("Contact"))
        far.answer(invite)
        far.expect("ACK")
        assert caller.call.bye().status == 200
        far.reply(far.expect("BYE"), 200)
    system.entry(id, "ended")


def test_return_to_an_impostor(fresh, ca, stranger):
    system = tls_config(fresh(), ca).start()
    with TlsFarEnd(system.host(11), stranger.issue("agent", f"IP:{system.host(11)}")) as far, TlsCaller(system) as caller:
        id = system.create(sip={"returnURI": far.uri, "returnTransferType": "INVITE"})
        caller.talk(id)
        caller.press("1")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            far.expect("INVITE")
        caller.handed_back()
    failed = system.entry(id, "ended") and [e["info"] for e in system.timeline(id) if e["type"] == "return"][-1]
    assert failed["state"] == "failed" and failed["status"] == 503
