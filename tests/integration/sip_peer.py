"""A small SIP peer for what sipp cannot do: exact races, byte-exact messages, odd SDP.

Blocking, one thread, one socket per peer.  Every wait has a deadline and fails with what did come."""
import hashlib
import itertools
import os
import re
import socket
import time

COUNTER = itertools.count(1)


def token():
    return f"{os.getpid():x}{next(COUNTER):x}{os.urandom(4).hex()}"


class Message:
    def __init__(self, raw):
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = re.sub(rb"\r\n[ \t]+", b" ", head).decode("utf-8", "replace").split("\r\n")
        self.start = lines[0]
        self.headers = [tuple(p.strip() for p in l.split(":", 1)) for l in lines[1:] if ":" in l]
        words = self.start.split(" ", 2)
        self.is_reply = words[0].startswith("SIP/")
        self.status = int(words[1]) if self.is_reply else 0
        self.method = "" if self.is_reply else words[0]

    def all(self, name):
        short = {"via": "v", "from": "f", "to": "t", "call-id": "i", "contact": "m", "refer-to": "r"}
        names = {name.lower(), short.get(name.lower(), "")}
        return [v for n, v in self.headers if n.lower() in names]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def cseq(self):
        number, method = self.get("CSeq").split()
        return int(number), method

    def to_tag(self):
        match = re.search(r";tag=([^;>\s]+)", self.get("To"))
        return match[1] if match else None

    def sdp_port(self):
        match = re.search(rb"^m=audio (\d+)", self.body, re.M)
        return int(match[1])

    def sdp_address(self):
        return re.search(rb"^c=IN IP[46] (\S+)", self.body, re.M)[1].decode()

    def __repr__(self):
        return self.raw.decode("utf-8", "replace")


def host(address):
    return f"[{address}]" if ":" in address else address


def sdp(address, port, codecs=(0,), dtmf=101, direction="sendrecv", version=1, extra=()):
    """An offer or answer. codecs: static payload types. dtmf None: not offered."""
    family = "IP6" if ":" in address else "IP4"
    types = list(codecs) + ([dtmf] if dtmf else [])
    lines = ["v=0", f"o=peer 1 {version} IN {family} {address}", "s=-", f"c=IN {family} {address}", "t=0 0",
             f"m=audio {port} RTP/AVP {' '.join(map(str, types))}"]
    names = {0: "PCMU", 8: "PCMA", 18: "G729", 9: "G722"}
    lines += [f"a=rtpmap:{c} {names[c]}/8000" for c in codecs if c in names]
    lines += [f"a=rtpmap:{dtmf} telephone-event/8000", f"a=fmtp:{dtmf} 0-15"] if dtmf else []
    return "\r\n".join(lines + [f"a={direction}", *extra, ""]).encode()


class Peer:
    """A socket that speaks SIP; calls are made from it."""

    def __init__(self, address, server, transport="udp"):
        self.transport, self.server = transport, server
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
        self.sock.bind((address, 0))
        if transport != "udp":
            self.sock.settimeout(5)
            self.sock.connect(server)
        self.address, self.port = self.sock.getsockname()[:2]
        self.inbox, self.buffer = [], b""

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        if self.transport == "udp":
            self.sock.sendto(data, self.server)
        else:
            self.sock.sendall(data)

    def _read(self, timeout):
        """One message, or None after timeout seconds."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65535)
            except (TimeoutError, socket.timeout):
                return None
            except ConnectionRefusedError:  # ICMP while nobody listens
                continue
            if self.transport == "udp":
                if data.strip():
                    return Message(data)
                continue
            if not data:
                raise ConnectionError("the other side closed")
            self.buffer += data
            if (message := self._framed()) is not None:
                return message
        return None

    def _framed(self):
        self.buffer = self.buffer.lstrip(b"\r\n")
        head, separator, _ = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        match = re.search(rb"^(?:Content-Length|l)\s*:\s*(\d+)", head, re.M | re.I)
        end = len(head) + 4 + (int(match[1]) if match else 0)
        if len(self.buffer) < end:
            return None
        raw, self.buffer = self.buffer[:end], self.buffer[end:]
        return Message(raw)

    def wait(self, wanted, timeout=5.0, what="a message"):
        """The first message for which wanted() is true; others stay in the inbox."""
        for message in self.inbox:
            if wanted(message):
                self.inbox.remove(message)
                return message
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            message = self._framed() if self.transport != "udp" else None
            message = message or self._read(left)
            if message is None:
                break
            if wanted(message):
                return message
            self.inbox.append(message)
        raise AssertionError(f"no {what} within {timeout} s; there came: {[m.start for m in self.inbox]}")

    def nothing(self, timeout=0.5):
        """True when nothing at all arrives."""
        return not self.inbox and self._read(timeout) is None

    def via(self, branch):
        return f"SIP/2.0/{self.transport.upper()} {host(self.address)}:{self.port};branch=z9hG4bK{branch};rport"

    def options(self, timeout=2.0):
        """An OPTIONS and its answer's status."""
        call = Call(self)
        call.send("OPTIONS", to_tag=False)
        return call.reply("OPTIONS", timeout).status

    def invite(self, **kwargs):
        call = Call(self)
        call.invite(**kwargs)
        return call


