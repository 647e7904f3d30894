"""SIP over TLS in tests: an authority and its certificates, and a peer that speaks TLS."""
import pathlib
import socket
import ssl
import subprocess

from caller import Caller
from handback import SIP_PORT
from rtp_peer import Rtp
from sip_peer import Peer, host

TLS_PORT = 45061


def openssl(*args, cwd=None, **kwargs):
    return subprocess.run(["openssl", *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=30, **kwargs)


class Authority:
    """A CA with an intermediate one below it; issue() gives NAME.pem (with its chain) and NAME.key."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = pathlib.Path(folder), name
        self._key(name)
        self._run("req", "-x509", "-new", "-key", f"{name}.key", "-out", f"{name}.pem", "-days", 2,
                  "-subj", f"/CN={name} root", "-addext", "keyUsage=critical,keyCertSign")
        self._sign(f"{name}-sub", f"/CN={name} sub", name, "basicConstraints=critical,CA:true\n")
        self.file = self.folder / f"{name}.pem"

    def _run(self, *args):
        done = openssl(*args, cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def _key(self, name):
        self._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")

    def _sign(self, name, subject, issuer, extensions, days=2):
        self._key(name)
        (self.folder / f"{name}.ext").write_text(extensions)
        self._run("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        self._run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key",
                  "-CAcreateserial", "-days", days, "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def issue(self, name, names="DNS:handback.example"):
        """The files of a new certificate for these subjectAltNames."""
        self._sign(name, f"/CN={name}", f"{self.name}-sub", f"subjectAltName={names}\n")
        pem = self.folder / f"{name}.pem"
        pem.write_text(pem.read_text() + (self.folder / f"{self.name}-sub.pem").read_text())
        return str(pem), str(self.folder / f"{name}.key")


def client(authority=None, certificate=None):
    """A client's context: verifies the server only if given an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if authority:
        context.load_verify_locations(authority.file)
    else:
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(*certificate)
    return context


class TlsPeer(Peer):
    def __init__(self, address, server, context=None, buffer=None):
        """buffer: bytes that may wait to be read."""
        super().__init__(address, server, "tls")
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock = (context or client()).wrap_socket(self.sock)


class TlsCaller(Caller):
    def __init__(self, system, host=10, context=None):
        self.system, self.call = system, None
        self.peer = TlsPeer(system.host(host), (system.address, TLS_PORT), context)
        self.rtp = Rtp(system.host(host))


def tls_config(system, ca, udp=True, **tls):
    """A system that listens by TLS, with a certificate of ca's."""
    names = f"IP:{system.address},DNS:handback.example"
    certificate, key = ca.issue(f"server-{system.net}", names)
    where = host(system.address)
    system.config["sip"]["listen"] = [f"tls:{where}:{TLS_PORT}"]
    if udp:
        system.config["sip"]["listen"].append(f"udp:{where}:{SIP_PORT}")
    system.config["sip"]["tls"] = {"certificate": certificate, "key": key, "ca": str(ca.file), **tls}
    return system