class Call:
    """One dialog, from the caller's side."""

    def __init__(self, peer, user="agent"):
        self.peer = peer
        self.call_id, self.tag, self.remote_tag = token(), token(), None
        target = f"{host(peer.server[0])}:{peer.server[1]}"
        self.uri = f"sip:{user}@{target}" + ("" if peer.transport == "udp" else f";transport={peer.transport}")
        self.to = f"<sip:{user}@{target}>"
        self.sent_from = f"<sip:caller@{host(peer.address)}>"
        self.target, self.cseq, self.branch = self.uri, 0, None
        self.invite_cseq = 0
        self.authorization = None
        self.last = None

    def build(self, method, *, cseq=None, branch=None, headers=(), body=b"", to_tag=True, content="application/sdp"):
        to = self.to + (f";tag={self.remote_tag}" if to_tag and self.remote_tag else "")
        contact = f"<sip:caller@{host(self.peer.address)}:{self.peer.port};transport={self.peer.transport}>"
        lines = [f"{method} {self.target} SIP/2.0", f"Via: {self.peer.via(branch or token())}", "Max-Forwards: 70",
                 f"From: {self.sent_from};tag={self.tag}", f"To: {to}", f"Call-ID: {self.call_id}",
                 f"CSeq: {cseq} {method}", f"Contact: {contact}", *headers]
        if self.authorization:
            lines.append(self.authorization)
        if body:
            lines.append(f"Content-Type: {content}")
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def send(self, method, **kwargs):
        self.cseq += 1
        if method == "INVITE":
            self.branch, self.invite_cseq = token(), self.cseq
            kwargs.setdefault("branch", self.branch)
        self.last = self.build(method, cseq=self.cseq, **kwargs)
        self.peer.send(self.last)

    def invite(self, body=b"", transfer=None, headers=()):
        headers = list(headers) + ([f"X-ASAPP-CallTransferId: {transfer}"] if transfer else [])
        self.again = {"body": body, "headers": headers}
        self.send("INVITE", **self.again)

    def mine(self, message):
        return message.get("Call-ID") == self.call_id

    def reply(self, method, timeout=5.0, least=200, cseq=None):
        """The reply to our last request of that method, from `least` on."""
        cseq = cseq or (self.invite_cseq if method == "INVITE" else self.cseq)
        reply = self.peer.wait(
            lambda m: m.is_reply and self.mine(m) and m.cseq() == (cseq, method) and m.status >= least,
            timeout, f"reply to {method}")
        if reply.to_tag():
            self.remote_tag = reply.to_tag()
        if method == "INVITE" and reply.get("Contact"):
            self.target = re.search(r"<([^>]+)>", reply.get("Contact"))[1]
        if method == "INVITE" and reply.status >= 300:
            self.ack_refusal()
        return reply

    def ack_refusal(self):
        self.peer.send(self.build("ACK", cseq=self.invite_cseq, branch=self.branch))

    def ack(self, body=b""):
        self.peer.send(self.build("ACK", cseq=self.invite_cseq, body=body))

    def answered(self, timeout=5.0, ack=True):
        """The 200, acknowledged."""
        reply = self.reply("INVITE", timeout)
        assert reply.status == 200, f"refused:\n{reply}"
        if ack:
            self.ack()
        return reply

    def authenticate(self, challenge, username, password, method="INVITE"):
        """RFC 7616 with qop=auth, for the next request."""
        header = challenge.get("WWW-Authenticate") or challenge.get("Proxy-Authenticate")
        parameters = dict(re.findall(r'(\w+)="?([^",]+)"?', header.partition(" ")[2]))
        digest = hashlib.sha256 if parameters.get("algorithm", "").upper() == "SHA-256" else hashlib.md5
        h = lambda text: digest(text.encode()).hexdigest()
        cnonce, nc = token(), "00000001"
        ha1 = h(f"{username}:{parameters['realm']}:{password}")
        ha2 = h(f"{method}:{self.target}")
        response = h(f"{ha1}:{parameters['nonce']}:{nc}:{cnonce}:auth:{ha2}")
        name = "Authorization" if challenge.status == 401 else "Proxy-Authorization"
        self.authorization = (
            f'{name}: Digest username="{username}", realm="{parameters["realm"]}", nonce="{parameters["nonce"]}", '
            f'uri="{self.target}", response="{response}", cnonce="{cnonce}", nc={nc}, qop=auth, '
            f'algorithm={parameters.get("algorithm", "MD5")}'
            + (f', opaque="{parameters["opaque"]}"' if "opaque" in parameters else ""))
        self.remote_tag = None

    def cancel(self):
        self.peer.send(self.build("CANCEL", cseq=self.invite_cseq, branch=self.branch, to_tag=False))

    def request(self, method, timeout=5.0, **kwargs):
        """An in-dialog request and its final reply."""
        self.send(method, **kwargs)
        return self.reply(method, timeout)

    def bye(self, timeout=5.0):
        return self.request("BYE", timeout)

    def expect(self, method, timeout=5.0, answer=200, headers=()):
        """A request of the other side, answered at once."""
        message = self.peer.wait(lambda m: m.method == method and self.mine(m), timeout, method)
        if answer:
            self.answer(message, answer, headers)
        return message

    def answer(self, request, status, headers=(), body=b""):
        copied = [f"{name}: {value}" for name in ("Via", "From", "To", "Call-ID", "CSeq")
                  for value in request.all(name)]
        lines = [f"SIP/2.0 {status} OK", *copied, *headers]
        if body:
            lines.append("Content-Type: application/sdp")
        self.peer.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
